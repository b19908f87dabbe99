import cluster, { type Address, type Worker } from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { AttachmentStats } from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'

/** What a worker is told, as JSON in this variable of its environment. */
export interface WorkerSettings {
  readonly certificate: Certificate
  readonly storePort: number
  readonly sessionCacheMode: number
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly waitForStore: boolean
  /** Milliseconds until the store hears of a new session, as when it is far away. */
  readonly storeDistanceMs: number
}

export const SETTINGS = 'SSLCTX_TEST_WORKER'

/** What a worker says before it ends. */
export interface WorkerReport {
  readonly stats: AttachmentStats
  /** Sessions whose storing had not been acknowledged. */
  readonly dropped: number
}

/** A server process of a cluster: all of them share one port. */
export class FleetWorker {
  readonly port: number
  readonly #worker: Worker

  private constructor(worker: Worker, port: number) {
    this.#worker = worker
    this.port = port
  }

  /** Resolves when it listens. */
  static async start(settings: WorkerSettings): Promise<FleetWorker> {
    // The kernel chooses who gets a connection.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: fileURLToPath(new URL('./fleet-worker.ts', import.meta.url)),
      execArgv: ['--import', 'tsx'],
    })
    const worker = cluster.fork({ [SETTINGS]: JSON.stringify(settings) })
    const [address] = (await withoutExit(worker, 'listening')) as [Address]
    return new FleetWorker(worker, address.port)
  }

  /** What a deployment does: SIGTERM, and the process ends by itself when it has done its work. */
  async terminate(): Promise<WorkerReport> {
    const exit = once(this.#worker, 'exit')
    const message = withoutExit(this.#worker, 'message')
    this.#worker.process.kill('SIGTERM')
    const [report] = (await message) as [WorkerReport]
    await exit
    return report
  }

  /** However it is. */
  kill(): void {
    this.#worker.process.kill('SIGKILL')
  }
}

function withoutExit(worker: Worker, event: 'listening' | 'message'): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    worker.once('exit', (code, signal) => reject(new Error(`a worker ended early: ${signal ?? code}`)))
    worker.once(event, (...values: unknown[]) => resolve(values))
  })
}
