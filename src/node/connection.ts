import { AsyncResource } from 'node:async_hooks'
import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { type ClientHello, decodeClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import { isPromiseLike } from '../session/awaitable.ts'
import type { Outcome } from '../session/handshakes.ts'
import { cipherSuiteHash } from '../session/judge-session.ts'
import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import type { EdgeReason, HandshakeReason } from '../session/reasons.ts'
import { SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { byteKey } from '../store/byte-key.ts'
import type { FollowedHandshake } from './attachment-ledger.ts'
import { type Edge, isPolicyUnknown, usesNodeTickets } from './edge.ts'
import type { TicketHandshake } from './judged-tickets.ts'
import { endSec, type HandshakeFacts, readSession, SessionKeeper } from './keep-session.ts'
import { bindingOf, confirmed, type Decision, full, isLookupOff, lookUp, ticketVersionOf } from './look-up.ts'
import {
  acceptWith,
  beforeVerification,
  forgetListener,
  type HelloListener,
  isKnownConnected,
  serverNameOf,
  type TlsHandle,
  tlsHandleOf,
  watchServerName,
} from './node-engine.ts'
import { isReadable, ReadAhead, type ReadAheadListener, type ReadAheadResult } from './read-ahead.ts'
import { serverVerifyMode } from './server-setup.ts'
import { versionNumber } from './server-versions.ts'
import { ticketContextOf } from './session-binding.ts'
import type { TrustProfile, TrustSnapshot } from './trust-profile.ts'

/** `kMaxSessionSize` of Node: there is no newSession for what is larger. */
const MAX_NODE_SESSION_LENGTH = 10_240

/** How far a connection has come. It goes down this list, and may be over at any time. */
type Phase =
  /** Its ClientHello is not whole. */
  | { readonly name: 'reading'; readonly ahead: ReadAhead | undefined }
  /** The caches and the owner's policy have not answered. */
  | { readonly name: 'looking-up'; readonly ahead: ReadAhead; readonly timer: NodeJS.Timeout }
  /** Node makes the handshake. `der`: what its libssl is to find. */
  | { readonly name: 'handed-over'; readonly der: Buffer | undefined }
  /** The outcome is known; tickets of TLS 1.3 may still come. */
  | { readonly name: 'established' }
  /** The client has gone, or was sent away. */
  | { readonly name: 'over' }

/** What the attachment hears of its connections. */
export interface ConnectionListener {
  /** The client has said something. */
  hearFirstBytes(connection: Connection): void
  /** The handshake has its outcome. Called once. */
  hearOutcome(connection: Connection, outcome: ConnectionOutcome): void
  /** A session is being written. @returns a promise that settles when it is, or has taken too long */
  hearWrite(connection: Connection, kept: PromiseLike<NotKeptReason | undefined>): Promise<void>
}

/** How a handshake ended. */
export interface ConnectionOutcome {
  readonly outcome: Outcome
  readonly reason: HandshakeReason
  readonly protocol: string | undefined
  readonly socket: tls.TLSSocket | undefined
  /** Node never had the connection; the error that ended it, if one did. */
  readonly unserved: { readonly error: Error | undefined } | undefined
}

/** One connection, from its TCP accept to the end of its handshake. */
export class Connection implements HelloListener, ReadAheadListener {
  readonly edge: Edge
  /** The ledger's. */
  readonly followed: FollowedHandshake
  readonly #listener: ConnectionListener
  readonly #socket: Duplex
  /** Node's own listener. */
  readonly #accept: () => void
  readonly #resource = new AsyncResource('SSLCTX_CONNECTION')
  readonly #model: SslConnection
  readonly #keeper: SessionKeeper
  #phase: Phase = { name: 'reading', ahead: undefined }
  /** From the hand-over on. */
  #handle: TlsHandle | undefined
  #hello: ClientHello | undefined
  #serverName: string | undefined
  #isOneRecord = true
  #decision: Decision = full('not-offered')
  #isRejected = false
  /** For whom libssl has chosen certificate and authorities, when the ClientHello was not read. */
  #certified: { readonly serverName: string | undefined } | undefined
  /** What the server trusted when Node took the connection. */
  #profile: TrustProfile | undefined
  /** The same, while its server name is not known. */
  #snapshot: TrustSnapshot | undefined
  /** Seconds since the epoch; undefined until the chain was looked at. */
  #chainEndSec: number | undefined
  /** The version of TLS in which the connection may have stateless tickets. */
  #ticketVersion: number | undefined
  /** Its tickets, once Node has it. */
  #tickets: TicketHandshake | undefined
  /** Settles with all that was kept so far. */
  #kept: Promise<unknown> | undefined
  /** The error of the socket, before Node had it. */
  #error: Error | undefined
  readonly #arrivedMs = performance.now()
  #helloMs: number | undefined
  #handedOverMs: number | undefined

  /** @param followed - how far the attachment's ledger has followed it */
  constructor(
    edge: Edge,
    listener: ConnectionListener,
    socket: Duplex,
    accept: () => void,
    followed: FollowedHandshake,
  ) {
    this.edge = edge
    this.followed = followed
    this.#listener = listener
    this.#socket = socket
    this.#accept = accept
    this.#model = edge.context.newConnection({ appData: socket, singleUse: edge.singleUse })
    this.#model.setVerifyMode(serverVerifyMode(edge.server))
    this.#model.setOptions(edge.server.secureOptions ?? 0)
    // Whoever is to have one of ours is found out later.
    if (edge.tickets !== undefined) this.#model.setOptions(SslOption.NO_TICKET)
    this.#model.accept()
    this.#keeper = new SessionKeeper(edge, this.#model, this.#inArrivalContext)
  }

  get serverName(): string | undefined {
    return this.#serverName
  }

  /** Milliseconds from the arrival until the ClientHello was whole. */
  get readAheadMs(): number {
    return (this.#helloMs ?? this.#arrivedMs) - this.#arrivedMs
  }

  /** Milliseconds from there until Node got the connection; 0 when nothing was looked up. */
  get lookupMs(): number {
    const helloMs = this.#helloMs
    return helloMs === undefined ? 0 : (this.#handedOverMs ?? helloMs) - helloMs
  }

  /** Settles with all new sessions that were kept so far; undefined when none is under way. */
  get kept(): Promise<unknown> | undefined {
    return this.#kept
  }

  /** What Node's libssl is to find; none once the handshake is over. */
  get der(): Buffer | undefined {
    return this.#phase.name === 'handed-over' ? this.#phase.der : undefined
  }

  readonly #inArrivalContext = <T>(call: () => T): T => this.#resource.runInAsyncScope(call)

  // Reading: the client's first message, before Node gets the connection.

  begin(): void {
    const socket = this.#socket
    socket.on('close', this.#onClose)
    // Between our listeners and Node's, an error is nobody's, and would end the process.
    socket.on('error', this.#onError)
    if (socket.closed) this.#onClose()
    else if (socket.destroyed) return
    else if (socket.readableEnded) this.#onEnd(undefined)
    else if (!this.edge.enabled) this.#skip('disabled')
    else if (!isReadable(socket)) this.#skip('unreadable-stream')
    else if (isLookupOff(this.edge)) this.#skip('no-lookup')
    else this.#readAhead()
  }

  #readAhead(): void {
    const ahead = new ReadAhead(this.#socket, this.edge.readAheadMs, this)
    this.#phase = { name: 'reading', ahead }
    ahead.start()
  }

  hearFirstBytes(): void {
    this.#listener.hearFirstBytes(this)
  }

  hearResult(result: ReadAheadResult): void {
    this.#resource.runInAsyncScope(this.#onHello, this, result)
  }

  #skip(reason: EdgeReason): void {
    this.#listener.hearFirstBytes(this)
    this.#handOver(full(reason), undefined)
  }

  #onHello(result: ReadAheadResult): void {
    const phase = this.#phase
    if (phase.name !== 'reading' && phase.name !== 'looking-up') return
    const { ahead } = phase
    if (result.state === 'ended') this.#onEnd(ahead)
    else if (phase.name === 'reading' && ahead !== undefined) this.#onRead(result, ahead)
  }

  #onRead(result: Exclude<ReadAheadResult, { readonly state: 'ended' }>, ahead: ReadAhead): void {
    this.#helloMs = performance.now()
    const hello = result.state === 'complete' ? readHello(result.message) : undefined
    if (hello === undefined || result.state !== 'complete') {
      this.#handOver(full(UNREAD_REASONS[result.state]), ahead)
      return
    }
    this.#hello = hello
    this.#serverName = hello.serverName
    this.#isOneRecord = result.isOneRecord
    this.#lookUp(hello, ahead)
  }

  /**
   * No handshake can come of it any more: the connection closes by itself, and Node does not get it. One that may stay half-open
   * is Node's to end.
   */
  #onEnd(ahead: ReadAhead | undefined): void {
    if (this.#phase.name === 'looking-up') clearTimeout(this.#phase.timer)
    if (this.#model.isHandshaking && this.#phase.name === 'looking-up') this.#model.abandonLookup()
    if (this.#socket.allowHalfOpen) this.#handOver(full('client-left'), ahead)
  }

  // Looking up: whether the ClientHello may resume.

  #lookUp(hello: ClientHello, ahead: ReadAhead): void {
    const ticketVersion = ticketVersionOf(this.edge, hello, () => this.#keeper.isDeclined(hello))
    this.#ticketVersion = ticketVersion
    const decision = lookUp(this.edge, this.#model, hello, ticketVersion, this.#inArrivalContext)
    if (isPromiseLike(decision)) this.#await(decision, ahead)
    else this.#handOver(decision, ahead)
  }

  #await(pending: PromiseLike<Decision>, ahead: ReadAhead): void {
    const timer = setTimeout(() => {
      if (this.#model.isHandshaking) this.#model.abandonLookup()
      decided(full('lookup-timeout'))
    }, this.edge.lookupTimeoutMs)
    timer.unref()
    const phase: Phase = { name: 'looking-up', ahead, timer }
    this.#phase = phase
    // What comes when the connection has gone on, or away, means nothing.
    const decided = (decision: Decision): void => {
      if (this.#phase !== phase) return
      clearTimeout(timer)
      this.#inArrivalContext(() => this.#handOver(decision, ahead))
    }
    pending.then(decided, () => decided(full('callback-failed')))
  }

  // Handed over: Node makes the handshake.

  #handOver(decision: Decision, ahead: ReadAhead | undefined): void {
    const socket = this.#socket
    const bytes = ahead?.release() ?? []
    // A client that has left is reported by its close event, and its error event may be still to come.
    if (socket.destroyed) return
    socket.off('error', this.#onError)
    this.#decision = confirmed(this.edge, decision)
    if (this.#hello === undefined) this.#snapshot = this.edge.profiles.snapshot()
    else this.#profile = this.edge.profiles.of(this.#serverName)
    const der = this.#export(this.#decision)
    this.#handedOverMs = performance.now()
    this.#phase = { name: 'handed-over', der }
    acceptWith(this.#acceptWithTickets(), bytes, (handle) => this.#prepare(handle, der))
  }

  /** Node's listener, under the SecureContext that has tickets where the connection may have them. */
  #acceptWithTickets(): () => void {
    const { tickets } = this.edge
    const hello = this.#hello
    const version = this.#ticketVersion
    const sessionIdContext = this.#ticketContext
    const accept = this.#accept
    if (tickets === undefined) return accept
    if (hello === undefined || version === undefined || sessionIdContext === undefined)
      return () => tickets.acceptWithout(accept)
    const decision = this.#decision
    this.#tickets = tickets.begin({
      version,
      hello,
      // One that libssl is to refuse itself, with its alert, is among them.
      accepted: decision.found,
      objection: () => {
        const latest = confirmed(this.edge, decision)
        return latest.resume || latest.found !== undefined ? undefined : latest.reason
      },
    })
    return () => tickets.accept(version, sessionIdContext, accept)
  }

  /** The session id context of a connection with stateless tickets, and of all of these; undefined for one without. */
  get #ticketContext(): string | undefined {
    const edge = this.edge
    const profile = this.#profile
    const version = this.#ticketVersion
    if (version === undefined || profile === undefined || isPolicyUnknown(edge, profile)) return undefined
    const { ticketPolicy } = this.#decision
    const ownPolicy = typeof ticketPolicy === 'string' ? ticketPolicy : undefined
    // In TLS 1.3 libssl can be told later that there is to be no ticket, which is counted then.
    if (edge.policy !== undefined && ownPolicy === undefined && version < TLS1_3_VERSION) return undefined
    return ticketContextOf(bindingOf(edge, this.#serverName, profile, ownPolicy))
  }

  /** Node's libssl compares the session id context with its own, so that is what it gets to see. */
  #export({ found }: Decision): Buffer | undefined {
    if (found === undefined || found.ticket !== undefined) return undefined
    const { sessionIdContext = '' } = this.edge.server
    return Buffer.from(found.session.toDer(Buffer.from(this.#ticketContext ?? sessionIdContext)))
  }

  #prepare(handle: TlsHandle, der: Buffer | undefined): HelloListener {
    const { server, enabled } = this.edge
    this.#handle = handle
    this.#phase = { name: 'handed-over', der }
    if (server.requestCert === true) {
      beforeVerification(handle, (isVerified) => {
        if (!handle.isSessionReused())
          this.#chainEndSec ??= isVerified ? chainEndSec(handle) : Number.POSITIVE_INFINITY
      })
      if (this.#hello === undefined && enabled)
        watchServerName(handle, (serverName) => {
          this.#certified ??= { serverName }
        })
    }
    // The older lines see no ClientHello of several records, so that there is no later moment.
    if (der !== undefined && !this.#isOneRecord) handle.loadSession(der)
    return this
  }

  /** Node asks resumeSession for some hellos only. */
  beforeHello(isAsked: boolean): void {
    const phase = this.#phase
    if (phase.name !== 'handed-over' || phase.der === undefined) return
    if (!isAsked || this.edge.isAnsweredByOthers) this.#handle?.loadSession(phase.der)
  }

  /** After a HelloRetryRequest libssl looks a second time, and Node has given its one session away. */
  afterHello(): void {
    const phase = this.#phase
    if (phase.name !== 'handed-over' || phase.der === undefined) return
    const isTls13 = this.#model.protocolVersion === TLS1_3_VERSION
    if (isTls13 && this.#handle?.isSessionReused() === false) this.#handle.loadSession(phase.der)
  }

  /** A session that the handshake has made. */
  keep(der: Uint8Array): void {
    const handle = this.#handle
    if (handle === undefined) return
    if (this.#tickets !== undefined && this.#ticketVersion === TLS1_3_VERSION) {
      this.#checkTicket(this.#tickets)
      return
    }
    if (this.#hello === undefined) this.#serverName = serverNameOf(handle.getServername())
    const kept = this.#keeper.keep(der, this.#factsOf(handle))
    if (isPromiseLike(kept)) this.#kept = Promise.all([this.#kept, this.#listener.hearWrite(this, kept)])
    else if (kept !== undefined) this.edge.countNotKept(kept)
  }

  /** The session in a ticket that was just made. Its client gets none of it when it carries the origin of somebody else. */
  #checkTicket(tickets: TicketHandshake): void {
    if (tickets.isOwnTicket()) return
    this.edge.countNotKept('ticket-unproven')
    this.#socket.destroy()
  }

  /**
   * Node may write what it held back. It does not look at the error of that write, and waits for ever for the write's end. A read
   * would tell of the same error, so Node reads once more where the client may have left: two turns have a poll between them.
   */
  goOn(done: () => void): void {
    if (isKnownConnected(this.#socket)) done()
    else setImmediate(() => setImmediate(done))
  }

  #factsOf(handle: TlsHandle): HandshakeFacts {
    return {
      serverName: this.#serverName,
      hello: this.#hello,
      profile: this.#profile ?? this.#snapshot?.of(this.#serverName),
      isRejected: this.#isRejected,
      // In TLS 1.2 a session comes before Node looks at the chain, and says itself whether that was verified.
      chainEndSec: () => {
        this.#chainEndSec ??= chainEndSec(handle)
        return this.#chainEndSec
      },
    }
  }

  // Established: the outcome of the handshake, and why.

  /** Node has completed the handshake. */
  establish(socket: tls.TLSSocket): void {
    if (this.#phase.name !== 'handed-over') return
    const isReused = socket.isSessionReused()
    const protocol = socket.getProtocol() ?? ''
    const version = versionNumber(protocol) ?? 0
    if (this.#hello === undefined) this.#serverName = serverNameOf(socket.servername)
    const ticketed = this.#tickets && socket.getSession()
    const rejection = this.#rejection(socket, ticketed, version)
    if (rejection !== undefined) {
      this.#reject(socket, rejection, protocol)
      return
    }
    const getDer = (): Uint8Array | undefined => socket.getSession()
    this.#recordOutcome(version, isReused, getDer)
    const reason = this.#reason(isReused, getDer)
    const isTooLarge = !isReused && this.#isTooLarge(socket)
    this.#issueTickets(socket, ticketed, isTooLarge)
    this.#phase = { name: 'established' }
    this.#report(isReused ? 'resumed' : 'full', reason, { protocol, socket })
    // By then the tickets of TLS 1.3 have come, if Node shows them.
    setImmediate(() => {
      this.#tickets?.finish()
      if (isTooLarge && !this.#keeper.hasMade) this.edge.countNotKept('too-large')
      this.#release()
    })
  }

  /** Why the finished connection must not live. */
  #rejection(
    socket: tls.TLSSocket,
    der: Uint8Array | undefined,
    version: number,
  ): HandshakeReason | undefined {
    if (this.#hasChangedServerName(version, serverNameOf(socket.servername))) return 'server-name-changed'
    if (this.#tickets === undefined || !socket.isSessionReused()) return undefined
    return this.#tickets.isJudged(der) ? undefined : 'ticket-unjudged'
  }

  #reject(socket: tls.TLSSocket, reason: HandshakeReason, protocol: string): void {
    this.#isRejected = true
    this.#phase = { name: 'over' }
    socket.authorized = false
    this.#tickets?.issue(undefined)
    socket.destroy()
    this.#report('failed', reason, { protocol })
  }

  /** Right after this, libssl makes the tickets. */
  #issueTickets(socket: tls.TLSSocket, der: Uint8Array | undefined, isTooLarge: boolean): void {
    if (this.#tickets === undefined) return
    if (this.#ticketVersion !== TLS1_3_VERSION) {
      this.#tickets.end()
      return
    }
    const handle = tlsHandleOf(socket)
    const inherited = socket.isSessionReused() ? this.#decision.found?.origin : undefined
    // Node would not show the session of a ticket that is too large, and nothing prove whose it is.
    const origin =
      handle === undefined || isTooLarge
        ? ('unreadable' as const)
        : this.#keeper.originForTicket(der, inherited, this.#factsOf(handle), this.#decision.ticketPolicy)
    const isRefused = typeof origin === 'string'
    this.#tickets.issue(isRefused ? undefined : origin)
    if (isRefused && !isTooLarge) this.edge.countNotKept(origin)
  }

  /**
   * After a HelloRetryRequest a client may name another server (RFC 9846 §4.2.2, before RFC 8446 §4.1.2, forbids it), and
   * libssl takes that name for the connection, though certificate, authorities and session were chosen by the first.
   *
   * @param serverName - of the finished connection
   * @returns whether the connection must not live
   */
  #hasChangedServerName(version: number, serverName: string | undefined): boolean {
    if (version !== TLS1_3_VERSION) return false
    if (this.#hello !== undefined) return serverName !== this.#hello.serverName
    return this.#certified !== undefined && serverName !== this.#certified.serverName
  }

  /** The model's handshake ends as Node's did. In TLS 1.2 it ends with the new session, whose policy may still be at work. */
  #recordOutcome(protocolVersion: number, isReused: boolean, getDer: () => Uint8Array | undefined): void {
    const model = this.#model
    const { found } = this.#decision
    if (model.isHandshaking && !(this.#keeper.hasMade && protocolVersion < TLS1_3_VERSION)) {
      const isTicket = usesNodeTickets(this.edge)
      // A ticket of Node's own, or an external PSK, is not what was found.
      const session = isReused && !this.#decision.resume ? readSession(getDer()) : undefined
      model.recordOutcome({ protocolVersion, resumed: isReused ? { session, isTicket } : undefined })
    }
    if (isReused && protocolVersion === TLS1_3_VERSION && this.edge.singleUse && found !== undefined)
      this.edge.usedIds.set(byteKey(found.session.sessionId), true)
  }

  #reason(isReused: boolean, getDer: () => Uint8Array | undefined): HandshakeReason {
    const decision = this.#decision
    if (isReused && decision.resume) return decision.source
    if (isReused) return usesNodeTickets(this.edge) ? 'ticket' : 'external-psk'
    if (!decision.resume) return decision.reason
    if (this.#tickets?.refusal !== undefined) return this.#tickets.refusal
    const made = readSession(getDer())
    if (made?.protocolVersion !== TLS1_3_VERSION) return 'node-disagreed'
    if (cipherSuiteHash(made.cipherSuite) !== cipherSuiteHash(decision.found.session.cipherSuite))
      return 'cipher-hash-mismatch'
    return this.#hello?.keyShareGroups.includes(made.kexGroup) === false
      ? 'hello-retry-request'
      : 'node-disagreed'
  }

  /** Only a client certificate makes it so; a TLS 1.3 session gets its id with the ticket. */
  #isTooLarge(socket: tls.TLSSocket): boolean {
    const length = this.edge.server.requestCert === true ? (socket.getSession()?.length ?? 0) : 0
    return length > MAX_NODE_SESSION_LENGTH - MAX_ID_LENGTH
  }

  /** What only the handshake needed, secrets among it, goes; in TLS 1.3, which has no other handshake, all of it. */
  #release(): void {
    const release = (): void => {
      this.#hello = undefined
      this.#decision = full('not-offered')
      if (this.#phase.name === 'established' && this.#model.protocolVersion === TLS1_3_VERSION) this.#end()
    }
    if (this.#kept === undefined) release()
    else void this.#kept.then(release)
  }

  // Over: the client has gone.

  readonly #onError = (error: Error): void => {
    this.#error = error
  }

  readonly #onClose = (): void => this.#inArrivalContext(() => this.#close())

  #close(): void {
    const phase = this.#phase
    this.#end()
    if (phase.name === 'reading' || phase.name === 'looking-up') {
      phase.ahead?.release()
      if (phase.name === 'looking-up') clearTimeout(phase.timer)
      this.#report('failed', 'client-left', { unserved: { error: this.#error } })
    } else if (phase.name === 'handed-over') this.#report('failed', this.#whyFailed())
  }

  /** Nobody leads to it any more, so that an idle connection costs what it costs without it. */
  #end(): void {
    this.#phase = { name: 'over' }
    this.#tickets?.end()
    this.#socket.off('close', this.#onClose)
    if (this.#handle !== undefined) forgetListener(this.#handle)
    this.#freeModel()
  }

  #whyFailed(): HandshakeReason {
    const { resume } = this.#decision
    return !resume && HELLO_FAILURES.has(this.#decision.reason) ? this.#decision.reason : 'handshake-failed'
  }

  /** Node forgets no session because it ended without close_notify. */
  #freeModel(): void {
    const free = (): void => {
      this.#model.setShutdown(true, true)
      this.#model.free()
    }
    // A client that leaves while its new session is being looked at comes back all the same.
    const { pendingPolicy } = this.#keeper
    if (pendingPolicy === undefined) free()
    else pendingPolicy.then(free)
  }

  #report(
    outcome: Outcome,
    reason: HandshakeReason,
    { protocol, socket, unserved }: Partial<ConnectionOutcome> = {},
  ): void {
    this.#listener.hearOutcome(this, { outcome, reason, protocol, socket, unserved })
  }
}

const UNREAD_REASONS = {
  complete: 'unreadable-hello',
  foreign: 'not-tls',
  oversized: 'oversized-hello',
  stalled: 'stalled-hello',
} as const

const HELLO_FAILURES: ReadonlySet<HandshakeReason> = new Set([
  'client-left',
  'not-tls',
  'oversized-hello',
  'unreadable-hello',
  'stalled-hello',
])

/** Node's libssl has its own word for what cannot be read. */
function readHello(message: Uint8Array): ClientHello | undefined {
  try {
    return decodeClientHello(message)
  } catch {
    return undefined
  }
}

/** The end of the first certificate of the peer's chain to expire, seconds since the epoch. */
function chainEndSec(handle: TlsHandle): number {
  let end = Number.POSITIVE_INFINITY
  const seen = new Set<object>()
  let certificate = handle.getPeerCertificate(true)
  while (certificate !== undefined && !seen.has(certificate)) {
    seen.add(certificate)
    if (certificate.valid_to !== undefined) end = Math.min(end, endSec(certificate.valid_to))
    certificate = certificate.issuerCertificate
  }
  return end
}
