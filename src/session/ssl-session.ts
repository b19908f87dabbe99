import { decodePem, encodePem } from '../codec/pem.ts'
import {
  decodeSslSession,
  encodeSslSession,
  locateSessionId,
  type SslSessionFields,
} from '../codec/ssl-session-der.ts'
import { ArgumentError, SessionDerError } from '../errors.ts'
import { checkBytes, kindOf } from './arguments.ts'
import { copyBytes, equalBytes, redactId, toHex } from './bytes.ts'
import { checkIdLength, checkSeconds } from './ranges.ts'

/** What a session holds besides its times, which may lie in it and mean nothing; `cipherSuite` is unknown until the ServerHello. */
export type SessionContent = Omit<SslSessionFields, 'cipherSuite' | 'timeSec' | 'timeoutSec'> & {
  readonly cipherSuite?: number
}

/** An internal cache that holds the session and orders it by expiry. */
export interface ExpiryOrder {
  /** The list of this one order, which most sessions are in. */
  readonly alone: readonly ExpiryOrder[]
  reposition(session: SslSession): void
  /** Its expiry has changed, and it stays where it is. */
  keepPlace(session: SslSession): void
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

/** Something has ended its life. */
const NOT_RESUMABLE = 1
/** Every part has been in DER, so that nothing is lost by putting it there again. */
const ENCODABLE = 2

/** Shared by sessions, and never changed. */
export interface SessionTraits {
  readonly protocolVersion: number
  readonly cipherSuite: number | undefined
  readonly sessionIdContext: Uint8Array
  readonly flags: number
  readonly compressionId: number
  readonly maxFragmentLengthMode: number
}

const NO_TRAITS: SessionTraits = {
  protocolVersion: 0,
  cipherSuite: undefined,
  sessionIdContext: EMPTY,
  flags: 0,
  compressionId: 0,
  maxFragmentLengthMode: MAX_FRAGMENT_LENGTH_UNSPECIFIED,
}

/** What only the model itself may do with a session: see {@link sessionInternals}. */
export interface SessionInternals {
  /** The live content, not to be changed by the reader. Of a compact session it is read anew, unless it was the last. */
  content(session: SslSession): SessionContent
  traits(session: SslSession): SessionTraits
  /** The creation time with its milliseconds. */
  timeMs(session: SslSession): number
  /** Writes fields of a session that no cache holds under the old ones. */
  update(session: SslSession, part: Partial<SessionContent>): void
  /** Sets the creation time with its milliseconds; every order but `except` is put right. */
  setTimeMs(session: SslSession, timeMs: number, except?: ExpiryOrder): void
  setNotResumable(session: SslSession, notResumable: boolean): void
  /** R10.4: a copy without ticket data, resumable again. */
  duplicateWithoutTicket(session: SslSession): SslSession
  /** For caches: the session takes as little memory as it can. What it holds stays the same. */
  compact(session: SslSession): void
  hasId(session: SslSession): boolean
  /** @returns the length of the id, whose bytes are now the first of `target` */
  writeId(session: SslSession, target: Uint8Array): number
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
  /** What every resumption looks at, so that nothing is decoded for it: in front, and in one place. */
  #traits: SessionTraits = NO_TRAITS
  /** The creation time in two small integers, since a larger number would be an object of its own. */
  #timeSec = 0
  #timeRestMs = 0
  #timeoutSec: number = NEW_SESSION_TIMEOUT_SEC
  /** NOT_RESUMABLE and ENCODABLE: fields of their own would take eight bytes each. */
  #bits = 0
  /** Compact, it is the DER, one UTF-16 unit a byte: a string takes a tenth of the memory of the objects. */
  #content: SessionContent | string
  #orders: readonly ExpiryOrder[] = NO_ORDERS

  /**
   * An empty session, as `SSL_SESSION_new(3)`: timeout 304 seconds, verify result 1.
   *
   * @param nowMs - its creation time, milliseconds since the epoch
   */
  constructor(nowMs: number = Date.now()) {
    this.#setTimeMs(nowMs)
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
    checkBytes('DER of a session', der)
    const content = decodeSslSession(der)
    const { timeSec, timeoutSec } = content
    const session = new SslSession(nowMs)
    session.#content = textOf(der)
    lastRead = { of: session, content }
    session.#lift()
    session.#setBit(ENCODABLE, true)
    if (timeSec !== 0) session.#setTimeMs(timeSec * 1000)
    session.#timeoutSec = timeoutSec === 0 ? UNWRITTEN_TIMEOUT_SEC : timeoutSec
    return session
  }

  /** Reads the PEM block `SSL SESSION PARAMETERS`; otherwise as {@link fromDer}. */
  static fromPem(pem: string, nowMs: number = Date.now()): SslSession {
    if (typeof pem !== 'string')
      throw new ArgumentError(`the PEM of a session must be a string, got ${kindOf(pem)}`)
    return SslSession.fromDer(decodePem(pem), nowMs)
  }

  /**
   * What `i2d_SSL_SESSION(3)` of libssl 3.5 writes, byte for byte. Holds the master key: store it sealed. Not written
   * are the resumable flag and the milliseconds of the creation time (R12.3, R6.8).
   *
   * @param sessionIdContext - to be written in place of the session's own, 0 to 32 bytes
   * @throws {@link SessionDerError} when the session has no cipher suite yet (R12.2)
   */
  toDer(sessionIdContext?: Uint8Array): Uint8Array {
    const content = this.#read()
    if (!hasSuite(content)) throw new SessionDerError('session has no cipher suite and cannot be encoded', 0)
    if (sessionIdContext === undefined) return encodeSslSession(content, this)
    checkIdLength('session id context', sessionIdContext)
    return encodeSslSession({ ...content, sessionIdContext }, this)
  }

  /** {@link toDer} as PEM. Holds the master key. */
  toPem(): string {
    return encodePem(this.toDer())
  }

  /** `SSL_SESSION_dup(3)`: an independent copy that no cache holds; a copy of what is not resumable is not either. */
  dup(): SslSession {
    const copy = new SslSession(this.#timeMs)
    const content = this.#read()
    copy.#replace(content.ticket === undefined ? withoutTicket(content) : { ...content })
    copy.#timeoutSec = this.#timeoutSec
    copy.#bits = this.#bits
    return copy
  }

  get protocolVersion(): number {
    return this.#traits.protocolVersion
  }

  /** The two bytes of the suite, big endian; undefined before it was negotiated. */
  get cipherSuite(): number | undefined {
    return this.#traits.cipherSuite
  }

  /** A copy, 0 to 32 bytes. */
  get sessionId(): Uint8Array {
    return copyBytes(this.#read().sessionId)
  }

  /** A copy, 0 to 32 bytes. */
  get sessionIdContext(): Uint8Array {
    return copyBytes(this.#traits.sessionIdContext)
  }

  /** The server name the session was made for, if it was acknowledged. */
  get hostname(): string | undefined {
    const { hostname } = this.#read()
    return hostname && textOf(hostname)
  }

  /** `SSL_SESSION_get0_peer(3)`: the DER of the peer's certificate, a copy; undefined when it showed none. */
  get peerCertificate(): Uint8Array | undefined {
    const { peerCertificate } = this.#read()
    return peerCertificate && copyBytes(peerCertificate)
  }

  /** `SSL_get_verify_result(3)` of the handshake that made it: 0 is X509_V_OK, also when the peer showed no certificate. */
  get verifyResult(): number {
    return this.#read().verifyResult
  }

  /** `SSL_SESSION_get0_ticket_appdata(3)`, a copy. */
  get ticketAppData(): Uint8Array | undefined {
    const { ticketAppData } = this.#read()
    return ticketAppData && copyBytes(ticketAppData)
  }

  /** The NamedGroup of the key exchange, RFC 8446 §4.2.7; 0 when it had none. */
  get kexGroup(): number {
    return this.#read().kexGroup
  }

  /** `SSL_SESSION_get_ticket_lifetime_hint(3)`, seconds. */
  get ticketLifetimeHintSec(): number {
    return Number(this.#read().ticketLifetimeHintSec)
  }

  /** `SSL_SESSION_get_max_early_data(3)`, bytes. */
  get maxEarlyData(): number {
    return this.#read().maxEarlyData
  }

  get hasTicket(): boolean {
    return (this.#read().ticket?.length ?? 0) > 0
  }

  get extendedMasterSecret(): boolean {
    return (this.#traits.flags & FLAG_EXTENDED_MASTER_SECRET) !== 0
  }

  /** Creation time in whole seconds since the epoch. */
  get timeSec(): number {
    return this.#timeSec
  }

  /** Seconds after the creation time at which the session expires. */
  get timeoutSec(): number {
    return this.#timeoutSec
  }

  /** The last millisecond of its life; Infinity when the sum exceeds 2^64 ns, as libssl saturates it (R6.6). */
  get expiresAtMs(): number {
    const expiry = (this.#timeSec + this.#timeoutSec) * 1000 + this.#timeRestMs
    return expiry > MAX_EXPIRY_MS ? Number.POSITIVE_INFINITY : expiry
  }

  /** R11.3: has an id or a ticket, and nothing has ended its life. Says nothing about its age. */
  get isResumable(): boolean {
    return !this.#hasBit(NOT_RESUMABLE) && (this.#read().sessionId.length > 0 || this.hasTicket)
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
    this.#own().sessionIdContext = copyBytes(checkIdLength('session id context', context))
    this.#lift()
  }

  /** `SSL_SESSION_set1_hostname(3)`. @param hostname - copied; undefined for none */
  setHostname(hostname: Uint8Array | undefined): void {
    if (hostname !== undefined) this.#own().hostname = copyBytes(hostname)
    else if (this.#read().hostname !== undefined) {
      const { hostname: _, ...content } = this.#read()
      this.#replace(content)
    }
    // R12.5: the DER's would end there.
    if (hostname?.includes(0) === true) this.#setBit(ENCODABLE, false)
  }

  /** `SSL_SESSION_set1_ticket_appdata(3)`: libssl carries it into the tickets of a resumed connection. @param data - copied */
  setTicketAppData(data: Uint8Array): void {
    this.#own().ticketAppData = copyBytes(data)
  }

  #hasBit(bit: number): boolean {
    return (this.#bits & bit) !== 0
  }

  #setBit(bit: number, isSet: boolean): void {
    this.#bits = isSet ? this.#bits | bit : this.#bits & ~bit
  }

  get #timeMs(): number {
    return this.#timeSec * 1000 + this.#timeRestMs
  }

  #setTimeMs(timeMs: number): void {
    this.#timeSec = Math.floor(timeMs / 1000)
    this.#timeRestMs = timeMs - this.#timeSec * 1000
  }

  #read(): SessionContent {
    if (typeof this.#content !== 'string') return this.#content
    if (lastRead?.of !== this) lastRead = { of: this, content: decodeCompact(this.#content) }
    return lastRead.content
  }

  /** The content, which no other session has, to be changed. */
  #own(): { -readonly [K in keyof SessionContent]: SessionContent[K] } {
    const content = this.#read()
    this.#content = content
    return content
  }

  #replace(content: SessionContent): void {
    this.#content = content
    this.#lift()
  }

  #lift(): void {
    this.#traits = sharedTraits(this.#read())
  }

  #compact(): void {
    const content = this.#content
    if (typeof content === 'string' || !this.#hasBit(ENCODABLE) || !hasSuite(content)) return
    this.#content = textOf(encodeSslSession(content, NO_TIMES))
    if (lastRead?.of === this) lastRead = undefined
  }

  /** Without secrets: `JSON.stringify`, `console.log` and `util.inspect` show this. */
  toJSON(): Record<string, unknown> {
    return {
      protocolVersion: `0x${this.protocolVersion.toString(16).padStart(4, '0')}`,
      cipherSuite:
        this.cipherSuite === undefined ? null : `0x${this.cipherSuite.toString(16).padStart(4, '0')}`,
      sessionId: redactId(this.#read().sessionId),
      sessionIdContext: toHex(this.#read().sessionIdContext),
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
      content: (session) => session.#read(),
      traits: (session) => session.#traits,
      timeMs: (session) => session.#timeMs,
      update(session, part) {
        const names = Object.keys(part)
        if (names.length === 0) return
        Object.assign(session.#own(), part)
        session.#lift()
        if (!names.every((name) => ALWAYS_ENCODABLE.has(name))) session.#setBit(ENCODABLE, false)
      },
      compact: (session) => session.#compact(),
      hasId: (session) =>
        typeof session.#content === 'string'
          ? locateSessionId(session.#content).length > 0
          : session.#content.sessionId.length > 0,
      writeId(session, target) {
        const content = session.#content
        if (typeof content !== 'string') {
          target.set(content.sessionId)
          return content.sessionId.length
        }
        const { offset, length } = locateSessionId(content)
        for (let index = 0; index < length; index++) target[index] = content.charCodeAt(offset + index)
        return length
      },
      setTimeMs(session, timeMs, except) {
        session.#setTimeMs(timeMs)
        for (const order of session.#orders) {
          if (order === except) order.keepPlace(session)
          else order.reposition(session)
        }
      },
      setNotResumable(session, notResumable) {
        session.#setBit(NOT_RESUMABLE, notResumable)
      },
      duplicateWithoutTicket(session) {
        const copy = session.dup()
        copy.#replace(withoutTicket(session.#read()))
        copy.#setBit(NOT_RESUMABLE, false)
        return copy
      },
      addOrder(session, order) {
        session.#orders = session.#orders.length === 0 ? order.alone : [...session.#orders, order]
      },
      removeOrder(session, order) {
        session.#orders =
          session.#orders === order.alone ? NO_ORDERS : session.#orders.filter((one) => one !== order)
      },
    }
  }
}

function hasSuite(content: SessionContent): content is SessionContent & { readonly cipherSuite: number } {
  return content.cipherSuite !== undefined
}

/** What the model puts there fits into the DER as it is. */
const ALWAYS_ENCODABLE: ReadonlySet<string> = new Set([
  'sessionId',
  'maxFragmentLengthMode',
  'kexGroup',
  'maxEarlyData',
])

/** The times of a compact session are not those of its DER. */
const NO_TIMES = { timeSec: 0, timeoutSec: 0 }

const NO_ORDERS: readonly ExpiryOrder[] = []

/** One object for all sessions that agree in these: a process has few kinds of them. The latest kinds are remembered. */
const knownTraits: SessionTraits[] = []
const MAX_KNOWN_TRAITS = 8
let nextTraits = 0

function sharedTraits(content: SessionContent): SessionTraits {
  for (const traits of knownTraits) if (hasTraits(content, traits)) return traits
  const { protocolVersion, cipherSuite, sessionIdContext, flags, compressionId, maxFragmentLengthMode } =
    content
  const traits: SessionTraits = {
    protocolVersion,
    cipherSuite,
    sessionIdContext: copyBytes(sessionIdContext),
    flags,
    compressionId,
    maxFragmentLengthMode,
  }
  knownTraits[nextTraits] = traits
  nextTraits = (nextTraits + 1) % MAX_KNOWN_TRAITS
  return traits
}

function hasTraits(content: SessionContent, traits: SessionTraits): boolean {
  return (
    content.protocolVersion === traits.protocolVersion &&
    content.cipherSuite === traits.cipherSuite &&
    content.flags === traits.flags &&
    content.compressionId === traits.compressionId &&
    content.maxFragmentLengthMode === traits.maxFragmentLengthMode &&
    equalBytes(content.sessionIdContext, traits.sessionIdContext)
  )
}

/** Whoever reads a field of a compact session mostly reads another one next. */
let lastRead: { readonly of: SslSession; readonly content: SessionContent } | undefined

/** One UTF-16 unit a byte. A call takes only so many arguments; spread out, they would take seven times as long. */
function textOf(bytes: Uint8Array): string {
  if (bytes.length <= 4096) return Reflect.apply(String.fromCharCode, undefined, bytes)
  return textOf(bytes.subarray(0, 4096)) + textOf(bytes.subarray(4096))
}

function decodeCompact(text: string): SessionContent {
  const der = new Uint8Array(text.length)
  for (let index = 0; index < text.length; index++) der[index] = text.charCodeAt(index)
  return decodeSslSession(der)
}

/** `ssl_session_dup` drops the hint with the ticket. */
function withoutTicket({ ticket, ...content }: SessionContent): SessionContent {
  return { ...content, ticketLifetimeHintSec: 0n }
}
