import { expect, test } from 'vitest'
import { RecentEndpoints } from '../../../src/client/recent-endpoints.ts'
import { SharedTickets } from '../../../src/client/shared-tickets.ts'
import type { Ticket } from '../../../src/client/ticket-cache.ts'
import { MemoryStore } from '../../../src/index.ts'
import { makeTls13Session } from '../../tools/model-fixtures.ts'

/** What grows with the servers that a client visits, filled beyond its bound. */

test('of endpoints, the binding of the latest 10,000 is remembered', () => {
  const endpoints = new RecentEndpoints()
  for (let number = 0; number < 10_000; number++) endpoints.keep(`${number}.example:443`, 'a binding')
  expect(endpoints.bindingOf('0.example:443')).toBe('a binding')
  endpoints.keep('10000.example:443', 'a binding')
  expect(endpoints.bindingOf('0.example:443')).toBeUndefined()
  expect(endpoints.bindingOf('1.example:443')).toBe('a binding')
})

test('of origins, what this process has written to the store is remembered for the latest 10,000', () => {
  const nowMs = 1_700_000_000_000
  const session = makeTls13Session(0, { timeSec: nowMs / 1000, timeoutSec: 7200 })
  const ticket: Ticket = {
    session,
    bytes: 200,
    verifiedAtMs: nowMs,
    chainEndMs: Number.POSITIVE_INFINITY,
    authorized: true,
    authorizationError: null,
  }
  const shared = new SharedTickets(new MemoryStore({ maxSessions: 10 }), { isReused: false, deadlineMs: 100 })
  const offer = (number: number): boolean => shared.offer(`origin ${number}`, ticket, nowMs, false)
  expect(offer(0)).toBe(true)
  for (let number = 1; number < 10_000; number++) offer(number)
  // It was written already; to ask makes it the latest.
  expect(offer(0)).toBe(false)
  for (let number = 10_000; number < 20_000; number++) offer(number)
  expect(offer(0)).toBe(true)
})
