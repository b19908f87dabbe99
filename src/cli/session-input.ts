/**
 * The forms in which a session comes to people:
 *
 *   DER       as i2d_SSL_SESSION(3); several one after another
 *   PEM       as `openssl s_client -sess_out`; several blocks
 *   wrapped   what clients of Node 22.23, 24.17 and 26.3 give and take:
 *             NUL "nodejs:tls:session:1" NUL, uint16 length, server name, DER
 *   base64    of DER or wrapped, for logs and databases; one for each line
 *   hex       the same in hexadecimal digits
 *   JSON      of a Buffer, as JSON.stringify writes it
 */
import { decodePem } from '../codec/pem.ts'
import { decodeSslSession } from '../codec/ssl-session-der.ts'
import { SessionDerError } from '../errors.ts'
import { withoutByteOrderMark } from './files.ts'
import { foreignForm } from './foreign-input.ts'

const WRAPPER = '\0nodejs:tls:session:1\0'
const LENGTH_BYTES = 2
/** The SEQUENCE that a session's DER is. */
const DER_SEQUENCE = 0x30
const END_OF_BLOCK = /^-----END SSL SESSION PARAMETERS-----[ \t\r]*$/m

export type SessionForm = 'DER' | 'PEM' | 'Node client session' | 'base64' | 'hexadecimal' | 'JSON' | 'ticket'

export interface SessionInput {
  readonly der: Uint8Array
  readonly form: SessionForm
  /** The identity to which Node bound it. */
  readonly boundTo?: string
}

/**
 * All sessions of an input, in their order, one at least.
 *
 * @throws {@link SessionDerError} for anything else, with the name of what it is when that is known
 */
export function readSessionInputs(input: Uint8Array): SessionInput[] {
  const bytes = withoutByteOrderMark(Buffer.from(input.buffer, input.byteOffset, input.byteLength))
  const text = bytes.toString('latin1')
  const found = readBinary(bytes) ?? readText(text)
  const isSession = found?.every(({ der }) => isSslSession(der))
  const foreign = isSession ? undefined : foreignForm(bytes, found?.[0]?.der)
  if (foreign !== undefined) throw new SessionDerError(foreign, 0)
  if (found === undefined)
    throw new SessionDerError('input must be a session as DER, PEM, Node client session or base64', 0)
  return found
}

/** @throws {@link SessionDerError} for anything but a session */
export function readSessionInput(bytes: Uint8Array): SessionInput {
  const [first] = readSessionInputs(bytes)
  if (first === undefined) throw new SessionDerError('input must hold a session', 0)
  return first
}

function isSslSession(der: Uint8Array): boolean {
  try {
    decodeSslSession(der)
    return true
  } catch (error) {
    if (error instanceof SessionDerError) return false
    throw error
  }
}

/**
 * Takes off what Node's clients put around a session, if they did.
 *
 * @throws {@link SessionDerError} when the wrapper is cut off
 */
export function unwrapClientSession(bytes: Uint8Array): SessionInput {
  const wrapped = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!wrapped.subarray(0, WRAPPER.length).equals(Buffer.from(WRAPPER, 'latin1')))
    return { der: bytes, form: 'DER' }
  const nameStart = WRAPPER.length + LENGTH_BYTES
  if (wrapped.length < nameStart)
    throw new SessionDerError('Node client session must have a server name', wrapped.length)
  const nameEnd = nameStart + wrapped.readUInt16BE(WRAPPER.length)
  if (wrapped.length < nameEnd)
    throw new SessionDerError('Node client session must have a whole server name', wrapped.length)
  const boundTo = wrapped.toString('utf8', nameStart, nameEnd)
  return { der: bytes.subarray(nameEnd), form: 'Node client session', boundTo }
}

/** Base64 text may begin with the character "0", which is 0x30 too; a DER is not all printable. */
function readBinary(bytes: Buffer): SessionInput[] | undefined {
  if (bytes[0] !== DER_SEQUENCE && bytes[0] !== 0) return undefined
  if (isBase64(bytes.toString('latin1'))) return undefined
  const first = unwrapClientSession(bytes)
  return first.form === 'DER' ? elementsOf(first.der).map((der) => ({ der, form: 'DER' as const })) : [first]
}

/** One after another, as `cat` puts them together; what is none is left to the last. */
function elementsOf(der: Uint8Array): Uint8Array[] {
  const elements: Uint8Array[] = []
  let rest = der
  while (rest.length > 0) {
    const length = elementLength(rest)
    const isLast = length === undefined || length >= rest.length || rest[length] !== DER_SEQUENCE
    elements.push(isLast ? rest : rest.subarray(0, length))
    rest = isLast ? rest.subarray(rest.length) : rest.subarray(length)
  }
  return elements
}

/** X.690 §8.1.3, of up to three octets. */
function elementLength(der: Uint8Array): number | undefined {
  const [, first = 0] = der
  if (first < 0x80) return 2 + first
  const count = first & 0x7f
  if (count === 0 || count > 3 || der.length < 2 + count) return undefined
  return der.subarray(2, 2 + count).reduce((length, octet) => length * 256 + octet, 0) + 2 + count
}

function readText(text: string): SessionInput[] | undefined {
  if (text.includes('-----BEGIN SSL SESSION')) return blocksOf(text)
  if (/^\s*\{\s*"type"\s*:\s*"Buffer"/.test(text)) return readJson(text)
  const whole = readEncoded(text)
  if (whole?.every(({ der }) => isSslSession(der))) return whole
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  const each = lines.map(readEncoded)
  const areAll = lines.length > 1 && each.every((one) => one?.every(({ der }) => isSslSession(der)))
  return areAll ? each.flatMap((one) => one ?? []) : whole
}

function blocksOf(text: string): SessionInput[] {
  // Files that `cat` has put together have a mark at the beginning of each.
  const pieces = text.split(END_OF_BLOCK).map((piece) => piece.replace(/^\s*\xef\xbb\xbf/, ''))
  const rest = pieces.pop() ?? ''
  const blocks = pieces.map((piece) => `${piece}-----END SSL SESSION PARAMETERS-----\n`)
  // What has begun and does not end is an error, which decodePem names.
  if (rest.includes('-----BEGIN SSL SESSION')) blocks.push(rest)
  return blocks.map((block) => ({ der: decodePem(block), form: 'PEM' as const }))
}

function readJson(text: string): SessionInput[] | undefined {
  try {
    const { data } = JSON.parse(text) as { readonly data?: unknown }
    const bytes = Array.isArray(data) ? Buffer.from(data as number[]) : Buffer.alloc(0)
    return readBinary(bytes)?.map((one) => ({ ...one, form: 'JSON' as const }))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function readEncoded(text: string): SessionInput[] | undefined {
  const hexadecimal = readBinary(decodeHex(text))
  if (hexadecimal !== undefined) return hexadecimal.map((one) => ({ ...one, form: 'hexadecimal' as const }))
  const bytes = isBase64(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0)
  return readBinary(bytes)?.map((one) => ({ ...one, form: 'base64' as const }))
}

/** `30:82:…`, `3082…`, with white space anywhere. */
function decodeHex(text: string): Buffer {
  const digits = text.replace(/[\s:]/g, '')
  const isHex = digits.length % 2 === 0 && /^[0-9A-Fa-f]+$/.test(digits)
  return isHex ? Buffer.from(digits, 'hex') : Buffer.alloc(0)
}

/** Both alphabets of RFC 4648, over lines. */
function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/_\-\s]+={0,2}\s*$/.test(text)
}
