import type { ChildProcess } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Certificate } from '../../tools/certificate.ts'
import { forkScript, letGo, nextMessage } from '../../tools/server-process.ts'

/** What the members are: they share a port in a cluster, and have one each elsewhere. */
export type FleetKind = 'cluster' | 'threads' | 'processes'

export interface FleetSettings {
  readonly kind: FleetKind
  readonly certificate: Certificate
  readonly renewed: Certificate
  /** Hexadecimal. */
  readonly secret: string
  /** Milliseconds by which the clock of each member is ahead. */
  readonly offsetsMs: readonly number[]
}

export interface MemberSettings extends Pick<FleetSettings, 'certificate' | 'secret'> {
  /** What its server says to its clients. */
  readonly number: number
  readonly aheadMs: number
}

export type MemberOrder = { readonly advanceMs: number } | { readonly renewed: Certificate }
/** An hour passes, the certificate is renewed, or each member is replaced by a new one, which is there before the old one goes. */
export type FleetOrder = 'rotate' | 'renew' | 'restart'

export const HOUR_MS = 3_600_000

interface Member {
  readonly port: number
  tell(order: MemberOrder): Promise<void>
  end(): Promise<void>
}

const program = new URL('./tickets-member.ts', import.meta.url)

async function startClusterMember(settings: MemberSettings): Promise<Member> {
  cluster.setupPrimary({ exec: fileURLToPath(program), execArgv: ['--import', 'tsx'] })
  const worker = cluster.fork({ SSLCTX_TEST_MEMBER: JSON.stringify(settings) })
  return {
    port: await new Promise<number>((resolve) => worker.once('message', resolve)),
    async tell(order) {
      const answer = once(worker, 'message')
      worker.send(order)
      await answer
    },
    async end() {
      const exit = once(worker, 'exit')
      worker.disconnect()
      await exit
    },
  }
}

async function startThread(settings: MemberSettings): Promise<Member> {
  // On Node 20 a thread does not inherit the loader of its process.
  const code = `import('tsx/esm/api').then(({ register }) => {
    register()
    return import(${JSON.stringify(program.href)})
  })`
  const worker = new Worker(code, { eval: true, workerData: settings })
  const [port] = (await once(worker, 'message')) as [number]
  return {
    port,
    async tell(order) {
      const answer = once(worker, 'message')
      worker.postMessage(order)
      await answer
    },
    end: async () => void (await worker.terminate()),
  }
}

async function startProcess(settings: MemberSettings): Promise<Member> {
  const child = forkScript(program, { env: { SSLCTX_TEST_MEMBER: JSON.stringify(settings) } })
  return {
    port: await nextMessage(child),
    async tell(order) {
      child.send(order)
      await nextMessage(child)
    },
    end: () => letGo(child),
  }
}

const starters = { cluster: startClusterMember, threads: startThread, processes: startProcess } as const

/** The process around a fleet: does what its parent says, and answers with the ports. */
async function lead({ kind, certificate, renewed, secret, offsetsMs }: FleetSettings): Promise<void> {
  let elapsedMs = 0
  let numbers = 0
  let served = certificate
  const start = (offsetMs: number): Promise<Member> =>
    starters[kind]({ certificate: served, secret, number: ++numbers, aheadMs: offsetMs + elapsedMs })
  const members = await Promise.all(offsetsMs.map(start))
  const obey = async (order: FleetOrder): Promise<void> => {
    if (order === 'rotate') elapsedMs += HOUR_MS
    if (order === 'renew') served = renewed
    for (const [index, member] of members.entries()) {
      if (order === 'rotate') await member.tell({ advanceMs: HOUR_MS })
      else if (order === 'renew') await member.tell({ renewed })
      else {
        members[index] = await start(offsetsMs[index] ?? 0)
        await member.end()
      }
    }
  }
  const tellPorts = (): void => void process.send?.([...new Set(members.map(({ port }) => port))])
  process.on('message', (order: FleetOrder) => {
    void obey(order).then(tellPorts)
  })
  process.on('disconnect', () => process.exit())
  tellPorts()
}

const SETTINGS = 'SSLCTX_TEST_FLEET'

/** @returns a process that runs {@link lead} */
export function launchFleet(settings: FleetSettings): ChildProcess {
  return forkScript(new URL(import.meta.url), { env: { [SETTINGS]: JSON.stringify(settings) } })
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  void lead(JSON.parse(process.env[SETTINGS] ?? '') as FleetSettings)
