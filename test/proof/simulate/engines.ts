import type { Figures } from './formula.ts'

/**
 * An engine as it was measured, on one core of a shared virtual machine of 2 cores, client and server on it, with 100,000
 * random keys of 32 bytes and values of 257 bytes.
 */
interface Engine {
  readonly name: string
  /** One command a round trip, as adapters do it; pipelined it is several times as much. */
  readonly opsPerSec: number
  /** Memory or pages of a session beyond key and value. */
  readonly overheadBytes: number
}

/** redis-server 7.0: redis-benchmark -P 1 (with -P 16: 418,000 SET, 582,000 GET per second); used_memory of INFO. */
const REDIS: Engine = { name: 'Redis', opsPerSec: 48_000, overheadBytes: 180 }
/** memcached 1.6: 139,000 get per second pipelined, round trips taken to cost what they cost Redis; chunks of 384 bytes. */
const MEMCACHED: Engine = { name: 'memcached', opsPerSec: 48_000, overheadBytes: 99 }
/** lmdb 3.5: 96,000 put per second until committed, 345,000 get; pages of random keys are two thirds full. */
const LMDB: Engine = { name: 'LMDB', opsPerSec: 96_000, overheadBytes: 183 }

/** What an engine is planned to do of what it can: the busiest hour of a day has up to three times its average. */
const LOAD = 1 / 3
/** Of one server, for sessions. */
const MEMORY_BYTES = 16e9

export const planningAssumptions = `Servers are planned at ${Math.round(100 * LOAD)} % of what was measured (${[
  REDIS,
  MEMCACHED,
  LMDB,
]
  .map(
    ({ name, opsPerSec, overheadBytes }) =>
      `${name} ${opsPerSec} op/s, ${overheadBytes} bytes a session besides`,
  )
  .join('; ')}) and ${MEMORY_BYTES / 1e9} GB each.`

/** How many servers of an engine carry a store. */
export function serversNeeded(engine: Engine, figures: Figures): number {
  const ops = figures.getsPerSec + figures.setsPerSec
  const bytes = figures.storedBytes + figures.storedSessions * engine.overheadBytes
  return Math.max(1, Math.ceil(ops / (engine.opsPerSec * LOAD)), Math.ceil(bytes / MEMORY_BYTES))
}

/**
 * @param figures - with the store
 * @param resumptionPerMachine - when each machine has a store of its own and clients come to any of them
 */
export function carriers(figures: Figures, nodes: number, resumptionPerMachine: number): string {
  const redis = serversNeeded(REDIS, figures)
  const shared = [
    redis === 1 ? 'one Redis' : `a Redis Cluster of ${Math.max(3, redis)}`,
    `memcached ${serversNeeded(MEMCACHED, figures)}`,
  ]
  const percent = (100 * resumptionPerMachine).toFixed(resumptionPerMachine < 0.01 ? 2 : 0)
  const own = nodes === 1 ? lmdbOf(figures) : `LMDB per machine only with sticky clients (else ${percent} %)`
  return [...shared, own].join('; ')
}

function lmdbOf(figures: Figures): string {
  return serversNeeded(LMDB, figures) === 1 ? 'LMDB' : 'more than one LMDB'
}
