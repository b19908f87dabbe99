import { promisify } from 'node:util'

const live = new Set<object>()
const { setTimeout: set, clearTimeout: clear } = globalThis

/** Timers that were set and have neither fired nor been cleared, also those that keep no process alive. */
export const liveTimers = (): number => live.size

/** Must come before what is to be counted is loaded. */
export function countTimers(): void {
  const counted = (callback: (...values: unknown[]) => void, ms?: number, ...values: unknown[]): object => {
    const timer = set(() => {
      live.delete(timer)
      callback(...values)
    }, ms)
    live.add(timer)
    return timer
  }
  Object.assign(counted, { [promisify.custom]: (set as { [promisify.custom]?: unknown })[promisify.custom] })
  const cleared = (timer?: NodeJS.Timeout): void => {
    if (timer !== undefined) live.delete(timer)
    clear(timer)
  }
  Object.assign(globalThis, { setTimeout: counted, clearTimeout: cleared })
}
