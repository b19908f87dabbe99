import { decodePem, encodePem } from '../codec/pem.ts'
import { decodeSslSession, encodeSslSession, type SslSessionFields } from '../codec/ssl-session-der.ts'
import { SessionDerError } from '../errors.ts'
import { copyBytes, redactId, toHex } from './bytes.ts'
import { checkIdLength, checkSeconds } from './ranges.ts'

/** What a session holds besides its times; `cipherSuite` is unknown until the ServerHello. */
export type SessionContent = Omit<SslSessionFields, 'cipherSuite' | 'timeSec' | 'timeoutSec'> & {
  readonly cipherSuite?: number
}

/** An internal cache that holds the session and orders it by expiry. */
export interface ExpiryOrder {
  reposition(session: SslSession): void
}

/** R6.1: what `SSL_SESSION_new` gives, five minutes and four seconds. */
const NEW_SESSION_TIMEOUT_SEC = 304
/** R12: what `d2i_SSL_SESSION` puts for an absent or zero timeout. */
const UNWRITTEN_TIMEOUT_SEC = 3
/** R6.6: 2^64 nanoseconds; a later expiry saturates and means "never". */
const MAX_EXPIRY_MS = 18_446_744_073_709
const EMPTY = new Uint8Array(0)
/** TLSEXT_max_fragment_length_UNSPECIFIED: not negotiated yet. */
const MAX_FRAGMENT_LENGTH_UNSPECIFIED = 255
const FLAG_EXTENDED_MASTER_SECRET = 1

/** What only the model itself may do with a session: see {@link sessionInternals}. */
export interface SessionInternals {
  /** The live content, not to be changed by the reader. */
  content(session: SslSession): SessionContent
  /** The creation time with its milliseconds. */
  timeMs(session: SslSession): number
  /** Writes fields of a session that no cache holds under the old ones. */
  update(session: SslSession, part: Partial<SessionContent>): void
  /** Sets the creation time with its milliseconds; every order but `except` is put right. */
  setTimeMs(session: SslSession, timeMs: number, except?: ExpiryOrder): void
  setNotResumable(session: SslSession, notResumable: boolean): void
  /** R10.4: a copy without ticket data, resumable again. */
  duplicateWithoutTicket(session: SslSession): SslSession
  addOrder(session: SslSession, order: ExpiryOrder): void
  removeOrder(session: SslSession, order: ExpiryOrder): void
}

export let sessionInternals: SessionInternals

/**
 * A TLS session, `SSL_SESSION` of libssl: what a handshake made and a later one may resume. An object is shared by
 * reference between a cache and the connections that use it; its resumability, time and timeout may change, and every
 * holder sees it. Its master key and ticket leave it only through {@link toDer} and {@link toPem}.
 */
export class SslSession {
  #content: SessionContent
  #timeMs: number
  #timeoutSec: number = NEW_SESSION_TIMEOUT_SEC
  #notResumable = false
  readonly #orders: Set<ExpiryOrder> = new Set()

  /**
   * An empty session, as `SSL_SESSION_new(3)`: timeout 304 seconds, verify result 1.
   *
   * @param nowMs - its creation time, milliseconds since the epoch
   */
  constructor(nowMs: number = Date.now()) {
    this.#timeMs = nowMs
    this.#content = {
      protocolVersion: 0,
      sessionId: EMPTY,
      masterKey: EMPTY,
      sessionIdContext: EMPTY,
      verifyResult: 1,
      ticketLifetimeHintSec: 0n,
      compressionId: 0,
      flags: 0,
      ticketAgeAdd: 0,
      maxEarlyData: 0,
      maxFragmentLengthMode: MAX_FRAGMENT_LENGTH_UNSPECIFIED,
      kexGroup: 0,
    }
  }

  /**
   * Reads what `i2d_SSL_SESSION(3)` wrote; strict DER, departure D9.
   *
   * @param der - copied
   * @param nowMs - becomes the creation time when the encoding holds none (R12)
   * @throws {@link SessionDerError} for anything else
   */
  static fromDer(der: Uint8Array, nowMs: number = Date.now()): SslSession {
    const { timeSec, timeoutSec, ...content } = decodeSslSession(der)
    const session = new SslSession(nowMs)
    session.#content = content
    if (timeSec !== 0) session.#timeMs = timeSec * 1000
    session.#timeoutSec = timeoutSec === 0 ? UNWRITTEN_TIMEOUT_SEC : timeoutSec
    return session
  }

  /** Reads the PEM block `SSL SESSION PARAMETERS`; otherwise as {@link fromDer}. */
  static fromPem(pem: string, nowMs: number = Date.now()): SslSession {
    return SslSession.fromDer(decodePem(pem), nowMs)
  }

  /**
   * What `i2d_SSL_SESSION(3)` of libssl 3.5 writes, byte for byte. Holds the master key: store it sealed. Not written
   * are the resumable flag and the milliseconds of the creation time (R12.3, R6.8).
   *
   * @throws {@link SessionDerError} when the session has no cipher suite yet (R12.2)
   */
  toDer(): Uint8Array {
    const { cipherSuite, ...content } = this.#content
    if (cipherSuite === undefined)
      throw new SessionDerError('session has no cipher suite and cannot be encoded', 0)
    return encodeSslSession({ ...content, cipherSuite, timeSec: this.timeSec, timeoutSec: this.#timeoutSec })
  }

  /** {@link toDer} as PEM. Holds the master key. */
  toPem(): string {
    return encodePem(this.toDer())
  }

  /** `SSL_SESSION_dup(3)`: an independent copy that no cache holds; a copy of what is not resumable is not either. */
  dup(): SslSession {
    const copy = new SslSession(this.#timeMs)
    copy.#content = this.#content.ticket === undefined ? withoutTicket(this.#content) : { ...this.#content }
    copy.#timeoutSec = this.#timeoutSec
    copy.#notResumable = this.#notResumable
    return copy
  }

  get protocolVersion(): number {
    return this.#content.protocolVersion
  }

  /** The two bytes of the suite, big endian; undefined before it was negotiated. */
  get cipherSuite(): number | undefined {
    return this.#content.cipherSuite
  }

  /** A copy, 0 to 32 bytes. */
  get sessionId(): Uint8Array {
    return copyBytes(this.#content.sessionId)
  }

  /** A copy, 0 to 32 bytes. */
  get sessionIdContext(): Uint8Array {
    return copyBytes(this.#content.sessionIdContext)
  }

  /** The server name the session was made for, if it was acknowledged. */
  get hostname(): string | undefined {
    const { hostname } = this.#content
    return hostname === undefined ? undefined : String.fromCharCode(...hostname)
  }

  /** `SSL_SESSION_get0_peer(3)`: the DER of the peer's certificate, a copy; undefined when it showed none. */
  get peerCertificate(): Uint8Array | undefined {
    const { peerCertificate } = this.#content
    return peerCertificate && copyBytes(peerCertificate)
  }

  /** `SSL_get_verify_result(3)` of the handshake that made it: 0 is X509_V_OK, also when the peer showed no certificate. */
  get verifyResult(): number {
    return this.#content.verifyResult
  }

  /** `SSL_SESSION_get0_ticket_appdata(3)`, a copy. */
  get ticketAppData(): Uint8Array | undefined {
    const { ticketAppData } = this.#content
    return ticketAppData && copyBytes(ticketAppData)
  }

  /** The NamedGroup of the key exchange, RFC 8446 §4.2.7; 0 when it had none. */
  get kexGroup(): number {
    return this.#content.kexGroup
  }

  /** `SSL_SESSION_get_ticket_lifetime_hint(3)`, seconds. */
  get ticketLifetimeHintSec(): number {
    return Number(this.#content.ticketLifetimeHintSec)
  }

  /** `SSL_SESSION_get_max_early_data(3)`, bytes. */
  get maxEarlyData(): number {
    return this.#content.maxEarlyData
  }

  get hasTicket(): boolean {
    return (this.#content.ticket?.length ?? 0) > 0
  }

  get extendedMasterSecret(): boolean {
    return (this.#content.flags & FLAG_EXTENDED_MASTER_SECRET) !== 0
  }

  /** Creation time in whole seconds since the epoch. */
  get timeSec(): number {
    return Math.floor(this.#timeMs / 1000)
  }

  /** Seconds after the creation time at which the session expires. */
  get timeoutSec(): number {
    return this.#timeoutSec
  }

  /** The last millisecond of its life; Infinity when the sum exceeds 2^64 ns, as libssl saturates it (R6.6). */
  get expiresAtMs(): number {
    const expiry = this.#timeMs + this.#timeoutSec * 1000
    return expiry > MAX_EXPIRY_MS ? Number.POSITIVE_INFINITY : expiry
  }

  /** R11.3: has an id or a ticket, and nothing has ended its life. Says nothing about its age. */
  get isResumable(): boolean {
    return !this.#notResumable && (this.#content.sessionId.length > 0 || this.hasTicket)
  }

  /**
   * `SSL_SESSION_set_time(3)`. Caches that hold the session reorder it.
   *
   * @param seconds - since the epoch, 0 to 18446744073
   * @throws {@link SessionRangeError} otherwise (D5)
   */
  setTime(seconds: number): void {
    sessionInternals.setTimeMs(this, checkSeconds('session time', seconds) * 1000)
  }

  /**
   * `SSL_SESSION_set_timeout(3)`. Caches that hold the session reorder it.
   *
   * @param seconds - 0 to 18446744073
   * @throws {@link SessionRangeError} otherwise (R6.4, D5)
   */
  setTimeout(seconds: number): void {
    this.#timeoutSec = checkSeconds('session timeout', seconds)
    for (const order of this.#orders) order.reposition(this)
  }

  /**
   * `SSL_SESSION_set1_id_context(3)`.
   *
   * @param context - 0 to 32 bytes; copied
   * @throws {@link SessionRangeError} when longer (R9.1)
   */
  setSessionIdContext(context: Uint8Array): void {
    this.#content = {
      ...this.#content,
      sessionIdContext: copyBytes(checkIdLength('session id context', context)),
    }
  }

  /** `SSL_SESSION_set1_hostname(3)`. @param hostname - copied; undefined for none */
  setHostname(hostname: Uint8Array | undefined): void {
    const { hostname: _, ...content } = this.#content
    this.#content = hostname === undefined ? content : { ...content, hostname: copyBytes(hostname) }
  }

  /** `SSL_SESSION_set1_ticket_appdata(3)`: libssl carries it into the tickets of a resumed connection. @param data - copied */
  setTicketAppData(data: Uint8Array): void {
    this.#content = { ...this.#content, ticketAppData: copyBytes(data) }
  }

  /** Without secrets: `JSON.stringify`, `console.log` and `util.inspect` show this. */
  toJSON(): Record<string, unknown> {
    return {
      protocolVersion: `0x${this.protocolVersion.toString(16).padStart(4, '0')}`,
      cipherSuite:
        this.cipherSuite === undefined ? null : `0x${this.cipherSuite.toString(16).padStart(4, '0')}`,
      sessionId: redactId(this.#content.sessionId),
      sessionIdContext: toHex(this.#content.sessionIdContext),
      timeSec: this.timeSec,
      timeoutSec: this.#timeoutSec,
      isResumable: this.isResumable,
      hasTicket: this.hasTicket,
    }
  }

  static {
    Object.defineProperty(SslSession.prototype, Symbol.for('nodejs.util.inspect.custom'), {
      value(this: SslSession): string {
        return `SslSession ${JSON.stringify(this)}`
      },
    })
    sessionInternals = {
      content: (session) => session.#content,
      timeMs: (session) => session.#timeMs,
      update(session, part) {
        session.#content = { ...session.#content, ...part }
      },
      setTimeMs(session, timeMs, except) {
        session.#timeMs = timeMs
        for (const order of session.#orders) if (order !== except) order.reposition(session)
      },
      setNotResumable(session, notResumable) {
        session.#notResumable = notResumable
      },
      duplicateWithoutTicket(session) {
        const copy = session.dup()
        copy.#content = withoutTicket(session.#content)
        copy.#notResumable = false
        return copy
      },
      addOrder: (session, order) => session.#orders.add(order),
      removeOrder: (session, order) => session.#orders.delete(order),
    }
  }
}

/** `ssl_session_dup` drops the hint with the ticket. */
function withoutTicket({ ticket, ...content }: SessionContent): SessionContent {
  return { ...content, ticketLifetimeHintSec: 0n }
}
