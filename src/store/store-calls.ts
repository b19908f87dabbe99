import { channel } from 'node:diagnostics_channel'
import { SessionStoreError, UnopenableSessionError } from '../errors.ts'
import { type Awaitable, callListener, isPromiseLike } from '../session/awaitable.ts'
import { type BreakerEvent, type BreakerState, CircuitBreaker } from './circuit-breaker.ts'

/** The calls of a `SessionStore`, `close` left out. */
export type StoreOperation = 'get' | 'set' | 'take' | 'delete' | 'getMarks' | 'addMarks' | 'watchMarks'

/**
 * What is judged apart, each with a breaker of its own: an engine may be full, or read-only, and go on answering.
 * - `reads`: `get`, `take`, `getMarks`, `watchMarks`
 * - `writes`: `set`
 * - `removals`: `delete` and `addMarks`, which a full engine may still take
 */
export type CallKind = 'reads' | 'writes' | 'removals'

/** Something happened to the store. The errors are the store's own, or say that it did not answer. */
export type StoreEvent =
  | (BreakerEvent & { readonly calls: CallKind })
  | { readonly type: 'call-failed'; readonly operation: StoreOperation; readonly error: Error }
  /** Sets that were never made: the queue was full, they expired in it, or the store was closed first. */
  | { readonly type: 'write-dropped'; readonly count: number }
  /** Deletions that are given up: too many wait, or the store was closed first. What they were to delete may be found again. */
  | { readonly type: 'deletion-dropped'; readonly count: number }

/** A call has its result: what `sslctx:store-call` of `node:diagnostics_channel` carries. */
export interface StoreCall {
  readonly store: string
  readonly operation: StoreOperation
  readonly durationMs: number
  /** Undefined for an answer, be it a miss. */
  readonly error: Error | undefined
}

/** What `sslctx:store-event` carries. */
export interface NamedStoreEvent {
  readonly store: string
  readonly event: StoreEvent
}

const callChannel = channel('sslctx:store-call')
const eventChannel = channel('sslctx:store-event')

/** The last call that threw, rejected, or had no answer in time. */
export interface StoreFailure {
  readonly operation: StoreOperation
  readonly error: Error
  /** Milliseconds since the epoch. */
  readonly atMs: number
}

/** What the store was asked, and how often that came to nothing; without the calls that were not made. */
export interface CallCounts {
  readonly calls: Readonly<Record<StoreOperation, number>>
  /** Calls that threw or rejected in time. */
  readonly failures: Readonly<Record<StoreOperation, number>>
  /** Calls without an answer at their deadline. */
  readonly timeouts: Readonly<Record<StoreOperation, number>>
}

/**
 * How many answers a store may owe. It bounds what a store can pile up that never answers: after their deadline nobody waits
 * for them, but the store still holds what it was given.
 */
export const MAX_UNANSWERED = 10_000

export interface StoreCallsOptions {
  readonly name: string
  readonly deadlineMs: number
  readonly failures: number
  readonly retryAfterMs: number
  readonly now: () => number
  readonly onEvent: ((event: StoreEvent) => void) | undefined
  /** Called when the store may be asked again, or no more. */
  readonly onAvailability: () => void
}

export interface CallTerms {
  readonly deadlineMs?: number
  /** The store has answered, be it after the deadline: what it was asked to do is not going to happen any more. */
  readonly onAnswer?: () => void
  /** The call has its result: an answer, an error, or none in time. */
  readonly onResult?: (error?: Error) => void
}

export const CALL_KINDS: readonly CallKind[] = ['reads', 'writes', 'removals']

const KIND_OF: Readonly<Record<StoreOperation, CallKind>> = {
  get: 'reads',
  take: 'reads',
  getMarks: 'reads',
  watchMarks: 'reads',
  set: 'writes',
  delete: 'removals',
  addMarks: 'removals',
}

/** All calls of a store, each in time, and none while its kind is known to fail. */
export class StoreCalls {
  readonly #options: StoreCallsOptions
  readonly #breakers: Readonly<Record<CallKind, CircuitBreaker>>
  readonly #counts = { calls: zeros(), failures: zeros(), timeouts: zeros() }
  #unanswered = 0
  #lastFailure: StoreFailure | undefined

  constructor(options: StoreCallsOptions) {
    this.#options = options
    this.#breakers = {
      reads: this.#newBreaker('reads'),
      writes: this.#newBreaker('writes'),
      removals: this.#newBreaker('removals'),
    }
  }

  #newBreaker(calls: CallKind): CircuitBreaker {
    const { failures, retryAfterMs, now, onAvailability } = this.#options
    const onChange = (event: BreakerEvent): void => {
      this.tell({ ...event, calls })
      onAvailability()
    }
    return new CircuitBreaker({ failures, retryAfterMs, now, onChange })
  }

  get counts(): CallCounts {
    const { calls, failures, timeouts } = this.#counts
    return { calls: { ...calls }, failures: { ...failures }, timeouts: { ...timeouts } }
  }

  get lastFailure(): StoreFailure | undefined {
    return this.#lastFailure
  }

  get unanswered(): number {
    return this.#unanswered
  }

  breakerState(kind: CallKind): BreakerState {
    return this.#breakers[kind].state
  }

  breakerOpensInMs(kind: CallKind): number | undefined {
    return this.#breakers[kind].opensInMs
  }

  isAvailable(kind: CallKind): boolean {
    return this.#unanswered < MAX_UNANSWERED && this.#breakers[kind].opensInMs === 0
  }

  /**
   * Asks the store. What it answers at once is answered at once; it never throws.
   *
   * @throws (rejects) what `call` throws or rejects with; {@link SessionStoreError} ERR_SESSION_STORE_TIMEOUT at the deadline,
   *   ERR_SESSION_STORE_UNAVAILABLE when the call is not made
   */
  ask<T>(operation: StoreOperation, call: () => Awaitable<T>, terms: CallTerms = {}): Awaitable<T> {
    const breaker = this.#breakers[KIND_OF[operation]]
    const era = this.#unanswered < MAX_UNANSWERED ? breaker.admit() : undefined
    if (era === undefined) return refused(terms, this.#unavailable(KIND_OF[operation]))
    this.#counts.calls[operation]++
    const publish = this.#publisher(operation)
    const onResult = (error?: Error): void => {
      publish?.(error)
      if (error !== undefined && !(error instanceof UnopenableSessionError)) this.#count(operation, error)
      if (error === undefined || isAnswer(operation, error)) breaker.succeeded(era)
      else breaker.failed(era, error)
      terms.onResult?.(error)
    }
    let answer: Awaitable<T>
    try {
      answer = call()
    } catch (thrown) {
      return refused({ ...terms, onResult }, asError(thrown))
    }
    if (isPromiseLike(answer)) return this.#awaitAnswer(operation, answer, { ...terms, onResult })
    terms.onAnswer?.()
    onResult()
    return answer
  }

  /** Nothing when nobody listens. */
  #publisher(operation: StoreOperation): ((error?: Error) => void) | undefined {
    if (!callChannel.hasSubscribers) return undefined
    const { name: store, now } = this.#options
    const startedMs = now()
    return (error) =>
      callChannel.publish({ store, operation, durationMs: now() - startedMs, error } satisfies StoreCall)
  }

  tell(event: StoreEvent): void {
    if (eventChannel.hasSubscribers)
      eventChannel.publish({ store: this.#options.name, event } satisfies NamedStoreEvent)
    // A listener's own trouble is nobody else's.
    callListener(
      () => this.#options.onEvent?.(event),
      () => undefined,
    )
  }

  #awaitAnswer<T>(operation: StoreOperation, answer: PromiseLike<T>, terms: CallTerms): Promise<T> {
    const { deadlineMs = this.#options.deadlineMs, onResult, onAnswer } = terms
    this.#unanswered++
    return inTime(answer, {
      deadlineMs,
      what: `${operation} of the session store`,
      ...(onResult && { onResult }),
      onAnswer: () => {
        this.#unanswered--
        onAnswer?.()
        if (this.#unanswered === MAX_UNANSWERED - 1) this.#options.onAvailability()
      },
    })
  }

  #count(operation: StoreOperation, error: Error): void {
    this.#counts[isTimeout(error) ? 'timeouts' : 'failures'][operation]++
    this.#lastFailure = { operation, error, atMs: Date.now() }
    this.tell({ type: 'call-failed', operation, error })
  }

  #unavailable(kind: CallKind): SessionStoreError {
    const { state, lastError } = this.#breakers[kind]
    return state === 'closed'
      ? unavailable(`the session store owes ${this.#unanswered} answers`)
      : unavailable(
          `the session store has failed and is not asked, its breaker of ${kind} is ${state}`,
          lastError,
        )
  }
}

interface Deadline extends CallTerms {
  readonly deadlineMs: number
  /** Whose answer it is, for the error. */
  readonly what: string
  /** Whether the process stays for it; true by default. */
  readonly holdsProcess?: boolean
}

/** The answer, or ERR_SESSION_STORE_TIMEOUT; then a late one is ignored. */
export function inTime<T>(
  answer: PromiseLike<T>,
  { deadlineMs, what, onResult, onAnswer, holdsProcess = true }: Deadline,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const end = (error: Error | undefined, settle: () => void): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      onResult?.(error)
      settle()
    }
    const fail = (error: Error): void => end(error, () => reject(error))
    // After a stall of the event loop timers come before the answers that have been there for long: one more turn for those.
    const timer = setTimeout(() => setImmediate(() => fail(timedOut(what, deadlineMs))), deadlineMs)
    if (!holdsProcess) timer.unref()
    Promise.resolve(answer).then(
      (value) => {
        onAnswer?.()
        end(undefined, () => resolve(value))
      },
      (thrown: unknown) => {
        onAnswer?.()
        fail(asError(thrown))
      },
    )
  })
}

export function unavailable(message: string, cause?: Error): SessionStoreError {
  return new SessionStoreError(message, { code: 'ERR_SESSION_STORE_UNAVAILABLE', ...(cause && { cause }) })
}

export function timedOut(what: string, deadlineMs: number): SessionStoreError {
  return new SessionStoreError(`${what} took longer than ${deadlineMs} ms`, {
    code: 'ERR_SESSION_STORE_TIMEOUT',
  })
}

/**
 * Whether an error says nothing against those calls: a value that does not open was there, and an engine that refuses to
 * delete what is taken goes on answering gets.
 */
function isAnswer(operation: StoreOperation, error: Error): boolean {
  if (error instanceof UnopenableSessionError) return true
  return operation === 'take' && error instanceof SessionStoreError && error.isRefusal
}

export function deletionDropped(why: string): SessionStoreError {
  return new SessionStoreError(`${why}: what was to be deleted may still be there`, {
    code: 'ERR_SESSION_STORE_DELETION_DROPPED',
  })
}

function isTimeout(error: Error): boolean {
  return error instanceof SessionStoreError && error.code === 'ERR_SESSION_STORE_TIMEOUT'
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new SessionStoreError('the session store failed', { cause: thrown })
}

function refused({ onResult, onAnswer }: CallTerms, error: Error): Promise<never> {
  onAnswer?.()
  onResult?.(error)
  return Promise.reject(error)
}

function zeros(): Record<StoreOperation, number> {
  return { get: 0, set: 0, take: 0, delete: 0, getMarks: 0, addMarks: 0, watchMarks: 0 }
}
