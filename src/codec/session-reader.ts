/** The elements of an SSL_SESSION, one by one; their order is that of {@link outlineSslSession} in ssl-session-der.ts. */
import { SessionDerError } from '../errors.ts'
import { DerReader, DerTag, explicitTag, type IntegerRange, implicitTag, type Span } from './der.ts'

export const FORMAT_VERSION = 1 as const
export const MAX_ID = 32 as const
export const MAX_MASTER_KEY = 512 as const
export const INT32: IntegerRange = { min: -(2 ** 31), max: 2 ** 31 - 1 }
export const UINT32: IntegerRange = { min: 0, max: 2 ** 32 - 1 }
export const UINT64: IntegerRange = { min: 0n, max: 2n ** 64n - 1n }
/** The longest time that 64 bits of nanoseconds hold, in whole seconds: 18446744073 (R6.6). */
export const MAX_SESSION_SECONDS: number = 18_446_744_073
export const UNBOUNDED: number = Number.POSITIVE_INFINITY
const FORMAT: IntegerRange = { min: FORMAT_VERSION, max: FORMAT_VERSION }

/** A cursor over the DER of an SSL_SESSION: each element is read when its turn comes, and is what it must be, or is refused. */
export class SessionReader {
  readonly #bytes: Uint8Array
  readonly #der: DerReader
  #isCanonical = true

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#der = new DerReader(bytes)
  }

  get offset(): number {
    return this.#der.offset
  }

  /** Nothing was read so far that would be written otherwise. */
  get isCanonical(): boolean {
    return this.#isCanonical
  }

  enter(): number {
    return this.#der.enter(DerTag.SEQUENCE, 'session')
  }

  leave(end: number): void {
    this.#der.leave(end, 'session')
    this.#der.end('session')
  }

  /** Behind the format version. */
  protocolVersion(): number {
    const der = this.#der
    der.number(FORMAT, 'format version')
    const { offset } = der
    const version = der.number(INT32, 'protocol version')
    const major = version >> 8
    // R12.4: SSL 3.0 and TLS, DTLS, and the DTLS of OpenSSL 0.9.8 (DTLS1_BAD_VER).
    if (major !== 0x03 && major !== 0xfe && version !== 0x0100)
      throw new SessionDerError(`protocol version must be of TLS or DTLS, got ${version}`, offset)
    return version
  }

  cipherSuite(): number {
    const { start } = this.#der.octetString(2, 2, 'cipher suite')
    return this.#octet(start) * 0x100 + this.#octet(start + 1)
  }

  mandatoryOctets(maxLength: number, subject: string): Span {
    return this.#der.octetString(0, maxLength, subject)
  }

  /** @returns the offset before it */
  skipKeyArg(): number {
    const { offset } = this.#der
    this.#der.skipOptional(implicitTag(0), 'key_arg [0]')
    this.#expectCanonical(this.#der.offset === offset)
    return offset
  }

  number(number: number, range: IntegerRange, subject: string): number {
    return Number(this.#integer(number, range, subject))
  }

  bigint(number: number, range: IntegerRange, subject: string): bigint {
    const value = this.#integer(number, range, subject)
    return value === 0 ? 0n : BigInt(value)
  }

  /** A number that is not negative, of which libssl keeps so many bits. */
  lowBits(number: number, range: IntegerRange, bits: 8 | 32, subject: string): number {
    const value = this.#integer(number, range, subject)
    const kept = typeof value === 'bigint' ? Number(BigInt.asUintN(bits, value)) : value % 2 ** bits
    this.#expectCanonical(kept === value)
    return kept
  }

  octets(number: number, minLength: number, maxLength: number, subject: string): Span | undefined {
    const end = this.#der.enterOptional(explicitTag(number), subject)
    if (end === undefined) return undefined
    const octets = this.#der.octetString(minLength, maxLength, subject)
    this.#der.leave(end, subject)
    return octets
  }

  /** libssl keeps these four as C strings: they end at the first NUL (R12.5). */
  text(number: number, subject: string): Span | undefined {
    const octets = this.octets(number, 0, UNBOUNDED, subject)
    if (octets === undefined) return undefined
    const end = this.#endOfText(octets)
    this.#expectCanonical(end === octets.end)
    return { start: octets.start, end }
  }

  /** Written even when empty. */
  sessionIdContext(): Span | undefined {
    const context = this.octets(4, 0, MAX_ID, 'session id context [4]')
    this.#expectCanonical(context !== undefined)
    return context
  }

  compressionId(): number {
    const octet = this.octets(11, 1, 1, 'compression id [11]')
    if (octet === undefined) return 0
    const id = this.#octet(octet.start)
    this.#expectCanonical(id !== 0)
    return id
  }

  /** Written even when zero. */
  kexGroup(): number {
    const group = this.#written(19, UINT32, 'key exchange group [19]')
    this.#expectCanonical(group !== undefined)
    return Number(group ?? 0)
  }

  certificate(): Span | undefined {
    const subject = 'peer certificate [3]'
    const end = this.#der.enterOptional(explicitTag(3), subject)
    if (end === undefined) return undefined
    const certificate = this.#sequence(subject)
    this.#der.leave(end, subject)
    return certificate
  }

  /** An OCTET STRING around the key, R12. */
  rawPublicKey(): Span | undefined {
    const subject = 'peer raw public key [20]'
    const end = this.#der.enterOptional(explicitTag(20), subject)
    if (end === undefined) return undefined
    const innerEnd = this.#der.enter(DerTag.OCTET_STRING, subject)
    const key = this.#sequence(subject)
    this.#der.leave(innerEnd, subject)
    this.#der.leave(end, subject)
    return key
  }

  /** Absent means zero; a zero that is written all the same is as good. */
  #integer(number: number, range: IntegerRange, subject: string): number | bigint {
    const value = this.#written(number, range, subject)
    this.#expectCanonical(value !== 0)
    return value ?? 0
  }

  #written(number: number, range: IntegerRange, subject: string): number | bigint | undefined {
    const end = this.#der.enterOptional(explicitTag(number), subject)
    if (end === undefined) return undefined
    const value = this.#der.integer(range, subject)
    this.#der.leave(end, subject)
    return value
  }

  /** D9: well formed is enough. */
  #sequence(subject: string): Span {
    const element = this.#der.wellFormedElement(subject)
    if (this.#octet(element.start) !== DerTag.SEQUENCE)
      throw new SessionDerError(`${subject} must be a SEQUENCE`, element.start)
    return element
  }

  #endOfText({ start, end }: Span): number {
    for (let index = start; index < end; index++) if (this.#octet(index) === 0) return index
    return end
  }

  /** One octet of what was found to be whole. */
  #octet(index: number): number {
    /* v8 ignore next -- what is whole has it */
    return this.#bytes[index] ?? 0
  }

  #expectCanonical(isSo: boolean): void {
    if (!isSo) this.#isCanonical = false
  }
}
