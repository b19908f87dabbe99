/** A clock that stands still until it is moved: milliseconds since the epoch, for `now` of contexts and stores. */
export class ManualClock {
  #nowMs: number

  /** @param nowMs - where it begins, 2026-01-01 by default */
  constructor(nowMs: number = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs
  }

  readonly now = (): number => this.#nowMs

  /** @param ms - may be negative: clocks are set back, too */
  advance(ms: number): void {
    this.#nowMs += ms
  }
}
