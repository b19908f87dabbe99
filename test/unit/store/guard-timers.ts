import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, expect, vi } from 'vitest'

/** For all tests of a file: time stands still but for what they advance, and no rejection is left to nobody. */
export function useGuardTimers(): void {
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown): void => {
    unhandled.push(error)
  }
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
    process.on('unhandledRejection', onUnhandled)
  })
  afterEach(async () => {
    vi.useRealTimers()
    await setImmediate()
    process.off('unhandledRejection', onUnhandled)
    expect(unhandled.splice(0)).toEqual([])
  })
}
