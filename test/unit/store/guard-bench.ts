import { setImmediate } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../../../src/session/session-store.ts'
import { type GuardOptions, guarded } from '../../../src/store/guarded-store.ts'
import type { StoreEvent } from '../../../src/store/store-calls.ts'

export const DEADLINE_MS = 250
export const RETRY_MS = 1000
export const FAILURES = 5
export const VALUE = Uint8Array.of(1, 2, 3)
export const TIMEOUT = expect.objectContaining({ code: 'ERR_SESSION_STORE_TIMEOUT' })
export const UNAVAILABLE = expect.objectContaining({ code: 'ERR_SESSION_STORE_UNAVAILABLE' })

interface Call {
  readonly operation: string
  readonly keys: readonly number[]
  readonly argument: unknown
  answer(value?: unknown): void
  fail(error?: unknown): void
}

/** A store whose every answer is given by hand; the first byte of a key is its number. */
export class StoreByHand implements SessionStore {
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

export const keyOf = (number: number): Uint8Array => Uint8Array.of(number, 0xff)

export const entryOf = (number: number, value = VALUE, lifeMs = 3_600_000): StoreEntry => ({
  key: keyOf(number),
  value,
  expiresAtMs: Date.now() + lifeMs,
})

/** What has become of a call so far. */
export function watch(answer: unknown): { readonly state: unknown } {
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
export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
  await setImmediate()
}

export const soon = () => pass(0)

export function bench(options: GuardOptions = {}) {
  const inner = new StoreByHand()
  const events: StoreEvent[] = []
  const store = guarded(inner, { onEvent: (event) => events.push(event), ...options })
  const types = () => events.map(({ type }) => type)
  return { inner, events, types, store }
}

/** A guard whose breakers have just opened, all of them. */
export async function openBench(options: GuardOptions = {}) {
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
