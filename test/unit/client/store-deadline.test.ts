import { afterEach, describe, expect, test, vi } from 'vitest'
import { SharedTickets } from '../../../src/client/shared-tickets.ts'
import type { Ticket } from '../../../src/client/ticket-cache.ts'
import { MemoryStore, type SessionStore } from '../../../src/index.ts'
import type { Awaitable } from '../../../src/model.ts'
import { delegate } from '../../tools/delegate.ts'
import { makeTls13Session, START_SEC } from '../../tools/model-fixtures.ts'

const NOW_MS = START_SEC * 1000
const DEADLINE_MS = 100
const OPTIONS = { isReused: false, deadlineMs: DEADLINE_MS }

afterEach(() => vi.useRealTimers())

const ticket: Ticket = {
  session: makeTls13Session(1),
  bytes: 100,
  verifiedAtMs: NOW_MS,
  chainEndMs: Number.POSITIVE_INFINITY,
  authorized: true,
  authorizationError: null,
}

/** Each of its answers takes as long. */
function slow(store: SessionStore, ms: number) {
  const asked: Uint8Array[] = []
  const later = async <T>(key: Uint8Array, answer: () => Awaitable<T>): Promise<T> => {
    asked.push(key)
    await new Promise<void>((resolve) => setTimeout(resolve, ms))
    return answer()
  }
  const slowStore: SessionStore = {
    ...delegate(store),
    get: (key) => later(key, () => store.get(key)),
    take: (key) => later(key, () => store.take(key)),
  }
  return { asked, store: slowStore }
}

describe('a connection that asks the store of ClientSessions', () => {
  test('waits no longer than the deadline for all of its questions together', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { asked, store } = slow(new MemoryStore({ now: () => NOW_MS }), DEADLINE_MS + 1)
    let answer: unknown = 'none'
    void Promise.resolve(new SharedTickets(store, OPTIONS).take('origin', NOW_MS, () => undefined)).then(
      (ticket) => {
        answer = ticket
      },
    )
    await vi.advanceTimersByTimeAsync(DEADLINE_MS - 1)
    expect(answer).toBe('none')
    await vi.advanceTimersByTimeAsync(1)
    expect(answer).toBe(undefined)
    await vi.advanceTimersByTimeAsync(1000)
    // All that it asks it asks at once.
    expect(asked.length).toBe(13)
  })

  test('leaves to the next one what it has taken too late', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const memory = new MemoryStore({ now: () => NOW_MS })
    const writer = new SharedTickets(memory, OPTIONS)
    for (let slot = 0; slot < 12; slot++) writer.put('origin', ticket, NOW_MS)
    const reader = new SharedTickets(slow(memory, 51).store, OPTIONS)
    const late: Ticket[] = []
    const taken = reader.take('origin', NOW_MS, (one) => late.push(one))
    await vi.advanceTimersByTimeAsync(DEADLINE_MS)
    expect(await taken).toBe(undefined)
    expect(late).toEqual([])
    await vi.advanceTimersByTimeAsync(2)
    expect(late).toHaveLength(1)
    expect(late[0]).toMatchObject({ authorized: true, verifiedAtMs: NOW_MS })
  })
})
