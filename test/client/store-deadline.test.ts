import { afterEach, describe, expect, test, vi } from 'vitest'
import { SharedTickets } from '../../src/client/shared-tickets.ts'
import type { Ticket } from '../../src/client/ticket-cache.ts'
import { MemoryStore, type SessionStore } from '../../src/index.ts'
import type { Awaitable } from '../../src/model.ts'
import { makeTls13Session, START_SEC } from '../context/fixtures.ts'
import { delegate } from '../store/delegate.ts'

const NOW_MS = START_SEC * 1000
const DEADLINE_MS = 100

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
    const { asked, store } = slow(new MemoryStore({ now: () => NOW_MS }), 60)
    let answer: unknown = 'none'
    void Promise.resolve(
      new SharedTickets(store, false, DEADLINE_MS).take('origin', NOW_MS, () => undefined),
    ).then((ticket) => {
      answer = ticket
    })
    await vi.advanceTimersByTimeAsync(DEADLINE_MS - 1)
    expect(answer).toBe('none')
    await vi.advanceTimersByTimeAsync(1)
    expect(answer).toBe(undefined)
    await vi.advanceTimersByTimeAsync(1000)
    // The one that was under way is the last.
    expect(asked.length).toBe(2)
  })

  test('leaves to the next one what it has taken too late', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const memory = new MemoryStore({ now: () => NOW_MS })
    const writer = new SharedTickets(memory, false, DEADLINE_MS)
    for (let slot = 0; slot < 8; slot++) writer.put('origin', ticket)
    const reader = new SharedTickets(slow(memory, DEADLINE_MS + 1).store, false, DEADLINE_MS)
    const late: Ticket[] = []
    const taken = reader.take('origin', NOW_MS, (one) => late.push(one))
    await vi.advanceTimersByTimeAsync(DEADLINE_MS)
    expect(await taken).toBe(undefined)
    expect(late).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(late).toHaveLength(1)
    expect(late[0]).toMatchObject({ authorized: true, verifiedAtMs: NOW_MS })
  })
})
