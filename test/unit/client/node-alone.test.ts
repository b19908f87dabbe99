import { once } from 'node:events'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type ClientHandshake,
  type ClientSessions,
  type ConnectOptions,
  MemoryStore,
} from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  authority,
  connect,
  finished,
  localLookup,
  make,
  remote,
  startHttps,
  startTls,
  type TestServer,
  versions,
} from './harness.ts'

// What Node alone does with sockets, options and proxies, ClientSessions does as well.

afterEach(() => vi.restoreAllMocks())

const secrets = [Buffer.from('0123456789abcdefghijklmnopqrstuv')]
const stranger = await makeCertificate('stranger', { isAuthority: true })

/** Each gives what the next process of a client has. */
const MANNERS: Readonly<Record<string, () => () => ClientSessions>> = {
  memory: () => {
    const sessions = make()
    return () => sessions
  },
  'a store that answers later': () => {
    const store = remote(new MemoryStore())
    return () => make({ store, secrets })
  },
}

// Nobody listens but at the last one.
const ADDRESSES = versions.flatMap((version) =>
  [
    ['127.0.0.2', '127.0.0.1'],
    ['127.0.0.2', '127.0.0.3', '127.0.0.1'],
  ].map((addresses) => [version, addresses] as const),
)

describe.each(Object.entries(MANNERS))('with %s', (_name, manner) => {
  const sessionsOf = () => manner()()

  test.each(ADDRESSES)(
    'of several addresses one that answers is as good as the first: %s, %s',
    async (version, addresses) => {
      const server = await startTls({ minVersion: version, maxVersion: version })
      const options: ConnectOptions & net.TcpSocketConnectOpts = {
        ...server.options,
        autoSelectFamily: true,
        lookup: (_name, _options, callback) =>
          (callback as (error: null, addresses: readonly object[]) => void)(
            null,
            addresses.map((address) => ({ address, family: 4 })),
          ),
      }
      const plain = await finished(tls.connect(options))
      expect(plain).toMatchObject({ isResumed: false, authorized: true })
      const sessionsOf = manner()
      expect(await connect(sessionsOf(), options)).toEqual(plain)
      const sessions = sessionsOf()
      expect(await connect(sessions, options)).toMatchObject({ isResumed: true, authorized: true })
      expect(sessions.stats.reasons).toHaveProperty('resumed', 1)
    },
  )

  test('a lookup that throws ends its connection, and nothing else', async () => {
    const sessions = sessionsOf()
    const options: ConnectOptions = {
      host: 'localhost',
      port: 1,
      lookup: () => {
        throw new Error('of the lookup')
      },
    }
    const visit = async (): Promise<unknown> => finished(sessions.connect(options))
    await expect(visit).rejects.toThrow('of the lookup')
  })

  test('a lookup that is no function is refused as by tls.connect', () => {
    const options = { host: 'localhost', port: 1, lookup: 'a string' as never }
    expect(() => sessionsOf().connect(options)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    )
  })

  test('a connection that is aborted before it has reached the server says so, and leaves its ticket', async () => {
    const server = await startTls()
    const sessions = sessionsOf()
    await connect(sessions, server.options)
    const { tickets } = sessions.stats
    const controller = new AbortController()
    const { signal } = controller
    const aborted = finished(sessions.connect({ ...server.options, signal } as ConnectOptions))
    controller.abort()
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' })
    expect(sessions.stats.tickets).toBe(tickets)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  })

  test('who asks for dns.lookup anew gets what stands there now', async () => {
    const server = await startTls()
    const dns = process.getBuiltinModule('node:dns')
    const lookup = vi.spyOn(dns, 'lookup').mockImplementation(localLookup as never)
    const { lookup: _lookup, ...options } = server.options as ConnectOptions
    expect(
      await connect(sessionsOf(), { ...options, host: 'cached.example', servername: 'localhost' }),
    ).toMatchObject({
      authorized: true,
    })
    expect(lookup).toHaveBeenCalledTimes(1)
  })
})

describe('options', () => {
  test('may be frozen, and each is read once', async () => {
    const server = await startTls()
    const sessions = make()
    let reads = 0
    const options = Object.freeze({
      ...server.options,
      get ca() {
        reads++
        return authority.cert
      },
    })
    await connect(sessions, options)
    expect(reads).toBe(1)
    expect(await connect(sessions, options)).toMatchObject({ isResumed: true })
  })

  test('whose parts are read anew each time bind nothing', async () => {
    const server = await startTls()
    const sessions = make()
    const client = await makeCertificate('client', { ca: authority })
    const key = [
      {
        get pem() {
          return client.key
        },
      },
    ]
    await connect(sessions, { ...server.options, cert: client.cert, key } as never)
    expect(sessions.stats).toMatchObject({ tickets: 0, reasons: { 'not-bindable': 1 } })
  })

  test('that change while the store is asked: what is verified is what counts', async () => {
    const server = await startHttps()
    const ca = [authority.cert]
    let isFirst = true
    const store = remote(new MemoryStore(), () => {
      if (isFirst) ca.push(stranger.cert)
      isFirst = false
    })
    const sessions = make({ store, secrets, reuse: true })
    const ALPNProtocols = ['http/1.1']
    const agent = sessions.agent({ ca, lookup: localLookup, ALPNProtocols } as https.AgentOptions)
    const [response] = await once(https.get(server.url, { agent }), 'response')
    response.resume()
    await once(response, 'close')
    const visit = (authorities: readonly string[]) =>
      byHttp(
        sessions.connect({ ...server.options, servername: 'localhost', ALPNProtocols, ca: [...authorities] }),
      )
    // Node has made its SecureContext before.
    expect(await visit([authority.cert, stranger.cert])).toBe(false)
    expect(await visit([authority.cert])).toBe(true)
  })

  test.each([
    ['checkServerIdentity', () => undefined],
    ['createSecureContext', tls.createSecureContext],
  ] as const)('with another %s for the whole process nothing is kept, nothing offered', async (name, own) => {
    const server = await startTls()
    const sessions = make()
    await connect(sessions, server.options)
    const { tickets } = sessions.stats
    vi.spyOn(tls, name).mockImplementation(own as never)
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
    expect(sessions.stats).toMatchObject({ tickets, reasons: { 'not-bindable': 1 } })
  })

  test('that Node refuses are refused by Node', () => {
    const options = { host: 'localhost', port: Symbol('port') as never }
    const expected = thrownBy(() => tls.connect(options))
    expect(thrownBy(() => make().connect(options))).toMatchObject({
      code: expected.code,
      message: expected.message,
    })
  })
})

function thrownBy(step: () => unknown): Error & { readonly code?: string } {
  try {
    step()
  } catch (error) {
    return error as Error
  }
  throw new Error('it has thrown nothing')
}

async function byHttp(socket: tls.TLSSocket): Promise<boolean> {
  await once(socket, 'secureConnect')
  const isResumed = socket.isSessionReused()
  socket.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  socket.resume()
  await once(socket, 'close')
  return isResumed
}

describe('a socket', () => {
  test('that a listener destroys at once costs nothing but itself', async () => {
    const server = await startTls()
    const warnings: unknown[] = []
    const onWarning = (warning: unknown) => void warnings.push(warning)
    process.on('warning', onWarning)
    afterTest(() => process.off('warning', onWarning))
    const sessions = make()
    const socket = sessions.connect(server.options)
    socket.prependListener('secureConnect', () => socket.destroy())
    await once(socket, 'close')
    expect(await connect(sessions, server.options)).toMatchObject({ authorized: true })
    expect(warnings).toEqual([])
  })

  test.each(versions)('of the caller, under TLS, resumes as well: %s', async (version) => {
    const server = await startTls({ minVersion: version, maxVersion: version })
    const sessions = make()
    const visit = async () => {
      const socket = net.connect(server.port, '127.0.0.1')
      await once(socket, 'connect')
      return connect(sessions, { socket, host: 'localhost', ca: authority.cert })
    }
    expect(await visit()).toMatchObject({ isResumed: false, authorized: true })
    expect(await visit()).toMatchObject({ isResumed: true, authorized: true })
  })

  test('of the caller that fails: what was offered on it is not offered again', async () => {
    const server = await startTls()
    const sessions = make()
    await connect(sessions, server.options)
    const silent = net.createServer().listen(0, '127.0.0.1')
    afterTest(() => silent.close())
    await once(silent, 'listening')
    const socket = net.connect((silent.address() as AddressInfo).port, '127.0.0.1')
    await once(socket, 'connect')
    const visit = sessions.connect({ ...server.options, socket } as ConnectOptions)
    visit.on('error', () => undefined)
    const closed = new Promise((resolve) => visit.once('close', resolve))
    visit.destroy(Object.assign(new Error('of a proxy'), { syscall: 'connect' }))
    await closed
    expect(sessions.stats).toMatchObject({ tickets: 0, sessions: { number: 0 } })
  })
})

describe('an agent', () => {
  test('takes the arguments of createConnection in all the ways in which Node takes them', async () => {
    const server = await startHttps()
    const agent = make().agent()
    const options = { ca: authority.cert, lookup: localLookup, servername: 'localhost' }
    const { createConnection } = agent as unknown as {
      createConnection(...args: readonly unknown[]): tls.TLSSocket
    }
    const create = createConnection.bind(agent)
    const calls: readonly (readonly unknown[])[] = [
      [server.port, 'localhost', options],
      [server.port, { ...options, host: 'localhost' }],
      [{ ...options, host: 'localhost', port: server.port }],
    ]
    for (const call of calls) await byHttp(create(...call))
    expect(server.seen).toEqual({ connections: 3, resumed: 2 })
  })
})

/** https.Agent of Node 24 and later with `proxyEnv`: it returns the proxy's socket, and calls back with that of the server. */
function withTunnels(enter: () => Duplex): void {
  vi.spyOn(
    https.Agent.prototype as never as Record<'createConnection', CreateConnection>,
    'createConnection',
  ).mockImplementation((options, callback) => {
    const entrance = enter()
    entrance.once('connect', () => {
      const socket = tls.connect({ ...options, socket: entrance }, () => {
        socket.off('error', onError)
        callback(null, socket)
      })
      const onError = (error: Error) => callback(error)
      socket.once('error', onError)
    })
    return entrance
  })
}
type CreateConnection = (
  options: tls.ConnectionOptions,
  callback: (error: Error | null, socket?: Duplex) => void,
) => Duplex

describe('behind a proxy', () => {
  /** @returns the connection, when it is ready */
  function through(agent: https.Agent, server: TestServer): Promise<tls.TLSSocket> {
    const options = { ...server.options, servername: 'localhost' }
    return new Promise((resolve, reject) => {
      const { createConnection } = agent as unknown as { createConnection: CreateConnection }
      createConnection.call(agent, options, (error, socket) =>
        error === null ? resolve(socket as tls.TLSSocket) : reject(error),
      )
    })
  }

  test.each(Object.entries(MANNERS))(
    'that is plain, the server is followed, not the proxy: %s',
    async (_name, manner) => {
      const server = await startHttps()
      withTunnels(() => net.connect(server.port, '127.0.0.1'))
      const handshakes: ClientHandshake[] = []
      const sessions = manner()()
      const agent = sessions.agent({
        proxyEnv: { HTTPS_PROXY: 'http://proxy.example' },
      } as https.AgentOptions)
      for (const isResumed of [false, true, true]) {
        const socket = await through(agent, server)
        expect(socket.isSessionReused()).toBe(isResumed)
        socket.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n').resume()
        await once(socket, 'close')
      }
      expect(sessions.stats.sessions).toMatchObject({ connect: 3, connectGood: 3, hits: 2 })
      expect(handshakes).toEqual([])
    },
  )

  test('that fails, a ticket that may have been offered is not offered again', async () => {
    const server = await startHttps()
    let port = server.port
    withTunnels(() => net.connect(port, '127.0.0.1'))
    const sessions = make()
    const agent = sessions.agent()
    const socket = await through(agent, server)
    socket.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n').resume()
    await once(socket, 'close')
    const rude = net.createServer((one) => one.once('data', () => one.destroy())).listen(0, '127.0.0.1')
    afterTest(() => rude.close())
    await once(rude, 'listening')
    ;({ port } = rude.address() as AddressInfo)
    await expect(through(agent, server)).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(sessions.stats).toMatchObject({ tickets: 0, sessions: { number: 0 } })
    expect(sessions.stats.sessions).toMatchObject({ connectGood: 1 })
  })

  test("that speaks TLS, the agent is Node's own: sessions of the proxy are not the server's", () => {
    const proxyEnv = { https_proxy: ' HTTPS://proxy.example' }
    const agent = make().agent({ proxyEnv } as https.AgentOptions)
    expect(Object.getPrototypeOf(agent)).toBe(https.Agent.prototype)
    expect(agent.options.maxCachedSessions).toBeUndefined()
  })
})
