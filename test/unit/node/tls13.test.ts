import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  MemoryStore,
  SessionCacheMode,
  type SslContextOptions,
  type StoreEntry,
  storeCallbacks,
} from '../../../src/index.ts'
import type { CallbackStore } from '../../../src/model.ts'
import { certificate, connect, NAME, NO_INTERNAL, reasons, start, TLS13 } from '../../tools/node-servers.ts'

function external(store: CallbackStore): SslContextOptions {
  return { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(store) }
}

describe('a TLS 1.3 server', () => {
  test('resumes a client by its stateful ticket, and counts as libssl would', async () => {
    const harness = await start(TLS13)
    const first = await connect(harness)
    const second = await connect(harness, first.session)
    const third = await connect(harness, second.session)
    expect([first, second, third].map(({ resumed }) => resumed)).toEqual([false, true, true])
    expect([first, second, third].map(({ sessions }) => sessions.length)).toEqual([2, 1, 1])
    expect(harness.context.stats).toMatchObject({ number: 4, accept: 3, acceptGood: 3, hits: 2, misses: 0 })
    expect(reasons(harness)).toEqual(['not-offered', 'internal', 'internal'])
    expect(harness.handshakes[1]).toMatchObject({ protocol: 'TLSv1.3', outcome: 'resumed', serverName: NAME })
  })

  test('resumes each of the two tickets of a handshake', async () => {
    const harness = await start(TLS13)
    const { sessions } = await connect(harness)
    for (const session of sessions) expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('resumes a session again until it expires, as libssl does', async () => {
    let nowMs = Date.now()
    const harness = await start({ ...TLS13, context: { now: () => nowMs } })
    const { session } = await connect(harness)
    for (let use = 0; use < 3; use++) expect((await connect(harness, session)).resumed).toBe(true)
    nowMs += 7_202_000
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('expired')
    expect(harness.context.stats.timeouts).toBe(1)
  })

  test('never looks up the legacy id of a ClientHello that becomes TLS 1.3', async () => {
    const asked: number[] = []
    const harness = await start({
      ...TLS13,
      context: {
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: (_connection, id) => {
          asked.push(id.length)
          return undefined
        },
      },
    })
    const { session } = await connect(harness)
    expect(asked).toEqual([])
    await connect(harness, session)
    expect(asked).toEqual([32])
    expect(reasons(harness)).toEqual(['not-offered', 'not-found'])
  })

  test('resumes on another server what an asynchronous external cache holds', async () => {
    const memory = new MemoryStore()
    const slow: CallbackStore = {
      get: async (key) => memory.get(key),
      set: async (entries) => memory.set(entries),
      take: async (key) => memory.take(key),
      delete: async (key) => memory.delete(key),
      confidentiality: 'in-process',
    }
    const first = await start({ ...TLS13, context: external(slow) })
    const second = await start({ ...TLS13, context: external(slow) })
    const { session } = await connect(first)
    expect((await connect(second, session)).resumed).toBe(true)
    expect(reasons(second)).toEqual(['external'])
    expect(second.context.stats).toMatchObject({ misses: 0, cbHits: 1, hits: 1, number: 0 })
  })

  test('stores the tickets of one handshake in one call', async () => {
    const calls: (readonly StoreEntry[])[] = []
    const memory = new MemoryStore()
    const store: CallbackStore = {
      get: (key: Uint8Array) => memory.get(key),
      take: (key: Uint8Array) => memory.take(key),
      delete: (key: Uint8Array) => memory.delete(key),
      confidentiality: 'in-process',
      set(entries: readonly StoreEntry[]): void {
        calls.push(entries)
        memory.set(entries)
      },
    }
    const harness = await start({ ...TLS13, context: external(store) })
    const { session } = await connect(harness)
    await connect(harness, session)
    expect(calls.map(({ length }) => length)).toEqual([2, 1])
  })

  test('a session that the external cache gives under a right id, but that is another, resumes nothing', async () => {
    const memory = new MemoryStore()
    let isForeign = false
    const harness = await start({
      ...TLS13,
      context: external({
        get: (key) => {
          const value = memory.get(key)
          // The other ticket of the same handshake: a valid session, with another PSK.
          return isForeign
            ? [...kept].find((other) => !Buffer.from(other).equals(Buffer.from(value ?? [])))
            : value
        },
        set(entries) {
          for (const { value } of entries) kept.add(value)
          memory.set(entries)
        },
        take: (key) => memory.take(key),
        delete: (key) => memory.delete(key),
        confidentiality: 'in-process',
      }),
    })
    const kept = new Set<Uint8Array>()
    const { session } = await connect(harness)
    isForeign = true
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('wrong-session')
  })

  test('a client of TLS 1.2 is served by the same server and cache', async () => {
    const harness = await start()
    const old = await connect(harness, undefined, { maxVersion: 'TLSv1.2' })
    const { session } = await connect(harness)
    expect((await connect(harness, old.session, { maxVersion: 'TLSv1.2' })).resumed).toBe(true)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect((await connect(harness, old.session)).resumed).toBe(false)
    expect(harness.handshakes.map(({ protocol }) => protocol)).toEqual([
      'TLSv1.2',
      'TLSv1.3',
      'TLSv1.2',
      'TLSv1.3',
      'TLSv1.3',
    ])
  })

  test('a client whose suites have another hash gets a full handshake (RFC 9846 §4.3.11, RFC 8446 §4.2.11)', async () => {
    const harness = await start(TLS13)
    const { session } = await connect(harness, undefined, { ciphers: 'TLS_AES_256_GCM_SHA384' })
    const visit = await connect(harness, session, {
      ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384',
    })
    // The server prefers the suite of the session, so it resumes; a client without that suite cannot even offer it.
    expect(visit.resumed).toBe(true)
    expect((await connect(harness, session, { ciphers: 'TLS_AES_128_GCM_SHA256' })).resumed).toBe(false)
  })
})

describe('single use', () => {
  test('without an external cache the internal removal decides: a replayed ticket gets a full handshake', async () => {
    const harness = await start({ ...TLS13, attach: { singleUse: true } })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['not-offered', 'internal', 'already-used'])
  })

  test.each([
    ['NO_INTERNAL', NO_INTERNAL],
    ['SERVER, for which an internal copy is not enough', SessionCacheMode.SERVER],
  ])('with an external cache its take decides, for all servers: mode %s', async (_, sessionCacheMode) => {
    const store = new MemoryStore()
    const options = {
      ...TLS13,
      context: { ...storeCallbacks(store), sessionCacheMode },
      attach: { singleUse: true },
    }
    const [one, other] = [await start(options), await start(options)]
    const { sessions } = await connect(one)
    expect((await connect(other, sessions[0])).resumed).toBe(true)
    expect((await connect(one, sessions[0])).resumed).toBe(false)
    expect((await connect(one, sessions[1])).resumed).toBe(true)
    expect((await connect(one, sessions[1])).resumed).toBe(false)
    expect([reasons(one), reasons(other)]).toEqual([
      ['not-offered', 'not-found', 'external', 'already-used'],
      ['external'],
    ])
  })

  test('is off by default, and does not concern TLS 1.2', async () => {
    const harness = await start({ server: { maxVersion: 'TLSv1.2' }, attach: { singleUse: true } })
    const { session } = await connect(harness)
    for (let use = 0; use < 2; use++) expect((await connect(harness, session)).resumed).toBe(true)
  })
})

describe('servers of Node resume TLS 1.3', () => {
  test('https: requests are answered, resumed or not', async () => {
    const harness = await start({
      ...TLS13,
      make: (options) => https.createServer(options, (_request, response) => response.end('hello')),
    })
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
    const harness = await start({
      server: { minVersion: 'TLSv1.3', ALPNProtocols: ['h2'] },
      make: (options) => http2.createSecureServer(options).on('stream', (stream) => stream.end('hello')),
    })
    let session: Buffer | undefined
    const visit = async (): Promise<unknown> => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: harness.port,
        servername: NAME,
        ca: certificate.cert,
        ALPNProtocols: ['h2'],
        ...(session && { session }),
      })
      socket.on('session', (received: Buffer) => {
        session = received
      })
      const client = http2.connect(`https://${NAME}`, { createConnection: () => socket })
      const stream = client.request({ ':path': '/' })
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
      stream.resume()
      await once(stream, 'close')
      client.close()
      await once(client, 'close')
      return headers[':status']
    }
    expect([await visit(), await visit()]).toEqual([200, 200])
    expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
  })
})
