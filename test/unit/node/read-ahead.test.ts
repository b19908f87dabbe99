import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { SessionCacheMode, type SslSession } from '../../../src/index.ts'
import {
  bytes,
  clientHello,
  clientHelloOfLength,
  records,
  resumingClientHello,
} from '../../tools/client-hello-builder.ts'
import {
  afterTest,
  connect,
  type Harness,
  NAME,
  NO_INTERNAL,
  reasons,
  start,
  startStock,
  TLS12,
  TLS13,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { manyProtocols, pieces, reframing, visitRaw, withServer } from './raw-visit.ts'

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
