import { describe, expect, test, vi } from 'vitest'
import { SessionRangeError, SessionStoreError, UnopenableSessionError } from '../../../src/errors.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { type GuardStats, guarded } from '../../../src/store/guarded-store.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import type { StoreEvent } from '../../../src/store/store-calls.ts'
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

describe('guarded', () => {
  test.each([
    ['deadlineMs', { deadlineMs: 0 }],
    ['deadlineMs', { deadlineMs: 2 ** 31 }],
    ['deadlineMs', { deadlineMs: 1.5 }],
    ['breaker.failures', { breaker: { failures: 0 } }],
    ['breaker.retryAfterMs', { breaker: { retryAfterMs: -1 } }],
    ['maxConcurrentWrites', { maxConcurrentWrites: 0 }],
    ['maxConcurrentWrites', { maxConcurrentWrites: 10_001 }],
    ['maxQueuedSessions', { maxQueuedSessions: Number.NaN }],
  ] as const)('refuses a %s out of its range: %j', (name, options) => {
    expect(() => guarded(new MemoryStore(), options)).toThrow(SessionRangeError)
    expect(() => guarded(new MemoryStore(), options)).toThrow(`${name} must be an integer from`)
  })

  test('is as confidential as what it guards', () => {
    expect(guarded(new MemoryStore()).confidentiality).toBe('in-process')
    expect('confidentiality' in guarded(new StoreByHand())).toBe(false)
  })

  test('answers at once what is answered at once, in all operations', () => {
    const store = guarded(new MemoryStore())
    const mark = Uint8Array.of(9)
    expect(store.set([entryOf(1)])).toBeUndefined()
    expect(store.get(keyOf(1))).toEqual(VALUE)
    expect(store.take(keyOf(1))).toEqual(VALUE)
    expect(store.delete(keyOf(1))).toBeUndefined()
    expect(store.addMarks([{ mark, expiresAtMs: Number.POSITIVE_INFINITY }])).toBeUndefined()
    expect(store.getMarks()).toEqual([mark])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('asks nothing for a set of no entries', () => {
    const { inner, store } = bench()
    expect(store.set([])).toBeUndefined()
    expect(inner.asked).toEqual([])
  })

  test('rejects with what the store throws', async () => {
    const error = new SessionStoreError('full')
    const thrower = {
      ...new StoreByHand(),
      get: () => {
        throw error
      },
    }
    const events: StoreEvent[] = []
    const store = guarded(thrower, { onEvent: (event) => events.push(event) })
    await expect(store.get(keyOf(1))).rejects.toBe(error)
    expect(events).toEqual([{ type: 'call-failed', operation: 'get', error }])
    expect(store.stats.failures.get).toBe(1)
  })

  test('makes an error of what the store throws that is none', async () => {
    const { inner, store } = bench()
    const got = watch(store.get(keyOf(1)))
    inner.call(0).fail('busy')
    await soon()
    expect(got.state).toMatchObject({ code: 'ERR_SESSION_STORE', cause: 'busy' })
    expect(store.stats.failures.get).toBe(1)
  })

  test.each<[string, () => unknown]>([
    ['throws', () => expect.unreachable('a listener')],
    ['rejects', () => Promise.reject(new Error('a listener'))],
  ])('goes on when onEvent %s', async (_, onEvent) => {
    const { inner, store } = bench({ onEvent, breaker: { failures: 1 } })
    const got = watch(store.get(keyOf(1)))
    inner.call(0).fail(new SessionStoreError('down'))
    await soon()
    expect(got.state).toMatchObject({ message: 'down' })
    expect(store.stats.breaker).toBe('open')
  })
})

describe('the deadline', () => {
  const operations: readonly (readonly [keyof GuardStats['calls'], (store: SessionStore) => unknown])[] = [
    ['get', (store) => store.get(keyOf(1))],
    ['take', (store) => store.take(keyOf(1))],
    ['set', (store) => store.set([entryOf(1)])],
    ['delete', (store) => store.delete(keyOf(1))],
    ['getMarks', (store) => store.getMarks()],
    ['addMarks', (store) => store.addMarks([])],
    ['watchMarks', (store) => store.watchMarks?.(() => undefined)],
  ]

  test.each(operations)('ends a %s without an answer', async (operation, call) => {
    const { store, events } = bench()
    const called = watch(call(store))
    await pass(DEADLINE_MS - 1)
    expect(called.state).toBe('pending')
    await pass(1)
    expect(called.state).toEqual(TIMEOUT)
    expect(store.stats.timeouts[operation]).toBe(1)
    expect(store.stats.failures[operation]).toBe(0)
    expect(events).toEqual([{ type: 'call-failed', operation, error: called.state }])
  })

  test.each(operations)('leaves no timer behind a %s that was answered', async (_, call) => {
    const { inner, store } = bench()
    const called = watch(call(store))
    inner.call(0).answer()
    await soon()
    expect(called.state).not.toBe('pending')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('lets nobody hear of an answer that is late, or of a failure', async () => {
    const { inner, store, events } = bench()
    const got = [watch(store.get(keyOf(1))), watch(store.get(keyOf(2)))]
    await pass(DEADLINE_MS)
    inner.call(0).answer(VALUE)
    inner.call(1).fail()
    await soon()
    expect(got.map(({ state }) => state)).toEqual([TIMEOUT, TIMEOUT])
    expect(events).toHaveLength(2)
    expect(store.stats.pendingCalls).toBe(0)
  })

  test('gives an answer that has come while the event loop stood still one turn to be heard', async () => {
    const { inner, store } = bench()
    const got = watch(store.get(keyOf(1)))
    vi.advanceTimersByTime(DEADLINE_MS)
    inner.call(0).answer(VALUE)
    await soon()
    expect(got.state).toEqual(VALUE)
  })
})

describe('the breaker', () => {
  test('opens at the fifth failure in a row: then nothing is asked', async () => {
    const { inner, store, types } = await openBench()
    expect(types()).toEqual([])
    const refused = [
      store.get(keyOf(1)),
      store.take(keyOf(1)),
      store.getMarks(),
      store.addMarks([]),
      store.watchMarks?.(() => undefined),
    ].map(watch)
    await soon()
    expect(refused.map(({ state }) => state)).toEqual(Array(5).fill(UNAVAILABLE))
    expect(inner.asked).toEqual([])
    expect(refused[0]?.state).toMatchObject({ cause: { message: 'down' } })
  })

  test('tells why it opened, after the call that failed', async () => {
    const { inner, store, events } = bench({ breaker: { failures: 2 } })
    const error = new SessionStoreError('read only')
    watch(store.get(keyOf(1)))
    watch(store.get(keyOf(2)))
    inner.call(0).fail()
    inner.call(1).fail(error)
    await soon()
    expect(events.slice(1)).toEqual([
      { type: 'call-failed', operation: 'get', error },
      { type: 'breaker-opened', calls: 'reads', error },
    ])
  })

  test('counts failures in a row only', async () => {
    const { inner, store } = bench()
    for (let index = 0; index < 3 * FAILURES; index++) {
      watch(store.get(keyOf(index)))
      if (index % FAILURES === FAILURES - 1) inner.call(-1).answer()
      else inner.call(-1).fail()
      await soon()
    }
    expect(store.stats.breaker).toBe('closed')
    expect(store.stats.failures.get).toBe(3 * (FAILURES - 1))
  })

  test('counts timeouts, and does not count a success after its deadline as one', async () => {
    const { inner, store } = bench()
    for (let index = 0; index < FAILURES; index++) {
      expect(store.stats.breaker).toBe('closed')
      watch(store.get(keyOf(index)))
      await pass(DEADLINE_MS)
      inner.call(-1).answer(VALUE)
      await soon()
    }
    expect(store.stats.breaker).toBe('open')
  })

  test('takes a value that does not open for an answer', async () => {
    const { inner, store, events } = bench({ breaker: { failures: 1 } })
    const got = watch(store.get(keyOf(1)))
    const error = new UnopenableSessionError('sealed with an unknown key')
    inner.call(0).fail(error)
    await soon()
    expect(got.state).toBe(error)
    expect(events).toEqual([])
    expect(store.stats).toMatchObject({ breaker: 'closed', failures: { get: 0 } })
  })

  test('lets exactly one call find out when its time has come, and closes when that succeeds', async () => {
    const { inner, store, types } = await openBench()
    await pass(RETRY_MS - 1)
    const early = watch(store.get(keyOf(1)))
    await pass(1)
    const probe = watch(store.get(keyOf(2)))
    const others = [watch(store.get(keyOf(3))), watch(store.take(keyOf(2)))]
    await soon()
    expect(inner.asked).toEqual(['get 2'])
    expect([early, ...others].map(({ state }) => state)).toEqual(Array(3).fill(UNAVAILABLE))
    expect(store.stats.breakers).toEqual({ reads: 'half-open', writes: 'open', removals: 'open' })
    inner.call(0).answer(VALUE)
    await soon()
    expect(probe.state).toEqual(VALUE)
    watch(store.get(keyOf(3)))
    expect(inner.asked).toEqual(['get 2', 'get 3'])
    expect(types()).toEqual(['breaker-half-open', 'breaker-closed'])
  })

  test.each([
    ['fails', async (inner: StoreByHand) => inner.call(0).fail()],
    ['has no answer in time', async () => pass(DEADLINE_MS)],
  ])('opens for as long again when that %s', async (_, end) => {
    const { inner, store, types } = await openBench()
    await pass(RETRY_MS)
    watch(store.get(keyOf(1)))
    await end(inner)
    await soon()
    expect(store.stats.breaker).toBe('open')
    await pass(RETRY_MS - 1)
    watch(store.get(keyOf(2)))
    expect(inner.asked).toEqual(['get 1'])
    await pass(1)
    watch(store.get(keyOf(3)))
    expect(inner.asked).toEqual(['get 1', 'get 3'])
    expect(types().filter((type) => type !== 'call-failed')).toEqual([
      'breaker-half-open',
      'breaker-opened',
      'breaker-half-open',
    ])
  })

  test('is not confused by answers to calls from before it opened', async () => {
    const { inner, store } = bench({ breaker: { failures: 2 }, deadlineMs: 10_000 })
    for (let index = 0; index < 6; index++) watch(store.get(keyOf(index)))
    inner.call(0).fail()
    inner.call(1).fail()
    await soon()
    inner.call(2).answer(VALUE)
    await soon()
    expect(store.stats.breaker).toBe('open')
    await pass(RETRY_MS)
    watch(store.get(keyOf(9)))
    inner.call(3).answer(VALUE)
    inner.call(4).fail()
    await soon()
    expect(store.stats.breaker).toBe('half-open')
    inner.call(6).answer(VALUE)
    await soon()
    inner.call(5).fail()
    await soon()
    watch(store.get(keyOf(10)))
    inner.call(7).fail()
    await soon()
    expect(store.stats.breaker).toBe('closed')
  })

  test('goes by the clock it is given', async () => {
    let nowMs = 5_000
    const { inner, store } = await openBench({ now: () => nowMs })
    nowMs += RETRY_MS - 1
    watch(store.get(keyOf(1)))
    nowMs += 1
    watch(store.get(keyOf(2)))
    expect(inner.asked).toEqual(['get 2'])
  })
})

describe('close', () => {
  test('waits for what is under way and what waits, then closes the store', async () => {
    const { inner, store } = bench({ maxConcurrentWrites: 1 })
    watch(store.set([entryOf(1)]))
    watch(store.set([entryOf(2)]))
    const closed = watch(store.close())
    inner.call(0).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'set 2'])
    inner.call(1).answer()
    await soon()
    expect(inner.asked).toEqual(['set 1', 'set 2', 'close'])
    expect(closed.state).toBe('pending')
    inner.call(2).answer()
    await soon()
    expect(closed.state).toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('drops what cannot be written within the deadline', async () => {
    const { inner, store, events } = await openBench({ breaker: { retryAfterMs: 10_000 } })
    const set = watch(store.set([entryOf(1), entryOf(2)]))
    await pass(1)
    watch(store.set([entryOf(3)]))
    watch(store.close())
    await pass(DEADLINE_MS - 1)
    expect(inner.asked).toEqual([])
    await pass(1)
    expect(inner.asked).toEqual(['close'])
    expect(set.state).toEqual(TIMEOUT)
    expect(events).toContainEqual({ type: 'write-dropped', count: 3 })
    expect(store.stats).toMatchObject({ queuedWrites: 0, droppedWrites: 3 })
    expect(vi.getTimerCount()).toBe(1)
    await pass(DEADLINE_MS)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('is over at the deadline when the store does not close, and fails when that fails', async () => {
    const stuck = bench()
    const closed = watch(stuck.store.close())
    await pass(DEADLINE_MS)
    expect(closed.state).toEqual(TIMEOUT)
    const failing = bench()
    const failed = watch(failing.store.close())
    await soon()
    failing.inner.call(0).fail()
    await soon()
    expect(failed.state).toMatchObject({ message: 'down' })
  })

  test('is done once, and refuses all that comes after', async () => {
    const { inner, store } = bench()
    const closed = [store.close(), store.close()]
    expect(closed[0]).toBe(closed[1])
    const refused = [
      store.get(keyOf(1)),
      store.set([entryOf(1)]),
      store.take(keyOf(1)),
      store.delete(keyOf(1)),
      store.getMarks(),
      store.addMarks([]),
      store.watchMarks?.(() => undefined),
    ].map(watch)
    await soon()
    expect(refused.map(({ state }) => state)).toEqual(Array(7).fill(UNAVAILABLE))
    expect(inner.asked).toEqual(['close'])
    inner.call(0).answer()
    await closed[0]
  })
})

test('the stats say what was asked, by operation', async () => {
  const { inner, store } = bench()
  watch(store.get(keyOf(1)))
  watch(store.set([entryOf(2), entryOf(3)]))
  watch(store.take(keyOf(4)))
  inner.call(0).answer()
  inner.call(1).fail()
  await soon()
  expect(store.stats).toEqual({
    calls: { get: 1, set: 1, take: 1, delete: 0, getMarks: 0, addMarks: 0, watchMarks: 0 },
    failures: { get: 0, set: 1, take: 0, delete: 0, getMarks: 0, addMarks: 0, watchMarks: 0 },
    timeouts: { get: 0, set: 0, take: 0, delete: 0, getMarks: 0, addMarks: 0, watchMarks: 0 },
    sharedGets: 0,
    droppedWrites: 0,
    droppedDeletions: 0,
    queuedWrites: 0,
    queuedDeletions: 0,
    pendingCalls: 1,
    lastFailure: {
      operation: 'set',
      atMs: expect.any(Number),
      error: expect.objectContaining({ code: 'ERR_SESSION_STORE' }),
    },
    breaker: 'closed',
    breakers: { reads: 'closed', writes: 'closed', removals: 'closed' },
  })
})
