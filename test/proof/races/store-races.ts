import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { KeyRing, sealed } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { type EngineAddress, openEngineStore } from '../../tools/engine-store.ts'
import { startMemcached } from '../../tools/memcached-server.ts'
import { startRedis } from '../../tools/redis-server.ts'
import { ScriptProcess } from '../../tools/server-process.ts'
import { type FromServer, NAME, type ToServer } from '../chaos/messages.ts'
import type { FromTaker, Take, ToTaker } from './taker-messages.ts'

/** Two processes want the same session, each time. */
export interface RaceReport {
  readonly engine: string
  readonly races: number
  readonly withTwoWinners: number
  readonly withoutWinner: number
  /** How often each process won. */
  readonly wins: readonly [number, number]
  /** In which both were under way at the same time. */
  readonly close: number
  readonly seconds: number
}

interface Engine {
  readonly name: string
  start(): Promise<{ readonly address: EngineAddress; close(): Promise<void> }>
}

export const raceEngines: readonly Engine[] = [
  { name: 'redis, GETDEL', start: () => redis() },
  { name: 'redis, script', start: () => redis('--rename-command', 'GETDEL', '') },
  {
    name: 'memcached',
    async start() {
      const server = await startMemcached()
      return { address: { engine: 'memcached', port: server.port }, close: () => server.kill() }
    },
  },
  {
    name: 'lmdb',
    async start() {
      const folder = await mkdtemp(join(tmpdir(), 'sslctx-races-'))
      return {
        address: { engine: 'lmdb', path: join(folder, 'sessions') },
        close: () => rm(folder, { recursive: true, force: true }),
      }
    },
  },
]

async function redis(...settings: readonly string[]): ReturnType<Engine['start']> {
  const server = await startRedis(...settings)
  return { address: { engine: 'redis', port: server.port }, close: () => server.close() }
}

const BATCH = 50
/** Milliseconds in which both takers have heard of a batch. */
const HEAD_START_MS = 5

type Taker = ScriptProcess<ToTaker, FromTaker>

/** Through the sealed and guarded store. */
export async function raceTakes(engine: Engine, races: number): Promise<RaceReport> {
  const { address, close } = await engine.start()
  const secret = randomBytes(32).toString('hex')
  const { store, close: closeStore } = await openEngineStore(address)
  const sessions = sealed(store, new KeyRing([Buffer.from(secret, 'hex')]))
  const takers = [0, 1].map(
    (place): Taker => new ScriptProcess(new URL('./taker.ts', import.meta.url), `taker ${place}`),
  )
  const found: Take[][] = []
  const beganMs = performance.now()
  try {
    for (const taker of takers) taker.send({ type: 'open', address, secret })
    for (const taker of takers) await taker.next('ready')
    while (found.length < races) {
      const keys = Array.from({ length: Math.min(BATCH, races - found.length) }, () => randomBytes(32))
      const expiresAtMs = Date.now() + 3_600_000
      await sessions.set(keys.map((key) => ({ key, value: key, expiresAtMs })))
      found.push(...(await raceBatch(takers, keys)))
    }
  } finally {
    await Promise.all(takers.map((taker) => taker.kill()))
    await closeStore()
    await close()
  }
  return reportOf(engine.name, found, performance.now() - beganMs)
}

/** @returns for each key what both did */
async function raceBatch(takers: readonly Taker[], keys: readonly Buffer[]): Promise<Take[][]> {
  const atMs = Date.now() + HEAD_START_MS
  for (const taker of takers) taker.send({ type: 'take', keys: keys.map((key) => key.toString('hex')), atMs })
  const answers = await Promise.all(takers.map(async (taker) => (await taker.next('taken')).takes))
  return keys.map((_, index) => answers.flatMap((takes) => takes[index] ?? []))
}

type Server = ScriptProcess<ToServer, FromServer>

/** Real handshakes of TLS 1.3: one ticket, offered to two single-use servers at the same moment. */
export async function raceHandshakes(engine: Engine, races: number): Promise<RaceReport> {
  const { address, close } = await engine.start()
  const certificate = await makeCertificate(NAME)
  const secret = randomBytes(32).toString('hex')
  const servers = [0, 1].map(
    (place): Server => new ScriptProcess(new URL('../chaos/server.ts', import.meta.url), `server ${place}`),
  )
  const beganMs = performance.now()
  try {
    const ports: number[] = []
    for (const server of servers) {
      const settings = { certificate, engine: address, secret, port: 0, deadlineMs: 30_000, singleUse: true }
      server.send({ type: 'start', settings })
      ports.push((await server.next('listening')).port)
    }
    const tickets: Buffer[] = []
    for (let count = 0; count < races; count++)
      tickets.push((await visit(ports[count % 2]!, certificate.cert)).session)
    await untilStored(servers)
    const found: Take[][] = []
    for (const [index, ticket] of tickets.entries()) {
      // Who is connected to first is a little ahead.
      const order = index % 2 === 0 ? [0, 1] : [1, 0]
      const takes: Take[] = []
      const offer = async (place: number): Promise<void> => {
        takes[place] = (await visit(ports[place]!, certificate.cert, ticket)).take
      }
      await Promise.all(order.map(offer))
      found.push(takes)
    }
    return reportOf(`${engine.name}, handshakes`, found, performance.now() - beganMs)
  } finally {
    await Promise.all(servers.map((server) => server.kill()))
    await close()
  }
}

async function visit(
  port: number,
  ca: string,
  offer?: Buffer,
): Promise<{ readonly take: Take; readonly session: Buffer }> {
  const beganMs = performance.now()
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername: NAME,
    ca,
    minVersion: 'TLSv1.3',
    ...(offer && { session: offer }),
  })
  let session: Buffer | undefined
  socket.on('session', (received: Buffer) => {
    session = received
  })
  socket.resume()
  await once(socket, 'secureConnect')
  const take = { hasWon: socket.isSessionReused(), beganMs, endedMs: performance.now() }
  if (!socket.closed) await once(socket, 'close')
  if (session === undefined) throw new Error('the server gave no ticket')
  return { take, session }
}

/** Storing is write-behind. */
async function untilStored(servers: readonly Server[]): Promise<void> {
  for (const server of servers) {
    for (let isIdle = false; !isIdle; ) {
      server.send({ type: 'report', collect: false })
      const { pendingWrites, guard } = (await server.next('report')).report
      isIdle = pendingWrites + guard.queuedWrites + guard.pendingCalls === 0
    }
  }
}

/** @param found - of each race what both did */
function reportOf(engine: string, found: readonly (readonly Take[])[], elapsedMs: number): RaceReport {
  const winners = found.map((takes) => takes.flatMap(({ hasWon }, place) => (hasWon ? [place] : [])))
  const wonBy = (place: number): number => winners.filter((all) => all.includes(place)).length
  return {
    engine,
    races: found.length,
    withTwoWinners: winners.filter((all) => all.length > 1).length,
    withoutWinner: winners.filter((all) => all.length === 0).length,
    wins: [wonBy(0), wonBy(1)],
    close: found.filter(areClose).length,
    seconds: elapsedMs / 1000,
  }
}

function areClose(takes: readonly Take[]): boolean {
  const lastBeganMs = Math.max(...takes.map(({ beganMs }) => beganMs))
  return takes.every(({ endedMs }) => endedMs > lastBeganMs)
}

const HANDSHAKES = 200

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { races: { type: 'string', default: '10000' } } })
  const races = Number(values.races)
  const reports: RaceReport[] = []
  const add = (report: RaceReport): void => {
    reports.push(report)
    const { engine, wins, close, withTwoWinners, withoutWinner, seconds } = report
    console.log(
      `${engine.padEnd(26)} ${String(report.races).padStart(6)} races, won ${wins.join(' and ')}, ${close} at the same moment, ` +
        `${withTwoWinners} with two winners, ${withoutWinner} without, ${seconds.toFixed(1)} s`,
    )
  }
  for (const engine of raceEngines) {
    add(await raceTakes(engine, races))
    add(await raceHandshakes(engine, Math.min(HANDSHAKES, races)))
  }
  const total = (of: (report: RaceReport) => number): number =>
    reports.reduce((sum, report) => sum + of(report), 0)
  const [two, none] = [total((report) => report.withTwoWinners), total((report) => report.withoutWinner)]
  console.log(`races: ${total((report) => report.races)} races, ${two} with two winners, ${none} without`)
  process.exitCode = two + none === 0 ? 0 : 1
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()
