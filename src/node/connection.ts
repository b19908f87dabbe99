import { AsyncResource } from 'node:async_hooks'
import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import type { Answer, Awaitable } from '../session/awaitable.ts'
import type { Outcome } from '../session/handshakes.ts'
import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import type { EdgeReason, HandshakeReason } from '../session/reasons.ts'
import { SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { sessionInternals } from '../session/ssl-session.ts'
import type { FollowedHandshake } from './attachment-ledger.ts'
import { ESTABLISHED, HANDED_OVER, OVER, type Phase, READING } from './connection-phase.ts'
import { ConnectionTickets } from './connection-tickets.ts'
import { ConnectionTrust } from './connection-trust.ts'
import type { Edge } from './edge.ts'
import type { TicketHandshake } from './judged-tickets.ts'
import { isExternalPsk, isTicketUsable, SessionKeeper } from './keep-session.ts'
import { confirmed, type Decision, full, fullAfter, isLookupOff, lookUp } from './look-up.ts'
import {
  acceptAfter,
  acceptWith,
  endForGood,
  forgetListener,
  goOnWriting,
  type HelloListener,
  serverNameOf,
  type TlsHandle,
  tlsHandleOf,
} from './node-engine.ts'
import { nodeSessionIdContext } from './node-session-context.ts'
import {
  type ConnectionOutcome,
  isTooLargeForNode,
  recordOutcome,
  whyEstablished,
  whyFailed,
} from './outcome.ts'
import {
  type HelloResult,
  helloOf,
  isReadable,
  ReadAhead,
  type ReadAheadListener,
  type ReadAheadResult,
} from './read-ahead.ts'
import { serverVerifyMode } from './server-setup.ts'
import { protocolOf } from './server-versions.ts'

/** Found once: the globals of Node are accessors. */
const { performance: clock } = globalThis
const NOT_OFFERED = full('not-offered')

/** What the attachment hears of its connections. */
export interface ConnectionListener {
  /** The client has said something. */
  hearFirstBytes(connection: Connection): void
  /** The handshake has its outcome. Called once. */
  hearOutcome(connection: Connection, outcome: ConnectionOutcome): void
  /** A session is being written. @returns a promise that settles when it is, or has taken too long */
  hearWrite(connection: Connection, kept: PromiseLike<NotKeptReason | undefined>): Promise<void>
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
  /** The asynchronous context in which it arrived. */
  readonly #arrival = new AsyncResource('SSLCTX_CONNECTION')
  readonly #model: SslConnection
  readonly #keeper: SessionKeeper
  readonly #trust: ConnectionTrust
  /** Undefined when its server has no stateless tickets. */
  readonly #tickets: ConnectionTickets | undefined
  #phase: Phase = READING
  /** From the hand-over on. */
  #handle: TlsHandle | undefined
  #hello: ClientHello | undefined
  #serverName: string | undefined
  #decision: Decision = NOT_OFFERED
  /** Settles with all that was kept so far. */
  #kept: Promise<unknown> | undefined
  /** The error of the socket, before Node had it. */
  #error: Error | undefined
  readonly #arrivedMs = clock.now()
  #helloMs: number | undefined
  #handedOverMs: number | undefined
  // Bound, not closures: what an engine has compiled for a closure goes with the last one, and there may be none between two connections.
  readonly #onError: (error: Error) => void = this.#hearError.bind(this)
  readonly #onClose: () => void = this.#arrival.runInAsyncScope.bind(this.#arrival, this.#close, this)

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
    this.#model = acceptingModel(edge, socket)
    this.#keeper = new SessionKeeper(edge, this.#model, this.#arrival)
    this.#trust = new ConnectionTrust(edge)
    this.#tickets = edge.tickets && new ConnectionTickets(edge, edge.tickets)
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

  /** Settles with all new sessions that were kept so far; undefined for none. */
  get kept(): Promise<unknown> | undefined {
    return this.#kept
  }

  // Reading: the client's first message, before Node gets the connection.

  begin(): void {
    const socket = this.#socket
    socket.on('close', this.#onClose)
    // Between our listeners and Node's, an error is nobody's, and would end the process.
    socket.on('error', this.#onError)
    if (socket.closed) this.#closeLater()
    else if (socket.destroyed) return
    else if (socket.readableEnded) this.#onEnd(undefined)
    else if (!this.edge.enabled) this.#skip('disabled')
    else if (!isReadable(socket)) this.#skip('unreadable-stream')
    else if (isLookupOff(this.edge)) this.#skip('no-lookup')
    else this.#readAhead()
  }

  /** Its 'close' event comes in the next tick, unless it has come before. */
  #closeLater(): void {
    setImmediate(() => {
      if (this.#phase !== OVER) this.#onClose()
    })
  }

  #readAhead(): void {
    let ahead: ReadAhead
    try {
      ahead = new ReadAhead(this.#socket, this.edge.helloDeadlines, this.#arrivedMs, this)
    } catch {
      // It lets nobody stand between.
      this.#skip('unreadable-stream')
      return
    }
    this.#phase = { name: 'reading', ahead }
    ahead.start()
  }

  hearFirstBytes(): void {
    this.#listener.hearFirstBytes(this)
  }

  hearResult(result: ReadAheadResult): void {
    this.#arrival.runInAsyncScope(this.#onHello, this, result)
  }

  #skip(reason: EdgeReason): void {
    this.hearFirstBytes()
    this.#handOver(full(reason), undefined)
  }

  #onHello(result: ReadAheadResult): void {
    const phase = this.#phase
    if (phase.name !== 'reading' && phase.name !== 'looking-up') return
    const { ahead } = phase
    if (result.state === 'ended') this.#onEnd(ahead)
    else if (phase.name === 'reading' && ahead !== undefined) this.#onRead(result, ahead)
  }

  #onRead(result: HelloResult, ahead: ReadAhead): void {
    this.#helloMs = clock.now()
    const hello = helloOf(result)
    if (typeof hello === 'string') {
      this.#handOver(full(hello), ahead)
      return
    }
    this.#hello = hello
    this.#serverName = hello.serverName
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
    const decision = this.#decide(hello)
    if (decision.then === undefined) this.#handOver(decision, ahead)
    else this.#await(decision, ahead)
  }

  #decide(hello: ClientHello): Answer<Decision> {
    try {
      const ticketVersion = this.#tickets?.choose(hello, () => this.#keeper.isDeclined(hello))
      return lookUp(this.edge, this.#model, hello, ticketVersion, this.#arrival)
    } catch (error) {
      // Such as of the owner's clock.
      this.edge.reportError(error)
      return full('callback-failed')
    }
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
      // The client may have left in this very turn.
      goOnWriting(this.#socket, () => {
        if (this.#phase === phase) this.#arrival.runInAsyncScope(this.#handOver, this, decision, ahead)
      })
    }
    pending.then(decided, () => decided(full('callback-failed')))
  }

  // Handed over: Node makes the handshake.

  #handOver(decision: Decision, ahead: ReadAhead | undefined): void {
    const socket = this.#socket
    // Somebody has ended it meanwhile: Node's answers would go nowhere, and Node would wait for ever for what follows.
    if (ahead !== undefined && socket.writableEnded) {
      endForGood(socket)
      return
    }
    const bytes = ahead?.release() ?? []
    // A client that has left is reported by its close event, and its error event may be still to come.
    if (socket.destroyed) return
    socket.off('error', this.#onError)
    this.#decision = this.#confirm(decision)
    const profile = this.#trust.begin(this.#hello)
    const accept = this.#tickets?.handOver(this.#accept, this.#hello, this.#decision, profile)
    this.#handedOverMs = clock.now()
    this.#phase = HANDED_OVER
    acceptWith(this.#inTime(accept ?? this.#accept, ahead), bytes, this.edge.isAnsweredByOthers, this)
  }

  #confirm(decision: Decision): Decision {
    try {
      return confirmed(this.edge, decision)
    } catch (error) {
      this.edge.reportError(error)
      return fullAfter(decision, 'callback-failed')
    }
  }

  /** The silence in which a ClientHello was waited for in vain is a part of Node's handshakeTimeout. */
  #inTime(accept: () => void, ahead: ReadAhead | undefined): () => void {
    const decision = this.#decision
    if (decision.resume || decision.reason !== 'stalled-hello' || ahead === undefined) return accept
    const silentMs = Math.round(clock.now() - ahead.heardMs)
    return () => acceptAfter(this.edge.server, silentMs, accept)
  }

  #sessionIdContext(): string {
    return this.#tickets?.sessionIdContext ?? this.edge.server.sessionIdContext ?? ''
  }

  prepare(handle: TlsHandle): void {
    this.#handle = handle
    this.#trust.watch(handle)
    this.#load(handle)
  }

  beginReading(): void {
    this.#tickets?.handshake?.beginReading()
  }

  endReading(): void {
    this.#tickets?.handshake?.endReading()
  }

  /** After a HelloRetryRequest libssl looks a second time, and Node has given its one session away. */
  afterHello(): void {
    const handle = this.#handle
    if (this.#phase.name !== 'handed-over' || handle === undefined) return
    const isTls13 = this.#model.protocolVersion === TLS1_3_VERSION
    if (isTls13 && this.#hasStored() && !handle.isSessionReused()) this.#load(handle)
  }

  /** A stored session was found, and libssl is to have it, perhaps to refuse it itself. */
  #hasStored(): boolean {
    const { found } = this.#decision
    return found !== undefined && found.ticket === undefined
  }

  /** Node's libssl compares the session id context with its own, so that is what it gets to see. */
  #load(handle: TlsHandle): void {
    const { found } = this.#decision
    if (found === undefined || !this.#hasStored()) return
    const sessionIdContext = nodeSessionIdContext(this.#sessionIdContext(), this.#serverName)
    sessionInternals.lendDer(found.session, sessionIdContext, (der) => handle.loadSession(der))
  }

  /** A session that the handshake has made. */
  keep(der: Uint8Array): void {
    const handle = this.#handle
    if (handle === undefined) return
    if (this.#tickets?.hasTls13 === true) {
      this.#prove(handle, this.#tickets.handshake)
      return
    }
    if (this.#hello === undefined) this.#serverName = serverNameOf(handle.getServername())
    const facts = this.#trust.factsOf(handle, this.#serverName, this.#sessionIdContext())
    this.#noteKept(this.#keeper.keep(der, facts))
  }

  /** The client gets nothing of a ticket that carries the origin of somebody else. */
  #prove(handle: TlsHandle, tickets: TicketHandshake | undefined): void {
    if (tickets?.isOwnTicket() === false) {
      this.edge.countNotKept('ticket-unproven')
      this.#socket.destroy()
    } else if (this.#phase.name === 'established' && tickets?.isTicketDue(handle.isSessionReused()) === false)
      this.#release()
  }

  /** @param kept - why a session is not kept, undefined when it is */
  #noteKept(kept: Awaitable<NotKeptReason | undefined>): void {
    if (typeof kept === 'object') this.#kept = Promise.all([this.#kept, this.#listener.hearWrite(this, kept)])
    else if (kept !== undefined) this.edge.countNotKept(kept)
    if (this.#phase.name !== 'established') return
    if (kept !== undefined) this.#releaseAfterTickets(false)
    else if (!this.#model.isTicketDue) this.#release()
  }

  goOn(done: () => void): void {
    goOnWriting(this.#socket, done)
  }

  // Established: the outcome of the handshake, and why.

  /** Node has completed the handshake. */
  establish(socket: tls.TLSSocket): void {
    const handle = this.#handle
    if (this.#phase.name !== 'handed-over' || handle === undefined) return
    // What is compared is a boolean to the engine, too, which else looks at the truth of anything wherever it is asked.
    const isReused = handle.isSessionReused() === true
    const { version, protocol } = protocolOf(handle)
    if (this.#hello === undefined) this.#serverName = serverNameOf(socket.servername)
    const rejection = this.#rejection(socket, version, isReused)
    if (rejection !== undefined) {
      this.#reject(socket, rejection, protocol)
      return
    }
    // It may have offered both.
    if (isReused && this.edge.takesExternalPsks && isExternalPsk(socket.getSession()))
      this.#decision = fullAfter(this.#decision, 'external-psk')
    this.#tellModel(version, isReused, socket)
    const reason = whyEstablished(
      this.edge,
      this.#decision,
      this.#hello,
      this.#tickets?.handshake,
      isReused,
      socket,
    )
    const isTooLarge = !isReused && this.#isTooLarge(socket)
    this.#issueTickets(socket, isReused, isTooLarge)
    this.#phase = ESTABLISHED
    this.#report(isReused ? 'resumed' : 'full', reason, { protocol, socket })
    // With the last ticket all is over.
    if (isTooLarge || !this.#isTicketDue(isReused)) this.#releaseAfterTickets(isTooLarge)
  }

  #tellModel(version: number, isReused: boolean, socket: tls.TLSSocket): void {
    try {
      recordOutcome(this.#model, this.edge, this.#decision, version, isReused, this.#keeper.hasMade, socket)
    } catch (error) {
      // Such as of the owner's clock.
      this.edge.reportError(error)
    }
  }

  /** Only a client certificate makes a session so. */
  #isTooLarge(socket: tls.TLSSocket): boolean {
    return this.edge.server.requestCert === true && isTooLargeForNode(socket.getSession())
  }

  /** Node is going to show a session that may be kept. */
  #isTicketDue(isReused: boolean): boolean {
    if (this.#tickets?.hasTls13 === true) return this.#tickets.handshake?.isTicketDue(isReused) === true
    return this.#model.isTicketDue && this.#hello !== undefined && isTicketUsable(this.edge, this.#hello)
  }

  /** What TLS 1.2 makes has come before; the tickets of TLS 1.3 come in this turn, if Node shows them. */
  #releaseAfterTickets(isTooLarge: boolean): void {
    if (this.#model.protocolVersion === TLS1_3_VERSION)
      setImmediate(this.#finishTickets.bind(this), isTooLarge)
    else this.#finishTickets(isTooLarge)
  }

  #finishTickets(isTooLarge: boolean): void {
    if (isTooLarge && !this.#keeper.hasMade) this.edge.countNotKept('too-large')
    this.#release()
  }

  /** Why the finished connection must not live. */
  #rejection(socket: tls.TLSSocket, version: number, isReused: boolean): HandshakeReason | undefined {
    if (this.#trust.hasChangedServerName(version, serverNameOf(socket.servername)))
      return 'server-name-changed'
    const tickets = this.#tickets?.handshake
    return tickets === undefined || !isReused || tickets.isJudged(socket) ? undefined : 'ticket-unjudged'
  }

  #reject(socket: tls.TLSSocket, reason: HandshakeReason, protocol: string): void {
    this.#trust.reject()
    this.#phase = OVER
    socket.authorized = false
    this.#tickets?.handshake?.issue(undefined)
    socket.destroy()
    this.#report('failed', reason, { protocol })
  }

  /** Right after this, libssl makes the tickets. */
  #issueTickets(socket: tls.TLSSocket, isReused: boolean, isTooLarge: boolean): void {
    const tickets = this.#tickets?.handshake
    if (tickets === undefined) return
    if (this.#tickets?.hasTls13 !== true) {
      tickets.end()
      return
    }
    // R11.8: the owner has flagged what this handshake makes.
    if (!this.#model.isTicketDue) {
      tickets.issue(undefined)
      return
    }
    const handle = tlsHandleOf(socket)
    // Destroyed meanwhile: nothing follows.
    if (handle === undefined) return
    const inherited = isReused ? this.#decision.found?.origin : undefined
    // Node would not show the session of a ticket that is too large, and nothing prove whose it is.
    const origin = isTooLarge
      ? ('unreadable' as const)
      : this.#keeper.originForTicket(
          socket,
          inherited,
          this.#trust.factsOf(handle, this.#serverName, this.#sessionIdContext()),
          this.#decision.ticketPolicy,
        )
    const isRefused = typeof origin === 'string'
    tickets.issue(isRefused ? undefined : origin)
    if (isRefused && !isTooLarge) this.edge.countNotKept(origin)
  }

  /** What only the handshake needed, secrets among it, goes; in TLS 1.3, which has no other handshake, all of it. */
  #release(): void {
    if (this.#kept === undefined) this.#forget()
    else void this.#kept.then(() => this.#forget())
  }

  #forget(): void {
    this.#hello = undefined
    this.#trust.release()
    this.#decision = NOT_OFFERED
    if (this.#phase.name === 'established' && this.#model.protocolVersion === TLS1_3_VERSION) this.#end()
  }

  // Over: the client has gone.

  #hearError(error: Error): void {
    this.#error = error
  }

  #close(): void {
    const phase = this.#phase
    this.#end()
    if (phase.name === 'reading' || phase.name === 'looking-up') {
      phase.ahead?.release()
      if (phase.name === 'looking-up') clearTimeout(phase.timer)
      const error = this.#error ?? this.#socket.errored ?? undefined
      this.#report('failed', 'client-left', { unserved: { error } })
    } else if (phase.name === 'handed-over') this.#report('failed', whyFailed(this.#decision))
  }

  /** Nobody leads to it any more, so that an idle connection costs what it costs without it. */
  #end(): void {
    this.#phase = OVER
    this.#tickets?.handshake?.finish()
    this.#socket.off('close', this.#onClose)
    if (this.#handle !== undefined) forgetListener(this.#handle)
    this.#keeper.freeConnection()
  }

  #report(
    outcome: Outcome,
    reason: HandshakeReason,
    { protocol, socket, unserved }: Partial<ConnectionOutcome> = {},
  ): void {
    this.#listener.hearOutcome(this, { outcome, reason, protocol, socket, unserved })
  }
}

/** The model of a connection of this server, which awaits a ClientHello. */
function acceptingModel({ context, server, singleUse, tickets }: Edge, socket: Duplex): SslConnection {
  const model = context.newConnection({ appData: socket, singleUse })
  model.setVerifyMode(serverVerifyMode(server))
  model.setOptions(server.secureOptions ?? 0)
  // Whoever is to have one of ours is found out later.
  if (tickets !== undefined) model.setOptions(SslOption.NO_TICKET)
  model.accept()
  return model
}
