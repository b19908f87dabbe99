import {
  A_FUNCTION,
  A_STRING,
  CHECKED_LATER,
  checkMethods,
  checkOptions,
  type OptionRule,
} from '../session/arguments.ts'
import { type Awaitable, andThen, isPromiseLike } from '../session/awaitable.ts'
import { copyBytes } from '../session/bytes.ts'
import { checkInteger } from '../session/ranges.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import type { BreakerState } from './circuit-breaker.ts'
import { checkEntries, checkKey, checkMarks, checkWatcher } from './store-arguments.ts'
import {
  type CallCounts,
  type CallKind,
  inTime,
  StoreCalls,
  type StoreEvent,
  type StoreFailure,
  timedOut,
  unavailable,
} from './store-calls.ts'
import { pendingValue, WriteQueue } from './write-queue.ts'

/** The limits of {@link guarded}. */
export interface GuardOptions {
  /** What the store is called in events and metrics; `store` by default. */
  readonly name?: string | undefined
  /** Milliseconds after which a call has failed, 1 to 2147483647; 250 by default. */
  readonly deadlineMs?: number | undefined
  readonly breaker?:
    | {
        /** How many calls of a kind fail in a row before no more of that kind are made, 1 to 2147483647; 5 by default. */
        readonly failures?: number | undefined
        /** Milliseconds until one call finds out whether it works again, 1 to 2147483647; 1000 by default. */
        readonly retryAfterMs?: number | undefined
      }
    | undefined
  /** Calls of `set` and `delete`, 1 to 10000; 64 by default. Beyond these, writes wait. */
  readonly maxConcurrentWrites?: number | undefined
  /**
   * Sessions that wait to be written, 1 to 1000000; 1000 by default. Beyond these, the oldest is dropped. Deletions have a bound
   * of their own, 10000.
   */
  readonly maxQueuedSessions?: number | undefined
  /** Monotonic milliseconds; `performance.now` by default. */
  readonly now?: (() => number) | undefined
  /** Hears what goes wrong. What it throws is ignored. */
  readonly onEvent?: ((event: StoreEvent) => void) | undefined
}

/** A moment's view; counters only grow. */
export interface GuardStats extends CallCounts {
  /** Gets that shared the call of another. */
  readonly sharedGets: number
  /** Writes that were never made, deletions included. */
  readonly droppedWrites: number
  /** Deletions among them: what they were to delete may be found again. */
  readonly droppedDeletions: number
  /** Writes that wait, deletions included. */
  readonly queuedWrites: number
  /** Deletions among them. */
  readonly queuedDeletions: number
  /** Calls that the store has not answered, be it after their deadline. */
  readonly pendingCalls: number
  /** That of the kind which is worst off. */
  readonly breaker: BreakerState
  readonly breakers: Readonly<Record<CallKind, BreakerState>>
  /** Undefined as long as all goes well. */
  readonly lastFailure: StoreFailure | undefined
}

export interface GuardedStore extends SessionStore {
  /** What it is called in events and metrics. */
  readonly name: string
  readonly stats: GuardStats
}

const MAX_INT32 = 2 ** 31 - 1
const STORE_METHODS = ['get', 'set', 'take', 'delete', 'getMarks', 'addMarks', 'close']
const RULES: Readonly<Record<keyof GuardOptions, OptionRule>> = {
  name: A_STRING,
  deadlineMs: CHECKED_LATER,
  breaker: CHECKED_LATER,
  maxConcurrentWrites: CHECKED_LATER,
  maxQueuedSessions: CHECKED_LATER,
  now: A_FUNCTION,
  onEvent: A_FUNCTION,
}
const BREAKER_RULES = { failures: CHECKED_LATER, retryAfterMs: CHECKED_LATER }

/**
 * A store that is never in the way: one that is slow, dead or full costs misses and events, and neither time nor memory without
 * bound. No call of it throws but for an argument that is wrong, and each settles within `deadlineMs`: with the store's own error, with
 * ERR_SESSION_STORE_TIMEOUT, or with ERR_SESSION_STORE_UNAVAILABLE when the store was not asked.
 *
 * - Equal gets at the same time share one call, so that a get may still see what another process has taken or deleted while
 *   that call was under way. A take never shares one; a take that is cut by the deadline is lost, and not tried again.
 * - A write that cannot be made at once waits, also after its caller has been told ERR_SESSION_STORE_TIMEOUT. Until it is made,
 *   this process sees the store as if it had been. Writes of one key are made in order. No set is made twice; a deletion is, until
 *   the store has done it.
 * - Reads, writes and removals are judged apart: a store that is full goes on answering. While one kind fails the others go on.
 * - Sets are dropped before deletions. A deletion that has to be given up says so: ERR_SESSION_STORE_DELETION_DROPPED, and the event
 *   `deletion-dropped`.
 * - A store that does not answer 10,000 calls is not asked until it has answered some.
 *
 * @param store - belongs to the guard, which closes it
 * @throws {@link SessionRangeError} for an option out of its range; {@link ArgumentError} for what is no store, and an unknown option
 *
 * @example
 * ```ts
 * const store = guarded(openMyStore('shop'), { name: 'sessions', deadlineMs: 100 })
 * console.log(store.stats.breaker, store.stats.queuedWrites)
 * ```
 */
export function guarded(store: SessionStore, options: GuardOptions = {}): GuardedStore {
  return new Guard(store, options)
}

/** Whether it is what {@link guarded} returned. */
export function isGuarded(store: SessionStore): store is GuardedStore {
  return store instanceof Guard
}

/** Those that begin before a change of their key has its result may share; what begins after that must not hear from before. */
interface SharedGet {
  readonly answer: PromiseLike<Uint8Array | undefined>
  isShared: boolean
}

class Guard implements GuardedStore {
  readonly name: string
  declare readonly confidentiality?: 'in-process' | 'sealed'
  declare readonly watchMarks?: NonNullable<SessionStore['watchMarks']>
  readonly #store: SessionStore
  readonly #calls: StoreCalls
  readonly #writes: WriteQueue
  readonly #gets: Map<string, SharedGet> = new Map()
  readonly #deadlineMs: number
  readonly #now: () => number
  #sharedGets = 0
  #closed: Promise<void> | undefined

  constructor(store: SessionStore, options: GuardOptions) {
    checkMethods('the store of guarded', store, STORE_METHODS, 'a SessionStore')
    checkOptions('guarded', options, RULES)
    if (options.breaker !== undefined) checkOptions('the breaker of guarded', options.breaker, BREAKER_RULES)
    const { name = 'store', breaker = {}, now = () => performance.now(), onEvent } = options
    const { deadlineMs = 250, maxConcurrentWrites = 64, maxQueuedSessions = 1000 } = options
    const { failures = 5, retryAfterMs = 1000 } = breaker
    this.name = name
    this.#store = store
    this.#now = now
    this.#deadlineMs = checkInteger('deadlineMs', deadlineMs, MAX_INT32, 1)
    this.#calls = new StoreCalls({
      name,
      deadlineMs: this.#deadlineMs,
      failures: checkInteger('breaker.failures', failures, MAX_INT32, 1),
      retryAfterMs: checkInteger('breaker.retryAfterMs', retryAfterMs, MAX_INT32, 1),
      now,
      onEvent,
      onAvailability: () => this.#writes.drain(),
    })
    this.#writes = new WriteQueue(store, this.#calls, {
      deadlineMs: this.#deadlineMs,
      maxConcurrentWrites: checkInteger('maxConcurrentWrites', maxConcurrentWrites, 10_000, 1),
      maxQueuedSessions: checkInteger('maxQueuedSessions', maxQueuedSessions, 1_000_000, 1),
      onResult: (name) => this.#gets.delete(name),
    })
    if (store.confidentiality !== undefined) this.confidentiality = store.confidentiality
    if (store.watchMarks !== undefined) this.watchMarks = (onMark) => this.#watchMarks(onMark)
  }

  get stats(): GuardStats {
    const breakers = {
      reads: this.#calls.breakerState('reads'),
      writes: this.#calls.breakerState('writes'),
      removals: this.#calls.breakerState('removals'),
    }
    return {
      ...this.#calls.counts,
      sharedGets: this.#sharedGets,
      droppedWrites: this.#writes.dropped,
      droppedDeletions: this.#writes.droppedDeletions,
      queuedWrites: this.#writes.size,
      queuedDeletions: this.#writes.queuedDeletions,
      pendingCalls: this.#calls.unanswered,
      breaker: worstOf(Object.values(breakers)),
      breakers,
      lastFailure: this.#calls.lastFailure,
    }
  }

  get(key: Uint8Array): Awaitable<Uint8Array | undefined> {
    checkKey(key)
    return this.#closed ? refusedByClosed() : this.#getIn(this.#deadlineMs, byteKey(key), key)
  }

  set(entries: readonly StoreEntry[]): Awaitable<void> {
    checkEntries(entries)
    return this.#closed ? refusedByClosed() : this.#writes.set(entries)
  }

  take(key: Uint8Array): Awaitable<Uint8Array | undefined> {
    checkKey(key)
    return this.#closed ? refusedByClosed() : this.#takeIn(this.#deadlineMs, byteKey(key), key)
  }

  delete(key: Uint8Array): Awaitable<void> {
    checkKey(key)
    return this.#closed ? refusedByClosed() : this.#writes.delete(key)
  }

  getMarks(): Awaitable<readonly Uint8Array[] | undefined> {
    return this.#closed ? refusedByClosed() : this.#calls.ask('getMarks', () => this.#store.getMarks())
  }

  addMarks(marks: readonly StoredMark[]): Awaitable<void> {
    checkMarks(marks)
    return this.#closed ? refusedByClosed() : this.#calls.ask('addMarks', () => this.#store.addMarks(marks))
  }

  /** Waits for what is being written and what waits, then closes the store; each for no longer than the deadline. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #getIn(leftMs: number, name: string, key: Uint8Array): Awaitable<Uint8Array | undefined> {
    const write = this.#writes.pending(name)
    if (write !== undefined) return pendingValue(write)
    const replaced = this.#writes.replaced(name, leftMs)
    if (replaced !== undefined) return this.#after(replaced, leftMs, (ms) => this.#getIn(ms, name, key))
    const startedMs = this.#now()
    const answer =
      // Others have more time than one that has waited.
      leftMs < this.#deadlineMs
        ? this.#calls.ask('get', () => this.#store.get(key), { deadlineMs: leftMs })
        : this.#getShared(name, key)
    return andThen(
      answer,
      (value) => value ?? this.#getWritten(leftMs - (this.#now() - startedMs), name, key),
    )
  }

  /** An engine may show only what is committed, as LMDB: where a set is under way, its answer counts once that is done. */
  #getWritten(leftMs: number, name: string, key: Uint8Array): Awaitable<Uint8Array | undefined> {
    const written = leftMs >= 1 ? this.#writes.written(name, Math.floor(leftMs)) : undefined
    return written && this.#after(written, Math.floor(leftMs), (ms) => this.#getIn(ms, name, key))
  }

  #takeIn(leftMs: number, name: string, key: Uint8Array): Awaitable<Uint8Array | undefined> {
    const write = this.#writes.pending(name)
    if (write !== undefined) return this.#writes.take(write)
    const written = this.#writes.written(name, leftMs)
    if (written !== undefined) return this.#after(written, leftMs, (ms) => this.#takeIn(ms, name, key))
    const onResult = (): boolean => this.#gets.delete(name)
    return this.#calls.ask('take', () => this.#store.take(key), { deadlineMs: leftMs, onResult })
  }

  /** A take that was cut off after its engine had done it would have lost the session: without time it is not asked at all. */
  async #after<T>(write: Promise<void>, leftMs: number, ask: (leftMs: number) => Awaitable<T>): Promise<T> {
    const startedMs = this.#now()
    await write
    const nowLeftMs = Math.ceil(leftMs - (this.#now() - startedMs))
    if (nowLeftMs <= 0) throw timedOut('writing to the session store', this.#deadlineMs)
    return ask(nowLeftMs)
  }

  #getShared(name: string, key: Uint8Array): Awaitable<Uint8Array | undefined> {
    const other = this.#gets.get(name)
    if (other !== undefined) {
      this.#sharedGets++
      other.isShared = true
      return answerOf(other)
    }
    const answer = this.#calls.ask('get', () => this.#store.get(key))
    if (!isPromiseLike(answer)) return answer
    const get: SharedGet = { answer, isShared: false }
    const forget = (): boolean => this.#gets.delete(name)
    this.#gets.set(name, get)
    answer.then(forget, forget)
    return answerOf(get)
  }

  #watchMarks(onMark: (mark: Uint8Array) => void): Awaitable<() => Awaitable<void>> {
    checkWatcher(onMark)
    if (this.#closed) return refusedByClosed()
    let isTooLate = false
    const watch = (): Awaitable<() => Awaitable<void>> =>
      andThen(this.#store.watchMarks?.(onMark) ?? (() => undefined), (end) =>
        isTooLate ? andThen(end(), () => end) : () => this.#inTime('ending a watch', end()),
      )
    const onResult = (error?: Error): void => {
      isTooLate = error !== undefined
    }
    return this.#calls.ask('watchMarks', watch, { onResult })
  }

  async #close(): Promise<void> {
    await this.#writes.close()
    await this.#inTime('closing the session store', this.#store.close())
  }

  #inTime(what: string, answer: Awaitable<void>): Awaitable<void> {
    return isPromiseLike(answer) ? inTime(answer, { what, deadlineMs: this.#deadlineMs }) : answer
  }
}

function worstOf(states: readonly BreakerState[]): BreakerState {
  if (states.includes('open')) return 'open'
  return states.includes('half-open') ? 'half-open' : 'closed'
}

/** Each has bytes of its own. */
function answerOf(get: SharedGet): PromiseLike<Uint8Array | undefined> {
  return get.answer.then((value) => (value !== undefined && get.isShared ? copyBytes(value) : value))
}

function refusedByClosed(): Promise<never> {
  return Promise.reject(unavailable('the session store is closed'))
}
