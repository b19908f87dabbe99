import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { cipherName } from '../../../src/cli/cipher-names.ts'
import { readSessionInput } from '../../../src/cli/session-input.ts'
import { duration } from '../../../src/cli/terminal.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { SessionDerError } from '../../../src/errors.ts'
import { SslSession } from '../../../src/index.ts'
import { folderWithCertificate } from '../../tools/foreign-servers.ts'
import { certificate, connect, listen, NAME, start, startStock, VERSIONS } from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { V1, V3 } from '../../tools/session-fields.ts'
import { type Run, run, sessionDer } from './run-command.ts'

const openssl = missingCommand('openssl', 'version')

async function* bytes(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

const inspect = (input: Uint8Array, ...args: string[]): Promise<Run> =>
  run(['inspect', '-', ...args], { stdin: bytes(input) })

/** What clients of Node 22.23 and later give. */
function wrapped(der: Uint8Array, name: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(name.length)
  return Buffer.concat([Buffer.from('\0nodejs:tls:session:1\0'), length, Buffer.from(name), der])
}

/** Sessions of real handshakes and of libssl's own encoder, and one that has every field. */
async function sessions(): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [V1, V3]
  for (const [, options] of VERSIONS) {
    const stock = await startStock({ server: { ...options.server, secureOptions: 0 } })
    const { session } = await connect(stock)
    found.push(readSessionInput(session ?? new Uint8Array(0)).der)
  }
  const peerCertificate = new Uint8Array(new X509Certificate(certificate.cert).raw)
  found.push(
    sessionDer({ ...decodeSslSession(V3), peerCertificate, protocolVersion: 0x0304, verifyResult: 18 }),
  )
  return found
}

describe('sslctx inspect', () => {
  peerTest('prints line for line what openssl sess_id -text prints, and then more', openssl, async () => {
    const folder = folderWithCertificate()
    const file = join(folder, 'session.pem')
    const all = await sessions()
    expect(all.length).toBe(5)
    for (const der of all) {
      writeFileSync(file, SslSession.fromDer(der).toPem())
      const theirs = execFileSync('openssl', ['sess_id', '-in', file, '-text', '-noout'], {
        encoding: 'utf8',
      })
      const { stdout } = await run(['inspect', file, '--secrets'])
      expect(stdout.startsWith(theirs)).toBe(true)
      expect(stdout.length).toBeGreaterThan(theirs.length)
    }
  })

  peerTest('knows the cipher suites of openssl by their names', openssl, () => {
    const list = execFileSync('openssl', ['ciphers', '-V', 'DEFAULT:!PSK:!SRP'], { encoding: 'utf8' })
    const suites = [...list.matchAll(/0x(..),0x(..) - (\S+)/g)]
    expect(suites.length).toBeGreaterThan(20)
    for (const [, high, low, name] of suites)
      expect(cipherName(Number.parseInt(`${high}${low}`, 16))).toBe(name)
    expect(cipherName(0xfefe)).toBe('FEFE')
  })

  test.each([
    ['DER', V1, 'DER'],
    ['PEM', Buffer.from(SslSession.fromDer(V1).toPem()), 'PEM'],
    ["what Node's clients give", wrapped(V1, 'shop.example'), 'Node client session'],
    ['base64', Buffer.from(Buffer.from(V1).toString('base64')), 'base64'],
    [
      'base64url over lines',
      Buffer.from(
        `${Buffer.from(V1)
          .toString('base64url')
          .replace(/(.{60})/g, '$1\r\n')}\n`,
      ),
      'base64',
    ],
    [
      "base64 of what Node's clients give",
      Buffer.from(wrapped(V1, 'shop.example').toString('base64')),
      'base64',
    ],
  ])('reads %s', async (_, input, form) => {
    const { stdout, exitCode } = await inspect(input, '--json')
    const json = JSON.parse(stdout)
    expect(json).toMatchObject({
      form,
      protocol: 'TLSv1.2',
      cipher: 'ECDHE-RSA-AES256-GCM-SHA384',
      timeoutSec: 7200,
    })
    expect(json.boundTo).toBe(_.includes('Node') ? 'shop.example' : undefined)
    expect(exitCode).toBe(1)
  })

  test('reads the session that this Node gives to its clients', async () => {
    const { session } = await connect(await start())
    const { stdout, exitCode } = await inspect(session ?? Buffer.alloc(0))
    expect(stdout).toContain('Protocol  : TLSv1.3')
    expect(stdout).toContain(`Peer certificate: CN=${NAME}`)
    expect(stdout).toContain('Expires: in 1 hour 59 minutes')
    expect(exitCode).toBe(0)
  })

  test('reads standard input in pieces', async () => {
    const { stdout } = await run(['inspect', '-'], { stdin: bytes(V1.subarray(0, 10), V1.subarray(10)) })
    expect(stdout).toContain('Protocol  : TLSv1.2')
  })

  test.each([['--json'], []])('tells master key and ticket only with --secrets (%s)', async (...args) => {
    const { masterKey, ticket } = decodeSslSession(V3)
    const secrets = [masterKey, ticket ?? masterKey].map((one) => Buffer.from(one).toString('hex'))
    const shown = (text: string): boolean[] =>
      secrets.map((secret) => text.toLowerCase().replace(/\W/g, '').includes(secret))
    expect(shown((await inspect(V3, ...args)).stdout)).toEqual([false, false])
    expect(shown((await inspect(V3, '--secrets', ...args)).stdout)).toEqual([true, true])
  })

  test('says in words when a session expires, and ends with 1 when it has', async () => {
    const nowSec = Math.floor(Date.now() / 1000)
    const of = (timeSec: number): Promise<Run> => inspect(sessionDer({ timeSec }))
    const old = await of(nowSec - 7200 - 3 * 86_400 - 30)
    expect([old.exitCode, old.stdout]).toEqual([1, expect.stringContaining('Expired: 3 days ago, 20')])
    const fresh = await of(nowSec - 1800)
    expect([fresh.exitCode, fresh.stdout]).toEqual([
      0,
      expect.stringMatching(/Expires: in 1 hour (30|29) minutes, 20/),
    ])
    const timeless = await of(0)
    expect([timeless.exitCode, timeless.stdout]).toEqual([0, expect.stringContaining('Expires: unknown')])
  })

  test('lets nothing in a session write to the terminal', async () => {
    const hostname = Buffer.from('a\u001b[31mb')
    const { stdout } = await inspect(sessionDer({ hostname: new Uint8Array(hostname) }))
    expect(stdout).toContain('Server name: a?[31mb')
  })

  test.each([
    ['nothing', new Uint8Array(0)],
    ['text', Buffer.from('hello, world!')],
    ['a certificate', Buffer.from(certificate.cert)],
    ['a session that is cut off', V1.subarray(0, 50)],
    ['a wrapper that is cut off', wrapped(V1, NAME).subarray(0, 30)],
    ['a wrapper without length', wrapped(V1, NAME).subarray(0, 22)],
  ])('refuses %s with 2, without quoting it', async (_, input) => {
    const { exitCode, stdout, stderr } = await inspect(input)
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^sslctx: standard input is no session: /)
    expect(stderr).not.toMatch(/hello|MII/)
  })

  test.each([
    ['servername', 'x.example'],
    ['protocol', '1.3'],
    ['timeout', '3'],
    ['http'],
    ['alpn', 'h2'],
    ['ca', 'ca.pem'],
    ['cert', 'cert.pem'],
    ['key', 'key.pem'],
    ['starttls', 'smtp'],
    ['insecure'],
  ])('refuses --%s with a file, of which it would say nothing', async (name, ...value) => {
    const option = [`--${name}`, ...value]
    const file = join(folderWithCertificate(), 'session.der')
    writeFileSync(file, V1)
    expect(await run(['inspect', file, ...option])).toEqual({
      exitCode: 2,
      stdout: '',
      stderr: `sslctx: --${name} is for a server, and '${file}' names a file. See 'sslctx inspect --help'.\n`,
    })
    const { exitCode, stderr } = await inspect(V1, ...option)
    expect([exitCode, stderr]).toEqual([
      2,
      `sslctx: --${name} is for a server, and standard input is none. See 'sslctx inspect --help'.\n`,
    ])
  })

  test('says that a server refuses the certificate of --cert, and not that it wants one', async () => {
    const folder = folderWithCertificate()
    // unknown_ca, RFC 9846 §6.2.
    const alert = Buffer.from([21, 3, 3, 0, 2, 2, 48])
    const port = await listen(
      net.createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.end(alert))),
    )
    const files = ['--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')]
    const { exitCode, stderr } = await run(['inspect', `127.0.0.1:${port}`, ...files])
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('does not accept the client certificate')])
  })

  test('refuses input without end', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(65_536)
    }
    const { exitCode, stderr } = await run(['inspect', '-'], { stdin: endless() })
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('too long for a session')])
  })
})

test('whatever is read as a session, only SessionDerError is thrown', () => {
  for (let length = 0; length < 60; length++)
    for (const first of [0, 0x30, 0x41]) {
      const input = new Uint8Array(length).fill(first)
      try {
        readSessionInput(input)
      } catch (error) {
        expect(error).toBeInstanceOf(SessionDerError)
      }
    }
})

test.each([
  [0, '0 seconds'],
  [1, '1 second'],
  [61, '1 minute 1 second'],
  [7200, '2 hours'],
  [86_400 + 59, '1 day'],
  [3 * 86_400 + 3600, '3 days 1 hour'],
])('%i seconds are %s', (seconds, words) => {
  expect(duration(seconds)).toBe(words)
})
