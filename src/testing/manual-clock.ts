import { checkMilliseconds } from '../session/ranges.ts'

/** A clock that stands still until it is moved: milliseconds since the epoch, for `now` of contexts and stores. */
export class ManualClock {
  #nowMs: number

  /**
   * @param nowMs - where it begins, 2026-01-01 by default
   * @throws `SessionRangeError` for what is no time
   */
  constructor(nowMs: number = Date.UTC(2026, 0, 1)) {
    checkMilliseconds('the time of a ManualClock', nowMs)
    this.#nowMs = nowMs
  }

  readonly now = (): number => this.#nowMs

  /**
   * @param ms - may be negative: clocks are set back, too
   * @throws `SessionRangeError` for what leads to no time
   */
  advance(ms: number): void {
    const nowMs = typeof ms === 'number' ? this.#nowMs + ms : Number.NaN
    checkMilliseconds('the time of a ManualClock', nowMs)
    this.#nowMs = nowMs
  }
}
