import { spawn } from 'node:child_process'
import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { ClientHelloCollector } from '../../../src/codec/client-hello-records.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { SessionCacheMode, type SslSession } from '../../../src/index.ts'
import {
  bytes,
  clientHello,
  clientHelloOfLength,
  concat,
  extension,
  keyShare,
  preSharedKey,
  pskKeyExchangeModes,
  records,
  resumingClientHello,
  supportedVersions,
  uint,
  vector,
} from '../../tools/client-hello-builder.ts'
import {
  afterTest,
  connect,
  type Harness,
  NAME,
  NO_INTERNAL,
  reasons,
  type StartOptions,
  start,
  startStock,
  TLS12,
  TLS13,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'

const withServer = (
  version: StartOptions,
  server: tls.TlsOptions,
  rest: StartOptions = {},
): StartOptions => ({
  ...rest,
  server: { ...version.server, ...server },
})

/** Stands between clients and the server, and sends the message of each ClientHello as the chunks that `cut` makes of it. */
async function reframing(
  { port }: Harness,
  cut: (message: Uint8Array) => Iterable<Uint8Array>,
): Promise<{ readonly port: number }> {
  const proxy = net.createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    for (const socket of [client, upstream]) socket.on('error', () => undefined)
    upstream.pipe(client)
    const collector = new ClientHelloCollector()
    client.on('data', function collect(chunk: Buffer): void {
      const progress = collector.push(chunk)
      if (progress.state !== 'complete') return
      client.off('data', collect).pause()
      void send(upstream, cut(progress.message)).then(() => client.pipe(upstream))
    })
    afterTest(() => {
      client.destroy()
      upstream.destroy()
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  afterTest(() => proxy.close())
  return { port: (proxy.address() as AddressInfo).port }
}

/** The server reads each chunk before the next comes. */
async function send(socket: net.Socket, chunks: Iterable<Uint8Array>): Promise<void> {
  for (const chunk of chunks) {
    socket.write(chunk)
    await nextTurn()
  }
}

function* pieces(whole: Uint8Array, length: number): Iterable<Uint8Array> {
  for (let start = 0; start < whole.length; start += length) yield whole.subarray(start, start + length)
}

/** Names that fill so many bytes of the ClientHello, for a server that has no list of its own. */
const manyProtocols = (length: number): string[] =>
  Array.from({ length: Math.floor(length / 101) }, (_, index) => `protocol-${index}`.padEnd(100, '.'))

interface RawVisit {
  /** What the server said, until it ended the connection or until its first record was whole. */
  readonly answer: Buffer
}

/** Sends bytes, and leaves after the first record of the answer. */
async function visitRaw({ port }: { readonly port: number }, sent: Uint8Array): Promise<RawVisit> {
  const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    const answer = Buffer.concat(chunks)
    if (answer.length >= 5 && answer.length >= 5 + answer.readUInt16BE(3)) socket.end()
  })
  socket.write(sent)
  await once(socket, 'close')
  return { answer: Buffer.concat(chunks) }
}

/** The index of the identity that a ServerHello has chosen; undefined in a full handshake. */
function selectedIdentity({ answer }: RawVisit): number | undefined {
  expect([answer[0], answer[5]]).toEqual([22, 2])
  let offset = 5 + 4 + 2 + 32
  offset += 1 + answer.readUInt8(offset) + 2 + 1
  const end = offset + 2 + answer.readUInt16BE(offset)
  for (offset += 2; offset < end; offset += 4 + answer.readUInt16BE(offset + 2))
    if (answer.readUInt16BE(offset) === 41) return answer.readUInt16BE(offset + 4)
  return undefined
}

interface Offered {
  readonly identity: Uint8Array
  /** Without, the binder is nonsense. */
  readonly session?: SslSession
}

const SUITE_SHA256 = 'TLS_AES_128_GCM_SHA256'

/** A ClientHello with the binders of RFC 9846 §4.3.11.2 (RFC 8446 §4.2.11.2), for {@link SUITE_SHA256}. */
function offering(...offers: readonly Offered[]): Uint8Array {
  const message = clientHello({
    sessionId: bytes(32, 0x1d),
    cipherSuites: [0x1301],
    extensions: [
      extension(10, vector(2, uint(2, 0x001d))),
      extension(13, vector(2, uint(2, 0x0804), uint(2, 0x0403))),
      supportedVersions(0x0304),
      pskKeyExchangeModes(1),
      keyShare({ group: 0x001d, keyExchange: bytes(32) }),
      preSharedKey(offers),
    ],
  })
  const bindersLength = 33 * offers.length
  const truncated = message.subarray(0, message.length - bindersLength - 2)
  const binders = offers.map(({ session }) =>
    vector(
      1,
      session === undefined ? bytes(32) : binder(decodeSslSession(session.toDer()).masterKey, truncated),
    ),
  )
  return records(concat(truncated, vector(2, ...binders)))
}

function binder(psk: Uint8Array, truncated: Uint8Array): Uint8Array {
  const hash = (content: Uint8Array): Buffer => createHash('sha256').update(content).digest()
  const early = createHmac('sha256', bytes(32, 0)).update(psk).digest()
  const binderKey = expandLabel(early, 'res binder', hash(bytes(0)))
  const finishedKey = expandLabel(binderKey, 'finished', bytes(0))
  return createHmac('sha256', finishedKey).update(hash(truncated)).digest()
}

/** RFC 9846 §7.1; HKDF-Expand of one block. */
function expandLabel(secret: Uint8Array, label: string, context: Uint8Array): Buffer {
  const info = concat(uint(2, 32), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context))
  return createHmac('sha256', secret)
    .update(concat(info, Uint8Array.of(1)))
    .digest()
}

describe.each(VERSIONS)('a ClientHello of %s is read whole, and resumes', (_, version) => {
  test.each([
    ['in one record', (message: Uint8Array) => [records(message)]],
    ['byte by byte', (message: Uint8Array) => pieces(records(message), 1)],
    ['in records of 100 bytes', (message: Uint8Array) => [records(message, 100)]],
    [
      'in records of 100 bytes, each with its header apart',
      (message: Uint8Array) => headersApart(message, 100),
    ],
    ['in records of one byte', (message: Uint8Array) => [records(message, 1)]],
  ] as const)('when it comes %s', async (_title, cut) => {
    const harness = await start(version)
    const { session } = await connect(harness)
    const { resumed, received } = await connect(await reframing(harness, cut), session)
    expect([resumed, received]).toEqual([true, 'hello'])
    expect(reasons(harness)).toEqual([expect.stringMatching(/^not-(offered|found)$/), 'internal'])
    expect(harness.context.stats).toMatchObject({ accept: 2, acceptGood: 2, hits: 1 })
  })

  function* headersApart(message: Uint8Array, length: number): Iterable<Uint8Array> {
    for (const piece of pieces(message, length)) {
      const record = records(piece)
      yield record.subarray(0, 3)
      yield record.subarray(3, 5)
      yield record.subarray(5)
    }
  }

  test.each([
    ['1.8 KB long, as with a post-quantum key share', 1_600],
    ['beyond 16 KiB, and so in two records', 20_000],
    ['of 60 KB', 60_000],
  ] as const)('when it is %s', async (_title, length) => {
    const harness = await start(version)
    const options = { ALPNProtocols: manyProtocols(length) }
    const { session } = await connect(harness, undefined, options)
    expect((await connect(harness, session, options)).resumed).toBe(true)
    expect(reasons(harness)).toEqual([expect.stringMatching(/^not-(offered|found)$/), 'internal'])
  })

  test('from an external cache as well, when it comes in several records', async () => {
    const stored = new Map<string, SslSession>()
    const harness = await start({
      ...version,
      context: {
        sessionCacheMode: NO_INTERNAL,
        newSessionCallback: (_connection, session) => stored.set(idOf(session), session),
        getSessionCallback: async (_connection, id) => stored.get(Buffer.from(id).toString('hex')),
      },
    })
    const { session } = await connect(harness)
    const proxy = await reframing(harness, (message) => pieces(records(message, 50), 70))
    expect((await connect(proxy, session)).resumed).toBe(true)
    expect(reasons(harness).at(-1)).toBe('external')
    expect(harness.context.stats).toMatchObject({ cbHits: 1, hits: 1 })
  })
})

const idOf = (session: SslSession): string => Buffer.from(session.sessionId).toString('hex')

describe('the identities of a TLS 1.3 ClientHello', () => {
  const OTHER = { identity: bytes(32, 0x01) }
  const BLOB = { identity: bytes(200, 0x02) }

  async function startAsked(): Promise<{ harness: Harness; good: Required<Offered>; asked: string[] }> {
    const made: SslSession[] = []
    const asked: string[] = []
    const find = (id: Uint8Array): SslSession | undefined =>
      made.find(({ sessionId }) => Buffer.from(sessionId).equals(id))
    const harness = await start(
      withServer(
        TLS13,
        { ciphers: SUITE_SHA256 },
        {
          context: {
            sessionCacheMode: NO_INTERNAL,
            newSessionCallback: (_connection, session) => made.push(session),
            getSessionCallback: async (_connection, id) => {
              asked.push(Buffer.from(id).toString('hex'))
              return find(id)
            },
          },
        },
      ),
    )
    // The hello that is built here names no server.
    await connect(harness, undefined, { servername: '', checkServerIdentity: () => undefined })
    const session = made[0]
    if (session === undefined) throw new Error('there is no session')
    return { harness, good: { identity: session.sessionId, session }, asked }
  }

  test('one of 32 bytes is looked up, and its binder is good', async () => {
    const { harness, good, asked } = await startAsked()
    expect(selectedIdentity(await visitRaw(harness, offering(good)))).toBe(0)
    expect(asked).toEqual([Buffer.from(good.identity).toString('hex')])
  })

  test('the first of 32 bytes counts, whatever precedes it', async () => {
    const { harness, good, asked } = await startAsked()
    expect(selectedIdentity(await visitRaw(harness, offering(BLOB, good, OTHER)))).toBe(1)
    expect(asked).toEqual([Buffer.from(good.identity).toString('hex')])
  })

  test('a second one of 32 bytes is not looked up, and its binder never meets the session of the first', async () => {
    const { harness, good, asked } = await startAsked()
    expect(selectedIdentity(await visitRaw(harness, offering(OTHER, good)))).toBeUndefined()
    expect(asked).toEqual([Buffer.from(OTHER.identity).toString('hex')])
  })

  test('a binder that does not verify ends that connection, and harms no other', async () => {
    const { harness, good } = await startAsked()
    const [[error], { answer }] = await Promise.all([
      once(harness.server, 'tlsClientError'),
      visitRaw(harness, offering({ identity: good.identity })),
    ])
    expect(error).toMatchObject({ code: 'ERR_SSL_BINDER_DOES_NOT_VERIFY' })
    expect(answer[0]).toBe(21)
    expect(selectedIdentity(await visitRaw(harness, offering(good)))).toBe(0)
  })

  test('that of a hello with a post-quantum key share is found', async () => {
    const { harness, good, asked } = await startAsked()
    await visitRaw(harness, records(resumingClientHello(good.identity)))
    expect(asked).toEqual([Buffer.from(good.identity).toString('hex')])
  })

  test('a stateless ticket of before is a miss: the handshake is full, and the client can resume from then on', async () => {
    const before = await startStock(withServer(TLS13, { secureOptions: 0 }))
    const harness = await start(TLS13)
    const { session: ticket } = await connect(before)
    const { resumed, session } = await connect(harness, ticket)
    expect(resumed).toBe(false)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['stateless-ticket', 'internal'])
    expect(harness.context.stats).toMatchObject({ hits: 1, misses: 0, acceptGood: 2 })
  })
})

test('a stateless ticket of TLS 1.2 of before is a miss', async () => {
  const before = await startStock(withServer(TLS12, { secureOptions: 0 }))
  const harness = await start(TLS12)
  const { session: ticket } = await connect(before)
  const { resumed, session } = await connect(harness, ticket)
  expect(resumed).toBe(false)
  expect((await connect(harness, session)).resumed).toBe(true)
  expect(reasons(harness)).toEqual(['not-found', 'internal'])
})

describe('a TLS 1.3 client that is asked for another key share (RFC 9846 §4.2.4, RFC 8446 §4.1.4)', () => {
  const CLIENT: tls.ConnectionOptions = { ecdhCurve: 'X25519:P-384' }
  const RETRIED = withServer(TLS13, { ecdhCurve: 'P-384' })

  test.each([
    ['its ClientHello in one record', (message: Uint8Array) => [records(message)]],
    ['its ClientHello byte by byte', (message: Uint8Array) => pieces(records(message), 1)],
    ['its ClientHello in several records', (message: Uint8Array) => [records(message, 100)]],
  ] as const)('resumes, and is counted once: %s', async (_, cut) => {
    const harness = await start(RETRIED)
    const { session } = await connect(harness, undefined, CLIENT)
    const { resumed, received } = await connect(await reframing(harness, cut), session, CLIENT)
    expect([resumed, received]).toEqual([true, 'hello'])
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
    expect(harness.context.stats).toMatchObject({ accept: 2, acceptGood: 2, hits: 1, misses: 0 })
  })

  test('is looked up once', async () => {
    let lookups = 0
    const harness = await start({
      ...RETRIED,
      context: {
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: () => {
          lookups++
          return undefined
        },
      },
    })
    const { session } = await connect(harness, undefined, CLIENT)
    expect((await connect(harness, session, CLIENT)).resumed).toBe(false)
    expect([lookups, reasons(harness).at(-1)]).toEqual([1, 'not-found'])
  })

  test('resumes when its ClientHello is beyond 16 KiB', async () => {
    const harness = await start(RETRIED)
    const options = { ...CLIENT, ALPNProtocols: manyProtocols(20_000) }
    const { session } = await connect(harness, undefined, options)
    expect((await connect(harness, session, options)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })
})

describe('openssl s_client resumes TLS 1.3', () => {
  const problem = missingCommand('openssl', 'version')

  async function visitTwice(harness: Harness, ...options: readonly string[]): Promise<string[]> {
    const folder = mkdtempSync(join(tmpdir(), 'sslctx-'))
    afterTest(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'session')
    const visit = async (...session: readonly string[]): Promise<string> => {
      const connection = ['-connect', `127.0.0.1:${harness.port}`, '-tls1_3']
      const child = spawn('openssl', ['s_client', ...connection, ...options, ...session])
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
      await once(child, 'close')
      return /^(New|Reused), TLSv1\.3/m.exec(output)?.[1] ?? output
    }
    return [await visit('-sess_out', file), await visit('-sess_in', file)]
  }

  peerTest('without a legacy session id (RFC 9846 §4.2.2, RFC 8446 §4.1.2)', problem, async () => {
    const harness = await start(TLS13)
    expect(await visitTwice(harness, '-no_middlebox')).toEqual(['New', 'Reused'])
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })

  peerTest('when it is asked for another key share', problem, async () => {
    const harness = await start(withServer(TLS13, { ecdhCurve: 'P-256' }))
    expect(await visitTwice(harness, '-groups', 'X25519:P-256')).toEqual(['New', 'Reused'])
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })

  peerTest('without a legacy session id, when it is asked for another key share', problem, async () => {
    const harness = await start(withServer(TLS13, { ecdhCurve: 'P-256' }))
    const options = ['-no_middlebox', '-groups', 'X25519:P-256']
    expect(await visitTwice(harness, ...options)).toEqual(['New', 'Reused'])
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })
})

/** What the one client of a server gets to see, and what the server says of it. */
async function misfortune(
  target: Pick<Harness, 'server' | 'port'>,
  sent: Uint8Array,
): Promise<{ readonly code: unknown; readonly answer: string }> {
  const [[error], { answer }] = await Promise.all([
    once(target.server, 'tlsClientError') as Promise<[NodeJS.ErrnoException]>,
    visitRaw(target, sent),
    gone(target.server),
  ])
  return { code: error.code, answer: answer.toString('hex') }
}

/** Once the next connection has come and gone. */
async function gone(server: tls.Server): Promise<void> {
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  await once(socket, 'close')
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

describe('bytes that cannot be read ahead reach Node as they came, and end as in a stock server', () => {
  const SSL2_SPECS = '0006 0000 0010 010080 030080'.replaceAll(' ', '')

  test.each([
    ['a request of HTTP', Buffer.from('GET / HTTP/1.0\r\n\r\n'), 'not-tls'],
    ['a ClientHello of SSL 2.0', hex(`801f010002${SSL2_SPECS}${'5a'.repeat(16)}`), 'not-tls'],
    [
      'a ClientHello of TLS 1.2 in the format of SSL 2.0',
      hex(`801f010303${SSL2_SPECS}${'5a'.repeat(16)}`),
      'not-tls',
    ],
    ['an alert', hex('15030100020228'), 'not-tls'],
    ['zeros', new Uint8Array(64), 'not-tls'],
    ['a ClientHello with leftovers', records(clientHello({ leftovers: bytes(3) })), 'unreadable-hello'],
    ['a ClientHello beyond 128 KiB', records(clientHelloOfLength(131_079)), 'oversized-hello'],
    [
      'a ClientHello that announces 200,000 bytes',
      records(clientHello({ announcedLength: 200_000 })),
      'oversized-hello',
    ],
  ] as const)('%s', async (_, sent, reason) => {
    const stock = await misfortune(await startStock(TLS13), sent)
    const harness = await start(TLS13)
    expect(await misfortune(harness, sent)).toEqual(stock)
    expect(stock.code).toMatch(/^ERR_SSL_/)
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason, socket: undefined }])
    expect(harness.attachment.stats).toMatchObject({ handshakes: { failed: 1 }, reasons: { [reason]: 1 } })
    expect(harness.context.stats).toMatchObject({ accept: 1, acceptGood: 0 })
    expect((await connect(harness)).received).toBe('hello')
  })
})

describe.each(VERSIONS)('%s: nothing is read ahead', (_, version) => {
  const PART = records(resumingClientHello()).subarray(0, 100)
  /** Longer than a test: whatever is read ahead stays so. */
  const READ_AHEAD_MS = 120_000
  const NO_LOOKUP = SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL_LOOKUP

  async function timesOut({ server, port }: Harness): Promise<void> {
    const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
    const left = gone(server)
    socket.write(PART)
    const [error] = (await once(server, 'tlsClientError')) as [Error]
    expect(error).toMatchObject({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
    socket.destroy()
    await left
  }

  test('where nothing could be found: Node has the connection at once', async () => {
    const harness = await start(
      withServer(
        version,
        { handshakeTimeout: 30 },
        { context: { sessionCacheMode: NO_LOOKUP }, attach: { readAheadMs: READ_AHEAD_MS } },
      ),
    )
    await timesOut(harness)
    expect(harness.handshakes).toMatchObject([
      { outcome: 'failed', reason: 'handshake-failed', readAheadMs: 0 },
    ])
  })

  test('where nothing could be found: new sessions of TLS 1.2 are still reported under their server name, those of TLS 1.3 are not kept', async () => {
    const stored = new Map<string, SslSession>()
    const maker = await start({
      ...version,
      context: {
        sessionCacheMode: NO_LOOKUP,
        newSessionCallback: (_connection, session) => stored.set(idOf(session), session),
      },
    })
    const user = await start({
      ...version,
      context: {
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: (_connection, id) => stored.get(Buffer.from(id).toString('hex')),
      },
    })
    const { session } = await connect(maker)
    expect(maker.handshakes).toMatchObject([{ outcome: 'full', reason: 'no-lookup' }])
    const isKept = version === TLS12
    expect([...stored.values()].map(({ hostname }) => hostname)).toEqual(isKept ? [NAME] : [])
    expect(maker.attachment.stats.notKept).toEqual(isKept ? {} : { 'unread-hello': 2 })
    expect((await connect(user, session)).resumed).toBe(isKept)
    expect(reasons(user)).toEqual([isKept ? 'external' : 'not-found'])
  })

  test('while the attachment is disabled: nothing is looked up or stored, and the sessions of before resume afterwards', async () => {
    let lookups = 0
    const stored = new Map<string, SslSession>()
    const harness = await start(
      withServer(
        version,
        { handshakeTimeout: 1_000 },
        {
          context: {
            sessionCacheMode: NO_INTERNAL,
            newSessionCallback: (_connection, session) => stored.set(idOf(session), session),
            getSessionCallback: (_connection, id) => {
              lookups++
              return stored.get(Buffer.from(id).toString('hex'))
            },
          },
          attach: { readAheadMs: READ_AHEAD_MS },
        },
      ),
    )
    const { session } = await connect(harness)
    const [lookupsBefore, storedBefore] = [lookups, stored.size]
    harness.attachment.enabled = false
    const disabled = await connect(harness, session)
    expect(disabled.resumed).toBe(false)
    await timesOut(harness)
    expect([lookups, stored.size]).toEqual([lookupsBefore, storedBefore])
    expect(harness.attachment.stats.notKept).toEqual({ disabled: disabled.sessions.length })
    harness.attachment.enabled = true
    expect((await connect(harness, session)).resumed).toBe(true)
    expect((await connect(harness, disabled.session)).resumed).toBe(false)
    expect(reasons(harness).slice(1)).toEqual(['disabled', 'handshake-failed', 'external', 'not-found'])
  })
})
