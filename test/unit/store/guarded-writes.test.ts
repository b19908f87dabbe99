import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test, vi } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../../../src/session/session-store.ts'
import { guarded } from '../../../src/store/guarded-store.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import {
  bench,
  DEADLINE_MS,
  entryOf,
  keyOf,
  openBench,
  pass,
  RETRY_MS,
  soon,
  TIMEOUT,
  UNAVAILABLE,
  VALUE,
  watch,
} from './guard-bench.ts'
import { useGuardTimers } from './guard-timers.ts'

useGuardTimers()

describe('writes', () => {
  test('go out in the call that makes them, as they were given', () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1), entryOf(2, Uint8Array.of(7), 5)]))
    watch(store.delete(keyOf(3)))
    expect(inner.asked).toEqual(['set 1 2', 'delete 3'])
    expect(inner.call(0).argument).toEqual([entryOf(1), entryOf(2, Uint8Array.of(7), 5)])
  })

  test('beyond those under way wait, and go out in batches of 64 as those settle', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 2 })
    watch(store.set([entryOf(250)]))
    watch(store.set([entryOf(251)]))
    const queued = Array.from({ length: 70 }, (_, index) => watch(store.set([entryOf(index)])))
    expect(inner.asked).toEqual(['set 250', 'set 251'])
    expect(store.stats.queuedWrites).toBe(70)
    inner.call(0).answer()
    await soon()
    expect(inner.call(2).keys).toEqual(Array.from({ length: 64 }, (_, index) => index))
    inner.call(2).answer()
    await soon()
    expect(inner.call(3).keys).toEqual([64, 65, 66, 67, 68, 69])
    expect(queued.filter(({ state }) => state === undefined)).toHaveLength(64)
    inner.call(3).fail(new SessionStoreError('full'))
    await soon()
    expect(queued.slice(64).map(({ state }) => state)).toEqual(
      Array(6).fill(expect.objectContaining({ message: 'full' })),
    )
    expect(store.stats).toMatchObject({ queuedWrites: 0, droppedWrites: 0 })
    expect(vi.getTimerCount()).toBe(1)
  })

  test('that time out make room for others', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 1 })
    watch(store.set([entryOf(1)]))
    await pass(1)
    watch(store.set([entryOf(2)]))
    await pass(DEADLINE_MS - 1)
    expect(inner.asked).toEqual(['set 1', 'set 2'])
  })

  test('that wait are told the deadline, and made all the same', async () => {
    const { inner, store } = await openBench()
    const set = watch(store.set([entryOf(1)]))
    await pass(DEADLINE_MS)
    expect(set.state).toEqual(TIMEOUT)
    await pass(RETRY_MS)
    expect(inner.asked).toEqual(['set 1'])
  })

  test('of sessions are never made twice, deletions until the store has done them', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    watch(store.delete(keyOf(2)))
    inner.call(0).fail()
    inner.call(1).fail()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'delete 2', 'delete 2'])
    inner.call(2).answer()
    await pass(10 * RETRY_MS)
    expect(inner.asked).toHaveLength(3)
    expect(store.stats).toMatchObject({ queuedWrites: 0, failures: { set: 1, delete: 1 } })
  })

  test('of one key replace one another while they wait, and share the result', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 1 })
    watch(store.set([entryOf(9)]))
    const first = watch(store.set([entryOf(1), entryOf(2)]))
    const second = watch(store.set([entryOf(1, Uint8Array.of(2))]))
    expect(store.stats.queuedWrites).toBe(2)
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 9', 'set 2 1'])
    expect(inner.call(1).argument).toEqual([entryOf(2), entryOf(1, Uint8Array.of(2))])
    expect([first.state, second.state]).toEqual(['pending', 'pending'])
    inner.call(1).answer()
    await soon()
    expect([first.state, second.state]).toEqual([undefined, undefined])
  })

  test('of one key in one call are the last of them', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 1 })
    watch(store.set([entryOf(9)]))
    const set = watch(store.set([entryOf(1), entryOf(1, Uint8Array.of(2))]))
    inner.call(0).answer()
    await soon()
    expect(inner.call(1).argument).toEqual([entryOf(1, Uint8Array.of(2))])
    inner.call(1).answer()
    await soon()
    expect(set.state).toBeUndefined()
  })

  test('of one key are made in order, also after the first has timed out', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    const deleted = watch(store.delete(keyOf(1)))
    watch(store.set([entryOf(2)]))
    await pass(DEADLINE_MS)
    expect(deleted.state).toEqual(TIMEOUT)
    expect(inner.asked).toEqual(['set 1', 'set 2'])
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'set 2', 'delete 1'])
    watch(store.set([entryOf(1)]))
    expect(inner.asked).toHaveLength(3)
    inner.call(2).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'set 2', 'delete 1', 'set 1'])
  })

  test('that wait see no change of the bytes they were given', async () => {
    const { inner, store } = await openBench()
    const [entry, deleted] = [entryOf(1, VALUE.slice()), keyOf(2)]
    watch(store.set([entry]))
    watch(store.delete(deleted))
    await pass(DEADLINE_MS)
    for (const bytes of [entry.key, entry.value, deleted]) bytes.fill(0)
    await pass(RETRY_MS - DEADLINE_MS)
    expect(inner.asked).toEqual(['delete 2', 'set 1'])
    expect(inner.call(1).argument).toMatchObject([{ key: keyOf(1), value: VALUE }])
  })

  test('beyond the bound drop the oldest', async () => {
    const { inner, store, events } = await openBench({ maxQueuedSessions: 2 })
    const sets = [1, 2, 3].map((number) => watch(store.set([entryOf(number)])))
    const deleted = watch(store.delete(keyOf(4)))
    await soon()
    expect(sets.map(({ state }) => state)).toEqual([UNAVAILABLE, 'pending', 'pending'])
    expect(deleted.state).toBe('pending')
    expect(store.stats).toMatchObject({ queuedWrites: 3, queuedDeletions: 1, droppedWrites: 1 })
    expect(events).toEqual([{ type: 'write-dropped', count: 1 }])
    await pass(RETRY_MS)
    expect(inner.asked).toEqual(['delete 4', 'set 2'])
  })

  test('wait while nothing is asked; one of them finds out, and the rest follows', async () => {
    const { inner, store } = await openBench()
    for (const number of [1, 2, 3]) watch(store.set([entryOf(number)]))
    await pass(RETRY_MS)
    expect(inner.asked).toEqual(['set 1'])
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'set 2 3'])
    expect(store.stats).toMatchObject({ breakers: { writes: 'closed', reads: 'open' }, queuedWrites: 0 })
  })

  test('lose no more than one each time the store is found still dead', async () => {
    const { inner, store } = await openBench()
    for (let number = 0; number < 10; number++) watch(store.set([entryOf(number)]))
    for (let round = 0; round < 3; round++) {
      await pass(RETRY_MS)
      inner.call(-1).fail()
      await soon()
    }
    expect(inner.asked).toEqual(['set 0', 'set 1', 'set 2'])
    expect(store.stats.queuedWrites).toBe(7)
  })

  test('that wait go out when another call finds out', async () => {
    let nowMs = 0
    const { inner, store } = await openBench({ now: () => nowMs })
    watch(store.set([entryOf(1)]))
    watch(store.set([entryOf(2)]))
    nowMs = RETRY_MS
    watch(store.get(keyOf(3)))
    expect(inner.asked).toEqual(['set 1', 'get 3'])
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'get 3', 'set 2'])
  })

  test('that wait follow when the store answers one of the 10,000 calls that it owes', async () => {
    const { inner, store } = bench()
    const numbered = (index: number) => Uint8Array.of(index >> 8, index & 0xff)
    for (let index = 0; index < 10_000; index++) watch(store.get(numbered(index)))
    watch(store.delete(keyOf(1)))
    expect(store.stats).toMatchObject({ queuedWrites: 1, calls: { delete: 0 } })
    inner.call(0).answer()
    await soon()
    expect(store.stats).toMatchObject({ queuedWrites: 0, calls: { delete: 1 } })
  })

  test('that wait are replaced also by the one that finds out', async () => {
    let nowMs = 0
    const { inner, store } = await openBench({ now: () => nowMs })
    watch(store.set([entryOf(1)]))
    nowMs = RETRY_MS
    watch(store.set([entryOf(1, Uint8Array.of(2))]))
    inner.call(0).answer()
    await soon()
    expect(inner.calls.map(({ argument }) => argument)).toEqual([[entryOf(1, Uint8Array.of(2))]])
    expect(store.stats.queuedWrites).toBe(0)
  })

  test('can be the call that finds out', async () => {
    const { inner, store } = await openBench()
    await pass(RETRY_MS)
    const set = watch(store.set([entryOf(1)]))
    expect(inner.asked).toEqual(['set 1'])
    inner.call(0).answer()
    await soon()
    expect(set.state).toBeUndefined()
    expect(store.stats.breakers).toEqual({ reads: 'open', writes: 'closed', removals: 'open' })
  })

  test('of what has expired meanwhile are dropped', async () => {
    const { inner, store, events } = await openBench()
    watch(store.set([entryOf(1, VALUE, RETRY_MS - 1)]))
    watch(store.set([entryOf(2, VALUE, RETRY_MS)]))
    await pass(RETRY_MS)
    expect(inner.asked).toEqual(['set 2'])
    expect(store.stats).toMatchObject({ droppedWrites: 1, queuedWrites: 0 })
    expect(events).toContainEqual({ type: 'write-dropped', count: 1 })
  })

  test('do not keep a process alive that waits for a dead store', async () => {
    vi.useRealTimers()
    const timers = vi.spyOn(globalThis, 'setTimeout')
    const { inner, store } = bench({ breaker: { failures: 1 } })
    const set = watch(store.set([entryOf(2)]))
    inner.call(0).fail()
    await vi.waitFor(() => expect(set.state).toBeInstanceOf(SessionStoreError))
    timers.mockClear()
    watch(store.set([entryOf(1)]))
    const made = timers.mock.results.map(({ value }) => value as NodeJS.Timeout)
    timers.mockRestore()
    expect(made.map((timer) => timer.hasRef())).toEqual([true, false])
    for (const timer of made) clearTimeout(timer)
  })

  test('that the store never answers are bounded, and follow when it does', async () => {
    const { inner, store } = bench({
      deadlineMs: 1,
      maxQueuedSessions: 5,
      breaker: { failures: 2 ** 31 - 1 },
    })
    const numbered = (call: number, half: number): StoreEntry => ({
      key: Uint8Array.of(call >> 8, call & 0xff, half),
      value: VALUE,
      expiresAtMs: Number.POSITIVE_INFINITY,
    })
    for (let call = 0; call < 5_010; call++) {
      watch(store.set([numbered(call, 0), numbered(call, 1)]))
      if (call % 50 === 0) await pass(1)
    }
    await pass(1)
    expect(store.stats).toMatchObject({ calls: { set: 5_000 }, queuedWrites: 5, droppedWrites: 15 })
    inner.call(0).answer()
    await soon()
    expect(store.stats).toMatchObject({ calls: { set: 5_001 }, queuedWrites: 0 })
  })

  test('by the thousands follow a store that answers at once', async () => {
    let isDead = true
    const memory = new MemoryStore()
    const die = () => {
      if (isDead) throw new SessionStoreError('down')
    }
    const inner: SessionStore = Object.assign(Object.create(memory), {
      addMarks: (marks: readonly StoredMark[]) => die() ?? memory.addMarks(marks),
      delete: (key: Uint8Array) => die() ?? memory.delete(key),
    })
    const store = guarded(inner, { deadlineMs: 60_000, breaker: { failures: 1 }, maxQueuedSessions: 5_000 })
    watch(store.addMarks([]))
    for (let index = 0; index < 5_000; index++) watch(store.delete(Uint8Array.of(index >> 8, index & 0xff)))
    isDead = false
    await pass(RETRY_MS)
    // Not all in one turn of the event loop, which would stand still meanwhile.
    let left = store.stats.queuedWrites
    expect(left).toBeGreaterThan(4_500)
    while (left > 0) {
      await setImmediate()
      expect(left - store.stats.queuedWrites).toBeLessThanOrEqual(128)
      expect(store.stats.queuedWrites).toBeLessThan(left)
      left = store.stats.queuedWrites
    }
    expect(store.stats).toMatchObject({ droppedWrites: 0, calls: { delete: 5_000 } })
  })

  test('do not hold on to callers who have been told the deadline', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const { store } = await openBench({ breaker: { retryAfterMs: 1_000_000 } })
    const callers = Array.from({ length: 100 }, () => {
      const deleted = Promise.resolve(store.delete(keyOf(1)))
      deleted.catch(() => undefined)
      return new WeakRef(deleted)
    })
    await pass(DEADLINE_MS)
    await soon()
    collectGarbage()
    // The machine's registers and stack may keep one or two alive; a queue that holds its callers keeps all.
    expect(callers.filter((caller) => caller.deref() !== undefined).length).toBeLessThan(5)
    expect(store.stats.queuedWrites).toBe(1)
  })
})

describe('what waits to be written', () => {
  test('is what get answers, with a copy', async () => {
    const { inner, store } = await openBench()
    watch(store.set([entryOf(1)]))
    const first = store.get(keyOf(1)) as Uint8Array
    expect(first).toEqual(VALUE)
    first.fill(0)
    expect(store.get(keyOf(1))).toEqual(VALUE)
    await pass(3_600_001)
    expect(inner.asked).toEqual(['set 1'])
  })

  test('is a miss when it has expired', async () => {
    const { store } = await openBench()
    watch(store.set([entryOf(1, VALUE, 10)]))
    watch(store.set([entryOf(2, VALUE, 10)]))
    await pass(10)
    expect(store.get(keyOf(1))).toEqual(VALUE)
    await pass(1)
    expect([store.get(keyOf(1)), store.take(keyOf(2))]).toEqual([undefined, undefined])
  })

  test('can be taken once, and what the store may hold under its key is deleted', async () => {
    const { inner, store } = await openBench()
    const set = watch(store.set([entryOf(1)]))
    expect([store.take(keyOf(1)), store.take(keyOf(1)), store.get(keyOf(1))]).toEqual([
      VALUE,
      undefined,
      undefined,
    ])
    await pass(RETRY_MS)
    expect(inner.asked).toEqual(['delete 1'])
    expect([store.take(keyOf(1)), store.get(keyOf(1))]).toEqual([undefined, undefined])
    expect(set.state).toEqual(TIMEOUT)
  })

  test('is gone once its key is deleted, and the store is told', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 1 })
    watch(store.set([entryOf(9)]))
    const set = watch(store.set([entryOf(1)]))
    const deleted = watch(store.delete(keyOf(1)))
    expect([store.get(keyOf(1)), store.take(keyOf(1))]).toEqual([undefined, undefined])
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 9', 'delete 1'])
    expect(store.get(keyOf(1))).toBeUndefined()
    expect(deleted.state).toBe('pending')
    inner.call(1).answer()
    await soon()
    expect([set.state, deleted.state]).toEqual([undefined, undefined])
  })

  test('may be a deletion that a set replaces; if that fails, the deletion has failed', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 1 })
    watch(store.set([entryOf(9)]))
    const deleted = watch(store.delete(keyOf(1)))
    watch(store.set([entryOf(1)]))
    inner.call(0).answer()
    await soon()
    inner.call(1).fail(new SessionStoreError('full'))
    await soon()
    expect(deleted.state).toMatchObject({ message: 'full' })
  })
})
