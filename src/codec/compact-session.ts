/**
 * The compact form of an SSL_SESSION: its DER as `encodeSslSession` writes it, without the times [1] and [2], one UTF-16 unit
 * for each byte. A string takes a tenth of the memory of the objects that the fields would be.
 *
 * What is in this form was read strictly, or was written here: so elements are found by their lengths alone, and those that
 * stay as they are, are copied, not encoded anew.
 */
import { contentStart, DerTag, elementEnd, explicitTag, type Octets, octetAt } from './der.ts'
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
export interface SessionEdits {
  /** 0 to 32 bytes. */
  readonly sessionIdContext?: Uint8Array | undefined
  /** Without a NUL (R12.5); null for none. */
  readonly hostname?: Uint8Array | null | undefined
  readonly ticketAppData?: Uint8Array | undefined
}

/** The [number] of the elements that are read one by one: those with an OCTET STRING in them, and those with an INTEGER. */
const OCTETS = { sessionIdContext: 4, hostname: 6, ticket: 10, ticketAppData: 18 } as const
const INTEGERS = { verifyResult: 5, maxEarlyData: 15, kexGroup: 19 } as const
const PEER_CERTIFICATE = 3

const NO_TIMES: SessionTimes = { timeSec: 0, timeoutSec: 0 }
/** Format version, protocol version, cipher suite. */
const ELEMENTS_BEFORE_ID = 3
/** With session id and master key. */
const MANDATORY_ELEMENTS = 5

/**
 * The compact form of what lies in DER.
 *
 * @param outline - of `der`
 * @param edits - to be made at once
 */
export function compactDer(der: Uint8Array, outline: SessionOutline, edits: SessionEdits): string {
  if (!outline.isCanonical) return editCompact(compactFields(fieldsOf(der, outline)), edits)
  const { start, mandatoryEnd, restStart } = outline
  return writeCompact(der, start, mandatoryEnd, restStart, edits)
}

export function compactFields(fields: FieldsWithoutTimes): string {
  writeSslSession(fields, NO_TIMES)
  return sessionWriter.finishText()
}

/** All of a session but its times, which are zero. */
export function fieldsOfCompact(text: string): SslSessionFields {
  return decodeSslSession(copy(text, 0, text.length))
}

/**
 * The DER of a session, into {@link sessionWriter}, whose caller takes it from there.
 *
 * @param sessionIdContext - to be written in place of the session's own, 0 to 32 bytes
 */
export function writeDerOfCompact(text: string, times: SessionTimes, sessionIdContext?: Uint8Array): void {
  const start = contentStart(text, 0)
  const optionalStart = skip(text, start, MANDATORY_ELEMENTS)
  sessionWriter.begin()
  const end = writeEdit(text, optionalStart, text.length, OCTETS.sessionIdContext, sessionIdContext)
  sessionWriter.part(text, optionalStart, end)
  writeTimes(times)
  sessionWriter.part(text, start, optionalStart)
  sessionWriter.close(DerTag.SEQUENCE, 0)
}

/** The compact form of the session with these changes. */
export function editCompact(text: string, edits: SessionEdits): string {
  const { sessionIdContext, hostname, ticketAppData } = edits
  const isUnchanged =
    isAsWritten(text, OCTETS.sessionIdContext, sessionIdContext) &&
    isAsWritten(text, OCTETS.hostname, hostname) &&
    isAsWritten(text, OCTETS.ticketAppData, ticketAppData)
  if (isUnchanged) return text
  const start = contentStart(text, 0)
  const restStart = skip(text, start, MANDATORY_ELEMENTS)
  return writeCompact(text, start, restStart, restStart, edits)
}

/** @param restStart - of the elements that may be edited, which go on until the end of `source` */
function writeCompact(
  source: Octets,
  start: number,
  mandatoryEnd: number,
  restStart: number,
  { sessionIdContext, hostname, ticketAppData }: SessionEdits,
): string {
  sessionWriter.begin()
  // From the last to the first.
  let end = writeEdit(source, restStart, source.length, OCTETS.ticketAppData, ticketAppData)
  end = writeEdit(source, restStart, end, OCTETS.hostname, hostname)
  end = writeEdit(source, restStart, end, OCTETS.sessionIdContext, sessionIdContext)
  sessionWriter.part(source, restStart, end)
  sessionWriter.part(source, start, mandatoryEnd)
  return finishCompact()
}

/** @returns the length of the session id, whose bytes are now the first of `target` */
export function writeSessionId(text: string, target: Uint8Array): number {
  const element = skip(text, contentStart(text, 0), ELEMENTS_BEFORE_ID)
  const start = contentStart(text, element)
  const length = elementEnd(text, element) - start
  for (let index = 0; index < length; index++) target[index] = text.charCodeAt(start + index)
  return length
}

/** A copy. */
export function readMasterKey(text: string): Uint8Array {
  const element = skip(text, contentStart(text, 0), ELEMENTS_BEFORE_ID + 1)
  return copy(text, contentStart(text, element), elementEnd(text, element))
}

export function sessionIdLength(text: string): number {
  const element = skip(text, contentStart(text, 0), ELEMENTS_BEFORE_ID)
  return elementEnd(text, element) - contentStart(text, element)
}

/** 0 also for what the session does not have. */
export function octetsLength(text: string, name: keyof typeof OCTETS): number {
  const element = find(text, OCTETS[name])
  if (element === undefined) return 0
  return elementEnd(text, element) - contentStart(text, contentStart(text, element))
}

/** A copy; undefined for what the session does not have. */
export function readOctets(text: string, name: keyof typeof OCTETS): Uint8Array | undefined {
  const element = find(text, OCTETS[name])
  if (element === undefined) return undefined
  return copy(text, contentStart(text, contentStart(text, element)), elementEnd(text, element))
}

/** An int32 or uint32; 0 for what is not written. */
export function readNumber(text: string, name: keyof typeof INTEGERS): number {
  const element = find(text, INTEGERS[name])
  if (element === undefined) return 0
  const start = contentStart(text, contentStart(text, element))
  let value = text.charCodeAt(start) >= 0x80 ? -1 : 0
  for (let index = start; index < elementEnd(text, element); index++)
    value = value * 0x100 + text.charCodeAt(index)
  return value
}

/** A copy of the Certificate element. */
export function readPeerCertificate(text: string): Uint8Array | undefined {
  const element = find(text, PEER_CERTIFICATE)
  return element === undefined
    ? undefined
    : copy(text, contentStart(text, element), elementEnd(text, element))
}

/**
 * What stands between an element and `end`, and the element itself as `octets` say: to be called for one element after the
 * other, from the last to the first.
 *
 * @param octets - null for no such element; undefined leaves all to the next call
 * @returns where that ends which is still to be written
 */
function writeEdit(
  source: Octets,
  restStart: number,
  end: number,
  number: number,
  octets: Uint8Array | null | undefined,
): number {
  if (octets === undefined) return end
  const place = locate(source, restStart, number)
  const rest = isAt(source, place, number) ? elementEnd(source, place) : place
  sessionWriter.part(source, rest, end)
  if (octets !== null) sessionWriter.explicitOctetString(number, octets)
  return place
}

function isAsWritten(text: string, number: number, octets: Uint8Array | null | undefined): boolean {
  if (octets === undefined) return true
  const element = find(text, number)
  if (element === undefined || octets === null) return element === undefined && octets === null
  const start = contentStart(text, contentStart(text, element))
  if (elementEnd(text, element) - start !== octets.length) return false
  for (let index = 0; index < octets.length; index++)
    if (text.charCodeAt(start + index) !== octets[index]) return false
  return true
}

function finishCompact(): string {
  sessionWriter.close(DerTag.SEQUENCE, 0)
  return sessionWriter.finishText()
}

/** The offset of the element, or undefined. */
function find(text: string, number: number): number | undefined {
  const place = locate(text, skip(text, contentStart(text, 0), MANDATORY_ELEMENTS), number)
  return isAt(text, place, number) ? place : undefined
}

/**
 * The offset of the element, or of what follows in its place.
 *
 * @param restStart - of the elements that have a number
 */
function locate(source: Octets, restStart: number, number: number): number {
  let offset = restStart
  // Their identifiers ascend.
  while (offset < source.length && octetAt(source, offset) < explicitTag(number))
    offset = elementEnd(source, offset)
  return offset
}

/** Behind the end there is none. */
function isAt(source: Octets, offset: number, number: number): boolean {
  return offset < source.length && octetAt(source, offset) === explicitTag(number)
}

function skip(source: Octets, offset: number, elements: number): number {
  let next = offset
  for (let count = 0; count < elements; count++) next = elementEnd(source, next)
  return next
}

function copy(text: string, start: number, end: number): Uint8Array {
  const bytes = new Uint8Array(end - start)
  for (let index = start; index < end; index++) bytes[index - start] = text.charCodeAt(index)
  return bytes
}
