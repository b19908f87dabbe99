/** Closed: the store is asked. Open: it is not. Half open: one call finds out whether it works again. */
export type BreakerState = 'closed' | 'open' | 'half-open'

/** The breaker has changed its state; the error is the one that opened it. */
export type BreakerEvent =
  | { readonly type: 'breaker-opened'; readonly error: Error }
  | { readonly type: 'breaker-half-open' | 'breaker-closed' }

export interface CircuitBreakerOptions {
  /** How many failures in a row open it. */
  readonly failures: number
  readonly retryAfterMs: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Called after each change of the state. */
  readonly onChange: (event: BreakerEvent) => void
}

/** A counter and a time: after some failures in a row nobody calls for a while, then one call finds out for all. */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  #state: BreakerState = 'closed'
  #failures = 0
  #openedAtMs = 0
  #lastError: Error | undefined
  /** Counts the changes of the state, so that an answer to a call from before the last one is known, and ignored. */
  #era = 0

  constructor(options: CircuitBreakerOptions) {
    this.#options = options
  }

  get state(): BreakerState {
    return this.#state
  }

  get lastError(): Error | undefined {
    return this.#lastError
  }

  /** Milliseconds until a call is let through: 0 for now, undefined for when the call that probes has ended. */
  get opensInMs(): number | undefined {
    if (this.#state === 'half-open') return undefined
    if (this.#state === 'closed') return 0
    return Math.max(0, this.#openedAtMs + this.#options.retryAfterMs - this.#options.now())
  }

  /** @returns what to hand to {@link succeeded} or {@link failed}; undefined when the call must not be made */
  admit(): number | undefined {
    if (this.opensInMs !== 0) return undefined
    if (this.#state === 'open') this.#become('half-open', { type: 'breaker-half-open' })
    return this.#era
  }

  succeeded(era: number): void {
    if (era !== this.#era) return
    this.#failures = 0
    if (this.#state === 'half-open') this.#become('closed', { type: 'breaker-closed' })
  }

  failed(era: number, error: Error): void {
    if (era !== this.#era) return
    this.#lastError = error
    this.#failures++
    if (this.#state === 'closed' && this.#failures < this.#options.failures) return
    this.#openedAtMs = this.#options.now()
    this.#become('open', { type: 'breaker-opened', error })
  }

  #become(state: BreakerState, event: BreakerEvent): void {
    this.#state = state
    this.#era++
    this.#options.onChange(event)
  }
}
