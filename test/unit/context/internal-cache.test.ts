import { describe, expect, test } from 'vitest'
import { SessionRangeError } from '../../../src/errors.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import type { SslSession } from '../../../src/session/ssl-session.ts'
import { makeSession, START_SEC, type TestContext, testContext } from '../../tools/model-fixtures.ts'

const idBytes = (sessions: Iterable<SslSession>): number[] =>
  [...sessions].map((session) => session.sessionId[0] ?? -1)
const order = (fixture: TestContext): number[] => idBytes(fixture.context.sessions())
const gone = ({ removed }: TestContext): string[] =>
  removed.map(([session, reason]) => `${session.sessionId[0]} ${reason}`)

describe('a new context', () => {
  test('has mode SERVER, room for 20480 sessions and a timeout of 7200 seconds (R1.2, C1)', () => {
    const { context } = testContext()
    expect(context.getSessionCacheMode()).toBe(SessionCacheMode.SERVER)
    expect(context.getSessionCacheSize()).toBe(20_480)
    expect(context.setSessionTimeout(5)).toBe(7200)
    expect(context.getSessionTimeout()).toBe(5)
  })

  test('has counted nothing', () => {
    expect(new Set(Object.values(testContext().context.stats))).toEqual(new Set([0]))
  })
})

describe('setSessionCacheMode', () => {
  test('replaces the whole mode and returns the previous one (R1.3)', () => {
    const { context } = testContext()
    expect(context.setSessionCacheMode(SessionCacheMode.CLIENT)).toBe(SessionCacheMode.SERVER)
    expect(context.setSessionCacheMode(SessionCacheMode.OFF)).toBe(SessionCacheMode.CLIENT)
    expect(context.getSessionCacheMode()).toBe(SessionCacheMode.OFF)
  })

  test.each([
    [0xdead_beef, 0xdead_beef],
    [-1, 0xffff_ffff],
    [2 ** 32 + 2, 2],
  ])('keeps unknown bits: %i reads back as %i (R1.3)', (set, got) => {
    const { context } = testContext()
    context.setSessionCacheMode(set)
    expect(context.getSessionCacheMode()).toBe(got)
  })

  test('BOTH is CLIENT | SERVER, NO_INTERNAL is both of its halves (R1.1)', () => {
    expect(SessionCacheMode.BOTH).toBe(SessionCacheMode.CLIENT | SessionCacheMode.SERVER)
    expect(SessionCacheMode.NO_INTERNAL).toBe(
      SessionCacheMode.NO_INTERNAL_LOOKUP | SessionCacheMode.NO_INTERNAL_STORE,
    )
  })
})

describe('setSessionCacheSize', () => {
  test('returns the previous size; a negative one changes nothing and returns 0 (C2)', () => {
    const { context } = testContext()
    expect(context.setSessionCacheSize(-1)).toBe(0)
    expect(context.setSessionCacheSize(7)).toBe(20_480)
    expect(context.setSessionCacheSize(0)).toBe(7)
  })

  test.each([1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d', (size) => {
    expect(() => testContext().context.setSessionCacheSize(size)).toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_OUT_OF_RANGE' }),
    )
  })

  test('evicts nothing by itself; the next new session does (R4.4, R4.9, C13)', () => {
    const fixture = testContext()
    for (let id = 1; id <= 8; id++) fixture.context.addSession(makeSession(id))
    fixture.context.setSessionCacheSize(3)
    expect(fixture.context.stats.number).toBe(8)
    fixture.context.addSession(makeSession(9))
    expect(order(fixture)).toEqual([9, 8, 7])
    expect(fixture.context.stats.cacheFull).toBe(6)
  })

  test.each([1, 2, 3, 5])('%i is exactly how many sessions stay (D1)', (size) => {
    const fixture = testContext({ sessionCacheSize: size })
    for (let id = 1; id <= 10; id++) expect(fixture.context.addSession(makeSession(id))).toBe(true)
    expect(fixture.context.stats).toMatchObject({ number: size, cacheFull: 10 - size })
    expect(gone(fixture)).toEqual(Array.from({ length: 10 - size }, (_, index) => `${index + 1} evict`))
  })

  test('0 is unlimited', () => {
    const fixture = testContext({ sessionCacheSize: 0 })
    for (let id = 1; id <= 200; id++) fixture.context.addSession(makeSession(id))
    expect(fixture.context.stats).toMatchObject({ number: 200, cacheFull: 0 })
  })
})

describe('addSession', () => {
  test('returns true for a new key, false for the same object, true for another object of the same key (C5)', () => {
    const fixture = testContext()
    const [a, b] = [makeSession(1), makeSession(1)]
    expect([a, a, b, a].map((session) => fixture.context.addSession(session))).toEqual([
      true,
      false,
      true,
      true,
    ])
    expect(fixture.context.stats.number).toBe(1)
    expect(fixture.removed).toEqual([])
    expect([a.isResumable, b.isResumable]).toEqual([true, true])
  })

  test('keeps one id at two versions as two sessions (R3.1, C6)', () => {
    const { context } = testContext()
    context.addSession(makeSession(1))
    expect(context.addSession(makeSession(1, { protocolVersion: 0x0302 }))).toBe(true)
    expect(context.stats.number).toBe(2)
  })

  test('keeps ids apart that differ only in length', () => {
    const { context } = testContext()
    context.addSession(makeSession(0, { sessionId: Uint8Array.of(1) }))
    context.addSession(makeSession(0, { sessionId: Uint8Array.of(1, 0) }))
    expect(context.stats.number).toBe(2)
  })

  test('refuses a session with an empty id, and changes nothing (D2)', () => {
    const fixture = testContext({
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.UPDATE_TIME,
      sessionCacheSize: 1,
    })
    const empty = makeSession(0, { sessionId: new Uint8Array(0), timeSec: 5 })
    expect(fixture.context.addSession(empty)).toBe(false)
    expect(fixture.context.stats.number).toBe(0)
    expect(empty.timeSec).toBe(5)
  })

  test('does not look at resumability or expiry (R4.2)', () => {
    const fixture = testContext()
    const dead = makeSession(1, { timeSec: 1, timeoutSec: 1 })
    fixture.context.removeSession(dead)
    expect(fixture.context.addSession(dead)).toBe(true)
  })

  test('does not let the new session be its own victim, however early it expires', () => {
    const fixture = testContext({ sessionCacheSize: 1 })
    fixture.context.addSession(makeSession(1, { timeoutSec: 1000 }))
    fixture.context.addSession(makeSession(2, { timeoutSec: 1 }))
    expect(order(fixture)).toEqual([2])
  })

  test('makes room after a replacement only if the size has shrunk (R4.8)', () => {
    const fixture = testContext()
    for (let id = 1; id <= 3; id++) fixture.context.addSession(makeSession(id))
    fixture.context.setSessionCacheSize(2)
    fixture.context.addSession(makeSession(3))
    expect(gone(fixture)).toEqual(['1 evict'])
  })

  test('flags a victim as not resumable (R4.6)', () => {
    const fixture = testContext({ sessionCacheSize: 1 })
    const victim = makeSession(1)
    fixture.context.addSession(victim)
    fixture.context.addSession(makeSession(2))
    expect(victim.isResumable).toBe(false)
  })

  test('allows one session in two contexts, each with an order of its own (D3)', () => {
    const [one, two] = [testContext(), testContext()]
    const session = makeSession(1)
    for (const fixture of [one, two]) {
      fixture.context.addSession(session)
      fixture.context.addSession(makeSession(2, { timeoutSec: 200 }))
    }
    session.setTimeout(300)
    expect([order(one), order(two)]).toEqual([
      [1, 2],
      [1, 2],
    ])
    one.context.removeSession(session)
    expect([order(one), order(two)]).toEqual([[2], [1, 2]])
  })

  test('with UPDATE_TIME in one context the other puts its order right (D3)', () => {
    const one = testContext()
    const two = testContext({ sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.UPDATE_TIME })
    const session = makeSession(1, { timeSec: START_SEC - 50 })
    one.context.addSession(session)
    one.context.addSession(makeSession(2))
    two.context.addSession(session)
    expect(order(one)).toEqual([1, 2])
  })
})

describe('cacheStats', () => {
  test('counts what was taken in, and what took the place of another; not what was there already', () => {
    const { context } = testContext()
    const session = makeSession(1)
    for (const next of [session, session, makeSession(2), makeSession(1)]) context.addSession(next)
    expect(context.cacheStats).toMatchObject({ stored: 3, replaced: 1 })
    context.flushSessions(0)
    expect(context.cacheStats).toMatchObject({ stored: 3, replaced: 1 })
  })

  test('has the time left of the session that is evicted next, and none when there is none', () => {
    const { context, clock } = testContext()
    expect(context.cacheStats.oldestTimeLeftSec).toBeUndefined()
    for (const [id, timeoutSec] of [
      [1, 20],
      [2, 10],
      [3, 30],
    ] as const) {
      const session = makeSession(id)
      session.setTime(START_SEC)
      session.setTimeout(timeoutSec)
      context.addSession(session)
    }
    clock.nowMs += 250
    expect(context.cacheStats.oldestTimeLeftSec).toBe(9.75)
    clock.nowMs += 10_000
    expect(context.cacheStats.oldestTimeLeftSec).toBe(-0.25)
    context.flushSessions(0)
    expect(context.cacheStats.oldestTimeLeftSec).toBeUndefined()
  })
})

describe('the order of the cache', () => {
  test('is by expiry, the latest first; among equals the newest first (R4.3)', () => {
    const fixture = testContext()
    for (const [id, timeoutSec] of [
      [1, 50],
      [2, 10],
      [3, 30],
      [4, 30],
      [5, 20],
      [6, 50],
      [7, 5],
    ] as const)
      fixture.context.addSession(makeSession(id, { timeoutSec }))
    expect(order(fixture)).toEqual([6, 1, 4, 3, 5, 2, 7])
  })

  test('follows setTime and setTimeout of a cached session (R6.7)', () => {
    const fixture = testContext()
    const session = makeSession(1, { timeoutSec: 10 })
    fixture.context.addSession(session)
    fixture.context.addSession(makeSession(2, { timeoutSec: 20 }))
    fixture.context.addSession(makeSession(3, { timeoutSec: 30 }))
    session.setTimeout(25)
    expect(order(fixture)).toEqual([3, 1, 2])
    session.setTime(START_SEC + 100)
    expect(order(fixture)).toEqual([1, 3, 2])
    session.setTime(START_SEC - 100)
    expect(order(fixture)).toEqual([3, 2, 1])
  })

  test('does not change when the same object is added again, even with UPDATE_TIME (LISTFIX)', () => {
    const fixture = testContext({ sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.UPDATE_TIME })
    const first = makeSession(1)
    fixture.context.addSession(first)
    fixture.clock.nowMs += 1_000
    fixture.context.addSession(makeSession(2))
    fixture.clock.nowMs += 5_000
    expect(fixture.context.addSession(first)).toBe(false)
    expect(first.timeSec).toBe(START_SEC + 6)
    expect(order(fixture)).toEqual([2, 1])
    // Between the latest and an entry that is out of order, the scan goes on to the end of the list.
    fixture.context.addSession(makeSession(3, { timeoutSec: 99 }))
    expect(order(fixture)).toEqual([3, 2, 1])
  })

  test('puts a session that would be last behind an entry that is out of order in front of it', () => {
    const fixture = testContext()
    fixture.context.setSessionCacheMode(SessionCacheMode.SERVER)
    const stale = makeSession(1, { timeoutSec: 10 })
    fixture.context.addSession(stale)
    fixture.context.addSession(makeSession(2, { timeoutSec: 40 }))
    fixture.context.addSession(makeSession(3, { timeoutSec: 20 }))
    expect(order(fixture)).toEqual([2, 3, 1])
  })

  test('sessions() is a snapshot that may be walked while the cache changes', () => {
    const fixture = testContext()
    for (let id = 1; id <= 3; id++) fixture.context.addSession(makeSession(id))
    for (const session of fixture.context.sessions()) fixture.context.removeSession(session)
    expect(fixture.context.stats.number).toBe(0)
  })
})

describe('UPDATE_TIME (R1.6)', () => {
  test('sets the time of a new session and of one that is added again to now', () => {
    const fixture = testContext({ sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.UPDATE_TIME })
    const session = makeSession(1, { timeSec: 100 })
    fixture.context.addSession(session)
    expect(session.timeSec).toBe(START_SEC)
    session.setTime(100)
    expect(fixture.context.addSession(session)).toBe(false)
    expect(session.timeSec).toBe(START_SEC)
  })

  test('absent, leaves the time as it is', () => {
    const fixture = testContext()
    const session = makeSession(1, { timeSec: 100 })
    fixture.context.addSession(session)
    expect(session.timeSec).toBe(100)
  })
})

describe('removeSession (R5.1)', () => {
  test('returns true for what is stored, and hands it to the callback as deleted', () => {
    const fixture = testContext()
    const session = makeSession(1)
    fixture.context.addSession(session)
    expect(fixture.context.removeSession(session)).toBe(true)
    expect(fixture.removed).toEqual([[session, 'delete']])
    expect(session.isResumable).toBe(false)
    expect(fixture.context.stats.number).toBe(0)
  })

  test('of an absent session returns false, but flags it and calls the callback (C7)', () => {
    const fixture = testContext()
    const session = makeSession(1)
    expect(fixture.context.removeSession(session)).toBe(false)
    expect(fixture.removed).toEqual([[session, 'delete']])
    expect(session.isResumable).toBe(false)
  })

  test('removes another object of the same key, and flags the argument, not that object', () => {
    const fixture = testContext()
    const [stored, argument] = [makeSession(1), makeSession(1)]
    fixture.context.addSession(stored)
    expect(fixture.context.removeSession(argument)).toBe(true)
    expect([stored.isResumable, argument.isResumable]).toEqual([true, false])
    expect(fixture.removed).toEqual([[argument, 'delete']])
  })

  test('of a session with an empty id does nothing at all', () => {
    const fixture = testContext()
    const empty = makeSession(0, { sessionId: new Uint8Array(0), ticket: Uint8Array.of(1) })
    expect(fixture.context.removeSession(empty)).toBe(false)
    expect(fixture.removed).toEqual([])
    expect(empty.isResumable).toBe(true)
  })
})

describe('flushSessions (R5.3)', () => {
  test('removes what expired before the given second, the earliest first; equality survives (C9)', () => {
    const fixture = testContext()
    const sessions = [1, 2, 3, 4, 5].map((id) => makeSession(id, { timeSec: 1000, timeoutSec: id * 10 }))
    for (const session of sessions) fixture.context.addSession(session)
    expect([1010, 1011, 1030, 1031, 1].map((now) => fixture.context.flushSessions(now))).toEqual([
      0, 1, 1, 1, 0,
    ])
    expect(fixture.context.flushSessions(0)).toBe(2)
    expect(gone(fixture)).toEqual(['1 flush', '2 flush', '3 flush', '4 flush', '5 flush'])
    expect(sessions.some((session) => session.isResumable)).toBe(false)
    expect(fixture.context.stats).toMatchObject({ timeouts: 0, cacheFull: 0, number: 0 })
  })

  test('takes the present second by default', () => {
    const fixture = testContext()
    fixture.context.addSession(makeSession(1))
    fixture.clock.nowMs += 100_999
    expect(fixture.context.flushSessions()).toBe(0)
    fixture.clock.nowMs += 1
    expect(fixture.context.flushSessions()).toBe(1)
  })

  test('stops at the first survivor, so an entry that is out of order waits for its turn', () => {
    const fixture = testContext({ sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.UPDATE_TIME })
    const first = makeSession(1)
    fixture.context.addSession(first)
    fixture.context.addSession(makeSession(2))
    fixture.clock.nowMs += 50_000
    fixture.context.addSession(first)
    expect(fixture.context.flushSessions(START_SEC + 120)).toBe(0)
  })

  test.each([-1, 0.5, 18_446_744_074, Number.NaN])('refuses %d (D5)', (now) => {
    expect(() => testContext().context.flushSessions(now)).toThrow(SessionRangeError)
  })

  test('is what free does with everything, for its own reason', () => {
    const fixture = testContext()
    fixture.context.addSession(makeSession(1, { timeoutSec: 18_446_744_073 }))
    fixture.context.free()
    expect(gone(fixture)).toEqual(['1 free'])
  })
})

test('a session that leaves one of two contexts is still put in order in the other (D3)', () => {
  const [one, other] = [testContext(), testContext()]
  const moving = makeSession(1, { timeoutSec: 10 })
  for (const fixture of [one, other]) fixture.context.addSession(moving)
  other.context.addSession(makeSession(2, { timeoutSec: 20 }))
  one.context.removeSession(moving)
  expect(order(other)).toEqual([2, 1])
  moving.setTimeout(30)
  expect(order(other)).toEqual([1, 2])
})

describe('callbacks (D4)', () => {
  test('the remove callback sees the cache as it is after the change, and may change it', () => {
    const fixture = testContext({ sessionCacheSize: 2 })
    const seen: number[] = []
    fixture.context.setRemoveSessionCallback((session, reason) => {
      seen.push(fixture.context.stats.number)
      if (reason === 'evict') fixture.context.addSession(makeSession(0x77, { timeSec: session.timeSec - 1 }))
    })
    for (let id = 1; id <= 3; id++) fixture.context.addSession(makeSession(id))
    expect(seen.slice(0, 1)).toEqual([2])
    expect(fixture.context.stats.number).toBe(2)
  })

  test.each([
    ['evicts', (fixture: TestContext) => fixture.context.addSession(makeSession(9))],
    ['flushes', (fixture: TestContext) => fixture.context.flushSessions(0)],
  ])('what %s several at once flags all of them before the callback hears of the first', (_, act) => {
    const fixture = testContext()
    const sessions = [1, 2, 3].map((id) => makeSession(id))
    for (const session of sessions) fixture.context.addSession(session)
    fixture.context.setSessionCacheSize(1)
    const seen: boolean[][] = []
    fixture.context.setRemoveSessionCallback(() => seen.push(sessions.map(({ isResumable }) => isResumable)))
    act(fixture)
    expect(seen).toEqual(new Array(3).fill([false, false, false]))
  })

  test('one that throws or rejects becomes an event, and the removal stands', async () => {
    const fixture = testContext()
    const error = new Error('no')
    fixture.context.setRemoveSessionCallback(() => {
      throw error
    })
    fixture.context.addSession(makeSession(1))
    expect(fixture.context.removeSession(makeSession(1))).toBe(true)
    fixture.context.setRemoveSessionCallback(() => Promise.reject(error))
    fixture.context.removeSession(makeSession(1))
    await Promise.resolve()
    const failure = { type: 'callback-error', callback: 'remove', error }
    expect(fixture.events.filter(({ type }) => type === 'callback-error')).toEqual([failure, failure])
  })

  test('without one the removal is still an event', () => {
    const fixture = testContext()
    fixture.context.setRemoveSessionCallback()
    const session = makeSession(1)
    fixture.context.removeSession(session)
    expect(fixture.events).toEqual([{ type: 'session-removed', session, reason: 'delete' }])
  })

  test('a listener that throws is reported to the others, and may unsubscribe', () => {
    const fixture = testContext()
    const error = new Error('listener')
    const unsubscribe = fixture.context.subscribe(() => {
      throw error
    })
    fixture.context.removeSession(makeSession(1))
    expect(fixture.events.map(({ type }) => type)).toEqual(['session-removed', 'callback-error'])
    unsubscribe()
    fixture.context.removeSession(makeSession(1))
    expect(fixture.events.length).toBe(3)
  })
})

describe('settings', () => {
  test('options are added and cleared, 32 bits without a sign', () => {
    const { context } = testContext()
    expect(context.setOptions(0x8000_4000)).toBe(0x8010_4000)
    expect(context.clearOptions(0x4000)).toBe(0x8010_0000)
  })

  test('a session id context of 32 bytes is taken, of 33 refused without a change (R9.1)', () => {
    const { context } = testContext()
    context.setSessionIdContext('x'.repeat(32))
    expect(() => context.setSessionIdContext('x'.repeat(33))).toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_OUT_OF_RANGE' }),
    )
    expect(context.newConnection().sessionIdContext.length).toBe(32)
  })

  test('a text is taken as UTF-8', () => {
    const { context } = testContext({ sessionIdContext: 'é€𝄞\ud800' })
    expect(Buffer.from(context.newConnection().sessionIdContext).toString()).toBe('é€𝄞\ufffd')
  })

  test.each([-1, 1.5, 2 ** 32])('a maximum of early data of %d is refused', (bytes) => {
    expect(() => testContext().context.setMaxEarlyData(bytes)).toThrow(SessionRangeError)
    expect(() => testContext().context.newConnection().setMaxEarlyData(bytes)).toThrow(SessionRangeError)
  })

  test.each([-1, 0.5])('a number of tickets of %d is refused', (tickets) => {
    expect(() => testContext().context.setNumTickets(tickets)).toThrow(SessionRangeError)
    expect(() => testContext().context.newConnection().setNumTickets(tickets)).toThrow(SessionRangeError)
  })

  test.each([-1, 0.5, 18_446_744_074])(
    'a timeout of %d seconds is refused, where libssl would wrap it (R6.3, D5)',
    (seconds) => {
      expect(() => testContext().context.setSessionTimeout(seconds)).toThrow(SessionRangeError)
    },
  )
})
