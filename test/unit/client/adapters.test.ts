import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import axios from 'axios'
import got from 'got'
import fetchOfNode from 'node-fetch'
import { Agent, Client, errors, Pool } from 'undici'
import { describe, expect, test } from 'vitest'
import type { ClientSessions } from '../../../src/index.ts'
import {
  afterTest,
  authority,
  localLookup,
  make,
  startHttp2,
  startHttps,
  startSingleUse,
  type TestServer,
} from './harness.ts'

/** @returns a request, on a connection of its own unless it is kept alive */
type MakeClient = (sessions: ClientSessions, server: TestServer) => () => Promise<unknown>

const trust = { ca: authority.cert, lookup: localLookup }
/** Both take a lookup, which their types do not say. */
const agentOptions = trust as https.AgentOptions

const CLIENTS: Readonly<Record<string, MakeClient>> = {
  https: (sessions, { url }) => {
    const agent = sessions.agent(agentOptions)
    return () => textOf(url, agent)
  },
  axios: (sessions, { url }) => {
    const httpsAgent = sessions.agent(agentOptions)
    return async () => (await axios.get(url, { httpsAgent, proxy: false })).data
  },
  got: (sessions, { url }) => {
    const agent = sessions.agent(agentOptions)
    return () => got(url, { agent: { https: agent } }).text()
  },
  'node-fetch': (sessions, { url }) => {
    const agent = sessions.agent(agentOptions)
    return async () => (await fetchOfNode(url, { agent })).text()
  },
  'undici Agent': (sessions, { url }) => {
    const dispatcher = new Agent({ connect: sessions.undici(trust), pipelining: 0 })
    afterTest(() => dispatcher.destroy())
    return async () =>
      bodyOf(await dispatcher.request({ origin: url.slice(0, -1), path: '/', method: 'GET' }))
  },
  'undici Pool': (sessions, { url }) => {
    const pool = new Pool(url.slice(0, -1), { connect: sessions.undici(trust), pipelining: 0 })
    afterTest(() => pool.destroy())
    return async () => bodyOf(await pool.request({ path: '/', method: 'GET' }))
  },
  'undici Client':
    (sessions, { url }) =>
    async () => {
      const client = new Client(url.slice(0, -1), { connect: sessions.undici(trust) })
      try {
        return await bodyOf(await client.request({ path: '/', method: 'GET' }))
      } finally {
        await client.close()
      }
    },
  fetch: (sessions, { url }) => {
    const dispatcher = sessions.dispatcher({ connect: trust, pipelining: 0 })
    afterTest(() => dispatcher.destroy())
    return async () => (await fetch(url, { dispatcher } as object)).text()
  },
}

async function textOf(url: string, agent: https.Agent): Promise<string> {
  const request = https.get(url, { agent })
  const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer>]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function bodyOf({ body }: { readonly body: { text(): Promise<string> } }): Promise<string> {
  return body.text()
}

/** Six at a time, four times. */
async function inBursts(request: () => Promise<unknown>): Promise<void> {
  for (let burst = 0; burst < 4; burst++)
    expect(await Promise.all(Array.from({ length: 6 }, request))).toEqual(Array(6).fill('hello'))
}

describe.each(Object.keys(CLIENTS))('%s', (name) => {
  const { [name]: client } = CLIENTS
  if (client === undefined) throw new Error(name)

  test('resumes each connection after the first burst, when the server renews its tickets', async () => {
    const server = await startSingleUse()
    const sessions = make()
    await inBursts(client(sessions, server))
    expect(server.seen).toEqual({ connections: 24, resumed: 18 })
    expect(sessions.stats.sessions).toMatchObject({ connect: 24, connectGood: 24, hits: 18, misses: 0 })
  })

  test('uses each of two tickets once, when the server gives no more', async () => {
    const server = await startHttps()
    const sessions = make()
    await inBursts(client(sessions, server))
    expect(server.seen).toEqual({ connections: 24, resumed: 12 })
    expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 6, resumed: 12, 'used-up': 6 })
  })

  test('resumes each connection after the first burst with such a server, too, with reuse', async () => {
    const server = await startHttps()
    const sessions = make({ reuse: true })
    await inBursts(client(sessions, server))
    expect(server.seen).toEqual({ connections: 24, resumed: 18 })
  })
})

describe('ClientSessions.agent', () => {
  test('keeps connections alive as https.Agent does', async () => {
    const server = await startHttps()
    const sessions = make()
    const agent = sessions.agent({ ...agentOptions, keepAlive: true, maxSockets: 1 })
    afterTest(() => agent.destroy())
    for (let request = 0; request < 5; request++) expect(await textOf(server.url, agent)).toBe('hello')
    expect(server.seen.connections).toBe(1)
  })

  test('is a https.Agent, whose own session cache is off', () => {
    const agent = make().agent({ keepAlive: true })
    expect(agent).toBeInstanceOf(https.Agent)
    expect(agent.options).toMatchObject({ keepAlive: true, maxCachedSessions: 0 })
  })

  test('tells of an error that tls.connect throws, as https.Agent does', async () => {
    const server = await startHttps()
    const agent = make().agent({ ...agentOptions, ca: 'no certificate', minVersion: 'TLSv9' as never })
    await expect(async () => textOf(server.url, agent)).rejects.toThrow(/TLSv9/)
  })
})

describe('ClientSessions.http2', () => {
  test('resumes, for http2.connect', async () => {
    const server = await startHttp2()
    const sessions = make()
    const createConnection = sessions.http2(trust)
    for (let connection = 0; connection < 3; connection++) {
      const session = http2.connect(server.url, { createConnection })
      const stream = session.request({ ':path': '/' })
      expect(Buffer.concat(await stream.toArray()).toString()).toBe('hello')
      session.close()
      await once(session, 'close')
    }
    expect(server.seen).toEqual({ connections: 3, resumed: 2 })
  })
})

describe('ClientSessions.undici', () => {
  test.each(['localhost', '127.0.0.1'])(
    'gives up a connection that takes too long, with the error of undici: %s',
    async (host) => {
      const silent = net.createServer().listen(0, '127.0.0.1')
      const accepted: net.Socket[] = []
      silent.on('connection', (socket) => accepted.push(socket))
      afterTest(() => silent.close())
      await once(silent, 'listening')
      const { port } = silent.address() as net.AddressInfo
      const wish = { ...trust, timeout: 50 }
      const errorWith = async (connect: NonNullable<Client.Options['connect']>): Promise<unknown> => {
        const client = new Client(`https://${host}:${port}`, { connect })
        const error = await client.request({ path: '/', method: 'GET' }).catch((reason: unknown) => reason)
        await client.destroy()
        return error
      }
      const own = await errorWith(wish as object)
      const ours = await errorWith(make().undici(wish))
      for (const error of [own, ours]) {
        expect(error).toBeInstanceOf(errors.ConnectTimeoutError)
        expect(error).toBeInstanceOf(errors.UndiciError)
        expect(error).not.toBeInstanceOf(errors.HeadersTimeoutError)
      }
      const { name, code, message } = own as Error & { readonly code: string }
      expect(ours).toMatchObject({ name, code, message })
      expect(Object.keys(ours as Error).sort()).toEqual(['code', 'name'])
      for (const socket of accepted) socket.destroy()
    },
  )

  test('connects without TLS where the origin has none', async () => {
    const server = net.createServer((socket) =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain'),
    )
    server.listen(0, '127.0.0.1')
    afterTest(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const sessions = make()
    const agent = new Agent({ connect: sessions.undici(trust) })
    afterTest(() => agent.destroy())
    expect(
      await bodyOf(await agent.request({ origin: `http://localhost:${port}`, path: '/', method: 'GET' })),
    ).toBe('plain')
    expect(sessions.stats.sessions.connect).toBe(0)
  })
})

describe('ClientSessions.dispatcher', () => {
  test('refuses to guess when another dispatcher is the global one', () => {
    const symbol = Symbol.for('undici.globalDispatcher.1')
    const globals = globalThis as unknown as Record<symbol, unknown>
    const newer = Symbol.for('undici.globalDispatcher.2')
    const { [symbol]: before, [newer]: newerBefore } = globals
    void globalThis.Headers
    class MockAgent {}
    globals[newer] = new MockAgent()
    try {
      expect(() => make().dispatcher()).toThrow(expect.objectContaining({ code: 'ERR_CLIENT_SETUP' }))
    } finally {
      if (newerBefore === undefined) delete globals[newer]
      else globals[newer] = newerBefore
      if (before !== undefined) globals[symbol] = before
    }
  })
})
