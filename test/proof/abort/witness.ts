import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { answersOf, tellingAnswers } from '../../tools/socket-answers.ts'
import type { Trail } from './trail.ts'

/** Listens to everything that a server tells, and asks everything of what it is handed: at once, later, and when it is gone. */
export class Witness {
  readonly heard: Record<string, number> = {}
  readonly #answers = new Map<string, Map<string, Set<string>>>()
  readonly #trail: Trail
  readonly #everyNth: number
  #sockets = 0

  /** @param everyNth - so many sockets have one that is asked again and again; the others are asked at once only */
  constructor(trail: Trail, everyNth: number) {
    this.#trail = trail
    this.#everyNth = everyNth
  }

  /** By event and question. */
  get answers(): Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> {
    return Object.fromEntries(
      [...this.#answers].map(([event, questions]) => [
        event,
        Object.fromEntries([...questions].map(([question, answers]) => [question, [...answers].sort()])),
      ]),
    )
  }

  ask(event: string, socket: Duplex): void {
    const answers = answersOf(socket, (question) => this.#trail.asking(`${event}: ${question}`))
    this.#trail.asking('nothing')
    const known = this.#answers.get(event) ?? new Map<string, Set<string>>()
    this.#answers.set(event, known)
    for (const [question, answer] of Object.entries(tellingAnswers(answers)))
      known.set(question, (known.get(question) ?? new Set()).add(answer))
  }

  /** Of a server whose listeners are all that it has, beside those of whoever serves. */
  watch(server: tls.Server, kind: 'tls' | 'https' | 'http2'): void {
    server.prependListener('connection', (raw) => this.#askNowAndLater('connection', raw))
    server.on('connection', (raw) => this.#askNowAndLater('connection, last', raw))
    server.on('keylog', (_line, socket) => this.ask('keylog', socket))
    server.on('secureConnection', (socket) => {
      this.#count('secureConnection')
      socket.on('error', () => undefined)
      this.#askNowAndLater('secureConnection', socket)
    })
    server.on('OCSPRequest', (_certificate, _issuer, done) => done(null, Buffer.alloc(0)))
    for (const event of ['tlsClientError', 'clientError'])
      server.on(event, (_error: Error, socket: tls.TLSSocket) => {
        this.#count(event)
        this.#askNowAndLater(event, socket)
        // As its documentation wants it; for the web servers there is clientError.
        if (kind === 'tls' || event === 'clientError') socket.destroy()
      })
    server.on('error', (error) => this.#count(`error ${error.message}`))
  }

  #askNowAndLater(event: string, socket: Duplex): void {
    this.ask(event, socket)
    if (this.#sockets++ % this.#everyNth > 0) return
    queueMicrotask(() => this.ask(`${event}, in a microtask`, socket))
    setImmediate(() => this.ask(`${event}, a turn later`, socket))
    socket.once('close', () => {
      this.ask(`${event}, closed`, socket)
      setImmediate(() => this.ask(`${event}, long closed`, socket))
    })
  }

  #count(event: string): void {
    this.heard[event] = (this.heard[event] ?? 0) + 1
  }
}
