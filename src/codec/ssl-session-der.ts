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
import { copySpan, DerTag, DerWriter, explicitTag, type IntegerRange, type Span } from './der.ts'
import {
  FORMAT_VERSION,
  INT32,
  MAX_ID,
  MAX_MASTER_KEY,
  MAX_SESSION_SECONDS,
  SessionReader,
  UINT32,
  UINT64,
  UNBOUNDED,
} from './session-reader.ts'
import { outlineLikeKnown, rememberShape } from './session-shapes.ts'

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

/** D5: libssl would take any int64 here, and wrap. */
const SECONDS: IntegerRange = { min: 0, max: MAX_SESSION_SECONDS }
const NO_BYTES = new Uint8Array(0)

type BytesName = {
  [Name in keyof SslSessionFields]-?: SslSessionFields[Name] extends Uint8Array | undefined ? Name : never
}[keyof SslSessionFields]

/** What each session has for itself. */
type OwnNumbers = Pick<SslSessionFields, 'timeSec' | 'timeoutSec' | 'ticketAgeAdd'>

/**
 * What many sessions have in common: where the bytes lie in their DER, and all numbers but a few. What is absent is zero, or undefined.
 */
export type SessionLayout = Omit<SslSessionFields, BytesName | keyof OwnNumbers> &
  Readonly<Record<BytesName, Span | undefined>> & {
    /** The format version, the first of the elements. */
    readonly start: number
    /** What follows the master key, and key_arg [0] behind it. */
    readonly mandatoryEnd: number
    /** {@link writeSslSession} would write these very bytes. */
    readonly isCanonical: boolean
  }

/** A session as it lies in its DER. */
export interface SessionOutline extends OwnNumbers {
  readonly layout: SessionLayout
}

/**
 * Reads one session, strictly (D9): DER alone, any two bytes of cipher suite, any well-formed certificate and key.
 *
 * @param der - is not kept; all byte arrays of the result are copies
 * @throws {@link SessionDerError} and nothing else, for whatever bytes
 */
export function decodeSslSession(der: Uint8Array): SslSessionFields {
  return fieldsOf(der, outlineSslSession(der))
}

/**
 * As {@link decodeSslSession}, without its copies.
 *
 * @throws {@link SessionDerError} and nothing else, for whatever bytes
 */
export function outlineSslSession(der: Uint8Array): SessionOutline {
  const known = outlineLikeKnown(der)
  if (known !== undefined) return known
  const outline = outlineStrictly(der)
  if (outline.layout.isCanonical) rememberShape(der, outline.layout)
  return outline
}

/** As {@link outlineSslSession}, element by element. */
export function outlineStrictly(der: Uint8Array): SessionOutline {
  const reader = new SessionReader(der)
  const end = reader.enter()
  const layout = readElements(reader)
  reader.leave(end)
  const { timeSec, timeoutSec, ticketAgeAdd } = layout
  // Others will have the same layout.
  layout.timeSec = layout.timeoutSec = layout.ticketAgeAdd = 0
  return { layout, timeSec, timeoutSec, ticketAgeAdd }
}

/** @param outline - of `der` */
export function fieldsOf(der: Uint8Array, outline: SessionOutline): SslSessionFields {
  const { layout } = outline
  const bytes = (span: Span | undefined): Uint8Array => (span === undefined ? NO_BYTES : copySpan(der, span))
  const fields: Writable<SslSessionFields> = {
    protocolVersion: layout.protocolVersion,
    cipherSuite: layout.cipherSuite,
    sessionId: bytes(layout.sessionId),
    masterKey: bytes(layout.masterKey),
    timeSec: outline.timeSec,
    timeoutSec: outline.timeoutSec,
    sessionIdContext: bytes(layout.sessionIdContext),
    verifyResult: layout.verifyResult,
    ticketLifetimeHintSec: layout.ticketLifetimeHintSec,
    compressionId: layout.compressionId,
    flags: layout.flags,
    ticketAgeAdd: outline.ticketAgeAdd,
    maxEarlyData: layout.maxEarlyData,
    maxFragmentLengthMode: layout.maxFragmentLengthMode,
    kexGroup: layout.kexGroup,
  }
  for (const name of OPTIONAL_BYTES) {
    const span = layout[name]
    // An absent field is an absent property.
    if (span !== undefined) fields[name] = copySpan(der, span)
  }
  return fields
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

const OPTIONAL_BYTES = [
  'peerCertificate',
  'hostname',
  'pskIdentityHint',
  'pskIdentity',
  'ticket',
  'srpUsername',
  'alpnSelected',
  'ticketAppData',
  'peerRawPublicKey',
] as const satisfies readonly BytesName[]

/** The order of these lines is the order of the elements. One literal, so that all have one shape. */
function readElements(reader: SessionReader): SessionLayout & Writable<OwnNumbers> {
  return {
    start: reader.offset,
    protocolVersion: reader.protocolVersion(),
    cipherSuite: reader.cipherSuite(),
    sessionId: reader.mandatoryOctets(MAX_ID, 'session id'),
    masterKey: reader.mandatoryOctets(MAX_MASTER_KEY, 'master key'),
    mandatoryEnd: reader.skipKeyArg(),
    timeSec: reader.number(1, SECONDS, 'time [1]'),
    timeoutSec: reader.number(2, SECONDS, 'timeout [2]'),
    peerCertificate: reader.certificate(),
    sessionIdContext: reader.sessionIdContext(),
    verifyResult: reader.number(5, INT32, 'verify result [5]'),
    hostname: reader.text(6, 'hostname [6]'),
    pskIdentityHint: reader.text(7, 'PSK identity hint [7]'),
    pskIdentity: reader.text(8, 'PSK identity [8]'),
    ticketLifetimeHintSec: reader.bigint(9, UINT64, 'ticket lifetime hint [9]'),
    ticket: reader.octets(10, 0, UNBOUNDED, 'ticket [10]'),
    compressionId: reader.compressionId(),
    srpUsername: reader.text(12, 'SRP username [12]'),
    // libssl reads 64 bits and keeps 32.
    flags: reader.lowBits(13, UINT64, 32, 'flags [13]'),
    ticketAgeAdd: reader.number(14, UINT32, 'ticket age add [14]'),
    maxEarlyData: reader.number(15, UINT32, 'max early data [15]'),
    alpnSelected: reader.octets(16, 0, UNBOUNDED, 'ALPN [16]'),
    // libssl reads 32 bits and keeps 8.
    maxFragmentLengthMode: reader.lowBits(17, UINT32, 8, 'max fragment length [17]'),
    ticketAppData: reader.octets(18, 0, UNBOUNDED, 'ticket appdata [18]'),
    kexGroup: reader.kexGroup(),
    peerRawPublicKey: reader.rawPublicKey(),
    isCanonical: reader.isCanonical,
  }
}

/** One for all: nothing is written while something else is. */
export const sessionWriter: DerWriter = new DerWriter()

/** What a session holds besides its times. */
export type FieldsWithoutTimes = Omit<SslSessionFields, 'timeSec' | 'timeoutSec'>
export type SessionTimes = Pick<SslSessionFields, 'timeSec' | 'timeoutSec'>

/**
 * Writes one session, byte for byte as libssl 3.5, into {@link sessionWriter}, whose caller takes it from there. The caller answers
 * for the ranges of {@link SslSessionFields}.
 *
 * @param times - in place of those of `fields`
 */
export function writeSslSession(fields: FieldsWithoutTimes, times: SessionTimes): void {
  sessionWriter.begin()
  // From the last to the first.
  octets(20, fields.peerRawPublicKey)
  // Even when zero.
  sessionWriter.explicitInteger(19, fields.kexGroup)
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
  writeTimes(times)
  writeMandatory(fields)
  sessionWriter.close(DerTag.SEQUENCE, 0)
}

/** [2] and [1]. */
export function writeTimes({ timeSec, timeoutSec }: SessionTimes): void {
  nonZero(2, timeoutSec)
  nonZero(1, timeSec)
}

function writeMandatory({
  protocolVersion,
  cipherSuite,
  sessionId,
  masterKey,
}: Pick<SslSessionFields, 'protocolVersion' | 'cipherSuite' | 'sessionId' | 'masterKey'>): void {
  sessionWriter.octetString(masterKey)
  sessionWriter.octetString(sessionId)
  sessionWriter.octetString(Uint8Array.of(cipherSuite >> 8, cipherSuite & 0xff))
  sessionWriter.integer(protocolVersion)
  sessionWriter.integer(FORMAT_VERSION)
}

function nonZero(number: number, value: number | bigint): void {
  if (value !== 0 && value !== 0n) sessionWriter.explicitInteger(number, value)
}

function octets(number: number, bytes: Uint8Array | undefined): void {
  if (bytes !== undefined) sessionWriter.explicitOctetString(number, bytes)
}

function whole(number: number, element: Uint8Array | undefined): void {
  if (element === undefined) return
  const { end } = sessionWriter
  sessionWriter.raw(element)
  sessionWriter.close(explicitTag(number), end)
}
