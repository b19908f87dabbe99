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
