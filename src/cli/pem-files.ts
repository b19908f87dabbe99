import { X509Certificate } from 'node:crypto'
import { isUtf16, readBounded, withoutByteOrderMark } from './files.ts'
import { quoted, UsageError } from './usage.ts'

/** All authorities of the Web are a quarter of that. */
const MAX_BYTES = 1_048_576

type PemOption = 'ca' | 'cert' | 'key'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/
const ENCRYPTED_KEY = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/

/**
 * The PEM that an option names: libssl passes over what it cannot use, and then it would be missed without a word.
 *
 * @throws {@link UsageError} that says what the file is instead, and never what is in it
 */
export function readPem(option: PemOption, file: string): string {
  const bytes = withoutByteOrderMark(readBounded(file, MAX_BYTES, `--${option}`))
  const text = bytes.toString('latin1')
  const problem = option === 'key' ? keyProblem(text) : certificateProblem(text)
  if (problem === undefined) return text
  throw new UsageError(`--${option}: ${quoted(file)} ${otherForm(bytes) ?? problem}`)
}

function keyProblem(text: string): string | undefined {
  if (ENCRYPTED_KEY.test(text))
    return 'is encrypted; decrypt it for this: openssl pkey -in FILE -out DECRYPTED, and delete that afterwards'
  if (text.includes('-----BEGIN OPENSSH PRIVATE KEY-----'))
    return 'is a key of OpenSSH; TLS needs PKCS#8, SEC 1 or PKCS#1 in PEM'
  return PRIVATE_KEY.test(text) ? undefined : 'holds no private key; it must be PEM'
}

function certificateProblem(text: string): string | undefined {
  const blocks = text.match(CERTIFICATE) ?? []
  if (blocks.length === 0) return 'holds no certificate; it must be PEM'
  const broken = blocks.findIndex((block) => !isCertificate(block))
  return broken < 0
    ? undefined
    : `holds a certificate that cannot be read, the ${broken + 1}. of ${blocks.length}`
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).subject !== null
  } catch {
    return false
  }
}

/** What people have when they have no PEM, with the way there. */
function otherForm(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return 'is empty'
  if (isUtf16(bytes)) return 'is text in UTF-16; PEM is ASCII: save it as UTF-8'
  if (bytes.readUInt32BE(0) === 0xfeedfeed)
    return 'is a Java keystore; make PEM of it with keytool -exportcert -rfc'
  if (bytes[0] !== 0x30) return undefined
  return isPkcs12(bytes)
    ? 'is PKCS#12; make PEM of it with openssl pkcs12 -in FILE -nodes -out PEM'
    : 'is DER; make PEM of it with openssl x509 (or pkey) -inform DER -in FILE -out PEM'
}

/** PFX: a SEQUENCE that begins with version 3, RFC 7292 §4. */
function isPkcs12(bytes: Buffer): boolean {
  return bytes.subarray(0, 8).includes(Buffer.from([0x02, 0x01, 0x03]))
}
