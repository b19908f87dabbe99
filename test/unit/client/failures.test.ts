import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import type { ClientHello } from '../../../src/codec/client-hello.ts'
import { type ClientSessions, type ConnectOptions, MemoryStore } from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'
import {
  afterTest,
  authority,
  between,
  certificate,
  connect,
  finished,
  localLookup,
  make,
  remote,
  startHttps,
  startTls,
  type TestServer,
  turn,
  versions,
} from './harness.ts'

// What becomes of sessions when connections fail: nobody is kept from a server by what was good once.

const secrets = [randomBytes(32)]
/** A record that no key opens. */
const UNREADABLE = Buffer.concat([Buffer.from([23, 3, 3, 0, 64]), randomBytes(64)])
const HANDSHAKE_FAILURE = Buffer.from([21, 3, 3, 0, 2, 2, 40])

/** How a server, or somebody in between, ends a connection. */
const ENDS: Readonly<Record<string, (client: net.Socket) => void>> = {
  closes: (client) => client.end(),
  resets: (client) => client.resetAndDestroy(),
  'ends by a fatal alert': (client) => client.end(HANDSHAKE_FAILURE),
}

const KEEPERS: Readonly<Record<string, () => ClientSessions>> = {
  'in memory': () => make(),
  'with reuse': () => make({ reuse: true }),
  'with a store': () => make({ store: new MemoryStore(), secrets }),
  'with a store and reuse': () => make({ store: new MemoryStore(), secrets, reuse: true }),
}

function offersSession({ pskIdentities, sessionTicket }: ClientHello): boolean {
  return pskIdentities.length > 0 || (sessionTicket?.length ?? 0) > 0
}

/** A server behind something that ends each connection whose ClientHello offers a session, as soon as it is told to. */
async function behindOne(server: TestServer, end: (client: net.Socket) => void) {
  const fault = { isOn: false, ended: 0 }
  const options = await between(server, (hello, client) => {
    if (!fault.isOn || !offersSession(hello)) return
    fault.ended++
    end(client)
  })
  return { fault, options }
}

const outcomeOf = (visit: Promise<{ readonly isResumed: boolean }>): Promise<string> =>
  visit.then(
    ({ isResumed }) => (isResumed ? 'resumed' : 'full'),
    () => 'failed',
  )

describe.each(Object.keys(ENDS))('where something %s whatever offers a session', (name) => {
  const { [name]: end = () => undefined } = ENDS

  test.each(versions.flatMap((version) => Object.keys(KEEPERS).map((keeper) => [version, keeper] as const)))(
    'a client fails once, and then connects as a new one: %s, %s',
    async (version, keeper) => {
      const server = await startTls({ minVersion: version, maxVersion: version })
      const { fault, options } = await behindOne(server, end)
      const sessions = (KEEPERS[keeper] ?? make)()
      // It has as many sessions as it is to have.
      await Promise.all(Array.from({ length: 6 }, () => connect(sessions, options)))
      fault.isOn = true
      const outcomes: string[] = []
      for (let visit = 0; visit < 4; visit++) outcomes.push(await outcomeOf(connect(sessions, options)))
      expect(outcomes).toEqual(['failed', 'full', 'failed', 'full'])
      expect(sessions.stats.reasons).toHaveProperty('after-failure', 2)
      const { tickets, sessions: model } = sessions.stats
      expect(model.number).toBe(tickets)
    },
  )

  test('and the next process has nothing of what the store had', async () => {
    const server = await startTls()
    const { fault, options } = await behindOne(server, end)
    const store = new MemoryStore()
    const before = make({ store, secrets })
    await Promise.all(Array.from({ length: 6 }, () => connect(before, options)))
    await before.close()
    fault.isOn = true
    expect(await outcomeOf(connect(make({ store, secrets }), options))).toBe('failed')
    expect(await outcomeOf(connect(make({ store, secrets }), options))).toBe('full')
  })
})

describe.each(versions)('of a connection that has resumed, %s', (version) => {
  const range = { minVersion: version, maxVersion: version }

  /** It says hello, and goes on. @returns what stands between, of the latest connection, too */
  async function startTalking() {
    const server = tls.createServer({ ...certificate, ...range }, (socket) => {
      socket.on('error', () => undefined).write('hello')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    afterTest(() => server.close())
    const { port } = server.address() as AddressInfo
    let latest = new net.Socket()
    const own = { host: 'localhost', port, ca: authority.cert, lookup: localLookup }
    const options = await between({ port, options: own }, (_hello, client) => {
      latest = client
    })
    return { options, latest: () => latest }
  }

  /** Connected; its server has said hello, and has given its sessions. */
  async function ready(sessions: ClientSessions, options: ConnectOptions): Promise<tls.TLSSocket> {
    const socket = sessions.connect(options)
    socket.on('error', () => undefined)
    const given = new Promise((resolve) => socket.once('session', resolve))
    await once(socket, 'data')
    // A stock server gives nothing with a resumption.
    if (!socket.isSessionReused()) await given
    return socket
  }

  async function closed(socket: tls.TLSSocket): Promise<void> {
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
  }

  test.each(Object.keys(KEEPERS))(
    'and is reset before the server has said a word, nothing of that server is offered: %s',
    async (keeper) => {
      const server = await startTalking()
      const sessions = (KEEPERS[keeper] ?? make)()
      ;(await ready(sessions, server.options)).destroy()
      // To the server the handshake is not complete yet.
      const socket = sessions.connect(server.options).on('error', () => undefined)
      socket.once('secureConnect', () => {
        socket.write('a question')
        server.latest().resetAndDestroy()
      })
      await closed(socket)
      const { tickets, sessions: model } = sessions.stats
      expect({ tickets, number: model.number }).toEqual({ tickets: 0, number: 0 })
      const next = await ready(sessions, server.options)
      expect(next.isSessionReused()).toBe(false)
      expect(sessions.stats.reasons).toHaveProperty('after-failure', 1)
      next.destroy()
    },
  )

  test('and whose client has asked for nothing, the session stays', async () => {
    const server = await startTalking()
    const sessions = make({ reuse: true })
    ;(await ready(sessions, server.options)).destroy()
    const socket = sessions.connect(server.options).resume()
    socket.once('secureConnect', () => server.latest().end())
    await closed(socket)
    const next = await ready(sessions, server.options)
    expect(next.isSessionReused()).toBe(true)
    next.destroy()
  })

  test('and is reset later, as by a balancer when it is idle, the session stays', async () => {
    const server = await startTalking()
    const store = new MemoryStore()
    const sessions = make({ store, secrets, reuse: true })
    ;(await ready(sessions, server.options)).destroy()
    const socket = await ready(sessions, server.options)
    server.latest().resetAndDestroy()
    await closed(socket)
    for (const one of [sessions, make({ store, secrets, reuse: true })]) {
      const next = await ready(one, server.options)
      expect(next.isSessionReused()).toBe(true)
      next.destroy()
    }
  })

  test('and the caller ends by an error of his own, the others stay', async () => {
    const server = await startTalking()
    const sessions = make({ reuse: true })
    const first = await ready(sessions, server.options)
    first.destroy(new Error('of the caller'))
    await closed(first)
    const second = await ready(sessions, server.options)
    expect(second.isSessionReused()).toBe(true)
    second.destroy(new Error('of the caller'))
    await closed(second)
    const third = await ready(sessions, server.options)
    expect(third.isSessionReused()).toBe(true)
    third.destroy()
  })

  test('and ends by a fatal alert, nothing of that server is offered', async () => {
    const server = await startTalking()
    const sessions = make({ reuse: true })
    ;(await ready(sessions, server.options)).destroy()
    const socket = await ready(sessions, server.options)
    // The client ends by a fatal alert of its own.
    const alerted = new Promise((resolve) => socket.once('error', resolve))
    server.latest().write(UNREADABLE)
    await alerted
    socket.destroy()
    expect(sessions.stats).toMatchObject({ tickets: 0, sessions: { number: 0 } })
    const next = await ready(sessions, server.options)
    expect(next.isSessionReused()).toBe(false)
    expect(sessions.stats.reasons).toHaveProperty('after-failure', 1)
    next.destroy()
  })
})

describe('a ticket that never left the process is offered by another connection', () => {
  type Attempted = (sessions: ClientSessions, options: ConnectOptions) => unknown

  const failing =
    (error: Error): Attempted =>
    (sessions, options) => {
      const lookup = (_name: string, _options: unknown, done: (error: Error) => void) =>
        process.nextTick(done, error)
      return finished(sessions.connect({ ...options, lookup } as never))
    }
  const never = { lookup: () => undefined } as object
  const ATTEMPTS: Readonly<Record<string, Attempted>> = {
    'tls.connect throws': (sessions, options) =>
      sessions.connect({ ...options, lookup: 'no function' } as never),
    'the SecureContext cannot be made': (sessions, options) =>
      sessions.connect({ ...options, sessionTimeout: 'no number' } as never),
    'a lookup fails in DNS': failing(Object.assign(new Error('queryA'), { syscall: 'queryA' })),
    'a lookup fails in a way of its own': failing(new Error('of the lookup')),
    'the caller leaves during the lookup': (sessions, options) => {
      const socket = sessions.connect({ ...options, ...never })
      setImmediate(() => socket.destroy())
      return finished(socket)
    },
    'the caller aborts during the lookup': (sessions, options) => {
      const controller = new AbortController()
      const { signal } = controller
      const socket = sessions.connect({ ...options, ...never, signal } as never)
      setImmediate(() => controller.abort())
      return finished(socket)
    },
    'a block list has its address': (sessions, options) => {
      const blockList = new net.BlockList()
      blockList.addAddress('127.0.0.1')
      blockList.addAddress('127.0.0.2')
      // Node 20 has no such option.
      const lookup = (_name: string, _options: unknown, done: (...answer: unknown[]) => void) =>
        done(null, [{ address: '127.0.0.2', family: 4 }])
      return finished(sessions.connect({ ...options, autoSelectFamily: true, lookup, blockList } as never))
    },
  }

  test.each(
    Object.keys(ATTEMPTS).flatMap((attempt) =>
      (['memory', 'a store that answers later'] as const).map((place) => [attempt, place] as const),
    ),
  )('where %s, with %s', async (attempt, place) => {
    const { [attempt]: visitOf = () => undefined } = ATTEMPTS
    const server = await startTls()
    const store = remote(new MemoryStore())
    const first = place === 'memory' ? make() : make({ store, secrets })
    await connect(first, server.options)
    if (place !== 'memory') await first.close()
    const sessions = place === 'memory' ? first : make({ store, secrets })
    for (let visit = 0; visit < 4; visit++)
      await expect(async () => visitOf(sessions, server.options)).rejects.toThrow()
    // What the store was asked for has come by now.
    for (let turns = 0; turns < 10; turns++) await turn()
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  })
})

test('an agent that is destroyed while a store is asked ends its requests, and keeps no socket', async () => {
  const server = await startHttps()
  const store = remote(new MemoryStore())
  const sessions = make({ store, secrets })
  const agent = sessions.agent({ keepAlive: true, ca: authority.cert, lookup: localLookup } as object)
  const visit = () => {
    const request = https.get({ host: 'localhost', port: server.port, agent })
    return { request, response: once(request, 'response') }
  }
  const first = visit()
  agent.destroy()
  await expect(first.response).rejects.toMatchObject({ code: 'ECONNRESET', message: 'socket hang up' })
  const { sockets, freeSockets } = agent
  expect([sockets, freeSockets].flatMap((all) => Object.values(all).flat())).toEqual([])
  expect(server.seen.connections).toBe(0)
  // As Node's own, it can be used again.
  const [response] = (await visit().response) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  agent.destroy()
})

describe('what was let go does not come back', () => {
  const ENDS_OF_ALL: Readonly<
    Record<string, (sessions: ClientSessions, options: ConnectOptions) => unknown>
  > = {
    clear: (sessions) => sessions.clear(),
    'a handshake that fails': (sessions, options) =>
      expect(finished(sessions.connect(options))).rejects.toThrow(),
  }

  test.each(versions.flatMap((version) => Object.keys(ENDS_OF_ALL).map((end) => [version, end] as const)))(
    'with a connection that still looks for its server: %s, %s',
    async (version, name) => {
      const server = await startTls({ minVersion: version, maxVersion: version })
      const { fault, options } = await behindOne(server, (client) => client.resetAndDestroy())
      const sessions = make()
      await connect(sessions, options)
      const lookup = { lookup: () => undefined } as object
      const waiting = sessions.connect({ ...options, ...lookup })
      fault.isOn = true
      await ENDS_OF_ALL[name]?.(sessions, options)
      waiting.destroy()
      await new Promise((resolve) => waiting.once('close', resolve))
      expect(sessions.stats).toMatchObject({ tickets: 0, sessions: { number: 0 } })
      expect(await outcomeOf(connect(sessions, options))).toBe('full')
    },
  )
})

test.each(versions)('a caller who leaves takes nothing from other processes: %s', async (version) => {
  const server = await startTls({ minVersion: version, maxVersion: version })
  const { fault, options } = await behindOne(server, (client) => void client)
  const store = new MemoryStore()
  await connect(make({ store, secrets, reuse: true }), options)
  fault.isOn = true
  const leaving = make({ store, secrets, reuse: true }).connect(options)
  leaving.on('connect', () => setImmediate(() => leaving.destroy()))
  await new Promise((resolve) => leaving.once('close', resolve))
  fault.isOn = false
  expect(await connect(make({ store, secrets, reuse: true }), options)).toMatchObject({ isResumed: true })
})

test('with reuse, what came from the store is in memory then', async () => {
  const server = await startTls()
  const store = new MemoryStore()
  await connect(make({ store, secrets, reuse: true }), server.options)
  const sources: unknown[] = []
  const sessions = make({ store, secrets, reuse: true, onHandshake: ({ source }) => sources.push(source) })
  for (let visit = 0; visit < 3; visit++) await connect(sessions, server.options)
  expect(sources).toEqual(['store', 'memory', 'memory'])
  expect(server.seen).toEqual({ connections: 4, resumed: 3 })
})

test('a second close waits for the first', async () => {
  const server = await startTls()
  const written: unknown[] = []
  const memory = new MemoryStore()
  const store = remote({
    ...delegate(memory),
    set: (entries) => {
      written.push(...entries)
      return memory.set(entries)
    },
  })
  const sessions = make({ store, secrets })
  await connect(sessions, server.options)
  const left = written.length + sessions.stats.tickets
  void sessions.close()
  await sessions.close()
  expect(written).toHaveLength(left)
})

test('a ticket that has no life left stays nowhere', async () => {
  const server = await startTls()
  const sessions = make()
  const socket = sessions.connect(server.options).resume()
  // The chain has ended when the tickets come.
  socket.prependOnceListener('session', () =>
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 10 * 365 * 86_400_000 }),
  )
  await new Promise((resolve) => socket.once('close', resolve))
  vi.useRealTimers()
  expect(sessions.stats).toMatchObject({ tickets: 0, sessions: { number: 0 } })
})

test.each(['maxSockets', 'maxTotalSockets'])('an agent keeps %s while a store is asked', async (bound) => {
  let open = 0
  let most = 0
  const server = https.createServer({ ...certificate }, (_request, response) => response.end('hello'))
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    most = Math.max(most, ++open)
    socket.once('close', () => open--)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterTest(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const sessions = make({ store: remote(new MemoryStore()), secrets })
  const wish = { keepAlive: true, [bound]: 2, ca: authority.cert, lookup: localLookup }
  const agent = sessions.agent(wish as https.AgentOptions)
  afterTest(() => agent.destroy())
  const visit = async (): Promise<void> => {
    const request = https.get({ host: 'localhost', port, agent })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'end')
  }
  await Promise.all(Array.from({ length: 10 }, visit))
  expect(most).toBe(2)
})

test('an agent of proxies that speak TLS is one, however it was given them', () => {
  const proxyEnv = Object.create({ https_proxy: 'https://proxy.example' })
  const agent = make().agent({ proxyEnv } as https.AgentOptions)
  expect(Object.getPrototypeOf(agent)).toBe(https.Agent.prototype)
})
