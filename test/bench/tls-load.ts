import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Certificate } from '../certificate.ts'
import { startRedis } from '../store/redis-server.ts'
import type { Sample } from './compare.ts'
import { startSide } from './programs.ts'
import type { Load, LoadResult } from './sides/load-generator.ts'
import type { ClusterStart } from './sides/redis-cluster.ts'
import type { FromServer, ServerKind, ToServer } from './sides/tls-server.ts'

/**
 * Connections at a time. Where CPU is measured it is one: cores of a virtual machine may share what they run on, so that a
 * microsecond of the server costs two while the load generator runs too.
 */
const LANES = { cpu: 1, throughput: 8 } as const
/** Until the engine has compiled what runs often, on both sides: with 400, all handshakes cost up to twice as much. */
const WARM_UP = 4000
const CONNECTIONS = 2000

export type LoadKind = Pick<Load, 'version' | 'resumes'>

/** A server under load. */
export interface Target {
  readonly port: number
  /** Microseconds of CPU so far. */
  cpuUs(): Promise<number>
  stop(): Promise<void>
}

/** @returns microseconds of CPU that the server spends on a handshake */
export async function serverCpu(target: Target, kind: LoadKind): Promise<Sample> {
  const { cpuUs, handshakesPerSecond } = await putUnderLoad(target, kind, LANES.cpu)
  return { value: cpuUs, parts: { 'handshakes/s': handshakesPerSecond } }
}

/** @returns microseconds by the clock on the wall from one handshake to the next, so that less is better here too */
export async function throughput(target: Target, kind: LoadKind): Promise<Sample> {
  const { cpuUs, handshakesPerSecond } = await putUnderLoad(target, kind, LANES.throughput)
  return { value: 1e6 / handshakesPerSecond, parts: { 'handshakes/s': handshakesPerSecond, 'CPU us': cpuUs } }
}

interface Cost {
  /** A handshake. */
  readonly cpuUs: number
  readonly handshakesPerSecond: number
}

async function putUnderLoad(target: Target, kind: LoadKind, lanes: number): Promise<Cost> {
  const generator = startSide('load-generator')
  const load = async (connections: number): Promise<LoadResult> => {
    generator.send({ ...kind, port: target.port, connections, lanes } satisfies Load)
    return (await message(generator)) as LoadResult
  }
  try {
    await load(WARM_UP)
    const before = await target.cpuUs()
    const result = await load(CONNECTIONS)
    const spent = (await target.cpuUs()) - before
    checkLoad(kind, result, lanes)
    return { cpuUs: spent / CONNECTIONS, handshakesPerSecond: CONNECTIONS / (result.elapsedMs / 1000) }
  } finally {
    await stop(generator)
    await target.stop()
  }
}

/** The first connection of each lane has nothing to offer. */
function checkLoad({ resumes }: LoadKind, { resumed, full, failed }: LoadResult, lanes: number): void {
  const isAsExpected = failed === 0 && (resumes ? full <= lanes : resumed === 0)
  if (!isAsExpected) throw new Error(`${resumed} resumed, ${full} full, ${failed} failed`)
}

export function nodeServer(kind: ServerKind | 'unobserved', { key, cert }: Certificate): Promise<Target> {
  const start = (side: string, as: ServerKind): Promise<Target> =>
    startTarget(side, { type: 'start', kind: as, key, cert } satisfies ToServer)
  return kind === 'unobserved' ? start('tls-server-unobserved', 'attached') : start('tls-server', kind)
}

/** Four workers, and a Redis of their own. */
export async function redisCluster(kind: ClusterStart['kind'], { key, cert }: Certificate): Promise<Target> {
  const redis = await startRedis()
  const secret = randomBytes(32).toString('hex')
  const start: ClusterStart = { kind, redisPort: redis.port, key, cert, secret }
  const target = await startTarget('redis-cluster', start)
  return {
    ...target,
    async stop() {
      await target.stop()
      await redis.close()
    },
  }
}

async function startTarget(side: string, start: ToServer | ClusterStart): Promise<Target> {
  const child = startSide(side)
  const ask = async (question: ToServer | ClusterStart): Promise<FromServer> => {
    child.send(question)
    return (await message(child)) as FromServer
  }
  const answer = await ask(start)
  if (answer.type !== 'listening') throw new Error('the server does not listen')
  return {
    port: answer.port,
    async cpuUs() {
      const usage = await ask({ type: 'usage' })
      if (usage.type !== 'usage') throw new Error('the server does not say what it has used')
      return usage.cpuUs
    },
    stop: () => stop(child),
  }
}

async function message(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController()
  const onExit = (): void => ended.abort()
  child.once('exit', onExit)
  try {
    const [answer] = (await once(child, 'message', { signal: ended.signal })) as [unknown]
    return answer
  } finally {
    child.off('exit', onExit)
  }
}

async function stop(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.disconnect()
  await exit
}
