import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { AttachmentStats } from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'

/** What a worker is told, as JSON in this variable of its environment. */
export interface WorkerSettings {
  readonly certificate: Certificate
  /** Hexadecimal. */
  readonly secret: string
  /** Milliseconds by which its clock is ahead. */
  readonly offsetMs: number
}

export type WorkerOrder = { readonly advanceMs: number } | { readonly renewed: Certificate }

export const SETTINGS = 'SSLCTX_TEST_TICKETS_WORKER'

/** A server process with a port of its own. */
export class TicketsWorker {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(settings: WorkerSettings): Promise<TicketsWorker> {
    const child = fork(fileURLToPath(new URL('./tickets-worker.ts', import.meta.url)), {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, [SETTINGS]: JSON.stringify(settings) },
    })
    const [port] = (await once(child, 'message')) as [number]
    return new TicketsWorker(child, port)
  }

  /** @returns what it has done so far */
  async tell(order: WorkerOrder): Promise<AttachmentStats> {
    const answer = once(this.#child, 'message') as Promise<[AttachmentStats]>
    this.#child.send(order)
    const [stats] = await answer
    return stats
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}
