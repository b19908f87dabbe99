import { describe, expect, test } from 'vitest'
import {
  MemoryStore,
  SessionCacheMode,
  SslContext,
  type SslContextOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import {
  decide,
  idOf,
  issueAll,
  makeSession,
  makeTls13Session,
  offer12,
  offer13,
  START_SEC,
  STATEFUL,
  serve,
  testContext,
} from '../../tools/model-fixtures.ts'

const KEY = idOf(1)
const VALUE = Uint8Array.of(1, 2, 3)

describe('the memory store', () => {
  test('gives back a copy of what was set, until it expires', () => {
    let nowMs = 1000
    const store = new MemoryStore({ now: () => nowMs })
    const value = VALUE.slice()
    store.set([{ key: KEY, value, expiresAtMs: 2000 }])
    value.fill(0)
    store.get(KEY)?.fill(0)
    nowMs = 2000
    expect(store.get(KEY)).toEqual(VALUE)
    nowMs = 2001
    expect(store.get(KEY)).toBeUndefined()
    nowMs = 1000
    expect(store.get(KEY)).toBeUndefined()
  })

  test('keeps a copy of a Buffer too, whose slice would be a view', () => {
    const store = new MemoryStore()
    const value = Buffer.from(VALUE)
    store.set([{ key: KEY, value, expiresAtMs: Number.POSITIVE_INFINITY }])
    value.fill(0)
    expect(store.get(KEY)).toEqual(VALUE)
  })

  test('is taken from once', () => {
    const store = new MemoryStore()
    store.set([{ key: KEY, value: VALUE, expiresAtMs: Number.POSITIVE_INFINITY }])
    expect([store.take(KEY), store.take(KEY)]).toEqual([VALUE, undefined])
  })

  test('forgets what is deleted, what was used least recently, and all when it is closed', () => {
    const store = new MemoryStore({ maxSessions: 2 })
    const set = (id: number): void =>
      store.set([{ key: idOf(id), value: VALUE, expiresAtMs: Number.POSITIVE_INFINITY }])
    const kept = (): number[] => [1, 2, 3].filter((id) => store.get(idOf(id)) !== undefined)
    for (const id of [1, 2, 3]) set(id)
    expect(kept()).toEqual([2, 3])
    store.delete(idOf(2))
    store.delete(idOf(9))
    expect(kept()).toEqual([3])
    store.close()
    expect(kept()).toEqual([])
  })
})

describe('storeCallbacks', () => {
  test('shares sessions between contexts, the internal cache aside', () => {
    const store = new MemoryStore({ now: () => START_SEC * 1000 })
    const settings = {
      ...STATEFUL,
      ...storeCallbacks(store),
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
    }
    const [first, second] = [testContext(settings), testContext(settings)]
    const made = serve(first, offer12()).session
    expect(serve(second, offer12(made?.sessionId)).sessionReused).toBe(true)
    expect(second.context.stats).toMatchObject({ cbHits: 1, hits: 1, number: 0 })
  })

  test.each([
    [
      'removeSession',
      (context: SslContext) => {
        for (const session of context.sessions()) context.removeSession(session)
      },
      false,
    ],
    ['flushSessions', (context: SslContext) => context.flushSessions(0), true],
    ['free', (context: SslContext) => context.free(), true],
    [
      'eviction',
      (context: SslContext) => {
        context.setSessionCacheSize(1)
        context.addSession(makeSession(2))
      },
      true,
    ],
  ])('after %s the store has the session: %s', (_, end, kept) => {
    const store = new MemoryStore()
    const context = new SslContext(storeCallbacks(store))
    context.addSession(makeSession(1))
    store.set([{ key: KEY, value: makeSession(1).toDer(), expiresAtMs: Number.POSITIVE_INFINITY }])
    end(context)
    expect(store.get(KEY) !== undefined).toBe(kept)
  })

  describe('hands over the tickets of a TLS 1.3 handshake', () => {
    const written = (settings: SslContextOptions = {}) => {
      const calls: number[] = []
      const memory = new MemoryStore()
      const callbacks = storeCallbacks({
        get: (key) => memory.get(key),
        take: (key) => memory.take(key),
        delete: (key) => memory.delete(key),
        confidentiality: 'in-process',
        set(entries) {
          calls.push(entries.length)
          memory.set(entries)
        },
      })
      return { calls, fixture: testContext({ ...STATEFUL, ...callbacks, ...settings }) }
    }

    test('in one call, with the last of them: before the client can have one', () => {
      const { calls, fixture } = written({ numTickets: 3 })
      serve(fixture, offer13())
      expect(calls).toEqual([3])
    })

    test('one at a time when they are made one at a time', () => {
      const { calls, fixture } = written()
      const connection = serve(fixture, offer13())
      connection.newSessionTicket()
      issueAll(connection)
      serve(fixture, offer12())
      expect(calls).toEqual([2, 1, 1])
    })

    test('at the end of the turn when one that was due did not come', async () => {
      const { calls, fixture } = written()
      const connection = fixture.context.newConnection()
      connection.accept()
      decide(connection, offer13())
      connection.serverHello()
      connection.finishHandshake()
      connection.adoptTicket(makeTls13Session(1))
      expect(calls).toEqual([])
      await connection.reported
      expect(calls).toEqual([1])
    })

    test('and a store that throws at once is an event', async () => {
      const callbacks = storeCallbacks({
        get: () => undefined,
        take: () => undefined,
        delete: () => undefined,
        confidentiality: 'in-process',
        set() {
          throw new Error('store is full')
        },
      })
      const fixture = testContext({ ...STATEFUL, ...callbacks })
      await serve(fixture, offer13()).reported
      expect(fixture.events.filter(({ type }) => type === 'callback-error')).toHaveLength(2)
    })
  })

  test('what the store holds under a key that is no session is a miss with its own reason, and an event', () => {
    const store = new MemoryStore()
    store.set([{ key: KEY, value: VALUE, expiresAtMs: Number.POSITIVE_INFINITY }])
    const fixture = testContext({ ...STATEFUL, ...storeCallbacks(store) })
    const connection = fixture.context.newConnection()
    connection.accept()
    expect(decide(connection, offer12(KEY))).toEqual({ resume: false, reason: 'unopenable' })
    expect(fixture.events).toContainEqual(
      expect.objectContaining({ type: 'callback-error', callback: 'get' }),
    )
  })
})

test('SslContext takes clock, randomness and SHA-256 from the system', () => {
  const context = new SslContext(STATEFUL)
  const connection = context.newConnection()
  const before = Math.floor(Date.now() / 1000)
  connection.accept()
  decide(connection, offer12())
  expect(connection.session?.timeSec).toBeGreaterThanOrEqual(before)
  expect(new Set(connection.session?.sessionId).size).toBeGreaterThan(8)
  const client = context.newConnection()
  client.connect()
  client.clientHello({ minVersion: 771, maxVersion: 771 })
  client.processServerHello({ protocolVersion: 771, sessionId: new Uint8Array(0), cipherSuite: 1 })
  const hash = Buffer.from(client.receiveTicket({ lifetimeHintSec: 1, ticket: VALUE }).sessionId).toString(
    'hex',
  )
  expect(hash).toBe('039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81')
})
