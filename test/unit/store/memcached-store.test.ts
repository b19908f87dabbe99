import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { SessionRangeError, SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../../../src/session/session-store.ts'
import { type MemcachedStoreOptions, memcachedStore } from '../../../src/store/memcached-store.ts'
import { storeConformance } from '../../../src/testing/index.ts'
import { type MemcachedProcess, missingMemcached, startMemcached } from '../../tools/memcached-server.ts'
import { peerTest } from '../../tools/peers.ts'
import { forkScript, nextMessage } from '../../tools/server-process.ts'

const HOUR_MS = 3_600_000
const running: MemcachedProcess[] = []
const opened: SessionStore[] = []

async function start(...options: readonly string[]): Promise<MemcachedProcess> {
  const server = await startMemcached(...options)
  running.push(server)
  return server
}

function storeOn(
  servers: MemcachedProcess | readonly MemcachedProcess[],
  options: Omit<MemcachedStoreOptions, 'connect'> = {},
): SessionStore {
  const store = memcachedStore({ connect: [servers].flat().map(({ connect }) => connect), ...options })
  opened.push(store)
  return store
}

let shared: Promise<MemcachedProcess> | undefined
/** One server for all tests that leave it whole; each has a prefix of its own. */
async function onShared(run: (server: MemcachedProcess, prefix: string) => Promise<void>): Promise<void> {
  shared ??= startMemcached()
  await run(await shared, `${randomBytes(6).toString('hex')}:`)
}

afterEach(async () => {
  vi.restoreAllMocks()
  await Promise.all(opened.splice(0).map(async (store) => store.close()))
  await Promise.all(running.splice(0).map((server) => server.kill()))
})
afterAll(async () => (await shared)?.kill())

const it = (title: string, run: () => Promise<void>): void => peerTest(title, missingMemcached, run)

function entry(key: Uint8Array, value: Uint8Array, expiresAtMs = Date.now() + HOUR_MS): StoreEntry {
  return { key, value, expiresAtMs }
}

function mark(bytes: Uint8Array, expiresAtMs = Date.now() + HOUR_MS): StoredMark {
  return { mark: bytes, expiresAtMs }
}

/** What the server answers to these lines. */
async function ask(server: MemcachedProcess, lines: string): Promise<string> {
  const socket = server.connect().setEncoding('latin1')
  socket.write(`${lines}\r\nmn\r\n`)
  let answer = ''
  for await (const chunk of socket) {
    answer += chunk
    if (answer.endsWith('MN\r\n')) break
  }
  return answer
}

const sessionKey = (prefix: string, key: Uint8Array): string =>
  Buffer.concat([Buffer.from(`${prefix}s`), key]).toString('base64')
const marksKey = (prefix: string): string => Buffer.from(`${prefix}m`).toString('base64')

async function ttlOf(server: MemcachedProcess, key: string): Promise<number> {
  return Number(/ t(-?\d+)/.exec(await ask(server, `mg ${key} b t`))?.[1])
}

async function statistic(server: MemcachedProcess, name: string): Promise<number> {
  return Number(new RegExp(`STAT ${name} (\\d+)`).exec(await ask(server, 'stats'))?.[1])
}

async function failureOf(call: PromiseLike<unknown> | unknown): Promise<SessionStoreError> {
  try {
    await call
  } catch (error) {
    if (error instanceof SessionStoreError) return error
    throw error
  }
  throw new Error('the call did not fail')
}

describe.each([1, 2])('the conformance suite on %i memcached', (count) => {
  let servers: Promise<readonly MemcachedProcess[]> | undefined
  const open = async (name: string): Promise<SessionStore> => {
    servers ??= Promise.all(Array.from({ length: count }, () => startMemcached()))
    return memcachedStore({ connect: (await servers).map(({ connect }) => connect), prefix: name })
  }
  afterAll(async () => {
    await Promise.all(((await servers) ?? []).map((server) => server.kill()))
  })
  for (const { title, run } of storeConformance({ open, randomBytes })) it(title, run)
})

describe('keys and values', () => {
  it('cannot say anything to memcached', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      const hostile = ['\r\nflush_all\r\n', ' 0\r\nflush_all\r\n', 'a b\0c', 'x\nflush_all\n', '\r\nquit\r\n']
      const keys = hostile.map((text) => Buffer.from(text))
      await store.set(keys.map((key) => entry(key, Buffer.concat([key, key]))))
      for (const key of keys) expect(await store.get(key)).toEqual(new Uint8Array(Buffer.concat([key, key])))
      for (const key of keys) expect(await store.take(Buffer.concat([key, Buffer.of(1)]))).toBeUndefined()
      expect(await statistic(server, 'cmd_flush')).toBe(0)
    }))

  it('fit with the longest prefix and the longest key', () =>
    onShared(async (server) => {
      const prefix = randomBytes(50).toString('hex')
      const store = storeOn(server, { prefix })
      await store.set([entry(new Uint8Array(64).fill(255), Uint8Array.of(1))])
      expect(await store.get(new Uint8Array(64).fill(255))).toEqual(Uint8Array.of(1))
      expect(() => storeOn(server, { prefix: `${prefix}x` })).toThrow(SessionRangeError)
    }))

  it('expire when they are told to, also in more than 30 days, and never where memcached cannot say when', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      const days = [1 / 24, 29, 31, 60, 365, Number.POSITIVE_INFINITY, 400 * 365]
      const now = Date.now()
      const keys = days.map((_, index) => Uint8Array.of(index))
      await store.set(keys.map((key, i) => entry(key, key, now + (days[i] ?? 0) * 24 * HOUR_MS)))
      const ttls = await Promise.all(keys.map((key) => ttlOf(server, sessionKey(prefix, key))))
      for (const [index, day] of days.slice(0, 5).entries())
        expect(Math.abs((ttls[index] ?? 0) - day * 86_400)).toBeLessThanOrEqual(2)
      expect(ttls.slice(5)).toEqual([-1, -1])
    }))
})

describe('a take', () => {
  it('takes what replaced the session while it was being read', () =>
    onShared(async (server, prefix) => {
      const key = randomBytes(32)
      const other = storeOn(server, { prefix })
      await other.set([entry(key, Uint8Array.of(1))])
      let isReplaced = false
      const store = memcachedStore({
        prefix,
        connect: () => {
          const socket = server.connect()
          const write = socket.write.bind(socket)
          // Between the answer to the read and the delete.
          socket.write = (bytes: Uint8Array | string): boolean => {
            if (isReplaced || !String(bytes).startsWith('md')) return write(bytes)
            isReplaced = true
            void Promise.resolve(other.set([entry(key, Uint8Array.of(2))])).then(() => write(bytes))
            return true
          }
          return socket
        },
      })
      opened.push(store)
      expect(await store.take(key)).toEqual(Uint8Array.of(2))
      expect(isReplaced).toBe(true)
      expect(await other.take(key)).toBeUndefined()
    }))

  it('of 200 sessions in two processes at once has one winner each', () =>
    onShared(async (server, prefix) => {
      const keys = Array.from({ length: 200 }, () => randomBytes(32))
      await storeOn(server, { prefix }).set(keys.map((key) => entry(key, key)))
      const file = new URL('memcached-taker.ts', import.meta.url)
      const takers = [0, 1].map(() => forkScript(file))
      const hear = () => Promise.all(takers.map((taker) => nextMessage<unknown>(taker)))
      const ready = hear()
      const hexKeys = keys.map((key) => key.toString('hex'))
      for (const taker of takers) taker.send({ port: server.port, prefix, keys: hexKeys })
      await ready
      const answers = hear()
      for (const taker of takers) taker.send('go')
      const [first, second] = (await answers) as boolean[][]
      const winners = keys.map((_, index) => Number(first?.[index]) + Number(second?.[index]))
      expect(winners).toEqual(keys.map(() => 1))
    }))

  it('fails on a memcached that runs without CAS, where it could not be atomic', async () => {
    const store = storeOn(await start('-C'))
    const key = randomBytes(32)
    await store.set([entry(key, key)])
    expect((await failureOf(store.take(key))).message).toContain('-C')
    expect(await store.get(key)).toEqual(new Uint8Array(key))
  })
})

describe('marks', () => {
  it('are one item, which does not expire and from which those that have expired are gone at the next write', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      const [old, young] = [randomBytes(44), randomBytes(44)]
      await store.addMarks([mark(old)])
      expect(await ttlOf(server, marksKey(prefix))).toBe(-1)
      const later = Date.now() + 2 * HOUR_MS
      vi.spyOn(Date, 'now').mockReturnValue(later)
      expect(await store.getMarks()).toBeUndefined()
      await store.addMarks([mark(young)])
      expect(await store.getMarks()).toEqual([new Uint8Array(young)])
      expect(await ask(server, `mg ${marksKey(prefix)} b s`)).toContain(` s${1 + 9 + 44}`)
    }))

  it('that one process adds at the same time are one write', async () => {
    const server = await start()
    const store = storeOn(server)
    const marks = Array.from({ length: 40 }, () => randomBytes(44))
    await Promise.all(marks.map(async (one) => store.addMarks([mark(one)])))
    expect(await statistic(server, 'cmd_set')).toBe(1)
    expect((await store.getMarks())?.length).toBe(40)
  })

  it('that 20 clients add at the same time are all there', () =>
    onShared(async (server, prefix) => {
      const stores = Array.from({ length: 20 }, () => storeOn(server, { prefix }))
      await Promise.all(stores.map(async (store) => store.getMarks()))
      await Promise.all(stores.map(async (store) => store.addMarks([mark(randomBytes(44))])))
      expect((await stores[0]?.getMarks())?.length).toBe(20)
    }))

  it('keep the later of two expiries', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      const one = randomBytes(44)
      await store.addMarks([mark(one, Date.now() + 4 * HOUR_MS)])
      await store.addMarks([mark(one)])
      const later = Date.now() + 2 * HOUR_MS
      vi.spyOn(Date, 'now').mockReturnValue(later)
      expect(await store.getMarks()).toEqual([new Uint8Array(one)])
    }))

  it('that do not fit are refused, and those that are there stay', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix, maxItemBytes: 16_384 })
      const marks = Array.from({ length: 299 }, () => mark(randomBytes(44)))
      await store.addMarks(marks)
      await failureOf(store.addMarks([mark(randomBytes(44))]))
      expect((await store.getMarks())?.length).toBe(299)
      await store.addMarks([mark(marks[0]?.mark ?? randomBytes(1))])
    }))

  it('of more than 64 bytes are refused', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      await expect(store.addMarks([mark(randomBytes(65))])).rejects.toThrow(SessionRangeError)
    }))

  it('are lost where something else stands in their place, which does not keep new ones out', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      for (const item of ['', 'garbage', '\x01\x05', '\x01\x05\0\0\0\0\0\0\0\0abc', '\x02']) {
        await ask(server, `ms ${marksKey(prefix)} ${item.length} b\r\n${item}`)
        expect(await store.getMarks()).toBeUndefined()
        const one = randomBytes(44)
        await store.addMarks([mark(one)])
        expect(await store.getMarks()).toEqual([new Uint8Array(one)])
      }
    }))

  it('are not added to a memcached that runs without CAS once there are some', async () => {
    const store = storeOn(await start('-C'))
    await store.addMarks([mark(randomBytes(44))])
    expect((await failureOf(store.addMarks([mark(randomBytes(44))]))).message).toContain('-C')
  })
})

describe('a memcached that is full', () => {
  it('is not asked to store what is larger than its items', () =>
    onShared(async (server, prefix) => {
      const store = storeOn(server, { prefix })
      const key = randomBytes(32)
      await store.set([entry(key, key)])
      const before = await statistic(server, 'cmd_set')
      await failureOf(store.set([entry(key, new Uint8Array(1024 * 1024))]))
      expect(await statistic(server, 'cmd_set')).toBe(before)
      expect(await store.get(key)).toEqual(new Uint8Array(key))
    }))

  it('says so when its items are smaller than the store was told, and goes on', async () => {
    const server = await start('-I', '512k')
    const store = storeOn(server)
    const key = randomBytes(32)
    const error = await failureOf(store.set([entry(key, new Uint8Array(600_000))]))
    expect(error.cause).toMatchObject({ message: 'SERVER_ERROR object too large for cache' })
    const largest = new Uint8Array(randomBytes(11 * 1024))
    await store.set([entry(key, largest)])
    expect(await store.get(key)).toEqual(largest)
  })

  it('with -M fails what it has no memory for, and keeps what it has', async () => {
    const store = storeOn(await start('-M', '-m', '2'))
    const keys = Array.from({ length: 500 }, () => randomBytes(32))
    const results = await Promise.allSettled(
      keys.map(async (key) => store.set([entry(key, new Uint8Array(8000))])),
    )
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    expect(failures.length).toBeGreaterThan(0)
    for (const failure of failures)
      expect(failure).toMatchObject({
        cause: { message: expect.stringMatching(/^SERVER_ERROR out of memory/i) },
      })
    const kept = keys.filter((_, index) => results[index]?.status === 'fulfilled')
    expect(kept.length).toBeGreaterThan(0)
    for (const key of kept) expect((await store.get(key))?.length).toBe(8000)
  })
})

describe('several servers', () => {
  it('share the keys, move none but to a server that is added, and have the marks on the first', async () => {
    const servers = await Promise.all([start(), start(), start()])
    const two = storeOn(servers.slice(0, 2))
    const keys = Array.from({ length: 300 }, () => randomBytes(32))
    await two.set(keys.map((key) => entry(key, key)))
    const items = () => Promise.all(servers.map((server) => statistic(server, 'curr_items')))
    const [first = 0, second = 0] = await items()
    expect(first + second).toBe(300)
    expect(Math.min(first, second)).toBeGreaterThan(90)
    const three = storeOn(servers)
    const found = await Promise.all(keys.map(async (key) => three.get(key)))
    const lost = keys.filter((_, index) => found[index] === undefined)
    expect(lost.length).toBeGreaterThan(50)
    expect(lost.length).toBeLessThan(150)
    await three.set(lost.map((key) => entry(key, key)))
    expect(await items()).toEqual([first, second, lost.length])
    await three.addMarks([mark(randomBytes(44))])
    expect(await items()).toEqual([first + 1, second, lost.length])
  })

  it('fail alone', async () => {
    const servers = await Promise.all([start(), start()])
    const store = storeOn(servers)
    const keys = Array.from({ length: 50 }, () => randomBytes(32))
    await store.set(keys.map((key) => entry(key, key)))
    const onFirst = await statistic(servers[0] as MemcachedProcess, 'curr_items')
    await servers[1]?.kill()
    const results = await Promise.allSettled(keys.map(async (key) => store.get(key)))
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(onFirst)
  })

  test('are at least one', () => {
    expect(() => memcachedStore({ connect: [] })).toThrow(SessionRangeError)
  })
})

describe('a store whose memcached', () => {
  it('is killed fails, and works again when it is back', async () => {
    const server = await start()
    const store = storeOn(server)
    const key = randomBytes(32)
    let nowMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    for (let round = 0; round < 3; round++) {
      await store.set([entry(key, key)])
      await store.addMarks([mark(key)])
      expect(await store.get(key)).toEqual(new Uint8Array(key))
      await server.kill()
      for (const call of [store.get(key), store.take(key), store.set([entry(key, key)]), store.getMarks()])
        await failureOf(call)
      await server.restart()
      nowMs += 2000
      expect([await store.get(key), await store.getMarks()]).toEqual([undefined, undefined])
    }
  })

  it('is flushed has lost everything', async () => {
    const server = await start()
    const store = storeOn(server)
    await store.set([entry(Uint8Array.of(1), Uint8Array.of(2))])
    await store.addMarks([mark(Uint8Array.of(3))])
    await ask(server, 'flush_all')
    expect([await store.get(Uint8Array.of(1)), await store.getMarks()]).toEqual([undefined, undefined])
  })

  it('is let go of has had all that was under way', async () => {
    const server = await start()
    const store = storeOn(server)
    const keys = Array.from({ length: 100 }, () => randomBytes(32))
    const written = Promise.all(keys.map(async (key) => store.set([entry(key, key)])))
    await store.close()
    await written
    expect(await statistic(server, 'curr_items')).toBe(100)
    expect((await failureOf(store.get(Uint8Array.of(1)))).code).toBe('ERR_SESSION_STORE_UNAVAILABLE')
    expect(await statistic(server, 'curr_connections')).toBeLessThanOrEqual(2)
  })
})
