import { X509Certificate } from 'node:crypto'
import type { SslSessionFields } from '../codec/ssl-session-der.ts'
import { toHex } from '../session/bytes.ts'
import { cipherName } from './cipher-names.ts'
import { oneLine } from './probe.ts'
import type { SessionInput } from './session-input.ts'
import { duration, printable } from './terminal.ts'

export interface SessionView {
  readonly input: SessionInput
  readonly fields: SslSessionFields
  /** Whether master key, tickets and what the application put into them may be seen. */
  readonly showsSecrets: boolean
  readonly nowMs: number
}

const TLS1_3 = 0x0304
const VERSIONS: ReadonlyMap<number, string> = new Map([
  [0x0300, 'SSLv3'],
  [0x0301, 'TLSv1'],
  [0x0302, 'TLSv1.1'],
  [0x0303, 'TLSv1.2'],
  [TLS1_3, 'TLSv1.3'],
  [0xfeff, 'DTLSv1'],
  [0xfefd, 'DTLSv1.2'],
  [0x0100, 'DTLSv0.9'],
])
/** X509_verify_cert_error_string(3), of the codes that sessions are seen with. */
const VERIFY_RESULTS: ReadonlyMap<number, string> = new Map([
  [0, 'ok'],
  [1, 'unspecified certificate verification error'],
  [2, 'unable to get issuer certificate'],
  [9, 'certificate is not yet valid'],
  [10, 'certificate has expired'],
  [18, 'self-signed certificate'],
  [19, 'self-signed certificate in certificate chain'],
  [20, 'unable to get local issuer certificate'],
  [21, 'unable to verify the first certificate'],
  [23, 'certificate revoked'],
  [62, 'hostname mismatch'],
])
/** RFC 9846 §4.3.7 (RFC 8446 §4.2.7) and the registry that it began. */
const GROUPS: ReadonlyMap<number, string> = new Map([
  [23, 'secp256r1'],
  [24, 'secp384r1'],
  [25, 'secp521r1'],
  [29, 'x25519'],
  [30, 'x448'],
  [256, 'ffdhe2048'],
  [257, 'ffdhe3072'],
  [4587, 'SecP256r1MLKEM768'],
  [4588, 'X25519MLKEM768'],
  [4589, 'SecP384r1MLKEM1024'],
])
const FLAG_EXTENDED_MASTER_SECRET = 1
const MAX_FRAGMENT_UNSPECIFIED = 255

/** What `openssl sess_id -text` prints, line for line, and then what it leaves out. */
export function sessionText(view: SessionView): string {
  const { fields } = view
  const isTls13 = fields.protocolVersion === TLS1_3
  const lines = [
    `Protocol  : ${versionName(fields.protocolVersion)}`,
    `Cipher    : ${cipherName(fields.cipherSuite)}`,
    `Session-ID: ${upperHex(fields.sessionId)}`,
    `Session-ID-ctx: ${upperHex(fields.sessionIdContext)}`,
    `${isTls13 ? 'Resumption PSK' : 'Master-Key'}: ${secretHex(fields.masterKey, view)}`,
    `PSK identity: ${textOf(fields.pskIdentity)}`,
    `PSK identity hint: ${textOf(fields.pskIdentityHint)}`,
    `SRP username: ${textOf(fields.srpUsername)}`,
    ...ticketLines(view),
    ...(fields.compressionId === 0 ? [] : [`Compression: ${fields.compressionId}`]),
    ...(fields.timeSec === 0 ? [] : [`Start Time: ${fields.timeSec}`]),
    ...(fields.timeoutSec === 0 ? [] : [`Timeout   : ${fields.timeoutSec} (sec)`]),
    `Verify return code: ${fields.verifyResult} (${VERIFY_RESULTS.get(fields.verifyResult) ?? 'see X509_verify_cert_error_string(3)'})`,
    `Extended master secret: ${hasExtendedMasterSecret(fields) ? 'yes' : 'no'}`,
    ...(isTls13 ? [`Max Early Data: ${fields.maxEarlyData}`] : []),
  ]
  const indented = [...lines, ...moreLines(view)].map((line) => (line === '' ? '' : `    ${line}`))
  return ['SSL-Session:', ...indented, ''].join('\n')
}

/** The same for machines; byte strings as hexadecimal digits, times in seconds. */
export function sessionJson(view: SessionView): Record<string, unknown> {
  const { fields, input, showsSecrets } = view
  const { masterKey, ticket, ticketAppData, peerCertificate, peerRawPublicKey, ...rest } = fields
  const hidden = (bytes: Uint8Array | undefined): unknown =>
    bytes && (showsSecrets ? toHex(bytes) : { bytes: bytes.length })
  return {
    form: input.form,
    boundTo: input.boundTo,
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, plain(value)])),
    protocol: versionName(fields.protocolVersion),
    cipher: cipherName(fields.cipherSuite),
    hostname: fields.hostname && latin1(fields.hostname),
    alpnSelected: fields.alpnSelected && latin1(fields.alpnSelected),
    extendedMasterSecret: hasExtendedMasterSecret(fields),
    masterKey: hidden(masterKey),
    ticket: hidden(ticket),
    ticketAppData: hidden(ticketAppData),
    peerCertificateSubject: peerCertificate && subjectOf(peerCertificate),
    peerRawPublicKey: peerRawPublicKey && toHex(peerRawPublicKey),
    expiresAtSec: fields.timeSec + fields.timeoutSec,
    isExpired: isExpired(view),
  }
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value)
  return typeof value === 'bigint' ? Number(value) : value
}

function ticketLines(view: SessionView): string[] {
  const { ticketLifetimeHintSec, ticket } = view.fields
  const hint =
    ticketLifetimeHintSec > 0n ? [`TLS session ticket lifetime hint: ${ticketLifetimeHintSec} (seconds)`] : []
  if (ticket === undefined) return hint
  if (!view.showsSecrets) return [...hint, `TLS session ticket: ${hiddenBytes(ticket)}`]
  return [...hint, 'TLS session ticket:', ...dump(ticket), '']
}

function moreLines(view: SessionView): string[] {
  const { fields, input } = view
  return [
    expiryLine(view),
    `Peer certificate: ${fields.peerCertificate ? printable(subjectOf(fields.peerCertificate)) : 'none'}`,
    `Server name: ${fields.hostname ? printable(latin1(fields.hostname)) : 'none'}`,
    `ALPN: ${fields.alpnSelected ? printable(latin1(fields.alpnSelected)) : 'none'}`,
    `Key exchange group: ${fields.kexGroup === 0 ? 'none' : (GROUPS.get(fields.kexGroup) ?? fields.kexGroup)}`,
    ...rareLines(view),
    `Form: ${input.form}, DER of ${input.der.length} bytes`,
    ...(input.boundTo === undefined ? [] : [`Bound by Node to: ${printable(input.boundTo)}`]),
  ]
}

function rareLines(view: SessionView): string[] {
  const { fields } = view
  return [
    ...(fields.ticketAppData ? [`Ticket application data: ${secretHex(fields.ticketAppData, view)}`] : []),
    ...(isFragmentLengthSet(fields) ? [`Max fragment length mode: ${fields.maxFragmentLengthMode}`] : []),
    ...(fields.ticketAgeAdd === 0 ? [] : [`Ticket age add: ${fields.ticketAgeAdd}`]),
    ...(fields.flags === 0 ? [] : [`Flags: 0x${fields.flags.toString(16)}`]),
    ...(fields.peerRawPublicKey ? [`Peer raw public key: ${toHex(fields.peerRawPublicKey)}`] : []),
  ]
}

function isFragmentLengthSet({ maxFragmentLengthMode }: SslSessionFields): boolean {
  return maxFragmentLengthMode !== 0 && maxFragmentLengthMode !== MAX_FRAGMENT_UNSPECIFIED
}

function expiryLine({ fields, nowMs }: SessionView): string {
  const { timeSec, timeoutSec } = fields
  if (timeSec === 0) return 'Expires: unknown, it has no start time'
  const expirySec = timeSec + timeoutSec
  const leftSec = expirySec - nowMs / 1000
  const at = isDate(expirySec) ? `, ${new Date(expirySec * 1000).toISOString()}` : ''
  const words = leftSec >= 0 ? `in ${duration(leftSec)}` : `${duration(-leftSec)} ago`
  return `Expire${leftSec >= 0 ? 's' : 'd'}: ${words}${at}`
}

/** The last second that a Date holds, ECMA-262 §21.4.1.1. */
function isDate(seconds: number): boolean {
  return seconds <= 8_640_000_000_000
}

export function isExpired({ fields: { timeSec, timeoutSec }, nowMs }: SessionView): boolean {
  return timeSec !== 0 && nowMs > (timeSec + timeoutSec) * 1000
}

function hasExtendedMasterSecret({ flags }: SslSessionFields): boolean {
  return (flags & FLAG_EXTENDED_MASTER_SECRET) !== 0
}

function versionName(version: number): string {
  return VERSIONS.get(version) ?? `0x${version.toString(16).padStart(4, '0')}`
}

function upperHex(bytes: Uint8Array): string {
  return toHex(bytes).toUpperCase()
}

function secretHex(bytes: Uint8Array, { showsSecrets }: SessionView): string {
  return showsSecrets ? upperHex(bytes) : hiddenBytes(bytes)
}

function hiddenBytes({ length }: Uint8Array): string {
  return `(${length} bytes; --secrets shows them)`
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes ? printable(latin1(bytes)) : 'None'
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function subjectOf(certificate: Uint8Array): string {
  try {
    return oneLine(new X509Certificate(certificate).subject) || 'empty subject'
  } catch {
    return 'cannot be read'
  }
}

const ROW_BYTES = 16

/** BIO_dump(3). */
function dump(bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let start = 0; start < bytes.length; start += ROW_BYTES) {
    const row = [...bytes.subarray(start, start + ROW_BYTES)]
    const digits = row
      .map((byte, index) => byte.toString(16).padStart(2, '0') + (index === 7 ? '-' : ' '))
      .join('')
    const characters = row
      .map((byte) => (byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : '.'))
      .join('')
    lines.push(`${start.toString(16).padStart(4, '0')} - ${digits.padEnd(ROW_BYTES * 3)}  ${characters}`)
  }
  return lines
}
