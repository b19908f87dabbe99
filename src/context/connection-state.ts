import type { Awaitable } from '../session/awaitable.ts'
import { equalBytes } from '../session/bytes.ts'
import type { GenerateSessionId, NotResumableCallback, SessionConnection } from '../session/contracts.ts'
import type { RefusalReason } from '../session/reasons.ts'
import { Alert, type AlertLevel, SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'
import type { Refusal } from '../session/verdict.ts'
import type { ContextState } from './context-state.ts'

/** `failed` is libssl's error state: no handshake goes on from there, and the bad-session rule does not apply. */
export type Phase = 'before' | 'handshake' | 'established' | 'failed'

const NO_ID = new Uint8Array(0)

/** What an `SSL` holds, shared by the rules of this folder. Settings are copied from the context by `SSL_new(3)`. */
export class ConnectionState {
  readonly handle: SessionConnection
  /** session_ctx: for its whole life the owner of cache, callbacks, mode and timeout. */
  readonly context: ContextState
  /** The current ctx, which a servername callback may switch. */
  currentContext: ContextState
  /** The one that counts the first handshake which is under way. */
  countedContext: ContextState

  sessionIdContext: Uint8Array
  verifyMode: number
  options: number
  numTickets: number
  maxEarlyData: number
  generateSessionId: GenerateSessionId | undefined
  notResumableCallback: NotResumableCallback | undefined
  quietShutdown = false
  /** TLS 1.3 sessions are used once; see {@link isSingleUse}. */
  singleUse = false

  isServer = false
  phase: Phase = 'before'
  /** TLS 1.3 until something else is negotiated, as in `SSL_new` with `TLS_method`. */
  protocolVersion: number = TLS1_3_VERSION
  /** The peer has agreed to it, or named it: a server's from the ClientHello on, a client's from the first answer on. */
  isVersionNegotiated = false
  session: SslSession | undefined
  /** The "hit" flag of `SSL_session_reused(3)`. */
  hit = false
  sentShutdown = false
  receivedShutdown = false

  /** False once a handshake has finished: what begins then is a renegotiation. */
  isFirstHandshake = true
  renegotiating = false
  /** A renegotiation that was asked for as a full one. */
  wantsNewSession = false
  isHelloRetry = false
  extendedMasterSecret = false
  /** A ticket will be sent at the end of this handshake (R10.3). */
  ticketExpected = false
  sentTickets = 0
  extraTickets = 0
  /** TLS 1.3 servers: the next thing to send is a NewSessionTicket. */
  isWritingTickets = false
  /** The legacy session id of a TLS 1.3 ClientHello, repeated after a HelloRetryRequest. */
  legacySessionId: Uint8Array = NO_ID
  offeredPsk = false
  /** Caches and callbacks hear of the session, by whom the connection may be called. */
  isUpdatingCache = false
  /** Settles when the new callbacks called so far have answered; undefined when none is being awaited. */
  reported: Promise<unknown> | undefined
  /** Whether the new callback has taken the latest session. */
  latestReport: Awaitable<boolean> = true
  /** Changes when what was awaited for an earlier handshake no longer matters. */
  generation = 0

  constructor(handle: SessionConnection, context: ContextState) {
    this.handle = handle
    this.context = context
    this.currentContext = context
    this.countedContext = context
    this.sessionIdContext = context.sessionIdContext
    this.verifyMode = context.verifyMode
    this.options = context.options
    this.numTickets = context.numTickets
    this.maxEarlyData = context.maxEarlyData
    this.generateSessionId = context.generateSessionId
    this.notResumableCallback = context.notResumableCallback
  }

  /** Established, and to `SSL_in_init(3)` not yet: a ticket is to be written, or the callbacks are hearing of the session. */
  get isFinishing(): boolean {
    return this.isWritingTickets || this.isUpdatingCache
  }

  get isTls13(): boolean {
    return this.protocolVersion === TLS1_3_VERSION
  }

  hasOption(option: number): boolean {
    return (this.options & option) !== 0
  }

  /** @param context - not kept */
  setSessionIdContext(context: Uint8Array): void {
    if (!equalBytes(context, this.sessionIdContext))
      this.sessionIdContext = this.context.copyOfSessionIdContext(context)
  }

  /** With anti-replay a ticket may be used once: it is deleted from the internal cache by its use (R10.8). */
  get isAntiReplay(): boolean {
    return this.maxEarlyData > 0 && !this.hasOption(SslOption.NO_ANTI_REPLAY)
  }

  /**
   * One place decides: with an external cache its get-and-delete, for which an internal copy is never enough; without
   * one the internal removal. A session of TLS 1.2 is used again by its very nature.
   */
  get isSingleUse(): boolean {
    return this.singleUse && this.isTls13
  }

  /** R10.1: the ticket is the session id. */
  get hasStatefulTickets(): boolean {
    return this.hasOption(SslOption.NO_TICKET) || this.isAntiReplay
  }

  /**
   * `ssl3_send_alert`: a fatal alert costs the session its life (R5.2).
   *
   * @returns false when the alert is dropped, without any effect, because close_notify has been sent
   */
  sendAlert(level: AlertLevel, description: number): boolean {
    if (this.sentShutdown && description !== Alert.CLOSE_NOTIFY) return false
    if (level === 'fatal') this.deleteSession()
    return true
  }

  /**
   * R7, `final_server_name`: a first handshake is counted by the context that the connection has before its servername callback
   * is called, and not again after a HelloRetryRequest. What that callback switches to is not counted, since 3.2.
   */
  countInCurrentContext(): void {
    const { countedContext, currentContext } = this
    if (!this.isFirstHandshake || this.isHelloRetry || countedContext === currentContext) return
    countedContext.counters.accept--
    currentContext.counters.accept++
    this.countedContext = currentContext
  }

  deleteSession(): void {
    if (this.session !== undefined) this.context.remove(this.session, 'delete')
  }

  /** `SSLfatal`: the handshake has failed, with the alert already accounted for. */
  fail(reason: RefusalReason, alert: number): Refusal & { readonly alert: number } {
    this.sendAlert('fatal', alert)
    this.phase = 'failed'
    return { resume: false, reason, alert }
  }
}
