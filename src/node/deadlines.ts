import { AsyncResource } from 'node:async_hooks'

/** Who hears that its time is up. */
export interface DeadlineListener {
  hearDeadline(): void
}

/** Taken back by {@link Deadlines.clear}. */
export interface Deadline {
  readonly listener: DeadlineListener
  /** On the clock of `performance`. */
  readonly dueMs: number
  earlier: Deadline | undefined
  later: Deadline | undefined
  isOver: boolean
}

/**
 * Deadlines that are all the same time away, so that they fall due in the order in which they are set: the first has a timer, the
 * others wait behind it. A timer for each would cost Node a list of timers, its place among such lists and two calls of libuv
 * whenever there is no other of that delay, which is for nearly every connection.
 */
export class Deadlines {
  readonly #delayMs: number
  #first: Deadline | undefined
  #last: Deadline | undefined
  /** It stays when its deadline is cleared: one that fires for nothing costs less than one that is stopped. */
  #timer: NodeJS.Timeout | undefined
  /** What has set the timer: whoever puts another clock in its place, in tests, may leave it standing. */
  #setTimeout: typeof setTimeout | undefined
  /** The number of the timer; one that was left standing may go on some time. */
  #alarm = 0
  /** The timer is of all of them, and keeps nothing of the connection that happens to set it. */
  readonly #resource = new AsyncResource('SSLCTX_DEADLINES')
  #isEnding = false

  /** @param delayMs - milliseconds, from the setting of each */
  constructor(delayMs: number) {
    this.#delayMs = delayMs
  }

  /** The process does not wait for it. @param nowMs - on the clock of `performance`, and not before that of an earlier one */
  set(listener: DeadlineListener, nowMs: number): Deadline {
    const earlier = this.#last
    const dueMs = nowMs + this.#delayMs
    const deadline: Deadline = { listener, dueMs, earlier, later: undefined, isOver: false }
    this.#last = deadline
    if (earlier === undefined) this.#first = deadline
    else earlier.later = deadline
    if (this.#setTimeout !== setTimeout) this.#arm(nowMs)
    return deadline
  }

  /** Once it is over, or cleared, that means nothing. */
  clear(deadline: Deadline): void {
    if (deadline.isOver) return
    deadline.isOver = true
    const { earlier, later } = deadline
    if (earlier === undefined) this.#first = later
    else earlier.later = later
    if (later === undefined) this.#last = earlier
    else later.earlier = earlier
    // Whoever keeps this one keeps no others.
    deadline.earlier = undefined
    deadline.later = undefined
    if (this.#isEnding) this.end()
  }

  /** None is set any more: the timer goes with the last one. */
  end(): void {
    this.#isEnding = true
    if (this.#first === undefined) clearTimeout(this.#timer)
  }

  /** For the first deadline, if there is one. */
  #arm(nowMs: number): void {
    const first = this.#first
    this.#setTimeout = first && setTimeout
    if (first === undefined) return
    // It may have fallen due while another was heard.
    const delayMs = Math.max(1, Math.round(first.dueMs - nowMs))
    this.#timer = this.#resource.runInAsyncScope(setTimeout, undefined, this.#expire, delayMs, ++this.#alarm)
    this.#timer.unref()
  }

  readonly #expire = (alarm: number): void => {
    if (alarm !== this.#alarm) return
    const nowMs = performance.now()
    try {
      // Timers count whole milliseconds of a clock that is read once a turn.
      for (let first = this.#first; first !== undefined && first.dueMs < nowMs + 1; first = this.#first) {
        this.clear(first)
        first.listener.hearDeadline()
      }
    } finally {
      // Also when one of them has thrown, or has led to another.
      this.#arm(performance.now())
    }
  }
}
