import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

const DEADLINE_MS = 60_000

/** A script of this folder in a process of its own, under a Node of choice. */
export class EngineProcess<Message extends { readonly type: string }> {
  readonly #child: ChildProcess
  readonly #messages: Message[] = []
  #wake: (() => void) | undefined
  #isOver = false

  constructor(binary: string, script: string) {
    this.#child = fork(new URL(script, import.meta.url), {
      execPath: binary,
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => {
      this.#messages.push(message as Message)
      this.#wake?.()
    })
    this.#child.once('exit', () => {
      this.#isOver = true
      this.#wake?.()
    })
  }

  send(message: object): void {
    this.#child.send(message)
  }

  /** @returns the next message of its type, however many of other types came before */
  async next<Type extends Message['type']>(type: Type): Promise<Extract<Message, { type: Type }>> {
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    deadline.addEventListener('abort', () => this.#wake?.())
    for (;;) {
      const index = this.#messages.findIndex((message) => message.type === type)
      if (index >= 0) return this.#messages.splice(index, 1)[0] as Extract<Message, { type: Type }>
      if (this.#isOver) throw new Error(`the process ended without saying '${type}'`)
      if (deadline.aborted) throw new Error(`the process did not say '${type}' within ${DEADLINE_MS} ms`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async stop(): Promise<void> {
    if (this.#isOver) return
    const exit = once(this.#child, 'exit')
    this.#child.disconnect()
    await exit
  }
}
