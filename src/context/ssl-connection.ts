import { ArgumentError, SessionStateError } from '../errors.ts'
import { checkBits, checkBytes, checkCallback, kindOf } from '../session/arguments.ts'
import type { Answer, Awaitable } from '../session/awaitable.ts'
import { copyBytes, equalBytes } from '../session/bytes.ts'
import type { GenerateSessionId, SessionConnection } from '../session/contracts.ts'
import type { ResumptionOffer } from '../session/offer.ts'
import { checkIdLength, checkInteger } from '../session/ranges.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { Alert, type AlertLevel, SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { Refusal, ResumptionVerdict } from '../session/verdict.ts'
import {
  buildClientOffer,
  type ClientCapabilities,
  type ClientOffer,
  processServerHello,
  type ServerHello,
  type ServerHelloVerdict,
} from './client-handshake.ts'
import { ConnectionState, type Phase } from './connection-state.ts'
import { ContextState } from './context-state.ts'
import {
  checkAlert,
  checkCapabilities,
  checkCipherChoice,
  checkConnectionOptions,
  checkFlag,
  checkNegotiated,
  checkOffer,
  checkOptionalSession,
  checkReceivedTicket,
  checkRecordedOutcome,
  checkRenegotiation,
  checkServerHello,
  checkSession,
  checkTicketMaterial,
} from './model-arguments.ts'
import { resumeSession } from './resume-session.ts'
import {
  adoptTicket,
  type IssuedTicket,
  issueTicket,
  type NegotiatedSession,
  type ReceivedTicket,
  receiveTicket,
  type TicketMaterial,
} from './tickets.ts'
import { updateCache } from './update-cache.ts'

/** What differs from the context's settings, and what the owner wants to find again in callbacks. */
export interface SslConnectionOptions {
  /** Any value of the owner's; kept by reference. */
  readonly appData?: unknown | undefined
  /** 0 to 32 bytes. */
  readonly sessionIdContext?: Uint8Array | undefined
  /** Bits of VerifyMode. */
  readonly verifyMode?: number | undefined
  readonly generateSessionId?: GenerateSessionId | undefined
  /** TLS 1.3 sessions are used once: {@link SessionConnection.isSingleUse}; false by default, as in libssl. */
  readonly singleUse?: boolean | undefined
}

/** What the server's choice of a cipher suite means for the session. */
export interface CipherChoice {
  /** The key exchange is ephemeral; true by default. Not looked at in TLS 1.3, whose suites name no key exchange. */
  readonly isForwardSecure?: boolean
}

/** What the ServerHello is to say about the session (TLS 1.2; TLS 1.3 echoes the client's legacy id). */
export interface ServerHelloParameters {
  /** A copy; empty when the session cannot be resumed by its id. */
  readonly sessionId: Uint8Array
  /** A session_ticket extension, and a NewSessionTicket before Finished. */
  readonly ticketExpected: boolean
}

/** What a real TLS stack has made of a handshake; see `recordOutcome`. */
export interface RecordedOutcome {
  readonly protocolVersion: number
  /** Present when it resumed. The session is of use where the model decided otherwise: what the stack resumed, if that is known. */
  readonly resumed?: { readonly session?: SslSession | undefined; readonly isTicket: boolean } | undefined
  /** TLS 1.2, full: the new session, kept by reference. Without it, this handshake's session is not to be found by its id. */
  readonly made?: SslSession | undefined
}

/** `renegotiate(3)`: a full one never resumes on the client; an abbreviated one may. */
export type Renegotiation = 'full' | 'abbreviated'

const NO_CHOICE: CipherChoice = {}
const NOTHING: NegotiatedSession = {}

/**
 * `SSL` as the session cache sees it: no cryptography, no bytes of its own. Its owner tells it what happens on the wire,
 * in the order in which it happens, and does what it answers.
 *
 * A server: accept, resumeSession, serverHello (or helloRetryRequest and resumeSession again), TLS 1.2 issueTicket when
 * expected, finishHandshake, TLS 1.3 issueTicket while {@link isTicketDue}. A client: setSession, connect, clientHello,
 * processServerHello, receiveTicket as they come, finishHandshake.
 */
export class SslConnection implements SessionConnection {
  readonly appData: unknown
  readonly #state: ConnectionState

  /** Made by `newConnection` of a context. */
  constructor(context: ContextState, options: SslConnectionOptions) {
    if (!(context instanceof ContextState)) throw notMadeByContext(context)
    checkConnectionOptions(options)
    this.appData = options.appData
    this.#state = new ConnectionState(this, context)
    if (options.sessionIdContext !== undefined) this.setSessionIdContext(options.sessionIdContext)
    if (options.verifyMode !== undefined) this.setVerifyMode(options.verifyMode)
    if (options.generateSessionId !== undefined) this.setGenerateSessionId(options.generateSessionId)
    this.#state.singleUse = options.singleUse === true
  }

  get isServer(): boolean {
    return this.#state.isServer
  }

  get protocolVersion(): number {
    return this.#state.protocolVersion
  }

  /** `SSL_get_session(3)`, by reference. */
  get session(): SslSession | undefined {
    return this.#state.session
  }

  /** `SSL_session_reused(3)`: decided with the ServerHello, cleared by {@link clear} and by the next handshake. */
  get sessionReused(): boolean {
    return this.#state.hit
  }

  get isSingleUse(): boolean {
    return this.#state.isSingleUse
  }

  /** A copy. */
  get sessionIdContext(): Uint8Array {
    return copyBytes(this.#state.sessionIdContext)
  }

  /** Between accept or connect and finishHandshake. */
  get isHandshaking(): boolean {
    return this.#state.phase === 'handshake'
  }

  /** TLS 1.3 servers: {@link issueTicket} is to be called now (R10.2). */
  get isTicketDue(): boolean {
    return this.#state.isWritingTickets
  }

  /**
   * `SSL_has_matching_session_id(3)`: asks the internal cache whatever the mode says (R8.8).
   *
   * @returns false also for an id of more than 32 bytes
   */
  hasMatchingSessionId(sessionId: Uint8Array): boolean {
    checkBytes('session id', sessionId)
    const { context, protocolVersion } = this.#state
    return context.cache.hasId(protocolVersion, sessionId)
  }

  /**
   * `SSL_set_session(3)`: what a client will offer; the bad-session rule applies to the session before (R11.1).
   *
   * @param session - kept by reference; undefined offers none. Whether it can be resumed is looked at when it is offered
   */
  setSession(session: SslSession | undefined): boolean {
    checkOptionalSession('the session of setSession', session)
    this.#clearBadSession()
    this.#state.session = session
    return true
  }

  /** R9.1. @throws {@link SessionRangeError} when longer than 32 bytes */
  setSessionIdContext(context: Uint8Array): void {
    checkBytes('session id context', context)
    this.#state.setSessionIdContext(checkIdLength('session id context', context))
  }

  setVerifyMode(mode: number): void {
    this.#state.verifyMode = checkBits('verify mode', mode)
  }

  setOptions(options: number): number {
    this.#state.options = (this.#state.options | checkBits('options', options)) >>> 0
    return this.#state.options
  }

  clearOptions(options: number): number {
    this.#state.options = (this.#state.options & ~checkBits('options', options)) >>> 0
    return this.#state.options
  }

  setNumTickets(tickets: number): void {
    this.#state.numTickets = checkInteger('number of tickets', tickets, Number.MAX_SAFE_INTEGER)
  }

  setMaxEarlyData(bytes: number): void {
    this.#state.maxEarlyData = checkInteger('maximum early data', bytes, 0xffff_ffff)
  }

  setGenerateSessionId(callback?: GenerateSessionId): void {
    checkCallback('generateSessionId', callback)
    this.#state.generateSessionId = callback
  }

  /** `SSL_set_quiet_shutdown(3)`: closes without close_notify, and counts as if it had been sent and received. */
  setQuietShutdown(quiet: boolean): void {
    checkFlag('the quiet of setQuietShutdown', quiet)
    this.#state.quietShutdown = quiet
  }

  /**
   * A handshake begins on the server, before the ClientHello is read (R7).
   *
   * @throws {@link SessionStateError} when one is under way or has failed
   */
  accept(renegotiation: Renegotiation = 'full'): void {
    checkRenegotiation(renegotiation)
    this.#begin(true, renegotiation)
    const { context, currentContext, isFirstHandshake } = this.#state
    this.#state.countedContext = context
    if (isFirstHandshake) context.counters.accept++
    else currentContext.counters.acceptRenegotiate++
  }

  /**
   * A handshake begins on the client, before the ClientHello is built (R7).
   *
   * @throws {@link SessionStateError} when one is under way or has failed
   */
  connect(renegotiation: Renegotiation = 'full'): void {
    checkRenegotiation(renegotiation)
    this.#begin(false, renegotiation)
    const { counters } = this.#state.context
    if (this.#state.isFirstHandshake) counters.connect++
    else counters.connectRenegotiate++
    this.#state.hit = false
  }

  /**
   * The server's decision about a ClientHello (R3.3). After a refusal the connection has a new session, unless the
   * verdict holds an alert: then the handshake has failed and the alert is to be sent (without {@link sendAlert}).
   *
   * @returns a promise only if the get callback was asked and gave one
   * @throws {@link SessionStateError} outside of a server's handshake
   */
  resumeSession(offer: ResumptionOffer): Answer<ResumptionVerdict> {
    checkOffer(offer)
    this.#expectPhase('resumeSession', 'handshake')
    const verdict = resumeSession(this.#state, offer)
    return verdict.then === undefined
      ? this.#announce(verdict)
      : Promise.resolve(verdict).then((one) => this.#announce(one))
  }

  /**
   * The lookup that is being awaited takes too long: the handshake is a full one, and an answer that comes later means
   * nothing.
   *
   * @throws {@link SessionStateError} outside of a server's handshake
   */
  abandonLookup(): void {
    this.#expectPhase('abandonLookup', 'handshake')
    this.#decide({ protocolVersion: this.#state.protocolVersion })
  }

  /**
   * For servers whose handshakes a real TLS stack makes, in place of {@link serverHello} and {@link finishHandshake}: what
   * the stack has made of the ClientHello. Where that differs from what {@link resumeSession} said, or nobody asked, the
   * stack's word counts, and what was counted as a hit no longer is.
   *
   * @throws {@link SessionStateError} outside of a server's handshake
   */
  recordOutcome(outcome: RecordedOutcome): void {
    checkRecordedOutcome(outcome)
    this.#expectPhase('recordOutcome', 'handshake')
    const state = this.#state
    const isAsDecided =
      state.session !== undefined &&
      state.hit === (outcome.resumed !== undefined) &&
      state.protocolVersion === outcome.protocolVersion
    if (!isAsDecided) this.#decide(outcome)
    if (!state.hit && !state.isTls13) this.adoptSession(outcome.made ?? new SslSession())
    this.#settleSession(true)
    this.finishHandshake()
  }

  /** Takes back what was decided, and decides what `outcome` says. */
  #decide(outcome: RecordedOutcome): void {
    const state = this.#state
    if (state.hit) state.context.counters.hits--
    state.hit = false
    state.session = undefined
    outcome.resumed?.session?.setSessionIdContext(state.sessionIdContext)
    // Nothing of it is looked up, so the answer is there at once.
    this.resumeSession(recordedOffer(outcome))
  }

  /** `tls_construct_server_hello` as a HelloRetryRequest: what was found is dropped, the next ClientHello decides anew. */
  helloRetryRequest(): void {
    this.#state.session = undefined
    this.#state.hit = false
    this.#state.isHelloRetry = true
  }

  /** The client has read a HelloRetryRequest: {@link clientHello} follows. */
  receiveHelloRetryRequest(): void {
    this.#state.isHelloRetry = true
    this.#state.isVersionNegotiated = true
  }

  /** The server has chosen its cipher suite: R11.8, and R1.7 for the ServerHello. */
  serverHello(choice: CipherChoice = NO_CHOICE): ServerHelloParameters {
    if (choice !== NO_CHOICE) checkCipherChoice(choice)
    const session = this.#settleSession(choice.isForwardSecure ?? true)
    return { sessionId: session.sessionId, ticketExpected: this.#state.ticketExpected }
  }

  /** What the session is from the ServerHello on. */
  #settleSession(isForwardSecure: boolean): SslSession {
    const session = this.#expectSession('serverHello')
    const state = this.#state
    settleMaxFragmentLength(session)
    if (!state.hit) {
      this.#askNotResumable(session, isForwardSecure)
      // R1.7, by the mode of the current context: a client must not believe that it could come back with this id.
      if ((state.currentContext.mode & SessionCacheMode.SERVER) === 0)
        sessionInternals.update(session, { sessionId: new Uint8Array(0) })
    }
    if (!state.isTls13 && state.hasOption(SslOption.NO_TICKET)) state.ticketExpected = false
    return session
  }

  /** What the client's next ClientHello is to offer (R11.2). */
  clientHello(capabilities: ClientCapabilities): ClientOffer {
    checkCapabilities(capabilities)
    this.#expectPhase('clientHello', 'handshake')
    return buildClientOffer(this.#state, capabilities)
  }

  /** The client has read the ServerHello (R11.4 to R11.6). With an alert in the verdict the handshake has failed. */
  processServerHello(hello: ServerHello): ServerHelloVerdict {
    checkServerHello(hello)
    const verdict = processServerHello(this.#state, this.#expectSession('processServerHello'), hello)
    if (verdict.alert === undefined) settleMaxFragmentLength(this.#expectSession('processServerHello'))
    return verdict
  }

  /**
   * What a real TLS stack made takes the place of the model's own new session, id and all: for servers whose libssl
   * generates the ids. It is stamped with the connection's session id context (R9.3).
   *
   * @param session - kept by reference
   */
  adoptSession(session: SslSession): void {
    checkSession('the session of adoptSession', session)
    this.#expectSession('adoptSession')
    session.setSessionIdContext(this.#state.sessionIdContext)
    this.#state.session = session
  }

  /**
   * The handshake is complete: counters, and in TLS 1.2 the cache (R2.1). In TLS 1.3 tickets follow.
   *
   * @param outcome - byte arrays are kept, not copied
   * @throws {@link SessionStateError} outside of a handshake
   */
  finishHandshake(outcome: NegotiatedSession = NOTHING): void {
    if (outcome !== NOTHING) checkNegotiated('finishHandshake', outcome)
    const state = this.#state
    const session = this.#withKeyExchangeGroup(this.#expectSession('finishHandshake'), outcome.kexGroup)
    if (outcome !== NOTHING) sessionInternals.update(session, outcome)
    const ticketExpected = state.ticketExpected
    state.phase = 'established'
    state.renegotiating = false
    state.wantsNewSession = false
    state.ticketExpected = false
    if (state.isServer) this.#finishServer(ticketExpected)
    else this.#finishClient(session)
    state.isFirstHandshake = false
  }

  /**
   * The server builds a NewSessionTicket (R10.4): in TLS 1.2 before {@link finishHandshake} when the ServerHello said
   * so, with what the key exchange has made; in TLS 1.3 while {@link isTicketDue}.
   *
   * @returns a {@link Refusal} with the alert when no session id could be made: the connection has failed
   */
  issueTicket(material: TicketMaterial = NOTHING): IssuedTicket | (Refusal & { readonly alert: number }) {
    if (material !== NOTHING) checkTicketMaterial(material)
    return issueTicket(this.#state, this.#expectSession('issueTicket', 'handshake', 'established'), material)
  }

  /**
   * TLS 1.3: a NewSessionTicket that a real TLS stack has built, id and all, in place of {@link issueTicket}. The session
   * is stamped with the connection's session id context (R9.3), stored and reported.
   *
   * @param session - kept by reference
   * @returns false, and nothing has happened, when no ticket is due
   * @throws {@link SessionStateError} before the handshake is finished
   */
  adoptTicket(session: SslSession): boolean {
    checkSession('the session of adoptTicket', session)
    this.#expectPhase('adoptTicket', 'established')
    session.setSessionIdContext(this.#state.sessionIdContext)
    return adoptTicket(this.#state, session)
  }

  /** Settles, and never rejects, when the new callbacks called so far have answered; undefined when all have. */
  get reported(): PromiseLike<unknown> | undefined {
    return this.#state.reported
  }

  /**
   * Whether the new callback has taken the latest session: false when the callback threw or rejected. A promise, which never
   * rejects, while the callback has not answered.
   */
  get latestReport(): Awaitable<boolean> {
    return this.#state.latestReport
  }

  /**
   * `SSL_new_session_ticket(3)`: one more ticket, with the next {@link issueTicket}.
   *
   * @returns false unless this is a TLS 1.3 server after its handshake, its tickets included, unless one more was asked for before
   */
  newSessionTicket(): boolean {
    const state = this.#state
    if (state.phase !== 'established' || !state.isServer || !state.isTls13) return false
    if (state.isFinishing && state.extraTickets === 0) return false
    state.extraTickets++
    state.isWritingTickets = true
    return true
  }

  /** TLS 1.3 post-handshake authentication has ended on the server: a changed session, and tickets anew (R10.2). */
  finishPostHandshakeAuth(outcome: NegotiatedSession): void {
    checkNegotiated('finishPostHandshakeAuth', outcome)
    const state = this.#state
    const session = sessionInternals.duplicateWithoutTicket(
      this.#expectSession('finishPostHandshakeAuth', 'established'),
    )
    sessionInternals.update(session, outcome)
    state.session = session
    state.sentTickets = 0
    state.isWritingTickets = state.numTickets > 0
  }

  /**
   * The client has read a NewSessionTicket (R10.14, R2.11).
   *
   * @returns the connection's session from now on
   */
  receiveTicket(received: ReceivedTicket): SslSession {
    checkReceivedTicket(received)
    return receiveTicket(
      this.#state,
      this.#expectSession('receiveTicket', 'handshake', 'established'),
      received,
    )
  }

  /**
   * An alert is about to be sent. A fatal one ends the connection, and the session with it (R5.2).
   *
   * @returns false when it must not be sent, since close_notify has been; the session then stays
   */
  sendAlert(level: AlertLevel, description: number): boolean {
    checkAlert(level, description)
    const isSent = this.#state.sendAlert(level, description)
    if (level === 'fatal') this.#fail()
    return isSent
  }

  /** An alert was read, RFC 9846 §6 and RFC 5246 §7.2. */
  receiveAlert(level: AlertLevel, description: number): void {
    checkAlert(level, description)
    if (this.#isReadToEnd()) return
    const state = this.#state
    // Until then a server of TLS 1.2 may warn, as of a name that it does not know, and mean no more than that.
    const isTls13 = state.isTls13 && state.isVersionNegotiated
    const isFatal = isTls13 ? description !== Alert.USER_CANCELED : level === 'fatal'
    if (description === Alert.CLOSE_NOTIFY && (isTls13 || level === 'warning')) state.receivedShutdown = true
    else if (isFatal) {
      state.receivedShutdown = true
      this.#fail()
      state.deleteSession()
    } else if (description === Alert.NO_RENEGOTIATION) this.sendAlert('fatal', Alert.HANDSHAKE_FAILURE)
  }

  /**
   * The transport ended without close_notify (R11.7).
   *
   * @returns true when a fatal decode_error alert is to be sent
   */
  unexpectedEof(): boolean {
    if (this.#isReadToEnd()) return false
    if (!this.#state.hasOption(SslOption.IGNORE_UNEXPECTED_EOF))
      return this.sendAlert('fatal', Alert.DECODE_ERROR)
    this.setShutdown(false, true)
    return false
  }

  /**
   * `SSL_shutdown(3)`: close_notify is about to be sent; with a quiet shutdown nothing is.
   *
   * @returns whether both directions are closed
   * @throws {@link SessionStateError} before or within a handshake, its tickets and callbacks included, or after a failure
   */
  shutdown(): boolean {
    this.#expectPhase('shutdown', 'established')
    const state = this.#state
    if (state.isFinishing)
      throw new SessionStateError(
        'shutdown is not possible now: a ticket is to be written, or a callback runs',
      )
    state.sentShutdown = true
    if (state.quietShutdown) state.receivedShutdown = true
    return state.receivedShutdown
  }

  /** `SSL_set_shutdown(3)`: overwrites both flags. */
  setShutdown(sent: boolean, received: boolean): void {
    checkFlag('the sent of setShutdown', sent)
    checkFlag('the received of setShutdown', received)
    this.#state.sentShutdown = sent
    this.#state.receivedShutdown = received
  }

  /**
   * `SSL_clear(3)`: ready for another connection. The session is kept, and will be offered again, unless the bad-session
   * rule ended it.
   *
   * @returns false within a renegotiation, where libssl refuses
   */
  clear(): boolean {
    const state = this.#state
    if (this.#clearBadSession()) state.session = undefined
    this.#resetHandshake()
    if (state.renegotiating) return false
    state.generation++
    state.phase = 'before'
    state.protocolVersion = TLS1_3_VERSION
    state.isFirstHandshake = true
    state.extendedMasterSecret = false
    return true
  }

  /** `SSL_free(3)`: a session whose connection was not shut down is not to be resumed (R11.7). */
  free(): void {
    this.#clearBadSession()
    this.#state.session = undefined
    this.#state.generation++
    this.#state.phase = 'failed'
  }

  /** For the context that adopts it. */
  static switchContext(connection: SslConnection, context: ContextState): void {
    if (!(connection instanceof SslConnection))
      throw new ArgumentError(`what is adopted must be an SslConnection, got ${kindOf(connection)}`)
    if (!(context instanceof ContextState)) throw notMadeByContext(context)
    const state = connection.#state
    const previous = state.currentContext
    // R9.2: a value set by hand is kept, even if it happens to be empty.
    if (equalBytes(state.sessionIdContext, previous.sessionIdContext))
      state.sessionIdContext = context.sessionIdContext
    state.currentContext = context
  }

  #begin(isServer: boolean, renegotiation: Renegotiation): void {
    this.#expectPhase(isServer ? 'accept' : 'connect', 'before', 'established')
    const state = this.#state
    if (state.phase === 'established' && state.isTls13)
      throw new SessionStateError('TLS 1.3 has no renegotiation')
    if (state.phase === 'before') this.#resetHandshake()
    else {
      state.renegotiating = true
      state.wantsNewSession = renegotiation === 'full'
    }
    state.isServer = isServer
    state.phase = 'handshake'
  }

  #resetHandshake(): void {
    const state = this.#state
    state.hit = false
    state.isHelloRetry = false
    state.isVersionNegotiated = false
    state.sentTickets = 0
    state.isWritingTickets = false
    this.setShutdown(false, false)
  }

  #announce(verdict: ResumptionVerdict): ResumptionVerdict {
    const { context } = this.#state
    if (context.isHeard('resumption')) context.emit({ type: 'resumption', connection: this, verdict })
    return verdict
  }

  /** R11.8: such a session is neither stored nor given a ticket; its id is sent all the same. */
  #askNotResumable(session: SslSession, isForwardSecure: boolean): void {
    const { notResumableCallback, context } = this.#state
    if (notResumableCallback === undefined) return
    let isNotResumable = true
    // What libssl looks at is the suite, and those of TLS 1.3 name no key exchange.
    const isSuiteForwardSecure = isForwardSecure && !this.#state.isTls13
    context.report('not-resumable', () => {
      const answer = notResumableCallback(this, isSuiteForwardSecure)
      isNotResumable = Boolean(answer)
      return answer
    })
    sessionInternals.setNotResumable(session, isNotResumable)
    if (isNotResumable) this.#state.ticketExpected = false
  }

  /**
   * `tls_parse_stoc_key_share`: a resumed client session that now belongs to another group goes on as a copy. The object
   * that was offered stays as it is, and resumable, since the copy is what R10.15 flags.
   */
  #withKeyExchangeGroup(session: SslSession, kexGroup: number | undefined): SslSession {
    const state = this.#state
    const isUnchanged = kexGroup === undefined || kexGroup === sessionInternals.content(session).kexGroup
    if (state.isServer || !state.isTls13 || !state.hit || isUnchanged) return session
    state.session = sessionInternals.duplicateWithoutTicket(session)
    return state.session
  }

  /** R2.1: TLS 1.2 tests the flush counter before it advances. */
  #finishServer(ticketExpected: boolean): void {
    const state = this.#state
    if (!state.isTls13) updateCache(state)
    state.currentContext.counters.acceptGood++
    // One that was asked for before SSL_clear is still due.
    const isTicketDue = (ticketExpected && state.numTickets > state.sentTickets) || state.extraTickets > 0
    state.isWritingTickets = state.isTls13 && isTicketDue
  }

  #finishClient(session: SslSession): void {
    const state = this.#state
    const { context } = state
    if (!state.isTls13) updateCache(state)
    // R10.15: a client uses a TLS 1.3 ticket once.
    else if (context.hasMode(SessionCacheMode.CLIENT)) context.remove(session, 'delete')
    if (state.hit) context.counters.hits++
    context.counters.connectGood++
  }

  /** R11.7, `ssl_clear_bad_session`. */
  #clearBadSession(): boolean {
    const state = this.#state
    const isBad =
      state.session !== undefined &&
      !state.sentShutdown &&
      state.phase === 'established' &&
      !state.isFinishing
    if (isBad) state.deleteSession()
    return isBad
  }

  /** Nothing is read after a close_notify or a failure, whatever comes. */
  #isReadToEnd(): boolean {
    return this.#state.receivedShutdown || this.#state.phase === 'failed'
  }

  #fail(): void {
    this.#state.phase = 'failed'
    this.#state.generation++
  }

  #expectPhase(operation: string, expected: Phase, other: Phase = expected): void {
    const { phase } = this.#state
    if (phase !== expected && phase !== other)
      throw new SessionStateError(`${operation} is not possible now: the connection is ${phase}`)
  }

  #expectSession(operation: string, expected: Phase = 'handshake', other: Phase = expected): SslSession {
    this.#expectPhase(operation, expected, other)
    const { session } = this.#state
    if (session === undefined)
      throw new SessionStateError(`${operation} is not possible now: there is no session yet`)
    return session
  }
}

function notMadeByContext(context: unknown): ArgumentError {
  return new ArgumentError(
    `an SslConnection must be made by newConnection of an SslContext, got ${kindOf(context)}`,
  )
}

/** What a real TLS stack has decided, as an offer that leads the model to the same. */
function recordedOffer({ protocolVersion, resumed }: RecordedOutcome): ResumptionOffer {
  const offer = { protocolVersion, sessionId: new Uint8Array(0) }
  // What the stack resumed is not known: to the model there was nothing to be counted.
  if (resumed?.session === undefined) return offer
  const { session, isTicket } = resumed
  const ticket = { status: 'success', session } as const
  if (protocolVersion < TLS1_3_VERSION) return { ...offer, ticket }
  const psk = isTicket ? { ticket } : { externalPsk: session }
  return { ...offer, pskModeSupported: true, pskIdentities: [{ identity: Uint8Array.of(0), ...psk }] }
}

/** `final_maxfragmentlen`: what nobody has asked for by now is off, RFC 6066 §4. */
function settleMaxFragmentLength(session: SslSession): void {
  if (sessionInternals.traits(session).maxFragmentLengthMode === 255)
    sessionInternals.update(session, { maxFragmentLengthMode: 0 })
}
