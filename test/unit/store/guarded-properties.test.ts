import { setImmediate } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { guarded } from '../../../src/store/guarded-store.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import fc from '../../tools/fast-check.ts'
import { useGuardTimers } from './guard-timers.ts'

const DEADLINE_MS = 20
const MAX_QUEUED = 2

/** What an engine makes of one call: it does it or not, some time after it was asked, and answers later still, or never. */
interface Fate {
  readonly doneAfterMs: number
  readonly isDone: boolean
  readonly answerAfterMs: number
  readonly answer: 'success' | 'error' | 'never'
}

interface Step {
  readonly operation: 'get' | 'set' | 'take' | 'delete' | 'take by another process'
  readonly key: number
  readonly waitMs: number
}

const fates: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 6, arbitrary: fc.record(timesOf(3, { isDone: [true], answer: ['success'] })) },
  {
    weight: 2,
    arbitrary: fc.record(timesOf(40, { isDone: [true, false], answer: ['error', 'never'] })),
  },
  { weight: 1, arbitrary: fc.record(timesOf(40, { isDone: [true], answer: ['success'] })) },
)
const steps: fc.Arbitrary<Step> = fc.record({
  operation: fc.constantFrom('get', 'set', 'set', 'take', 'delete', 'take by another process'),
  key: fc.nat(2),
  waitMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(30) }),
})

function timesOf<A extends Fate['answer']>(
  maxMs: number,
  { isDone, answer }: { isDone: boolean[]; answer: A[] },
) {
  return {
    doneAfterMs: fc.nat(maxMs),
    answerAfterMs: fc.nat(maxMs),
    isDone: fc.constantFrom(...isDone),
    answer: fc.constantFrom(...answer),
  }
}

function engine(memory: MemoryStore, nextFate: () => Fate): SessionStore {
  const call = <T>(perform: () => T): Promise<T> => {
    const { doneAfterMs, isDone, answerAfterMs, answer } = nextFate()
    return new Promise<T>((resolve, reject) => {
      setTimeout(() => {
        const result = isDone ? perform() : undefined
        if (answer === 'never') return
        setTimeout(() => {
          if (answer === 'error') reject(new SessionStoreError('down'))
          else resolve(result as T)
        }, answerAfterMs)
      }, doneAfterMs)
    })
  }
  return {
    get: (key) => call(() => memory.get(key)),
    set: (entries) => call(() => memory.set(entries)),
    take: (key) => call(() => memory.take(key)),
    delete: (key) => call(() => memory.delete(key)),
    getMarks: async () => call(() => memory.getMarks()),
    addMarks: (marks) => call(() => memory.addMarks(marks)),
    close: () => undefined,
  }
}

/** What must hold of the answers, whatever the engine does; a value is the number of the step that set it. */
class Witness {
  readonly taken: number[] = []
  readonly wrong: string[] = []
  readonly #keyOfValue: number[] = []
  /** Values that no call which begins now may see. */
  readonly #gone: Set<number> = new Set()
  /** Values that only a get may see that shares a call from before. */
  readonly #takenElsewhere: Set<number> = new Set()
  /** By key: what had been taken elsewhere when the call began that is shared. */
  readonly #takenBeforeGet: Map<number, ReadonlySet<number>> = new Map()

  set(key: number, value: number): void {
    this.#keyOfValue[value] = key
  }

  /** @returns what to do when the answer comes */
  get(key: number, isShared: boolean): (answer: Uint8Array | undefined) => void {
    if (!isShared) this.#takenBeforeGet.set(key, new Set(this.#takenElsewhere))
    const gone = new Set([...this.#gone, ...(this.#takenBeforeGet.get(key) ?? [])])
    return (answer) => this.#check('get', key, answer, gone)
  }

  /** @returns what to do when the answer comes */
  take(key: number, nowGone: Set<number> = this.#gone): (answer: Uint8Array | undefined) => void {
    const gone = new Set([...this.#gone, ...this.#takenElsewhere])
    return (answer) => {
      this.#check('take', key, answer, gone)
      const value = answer?.[0]
      if (value === undefined) return
      if (this.taken.includes(value)) this.wrong.push(`${value} was taken twice`)
      this.taken.push(value)
      nowGone.add(value)
    }
  }

  takeElsewhere(key: number): (answer: Uint8Array | undefined) => void {
    return this.take(key, this.#takenElsewhere)
  }

  #check(operation: string, key: number, answer: Uint8Array | undefined, gone: ReadonlySet<number>): void {
    const value = answer?.[0]
    if (value === undefined) return
    if (this.#keyOfValue[value] !== key) this.wrong.push(`${operation} ${key} gave ${value} of another key`)
    if (gone.has(value)) this.wrong.push(`${operation} ${key} gave ${value}, which was gone`)
  }

  delete(key: number): () => void {
    const before = this.#keyOfValue.flatMap((owner, value) => (owner === key ? [value] : []))
    return () => {
      for (const value of before) this.#gone.add(value)
    }
  }
}

async function run(plan: readonly Step[], fate: readonly Fate[]): Promise<Witness & { seen: number }> {
  const memory = new MemoryStore()
  const witness = Object.assign(new Witness(), { seen: 0 })
  let calls = 0
  const store = guarded(
    engine(memory, () => fate[calls++ % fate.length] as Fate),
    {
      deadlineMs: DEADLINE_MS,
      breaker: { failures: 2, retryAfterMs: 30 },
      maxConcurrentWrites: 2,
      maxQueuedSessions: MAX_QUEUED,
    },
  )
  let unsettled = 0
  const watch = <T>(answer: PromiseLike<T> | T, heard: (answer: T) => void): void => {
    const startedAtMs = performance.now()
    unsettled++
    const settled = (): void => {
      unsettled--
      const tookMs = performance.now() - startedAtMs
      if (tookMs > DEADLINE_MS + 1) witness.wrong.push(`an answer took ${tookMs} ms`)
    }
    Promise.resolve(answer).then(
      (value) => {
        settled()
        witness.seen++
        heard(value)
      },
      (error: SessionStoreError) => {
        settled()
        if (!error.code.startsWith('ERR_SESSION_STORE')) witness.wrong.push(error.code)
      },
    )
  }
  for (const [value, { operation, key, waitMs }] of plan.entries()) {
    const bytes = Uint8Array.of(key)
    if (operation === 'set') {
      witness.set(key, value)
      const entry = { key: bytes, value: Uint8Array.of(value), expiresAtMs: Number.POSITIVE_INFINITY }
      watch(store.set([entry]), () => undefined)
    } else if (operation === 'delete') watch(store.delete(bytes), witness.delete(key))
    else if (operation === 'get') {
      const { sharedGets } = store.stats
      const answer = store.get(bytes)
      watch(answer, witness.get(key, store.stats.sharedGets > sharedGets))
    } else if (operation === 'take') watch(store.take(bytes), witness.take(key))
    else witness.takeElsewhere(key)(memory.take(bytes))
    const { queuedWrites, queuedDeletions } = store.stats
    if (queuedWrites - queuedDeletions > MAX_QUEUED) witness.wrong.push(`${queuedWrites} writes wait`)
    await vi.advanceTimersByTimeAsync(waitMs)
    if (waitMs > 0) await setImmediate()
  }
  await vi.advanceTimersByTimeAsync(DEADLINE_MS)
  await setImmediate()
  if (unsettled > 0) witness.wrong.push(`${unsettled} calls have not settled`)
  await vi.advanceTimersByTimeAsync(1000)
  return witness
}

useGuardTimers()

test('whatever an engine does: takes are final, what was deleted stays so, all calls end in time, the queue is bounded', async () => {
  let [seen, taken] = [0, 0]
  await fc.assert(
    fc.asyncProperty(
      fc.array(steps, { minLength: 10, maxLength: 60 }),
      fc.array(fates, { minLength: 10, maxLength: 60 }),
      async (plan, fate) => {
        const witness = await run(plan, fate)
        expect(witness.wrong).toEqual([])
        seen += witness.seen
        taken += witness.taken.length
      },
    ),
    { numRuns: 200 },
  )
  expect(seen).toBeGreaterThan(1000)
  expect(taken).toBeGreaterThan(100)
}, 120_000)
