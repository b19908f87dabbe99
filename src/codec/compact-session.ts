/**
 * The compact form of an SSL_SESSION: its DER as `writeSslSession` writes it, one UTF-16 unit for each byte. A string takes a
 * tenth of the memory of the objects that the fields would be.
 *
 * The times [1] and [2] and the session id context [4] in it are those with which it came. They change more often than all else, so
 * whoever has the session keeps the true ones beside it; mostly libssl can have it as it is.
 *
 * What is in this form was read strictly, or was written here: so elements are found by their lengths alone, and those that
 * stay as they are, are copied, not encoded anew.
 */
import { contentStart, copySpan, DerTag, elementEnd, explicitTag, octetAt, type Span } from './der.ts'
import { latin1, writeLatin1 } from './latin1.ts'
import {
  decodeSslSession,
  type FieldsWithoutTimes,
  fieldsOf,
  type SessionOutline,
  type SessionTimes,
  type SslSessionFields,
  sessionWriter,
  writeSslSession,
  writeTimes,
} from './ssl-session-der.ts'

/** What may be changed without a look at the rest. What is undefined stays as it is. */
export interface CompactEdits {
  /** Without a NUL (R12.5); null for none. */
  readonly hostname?: Uint8Array | null | undefined
  /** null for none. */
  readonly ticketAppData?: Uint8Array | null | undefined
}

/** The [number] of the elements that are read one by one: those with an OCTET STRING in them, and those with an INTEGER. */
const OCTETS = { sessionIdContext: 4, hostname: 6, ticket: 10, ticketAppData: 18 } as const
const INTEGERS = { verifyResult: 5, maxEarlyData: 15, kexGroup: 19 } as const
const PEER_CERTIFICATE = 3
const TIMEOUT = 2

const NO_TIMES: SessionTimes = { timeSec: 0, timeoutSec: 0 }
/** Format version, protocol version, cipher suite, session id, master key. */
const MANDATORY_ELEMENTS = 5
/** Of the first element, an INTEGER of one octet, and of the third, an OCTET STRING of two. */
const FORMAT_VERSION_LENGTH = 3
const CIPHER_SUITE_LENGTH = 4

/**
 * The compact form of what lies in DER: with the times there, if they are in their canonical form.
 *
 * @param outline - of `der`
 * @param edits - to be made at once
 */
export function compactDer(der: Uint8Array, outline: SessionOutline, edits: CompactEdits): string {
  const { layout } = outline
  if (!layout.isCanonical) return editCompact(compactFields(fieldsOf(der, outline)), edits)
  const isUnchanged =
    isAsWritten(der, layout.hostname, edits.hostname) &&
    isAsWritten(der, layout.ticketAppData, edits.ticketAppData)
  return isUnchanged
    ? latin1(der, 0, der.length)
    : writeCompact(der, der.length, layout.start, layout.mandatoryEnd, edits)
}

/** Without times. */
export function compactFields(fields: FieldsWithoutTimes): string {
  writeSslSession(fields, NO_TIMES)
  return sessionWriter.finishText()
}

/** All of a session; its times and its session id context are those with which it came. */
export function fieldsOfCompact(text: string): SslSessionFields {
  return decodeSslSession(copySpan(load(text), { start: 0, end: text.length }))
}

/**
 * The DER of a session, into {@link sessionWriter}, whose caller takes it from there.
 *
 * @param sessionIdContext - 0 to 32 bytes
 */
export function writeDerOfCompact(text: string, times: SessionTimes, sessionIdContext: Uint8Array): void {
  const bytes = load(text)
  const start = contentStart(bytes, 0)
  const mandatoryEnd = skip(bytes, start, MANDATORY_ELEMENTS)
  const restStart = locate(bytes, mandatoryEnd, text.length, TIMEOUT + 1)
  sessionWriter.begin()
  const end = writeEdit(bytes, restStart, text.length, OCTETS.sessionIdContext, sessionIdContext)
  sessionWriter.part(bytes, restStart, end)
  writeTimes(times)
  sessionWriter.part(bytes, start, mandatoryEnd)
  sessionWriter.close(DerTag.SEQUENCE, 0)
}

/** What {@link writeDerOfCompact} would write, if the times are still those with which the session came. */
export function lendCompact(text: string, read: (der: Uint8Array) => void): void {
  read(firstLoaded(load(text), text.length))
}

/** The compact form of the session with these changes. */
export function editCompact(text: string, edits: CompactEdits): string {
  const bytes = load(text)
  const end = text.length
  const isUnchanged =
    isAsWritten(bytes, findContent(bytes, end, OCTETS.hostname), edits.hostname) &&
    isAsWritten(bytes, findContent(bytes, end, OCTETS.ticketAppData), edits.ticketAppData)
  if (isUnchanged) return text
  const start = contentStart(bytes, 0)
  return writeCompact(bytes, end, start, skip(bytes, start, MANDATORY_ELEMENTS), edits)
}

/**
 * @param end - of the session in these bytes
 * @param mandatoryEnd - where what has a number begins, which goes on until `end`
 */
function writeCompact(
  bytes: Uint8Array,
  end: number,
  start: number,
  mandatoryEnd: number,
  { hostname, ticketAppData }: CompactEdits,
): string {
  sessionWriter.begin()
  // From the last to the first.
  let rest = writeEdit(bytes, mandatoryEnd, end, OCTETS.ticketAppData, ticketAppData)
  rest = writeEdit(bytes, mandatoryEnd, rest, OCTETS.hostname, hostname)
  sessionWriter.part(bytes, start, rest)
  sessionWriter.close(DerTag.SEQUENCE, 0)
  return sessionWriter.finishText()
}

// What is asked for most is at a place that two lengths tell, and is read from the text itself.

/** The offset of the session id's element. */
function idElement(text: string): number {
  const first = text.charCodeAt(1)
  const protocolVersion = 2 + (first < 0x80 ? 0 : first & 0x7f) + FORMAT_VERSION_LENGTH
  return protocolVersion + 2 + text.charCodeAt(protocolVersion + 1) + CIPHER_SUITE_LENGTH
}

/** @returns the length of the session id, whose bytes are now the first of `target` */
export function writeSessionId(text: string, target: Uint8Array): number {
  const element = idElement(text)
  const length = text.charCodeAt(element + 1)
  for (let index = 0; index < length; index++) target[index] = text.charCodeAt(element + 2 + index)
  return length
}

export function sessionIdLength(text: string): number {
  return text.charCodeAt(idElement(text) + 1)
}

/** A copy. */
export function readMasterKey(text: string): Uint8Array {
  const bytes = load(text)
  const element = skip(bytes, contentStart(bytes, 0), MANDATORY_ELEMENTS - 1)
  return copySpan(bytes, { start: contentStart(bytes, element), end: elementEnd(bytes, element) })
}

/** 0 also for what the session does not have. */
export function octetsLength(text: string, name: keyof typeof OCTETS): number {
  const bytes = load(text)
  const content = findContent(bytes, text.length, OCTETS[name])
  return content === undefined ? 0 : content.end - content.start
}

/** A copy; undefined for what the session does not have. */
export function readOctets(text: string, name: keyof typeof OCTETS): Uint8Array | undefined {
  return lendOctets(text, name, (bytes, start, end) => copySpan(bytes, { start, end }))
}

/** What `read` makes of it where it lies, for as long as it runs; undefined for what the session does not have. */
export function lendOctets<T>(text: string, name: keyof typeof OCTETS, read: OctetsReader<T>): T | undefined {
  const bytes = load(text)
  const content = findContent(bytes, text.length, OCTETS[name])
  return content && read(bytes, content.start, content.end)
}

/** @param start - of the octets in `bytes`, which are not to be changed or kept */
export type OctetsReader<T> = (bytes: Uint8Array, start: number, end: number) => T

/** The session came with these octets. @param expected - null for no such element */
export function isOctets(text: string, name: keyof typeof OCTETS, expected: Uint8Array | null): boolean {
  const bytes = load(text)
  return isAsWritten(bytes, findContent(bytes, text.length, OCTETS[name]), expected)
}

/** An int32 or uint32; 0 for what is not written. */
export function readNumber(text: string, name: keyof typeof INTEGERS): number {
  const bytes = load(text)
  const content = findContent(bytes, text.length, INTEGERS[name])
  if (content === undefined) return 0
  let value = octetAt(bytes, content.start) >= 0x80 ? -1 : 0
  for (let index = content.start; index < content.end; index++) value = value * 0x100 + octetAt(bytes, index)
  return value
}

/** A copy of the Certificate element. */
export function readPeerCertificate(text: string): Uint8Array | undefined {
  const bytes = load(text)
  const element = find(bytes, text.length, PEER_CERTIFICATE)
  if (element === undefined) return undefined
  return copySpan(bytes, { start: contentStart(bytes, element), end: elementEnd(bytes, element) })
}

/**
 * What stands between an element and `end`, and the element itself as `octets` say: to be called for one element after the
 * other, from the last to the first.
 *
 * @param octets - null for no such element; undefined leaves all to the next call
 * @returns where that ends which is still to be written
 */
function writeEdit(
  bytes: Uint8Array,
  restStart: number,
  end: number,
  number: number,
  octets: Uint8Array | null | undefined,
): number {
  if (octets === undefined) return end
  const place = locate(bytes, restStart, end, number)
  const rest = isAt(bytes, place, end, number) ? elementEnd(bytes, place) : place
  sessionWriter.part(bytes, rest, end)
  if (octets !== null) sessionWriter.explicitOctetString(number, octets)
  return place
}

/** @param content - where in `bytes` that is which `octets` would take the place of */
function isAsWritten(
  bytes: Uint8Array,
  content: Span | undefined,
  octets: Uint8Array | null | undefined,
): boolean {
  if (octets === undefined) return true
  if (content === undefined || octets === null) return content === undefined && octets === null
  if (content.end - content.start !== octets.length) return false
  for (let index = 0; index < octets.length; index++)
    if (octetAt(bytes, content.start + index) !== octets[index]) return false
  return true
}

/** The offset of the element, or undefined. @param end - of the session */
function find(bytes: Uint8Array, end: number, number: number): number | undefined {
  const place = locate(bytes, skip(bytes, contentStart(bytes, 0), MANDATORY_ELEMENTS), end, number)
  return isAt(bytes, place, end, number) ? place : undefined
}

/** What lies in the one element that an EXPLICIT [number] holds. */
function findContent(bytes: Uint8Array, end: number, number: number): Span | undefined {
  const element = find(bytes, end, number)
  if (element === undefined) return undefined
  return { start: contentStart(bytes, contentStart(bytes, element)), end: elementEnd(bytes, element) }
}

/**
 * The offset of the element, or of what follows in its place.
 *
 * @param restStart - of the elements that have a number
 */
function locate(bytes: Uint8Array, restStart: number, end: number, number: number): number {
  let offset = restStart
  // Their identifiers ascend.
  while (offset < end && octetAt(bytes, offset) < explicitTag(number)) offset = elementEnd(bytes, offset)
  return offset
}

/** Behind the end there is none. */
function isAt(bytes: Uint8Array, offset: number, end: number, number: number): boolean {
  return offset < end && octetAt(bytes, offset) === explicitTag(number)
}

function skip(bytes: Uint8Array, offset: number, elements: number): number {
  let next = offset
  for (let count = 0; count < elements; count++) next = elementEnd(bytes, next)
  return next
}

/** The session that was looked at last: most are looked at several times in a row. */
let loaded = ''
/** Of which the first are those of `loaded`. */
let loadedBytes: Uint8Array = new Uint8Array(1024)
/** The first of these, by their number: most sessions have one of a few lengths. */
const loadedParts = new Map<number, Uint8Array>()
const MAX_PARTS = 16

/** The bytes of a compact session, and more behind them; until the next one is loaded. */
function load(text: string): Uint8Array {
  if (text === loaded) return loadedBytes
  if (text.length > loadedBytes.length) {
    loadedBytes = new Uint8Array(2 * text.length)
    loadedParts.clear()
  }
  writeLatin1(text, loadedBytes)
  loaded = text
  return loadedBytes
}

function firstLoaded(bytes: Uint8Array, length: number): Uint8Array {
  const known = loadedParts.get(length)
  if (known !== undefined) return known
  if (loadedParts.size === MAX_PARTS) loadedParts.clear()
  const part = bytes.subarray(0, length)
  loadedParts.set(length, part)
  return part
}
