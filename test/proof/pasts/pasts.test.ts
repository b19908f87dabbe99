import { expect, test } from 'vitest'
import { searchPasts } from './search.ts'

const PASTS = 60

test(`${PASTS} sockets with a drawn past are served as by a stock server, and nothing of them is left`, async () => {
  const { met, answered, resumed, faults } = await searchPasts(20_260_101, 0, PASTS)
  expect(faults).toEqual([])
  expect(met).toBe(PASTS)
  expect(answered).toBeGreaterThan(PASTS / 2)
  expect(resumed).toBeGreaterThan(PASTS / 4)
}, 120_000)

test('a socket that is to flow from the next tick on, and whose bytes are put back after it was handed on, is served', async () => {
  const { met, answered, faults } = await searchPasts(990_044_156, 100, 101)
  expect({ met, answered, faults }).toEqual({ met: 1, answered: 1, faults: [] })
})
