import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KeyRing, MemoryStore, Revocations } from '../../../src/index.ts'

/** Verifying one costs some 20 µs: so many are 5 ms. */
const ITEMS_PER_TURN = 250
const MARKS = 10 * ITEMS_PER_TURN
const ring = new KeyRing([randomBytes(32)])
const store = new MemoryStore()
const open: Revocations[] = []

beforeEach(async () => {
  const maker = await start()
  for (let made = 0; made < MARKS; made++) await maker.revokeClient(randomBytes(32))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((revocations) => revocations.close()))
  vi.restoreAllMocks()
})

async function start(): Promise<Revocations> {
  const revocations = new Revocations(store, ring, { maxStaleMs: 3_600_000 })
  open.push(revocations)
  await revocations.ready
  return revocations
}

/** How many marks are verified in each turn of the event loop while something runs. */
async function verifiedByTurn(run: () => Promise<unknown>): Promise<number[]> {
  const verify = vi.spyOn(ring, 'markMac')
  const turns: number[] = []
  let isOver = false
  const count = (): void => {
    turns.push(verify.mock.calls.length)
    verify.mockClear()
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await run()
  isOver = true
  turns.push(verify.mock.calls.length)
  return turns
}

test('a process that starts verifies a bounded number of marks in one turn of the event loop, and all of them', async () => {
  const turns = await verifiedByTurn(start)
  expect(turns.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(MARKS)
  expect(Math.max(...turns)).toBeLessThanOrEqual(ITEMS_PER_TURN)
  expect(open.at(-1)?.stats).toMatchObject({ unverified: 0 })
  expect(open.at(-1)?.stats.marks).toBeGreaterThan(MARKS)
})

test('a refresh verifies no mark again that has not changed', async () => {
  const revocations = await start()
  const turns = await verifiedByTurn(() => revocations.refresh())
  expect(turns.reduce((sum, count) => sum + count)).toBe(0)
})
