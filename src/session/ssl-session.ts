import {
  compactFields,
  editCompact,
  fieldsOfCompact,
  isOctets,
  lendCompact,
  lendOctets,
  type OctetsReader,
  octetsLength,
  readMasterKey,
  readNumber,
  readOctets,
  readPeerCertificate,
  sessionIdLength,
  writeDerOfCompact,
  writeSessionId,
} from '../codec/compact-session.ts'
import { copySpan } from '../codec/der.ts'
import { latin1 } from '../codec/latin1.ts'
import { decodePem, encodePem } from '../codec/pem.ts'
import { outlineSslSession, sessionWriter, writeSslSession } from '../codec/ssl-session-der.ts'
import { ArgumentError, SessionDerError } from '../errors.ts'
import { checkBytes, kindOf } from './arguments.ts'
import { copyBytes, equalBytes } from './bytes.ts'
import { checkIdLength, checkMilliseconds, checkSeconds } from './ranges.ts'
import {
  applyEdits,
  DerContent,
  hasSuite,
  NEW_CONTENT,
  type SessionContent,
  type SessionEdits,
  type Writable,
  withoutTicket,
} from './session-content.ts'
import { describeSession } from './session-description.ts'
import type { ExpiryOrder, SessionInternals } from './session-internals.ts'
import { type SessionTraits, sharedTraits } from './session-traits.ts'

/** R6.1: what `SSL_SESSION_new` gives, five minutes and four seconds. */
const NEW_SESSION_TIMEOUT_SEC = 304
/** R12: what `d2i_SSL_SESSION` puts for an absent or zero timeout. */
const UNWRITTEN_TIMEOUT_SEC = 3
/** R6.6: 2^64 nanoseconds; a later expiry saturates and means "never". */
const MAX_EXPIRY_MS = 18_446_744_073_709
const EMPTY = new Uint8Array(0)
const FLAG_EXTENDED_MASTER_SECRET = 1

const NEW_TRAITS: SessionTraits = sharedTraits(NEW_CONTENT, EMPTY, 0, 0)

/** Something has ended its life. */
const NOT_RESUMABLE = 1
/** Every part has been in DER, so that nothing is lost by putting it there again. */
const ENCODABLE = 2
/** Its times are those in its DER, but for a timeout that {@link SessionInternals.limitTimeout} made shorter. */
const TIMES_AS_WRITTEN = 4
/** Its content is still the DER with which it came. */
const IN_DER = 8

export let sessionInternals: SessionInternals

/**
 * A TLS session, `SSL_SESSION` of libssl: what a handshake made and a later one may resume. An object is shared by
 * reference between a cache and the connections that use it; its resumability, time and timeout may change, and every
 * holder sees it. Its master key and ticket leave it only through {@link toDer} and {@link toPem}.
 *
 * @example
 * ```ts
 * const context = new SslContext()
 * context.subscribe((event) => {
 *   if (event.type !== 'new-session') return
 *   const copy = SslSession.fromDer(event.session.toDer())
 *   console.log(copy.protocolVersion, copy.timeoutSec)
 * })
 * ```
 */
export class SslSession {
  /** What every resumption looks at, so that nothing is decoded for it: in front, and in one place. */
  #traits: SessionTraits = NEW_TRAITS
  /** The creation time in two small integers, since a larger number would be an object of its own. */
  #timeSec = 0
  #timeRestMs = 0
  #timeoutSec: number = NEW_SESSION_TIMEOUT_SEC
  /** NOT_RESUMABLE to IN_DER: fields of their own would take eight bytes each. */
  #bits = 0
  /** What was in DER is compact: nothing of it is decoded until somebody asks. */
  #content: SessionContent | string | DerContent = NEW_CONTENT
  #orders: readonly ExpiryOrder[] = NO_ORDERS

  /**
   * An empty session, as `SSL_SESSION_new(3)`: timeout 304 seconds, verify result 1.
   *
   * @param nowMs - its creation time, milliseconds since the epoch
   * @throws {@link SessionRangeError} for what is no such time (D5)
   */
  constructor(nowMs: number = Date.now()) {
    checkMilliseconds('creation time', nowMs)
    this.#setTimeMs(nowMs)
  }

  /**
   * Reads what `i2d_SSL_SESSION(3)` wrote; strict DER, departure D9.
   *
   * @param der - copied
   * @param nowMs - becomes the creation time when the encoding holds none (R12); the present by default
   * @throws {@link SessionDerError} for anything else
   */
  static fromDer(der: Uint8Array, nowMs?: number): SslSession {
    checkBytes('DER of a session', der)
    if (nowMs !== undefined) checkMilliseconds('creation time', nowMs)
    const session = SslSession.#borrow(der, nowMs)
    session.#compact()
    return session
  }

  static #borrow(der: Uint8Array, nowMs?: number, absentHostname?: string): SslSession {
    const outline = outlineSslSession(der)
    const { layout, timeSec, timeoutSec } = outline
    const { sessionIdContext, isCanonical } = layout
    const session = new SslSession(timeSec === 0 ? (nowMs ?? Date.now()) : timeSec * 1000)
    session.#content = new DerContent(der, outline, absentHostname)
    session.#traits = sharedTraits(layout, der, sessionIdContext?.start ?? 0, sessionIdContext?.end ?? 0)
    const isAsWritten = isCanonical && timeSec !== 0 && timeoutSec !== 0
    session.#bits = isAsWritten ? ENCODABLE | IN_DER | TIMES_AS_WRITTEN : ENCODABLE | IN_DER
    session.#timeoutSec = timeoutSec === 0 ? UNWRITTEN_TIMEOUT_SEC : timeoutSec
    return session
  }

  /** Reads the PEM block `SSL SESSION PARAMETERS`; otherwise as {@link fromDer}. */
  static fromPem(pem: string, nowMs?: number): SslSession {
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
    this.#writeDer(sessionIdContext)
    return sessionWriter.finish()
  }

  #writeDer(sessionIdContext: Uint8Array = this.#traits.sessionIdContext): void {
    checkBytes('session id context', sessionIdContext)
    checkIdLength('session id context', sessionIdContext)
    const content = this.#settle()
    if (typeof content === 'string') writeDerOfCompact(content, this, sessionIdContext)
    else if (hasSuite(content)) writeSslSession({ ...content, sessionIdContext }, this)
    else throw new SessionDerError('session has no cipher suite and cannot be encoded', 0)
  }

  /** {@link toDer} as PEM. Holds the master key. */
  toPem(): string {
    return encodePem(this.toDer())
  }

  /** `SSL_SESSION_dup(3)`: an independent copy that no cache holds; a copy of what is not resumable is not either. */
  dup(): SslSession {
    const copy = new SslSession(this.#getTimeMs())
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
    const bytes = new Uint8Array(this.#lengthOfId())
    this.#writeId(bytes)
    return bytes
  }

  /** A copy, 0 to 32 bytes. */
  get sessionIdContext(): Uint8Array {
    return copyBytes(this.#traits.sessionIdContext)
  }

  /** The server name the session was made for, if it was acknowledged. */
  get hostname(): string | undefined {
    const content = this.#content
    // Not a part of the text, which would keep all of it, the master key too, as long as somebody has the name.
    const hostname = typeof content === 'string' ? readOctets(content, 'hostname') : content.hostname
    return hostname && latin1(hostname, 0, hostname.length)
  }

  /** `SSL_SESSION_get0_peer(3)`: the DER of the peer's certificate, a copy; undefined when it showed none. */
  get peerCertificate(): Uint8Array | undefined {
    const content = this.#settle()
    if (typeof content === 'string') return readPeerCertificate(content)
    return content.peerCertificate && copyBytes(content.peerCertificate)
  }

  /** `SSL_get_verify_result(3)` of the handshake that made it: 0 is X509_V_OK, also when the peer showed no certificate. */
  get verifyResult(): number {
    return this.#number('verifyResult')
  }

  /** `SSL_SESSION_get0_ticket_appdata(3)`, a copy. */
  get ticketAppData(): Uint8Array | undefined {
    return this.#lendTicketAppData((bytes, start, end) => copySpan(bytes, { start, end }))
  }

  /** The NamedGroup of the key exchange, RFC 9846 §4.3.7 (RFC 8446 §4.2.7); 0 when it had none. */
  get kexGroup(): number {
    return this.#number('kexGroup')
  }

  /** `SSL_SESSION_get_ticket_lifetime_hint(3)`, seconds. */
  get ticketLifetimeHintSec(): number {
    return Number(this.#read().ticketLifetimeHintSec)
  }

  /** `SSL_SESSION_get_max_early_data(3)`, bytes. */
  get maxEarlyData(): number {
    return this.#number('maxEarlyData')
  }

  get hasTicket(): boolean {
    const der = this.#der()
    if (der !== undefined) return der.ticketLength > 0
    const content = this.#settled()
    return (typeof content === 'string' ? octetsLength(content, 'ticket') : (content.ticket?.length ?? 0)) > 0
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
    return !this.#hasBit(NOT_RESUMABLE) && (this.#lengthOfId() > 0 || this.hasTicket)
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
    this.#setTimeout(checkSeconds('session timeout', seconds))
    this.#setBit(TIMES_AS_WRITTEN, false)
  }

  #setTimeout(seconds: number): void {
    this.#timeoutSec = seconds
    for (const order of this.#orders) order.reposition(this)
  }

  /**
   * `SSL_SESSION_set1_id_context(3)`.
   *
   * @param context - 0 to 32 bytes; copied
   * @throws {@link SessionRangeError} when longer (R9.1)
   */
  setSessionIdContext(context: Uint8Array): void {
    checkBytes('session id context', context)
    checkIdLength('session id context', context)
    if (!equalBytes(context, this.#traits.sessionIdContext)) this.#edit({ sessionIdContext: context })
  }

  /** `SSL_SESSION_set1_hostname(3)`. @param hostname - copied, until a NUL if there is one; undefined for none */
  setHostname(hostname: Uint8Array | undefined): void {
    if (hostname !== undefined) checkBytes('hostname', hostname)
    this.#edit({ hostname: hostname === undefined ? null : untilNul(hostname) })
  }

  /**
   * `SSL_SESSION_set1_ticket_appdata(3)`: libssl carries it into the tickets of a resumed connection.
   *
   * @param data - copied; empty for none
   */
  setTicketAppData(data: Uint8Array): void {
    checkBytes('ticket application data', data)
    this.#edit({ ticketAppData: data.length === 0 ? null : data })
  }

  #hasBit(bit: number): boolean {
    return (this.#bits & bit) !== 0
  }

  #setBit(bit: number, isSet: boolean): void {
    this.#bits = isSet ? this.#bits | bit : this.#bits & ~bit
  }

  #getTimeMs(): number {
    return this.#timeSec * 1000 + this.#timeRestMs
  }

  #setTimeMs(timeMs: number): void {
    this.#timeSec = Math.floor(timeMs / 1000)
    this.#timeRestMs = timeMs - this.#timeSec * 1000
  }

  #lengthOfId(): number {
    const der = this.#der()
    if (der !== undefined) return der.sessionIdLength
    const content = this.#settled()
    return typeof content === 'string' ? sessionIdLength(content) : content.sessionId.length
  }

  #writeId(target: Uint8Array): number {
    const content = this.#settle()
    if (typeof content === 'string') return writeSessionId(content, target)
    target.set(content.sessionId)
    return content.sessionId.length
  }

  #masterKey(): Uint8Array {
    const der = this.#der()
    if (der !== undefined) return der.masterKey
    const content = this.#settled()
    return typeof content === 'string' ? readMasterKey(content) : copyBytes(content.masterKey)
  }

  #lendTicketAppData<T>(read: OctetsReader<T>): T | undefined {
    const der = this.#der()
    if (der !== undefined) return der.lendTicketAppData(read)
    const content = this.#settled()
    if (typeof content === 'string') return lendOctets(content, 'ticketAppData', read)
    const { ticketAppData } = content
    return ticketAppData && read(ticketAppData, 0, ticketAppData.length)
  }

  #number(name: 'verifyResult' | 'kexGroup' | 'maxEarlyData'): number {
    const content = this.#settle()
    return typeof content === 'string' ? readNumber(content, name) : content[name]
  }

  /** What came as DER is compact from now on. */
  #settle(): SessionContent | string {
    const der = this.#der()
    if (der !== undefined) this.#settleAs(der.compact({}))
    return this.#settled()
  }

  #settleAs(text: string): void {
    this.#content = text
    this.#setBit(IN_DER, false)
  }

  /** What came as DER, while it is that. */
  #der(): DerContent | undefined {
    return this.#hasBit(IN_DER) ? (this.#content as DerContent) : undefined
  }

  /** What it is otherwise. */
  #settled(): SessionContent | string {
    return this.#content as SessionContent | string
  }

  #read(): SessionContent {
    const text = this.#settle()
    if (typeof text !== 'string') return text
    const { sessionIdContext } = this.#traits
    if (lastRead?.text !== text || lastRead.content.sessionIdContext !== sessionIdContext)
      lastRead = { text, content: { ...fieldsOfCompact(text), sessionIdContext } }
    return lastRead.content
  }

  /** The content, which no other session has, to be changed. */
  #own(): Writable<SessionContent> {
    const content = this.#content === NEW_CONTENT ? { ...NEW_CONTENT } : this.#read()
    // It no longer is what its text says.
    if (typeof this.#content === 'string') lastRead = undefined
    this.#content = content
    return content
  }

  #edit(edits: SessionEdits): void {
    const { sessionIdContext } = edits
    const der = this.#der()
    const content = this.#settled()
    if (der !== undefined) this.#settleAs(der.compact(edits))
    else if (typeof content === 'string') this.#content = editCompact(content, edits)
    else applyEdits(this.#own(), edits)
    if (sessionIdContext !== undefined)
      this.#traits = sharedTraits(this.#traits, sessionIdContext, 0, sessionIdContext.length)
  }

  #replace(content: SessionContent): void {
    this.#content = content
    this.#lift()
  }

  #lift(): void {
    const content = this.#read()
    const { sessionIdContext } = content
    this.#traits = sharedTraits(content, sessionIdContext, 0, sessionIdContext.length)
  }

  #compact(): void {
    const content = this.#settle()
    if (typeof content === 'string' || !this.#hasBit(ENCODABLE) || !hasSuite(content)) return
    this.#content = compactFields(content)
    this.#setBit(TIMES_AS_WRITTEN, false)
  }

  /** Without secrets: `JSON.stringify`, `console.log` and `util.inspect` show this. */
  toJSON(): Record<string, unknown> {
    return describeSession(this)
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
      timeMs: (session) => session.#getTimeMs(),
      update(session, part) {
        const names = Object.keys(part)
        if (names.length === 0) return
        Object.assign(session.#own(), part)
        session.#lift()
        if (!names.every((name) => ALWAYS_ENCODABLE.has(name))) session.#setBit(ENCODABLE, false)
      },
      borrow: (der, absentHostname) => SslSession.#borrow(der, undefined, absentHostname),
      compact: (session) => session.#compact(),
      edit: (session, edits) => session.#edit(edits),
      masterKey: (session) => session.#masterKey(),
      hasId: (session) => session.#lengthOfId() > 0,
      isFor(session, hostname) {
        const content = session.#content
        return typeof content === 'string'
          ? isOctets(content, 'hostname', hostname)
          : equalOctets(content.hostname, hostname)
      },
      isId(session, sessionId) {
        return session.#lengthOfId() === sessionId.length && equalBytes(session.sessionId, sessionId)
      },
      lendDer(session, sessionIdContext, read) {
        const content = session.#settle()
        const isAsWritten =
          typeof content === 'string' &&
          session.#hasBit(TIMES_AS_WRITTEN) &&
          isOctets(content, 'sessionIdContext', sessionIdContext)
        if (isAsWritten) lendCompact(content, read)
        else {
          session.#writeDer(sessionIdContext)
          sessionWriter.lend(read)
        }
      },
      lendTicketAppData: (session, read) => session.#lendTicketAppData(read),
      limitTimeout: (session, seconds) => session.#setTimeout(seconds),
      writeId: (session, target) => session.#writeId(target),
      setTimeMs(session, timeMs, except) {
        session.#setTimeMs(timeMs)
        session.#setBit(TIMES_AS_WRITTEN, false)
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

/** What the model puts there fits into the DER as it is. */
const ALWAYS_ENCODABLE: ReadonlySet<string> = new Set([
  'sessionId',
  'maxFragmentLengthMode',
  'kexGroup',
  'maxEarlyData',
])

/** R12.5: to libssl a hostname is a C string. */
function untilNul(hostname: Uint8Array): Uint8Array {
  const end = hostname.indexOf(0)
  return end === -1 ? hostname : hostname.subarray(0, end)
}

/** @param expected - null for none */
function equalOctets(octets: Uint8Array | undefined, expected: Uint8Array | null): boolean {
  return octets === undefined || expected === null
    ? octets === undefined && expected === null
    : equalBytes(octets, expected)
}

const NO_ORDERS: readonly ExpiryOrder[] = []

/** Whoever asks for all of a compact session mostly does so again. */
let lastRead: { readonly text: string; readonly content: SessionContent } | undefined
