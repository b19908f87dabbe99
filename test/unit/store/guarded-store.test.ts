import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test, vi } from 'vitest'
import { SessionRangeError, SessionStoreError, UnopenableSessionError } from '../../../src/errors.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../../../src/session/session-store.ts'
import { type GuardOptions, type GuardStats, guarded } from '../../../src/store/guarded-store.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import type { StoreEvent } from '../../../src/store/store-calls.ts'
import { useGuardTimers } from './guard-timers.ts'

const DEADLINE_MS = 250
const RETRY_MS = 1000
const FAILURES = 5
const VALUE = Uint8Array.of(1, 2, 3)
const TIMEOUT = expect.objectContaining({ code: 'ERR_SESSION_STORE_TIMEOUT' })
const UNAVAILABLE = expect.objectContaining({ code: 'ERR_SESSION_STORE_UNAVAILABLE' })

interface Call {
  readonly operation: string
  readonly keys: readonly number[]
  readonly argument: unknown
  answer(value?: unknown): void
  fail(error?: unknown): void
}

/** A store whose every answer is given by hand; the first byte of a key is its number. */
class StoreByHand implements SessionStore {
  readonly calls: Call[] = []

  get = (key: Uint8Array) => this.#call<Uint8Array | undefined>('get', [key], key)
  take = (key: Uint8Array) => this.#call<Uint8Array | undefined>('take', [key], key)
  delete = (key: Uint8Array) => this.#call<void>('delete', [key], key)
  set = (entries: readonly StoreEntry[]) =>
    this.#call<void>(
      'set',
      entries.map((entry) => entry.key),
      entries,
    )
  getMarks = () => this.#call<readonly Uint8Array[] | undefined>('getMarks', [], undefined)
  addMarks = (marks: readonly StoredMark[]) => this.#call<void>('addMarks', [], marks)
  watchMarks = (onMark: (mark: Uint8Array) => void) =>
    this.#call<() => Promise<void>>('watchMarks', [], onMark)
  close = () => this.#call<void>('close', [], undefined)

  /** What it has been asked, in words: `get 1`, `set 1 2`. */
  get asked(): string[] {
    return this.calls.map(({ operation, keys }) => [operation, ...keys].join(' '))
  }

  call(index: number): Call {
    const call = this.calls.at(index)
    if (call === undefined) throw new Error(`there is no call ${index} of ${this.calls.length}`)
    return call
  }

  #call<T>(operation: string, keys: readonly Uint8Array[], argument: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.calls.push({
        operation,
        keys: keys.map((key) => key[0] ?? -1),
        argument,
        answer: (value) => resolve(value as T),
        fail: (error = new SessionStoreError('down')) => reject(error),
      })
    })
  }
}

const keyOf = (number: number): Uint8Array => Uint8Array.of(number, 0xff)
const entryOf = (number: number, value = VALUE, lifeMs = 3_600_000): StoreEntry => ({
  key: keyOf(number),
  value,
  expiresAtMs: Date.now() + lifeMs,
})

/** What has become of a call so far. */
function watch(answer: unknown): { readonly state: unknown } {
  const watched = { state: 'pending' as unknown }
  Promise.resolve(answer).then(
    (value) => {
      watched.state = value
    },
    (error: unknown) => {
      watched.state = error
    },
  )
  return watched
}

/** Lets time pass, and the event loop turn. */
async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
  await setImmediate()
}
const soon = () => pass(0)

function bench(options: GuardOptions = {}) {
  const inner = new StoreByHand()
  const events: StoreEvent[] = []
  const store = guarded(inner, { onEvent: (event) => events.push(event), ...options })
  const types = () => events.map(({ type }) => type)
  return { inner, events, types, store }
}

/** A guard whose breakers have just opened, all of them. */
async function openBench(options: GuardOptions = {}) {
  const made = bench(options)
  for (let index = 0; index < FAILURES; index++) {
    for (const call of [
      () => made.store.get(keyOf(200 + index)),
      () => made.store.set([entryOf(210 + index)]),
      () => made.store.addMarks([]),
    ]) {
      const called = watch(call())
      made.inner.call(-1).fail()
      await soon()
      expect(called.state).toBeInstanceOf(SessionStoreError)
    }
  }
  expect(made.store.stats.breakers).toEqual({ reads: 'open', writes: 'open', removals: 'open' })
  made.inner.calls.length = 0
  made.events.length = 0
  return made
}

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
