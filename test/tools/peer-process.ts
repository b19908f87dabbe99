import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

interface Message {
  readonly type: string
}

/** A process that talks in messages, seen from its parent. */
export class PeerProcess<To extends Message, From extends Message> {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #received: From[] = []
  readonly #sleepers: (() => void)[] = []

  constructor(file: URL, name: string) {
    this.#name = name
    this.#child = fork(file, {
      execArgv: ['--import', 'tsx', '--expose-gc'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => {
      this.#received.push(message as From)
      this.#wake()
    })
    this.#child.once('exit', () => this.#wake())
    this.#child.on('error', () => this.#wake())
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  send(message: To): void {
    this.#child.send(message)
  }

  /** The next message of this type; others wait for whoever asks for them. */
  async next<T extends From['type']>(type: T): Promise<Extract<From, { readonly type: T }>> {
    for (;;) {
      const index = this.#received.findIndex((message) => message.type === type)
      if (index >= 0) return this.#received.splice(index, 1)[0] as Extract<From, { readonly type: T }>
      if (!this.isAlive) throw new Error(`${this.#name} has ended`)
      await new Promise<void>((resolve) => {
        this.#sleepers.push(resolve)
      })
    }
  }

  #wake(): void {
    for (const wake of this.#sleepers.splice(0)) wake()
  }

  async kill(): Promise<void> {
    if (!this.isAlive) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }
}
