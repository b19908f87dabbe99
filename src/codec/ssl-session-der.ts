/**
 * The DER of an SSL_SESSION, as `i2d_SSL_SESSION(3)` of libssl 3.5 writes it (R12):
 *
 *   SslSession ::= SEQUENCE {
 *     version           INTEGER,                        1
 *     protocolVersion   INTEGER,
 *     cipherSuite       OCTET STRING (SIZE (2)),
 *     sessionId         OCTET STRING (SIZE (0..32)),
 *     masterKey         OCTET STRING (SIZE (0..512)),
 *     keyArg            [0] IMPLICIT OCTET STRING       OPTIONAL, read and forgotten
 *     [1] to [20]       EXPLICIT, each OPTIONAL, in this order
 *   }
 *
 * A number of [1] to [18] that is zero is not written; [4] and [19] always are.
 */
import { SessionDerError } from '../errors.ts'
import { DerReader, DerTag, DerWriter, explicitTag, type IntegerRange, implicitTag } from './der.ts'

/** The longest time that 64 bits of nanoseconds hold, in whole seconds: 18446744073 (R6.6). */
export const MAX_SESSION_SECONDS: number = 18_446_744_073

/** Byte arrays are owned by the object that holds them. */
export interface SslSessionFields {
  /** 0x0300 to 0x03FF, 0xFE00 to 0xFEFF or 0x0100. */
  readonly protocolVersion: number
  /** Two bytes, big endian. */
  readonly cipherSuite: number
  /** 0 to 32 bytes. */
  readonly sessionId: Uint8Array
  /** Master secret, or in TLS 1.3 the PSK; 0 to 512 bytes. Secret. */
  readonly masterKey: Uint8Array
  /** [1], seconds since the epoch; 0 is not written. */
  readonly timeSec: number
  /** [2], seconds; 0 is not written. */
  readonly timeoutSec: number
  /** [3], a Certificate element. */
  readonly peerCertificate?: Uint8Array
  /** [4], 0 to 32 bytes. */
  readonly sessionIdContext: Uint8Array
  /** [5], an X509_V_ code, int32. */
  readonly verifyResult: number
  /** [6], the server name. */
  readonly hostname?: Uint8Array
  /** [7] */
  readonly pskIdentityHint?: Uint8Array
  /** [8] */
  readonly pskIdentity?: Uint8Array
  /** [9], seconds, uint64. */
  readonly ticketLifetimeHintSec: bigint
  /** [10]. Secret. */
  readonly ticket?: Uint8Array
  /** [11], one byte. */
  readonly compressionId: number
  /** [12] */
  readonly srpUsername?: Uint8Array
  /** [13], uint32; bit 0: extended master secret. */
  readonly flags: number
  /** [14], uint32. */
  readonly ticketAgeAdd: number
  /** [15], bytes, uint32. */
  readonly maxEarlyData: number
  /** [16], one protocol name. */
  readonly alpnSelected?: Uint8Array
  /** [17], RFC 6066 §4, uint8; 255 is "not negotiated yet". */
  readonly maxFragmentLengthMode: number
  /** [18], the application's own. */
  readonly ticketAppData?: Uint8Array
  /** [19], a NamedGroup, uint32. */
  readonly kexGroup: number
  /** [20], a SubjectPublicKeyInfo element. */
  readonly peerRawPublicKey?: Uint8Array
}

const FORMAT_VERSION = 1
const MAX_ID = 32
const MAX_MASTER_KEY = 512
const INT32: IntegerRange = { min: -(2 ** 31), max: 2 ** 31 - 1 }
const UINT32: IntegerRange = { min: 0, max: 2 ** 32 - 1 }
const UINT64: IntegerRange = { min: 0n, max: 2n ** 64n - 1n }
/** D5: libssl would take any int64 here, and wrap. */
const SECONDS: IntegerRange = { min: 0, max: MAX_SESSION_SECONDS }
const NO_BYTES = new Uint8Array(0)

/**
 * Reads one session, strictly (D9): DER alone, any two bytes of cipher suite, any well-formed certificate and key.
 *
 * @param der - is not kept; all byte arrays of the result are copies
 * @throws {@link SessionDerError} and nothing else, for whatever bytes
 */
export function decodeSslSession(der: Uint8Array): SslSessionFields {
  const reader = new DerReader(der)
  const end = reader.enter(DerTag.SEQUENCE, 'session')
  const fields = readMandatory(reader)
  readOptional(reader, fields)
  reader.leave(end, 'session')
  reader.end('session')
  return fields
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Where the session id is, without reading the rest.
 *
 * @param der - one that {@link encodeSslSession} wrote, a UTF-16 unit for each byte
 */
export function locateSessionId(der: string): { readonly offset: number; readonly length: number } {
  const lengthByte = der.charCodeAt(1)
  let offset = lengthByte < 0x80 ? 2 : 2 + (lengthByte & 0x7f)
  // Format version, protocol version, cipher suite.
  for (let element = 0; element < 3; element++) offset += 2 + der.charCodeAt(offset + 1)
  return { offset: offset + 2, length: der.charCodeAt(offset + 1) }
}

/** What is optional is zero, or absent. One literal, so that all have one shape. */
function readMandatory(reader: DerReader): Writable<SslSessionFields> {
  reader.number({ min: FORMAT_VERSION, max: FORMAT_VERSION }, 'format version')
  const versionOffset = reader.offset
  const protocolVersion = reader.number(INT32, 'protocol version')
  const major = protocolVersion >> 8
  // R12.4: SSL 3.0 and TLS, DTLS, and the DTLS of OpenSSL 0.9.8 (DTLS1_BAD_VER).
  if (major !== 0x03 && major !== 0xfe && protocolVersion !== 0x0100)
    throw new SessionDerError(
      `protocol version must be of TLS or DTLS, got ${protocolVersion}`,
      versionOffset,
    )
  const [high = 0, low = 0] = reader.octetString(2, 2, 'cipher suite')
  return {
    protocolVersion,
    cipherSuite: high * 0x100 + low,
    sessionId: reader.octetString(0, MAX_ID, 'session id'),
    masterKey: reader.octetString(0, MAX_MASTER_KEY, 'master key'),
    timeSec: 0,
    timeoutSec: 0,
    sessionIdContext: NO_BYTES,
    verifyResult: 0,
    ticketLifetimeHintSec: 0n,
    compressionId: 0,
    flags: 0,
    ticketAgeAdd: 0,
    maxEarlyData: 0,
    maxFragmentLengthMode: 0,
    kexGroup: 0,
  }
}

/** The order of these lines is the order of the elements. */
function readOptional(reader: DerReader, fields: Writable<SslSessionFields>): void {
  const set = <K extends OptionalBytes>(name: K, value: Uint8Array | undefined): void => {
    if (value !== undefined) fields[name] = value
  }
  reader.skipOptional(implicitTag(0), 'key_arg [0]')
  fields.timeSec = readNumber(reader, 1, SECONDS, 'time [1]')
  fields.timeoutSec = readNumber(reader, 2, SECONDS, 'timeout [2]')
  set('peerCertificate', readCertificate(reader))
  fields.sessionIdContext = readOctets(reader, 4, 0, MAX_ID, 'session id context [4]') ?? NO_BYTES
  fields.verifyResult = readNumber(reader, 5, INT32, 'verify result [5]')
  set('hostname', readString(reader, 6, 'hostname [6]'))
  set('pskIdentityHint', readString(reader, 7, 'PSK identity hint [7]'))
  set('pskIdentity', readString(reader, 8, 'PSK identity [8]'))
  fields.ticketLifetimeHintSec = readInteger(reader, 9, UINT64, 'ticket lifetime hint [9]')
  set('ticket', readOctets(reader, 10, 0, Number.POSITIVE_INFINITY, 'ticket [10]'))
  fields.compressionId = readOctets(reader, 11, 1, 1, 'compression id [11]')?.[0] ?? 0
  set('srpUsername', readString(reader, 12, 'SRP username [12]'))
  // libssl reads 64 bits and keeps 32.
  fields.flags = Number(BigInt.asUintN(32, readInteger(reader, 13, UINT64, 'flags [13]')))
  fields.ticketAgeAdd = readNumber(reader, 14, UINT32, 'ticket age add [14]')
  fields.maxEarlyData = readNumber(reader, 15, UINT32, 'max early data [15]')
  set('alpnSelected', readOctets(reader, 16, 0, Number.POSITIVE_INFINITY, 'ALPN [16]'))
  // libssl reads 32 bits and keeps 8.
  fields.maxFragmentLengthMode = readNumber(reader, 17, UINT32, 'max fragment length [17]') & 0xff
  set('ticketAppData', readOctets(reader, 18, 0, Number.POSITIVE_INFINITY, 'ticket appdata [18]'))
  fields.kexGroup = readNumber(reader, 19, UINT32, 'key exchange group [19]')
  set('peerRawPublicKey', readRawPublicKey(reader))
}

/** An absent field is an absent property. */
type OptionalBytes =
  | 'peerCertificate'
  | 'hostname'
  | 'pskIdentityHint'
  | 'pskIdentity'
  | 'ticket'
  | 'srpUsername'
  | 'alpnSelected'
  | 'ticketAppData'
  | 'peerRawPublicKey'

/** Absent means zero; a zero that is written all the same is as good. */
function readNumber(reader: DerReader, number: number, range: IntegerRange, subject: string): number {
  const end = reader.enterOptional(explicitTag(number), subject)
  if (end === undefined) return 0
  const value = reader.number(range, subject)
  reader.leave(end, subject)
  return value
}

function readInteger(reader: DerReader, number: number, range: IntegerRange, subject: string): bigint {
  const end = reader.enterOptional(explicitTag(number), subject)
  if (end === undefined) return 0n
  const value = reader.integer(range, subject)
  reader.leave(end, subject)
  return value
}

function readOctets(
  reader: DerReader,
  number: number,
  minLength: number,
  maxLength: number,
  subject: string,
): Uint8Array | undefined {
  const end = reader.enterOptional(explicitTag(number), subject)
  if (end === undefined) return undefined
  const octets = reader.octetString(minLength, maxLength, subject)
  reader.leave(end, subject)
  return octets
}

/** libssl keeps these four as C strings: they end at the first NUL (R12.5). */
function readString(reader: DerReader, number: number, subject: string): Uint8Array | undefined {
  const octets = readOctets(reader, number, 0, Number.POSITIVE_INFINITY, subject)
  const nul = octets?.indexOf(0) ?? -1
  return nul < 0 ? octets : octets?.slice(0, nul)
}

function readCertificate(reader: DerReader): Uint8Array | undefined {
  const subject = 'peer certificate [3]'
  const end = reader.enterOptional(explicitTag(3), subject)
  if (end === undefined) return undefined
  const certificate = readSequence(reader, subject)
  reader.leave(end, subject)
  return certificate
}

/** An OCTET STRING around the key, R12. */
function readRawPublicKey(reader: DerReader): Uint8Array | undefined {
  const subject = 'peer raw public key [20]'
  const end = reader.enterOptional(explicitTag(20), subject)
  if (end === undefined) return undefined
  const innerEnd = reader.enter(DerTag.OCTET_STRING, subject)
  const key = readSequence(reader, subject)
  reader.leave(innerEnd, subject)
  reader.leave(end, subject)
  return key
}

/** D9: well formed is enough. */
function readSequence(reader: DerReader, subject: string): Uint8Array {
  const start = reader.offset
  const element = reader.wellFormedElement(subject)
  if (element[0] !== DerTag.SEQUENCE) throw new SessionDerError(`${subject} must be a SEQUENCE`, start)
  return element
}

/** One for all: nothing is written while something else is. */
const writer = new DerWriter()

/**
 * Writes one session, byte for byte as libssl 3.5. The caller answers for the ranges of {@link SslSessionFields}.
 *
 * @param times - in place of those of `fields`
 */
export function encodeSslSession(
  fields: Omit<SslSessionFields, 'timeSec' | 'timeoutSec'>,
  times: Pick<SslSessionFields, 'timeSec' | 'timeoutSec'>,
): Uint8Array {
  writer.begin()
  const { end } = writer
  // From the last to the first.
  octets(20, fields.peerRawPublicKey)
  // Even when zero.
  integer(19, fields.kexGroup)
  octets(18, fields.ticketAppData)
  nonZero(17, fields.maxFragmentLengthMode)
  octets(16, fields.alpnSelected)
  nonZero(15, fields.maxEarlyData)
  nonZero(14, fields.ticketAgeAdd)
  nonZero(13, fields.flags)
  octets(12, fields.srpUsername)
  octets(11, fields.compressionId === 0 ? undefined : Uint8Array.of(fields.compressionId))
  octets(10, fields.ticket)
  nonZero(9, fields.ticketLifetimeHintSec)
  octets(8, fields.pskIdentity)
  octets(7, fields.pskIdentityHint)
  octets(6, fields.hostname)
  nonZero(5, fields.verifyResult)
  // Even when empty.
  octets(4, fields.sessionIdContext)
  whole(3, fields.peerCertificate)
  nonZero(2, times.timeoutSec)
  nonZero(1, times.timeSec)
  writeMandatory(fields)
  writer.close(DerTag.SEQUENCE, end)
  return writer.finish()
}

function writeMandatory({
  protocolVersion,
  cipherSuite,
  sessionId,
  masterKey,
}: Pick<SslSessionFields, 'protocolVersion' | 'cipherSuite' | 'sessionId' | 'masterKey'>): void {
  writer.octetString(masterKey)
  writer.octetString(sessionId)
  writer.octetString(Uint8Array.of(cipherSuite >> 8, cipherSuite & 0xff))
  writer.integer(protocolVersion)
  writer.integer(FORMAT_VERSION)
}

function integer(tagNumber: number, value: number | bigint): void {
  const { end } = writer
  writer.integer(value)
  writer.close(explicitTag(tagNumber), end)
}

function nonZero(tagNumber: number, value: number | bigint): void {
  if (value !== 0 && value !== 0n) integer(tagNumber, value)
}

function octets(tagNumber: number, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) return
  const { end } = writer
  writer.octetString(bytes)
  writer.close(explicitTag(tagNumber), end)
}

function whole(tagNumber: number, element: Uint8Array | undefined): void {
  if (element === undefined) return
  const { end } = writer
  writer.raw(element)
  writer.close(explicitTag(tagNumber), end)
}
