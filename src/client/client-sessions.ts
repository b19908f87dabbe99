import type { AgentOptions, Agent as HttpsAgent } from 'node:https'
import type net from 'node:net'
import type tls from 'node:tls'
import { SslContext } from '../context/ssl-context.ts'
import { nodeCrypto } from '../crypto.ts'
import { ArgumentError, UnsealedStoreError } from '../errors.ts'
import { nodeTls } from '../node/node-engine.ts'
import { settleSocketShapes } from '../node/runtime.ts'
import { observer, tellClientHandshake } from '../observability/channels.ts'
import {
  A_BOOLEAN,
  A_FUNCTION,
  A_STRING,
  anInteger,
  CHECKED_LATER,
  checkOptions,
  kindOf,
  type OptionRule,
} from '../session/arguments.ts'
import { callListener, isPromiseLike } from '../session/awaitable.ts'
import type { ClientReason } from '../session/client-reasons.ts'
import type { SessionStats } from '../session/contracts.ts'
import { type HandshakeCounts, HandshakeTally } from '../session/handshakes.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import type { SessionStore } from '../session/session-store.ts'
import { SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { guarded } from '../store/guarded-store.ts'
import { KeyRing } from '../store/key-ring.ts'
import { sealed } from '../store/sealed-store.ts'
import { readSecrets } from '../store/secret-text.ts'
import { checkStore } from '../store/store-arguments.ts'
import { agentOf } from './agent.ts'
import { Attempt, type AttemptContext } from './attempt.ts'
import type { ConnectOptions } from './bound-options.ts'
import type { ClientHandshake } from './client-outcome.ts'
import { connectLate } from './connect-late.ts'
import { type Dispatcher, type DispatcherOptions, fetchDispatcher } from './fetch-dispatcher.ts'
import { RecentBindings } from './recent-bindings.ts'
import { RecentEndpoints } from './recent-endpoints.ts'
import { SharedTickets } from './shared-tickets.ts'
import { type Ticket, TicketCache } from './ticket-cache.ts'
import { type UndiciConnector, type UndiciOptions, undiciConnector } from './undici-connector.ts'

/** The settings of {@link ClientSessions}. */
export interface ClientSessionsOptions {
  /** Servers, each with its options, of which sessions are kept: 1 to 1000000, 1000 by default. The least recently used goes first. */
  readonly maxOrigins?: number | undefined
  /** TLS 1.3 tickets of one of them: 1 to 1000, 12 by default. The oldest goes first. */
  readonly ticketsPerOrigin?: number | undefined
  /** Bytes of all sessions, about: 1024 to 2^40, 32 MiB by default. */
  readonly maxBytes?: number | undefined
  /**
   * The last TLS 1.3 ticket is used again; false by default. For servers that give no new ticket on a resumed connection.
   * Whoever watches the network can then tell that two connections are of one client (RFC 8446 appendix C.4).
   */
  readonly reuse?: boolean | undefined
  /** Sessions for other processes, and for the next one. Who can write to it could vouch for a server: it needs `secrets`. */
  readonly store?: SessionStore | undefined
  /**
   * Secrets of all processes that share the store: at least 32 random bytes each, as bytes, or as the text that `npx sslctx secret` prints.
   * What is stored is sealed with them.
   */
  readonly secrets?: readonly (Uint8Array | string | undefined)[] | undefined
  /** Milliseconds for which a connection waits for the store: 1 to 2147483647, 100 by default. */
  readonly deadlineMs?: number | undefined
  /** Hears of every handshake. What it throws is ignored. */
  readonly onHandshake?: ((handshake: ClientHandshake) => void) | undefined
}

/** A moment's view. */
export interface ClientSessionsStats extends HandshakeCounts {
  /** The counters of the model, `SSL_CTX_sess_connect(3)` and its family. */
  readonly sessions: SessionStats
  /** By why they resumed or did not. */
  readonly reasons: Readonly<Partial<Record<ClientReason, number>>>
  readonly origins: number
  readonly tickets: number
  /** About. */
  readonly bytes: number
}

const RULES: Readonly<Record<keyof ClientSessionsOptions, OptionRule>> = {
  maxOrigins: anInteger(1, 1_000_000),
  ticketsPerOrigin: anInteger(1, 1000),
  maxBytes: anInteger(1024, 2 ** 40),
  reuse: A_BOOLEAN,
  store: CHECKED_LATER,
  secrets: CHECKED_LATER,
  deadlineMs: anInteger(1, 2 ** 31 - 1),
  onHandshake: A_FUNCTION,
}

/** For what undici alone has; the rest is Node's to check. */
const UNDICI_RULES = { allowH2: A_BOOLEAN, socketPath: A_STRING, timeout: anInteger(0, 2 ** 31 - 1) }

/** What is in it goes on to Node, which takes what it takes. */
function checkGiven(method: string, options: unknown): void {
  const isList = Array.isArray(options) || ArrayBuffer.isView(options)
  if (typeof options !== 'object' || options === null || isList)
    throw new ArgumentError(
      `the options of ClientSessions.${method} must be an object, got ${kindOf(options)}`,
    )
}

/**
 * One cache of sessions for all TLS clients of a process, or of several. Each server has a few tickets, each used once in TLS 1.3.
 * A session is offered only where everything that was verified for it is asked for again, and only to the end of the server's chain.
 *
 * @example
 * ```ts
 * const sessions = new ClientSessions()
 * https.get('https://service.example/', { agent: sessions.agent({ keepAlive: true }) })
 * ```
 */
export class ClientSessions {
  readonly #context: SslContext
  readonly #cache: TicketCache
  readonly #bindings: RecentBindings
  readonly #tally = new HandshakeTally()
  readonly #attempts: AttemptContext
  #closing: Promise<void> | undefined

  /**
   * @throws {@link ArgumentError} for an option that is unknown or of another kind
   * @throws {@link UnsealedStoreError} for a store without secrets
   * @throws {@link WeakKeyError} for a secret that is too short, follows a pattern, or is text of another kind
   */
  constructor(options: ClientSessionsOptions = {}) {
    checkOptions('ClientSessions', options, RULES)
    if (options.store !== undefined) checkStore('ClientSessions', options.store)
    settleSocketShapes()
    const { maxOrigins = 1000, ticketsPerOrigin = 12, maxBytes = 32 * 2 ** 20, reuse = false } = options
    this.#context = newContext()
    this.#cache = new TicketCache(this.#context, { maxOrigins, ticketsPerOrigin, maxBytes, reuse })
    this.#bindings = new RecentBindings(bindingKey(options))
    this.#attempts = {
      context: this.#context,
      cache: this.#cache,
      shared: sharedTickets(options),
      hear: (handshake) => this.#hear(handshake, options.onHandshake),
      bindings: this.#bindings,
      endpoints: new RecentEndpoints(),
      isReused: reuse,
    }
  }

  /**
   * As `tls.connect`.
   *
   * @param options - of `tls.connect`; a `session` among them is offered as it is
   * @returns the socket; while a store is asked, it does not begin to connect
   */
  connect(options: ConnectOptions, onSecureConnect?: () => void): tls.TLSSocket {
    checkGiven('connect', options)
    if (onSecureConnect !== undefined && typeof onSecureConnect !== 'function')
      throw new ArgumentError(
        `onSecureConnect of ClientSessions.connect must be a function, got ${kindOf(onSecureConnect)}`,
      )
    const attempt = new Attempt(options, this.#attempts)
    const looked = attempt.lookUp()
    const socket = isPromiseLike(looked)
      ? connectLate(attempt, looked)
      : attempt.follow(attempt.make((given) => nodeTls().connect(given)))
    if (onSecureConnect !== undefined) socket.once('secureConnect', onSecureConnect)
    return socket
  }

  /**
   * A `https.Agent`, with all that it can do: for `https`, axios, got, node-fetch and whatever else takes one.
   *
   * @param options - of `https.Agent`; its own session cache is off
   */
  agent(options: AgentOptions = {}): HttpsAgent {
    checkGiven('agent', options)
    return agentOf(options, (given) => new Attempt(given, this.#attempts))
  }

  /**
   * For `createConnection` of `http2.connect`. As there, the protocols are those of HTTP/2, and `http:` is a connection without TLS.
   *
   * @param options - of `tls.connect`, laid over those that `http2.connect` was given
   */
  http2(options: ConnectOptions = {}): (authority: URL, given?: object) => net.Socket {
    checkGiven('http2', options)
    return (authority, given) => {
      const { isPlain, target } = http2Target(authority, { ...given, ...options })
      return isPlain
        ? process.getBuiltinModule('node:net').connect(target as net.TcpNetConnectOpts)
        : this.connect(target)
    }
  }

  /**
   * For `connect` of undici's Agent, Pool and Client.
   *
   * @param options - of `tls.connect`; `timeout` is that of the connection in milliseconds, 10000 by default
   */
  undici(options: UndiciOptions = {}): UndiciConnector {
    checkGiven('undici', options)
    const { allowH2, socketPath, timeout } = options
    checkOptions('ClientSessions.undici', { allowH2, socketPath, timeout }, UNDICI_RULES)
    return undiciConnector(options, (given) => new Attempt(given, this.#attempts))
  }

  /**
   * For `dispatcher` of the `fetch` that is built in: an Agent of this Node's own undici.
   *
   * @param options - of that Agent; `connect` is as in {@link undici}
   * @throws {@link ClientSetupError} where this Node does not say which class that is
   */
  dispatcher(options: DispatcherOptions = {}): Dispatcher {
    checkGiven('dispatcher', options)
    if (options.connect !== undefined) checkGiven('dispatcher.connect', options.connect)
    return fetchDispatcher(options, (connect) => this.undici(connect))
  }

  get stats(): ClientSessionsStats {
    return { sessions: this.#context.stats, ...this.#tally.counts, ...this.#cache.size }
  }

  /** Forgets all sessions of this process; what is in the store stays. */
  clear(): void {
    this.#cache.clear()
    this.#bindings.clear()
  }

  /**
   * Leaves the tickets of this process to the next one, and waits until the store has them, for no longer than `deadlineMs`. The store
   * and its client stay open, and their owner's. Connections go on, and no longer ask the store. Never rejects.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { shared } = this.#attempts
    if (shared === undefined) return
    this.#attempts.shared = undefined
    const left = [...this.#cache.all()].flatMap(([name, tickets]) =>
      tickets.filter(isLeft).map((ticket) => ({ name, ticket })),
    )
    for (const { name, ticket } of left) {
      shared.put(name, ticket, this.#context.now())
      if (!this.#attempts.isReused) this.#cache.drop(ticket)
    }
    await shared.close()
  }

  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #hear(handshake: ClientHandshake, onHandshake: ClientSessionsOptions['onHandshake']): void {
    this.#tally.count(handshake.outcome, handshake.reason, handshake.protocol)
    tellClientHandshake(handshake)
    // The connection is not the listener's to end.
    callListener(
      () => onHandshake?.(handshake),
      () => undefined,
    )
  }
}

interface Http2Options extends ConnectOptions {
  readonly protocol?: string
  readonly allowHTTP1?: boolean
}

/** As `http2.connect` reads what it is given, which may be an object with a part of a URL. */
function http2Target(
  authority: Partial<URL>,
  given: Http2Options,
): { readonly isPlain: boolean; readonly target: ConnectOptions } {
  checkGiven('http2.authority', authority)
  const protocol = authority.protocol || given.protocol || 'https:'
  if (protocol !== 'https:' && protocol !== 'http:')
    throw new ArgumentError(`ClientSessions.http2 connects by https: or http:, not by ${protocol}`)
  const isPlain = protocol === 'http:'
  const host = hostOf(authority)
  const place = { host, port: Number(authority.port || (isPlain ? 80 : 443)), ...given }
  if (isPlain) return { isPlain, target: place }
  const isAddress = process.getBuiltinModule('node:net').isIP(host) !== 0
  const servername = given.servername || (isAddress ? undefined : host)
  const ALPNProtocols = given.allowHTTP1 === true ? ['h2', 'http/1.1'] : ['h2']
  return { isPlain, target: { ...place, ALPNProtocols, ...(servername && { servername }) } }
}

function hostOf({ hostname, host }: Partial<URL>): string {
  return hostname?.replace(/^\[(.*)\]$/, '$1') || host || 'localhost'
}

function newContext(): SslContext {
  const bytesOf = (length: number) => new Uint8Array(nodeCrypto().randomBytes(length))
  const ports = {
    now: () => Date.now(),
    randomBytes: bytesOf,
    sha256: (bytes: Uint8Array) => new Uint8Array(nodeCrypto().createHash('sha256').update(bytes).digest()),
    observer,
  }
  // The cache has bounds of its own, and one that knows what was used last.
  const context = new SslContext(ports, {
    sessionCacheMode: SessionCacheMode.CLIENT,
    sessionCacheSize: 0,
  })
  // The ClientHello is Node's: the model need not draw a legacy session id for it.
  context.clearOptions(SslOption.ENABLE_MIDDLEBOX_COMPAT)
  return context
}

function sharedTickets({
  store,
  secrets,
  deadlineMs = 100,
  reuse = false,
}: ClientSessionsOptions): SharedTickets | undefined {
  const bytes = secrets === undefined ? undefined : readSecrets('ClientSessions', secrets)
  if (store === undefined) return undefined
  if (bytes === undefined)
    throw new UnsealedStoreError(
      'ClientSessions with a store needs secrets: who can write to the store could vouch for a server',
    )
  const guard = guarded(ofOwner(store), { name: 'client-sessions', deadlineMs })
  return new SharedTickets(sealed(guard, new KeyRing(bytes)), { isReused: reuse, deadlineMs })
}

/** It is not closed with these sessions. */
function ofOwner(store: SessionStore): SessionStore {
  return {
    get: (key) => store.get(key),
    set: (entries) => store.set(entries),
    take: (key) => store.take(key),
    delete: (key) => store.delete(key),
    getMarks: () => store.getMarks(),
    addMarks: (marks) => store.addMarks(marks),
    close: () => undefined,
  }
}

/** A ticket that another process may have. One of TLS 1.2 is in the store already. */
function isLeft({ session, authorized }: Ticket): boolean {
  return authorized && session.protocolVersion === TLS1_3_VERSION
}

/**
 * The same in all processes of one store, whatever the first of their secrets is: names that go to the store get a keyed hash of
 * each secret there. Another one in each process without.
 */
function bindingKey({ store }: ClientSessionsOptions): Uint8Array {
  if (store === undefined) return nodeCrypto().randomBytes(32)
  return new Uint8Array(nodeCrypto().createHash('sha256').update('sslctx client binding').digest())
}
