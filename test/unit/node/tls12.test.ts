import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  type AttachServerOptions,
  attachServer,
  SessionCacheMode,
  SslContext,
  type SslContextOptions,
  SslSession,
} from '../../../src/index.ts'
import { SslOption } from '../../../src/model.ts'
import {
  afterTest,
  certificate,
  connect,
  greet,
  type Harness,
  type MakeServer,
  NAME,
  reasons,
  start as startServer,
} from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { V2 } from '../../tools/session-fields.ts'

const start = (
  context: SslContextOptions = {},
  attach: AttachServerOptions = {},
  server: tls.TlsOptions = {},
  make?: MakeServer,
): Promise<Harness> =>
  startServer({ context, attach, server: { maxVersion: 'TLSv1.2', ...server }, ...(make && { make }) })

describe('a TLS 1.2 server', () => {
  test('resumes a client by its session id, and counts as libssl would', async () => {
    const harness = await start()
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(harness.context.stats).toMatchObject({ number: 1, accept: 2, acceptGood: 2, hits: 1, timeouts: 0 })
    expect(reasons(harness)).toEqual(['not-found', 'internal'])
    expect(harness.handshakes[1]).toMatchObject({ protocol: 'TLSv1.2', outcome: 'resumed', serverName: NAME })
  })

  test('keeps the session that Node made, bound to its server name, which Node gets back', async () => {
    const harness = await start({}, {}, {}, (options) =>
      tls.createServer(options, (socket) =>
        socket.on('error', () => undefined).end(String(socket.servername)),
      ),
    )
    const { session } = await connect(harness)
    const [kept] = [...harness.context.sessions()]
    expect(kept).toMatchObject({ hostname: NAME, extendedMasterSecret: true, protocolVersion: 0x0303 })
    expect(await connect(harness, session)).toMatchObject({ resumed: true, received: NAME })
  })

  test.each([
    ['sync', (store: Map<string, Uint8Array>, id: string) => read(store, id)],
    ['async', async (store: Map<string, Uint8Array>, id: string) => read(store, id)],
  ] as const)(
    'resumes on another server what the %s external cache holds, also with another context of Node',
    async (_, find) => {
      const store = new Map<string, Uint8Array>()
      const settings: SslContextOptions = {
        newSessionCallback: (_connection, made) =>
          store.set(Buffer.from(made.sessionId).toString('hex'), made.toDer()),
        getSessionCallback: (_connection, id) => find(store, Buffer.from(id).toString('hex')),
      }
      const first = await start(settings, {}, { sessionIdContext: 'first' })
      const second = await start(settings, {}, { sessionIdContext: 'second' })
      const { session } = await connect(first)
      expect((await connect(second, session)).resumed).toBe(true)
      expect(reasons(second)).toEqual(['external'])
      expect(second.context.stats).toMatchObject({ misses: 1, cbHits: 1, hits: 1, number: 1 })
    },
  )

  function read(store: Map<string, Uint8Array>, id: string): SslSession | undefined {
    const der = store.get(id)
    return der === undefined ? undefined : SslSession.fromDer(der)
  }

  test('does not resume an expired session', async () => {
    let nowMs = Date.now()
    const harness = await start({ now: () => nowMs })
    const { session } = await connect(harness)
    nowMs += 7_201_000
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['not-found', 'expired'])
    expect(harness.context.stats).toMatchObject({ timeouts: 1, number: 1 })
  })

  test('does not resume a session that was removed', async () => {
    const harness = await start()
    const { session } = await connect(harness)
    for (const one of harness.context.sessions()) harness.context.removeSession(one)
    expect((await connect(harness, session)).resumed).toBe(false)
  })

  test('stores nothing in mode OFF', async () => {
    const harness = await start({ sessionCacheMode: SessionCacheMode.OFF })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(harness.context.stats.number).toBe(0)
  })

  test('forgets no session because a connection ended without close_notify', async () => {
    const harness = await start({}, {}, {}, (options) =>
      tls.createServer(options, (socket) => socket.on('error', () => undefined).destroy()),
    )
    const socket = tls.connect({
      host: '127.0.0.1',
      port: harness.port,
      servername: NAME,
      ca: certificate.cert,
    })
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.on('close', resolve))
    expect([...harness.context.sessions()].map((session) => session.isResumable)).toEqual([true])
  })

  test('counts a connection that never spoke TLS, and is none the worse for it', async () => {
    const harness = await start()
    const socket = net.connect(harness.port, '127.0.0.1').on('error', () => undefined)
    socket.write('GET / HTTP/1.0\r\n\r\n')
    await once(socket.resume(), 'close')
    expect(harness.context.stats).toMatchObject({ accept: 1, acceptGood: 0 })
    expect((await connect(harness)).resumed).toBe(false)
  })
})

describe('a lookup that goes wrong is a full handshake', () => {
  test.each([
    [
      'throws',
      () => {
        throw new Error('store is down')
      },
      'callback-failed',
    ],
    ['rejects', () => Promise.reject(new Error('store is down')), 'callback-failed'],
    ['never answers', () => new Promise<undefined>(() => undefined), 'lookup-timeout'],
    ['answers with another session', () => SslSession.fromDer(V2), 'wrong-session'],
    ['answers with what is no session', () => 5 as unknown as undefined, 'callback-failed'],
  ])('when the get callback %s', async (_, getSessionCallback, reason) => {
    const harness = await start(
      { sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL, getSessionCallback },
      { lookupTimeoutMs: 50 },
    )
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe(reason)
    expect(harness.context.stats).toMatchObject({ acceptGood: 2, hits: 0 })
  })

  test('and an answer that comes too late is not used', async () => {
    let answer: (session: undefined) => void = () => undefined
    const harness = await start(
      {
        sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
        getSessionCallback: () =>
          new Promise<undefined>((resolve) => {
            answer = resolve
          }),
      },
      { lookupTimeoutMs: 20 },
    )
    const { session } = await connect(harness)
    await connect(harness, session)
    answer(undefined)
    expect(reasons(harness).at(-1)).toBe('lookup-timeout')
  })

  test('and a client that leaves meanwhile does no harm', async () => {
    let asked: (() => void) | undefined
    const wasAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    let answer: (session: undefined) => void = () => undefined
    const harness = await start({
      getSessionCallback: () =>
        new Promise<undefined>((resolve) => {
          answer = resolve
          asked?.()
        }),
    })
    const socket = tls
      .connect({ host: '127.0.0.1', port: harness.port, ca: certificate.cert, servername: NAME })
      .on('error', () => undefined)
    await wasAsked
    socket.destroy()
    await new Promise((resolve) => socket.on('close', resolve))
    answer(undefined)
    harness.context.setGetSessionCallback()
    expect((await connect(harness)).resumed).toBe(false)
  })
})

test('onHandshake may throw: other listeners hear of the connection, and the process of the error', async () => {
  const error = new Error('observer')
  const harness = await start(
    {},
    {
      onHandshake() {
        throw error
      },
    },
  )
  const [[warning]] = await Promise.all([once(process, 'warning'), connect(harness)])
  expect(warning).toBe(error)
})

test('a renegotiation is counted as such, and its session is not kept (3SHAKE)', async () => {
  const harness = await start({}, {}, {}, (options) =>
    tls.createServer(options, (socket) => socket.on('error', () => undefined).resume()),
  )
  const socket = tls.connect({
    host: '127.0.0.1',
    port: harness.port,
    servername: NAME,
    ca: certificate.cert,
  })
  await once(socket, 'secureConnect')
  await new Promise<void>((resolve, reject) =>
    socket.renegotiate({}, (error) => (error === null ? resolve() : reject(error))),
  )
  socket.destroy()
  expect(harness.context.stats).toMatchObject({ accept: 1, acceptRenegotiate: 1, acceptGood: 2, number: 1 })
  expect(harness.attachment.stats.notKept).toEqual({ renegotiation: 1 })
})

test('the new callback may throw: the handshake succeeds', async () => {
  const harness = await start({
    newSessionCallback() {
      throw new Error('store is full')
    },
  })
  const { session } = await connect(harness)
  expect((await connect(harness, session)).resumed).toBe(true)
})

test('a client that drops the extended master secret gets the alert of libssl (RFC 7627 §5.3)', async () => {
  const harness = await start()
  const { session } = await connect(harness)
  const [alert] = await Promise.all([
    once(harness.server, 'tlsClientError').then(([cause]) => (cause as NodeJS.ErrnoException).code),
    connect(harness, session, { secureOptions: SslOption.NO_EXTENDED_MASTER_SECRET }).catch(() => undefined),
  ])
  expect(alert).toBe('ERR_SSL_INCONSISTENT_EXTMS')
  expect(harness.handshakes.at(-1)).toMatchObject({ outcome: 'failed' })
})

describe('servers of Node', () => {
  test('https: requests are answered, resumed or not', async () => {
    const harness = await start({}, {}, {}, (options) =>
      https.createServer(options, (_request, response) => response.end('hello')),
    )
    const agent = new https.Agent({ ca: certificate.cert, servername: NAME, keepAlive: false })
    const get = async (): Promise<string> => {
      const request = https.get({ host: '127.0.0.1', port: harness.port, agent })
      const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream]
      let body = ''
      for await (const chunk of response) body += String(chunk)
      return body
    }
    expect([await get(), await get()]).toEqual(['hello', 'hello'])
    expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
  })

  test('http2: streams are answered, resumed or not', async () => {
    const harness = await start({}, {}, { ALPNProtocols: ['h2'] }, (options) =>
      http2.createSecureServer(options).on('stream', (stream) => stream.end('hello')),
    )
    const visit = async (session?: Buffer): Promise<{ status: unknown; session: Buffer | undefined }> => {
      const client = http2.connect(`https://127.0.0.1:${harness.port}`, {
        ca: certificate.cert,
        servername: NAME,
        ...(session && { session }),
      })
      let received: Buffer | undefined
      client.on('connect', (_session, socket) => {
        received = (socket as tls.TLSSocket).getSession()
      })
      const stream = client.request({ ':path': '/' })
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
      stream.resume()
      await once(stream, 'close')
      client.close()
      await once(client, 'close')
      return { status: headers[':status'], session: received }
    }
    const first = await visit()
    expect((await visit(first.session)).status).toBe(200)
    expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
  })

  test('listeners of others on "connection" keep their order', async () => {
    const calls: string[] = []
    const harness = await start({}, {}, {}, (options) => {
      const server = greet(options)
      server.prependListener('connection', () => calls.push('before'))
      server.on('connection', () => calls.push('after'))
      server.on('secureConnection', () => calls.push('secure'))
      return server
    })
    await connect(harness)
    expect(calls).toEqual(['before', 'after', 'secure'])
  })

  test('dispose gives the server its listeners back', async () => {
    const harness = await start()
    const plain = tls.createServer()
    harness.attachment[Symbol.dispose]()
    for (const event of ['connection', 'newSession', 'resumeSession'])
      expect(harness.server.rawListeners(event)).toEqual(plain.rawListeners(event))
    await connect(harness)
    expect(harness.context.stats.accept).toBe(0)
  })

  test('what is no TLS server is refused', () => {
    expect(() => attachServer(net.createServer() as tls.Server, new SslContext())).toThrow(
      expect.objectContaining({ code: 'ERR_SERVER_SETUP', problem: 'not-a-tls-server' }),
    )
  })
})

describe('openssl s_client', () => {
  peerTest('resumes its session by id in TLS 1.2', missingCommand('openssl', 'version'), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sslctx-'))
    afterTest(() => rmSync(folder, { recursive: true }))
    const harness = await start()
    const run = async (...session: string[]): Promise<string> => {
      const child = spawn('openssl', [
        's_client',
        '-connect',
        `127.0.0.1:${harness.port}`,
        '-tls1_2',
        ...session,
      ])
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
      await once(child, 'close')
      return output
    }
    expect(await run('-sess_out', join(folder, 'session'))).toMatch(/^New, TLSv1\.2/m)
    expect(await run('-sess_in', join(folder, 'session'))).toMatch(/^Reused, TLSv1\.2/m)
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })
})
