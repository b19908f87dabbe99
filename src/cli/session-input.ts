/**
 * The forms in which a session comes to people:
 *
 *   DER       as i2d_SSL_SESSION(3)
 *   PEM       as `openssl s_client -sess_out`
 *   wrapped   what clients of Node 22.23, 24.17 and 26.3 give and take:
 *             NUL "nodejs:tls:session:1" NUL, uint16 length, server name, DER
 *   base64    of DER or wrapped, for logs and databases
 */
import { decodePem } from '../codec/pem.ts'
import { SessionDerError } from '../errors.ts'

const WRAPPER = '\0nodejs:tls:session:1\0'
const LENGTH_BYTES = 2
/** The SEQUENCE that a session's DER is. */
const DER_SEQUENCE = 0x30

export type SessionForm = 'DER' | 'PEM' | 'Node client session' | 'base64'

export interface SessionInput {
  readonly der: Uint8Array
  readonly form: SessionForm
  /** The identity to which Node bound it. */
  readonly boundTo?: string
}

/** @throws {@link SessionDerError} for anything else; the DER itself is not looked at */
export function readSessionInput(bytes: Uint8Array): SessionInput {
  const binary = readBinary(bytes)
  if (binary !== undefined) return binary
  const text = Buffer.from(bytes).toString('latin1')
  if (text.includes('-----BEGIN ')) return { der: decodePem(text), form: 'PEM' }
  const decoded = readBinary(decodeBase64(text))
  if (decoded === undefined)
    throw new SessionDerError('input must be a session as DER, PEM, Node client session or base64', 0)
  return { ...decoded, form: 'base64' }
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

function readBinary(bytes: Uint8Array): SessionInput | undefined {
  return bytes[0] === DER_SEQUENCE || bytes[0] === 0 ? binaryForm(bytes) : undefined
}

/** Base64 text may begin with the character "0", which is 0x30 too; a DER is not all printable. */
function binaryForm(bytes: Uint8Array): SessionInput | undefined {
  return isBase64(Buffer.from(bytes).toString('latin1')) ? undefined : unwrapClientSession(bytes)
}

function decodeBase64(text: string): Uint8Array {
  return isBase64(text) ? new Uint8Array(Buffer.from(text, 'base64')) : new Uint8Array(0)
}

/** Both alphabets of RFC 4648, over lines. */
function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/_\-\s]+={0,2}\s*$/.test(text)
}
