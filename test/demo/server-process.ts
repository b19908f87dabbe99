import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Certificate } from '../tools/certificate.ts'
import type { FromServer, ReportedHandshake, SharedStore, ToServer } from './messages.ts'

/** A server in a process of its own, seen from the parent. */
export class ServerProcess {
  readonly name: string
  readonly #child: ChildProcess
  readonly #handshakes: ReportedHandshake[] = []
  #wake: (() => void) | undefined
  #fail: ((error: Error) => void) | undefined
  #stats: Record<string, number> | undefined
  #port = 0

  constructor(name: string) {
    this.name = name
    this.#child = fork(new URL('./server.ts', import.meta.url), {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => this.#receive(message as FromServer))
    this.#child.once('exit', (code) =>
      this.#fail?.(new Error(`server process ${name} ended with code ${code}`)),
    )
  }

  get port(): number {
    return this.#port
  }

  async start(certificate: Certificate, mode: number, store: SharedStore | undefined): Promise<void> {
    this.#send({ type: 'start', certificate, mode, store })
    await this.#until(() => this.#port !== 0)
  }

  /** What the server says about its next handshake. */
  async handshake(): Promise<ReportedHandshake> {
    await this.#until(() => this.#handshakes.length > 0)
    return this.#handshakes.shift() as ReportedHandshake
  }

  async stats(): Promise<Record<string, number>> {
    this.#stats = undefined
    this.#send({ type: 'report' })
    await this.#until(() => this.#stats !== undefined)
    return this.#stats ?? {}
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, 'exit')
    this.#child.disconnect()
    await exit
  }

  #send(message: ToServer): void {
    this.#child.send(message)
  }

  #receive(message: FromServer): void {
    if (message.type === 'listening') this.#port = message.port
    else if (message.type === 'handshake') this.#handshakes.push(message.handshake)
    else this.#stats = message.stats
    this.#wake?.()
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve
        this.#fail = reject
      })
    }
  }
}
