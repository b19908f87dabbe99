import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { forkScript, letGo } from '../../tools/server-process.ts'
import { startStoreServer } from '../../tools/shared-store.ts'
import { layouts, processesOf, type Setup, serverKey, type Version } from '../setups.ts'
import type { FromServer, Start, Visit } from './messages.ts'

const START_DEADLINE_MS = 60_000
const REPORT_DEADLINE_MS = 5_000

/** All servers of a run, and what they report. */
export class Servers {
  readonly #children: ChildProcess[] = []
  /** For each server the port of each process that listens there. */
  readonly #ports: Map<string, number[]> = new Map()
  readonly #visits: Map<string, Visit> = new Map()
  readonly #issuedIds: Set<string> = new Set()
  /** Handshakes that failed, by server. */
  readonly #failures: Map<string, string[]> = new Map()
  readonly #news: EventEmitter = new EventEmitter()
  #death: Error | undefined
  #closeStore: (() => void) | undefined

  async start({ servers, certificates }: Omit<Start, 'storePort' | 'secret'>): Promise<void> {
    const store = await startStoreServer()
    const secret = randomBytes(32).toString('hex')
    this.#closeStore = () => store.close()
    for (const layout of layouts) {
      const ofLayout = servers.filter(({ setup }) => setup.layout === layout)
      if (ofLayout.length > 0) this.#fork({ servers: ofLayout, certificates, storePort: store.port, secret })
    }
    const isListening = ({ version, setup }: Start['servers'][number]): boolean =>
      this.#ports.get(serverKey(version, setup))?.length === processesOf(setup.layout)
    await this.#until('that all servers listen', () => servers.every(isListening), START_DEADLINE_MS)
  }

  #fork(start: Start): void {
    const child = forkScript(new URL('./server.ts', import.meta.url))
    child.on('message', (message: FromServer) => {
      if (message.type === 'ready') child.send(start)
      else this.#receive(message)
    })
    child.once('exit', (code) => {
      this.#death = new Error(`a server process ended with code ${code}`)
      this.#news.emit('message')
    })
    this.#children.push(child)
  }

  #receive(message: Exclude<FromServer, { type: 'ready' }>): void {
    if (message.type === 'listening') append(this.#ports, message.server, message.port)
    else if (message.type === 'issued') this.#issuedIds.add(message.sessionId)
    else if (message.type === 'failed') append(this.#failures, message.server, message.reason)
    else this.#visits.set(message.path, message)
    this.#news.emit('message')
  }

  port(version: Version, setup: Setup): number {
    const ports = new Set(this.#ports.get(serverKey(version, setup)))
    const [port] = ports
    if (port === undefined || ports.size > 1) throw new Error('the workers of a cluster must share a port')
    return port
  }

  /** The handshake of the connection on which `path` was asked for; each is asked for once. */
  async visit(path: string): Promise<Visit> {
    await this.#until(`a request for ${path}`, () => this.#visits.has(path), REPORT_DEADLINE_MS)
    return this.#visits.get(path) as Visit
  }

  /** Whether some server has made a session of this id: a client of TLS 1.3 also sends random ones (RFC 9846 §4.2.2, RFC 8446 §4.1.2). */
  hasIssued(sessionId: string): boolean {
    return this.#issuedIds.has(sessionId)
  }

  /** Why handshakes failed since the last call. */
  takeFailures(version: Version, setup: Setup): readonly string[] {
    const key = serverKey(version, setup)
    const failures = this.#failures.get(key) ?? []
    this.#failures.delete(key)
    return failures
  }

  async #until(what: string, isDone: () => boolean, deadlineMs: number): Promise<void> {
    const signal = AbortSignal.timeout(deadlineMs)
    while (!isDone()) {
      if (this.#death !== undefined) throw this.#death
      await once(this.#news, 'message', { signal }).catch((cause: unknown) => {
        throw new Error(`the servers did not report ${what}`, { cause })
      })
    }
  }

  async stop(): Promise<void> {
    this.#closeStore?.()
    await Promise.all(this.#children.map(letGo))
  }
}

function append<T>(lists: Map<string, T[]>, key: string, value: T): void {
  const list = lists.get(key) ?? []
  lists.set(key, [...list, value])
}
