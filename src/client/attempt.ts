import type tls from 'node:tls'
import type { SslContext } from '../context/ssl-context.ts'
import { type Awaitable, isPromiseLike } from '../session/awaitable.ts'
import type { ClientReason } from '../session/client-reasons.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'
import type { ConnectOptions } from './bound-options.ts'
import type { ClientHandshake } from './client-outcome.ts'
import type { RecentBindings } from './recent-bindings.ts'
import type { RecentEndpoints } from './recent-endpoints.ts'
import { givenSession, sessionForNode } from './session-format.ts'
import type { SharedTickets } from './shared-tickets.ts'
import type { Emptiness, Ticket, TicketCache } from './ticket-cache.ts'
import { type Failure, TrackedConnection } from './tracked-connection.ts'

/** Of system calls that lead to a connection. */
const CONNECTING = ['connect', 'getaddrinfo', 'bind']

/** What all connections of one `ClientSessions` have in common. */
export interface AttemptContext {
  readonly context: SslContext
  readonly cache: TicketCache
  /** Until it is closed. */
  shared: SharedTickets | undefined
  readonly hear: (handshake: ClientHandshake) => void
  readonly bindings: RecentBindings
  readonly endpoints: RecentEndpoints
  readonly isReused: boolean
}

/** One connection: what it offers, and what becomes of it. */
export class Attempt {
  readonly #options: ConnectOptions
  readonly #common: AttemptContext
  #name: string | undefined
  /** The store was asked, and time has passed. */
  #isLate = false
  #ticket: Ticket | undefined
  #source: ClientHandshake['source']
  #reason: ClientReason
  readonly #epoch: number

  /** @param options - copied: what is verified is what is given now */
  constructor(options: ConnectOptions, common: AttemptContext) {
    this.#options = { ...options }
    this.#common = common
    this.#epoch = common.cache.epoch
    this.#name = common.bindings.of(this.#options)
    this.#reason = this.#takeFromMemory()
  }

  #takeFromMemory(): ClientReason {
    if (this.#options.session) return 'own-session'
    if (this.#name === undefined) return 'not-bindable'
    const taken = this.#common.cache.take(this.#name)
    if (typeof taken === 'string') return this.#whyNothing(this.#name, taken)
    this.#ticket = taken
    this.#source = 'memory'
    return 'resumed'
  }

  #whyNothing(name: string, emptiness: Emptiness): ClientReason {
    if (emptiness !== 'unknown') return emptiness
    const other = this.#common.endpoints.bindingOf(this.#endpoint)
    return other !== undefined && other !== name && this.#common.cache.has(other)
      ? 'trust-differs'
      : 'nothing-to-offer'
  }

  get #endpoint(): string {
    const { host = 'localhost', port } = this.#options
    return `${host}:${port}`
  }

  /** Asks the store, if there is one and memory has nothing. Never rejects. */
  lookUp(): Awaitable<void> {
    const { shared, context, cache } = this.#common
    const name = this.#name
    if (this.#ticket !== undefined || this.#options.session) return
    if (shared === undefined || name === undefined || isAborted(this.#options)) return
    const taken = shared.take(name, context.now(), (late) => {
      // After a close there is no store that could have it.
      if (!this.#isOutdated && this.#common.shared === shared) cache.put(name, late)
    })
    if (!isPromiseLike(taken)) return this.#takeFromStore(name, taken)
    return taken.then((ticket) => {
      this.#isLate = true
      this.#takeFromStore(name, ticket)
    })
  }

  #takeFromStore(name: string, ticket: Ticket | undefined): void {
    if (ticket === undefined) return
    const stays = this.#staysInStore(ticket)
    if (stays && this.#isOutdated) return
    this.#source = 'store'
    this.#reason = 'resumed'
    this.#ticket = stays ? this.#common.cache.share(name, ticket) : ticket
  }

  /** Tickets were let go since this began: none of before is to be in memory again. */
  get #isOutdated(): boolean {
    return this.#common.cache.epoch !== this.#epoch
  }

  #staysInStore({ session }: Ticket): boolean {
    return session.protocolVersion !== TLS1_3_VERSION || this.#common.isReused
  }

  /** In the form of this Node; undefined when nothing is to be offered. */
  get #session(): Buffer | undefined {
    const { session: given } = this.#options
    if (given) return givenSession(given, this.#options)
    if (this.#ticket === undefined) return undefined
    const der = derToOffer(this.#ticket.session, this.#common.context.now())
    return sessionForNode(der, this.#options)
  }

  /**
   * @param make - calls `tls.connect` with these options, or has it called
   * @throws what `make` throws; what was to be offered stays for another connection then
   */
  make<Made>(make: (options: ConnectOptions) => Made): Made {
    try {
      return make(this.#connectOptions())
    } catch (error) {
      this.giveBack()
      throw error
    }
  }

  #connectOptions(): ConnectOptions {
    if (this.#isLate) this.#bindAnew()
    const secureContext = this.#name && this.#common.bindings.secureContext(this.#options, this.#name)
    const session = this.#session
    return {
      ...this.#options,
      ...(secureContext && { secureContext }),
      ...(session !== undefined && { session }),
    }
  }

  /** Something that it is bound to may have changed while the store was asked, such as Node's own authorities. */
  #bindAnew(): void {
    const name = this.#common.bindings.of(this.#options)
    if (name === this.#name) return
    this.#forgetTicket(name === undefined ? 'not-bindable' : 'nothing-to-offer')
    this.#name = name
  }

  /** Nothing comes of it: what was to be offered stays for another connection. */
  giveBack(): void {
    const { cache } = this.#common
    const ticket = this.#ticket
    this.#ticket = undefined
    if (ticket === undefined || this.#name === undefined || cache.isShared(ticket)) return
    if (ticket.session.isResumable && !this.#isOutdated) cache.put(this.#name, ticket)
    else cache.drop(ticket)
  }

  #forgetTicket(reason: ClientReason): void {
    this.giveBack()
    this.#source = undefined
    this.#reason = reason
  }

  /** @param socket - whose handshake has not begun */
  follow(socket: tls.TLSSocket): tls.TLSSocket {
    this.#track(socket).begin(this.#ticket)
    return socket
  }

  /** @param socket - whose handshake is complete; nobody has heard of it yet */
  followConnected(socket: tls.TLSSocket): void {
    const tracked = this.#track(socket)
    tracked.begin(this.#ticket)
    tracked.connected()
  }

  /** A proxy, or the server behind it, gives no connection. */
  fail(error: unknown): void {
    this.#onFailed(isOfTunnel(error) ? 'before-hello' : 'error')
  }

  /**
   * While the store is asked.
   *
   * @param offer - sets the session; false when that comes too late. Node forgets it with each address that fails
   */
  followLate(
    socket: tls.TLSSocket,
    looked: PromiseLike<void>,
    offer: (session: Buffer) => boolean,
  ): tls.TLSSocket {
    const tracked = this.#track(socket)
    void looked.then(() => {
      const session = this.#session
      // Or the store has answered after the handshake began.
      if (session !== undefined && !offer(session)) this.#forgetTicket('nothing-to-offer')
      else if (session !== undefined) socket.on('connectionAttempt', () => offer(session))
      tracked.begin(this.#ticket)
    })
    return socket
  }

  #track(socket: tls.TLSSocket): TrackedConnection {
    const { context } = this.#common
    const { sessionIdContext, sessionTimeout, session } = this.#options
    const idContext = sessionIdContext === undefined ? undefined : Buffer.from(String(sessionIdContext))
    const connection = context.newConnection(
      idContext === undefined || idContext.length > 32 ? {} : { sessionIdContext: new Uint8Array(idContext) },
    )
    return new TrackedConnection(socket, {
      connection,
      keeps: this.#name !== undefined,
      isOwnSession: Boolean(session),
      hasTimeout: typeof sessionTimeout === 'number',
      listener: {
        onConnected: (isResumed, protocol) => this.#onConnected(isResumed, protocol),
        onTicket: (ticket) => this.#keep(ticket),
        onFailed: (failure) => this.#onFailed(failure),
        onBroken: () => this.#forgetServer(),
      },
    })
  }

  #onConnected(isResumed: boolean, protocol: string): void {
    if (this.#ticket !== undefined && !isResumed) this.#reason = 'refused'
    if (this.#common.isReused && this.#name !== undefined) this.#common.cache.restore(this.#name)
    this.#report(isResumed ? 'resumed' : 'full', protocol)
    if (this.#ticket !== undefined && !isResumed) this.#refuse(this.#ticket)
  }

  #onFailed(failure: Failure): void {
    this.#reason = 'handshake-failed'
    this.#report('failed', undefined)
    const ticket = this.#ticket
    if (ticket === undefined) return
    if (failure === 'before-hello') {
      this.giveBack()
      return
    }
    // It may have been seen.
    if (!this.#common.cache.isShared(ticket)) this.#common.cache.drop(ticket)
    if (failure === 'error') this.#forgetServer()
  }

  /**
   * A fatal alert ends the session, and what came with it: RFC 5246 §7.2 and RFC 8446 §6.2. Else the sessions may be what breaks the
   * connections: somebody in between, or a server that has changed, may end all that offer one. `https.Agent` lets go of its own as well.
   */
  #forgetServer(): void {
    if (this.#name === undefined) return
    this.#common.cache.forget(this.#name)
    this.#common.shared?.forget(this.#name)
  }

  /** The server has made a full handshake instead. */
  #refuse(ticket: Ticket): void {
    const { cache, shared } = this.#common
    const wasThere = cache.drop(ticket)
    if (wasThere && this.#staysInStore(ticket) && this.#name !== undefined) shared?.forget(this.#name)
  }

  #keep(ticket: Ticket): void {
    const { cache, shared, endpoints } = this.#common
    const name = this.#name
    if (name === undefined) return
    endpoints.keep(this.#endpoint, name)
    const isShared =
      ticket.authorized && shared?.offer(name, ticket, this.#common.context.now(), cache.has(name)) === true
    // In one place only: a ticket that others may take is not in memory, unless it is used more than once.
    if (isShared && !this.#staysInStore(ticket)) cache.drop(ticket)
    else cache.put(name, ticket)
  }

  #report(outcome: ClientHandshake['outcome'], protocol: string | undefined): void {
    const { host = 'localhost', port } = this.#options
    this.#common.hear({
      outcome,
      reason: this.#reason,
      protocol,
      host,
      port: port === undefined ? undefined : Number(port),
      source: this.#source,
    })
  }
}

/**
 * libssl before 3.2 takes an age below zero for a great age, and offers nothing (OSSLTIME). Its clock is up to some milliseconds behind
 * `Date`, and the clock of a process that shared the ticket may be ahead. An age of a second is sent as none.
 */
function derToOffer(session: SslSession, nowMs: number): Uint8Array {
  const latestSec = Math.floor(nowMs / 1000) - 1
  if (session.timeSec <= latestSec) return session.toDer()
  const copy = session.dup()
  copy.setTime(Math.max(0, latestSec))
  return copy.toDer()
}

/** Whether it failed before a byte of TLS was sent to the server: Node has asked a proxy for the way. */
function isOfTunnel(error: unknown): boolean {
  const { syscall, code, errors } = (error ?? {}) as {
    readonly syscall?: unknown
    readonly code?: unknown
    readonly errors?: unknown
  }
  if (Array.isArray(errors)) return errors.length > 0 && errors.every(isOfTunnel)
  return code === 'ERR_PROXY_TUNNEL' || (typeof syscall === 'string' && CONNECTING.includes(syscall))
}

/** Node 20 connects all the same, and crashes when a name is looked up any later than it would be without a store. */
function isAborted({ signal }: ConnectOptions & { readonly signal?: unknown }): boolean {
  return signal instanceof AbortSignal && signal.aborted
}
