import type net from 'node:net'
import tls from 'node:tls'
import type { FindingId } from '../../../src/cli/findings.ts'
import { certificate } from '../../tools/node-servers.ts'

/** A server that does one thing on each connection, and what `sslctx doctor` has to say of it. */
export interface OddServer {
  readonly name: string
  readonly serve: (socket: net.Socket) => void
  readonly finding: FindingId
  /** A part of what is said. */
  readonly says?: RegExp
  readonly exitCode: 1 | 3
}

/** Of alerts by number, RFC 9846 §6. */
const FATAL = 2
const WARNING = 1
const alert = (level: number, description: number): Buffer =>
  Buffer.from([21, 3, 3, 0, 2, level, description])
const record = (type: number, ...body: number[]): Buffer => Buffer.from([type, 3, 3, 0, body.length, ...body])

const onHello = (answer: (socket: net.Socket, hello: Buffer) => void) => (socket: net.Socket) =>
  void socket.once('data', (hello: Buffer) => answer(socket, hello))

const ends = (bytes: Uint8Array | string) => onHello((socket) => void socket.end(bytes))
const greets = (bytes: Uint8Array | string) => (socket: net.Socket) => void socket.end(bytes)

/** As fast as the other side takes it, until the connection is gone. */
const floods = (bytes: Uint8Array) => (socket: net.Socket) => {
  const write = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  }
  socket.on('drain', write)
  write()
}

/** One byte after another, and from the beginning again. */
const drips = (bytes: Uint8Array) => (socket: net.Socket) => {
  let at = 0
  const timer = setInterval(() => socket.write(Buffer.of(bytes[at++ % bytes.length] ?? 0)), 20)
  socket.on('close', () => clearInterval(timer))
}

const { secureContext } = { secureContext: tls.createSecureContext(certificate) }

/** A handshake as it should be, and then something else. */
const afterHandshake =
  (then: (secure: tls.TLSSocket, raw: net.Socket) => void, options: tls.TLSSocketOptions = {}) =>
  (socket: net.Socket) => {
    const secure = new tls.TLSSocket(socket, { isServer: true, secureContext, ...options })
    secure.on('error', () => undefined).on('secure', () => then(secure, socket))
  }

const ALERTS: readonly (readonly [number, FindingId, RegExp])[] = [
  [40, 'nothing-in-common', /no common cipher suite.*handshake_failure/],
  [42, 'client-certificate-required', /bad_certificate/],
  [46, 'client-certificate-required', /certificate_unknown/],
  [48, 'client-certificate-required', /unknown_ca/],
  [49, 'client-certificate-required', /access_denied/],
  [116, 'client-certificate-required', /certificate_required/],
  [70, 'nothing-in-common', /none of the versions.*protocol_version/],
  [71, 'nothing-in-common', /insufficient_security/],
  [80, 'handshake-refused', /internal_error/],
  [86, 'handshake-refused', /inappropriate_fallback/],
  [10, 'handshake-refused', /unexpected_message/],
  [47, 'handshake-refused', /illegal_parameter/],
  [50, 'handshake-refused', /decode_error/],
  [90, 'handshake-refused', /user_canceled/],
  [109, 'name-refused', /missing_extension/],
  [112, 'name-refused', /unrecognized_name/],
  [115, 'nothing-in-common', /unknown_psk_identity/],
  [120, 'protocol-refused', /no_application_protocol/],
  [99, 'handshake-refused', /alert 99/],
]

const GREETINGS: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', /SSH/],
  ['SMTP', '220 mail.example ESMTP Postfix\r\n', /SMTP.*--starttls smtp/s],
  ['FTP', '220 (vsFTPd 3.0.3)\r\n', /FTP.*--starttls ftp/s],
  ['POP3', '+OK ready\r\n', /--starttls pop3/],
  ['IMAP', '* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n', /--starttls imap/],
  ['MySQL', Buffer.from('4a0000000a382e302e3336006300000000', 'hex'), /--starttls mysql/],
  ['VNC', 'RFB 003.008\n', /VNC/],
  ['IRC', ':irc.example NOTICE * :*** Looking up your hostname\r\n', /IRC/],
]

const ANSWERS: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', /HTTP without TLS/],
  ['a page', '<html>no</html>', /HTTP without TLS/],
  ['Redis', '-ERR unknown command\r\n', /Redis/],
  ['memcached', 'ERROR\r\n', /memcached/],
  ['AMQP', 'AMQP\0\0\x09\x01', /AMQP/],
  ['HTTP/2', Buffer.from('000006040000000000000500004000', 'hex'), /HTTP\/2/],
  ['SSL 2.0', Buffer.from('8003000001', 'hex'), /something else/],
  ['a terminal', '\u001b[31m\u009b2J\u202ered', /something else/],
]

export const oddServers: readonly OddServer[] = [
  ...ALERTS.map(
    ([number, finding, says]): OddServer => ({
      name: `answers with the alert ${number}`,
      serve: ends(alert(FATAL, number)),
      finding,
      says,
      exitCode: 1,
    }),
  ),
  ...GREETINGS.map(
    ([name, bytes, says]): OddServer => ({
      name: `greets as ${name}`,
      serve: greets(bytes),
      finding: 'no-tls',
      says,
      exitCode: 3,
    }),
  ),
  ...ANSWERS.map(
    ([name, bytes, says]): OddServer => ({
      name: `answers as ${name}`,
      serve: ends(bytes),
      finding: 'no-tls',
      says,
      exitCode: 3,
    }),
  ),
  {
    name: 'sends an alert before it has read anything',
    serve: greets(alert(FATAL, 80)),
    finding: 'handshake-refused',
    exitCode: 1,
  },
  {
    name: 'drips an alert',
    serve: drips(alert(FATAL, 40)),
    finding: 'nothing-in-common',
    exitCode: 1,
  },
  {
    name: 'sends an alert and resets',
    serve: onHello((socket) => {
      socket.write(alert(FATAL, 40), () => socket.resetAndDestroy())
    }),
    finding: 'nothing-in-common',
    exitCode: 1,
  },
  {
    name: 'sends an alert and then no end of bytes',
    serve: onHello((socket) => {
      socket.write(alert(FATAL, 112))
      floods(Buffer.alloc(65_536, 1))(socket)
    }),
    finding: 'name-refused',
    exitCode: 1,
  },
  {
    name: 'sends close_notify and ends',
    serve: ends(alert(WARNING, 0)),
    finding: 'handshake-refused',
    says: /close_notify/,
    exitCode: 1,
  },
  {
    name: 'floods with warnings',
    serve: floods(Buffer.concat(Array(1000).fill(alert(WARNING, 90)))),
    finding: 'handshake-refused',
    exitCode: 1,
  },
  {
    name: 'sends an alert of five bytes',
    serve: ends(record(21, 2, 40, 0, 0, 0)),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  { name: 'is silent', serve: () => undefined, finding: 'silent', says: /says nothing/, exitCode: 3 },
  {
    name: 'never reads',
    serve: (socket) => void socket.pause(),
    finding: 'silent',
    exitCode: 3,
  },
  {
    name: 'ends at once',
    serve: (socket) => void socket.end(),
    finding: 'silent',
    says: /without a word/,
    exitCode: 3,
  },
  { name: 'ends after the ClientHello', serve: ends(''), finding: 'silent', exitCode: 3 },
  {
    name: 'resets after the ClientHello',
    serve: onHello((socket) => void socket.resetAndDestroy()),
    finding: 'silent',
    exitCode: 3,
  },
  {
    name: 'echoes',
    serve: (socket) => void socket.pipe(socket),
    finding: 'no-tls',
    says: /sends back/,
    exitCode: 3,
  },
  { name: 'floods with zeros', serve: floods(Buffer.alloc(65_536)), finding: 'no-tls', exitCode: 3 },
  { name: 'floods with text', serve: floods(Buffer.alloc(65_536, 'a')), finding: 'no-tls', exitCode: 3 },
  { name: 'drips zeros', serve: drips(Buffer.alloc(1)), finding: 'no-tls', exitCode: 3 },
  {
    name: 'begins a record and stops',
    serve: onHello((socket) => void socket.write(Buffer.from([22, 3, 3, 0, 80]))),
    finding: 'handshake-broken',
    says: /does not end it in time/,
    exitCode: 1,
  },
  {
    name: 'begins a record and ends',
    serve: ends(Buffer.from([22, 3, 3, 0, 80, 2])),
    finding: 'handshake-broken',
    says: /in the middle/,
    exitCode: 1,
  },
  {
    name: 'begins a record and resets',
    serve: onHello((socket) => {
      socket.write(Buffer.from([22, 3, 3, 0, 80, 2]), () => socket.resetAndDestroy())
    }),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'drips a record that is never whole',
    serve: drips(Buffer.concat([Buffer.from([22, 3, 3, 0x40, 0]), Buffer.alloc(16_384, 2)])),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'sends an empty ServerHello',
    serve: ends(record(22, 2, 0, 0, 0)),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'sends records of application data',
    serve: ends(record(23, 1, 2, 3)),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'floods with ChangeCipherSpec',
    serve: floods(Buffer.concat(Array(1000).fill(record(20, 1)))),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'floods with HelloRequest',
    serve: floods(Buffer.concat(Array(1000).fill(record(22, 0, 0, 0, 0)))),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'floods with empty records',
    serve: floods(Buffer.concat(Array(1000).fill(record(22)))),
    finding: 'handshake-broken',
    exitCode: 1,
  },
  {
    name: 'speaks TLS 1.1 only',
    serve: afterHandshake(() => undefined, {
      secureContext: tls.createSecureContext({
        ...certificate,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'ALL:@SECLEVEL=0',
      }),
    }),
    finding: 'old-versions-only',
    says: /TLS 1\.1 and nothing newer/,
    exitCode: 1,
  },
]

/** Servers that end handshakes as they should, and then behave badly: the run ends, and what is seen of sessions is told. */
export const rudeServers: readonly { readonly name: string; readonly serve: OddServer['serve'] }[] = [
  { name: 'never reads what comes after the handshake', serve: afterHandshake((_, raw) => void raw.pause()) },
  { name: 'resets after the handshake', serve: afterHandshake((_, raw) => void raw.resetAndDestroy()) },
  { name: 'ends without close_notify', serve: afterHandshake((_, raw) => void raw.destroy()) },
  { name: 'ends at once with close_notify', serve: afterHandshake((secure) => void secure.end()) },
  {
    name: 'floods with application data',
    serve: afterHandshake((secure) => floods(Buffer.alloc(16_384, 'x'))(secure)),
  },
  { name: 'drips application data', serve: afterHandshake((secure) => drips(Buffer.from('x'))(secure)) },
  {
    name: 'sends bytes that are no TLS after the handshake',
    serve: afterHandshake((_, raw) => void raw.write('HTTP/1.1 500\r\n\r\n')),
  },
  { name: 'keeps connections open', serve: afterHandshake(() => undefined) },
]
