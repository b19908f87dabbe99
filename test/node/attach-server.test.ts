import { spawn } from 'node:child_process'
import { constants } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type AttachServerOptions,
  attachServer,
  type ServerHandshake,
  SessionCacheMode,
  SslContext,
  type SslContextOptions,
  SslSession,
} from '../../src/index.ts'
import { type Certificate, makeCertificate } from '../certificate.ts'
import { V2 } from '../codec/session-fields.ts'
import { missingCommand, peerTest } from '../peers.ts'

const NAME = 'server.example'
const NO_TICKET = constants.SSL_OP_NO_TICKET
let certificate: Certificate
const cleanUp: (() => void)[] = []

beforeAll(async () => {
  certificate = await makeCertificate(NAME)
})

afterEach(() => {
  for (const undo of cleanUp.splice(0).reverse()) undo()
})

interface Harness {
  readonly server: tls.Server
  readonly context: SslContext
  readonly port: number
  readonly handshakes: ServerHandshake[]
  readonly detach: () => void
}

type MakeServer = (options: tls.TlsOptions) => tls.Server

const answerAndClose: MakeServer = (options) =>
  tls.createServer(options, (socket) => socket.on('error', () => undefined).end('hello'))

async function start(
  settings: SslContextOptions = {},
  attach: AttachServerOptions = {},
  serverOptions: tls.TlsOptions = {},
  make: MakeServer = answerAndClose,
): Promise<Harness> {
  const context = new SslContext(settings)
  const server = make({ ...certificate, maxVersion: 'TLSv1.2', secureOptions: NO_TICKET, ...serverOptions })
  const handshakes: ServerHandshake[] = []
  const attachment = attachServer(server, context, {
    onHandshake: (handshake) => void handshakes.push(handshake),
    ...attach,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.push(() => server.close())
  return {
    server,
    context,
    port: (server.address() as AddressInfo).port,
    handshakes,
    detach: () => attachment[Symbol.dispose](),
  }
}

interface Visit {
  readonly resumed: boolean
  readonly session: Buffer | undefined
  readonly socket: tls.TLSSocket
}

async function connect(
  { port }: { port: number },
  session?: Buffer,
  options: tls.ConnectionOptions = {},
): Promise<Visit> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername: NAME,
    ca: certificate.cert,
    ...(session && { session }),
    ...options,
  })
  let received: Buffer | undefined
  socket.on('session', (value: Buffer) => {
    received = value
  })
  await once(socket, 'secureConnect')
  const resumed = socket.isSessionReused()
  socket.resume()
  socket.end()
  await once(socket, 'close')
  return { resumed, session: received, socket }
}

const reasons = ({ handshakes }: Harness): string[] => handshakes.map(({ reason }) => reason)

describe('a TLS 1.2 server', () => {
  test('resumes a client by its session id, and counts as libssl would', async () => {
    const harness = await start()
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(harness.context.stats).toMatchObject({ number: 1, accept: 2, acceptGood: 2, hits: 1, timeouts: 0 })
    expect(reasons(harness)).toEqual(['not-found', 'internal'])
    expect(harness.handshakes[1]).toMatchObject({ protocol: 'TLSv1.2', resumed: true })
  })

  test('keeps the session that Node made, with the session id context of the model', async () => {
    const harness = await start({ sessionIdContext: 'mine' })
    await connect(harness)
    const [session] = [...harness.context.sessions()]
    expect(Buffer.from(session?.sessionIdContext ?? []).toString()).toBe('mine')
    expect(session?.toDer().length).toBeGreaterThan(100)
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

  test('with tickets of Node counts their resumption, and stores nothing', async () => {
    const harness = await start({ sessionIdContext: 'x' }, {}, { secureOptions: 0 })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(harness.context.stats).toMatchObject({ number: 0, hits: 1, acceptGood: 2 })
    expect(reasons(harness).at(-1)).toBe('ticket')
  })

  test('leaves TLS 1.3 to Node for now', async () => {
    const harness = await start({}, {}, { maxVersion: 'TLSv1.3', secureOptions: 0 })
    const { resumed } = await connect(harness)
    expect([resumed, harness.handshakes[0]?.protocol]).toEqual([false, 'TLSv1.3'])
    expect(harness.context.stats).toMatchObject({ number: 0, acceptGood: 1 })
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

test('a renegotiation is counted as such, and its session kept', async () => {
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
  expect(harness.context.stats).toMatchObject({ accept: 1, acceptRenegotiate: 1, acceptGood: 2, number: 2 })
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

test('verifying clients without a session id context is fatal to a resumption, as in libssl (R3.3 step 5)', async () => {
  const harness = await start()
  const { session } = await connect(harness)
  harness.context.setVerifyMode(1)
  const [error] = await Promise.all([
    once(harness.server, 'tlsClientError').then(([cause]) => cause as Error),
    connect(harness, session).catch(() => undefined),
  ])
  expect(error).toMatchObject({ code: 'ERR_SESSION_RESUMPTION', reason: 'session-id-context-uninitialized' })
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
    expect(harness.handshakes.map(({ resumed }) => resumed)).toEqual([false, true])
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
    expect(harness.handshakes.map(({ resumed }) => resumed)).toEqual([false, true])
  })

  test('listeners of others on "connection" keep their order', async () => {
    const calls: string[] = []
    const harness = await start({}, {}, {}, (options) => {
      const server = answerAndClose(options)
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
    harness.detach()
    for (const event of ['connection', 'newSession', 'resumeSession'])
      expect(harness.server.rawListeners(event)).toEqual(plain.rawListeners(event))
    await connect(harness)
    expect(harness.context.stats.accept).toBe(0)
  })

  test('what is no TLS server is refused', () => {
    expect(() => attachServer(net.createServer() as tls.Server, new SslContext())).toThrow(TypeError)
  })
})

describe('openssl s_client', () => {
  peerTest('resumes its session by id in TLS 1.2', missingCommand('openssl', 'version'), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sslctx-'))
    cleanUp.push(() => rmSync(folder, { recursive: true }))
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
