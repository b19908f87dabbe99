import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Certificate } from '../tools/certificate.ts'
import { startRedis } from '../tools/redis-server.ts'
import { letGo, nextMessage } from '../tools/server-process.ts'
import type { Lasting, Sample } from './compare.ts'
import type { Setting } from './handshakes.ts'
import { cpuUsOf, onMeasuredCpu, startSide, startSideUnder } from './programs.ts'
import type { Load, LoadResult } from './sides/load-generator.ts'
import type { ClusterStart } from './sides/redis-cluster.ts'
import type { FromServer, ServerKind, ToServer } from './sides/tls-server.ts'

/** Connections at a time. Where CPU is measured it is one, so that server and client take turns on their one processor. */
const LANES = { cpu: 1, throughput: 8 } as const
/**
 * For each process that serves, until its engine has compiled what runs often: with 400, all handshakes cost up to twice as much.
 * After 8,000 some functions of the library still run in lower tiers on Node 20, and half of them on the newest line.
 */
export const WARM_UP = { cpu: 20_000, throughput: 2500 } as const
/** Of a cluster. */
const WORKERS = 4
/** In a turn. Where CPU is measured it is short, so that what disturbs the machine for some milliseconds seldom falls on one side alone. */
const CONNECTIONS = { cpu: 10, throughput: 2000 } as const
/** Each part of the warming up begins without a session: a full handshake makes the engine throw away what it has compiled for resumptions alone. */
const WARM_UP_PORTION = 250

export interface LoadKind extends Pick<Load, 'version' | 'resumes'> {
  /** What the clients offer is refused each time. */
  readonly isRefused?: boolean
}

/** A server under load. */
export interface Target {
  readonly port: number
  /** That share the handshakes. */
  readonly processes: number
  /** Microseconds of CPU so far. */
  cpuUs(): number
  stop(): Promise<void>
}

/** Microseconds of CPU that the server spends on a handshake; it shares its processor with its clients. */
export function serverCpu(start: () => Promise<Target>, kind: LoadKind): Lasting {
  return underLoad(start, kind, 'cpu', ({ cpuUs, handshakesPerSecond }) => ({
    value: cpuUs,
    parts: { 'handshakes/s': handshakesPerSecond },
  }))
}

/** Microseconds by the clock on the wall from one handshake to the next, so that less is better here too. */
export function throughput(start: () => Promise<Target>, kind: LoadKind): Lasting {
  return underLoad(start, kind, 'throughput', ({ cpuUs, handshakesPerSecond }) => ({
    value: 1e6 / handshakesPerSecond,
    parts: { 'handshakes/s': handshakesPerSecond, 'CPU us': cpuUs },
  }))
}

interface Cost {
  /** A handshake. */
  readonly cpuUs: number
  readonly handshakesPerSecond: number
}

function underLoad(
  start: () => Promise<Target>,
  kind: LoadKind,
  measured: keyof typeof LANES,
  sample: (cost: Cost) => Sample,
): Lasting {
  return {
    async open() {
      const target = await start()
      const generator = startSide('load-generator', process.execPath, measured === 'cpu')
      const lanes = LANES[measured]
      const connections = CONNECTIONS[measured]
      const load = async (count: number, isFresh = false): Promise<LoadResult> => {
        generator.send({ ...kind, port: target.port, connections: count, lanes, isFresh } satisfies Load)
        return (await nextMessage(generator)) as LoadResult
      }
      let cold = WARM_UP[measured] * target.processes
      return {
        async warmUp() {
          await load(WARM_UP_PORTION, true)
          cold -= WARM_UP_PORTION
          return cold > 0
        },
        async measure() {
          const before = target.cpuUs()
          const result = await load(connections)
          const cpuUs = (target.cpuUs() - before) / connections
          checkLoad(kind, result)
          return sample({ cpuUs, handshakesPerSecond: connections / (result.elapsedMs / 1000) })
        },
        async close() {
          await letGo(generator)
          await target.stop()
        },
      }
    },
  }
}

function checkLoad({ resumes, isRefused }: LoadKind, { resumed, full, failed }: LoadResult): void {
  const isAsExpected = failed === 0 && (resumes && isRefused !== true ? full === 0 : resumed === 0)
  if (!isAsExpected) throw new Error(`${resumed} resumed, ${full} full, ${failed} failed`)
}

const IDLE_CONNECTIONS = 1000

/**
 * Bytes of heap that an idle connection takes on the server.
 *
 * @param allowance - bytes that are added
 */
export function idleHeap(start: () => Promise<NodeTarget>, allowance: number): Lasting {
  const load = { version: 'TLSv1.3', resumes: true } as const
  return {
    async open() {
      const target = await start()
      const generator = startSide('load-generator', process.execPath, true)
      const ask = async (connections: number, isHeld: boolean): Promise<void> => {
        generator.send({ ...load, port: target.port, connections, lanes: 1, isHeld } satisfies Load)
        await nextMessage(generator)
      }
      await ask(WARM_UP.throughput, false)
      return {
        async measure() {
          const before = await target.heapBytes()
          await ask(IDLE_CONNECTIONS, true)
          const held = await target.heapBytes()
          // They are let go of with the next load.
          await ask(1, false)
          return { value: (held - before) / IDLE_CONNECTIONS + allowance }
        },
        async close() {
          await letGo(generator)
          await target.stop()
        },
      }
    },
  }
}

/** A server that tells its heap. */
export interface NodeTarget extends Target {
  readonly pid: number
  heapBytes(): Promise<number>
}

/**
 * The least code: `floor` resumes by sessions, `ticket-floor` by tickets, `refusing-ticket-floor` opens them and refuses, `job` does what
 * an attachment does.
 */
const FLOORS = {
  floor: { side: 'floor-server', kind: 'map' },
  'ticket-floor': { side: 'ticket-floor-server', kind: 'ticketed' },
  'refusing-ticket-floor': { side: 'ticket-floor-server', kind: 'refusing' },
  job: { side: 'job-server', kind: 'attached' },
} as const satisfies Record<string, { readonly side: string; readonly kind: ServerKind }>

export type FloorKind = keyof typeof FLOORS

function isFloor(kind: ServerKind | FloorKind): kind is FloorKind {
  return Object.hasOwn(FLOORS, kind)
}

/** @param command - that runs it, in place of the setting's Node on the processor of the measurement */
export function nodeServer(
  kind: ServerKind | FloorKind,
  { binary, certificate }: Pick<Setting, 'binary' | 'certificate'>,
  command: readonly string[] = onMeasuredCpu(binary),
): Promise<NodeTarget> {
  const { key, cert } = certificate
  const server = isFloor(kind) ? FLOORS[kind] : { side: 'tls-server', kind }
  return startTarget(startSideUnder(command, server.side), { type: 'start', kind: server.kind, key, cert })
}

/** Workers, and a Redis of their own. */
export async function redisCluster(kind: ClusterStart['kind'], { key, cert }: Certificate): Promise<Target> {
  const redis = await startRedis()
  const secret = randomBytes(32).toString('hex')
  const start: ClusterStart = { kind, workers: WORKERS, redisPort: redis.port, key, cert, secret }
  const target = await startTarget(startSide('redis-cluster'), start)
  return {
    ...target,
    processes: WORKERS,
    async stop() {
      await target.stop()
      await redis.close()
    },
  }
}

async function startTarget(child: ChildProcess, start: ToServer | ClusterStart): Promise<NodeTarget> {
  const ask = async (question: ToServer | ClusterStart): Promise<FromServer> => {
    child.send(question)
    return nextMessage<FromServer>(child)
  }
  const answer = await ask(start)
  if (answer.type !== 'listening') throw new Error('the server does not listen')
  return {
    port: answer.port,
    processes: 1,
    pid: child.pid ?? 0,
    cpuUs: () => cpuUsOf(answer.pids),
    async heapBytes() {
      const heap = await ask({ type: 'heap' })
      if (heap.type !== 'heap') throw new Error('the server does not say what it holds')
      return heap.bytes
    },
    stop: () => letGo(child),
  }
}
