import type { Certificate } from '../tools/certificate.ts'
import { ScriptProcess } from '../tools/server-process.ts'
import type { FromServer, ReportedHandshake, SharedStore, ToServer } from './messages.ts'

/** A server in a process of its own, seen from the parent. */
export class ServerProcess {
  readonly name: string
  readonly #process: ScriptProcess<ToServer, FromServer>
  #port = 0

  constructor(name: string) {
    this.name = name
    this.#process = new ScriptProcess(new URL('./server.ts', import.meta.url), `server process ${name}`)
  }

  get port(): number {
    return this.#port
  }

  async start(certificate: Certificate, mode: number, store: SharedStore | undefined): Promise<void> {
    this.#process.send({ type: 'start', certificate, mode, store })
    const { port } = await this.#process.next('listening')
    this.#port = port
  }

  /** What the server says about its next handshake. */
  async handshake(): Promise<ReportedHandshake> {
    return (await this.#process.next('handshake')).handshake
  }

  async stats(): Promise<Record<string, number>> {
    this.#process.send({ type: 'report' })
    return (await this.#process.next('stats')).stats
  }

  stop(): Promise<void> {
    return this.#process.letGo()
  }
}
