import { beforeAll, describe, expect, test } from 'vitest'
import { forkScript, nextMessage } from '../../tools/server-process.ts'
import { type HostileReport, MAX_HEAP_GROWTH_BYTES } from './hostile-report.ts'

const CONNECTIONS = 2_000
/** The script warms up with so many more. */
const WARM_UP = 200
const HALF_OPEN = 1_000

describe.each([
  ['session ids', [] as string[]],
  ['stateless tickets', ['--tickets']],
])(`${CONNECTIONS} mutated ClientHellos and ${HALF_OPEN} half-open connections, with %s,`, (_, options) => {
  let report: HostileReport

  // In a process of its own, whose resources, heap and uncaught errors are those of the server and its clients.
  beforeAll(async () => {
    const child = forkScript(new URL('./hostile.ts', import.meta.url), {
      args: ['--connections', String(CONNECTIONS), ...options],
      stdout: 'ignore',
    })
    report = await nextMessage(child)
  }, 120_000)

  test('all arrive, and each has exactly one outcome', () => {
    const { connections, reported, outcomes, reasons, failed } = report
    expect(failed).toBe(CONNECTIONS + WARM_UP + 2 * HALF_OPEN)
    expect([reported, outcomes, reasons]).toEqual([connections, connections, connections])
  })

  test('cause no uncaught error, no unhandled rejection and no warning', () => {
    expect(report.uncaught).toEqual([])
  })

  test('keep no good client from connecting and resuming meanwhile', () => {
    const { visits, offers, resumed } = report.good
    expect(visits).toBeGreaterThanOrEqual(80)
    expect(resumed).toBe(offers)
    expect(offers).toBe(visits - 4)
  })

  test('are open at the same time while good clients are served', () => {
    expect(report.halfOpen).toBeGreaterThanOrEqual(HALF_OPEN)
  })

  test('leave alone the sessions that they named: their owners resume, also byte by byte', () => {
    expect(report.victimsResumed).toEqual([true, true, true])
  })

  test('leave no socket and no other resource behind', () => {
    expect(report.openSockets).toBe(0)
    const [before, after] = report.resources
    expect(after).toEqual(before)
  })

  test('leave no memory behind', () => {
    expect(report.heapGrowthBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES)
  })
})
