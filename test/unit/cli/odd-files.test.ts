import { execFileSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { SslSession } from '../../../src/index.ts'
import { folderWithCertificate, startOpenssl } from '../../tools/foreign-servers.ts'
import { certificate, start } from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { V1, V3 } from '../../tools/session-fields.ts'
import { type Run, run, sessionDer } from './run-command.ts'

const pem = SslSession.fromDer(V1).toPem()
const pem3 = SslSession.fromDer(V3).toPem()
const BOM = '\ufeff'
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le')
const swapped = (bytes: Buffer): Buffer => Buffer.from(bytes).swap16()
const certificateDer = new X509Certificate(certificate.cert).raw
const keyDer = createPrivateKey(certificate.key).export({ type: 'pkcs8', format: 'der' })
const ticket = Buffer.from(decodeSslSession(V3).ticket ?? [])
/** As random as what a server encrypts, and always the same. */
function sealed(length: number): Buffer {
  let state = 1
  const next = (): number => {
    state = (state * 48_271) % 2_147_483_647
    return state >>> 8
  }
  return Buffer.from(Uint8Array.from({ length }, next))
}

function wrapped(der: Uint8Array, name: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(Buffer.byteLength(name))
  return Buffer.concat([Buffer.from('\0nodejs:tls:session:1\0'), length, Buffer.from(name), der])
}

function ticketMessage(body: Buffer): Buffer {
  const head = Buffer.from([4, 0, 0, 0])
  head.writeUIntBE(body.length, 1, 3)
  return Buffer.concat([head, body])
}
const nst12 = (opaque: Buffer): Buffer => {
  const head = Buffer.alloc(6)
  head.writeUInt32BE(7200)
  head.writeUInt16BE(opaque.length, 4)
  return ticketMessage(Buffer.concat([head, opaque]))
}
const nst13 = (opaque: Buffer): Buffer => {
  const head = Buffer.alloc(9 + 8 + 2)
  head[8] = 8
  head.writeUInt16BE(opaque.length, 17)
  return ticketMessage(Buffer.concat([head, opaque, Buffer.alloc(2)]))
}

/** Bytes, and how many sessions are shown of them. */
const readable: readonly (readonly [string, Uint8Array | string, number])[] = [
  ['DER', V1, 1],
  ['two DERs, one after another', Buffer.concat([V1, V3]), 2],
  ['PEM', pem, 1],
  ['PEM of TLS 1.3', pem3, 1],
  ['PEM with a byte order mark', BOM + pem, 1],
  ['PEM with a byte order mark and a line before it', `${BOM}hello\n${pem}`, 1],
  ['PEM with CR LF', pem.replaceAll('\n', '\r\n'), 1],
  ['PEM without a last line end', pem.trimEnd(), 1],
  ['PEM with spaces at the ends of lines', pem.replaceAll('\n', '  \n'), 1],
  ['PEM after the text of openssl sess_id -text', `SSL-Session:\n    Protocol  : TLSv1.2\n${pem}`, 1],
  ['PEM behind a certificate', `${certificate.cert}\n${pem}`, 1],
  ['PEM before a certificate', `${pem}${certificate.cert}\n`, 1],
  ['two PEM blocks', pem + pem3, 2],
  ['three PEM blocks with text between', `a\n${pem}b\n${pem3}c\n${pem}d\n`, 3],
  ['two files with byte order marks, put together', BOM + pem + BOM + pem3, 2],
  ['base64', base64(V1), 1],
  ['base64 with a byte order mark', BOM + base64(V1), 1],
  ['base64 over lines', base64(V1).replace(/(.{64})/g, '$1\n'), 1],
  ['base64 of two, a line for each', `${base64(V1)}\n${base64(V3)}\n`, 2],
  ['base64url', Buffer.from(V1).toString('base64url'), 1],
  ['base64 of two DERs', base64(Buffer.concat([V1, V3])), 2],
  ['hexadecimal digits', hex(V1), 1],
  ['hexadecimal digits in capitals', hex(V1).toUpperCase(), 1],
  ['hexadecimal digits with colons', hex(V1).replace(/(..)(?=.)/g, '$1:'), 1],
  ['hexadecimal digits over lines', hex(V1).replace(/(.{32})/g, '$1\n'), 1],
  ['hexadecimal digits of two, a line for each', `${hex(V1)}\n${hex(V3)}`, 2],
  ['JSON of a Buffer', JSON.stringify(Buffer.from(V1)), 1],
  ["what Node's clients give", wrapped(V1, 'shop.example'), 1],
  ["base64 of what Node's clients give", base64(wrapped(V3, '')), 1],
  ["hexadecimal digits of what Node's clients give", hex(wrapped(V1, 'x')), 1],
  ["JSON of what Node's clients give", JSON.stringify(wrapped(V1, 'x')), 1],
]

const encryptedKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'secret',
})

/** Bytes, and what they are called. */
const unreadable: readonly (readonly [string, Uint8Array | string, RegExp])[] = [
  ['nothing', '', /it is empty/],
  ['a byte order mark alone', BOM, /it is empty/],
  ['PEM in UTF-16 with its mark', utf16(BOM + pem), /UTF-16/],
  ['PEM in UTF-16, the other way round', swapped(utf16(BOM + pem)), /UTF-16/],
  ['PEM in UTF-16 without its mark', utf16(pem), /UTF-16/],
  ['a certificate', certificate.cert, /it is a certificate/],
  ['a certificate as DER', certificateDer, /it is a certificate/],
  ['a private key', certificate.key, /it is a private key/],
  ['an encrypted private key', String(encryptedKey), /it is a private key/],
  ['a private key as DER', keyDer, /./],
  ['PEM with a line before its mark', `hello\n${BOM}${pem}`, /PEM must hold the line/],
  ['PEM without an end', pem.replace(/-----END.*/s, ''), /after its beginning/],
  ['PEM whose second block has no end', pem + pem3.replace(/-----END.*/s, ''), /after its beginning/],
  ['PEM that is encrypted', pem.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n'), /PEM must/],
  ['PEM with nothing in it', pem.replace(/PARAMETERS-----\n[^-]+/, 'PARAMETERS-----\n'), /got none/],
  [
    'PEM of a certificate under the name of a session',
    pem.replace(/\nM[^-]+/, `\n${base64(certificateDer)}\n`),
    /./,
  ],
  [
    'what openssl s_client prints',
    'CONNECTED(00000003)\n---\nSSL-Session:\n    Protocol  : TLSv1.2\n',
    /s_client -sess_out/,
  ],
  ['a key log', `CLIENT_RANDOM ${hex(sealed(32))} ${hex(sealed(48))}\n`, /key log/],
  [
    'a ticket of TLS 1.2 in its message',
    nst12(sealed(192)),
    /NewSessionTicket message, with a ticket of 192 bytes/,
  ],
  [
    'a ticket of TLS 1.3 in its message',
    nst13(sealed(208)),
    /NewSessionTicket message, with a ticket of 208 bytes/,
  ],
  ['a ticket', ticket.length >= 100 ? ticket : sealed(192), /looks like a ticket/],
  ['a ticket in base64', base64(sealed(192)), /looks like a ticket: 192 bytes/],
  ['a ticket in hexadecimal digits', hex(sealed(192)), /looks like a ticket: 192 bytes/],
  ['ticket keys of Node', sealed(48), /how long ticket keys are/],
  ['ticket keys of nginx', sealed(80), /how long ticket keys are/],
  ['a record of TLS', Buffer.concat([Buffer.from([22, 3, 3, 0, 40]), sealed(40)]), /record of TLS/],
  ['gzip', gzipSync(V1), /gzip/],
  ['a ZIP archive', Buffer.from('PK\x03\x04 and so on'), /ZIP/],
  ['a session that is cut off', V1.subarray(0, 50), /./],
  ['a session with something behind it', Buffer.concat([V1, Buffer.from('xyz')]), /./],
  ['zeros', Buffer.alloc(1000), /./],
  ['text', 'hello, world!', /input must be a session/],
  ['JSON that is cut off', '{"type":"Buffer","data":[48,', /input must be a session/],
  ['JSON of something else', '{"type":"Buffer","data":"no"}', /input must be a session/],
]

function inspect(input: Uint8Array | string, ...args: string[]): Promise<Run> {
  const file = join(folderWithCertificate(), 'input.bin')
  writeFileSync(file, input)
  return run(['inspect', file, ...args])
}

describe('sslctx inspect shows all sessions of', () => {
  test.each(readable)('%s', async (_, input, count) => {
    const { stdout } = await inspect(input, '--json')
    const lines = stdout.trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).protocol)).toHaveLength(count)
    expect((await inspect(input)).stdout.match(/^SSL-Session:$/gm)).toHaveLength(count)
  })
})

describe('sslctx inspect ends with 2 and names', () => {
  test.each(unreadable)('%s', async (_, input, says) => {
    const { exitCode, stdout, stderr } = await inspect(input)
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^sslctx: '[^']*input\.bin' is no session: /)
    expect(stderr).toMatch(says)
    expect(stderr).not.toMatch(/MII|[0-9a-f]{16}/)
  })
})

describe('a file without end', () => {
  test.each([
    'inspect FILE',
    'doctor x:1 --ca FILE',
    'bench x:1 --cert FILE --key FILE',
    'inspect x:1 --ca FILE',
  ])('is not read to it: %s', async (line) => {
    const file = join(folderWithCertificate(), 'large.pem')
    writeFileSync(file, '')
    truncateSync(file, 600 * 1024 * 1024)
    const before = process.memoryUsage().rss
    const { exitCode, stderr } = await run(line.split(' ').map((word) => (word === 'FILE' ? file : word)))
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('is longer than 1048576 bytes')])
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024)
    expect((await run(line.split(' ').map((word) => (word === 'FILE' ? '/dev/zero' : word)))).exitCode).toBe(
      2,
    )
  })

  test('nor is a folder', async () => {
    const { exitCode, stderr } = await run(['inspect', folderWithCertificate()])
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('(EISDIR)')])
  })
})

describe('a file for --ca, --cert and --key is refused that', () => {
  const legacyKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    type: 'pkcs1',
    format: 'pem',
    cipher: 'aes-128-cbc',
    passphrase: 'secret',
  })
  test.each([
    ['ca', 'is empty', '', /--ca: '.*' is empty/],
    ['ca', 'is DER', certificateDer, /is DER; make PEM of it/],
    ['ca', 'is PEM in UTF-16', utf16(BOM + certificate.cert), /UTF-16/],
    ['ca', 'is text', 'hello', /holds no certificate/],
    ['ca', 'is a key', certificate.key, /holds no certificate/],
    ['ca', 'is broken', certificate.cert.replace(/MII.{9}/, 'AAAA'), /cannot be read, the 1\. of 1/],
    [
      'ca',
      'has a second part that is broken',
      certificate.cert + certificate.cert.replace(/MII.{9}/, 'AAAA'),
      /the 2\. of 2/,
    ],
    ['ca', 'is a Java keystore', Buffer.from('feedfeed0000000200000001', 'hex'), /Java keystore/],
    ['cert', 'is DER', certificateDer, /is DER/],
    ['cert', 'is PKCS#12', Buffer.from('308204a80201033082', 'hex'), /PKCS#12/],
    ['key', 'is DER', keyDer, /is DER/],
    ['key', 'is a certificate', certificate.cert, /holds no private key/],
    ['key', 'is encrypted', String(encryptedKey), /is encrypted; decrypt it/],
    ['key', 'is encrypted in the old way', String(legacyKey), /is encrypted; decrypt it/],
    [
      'key',
      'is of OpenSSH',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----\n',
      /OpenSSH/,
    ],
  ] as const)('--%s: %s', async (option, _, content, says) => {
    const folder = folderWithCertificate()
    const file = join(folder, 'odd.pem')
    writeFileSync(file, content)
    const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem'), [option]: file }
    const args = option === 'ca' ? ['--ca', file] : ['--cert', files.cert, '--key', files.key]
    const { exitCode, stdout, stderr } = await run(['doctor', '127.0.0.1:1', ...args])
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(says)
    expect(stderr).not.toMatch(/MII/)
  })

  test('holds one key and the certificate of another', async () => {
    const folder = folderWithCertificate()
    const file = join(folder, 'other.pem')
    writeFileSync(
      file,
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
    )
    const { exitCode, stderr } = await run(['doctor', 'x:1', '--cert', `${folder}/cert.pem`, '--key', file])
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('belong together')])
  })

  test('but not one with a byte order mark', async () => {
    const folder = folderWithCertificate()
    writeFileSync(join(folder, 'bom.pem'), BOM + certificate.cert)
    const { port } = await start()
    const { stdout } = await run([
      'doctor',
      '--servername',
      'server.example',
      `127.0.0.1:${port}`,
      '--ca',
      `${folder}/bom.pem`,
      '--attempts',
      '1',
    ])
    expect(stdout).toMatch(/;\s+verifies/)
  })
})

describe('nothing in a session writes to the terminal', () => {
  const hostile = 'a\u001b[31m\u009b2J\u202eb\u2028c\u0007'
  const fields = { ...decodeSslSession(V1), hostname: new Uint8Array(Buffer.from(hostile, 'latin1')) }
  const inputs = [sessionDer(fields), wrapped(V1, hostile), wrapped(sessionDer(fields), hostile)]

  const formats: readonly (readonly string[])[] = [[], ['--json'], ['--secrets'], ['--json', '--secrets']]
  test.each(formats.map((args) => ({ args })))('with $args', async ({ args }) => {
    for (const input of inputs) {
      const { stdout, stderr } = await inspect(input, ...args)
      expect(stdout.length).toBeGreaterThan(100)
      expect(`${stdout}${stderr}`.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      for (const line of args.includes('--json') ? stdout.trim().split('\n') : [])
        expect(() => JSON.parse(line)).not.toThrow()
    }
  })
})

describe('sslctx inspect HOST', () => {
  test('shows what a server gives to a client', async () => {
    const { port } = await start()
    const { exitCode, stdout } = await run([
      'inspect',
      `localhost:${port}`,
      '--servername',
      'server.example',
      '--json',
    ])
    const sessions = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(exitCode).toBe(0)
    expect(sessions.map(({ protocol }) => protocol)).toEqual(['TLSv1.3', 'TLSv1.3'])
    const older = await run(['inspect', `https://127.0.0.1:${port}/path`, '--protocol', '1.2'])
    expect(older.stdout).toContain('Protocol  : TLSv1.2')
  })

  const openssl = missingCommand('openssl', 'version')
  peerTest('says why, when it gives none', openssl, async () => {
    const port = await startOpenssl('-num_tickets', '0', '-tls1_3')
    const none = await run(['inspect', `127.0.0.1:${port}`])
    expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining('gives no session')])
    const refused = await run(['inspect', `127.0.0.1:${port}`, '--protocol', '1.2'])
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('protocol_version')])
    const neither = await run(['inspect', 'no-such-thing'])
    expect([neither.exitCode, neither.stderr]).toEqual([2, expect.stringContaining('no host of that name')])
    const nobody = await run(['inspect', '127.0.0.1:1'])
    expect([nobody.exitCode, nobody.stderr]).toEqual([3, expect.stringContaining('ECONNREFUSED')])
  })
})

peerTest('every cipher suite of openssl has its name', missingCommand('openssl', 'version'), async () => {
  const { cipherName } = await import('../../../src/cli/cipher-names.ts')
  const list = execFileSync('openssl', ['ciphers', '-V', 'ALL:COMPLEMENTOFALL'], { encoding: 'utf8' })
  const suites = [...list.matchAll(/0x(..),0x(..) - (\S+)/g)]
  expect(suites.length).toBeGreaterThan(100)
  for (const [, high, low, name] of suites)
    expect(cipherName(Number.parseInt(`${high}${low}`, 16))).toBe(name)
})
