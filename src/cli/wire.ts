/**
 * What a server sends in the clear, whatever becomes of the handshake:
 *
 *   record     type 20 to 23, version 0x03xx, uint16 length             RFC 9846 §5.1
 *   alert      level, description                                       §6
 *   handshake  type, uint24 length; 2 ServerHello, 13 CertificateRequest  §4, RFC 5246 §7.4
 */

const RECORD_HEADER = 5
const MAX_RECORD = 16_384 + 2048
const CHANGE_CIPHER_SPEC = 20
const ALERT = 21
const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_HELLO = 2
const CERTIFICATE_REQUEST = 13
const SUPPORTED_VERSIONS = 43
/** Enough to tell one protocol from another. */
const HEAD_BYTES = 512
/** The messages of a server before it encrypts; certificates are the most of it. */
const MAX_CLEAR_BYTES = 262_144

/** Watches the bytes of one server go by. */
export class WireWitness {
  #head: Buffer = Buffer.alloc(0)
  #rest: Buffer = Buffer.alloc(0)
  #messages: Buffer = Buffer.alloc(0)
  #isReading = true
  #byteCount = 0
  /** Whether a record of TLS has come that a server sends. */
  hasTls = false
  /** What comes is what a client sends: somebody echoes. */
  isEcho = false
  /** The one of the first alert that came in the clear. */
  alert: number | undefined
  /** What ServerHello has chosen. */
  version: number | undefined
  /** Up to TLS 1.2; in TLS 1.3 that message is encrypted. */
  wantsCertificate = false

  /** How much has come. */
  get byteCount(): number {
    return this.#byteCount
  }

  /** The first bytes. */
  get head(): Uint8Array {
    return this.#head
  }

  see(chunk: Buffer): void {
    this.#byteCount += chunk.length
    if (this.#head.length < HEAD_BYTES)
      this.#head = Buffer.concat([this.#head, chunk]).subarray(0, HEAD_BYTES)
    if (!this.#isReading) return
    this.#rest = Buffer.concat([this.#rest, chunk])
    while (this.#isReading && this.#seeRecord());
    if (this.#messages.length > MAX_CLEAR_BYTES) this.#stop()
  }

  #seeRecord(): boolean {
    const { length } = this.#rest
    if (length < RECORD_HEADER) return false
    const [type = 0, major] = this.#rest
    const size = this.#rest.readUInt16BE(3)
    const isRecord = type >= CHANGE_CIPHER_SPEC && type <= 23 && major === 3 && size <= MAX_RECORD
    if (!isRecord) {
      this.#stop()
      return false
    }
    this.isEcho ||=
      this.#byteCount === length && type === HANDSHAKE && this.#rest[RECORD_HEADER] === CLIENT_HELLO
    this.hasTls = !this.isEcho
    if (length < RECORD_HEADER + size) return false
    const body = this.#rest.subarray(RECORD_HEADER, RECORD_HEADER + size)
    this.#rest = this.#rest.subarray(RECORD_HEADER + size)
    this.#seeBody(type, body)
    return true
  }

  #seeBody(type: number, body: Buffer): void {
    if (type === ALERT && body.length === 2) this.alert ??= body[1]
    else if (type === HANDSHAKE) this.#seeMessages(body)
    // From here on all is encrypted; in TLS 1.3 a dummy of this type stands there, RFC 8446 §D.4.
    else if (type !== ALERT) this.#stop()
  }

  #seeMessages(body: Buffer): void {
    this.#messages = Buffer.concat([this.#messages, body])
    while (this.#messages.length >= 4) {
      const size = this.#messages.readUIntBE(1, 3)
      if (this.#messages.length < 4 + size) return
      this.#seeMessage(this.#messages[0] ?? 0, this.#messages.subarray(4, 4 + size))
      this.#messages = this.#messages.subarray(4 + size)
    }
  }

  #seeMessage(type: number, body: Buffer): void {
    if (type === SERVER_HELLO) this.version = versionIn(body)
    if (type === CERTIFICATE_REQUEST) this.wantsCertificate = true
  }

  #stop(): void {
    this.#isReading = false
    this.#rest = Buffer.alloc(0)
    this.#messages = Buffer.alloc(0)
  }
}

/** ServerHello: version, random, session id, cipher suite, compression, extensions. */
function versionIn(hello: Buffer): number | undefined {
  try {
    const extensions = 2 + 32 + 1 + hello.readUInt8(34) + 2 + 1 + 2
    for (let at = extensions; at + 4 <= hello.length; at += 4 + hello.readUInt16BE(at + 2))
      if (hello.readUInt16BE(at) === SUPPORTED_VERSIONS) return hello.readUInt16BE(at + 4)
    return hello.readUInt16BE(0)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Protocols that are met on ports where TLS was expected, by how their servers begin or answer; `<00>` is a byte. */
const GREETINGS: readonly (readonly [pattern: RegExp, name: string, startTls?: string])[] = [
  [/^HTTP\/\d/, 'HTTP without TLS'],
  [/^<(!doctype|html)/i, 'HTTP without TLS'],
  [/^SSH-/, 'SSH'],
  [/^220[ -].*(smtp|esmtp|mail|postfix|exim|sendmail)/i, 'SMTP', 'smtp'],
  [/^220[ -].*(ftp|filezilla)/i, 'FTP', 'ftp'],
  [/^(220|5\d\d)[ -]/, 'SMTP or FTP', 'smtp'],
  [/^\+OK/, 'POP3', 'pop3'],
  [/^\* (OK|PREAUTH|BYE)/, 'IMAP', 'imap'],
  [/^-(ERR|NOAUTH|DENIED)/, 'Redis without TLS'],
  [/^ERROR<0d>/, 'memcached without TLS'],
  [/^<(\?xml|stream:|\/stream)/, 'XMPP', 'xmpp'],
  [/^RFB \d/, 'VNC'],
  [/^AMQP/, 'AMQP without TLS'],
  [/^.{3,12}?<00>(<0a>\d+\.\d|ÿ)/, 'MySQL', 'mysql'],
  [/^E<00><00>/, 'PostgreSQL', 'postgres'],
  [/^0.{1,20}?<02><01>/, 'LDAP', 'ldap'],
  [/^<00><00>.{1,4}?<04><00>/, 'HTTP/2 without TLS'],
  [/^20[01][ -].*(nntp|news|inn)/i, 'NNTP'],
  [/^:\S+ (NOTICE|\d{3})/, 'IRC'],
]

export interface SpokenProtocol {
  readonly name: string
  /** What `--starttls` calls it. */
  readonly startTls?: string
}

/** @returns undefined for bytes of no protocol that is known here */
export function spokenProtocol(head: Uint8Array): SpokenProtocol | undefined {
  const text = visibleBytes(Buffer.from(head).toString('latin1'))
  const [, name, startTls] = GREETINGS.find(([pattern]) => pattern.test(text)) ?? []
  return name === undefined ? undefined : { name, ...(startTls !== undefined && { startTls }) }
}

/** Latin-1 as it is, but for controls: `<0d>`. */
export function visibleBytes(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => `<${control.charCodeAt(0).toString(16).padStart(2, '0')}>`)
}
