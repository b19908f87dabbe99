import { describe, expect, test } from 'vitest'
import { type Ticket, TicketCache, type TicketLimits } from '../../../src/client/ticket-cache.ts'
import { SessionCacheMode } from '../../../src/index.ts'
import fc from '../../tools/fast-check.ts'
import { makeTls13Session, START_SEC, testContext } from '../../tools/model-fixtures.ts'

const LIMITS: TicketLimits = { maxOrigins: 3, ticketsPerOrigin: 4, maxBytes: 1e9, reuse: false }
const BYTES = 200
/** What an origin takes by itself. */
const ORIGIN_BYTES = 400

function cacheOf(limits: Partial<TicketLimits> = {}) {
  const { context, clock } = testContext({ sessionCacheMode: SessionCacheMode.CLIENT, sessionCacheSize: 0 })
  const cache = new TicketCache(context, { ...LIMITS, ...limits })
  let made = 0
  /** Of a name nobody else has. */
  const ticket = (timeoutSec: number): Ticket => {
    const sessionId = new Uint8Array(32)
    new DataView(sessionId.buffer).setUint32(0, ++made)
    return {
      session: makeTls13Session(0, { sessionId, timeSec: clock.nowMs / 1000, timeoutSec }),
      bytes: BYTES,
      verifiedAtMs: clock.nowMs,
      chainEndMs: Number.POSITIVE_INFINITY,
      authorized: true,
      authorizationError: null,
    }
  }
  return { context, clock, cache, ticket }
}

/** What the cache is, in as few words as possible: the newest first, and the origins in the order of their use. */
class Reference {
  readonly origins: { name: string; tickets: Ticket[] }[] = []

  put(name: string, ticket: Ticket): void {
    const { tickets } = this.#use(name)
    tickets.unshift(ticket)
    tickets.splice(LIMITS.ticketsPerOrigin)
    this.origins.splice(LIMITS.maxOrigins)
  }

  take(name: string, nowMs: number): Ticket | undefined {
    if (!this.origins.some((one) => one.name === name)) return undefined
    const origin = this.#use(name)
    origin.tickets = origin.tickets.filter(({ session }) => session.expiresAtMs > nowMs)
    return origin.tickets.shift()
  }

  #use(name: string): { name: string; tickets: Ticket[] } {
    const at = this.origins.findIndex((one) => one.name === name)
    const [origin = { name, tickets: [] }] = at < 0 ? [] : this.origins.splice(at, 1)
    this.origins.unshift(origin)
    return origin
  }
}

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ put: names, timeoutSec: fc.integer({ min: 1, max: 30 }) }) },
    { weight: 3, arbitrary: fc.record({ take: names }) },
    { weight: 1, arbitrary: fc.record({ passSec: fc.integer({ min: 1, max: 10 }) }) },
  ),
  { minLength: 1, maxLength: 80, size: 'max' },
)

describe('the tickets of ClientSessions', () => {
  test('are, after any steps, those of a simple list', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const { cache, clock, context, ticket } = cacheOf()
        const reference = new Reference()
        for (const step of all) {
          if ('passSec' in step) clock.nowMs += step.passSec * 1000
          else if ('put' in step) {
            const made = ticket(step.timeoutSec)
            cache.put(step.put, made)
            reference.put(step.put, made)
          } else {
            const taken = cache.take(step.take)
            expect(typeof taken === 'string' ? undefined : taken).toBe(reference.take(step.take, clock.nowMs))
            if (typeof taken !== 'string') cache.drop(taken)
          }
          const kept = reference.origins.flatMap(({ tickets }) => tickets)
          const origins = reference.origins.length
          expect(cache.size).toEqual({
            origins,
            tickets: kept.length,
            bytes: origins * ORIGIN_BYTES + kept.length * BYTES,
          })
          expect([...context.sessions()].length).toBe(kept.length)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('stay within their bounds over 100,000 origins', () => {
    const limits = { maxOrigins: 1000, ticketsPerOrigin: 12, maxBytes: 300_000 }
    const { cache, context, ticket } = cacheOf(limits)
    for (let origin = 0; origin < 100_000; origin++) cache.put(`origin ${origin}`, ticket(100))
    const { origins, tickets, bytes } = cache.size
    expect(bytes).toBeLessThanOrEqual(limits.maxBytes)
    expect({ origins, tickets, number: context.stats.number }).toEqual({
      origins: 500,
      tickets: 500,
      number: 500,
    })
  })

  test('stay within maxBytes, an origin that grows included: its oldest go', () => {
    const limits = { maxOrigins: 10, ticketsPerOrigin: 100, maxBytes: 4000 }
    const { cache, context, ticket } = cacheOf(limits)
    const all = Array.from({ length: 50 }, () => ticket(100))
    for (const one of all) {
      cache.put('a', one)
      expect(cache.size.bytes).toBeLessThanOrEqual(limits.maxBytes)
    }
    expect(cache.size).toEqual({ origins: 1, tickets: 18, bytes: 4000 })
    expect(context.stats.number).toBe(18)
    expect([cache.take('a'), cache.take('a')]).toEqual([all[49], all[48]])
  })

  test('one that is larger than all that there is room for is not kept', () => {
    const { cache, context, ticket } = cacheOf({ maxBytes: 1000 })
    cache.put('a', ticket(100))
    cache.put('a', { ...ticket(100), bytes: 1000 })
    expect(cache.size).toEqual({ origins: 0, tickets: 0, bytes: 0 })
    expect(context.stats.number).toBe(0)
  })

  test('are gone when the context has removed their sessions', () => {
    const { cache, context, ticket } = cacheOf()
    cache.put('a', ticket(100))
    context.flushSessions(START_SEC + 101)
    expect(cache.size.tickets).toBe(0)
    expect(cache.take('a')).toBe('unknown')
  })

  test('are let go after a failure, which is told once', () => {
    const { cache, context, ticket } = cacheOf()
    cache.put('a', ticket(100))
    cache.forget('a')
    expect(context.stats.number).toBe(0)
    expect([cache.take('a'), cache.take('a')]).toEqual(['after-failure', 'unknown'])
  })

  test('are not offered after they were dropped', () => {
    const { cache, ticket } = cacheOf()
    const one = ticket(100)
    cache.put('a', one)
    const other = ticket(100)
    cache.put('a', other)
    cache.drop(other)
    expect(cache.take('a')).toBe(one)
  })
})
