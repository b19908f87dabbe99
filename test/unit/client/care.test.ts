import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type ClientHandshake, ClientSessions, MemoryStore } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  authority,
  between,
  connect,
  finished,
  make,
  startSingleUseTls,
  startTls,
  versions,
} from './harness.ts'

const stranger = await makeCertificate('stranger', { isAuthority: true })
const SECOND_MS = 1000
const DAY_MS = 86_400_000

afterEach(() => vi.useRealTimers())

/** The certificates are looked at by OpenSSL, whose clock stays. */
function later(ms: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms })
}

describe.each(versions)('a session of ClientSessions, %s', (version) => {
  const range = { minVersion: version, maxVersion: version }

  test('is not offered after the lifetime that the server gave', async () => {
    const server = await startTls({ ...range, sessionTimeout: 100 })
    const sessions = make()
    await connect(sessions, server.options)
    later(101 * SECOND_MS)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
    expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, expired: 1 })
    expect(sessions.stats.sessions.misses).toBe(0)
  })

  test('is offered for as long as the server says, not for the two hours that libssl writes for itself', async () => {
    const server = await startTls({ ...range, sessionTimeout: 86_400 })
    const sessions = make()
    await connect(sessions, server.options)
    later(DAY_MS - 60 * SECOND_MS)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  })

  test("is offered for no longer than the caller's own sessionTimeout", async () => {
    const server = await startTls({ ...range, sessionTimeout: 86_400 })
    const sessions = make()
    const options = { ...server.options, sessionTimeout: 600 }
    await connect(sessions, options)
    later(601 * SECOND_MS)
    expect(await connect(sessions, options)).toMatchObject({ isResumed: false })
    expect(sessions.stats.reasons).toHaveProperty('expired', 1)
  })

  test('is offered where the clock of libssl is behind', async () => {
    // Up to a second ahead of it. Both are in one second only in the first tenth of one.
    vi.useFakeTimers({ toFake: ['Date'], now: Math.ceil((Date.now() - 100) / SECOND_MS) * SECOND_MS })
    const server = await startTls(range)
    const sessions = make()
    await connect(sessions, server.options)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  })

  test('is offered by a process whose clock is behind that of the one which shared it', async () => {
    const server = await startTls(range)
    const shared = { store: new MemoryStore(), secrets: [randomBytes(32)] }
    later(30 * SECOND_MS)
    await connect(make(shared), server.options)
    vi.useRealTimers()
    const sessions = make(shared)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
    expect(sessions.stats.reasons).toEqual({ resumed: 1 })
  })

  test('is kept where the server sends a certificate along that has ended long ago, and that nobody needs', async () => {
    const root = await makeCertificate('root', { isAuthority: true })
    const notAfterDate = new Date(Date.now() - DAY_MS)
    const cross = await makeCertificate('root', {
      ca: authority,
      isAuthority: true,
      notAfterDate,
      key: root.key,
    })
    const leaf = await makeCertificate('localhost', { ca: root })
    const server = await startTls({ ...range, key: leaf.key, cert: `${leaf.cert}\n${cross.cert}` })
    const sessions = make()
    const options = { ...server.options, ca: root.cert }
    expect(await connect(sessions, options)).toMatchObject({ authorized: true })
    expect(await connect(sessions, options)).toMatchObject({ isResumed: true, authorized: true })
  })

  test("is not offered after the end of the server's chain", async () => {
    const short = await makeCertificate('localhost', {
      ca: authority,
      notAfterDate: new Date(Date.now() + 60 * SECOND_MS),
    })
    const server = await startTls({ ...range, ...short })
    const sessions = make()
    await connect(sessions, server.options)
    later(61 * SECOND_MS)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
    expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, expired: 1 })
  })

  test.each([
    ['an authority that is not trusted', { ca: stranger.cert }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['another name', { servername: 'wrong.example' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('leaves authorized as the full handshake left it: %s', async (_name, options, authorizationError) => {
    const server = await startTls(range)
    const sessions = make()
    const wish = { ...server.options, ...options, rejectUnauthorized: false }
    expect(await connect(sessions, wish)).toEqual({ isResumed: false, authorized: false, authorizationError })
    expect(await connect(sessions, wish)).toEqual({ isResumed: true, authorized: false, authorizationError })
    if (version === 'TLSv1.2') return
    // What came with the resumption carries it on.
    expect(await connect(sessions, wish)).toEqual({ isResumed: true, authorized: false, authorizationError })
  })

  test('has authorized right for a listener that was put before all others', async () => {
    const server = await startTls(range)
    const sessions = make()
    const wish = { ...server.options, servername: 'wrong.example', rejectUnauthorized: false }
    const seen: boolean[] = []
    for (const isResumed of [false, true]) {
      const socket = sessions.connect(wish)
      socket.prependListener('secureConnect', () => seen.push(socket.authorized))
      expect(await finished(socket)).toMatchObject({ isResumed })
    }
    expect(seen).toEqual([false, false])
  })

  test('is not kept when the server is not authorized', async () => {
    const server = await startTls(range)
    const sessions = make()
    await expect(connect(sessions, { ...server.options, ca: stranger.cert })).rejects.toThrow(
      'first certificate',
    )
    await expect(connect(sessions, { ...server.options, servername: 'wrong.example' })).rejects.toThrow(
      'altnames',
    )
    expect(sessions.stats).toMatchObject({ tickets: 0, sessions: { number: 0, connectGood: 0 } })
  })

  test('that the server refuses is a miss, and the next one is good', async () => {
    const sessions = make()
    const server = await startTls({ ...range, ticketKeys: Buffer.alloc(48, 1) })
    await connect(sessions, server.options)
    server.setTicketKeys(Buffer.alloc(48, 2))
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
    expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, refused: 1, resumed: 1 })
    expect(sessions.stats.sessions).toMatchObject({ hits: 1, misses: 1 })
  })

  test('that the server never saw is still there', async () => {
    const server = await startTls({ ...range })
    const sessions = make()
    await connect(sessions, server.options)
    const { tickets } = sessions.stats
    const nobody = {
      ...server.options,
      lookup: (_name: string, _options: unknown, done: (error: Error) => void) => done(noName()),
    }
    await expect(connect(sessions, nobody as never)).rejects.toMatchObject({ code: 'ENOTFOUND' })
    expect(sessions.stats.tickets).toBe(tickets)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  })
})

function noName(): Error {
  return Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
}

test('a TLS 1.2 session is used until it ends', async () => {
  const server = await startTls({ maxVersion: 'TLSv1.2' })
  const sessions = make()
  for (let connection = 0; connection < 6; connection++) await connect(sessions, server.options)
  expect(server.seen).toEqual({ connections: 6, resumed: 5 })
  expect(sessions.stats).toMatchObject({ tickets: 1, sessions: { number: 1, hits: 5 } })
})

test('no renewal carries a session further than a week from its full handshake', async () => {
  const sessionTimeout = 30 * 86_400
  const server = await startSingleUseTls({ sessionTimeout })
  const sessions = make()
  await connect(sessions, server.options)
  later(6 * DAY_MS)
  expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  expect(sessions.stats.tickets).toBeGreaterThan(0)
  later(DAY_MS)
  expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
  expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, resumed: 1, expired: 1 })
})

describe('the bounds of ClientSessions', () => {
  test('maxOrigins: the least recently used goes first', async () => {
    const [first, second, third] = await Promise.all([startTls(), startTls(), startTls()])
    const sessions = make({ maxOrigins: 2 })
    await connect(sessions, first.options)
    await connect(sessions, second.options)
    expect(await connect(sessions, first.options)).toMatchObject({ isResumed: true })
    await connect(sessions, third.options)
    expect(sessions.stats.origins).toBe(2)
    expect(await connect(sessions, second.options)).toMatchObject({ isResumed: false })
  })

  test('ticketsPerOrigin: the oldest goes first', async () => {
    const server = await startTls()
    const sessions = make({ ticketsPerOrigin: 3 })
    await Promise.all([1, 2, 3, 4].map(() => connect(sessions, server.options)))
    expect(sessions.stats).toMatchObject({ tickets: 3, sessions: { number: 3 } })
  })

  test('maxBytes', async () => {
    const server = await startTls()
    const sessions = make({ maxBytes: 4000 })
    await Promise.all(
      [1, 2, 3, 4].map((octet) => connect(sessions, { ...server.options, localAddress: `127.0.0.${octet}` })),
    )
    expect(sessions.stats.tickets).toBeGreaterThan(0)
    expect(sessions.stats.bytes).toBeLessThanOrEqual(4000)
    expect(sessions.stats.sessions.number).toBe(sessions.stats.tickets)
  })

  test('clear forgets all', async () => {
    const server = await startTls()
    const sessions = make()
    await connect(sessions, server.options)
    sessions.clear()
    expect(sessions.stats).toMatchObject({ origins: 0, tickets: 0, bytes: 0, sessions: { number: 0 } })
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
  })
})

describe('what is heard of a handshake', () => {
  test('the channel sslctx:client and onHandshake, without secrets', async () => {
    const server = await startTls()
    const messages: unknown[] = []
    const onMessage = (message: unknown) => void messages.push(message)
    subscribe('sslctx:client', onMessage)
    afterTest(() => unsubscribe('sslctx:client', onMessage))
    const handshakes: ClientHandshake[] = []
    const sessions = make({ onHandshake: (handshake) => void handshakes.push(handshake) })
    await connect(sessions, server.options)
    await connect(sessions, server.options)
    const { port } = server
    const common = { protocol: 'TLSv1.3', host: 'localhost', port }
    expect(handshakes).toEqual([
      { ...common, outcome: 'full', reason: 'nothing-to-offer', source: undefined },
      { ...common, outcome: 'resumed', reason: 'resumed', source: 'memory' },
    ])
    expect(messages).toEqual(handshakes)
  })

  test('a listener that throws ends nothing', async () => {
    const server = await startTls()
    const sessions = make({
      onHandshake: () => {
        throw new Error('of the listener')
      },
    })
    expect(await connect(sessions, server.options)).toMatchObject({ authorized: true })
  })

  test('a connection that does not come about', async () => {
    const silent = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    afterTest(() => silent.close())
    await once(silent, 'listening')
    const handshakes: ClientHandshake[] = []
    const sessions = make({ onHandshake: (handshake) => void handshakes.push(handshake) })
    const { port } = silent.address() as net.AddressInfo
    await expect(connect(sessions, { host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(handshakes).toMatchObject([{ outcome: 'failed', reason: 'handshake-failed', protocol: undefined }])
    expect(sessions.stats.sessions).toMatchObject({ connect: 1, connectGood: 0 })
  })
})

describe('what is heard of a handshake that fails', () => {
  type Leave = (socket: tls.TLSSocket) => unknown
  const FAILURES: Readonly<Record<string, readonly [end: (client: net.Socket) => void, leave: Leave]>> = {
    'a reset': [(client) => client.resetAndDestroy(), () => undefined],
    'a caller who leaves': [
      () => undefined,
      (socket) => socket.once('connect', () => setImmediate(() => socket.destroy())),
    ],
    'a caller who leaves before it begins': [() => undefined, (socket) => socket.destroy()],
  }

  test.each(Object.keys(FAILURES).flatMap((name) => versions.map((version) => [name, version] as const)))(
    'is no resumption, though a session was offered: %s, %s',
    async (name, version) => {
      const { [name]: [end, leave] = [() => undefined, () => undefined] } = FAILURES
      const server = await startTls({ minVersion: version, maxVersion: version })
      const fault = { isOn: false }
      const options = await between(server, (_hello, client) => fault.isOn && end(client))
      const handshakes: ClientHandshake[] = []
      const sessions = make({ onHandshake: (handshake) => void handshakes.push(handshake) })
      await connect(sessions, options)
      fault.isOn = true
      const socket = sessions.connect(options).on('error', () => undefined)
      leave(socket)
      await new Promise((resolve) => socket.once('close', resolve))
      const failed = { outcome: 'failed', reason: 'handshake-failed', source: 'memory', protocol: undefined }
      expect(handshakes.slice(1)).toMatchObject([failed])
      expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, 'handshake-failed': 1 })
    },
  )
})

describe('ClientSessions.connect', () => {
  test('leaves an error that nobody handles unhandled', async () => {
    const server = await startTls()
    const plain = tls.connect(server.options)
    const ours = make().connect(server.options)
    expect(ours.listenerCount('error')).toBe(plain.listenerCount('error'))
    await Promise.all([finished(plain), finished(ours)])
  })

  test('calls back as tls.connect does', async () => {
    const server = await startTls()
    const socket: tls.TLSSocket = await new Promise((resolve) => {
      const made = make().connect(server.options, () => resolve(made))
    })
    expect(socket.authorized).toBe(true)
    socket.resume()
    await once(socket, 'close')
  })

  test('throws what tls.connect throws', () => {
    expect(() => make().connect({ port: 1, minVersion: 'TLSv9' as never })).toThrow(/TLSv9/)
  })
})

test.each([
  [{ maxOrigin: 1 }, 'did you mean maxOrigins?'],
  [{ maxOrigins: 0 }, 'from 1 to 1000000'],
  [{ reuse: 1 }, 'true or false'],
  [{ store: {} }, 'a SessionStore'],
  [{ secrets: [7] }, 'a string or a Uint8Array'],
  [{ secrets: [] }, 'npx sslctx secret'],
])('refuses %j', (options, message) => {
  expect(() => new ClientSessions(options as never)).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID', message: expect.stringContaining(message) }),
  )
})

test.each<[string, (sessions: ClientSessions) => unknown]>([
  ['connect', (sessions) => sessions.connect(443 as never)],
  ['connect', (sessions) => sessions.connect(undefined as never)],
  ['onSecureConnect', (sessions) => sessions.connect({}, 'listener' as never)],
  ['agent', (sessions) => sessions.agent(null as never)],
  ['http2', (sessions) => sessions.http2([] as never)],
  ['undici', (sessions) => sessions.undici('options' as never)],
  ['timeout', (sessions) => sessions.undici({ timeout: -1 })],
  ['allowH2', (sessions) => sessions.undici({ allowH2: 'yes' as never })],
  ['dispatcher', (sessions) => sessions.dispatcher(1 as never)],
  ['dispatcher.connect', (sessions) => sessions.dispatcher({ connect: (() => undefined) as never })],
])('a method refuses what is no options: %s', (name, call) => {
  expect(() => call(make())).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID', message: expect.stringContaining(name) }),
  )
})
