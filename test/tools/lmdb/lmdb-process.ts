import type { ChildProcess } from 'node:child_process'
import { letGo, nextMessage } from '../server-process.ts'
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
    return (await nextMessage<LmdbAnswer>(this.#child)).answer
  }

  end(): Promise<void> {
    return letGo(this.#child)
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
