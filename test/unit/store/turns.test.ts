import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { StoredMark } from '../../../src/session/session-store.ts'
import { guarded } from '../../../src/store/guarded-store.ts'
import { memcachedStore } from '../../../src/store/memcached-store.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import { redisStore } from '../../../src/store/redis-store.ts'
import { delegate } from '../../tools/delegate.ts'
import { missingMemcached, startMemcached } from '../../tools/memcached-server.ts'
import { peerTest } from '../../tools/peers.ts'

/** What a turn of the event loop may do, at the documented limits: 5 ms of CPU at two microseconds each. */
const ITEMS_PER_TURN = 2500
const MARKS = 20_000
/** As many of 64 bytes as the 1 MiB of an item hold. */
const MARKS_IN_AN_ITEM = 14_000

afterEach(() => vi.restoreAllMocks())

/** The most that was done in one turn of the event loop, and all of it. */
async function countTurns(
  count: () => number,
  run: () => unknown,
): Promise<{ readonly most: number; readonly all: number }> {
  let [most, before, isOver] = [0, count(), false]
  const first = before
  const look = (): void => {
    most = Math.max(most, count() - before)
    before = count()
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await run()
  isOver = true
  look()
  return { most, all: count() - first }
}

function newMarks(count: number): StoredMark[] {
  return Array.from({ length: count }, () => ({ mark: randomBytes(64), expiresAtMs: Date.now() + 3_600_000 }))
}

describe('all marks are read in turns of the event loop', () => {
  test('from a MemoryStore', async () => {
    const store = new MemoryStore()
    store.addMarks(newMarks(MARKS))
    const copies = vi.spyOn(Uint8Array.prototype, 'slice')
    const { most, all } = await countTurns(
      () => copies.mock.calls.length,
      async () => expect(await store.getMarks()).toHaveLength(MARKS),
    )
    expect(all).toBeGreaterThanOrEqual(MARKS)
    expect(most).toBeLessThanOrEqual(ITEMS_PER_TURN)
  })

  test('from Redis, of whose reply each mark is looked at', async () => {
    let reads = 0
    const reply = new Proxy(
      newMarks(MARKS).map(({ mark }) => Buffer.from(mark)),
      {
        get(target, name) {
          if (typeof name === 'string' && /^\d+$/.test(name)) reads++
          return Reflect.get(target, name)
        },
      },
    )
    const store = redisStore({ send: () => Promise.resolve(reply) })
    const { most, all } = await countTurns(
      () => reads,
      async () => expect(await store.getMarks()).toHaveLength(MARKS),
    )
    expect(all).toBe(MARKS)
    expect(most).toBeLessThanOrEqual(ITEMS_PER_TURN)
  })

  peerTest('from memcached, and written in turns', missingMemcached, async () => {
    const memcached = await startMemcached('-m', '64')
    const store = memcachedStore({ connect: memcached.connect })
    try {
      const writes = vi.spyOn(Buffer.prototype, 'writeDoubleBE')
      const written = await countTurns(
        () => writes.mock.calls.length,
        () => store.addMarks(newMarks(MARKS_IN_AN_ITEM)),
      )
      expect(written.all).toBe(MARKS_IN_AN_ITEM)
      expect(written.most).toBeLessThanOrEqual(ITEMS_PER_TURN)
      const reads = vi.spyOn(Buffer.prototype, 'readDoubleBE')
      const read = await countTurns(
        () => reads.mock.calls.length,
        async () => expect(await store.getMarks()).toHaveLength(MARKS_IN_AN_ITEM),
      )
      expect(read.all).toBe(MARKS_IN_AN_ITEM)
      expect(read.most).toBeLessThanOrEqual(ITEMS_PER_TURN)
    } finally {
      await store.close()
      await memcached.kill()
    }
  })
})

describe('what a guard gives up, it gives up in turns', () => {
  const QUEUED = 20_000
  const entry = (expiresAtMs: number) => ({ key: randomBytes(32), value: Uint8Array.of(1), expiresAtMs })
  /** A store that never answers: what comes after its first call waits. */
  const hang = () => {
    const never = new Promise<void>(() => undefined)
    return { ...delegate(new MemoryStore()), set: () => never, delete: () => never }
  }

  test('what waits when it is closed', async () => {
    const store = guarded(hang(), { deadlineMs: 100, maxConcurrentWrites: 1, maxQueuedSessions: QUEUED })
    let given = 0
    const settle = (): void => void given++
    for (let index = 0; index <= QUEUED; index++)
      Promise.resolve(store.set([entry(Date.now() + 3_600_000)])).then(settle, settle)
    expect(store.stats.queuedWrites).toBe(QUEUED)
    const { most } = await countTurns(
      () => store.stats.droppedWrites,
      () => store.close(),
    )
    expect(store.stats.queuedWrites).toBe(0)
    // The calls that were made meanwhile had a part of them.
    expect(store.stats.droppedWrites).toBeGreaterThan(0.9 * QUEUED)
    expect(most).toBeLessThanOrEqual(ITEMS_PER_TURN)
  })

  test('what has expired while it waited', async () => {
    const store = guarded(hang(), { deadlineMs: 50, maxConcurrentWrites: 1, maxQueuedSessions: QUEUED })
    const soon = Date.now() + 5000
    for (let index = 0; index <= QUEUED; index++)
      Promise.resolve(store.set([entry(soon)])).catch(() => undefined)
    expect(store.stats.queuedWrites).toBe(QUEUED)
    vi.spyOn(Date, 'now').mockReturnValue(soon + 1)
    const { most } = await countTurns(
      () => store.stats.droppedWrites,
      () => vi.waitUntil(() => store.stats.queuedWrites === 0, { timeout: 20_000 }),
    )
    expect(most).toBeLessThanOrEqual(ITEMS_PER_TURN)
    await store.close()
  })
})
