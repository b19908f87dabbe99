import { describe, expect, test } from 'vitest'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { SslOption } from '../../../src/session/ssl-constants.ts'
import type { SslSession } from '../../../src/session/ssl-session.ts'
import {
  makeSession,
  START_SEC,
  type TestContext,
  TLS12,
  TLS13,
  testContext,
} from '../../tools/model-fixtures.ts'
import { Joined } from './joined.ts'

// What OpenSSL's test/sslapitest.c expects of its session cache, told again on the model.

const { CLIENT, SERVER, NO_INTERNAL_STORE, OFF, UPDATE_TIME } = SessionCacheMode

function called(fixture: TestContext): { new: number; remove: number } {
  const counts = { new: fixture.created.length, remove: fixture.removed.length }
  fixture.created.length = 0
  fixture.removed.length = 0
  return counts
}

function callbacksOff({ context }: TestContext): void {
  context.setNewSessionCallback()
  context.setRemoveSessionCallback()
}

describe.each([
  ['TLS 1.2', TLS12],
  ['TLS 1.3', TLS13],
])('test_session of %s', (_, version) => {
  const tickets = version === TLS13 ? 2 : 1

  function pair(serverOptions = {}): { server: TestContext; client: TestContext; open: () => Joined } {
    const [server, client] = [testContext(serverOptions), testContext()]
    callbacksOff(server)
    const sealed = new Map<string, Uint8Array>()
    return { server, client, open: () => new Joined(server, client, version, sealed) }
  }

  test.each([
    ['internal', true, CLIENT],
    ['external', false, CLIENT | NO_INTERNAL_STORE],
  ])('client side, %s cache', (_name, isInternal, mode) => {
    const { client, open } = pair()
    client.context.setSessionCacheMode(mode)

    const first = open()
    first.handshake()
    const session = first.client.session as SslSession
    if (isInternal) expect(client.context.addSession(session)).toBe(false)
    expect(called(client)).toEqual({ new: tickets, remove: 0 })

    // TLS 1.3 resumes with a new session and removes the old one; TLS 1.2 does neither.
    const second = open()
    second.client.setSession(session)
    second.handshake()
    expect(second.client.sessionReused).toBe(true)
    expect(called(client)).toEqual(version === TLS13 ? { new: 1, remove: 1 } : { new: 0, remove: 0 })
    const resumed = second.client.session as SslSession
    second.shutdown()

    const third = open()
    third.handshake()
    const bad = third.client.session as SslSession
    expect(called(client)).toEqual({ new: tickets, remove: 0 })

    // A connection that was not shut down has a bad session.
    third.client.setSession(resumed)
    expect(called(client)).toEqual({ new: 0, remove: 1 })
    expect(third.client.session).toBe(resumed)
    if (isInternal) {
      expect(client.context.addSession(bad)).toBe(true)
      expect(client.context.removeSession(bad)).toBe(true)
    }
    called(client)
    expect(client.context.removeSession(bad)).toBe(false)
    expect(called(client)).toEqual({ new: 0, remove: 1 })

    // A failing connection removes its session.
    const failing = open()
    failing.client.setSession(resumed)
    failing.client.connect()
    failing.client.receiveAlert('fatal', 70)
    expect(called(client)).toEqual({ new: 0, remove: 1 })
    if (isInternal) expect(client.context.addSession(bad)).toBe(true)
  })

  test.each([
    ['internal', SERVER, false],
    ['external', SERVER | NO_INTERNAL_STORE, true],
    ['both', SERVER, true],
  ])('server side, %s cache', (name, mode, isExternal) => {
    const { server, client, open } = pair(version === TLS12 ? { options: SslOption.NO_TICKET } : {})
    client.context.setSessionCacheMode(OFF)
    server.context.setSessionCacheMode(mode)
    let gets = 0
    let answer: SslSession | undefined
    if (isExternal) {
      server.context.setNewSessionCallback((_connection, session) => server.created.push(session))
      server.context.setRemoveSessionCallback((session, reason) => server.removed.push([session, reason]))
      server.context.setGetSessionCallback(() => {
        gets++
        return answer
      })
    }
    const isInternal = name !== 'external'

    const first = open()
    first.handshake()
    let kept = first.server.session as SslSession
    const offered = first.client.session as SslSession
    if (isInternal && version === TLS13 && !isExternal) expect(server.context.removeSession(kept)).toBe(false)
    else if (isInternal) expect(server.context.addSession(kept)).toBe(false)
    if (isExternal) {
      expect(called(server)).toEqual({ new: tickets, remove: 0 })
      if (isInternal && version === TLS12) {
        // A copy, since removing flags the object.
        const copy = kept.dup()
        expect(server.context.removeSession(kept)).toBe(true)
        kept = copy
      }
    }
    called(server)
    answer = kept
    const second = open()
    second.client.setSession(offered)
    second.handshake()
    expect(second.client.sessionReused).toBe(true)
    if (isExternal)
      expect([called(server), gets]).toEqual(
        version === TLS13 ? [{ new: 1, remove: 0 }, 0] : [{ new: 0, remove: 0 }, 1],
      )

    // However soon it expires, what was added last stays.
    offered.setTime(1000)
    offered.setTimeout(1000)
    kept.setTime(2000)
    kept.setTimeout(2000)
    server.context.setSessionCacheSize(1)
    for (const session of [offered, kept]) server.context.addSession(session)
    expect(server.context.addSession(offered)).toBe(true)
    expect([...server.context.sessions()]).toEqual([offered])
  })
})

test('test_session_timeout: sessions are ordered by expiry, and flushed in that order', () => {
  const fixture = testContext()
  const [early, middle, late] = [makeSession(1), makeSession(2), makeSession(3)] as const
  for (const session of [early, middle, late]) expect(fixture.context.addSession(session)).toBe(true)
  for (const [session, offset] of [
    [early, -10],
    [middle, 0],
    [late, 10],
  ] as const)
    session.setTime(START_SEC + offset)
  for (const session of [early, middle, late]) session.setTimeout(10)
  const left = (): SslSession[] => [...fixture.context.sessions()]
  expect(left()).toEqual([late, middle, early])
  fixture.context.flushSessions(START_SEC + 9)
  expect(left()).toEqual([late, middle])
  fixture.context.flushSessions(START_SEC + 11)
  expect(left()).toEqual([late])
  fixture.context.flushSessions(START_SEC + 21)
  expect(left()).toEqual([])
  for (const session of [early, middle, late]) expect(fixture.context.addSession(session)).toBe(true)
  fixture.context.flushSessions(0)
  expect(left()).toEqual([])
  fixture.context.setSessionCacheMode(UPDATE_TIME | fixture.context.getSessionCacheMode())
  early.setTime(START_SEC - 10)
  expect(fixture.context.addSession(early)).toBe(true)
  expect(early.timeSec).not.toBe(START_SEC - 10)
})

describe.each([
  ['stateful', SslOption.NO_TICKET],
  ['stateless', 0],
])('test_tickets, %s', (name, options) => {
  function pair(numTickets: number): { server: TestContext; client: TestContext; open: () => Joined } {
    const server = testContext({ options, numTickets, sessionIdContext: 'Test' })
    const client = testContext({ sessionCacheMode: CLIENT | NO_INTERNAL_STORE })
    const sealed = new Map<string, Uint8Array>()
    return { server, client, open: () => new Joined(server, client, TLS13, sealed) }
  }

  test.each([0, 1, 2, 3])('%i of them arrive, all resume, and each brings one more', (count) => {
    const { client, open } = pair(count)
    const first = open()
    first.handshake()
    first.shutdown()
    const sessions = [...client.created]
    expect(sessions.length).toBe(count)
    for (const session of sessions) {
      const next = open()
      next.client.setSession(session)
      called(client)
      next.handshake()
      expect(next.client.sessionReused).toBe(true)
      expect(called(client)).toEqual({ new: 1, remove: 1 })
      next.shutdown()
    }
  })

  test.each([0, 1, 2])('extra ones after %i', (count) => {
    const { server, client, open } = pair(count)
    const connection = open()
    connection.handshake()
    expect([connection.server.newSessionTicket(), connection.server.newSessionTicket()]).toEqual([true, true])
    expect(server.created.length).toBe(count)
    connection.sendTickets()
    expect([server.created.length, client.created.length]).toEqual([count + 2, count + 2])
    if (name === 'stateful') expect(server.context.stats.number).toBe(count + 2)
  })
})

test.each([
  ['TLS 1.2', TLS12, 2 * 604_800],
  ['TLS 1.3', TLS13, 604_800],
])(
  'test_ticket_lifetime: a timeout of two weeks is, in a ticket of %s, a hint of %s/%i',
  (_, version, hint) => {
    const [server, client] = [testContext({ sessionTimeout: 2 * 604_800 }), testContext()]
    const connection = new Joined(server, client, version, new Map())
    connection.handshake()
    expect(connection.client.session?.ticketLifetimeHintSec).toBe(hint)
  },
)

test.each([
  ['TLS 1.2', TLS12, 'shorter'],
  ['TLS 1.3', TLS13, 'shorter'],
  ['TLS 1.2', TLS12, 'longer'],
  ['TLS 1.3', TLS13, 'longer'],
])(
  'test_session_cache_overflow: with room for one session, %s/%i goes on after one with a %s life',
  (_, version, life) => {
    const server = testContext({ options: SslOption.NO_TICKET, sessionCacheSize: 1, numTickets: 1 })
    const client = testContext()
    let answer: SslSession | undefined
    server.context.setGetSessionCallback(() => answer)
    const open = (): Joined => new Joined(server, client, version, new Map())
    const first = open()
    first.handshake()
    if (life === 'longer') first.server.session?.setTimeout(9_000_000_000)
    first.shutdown()
    const second = open()
    second.handshake()
    answer = second.server.session
    const offered = second.client.session
    second.shutdown()
    const third = open()
    third.client.setSession(offered)
    third.handshake()
    expect(third.server.sessionReused).toBe(true)
    expect(server.context.stats).toMatchObject({ number: 1, cacheFull: version === TLS13 ? 2 : 1 })
  },
)
