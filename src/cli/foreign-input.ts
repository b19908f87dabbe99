import { X509Certificate } from 'node:crypto'
import { isUtf16 } from './files.ts'

/** GnuTLS begins a session with this, plus its own version as 0x0307.. or 0x0308..: lib/session_pack.c. */
const GNUTLS_MAGIC = 0xfadebadd
const NEW_SESSION_TICKET = 4
const KEY_NAME_SIZES = [48, 80]

/**
 * What an input is that is no session.
 *
 * @param decoded - what the text stands for, when it is an encoding
 * @returns the message for people, without a byte of the input; undefined when nobody knows
 */
export function foreignForm(bytes: Buffer, decoded?: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'it is empty'
  if (isUtf16(bytes)) return 'it is text in UTF-16, as PowerShell writes with >; save it as UTF-8'
  return textForm(bytes.toString('latin1')) ?? binaryForm(bytes) ?? binaryOf(bytes, decoded)
}

const PEM_NAMES: readonly (readonly [RegExp, string])[] = [
  [/PRIVATE KEY/, 'it is a private key'],
  [/CERTIFICATE REQUEST/, 'it is a request for a certificate'],
  [/CERTIFICATE/, 'it is a certificate; openssl s_client -sess_out writes the session'],
  [/DH PARAMETERS|PUBLIC KEY|X509 CRL|PKCS7/, 'it is PEM of something else'],
]

function textForm(text: string): string | undefined {
  if (text.includes('-----BEGIN SSL SESSION')) return undefined
  const begin = /^-----BEGIN ([A-Z0-9 ]+)-----/m.exec(text)?.[1]
  const [, name] = PEM_NAMES.find(([pattern]) => pattern.test(begin ?? '')) ?? []
  if (name !== undefined) return name
  if (/^SSL-Session:|^CONNECTED\(/m.test(text))
    return 'it is what openssl prints about a session; the session itself is written by s_client -sess_out'
  if (/^(CLIENT_RANDOM|SERVER_TRAFFIC_SECRET_0|CLIENT_HANDSHAKE_TRAFFIC_SECRET) /m.test(text))
    return 'it is a key log (SSLKEYLOGFILE), which holds no session'
  return undefined
}

function binaryForm(bytes: Buffer): string | undefined {
  return bytes.length < 4 ? undefined : (sessionForm(bytes) ?? containerForm(bytes))
}

function sessionForm(bytes: Buffer): string | undefined {
  const magic = bytes.readUInt32BE(0) - GNUTLS_MAGIC
  if (magic >= 0x020000 && magic < 0x050000)
    return 'it is a session of GnuTLS (gnutls_session_get_data2), which GnuTLS alone can read'
  if (bytes[0] === NEW_SESSION_TICKET && bytes.readUIntBE(1, 3) === bytes.length - 4)
    return `it is a NewSessionTicket message, with a ticket of ${ticketSize(bytes)} bytes that only its server can open; a client keeps more than that`
  return undefined
}

function containerForm(bytes: Buffer): string | undefined {
  if (bytes[0] === 22 && bytes[1] === 3) return 'it is a record of TLS as it goes over the wire'
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return 'it is compressed with gzip'
  if (bytes.toString('latin1', 0, 2) === 'PK') return 'it is a ZIP archive'
  return bytes[0] === 0x30 && isCertificate(bytes) ? 'it is a certificate' : undefined
}

/** Lifetime, in TLS 1.3 age_add and a nonce too, then the ticket with its length: RFC 9846 §4.7.1 (RFC 8446 §4.6.1), RFC 5077 §3.3. */
function ticketSize(message: Buffer): number {
  const ofTls12 = message.length >= 10 ? message.readUInt16BE(8) : 0
  if (ofTls12 === message.length - 10) return ofTls12
  const at = 13 + (message[12] ?? 0)
  return message.length >= at + 2 ? message.readUInt16BE(at) : 0
}

function isCertificate(der: Uint8Array): boolean {
  try {
    return new X509Certificate(der).serialNumber !== ''
  } catch {
    return false
  }
}

/** A ticket is what its server has encrypted: bytes without any form. RFC 5077 §4 recommends what most of them look like. */
function binaryOf(bytes: Buffer, decoded: Uint8Array | undefined): string | undefined {
  const opaque = decoded ?? encoded(bytes.toString('latin1')) ?? bytes
  const text = Buffer.from(opaque.buffer, opaque.byteOffset, opaque.byteLength)
  const form = text.equals(bytes) ? undefined : binaryForm(text)
  if (form !== undefined) return form
  // A session that is cut off has random bytes too, and begins as DER does.
  const isDer = opaque[0] === 0x30 && [0x81, 0x82, 0x83].includes(opaque[1] ?? 0)
  if (isDer || !looksRandom(opaque)) return undefined
  return KEY_NAME_SIZES.includes(opaque.length)
    ? `it is ${opaque.length} random bytes, which is how long ticket keys are (Node, nginx, HAProxy): they open tickets, and are kept secret`
    : `it looks like a ticket: ${opaque.length} bytes that only its server can open. A client keeps more than that, and inspect takes what it keeps`
}

function encoded(text: string): Buffer | undefined {
  const digits = text.replace(/[\s:]/g, '')
  if (/^([0-9A-Fa-f]{2})+$/.test(digits)) return Buffer.from(digits, 'hex')
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(digits) ? Buffer.from(digits, 'base64') : undefined
}

const SMALLEST_TICKET = 32
const LARGEST_TICKET = 65_535

/** Nearly as many different bytes as chance gives: of n, 256 (1 - (255/256)^n). */
function looksRandom(bytes: Uint8Array): boolean {
  if (bytes.length < SMALLEST_TICKET || bytes.length > LARGEST_TICKET) return false
  const expected = 256 * (1 - (255 / 256) ** bytes.length)
  return new Set(bytes).size > 0.85 * expected
}
