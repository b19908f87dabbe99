import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { startLmdbScript } from './lmdb-script.ts'

/** Another process that has an environment open, and does what `lmdb-worker.ts` knows. */
export class LmdbProcess {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(path: string): Promise<LmdbProcess> {
    return new LmdbProcess(await startLmdbScript('lmdb-worker', path))
  }

  async ask(task: LmdbTask): Promise<LmdbAnswer['answer']> {
    this.#child.send(task)
    const [{ answer }] = (await once(this.#child, 'message')) as [LmdbAnswer]
    return answer
  }

  async end(): Promise<void> {
    this.#child.disconnect()
    await once(this.#child, 'exit')
  }
}

/** What can be asked of another process. */
export type LmdbTask =
  | { readonly call: 'get' | 'take' | 'delete'; readonly key: string }
  | { readonly call: 'takeAll'; readonly keys: readonly string[] }

/** A value, or for `takeAll` the indexes of the keys that were won. */
export interface LmdbAnswer {
  readonly answer: string | readonly number[] | undefined
}
