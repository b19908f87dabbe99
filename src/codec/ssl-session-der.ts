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
import {
  DerReader,
  DerTag,
  derElement,
  derInteger,
  explicitTag,
  type IntegerRange,
  implicitTag,
} from './der.ts'

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

const FORMAT_VERSION = 1n
const MAX_ID = 32
const MAX_MASTER_KEY = 512
const INT32: IntegerRange = { min: -(2n ** 31n), max: 2n ** 31n - 1n }
const UINT32: IntegerRange = { min: 0n, max: 2n ** 32n - 1n }
const UINT64: IntegerRange = { min: 0n, max: 2n ** 64n - 1n }
/** D5: libssl would take any int64 here, and wrap. */
const SECONDS: IntegerRange = { min: 0n, max: BigInt(MAX_SESSION_SECONDS) }
const NO_BYTES = new Uint8Array(0)

/**
 * Reads one session, strictly (D9): DER alone, any two bytes of cipher suite, any well-formed certificate and key.
 *
 * @param der - is not kept; all byte arrays of the result are copies
 * @throws {@link SessionDerError} and nothing else, for whatever bytes
 */
export function decodeSslSession(der: Uint8Array): SslSessionFields {
  const input = new DerReader(der)
  const body = input.element(DerTag.SEQUENCE, 'session')
  input.end('session')
  const fields = { ...readMandatory(body), ...readOptional(body) }
  body.end('session')
  return fields
}

type MandatoryFields = Pick<SslSessionFields, 'protocolVersion' | 'cipherSuite' | 'sessionId' | 'masterKey'>

function readMandatory(body: DerReader): MandatoryFields {
  body.integer({ min: FORMAT_VERSION, max: FORMAT_VERSION }, 'format version')
  const versionOffset = body.offset
  const protocolVersion = Number(body.integer(INT32, 'protocol version'))
  const major = protocolVersion >> 8
  // R12.4: SSL 3.0 and TLS, DTLS, and the DTLS of OpenSSL 0.9.8 (DTLS1_BAD_VER).
  if (major !== 0x03 && major !== 0xfe && protocolVersion !== 0x0100)
    throw new SessionDerError(
      `protocol version must be of TLS or DTLS, got ${protocolVersion}`,
      versionOffset,
    )
  const [high = 0, low = 0] = body.octetString(2, 2, 'cipher suite')
  return {
    protocolVersion,
    cipherSuite: high * 0x100 + low,
    sessionId: body.octetString(0, MAX_ID, 'session id'),
    masterKey: body.octetString(0, MAX_MASTER_KEY, 'master key'),
  }
}

function readOptional(body: DerReader): Omit<SslSessionFields, keyof MandatoryFields> {
  body.optionalElement(implicitTag(0), 'key_arg [0]')
  // The order of these lines is the order of the elements.
  return {
    timeSec: Number(readInteger(body, 1, SECONDS, 'time [1]')),
    timeoutSec: Number(readInteger(body, 2, SECONDS, 'timeout [2]')),
    ...named('peerCertificate', readCertificate(body)),
    sessionIdContext: readOctets(body, 4, 0, MAX_ID, 'session id context [4]') ?? NO_BYTES,
    verifyResult: Number(readInteger(body, 5, INT32, 'verify result [5]')),
    ...named('hostname', readString(body, 6, 'hostname [6]')),
    ...named('pskIdentityHint', readString(body, 7, 'PSK identity hint [7]')),
    ...named('pskIdentity', readString(body, 8, 'PSK identity [8]')),
    ticketLifetimeHintSec: readInteger(body, 9, UINT64, 'ticket lifetime hint [9]'),
    ...named('ticket', readOctets(body, 10, 0, Number.POSITIVE_INFINITY, 'ticket [10]')),
    compressionId: readOctets(body, 11, 1, 1, 'compression id [11]')?.[0] ?? 0,
    ...named('srpUsername', readString(body, 12, 'SRP username [12]')),
    // libssl reads 64 bits and keeps 32.
    flags: Number(BigInt.asUintN(32, readInteger(body, 13, UINT64, 'flags [13]'))),
    ticketAgeAdd: Number(readInteger(body, 14, UINT32, 'ticket age add [14]')),
    maxEarlyData: Number(readInteger(body, 15, UINT32, 'max early data [15]')),
    ...named('alpnSelected', readOctets(body, 16, 0, Number.POSITIVE_INFINITY, 'ALPN [16]')),
    // libssl reads 32 bits and keeps 8.
    maxFragmentLengthMode: Number(
      BigInt.asUintN(8, readInteger(body, 17, UINT32, 'max fragment length [17]')),
    ),
    ...named('ticketAppData', readOctets(body, 18, 0, Number.POSITIVE_INFINITY, 'ticket appdata [18]')),
    kexGroup: Number(readInteger(body, 19, UINT32, 'key exchange group [19]')),
    ...named('peerRawPublicKey', readRawPublicKey(body)),
  }
}

/** An absent field is an absent property. */
function named<K extends string>(
  key: K,
  value: Uint8Array | undefined,
): { readonly [name in K]?: Uint8Array } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [name in K]?: Uint8Array })
}

function readExplicit<T>(
  body: DerReader,
  number: number,
  subject: string,
  read: (content: DerReader) => T,
): T | undefined {
  const content = body.optionalElement(explicitTag(number), subject)
  if (content === undefined) return undefined
  const value = read(content)
  content.end(subject)
  return value
}

/** Absent means zero; a zero that is written all the same is as good. */
function readInteger(body: DerReader, number: number, range: IntegerRange, subject: string): bigint {
  return readExplicit(body, number, subject, (content) => content.integer(range, subject)) ?? 0n
}

function readOctets(
  body: DerReader,
  number: number,
  minLength: number,
  maxLength: number,
  subject: string,
): Uint8Array | undefined {
  return readExplicit(body, number, subject, (content) => content.octetString(minLength, maxLength, subject))
}

/** libssl keeps these four as C strings: they end at the first NUL (R12.5). */
function readString(body: DerReader, number: number, subject: string): Uint8Array | undefined {
  const octets = readOctets(body, number, 0, Number.POSITIVE_INFINITY, subject)
  const nul = octets?.indexOf(0) ?? -1
  return nul < 0 ? octets : octets?.slice(0, nul)
}

function readCertificate(body: DerReader): Uint8Array | undefined {
  const subject = 'peer certificate [3]'
  return readExplicit(body, 3, subject, (content) => readSequence(content, subject))
}

/** An OCTET STRING around the key, R12. */
function readRawPublicKey(body: DerReader): Uint8Array | undefined {
  const subject = 'peer raw public key [20]'
  return readExplicit(body, 20, subject, (content) => {
    const inner = content.element(DerTag.OCTET_STRING, subject)
    const key = readSequence(inner, subject)
    inner.end(subject)
    return key
  })
}

/** D9: well formed is enough. */
function readSequence(content: DerReader, subject: string): Uint8Array {
  const start = content.offset
  const element = content.wellFormedElement(subject)
  if (element[0] !== DerTag.SEQUENCE) throw new SessionDerError(`${subject} must be a SEQUENCE`, start)
  return element
}

/** Writes one session, byte for byte as libssl 3.5. The caller answers for the ranges of {@link SslSessionFields}. */
export function encodeSslSession(fields: SslSessionFields): Uint8Array {
  return derElement(
    DerTag.SEQUENCE,
    derInteger(FORMAT_VERSION),
    derInteger(BigInt(fields.protocolVersion)),
    octetString(Uint8Array.of(fields.cipherSuite >> 8, fields.cipherSuite & 0xff)),
    octetString(fields.sessionId),
    octetString(fields.masterKey),
    number(1, fields.timeSec),
    number(2, fields.timeoutSec),
    whole(3, fields.peerCertificate),
    // Even when empty.
    octets(4, fields.sessionIdContext),
    number(5, fields.verifyResult),
    octets(6, fields.hostname),
    octets(7, fields.pskIdentityHint),
    octets(8, fields.pskIdentity),
    number(9, fields.ticketLifetimeHintSec),
    octets(10, fields.ticket),
    octets(11, fields.compressionId === 0 ? undefined : Uint8Array.of(fields.compressionId)),
    octets(12, fields.srpUsername),
    number(13, fields.flags),
    number(14, fields.ticketAgeAdd),
    number(15, fields.maxEarlyData),
    octets(16, fields.alpnSelected),
    number(17, fields.maxFragmentLengthMode),
    octets(18, fields.ticketAppData),
    // Even when zero.
    derElement(explicitTag(19), derInteger(BigInt(fields.kexGroup))),
    octets(20, fields.peerRawPublicKey),
  )
}

function octetString(bytes: Uint8Array): Uint8Array {
  return derElement(DerTag.OCTET_STRING, bytes)
}

function number(tagNumber: number, value: number | bigint): Uint8Array {
  return BigInt(value) === 0n ? NO_BYTES : derElement(explicitTag(tagNumber), derInteger(BigInt(value)))
}

function octets(tagNumber: number, bytes: Uint8Array | undefined): Uint8Array {
  return bytes === undefined ? NO_BYTES : derElement(explicitTag(tagNumber), octetString(bytes))
}

function whole(tagNumber: number, element: Uint8Array | undefined): Uint8Array {
  return element === undefined ? NO_BYTES : derElement(explicitTag(tagNumber), element)
}
