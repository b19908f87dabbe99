import { describe, expect, test, vi } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { guarded } from '../../../src/store/guarded-store.ts'
import {
  bench,
  DEADLINE_MS,
  entryOf,
  FAILURES,
  keyOf,
  openBench,
  pass,
  RETRY_MS,
  StoreByHand,
  soon,
  TIMEOUT,
  UNAVAILABLE,
  VALUE,
  watch,
} from './guard-bench.ts'
import { useGuardTimers } from './guard-timers.ts'

useGuardTimers()

describe('gets', () => {
  test('of equal keys share one call while it is under way, and each has bytes of its own', async () => {
    const { inner, store } = bench()
    const gets = [store.get(keyOf(1)), store.get(Uint8Array.from(keyOf(1))), store.get(keyOf(2))]
    const answers: unknown[] = []
    for (const get of gets.slice(0, 2))
      void Promise.resolve(get).then((value) => {
        answers.push(value?.slice())
        value?.fill(0)
      })
    expect(inner.asked).toEqual(['get 1', 'get 2'])
    expect(store.stats.sharedGets).toBe(1)
    inner.call(0).answer(VALUE.slice())
    await soon()
    expect(answers).toEqual([VALUE, VALUE])
    watch(store.get(keyOf(1)))
    expect(inner.asked).toEqual(['get 1', 'get 2', 'get 1'])
  })

  test('of what is being set wait for that where the store shows nothing yet, as LMDB before it commits', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    const got = watch(store.get(keyOf(1)))
    inner.call(1).answer(undefined)
    await soon()
    expect(got.state).toBe('pending')
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'get 1', 'get 1'])
    inner.call(2).answer(VALUE.slice())
    await soon()
    expect(got.state).toEqual(VALUE)
    // Nothing is under way any more, and what is not there is not.
    const gone = watch(store.get(keyOf(1)))
    inner.call(3).answer(undefined)
    await soon()
    expect([gone.state, inner.asked.length]).toEqual([undefined, 4])
  })

  test('of what is being set wait no longer than the deadline', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    const got = watch(store.get(keyOf(1)))
    await pass(100)
    inner.call(1).answer(undefined)
    await pass(DEADLINE_MS - 101)
    expect(got.state).toBe('pending')
    await pass(1)
    expect(got.state).not.toBe('pending')
  })

  test('share the failure too, and the next asks again', async () => {
    const { inner, store } = bench()
    const gets = [watch(store.get(keyOf(1))), watch(store.get(keyOf(1)))]
    inner.call(0).fail()
    await soon()
    expect(gets.map(({ state }) => state)).toEqual(Array(2).fill(expect.any(SessionStoreError)))
    watch(store.get(keyOf(1)))
    expect(inner.asked).toHaveLength(2)
  })

  test('are not shared with takes, nor takes with takes', () => {
    const { inner, store } = bench()
    watch(store.get(keyOf(1)))
    for (let index = 0; index < 3; index++) watch(store.take(keyOf(1)))
    expect(inner.asked).toEqual(['get 1', 'take 1', 'take 1', 'take 1'])
  })

  test.each([
    ['take', (store: SessionStore) => store.take(keyOf(1))],
    ['set', (store: SessionStore) => store.set([entryOf(1)])],
    ['delete', (store: SessionStore) => store.delete(keyOf(1))],
  ])('from before a %s are not shared by those after it', async (_, change) => {
    const { inner, store } = bench()
    watch(store.get(keyOf(1)))
    watch(change(store))
    watch(store.get(keyOf(1)))
    const asked = inner.calls.length
    inner.call(1).answer()
    await soon()
    watch(store.get(keyOf(1)))
    expect(inner.calls.length).toBe(asked + 1)
  })

  test('beyond 10,000 that the store has not answered are refused, until it answers one', async () => {
    const { inner, store } = bench()
    const numbered = (index: number) => Uint8Array.of(index >> 8, index & 0xff)
    for (let index = 0; index < 10_000; index++) watch(store.get(numbered(index)))
    const refused = watch(store.get(numbered(10_000)))
    await soon()
    expect(refused.state).toEqual(UNAVAILABLE)
    expect(store.stats).toMatchObject({ pendingCalls: 10_000, calls: { get: 10_000 }, breaker: 'closed' })
    inner.call(0).answer()
    await soon()
    watch(store.get(numbered(10_001)))
    expect(store.stats.calls.get).toBe(10_001)
  })
})

describe('a take', () => {
  test('that was cut by the deadline is not tried again, and its late value is nobody’s', async () => {
    const { inner, store } = bench()
    const taken = watch(store.take(keyOf(1)))
    await pass(DEADLINE_MS)
    inner.call(0).answer(VALUE)
    await pass(10 * DEADLINE_MS)
    expect(taken.state).toEqual(TIMEOUT)
    expect(inner.asked).toEqual(['take 1'])
  })

  test('waits for the set of its key that is under way', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    const taken = watch(store.take(keyOf(1)))
    expect(inner.asked).toEqual(['set 1'])
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'take 1'])
    inner.call(1).answer(VALUE)
    await soon()
    expect(taken.state).toEqual(VALUE)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not wait for a set that has timed out', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    await pass(DEADLINE_MS)
    watch(store.take(keyOf(1)))
    expect(inner.asked).toEqual(['set 1', 'take 1'])
  })

  test('that has waited has only the rest of its time', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    const taken = watch(store.take(keyOf(1)))
    await pass(100)
    inner.call(0).fail()
    await pass(DEADLINE_MS - 101)
    expect(inner.asked).toEqual(['set 1', 'take 1'])
    expect(taken.state).toBe('pending')
    await pass(1)
    expect(taken.state).toEqual(TIMEOUT)
  })

  test('that has no time left is not made', async () => {
    const { inner, store } = bench()
    watch(store.set([entryOf(1)]))
    const taken = watch(store.take(keyOf(1)))
    await pass(DEADLINE_MS + 1)
    expect(taken.state).toEqual(TIMEOUT)
    expect(inner.asked).toEqual(['set 1'])
  })
})

describe('reads, writes and removals', () => {
  test('are judged apart: a store that is full goes on answering and deleting, and what it does not keep is told', async () => {
    const { inner, store, events } = bench()
    const full = new SessionStoreError('OOM', { isRefusal: true })
    const told: { readonly state: unknown }[] = []
    for (let number = 0; number < 30; number++) {
      const called = inner.calls.length
      told.push(watch(store.set([entryOf(number)])))
      if (inner.calls.length > called) inner.call(-1).fail(full)
      await soon()
      watch(store.get(keyOf(100 + number)))
      inner.call(-1).answer()
      await soon()
    }
    expect(store.stats).toMatchObject({
      breaker: 'open',
      breakers: { reads: 'closed', writes: 'open', removals: 'closed' },
      calls: { get: 30, set: FAILURES },
      failures: { get: 0, set: FAILURES },
      queuedWrites: 30 - FAILURES,
    })
    expect(told.slice(0, FAILURES).map(({ state }) => state)).toEqual(Array(FAILURES).fill(full))
    await pass(DEADLINE_MS)
    expect(told.slice(FAILURES).map(({ state }) => state)).toEqual(Array(30 - FAILURES).fill(TIMEOUT))
    expect(events).toContainEqual({ type: 'breaker-opened', calls: 'writes', error: full })
    watch(store.delete(keyOf(150)))
    watch(store.get(keyOf(151)))
    watch(store.take(keyOf(152)))
    expect(inner.asked.slice(-3)).toEqual(['delete 150', 'get 151', 'take 152'])
  })

  test('a take that the engine refuses as a write says nothing against gets', async () => {
    const { inner, store } = bench({ breaker: { failures: 1 } })
    const took = watch(store.take(keyOf(1)))
    inner.call(0).fail(new SessionStoreError('READONLY', { isRefusal: true }))
    await soon()
    expect(took.state).toMatchObject({ isRefusal: true })
    expect(store.stats).toMatchObject({ breaker: 'closed', failures: { take: 1 } })
  })

  test('a store that cannot be read is written to all the same', async () => {
    const { inner, store } = bench({ breaker: { failures: 1 } })
    watch(store.get(keyOf(1)))
    inner.call(0).fail()
    await soon()
    const set = watch(store.set([entryOf(2)]))
    inner.call(1).answer()
    await soon()
    expect(set.state).toBeUndefined()
    expect(store.stats.breakers).toEqual({ reads: 'open', writes: 'closed', removals: 'closed' })
  })
})

describe('deletions', () => {
  const DROPPED = expect.objectContaining({ code: 'ERR_SESSION_STORE_DELETION_DROPPED' })
  const numbered = (index: number) => Uint8Array.of(index >> 8, index & 0xff, 1)

  test('outlast any number of sets that wait', async () => {
    const { inner, store } = await openBench()
    watch(store.delete(keyOf(1)))
    for (let index = 0; index < 3_000; index++) watch(store.set([{ ...entryOf(0), key: numbered(index) }]))
    expect(store.stats).toMatchObject({ queuedWrites: 1_001, queuedDeletions: 1, droppedWrites: 2_000 })
    await pass(RETRY_MS)
    expect(inner.asked[0]).toBe('delete 1')
  })

  test('have a bound of their own; the one beyond it is refused aloud, and the others are made', async () => {
    const { store, events } = await openBench({ maxQueuedSessions: 1 })
    for (let index = 0; index < 10_000; index++) watch(store.delete(numbered(index)))
    const refused = watch(store.delete(keyOf(1)))
    await soon()
    expect(refused.state).toEqual(DROPPED)
    expect(events).toEqual([{ type: 'deletion-dropped', count: 1 }])
    expect(store.stats).toMatchObject({ queuedDeletions: 10_000, droppedDeletions: 1, droppedWrites: 1 })
    expect(store.get(numbered(0))).toBeUndefined()
  })

  test('that are given up at the end say so', async () => {
    const { store, events } = await openBench({ breaker: { retryAfterMs: 10_000 }, deadlineMs: 100 })
    const deleted = watch(store.delete(keyOf(1)))
    await pass(99)
    watch(store.close())
    await pass(100)
    expect(deleted.state).toEqual(TIMEOUT)
    expect(events).toContainEqual({ type: 'deletion-dropped', count: 1 })
    expect(store.stats).toMatchObject({ queuedWrites: 0, droppedDeletions: 1 })
  })

  test.each([
    ['fails', async (inner: StoreByHand) => inner.call(-1).fail()],
    [
      'is dropped',
      async (_: StoreByHand, store: SessionStore) => void watch(store.set([entryOf(7), entryOf(8)])),
    ],
    ['expires', async () => pass(50)],
  ])('are due again when the set that has replaced them %s', async (how, end) => {
    const { inner, store } = bench({ maxConcurrentWrites: 1, maxQueuedSessions: 1 })
    watch(store.set([entryOf(9)]))
    watch(store.delete(keyOf(1)))
    watch(store.set([entryOf(1, VALUE, 40)]))
    if (how === 'fails') {
      inner.call(0).answer()
      await soon()
      expect(inner.asked).toEqual(['set 9', 'set 1'])
    }
    await end(inner, store)
    if (how !== 'fails') inner.call(0).answer()
    await soon()
    expect(inner.asked).toContain('delete 1')
  })
})

describe('marks', () => {
  test('are pushed if the store can push, and else there is no watchMarks', async () => {
    const { inner, store } = bench()
    const marks: Uint8Array[] = []
    const watching = store.watchMarks?.((mark) => marks.push(mark))
    ;(inner.call(0).argument as (mark: Uint8Array) => void)(VALUE)
    const ended: string[] = []
    inner.call(0).answer(() => {
      ended.push('ended')
    })
    await (await watching)?.()
    expect([marks, ended]).toEqual([[VALUE], ['ended']])
    const { watchMarks, ...pushless } = new StoreByHand()
    expect('watchMarks' in guarded(pushless)).toBe(false)
  })

  test('that began to be watched too late are not watched', async () => {
    const { inner, store } = bench()
    watch(store.watchMarks?.(() => undefined))
    await pass(DEADLINE_MS)
    const ended: string[] = []
    inner.call(0).answer(() => {
      ended.push('ended')
    })
    await soon()
    expect(ended).toEqual(['ended'])
  })

  test('cease to be watched within the deadline', async () => {
    const { inner, store } = bench()
    const watching = store.watchMarks?.(() => undefined)
    inner.call(0).answer(() => new Promise(() => undefined))
    const ended = watch((await watching)?.())
    await pass(DEADLINE_MS)
    expect(ended.state).toEqual(TIMEOUT)
  })

  test('that could not be added reject', async () => {
    const { inner, store } = bench()
    const added = watch(store.addMarks([{ mark: VALUE, expiresAtMs: Date.now() }]))
    inner.call(0).fail()
    await soon()
    expect(added.state).toMatchObject({ message: 'down' })
  })
})
