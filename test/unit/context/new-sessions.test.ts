import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption } from '../../../src/session/ssl-constants.ts'
import {
  decide,
  idOf,
  makeSession,
  makeTls13Session,
  offer12,
  offer13,
  START_SEC,
  STATEFUL,
  serve,
  TLS12,
  TLS13,
  testContext,
  visit,
} from '../../tools/model-fixtures.ts'
import { accepted } from './accepted.ts'

const { SERVER, NO_INTERNAL, NO_INTERNAL_STORE, NO_AUTO_CLEAR, CLIENT } = SessionCacheMode

describe('the new callback (R2.4b)', () => {
  test('is called although NO_INTERNAL_STORE stores nothing', () => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode: SERVER | NO_INTERNAL_STORE })
    serve(fixture, offer12())
    expect(fixture.created.length).toBe(1)
    expect(fixture.context.stats.number).toBe(0)
  })

  test('whose answer is 0 leaves the session in the cache', () => {
    const fixture = testContext({ ...STATEFUL, newSessionCallback: () => 0 })
    serve(fixture, offer12())
    expect(fixture.context.stats.number).toBe(1)
  })

  test('that throws or rejects is an event', async () => {
    const fixture = testContext({
      ...STATEFUL,
      newSessionCallback() {
        throw new Error('sync')
      },
    })
    serve(fixture, offer12())
    fixture.context.setNewSessionCallback(() => Promise.reject(new Error('async')))
    serve(fixture, offer12())
    // A whole turn, in which every promise settles that can.
    await new Promise(setImmediate)
    const errors = fixture.events.flatMap((event) =>
      event.type === 'callback-error' ? [`${event.callback}: ${(event.error as Error).message}`] : [],
    )
    expect(errors).toEqual(['new: sync', 'new: async'])
  })

  test('absent, the session is still stored, and an event', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.setNewSessionCallback()
    const { session } = serve(fixture, offer12())
    expect(fixture.context.stats.number).toBe(1)
    expect(fixture.events).toContainEqual(expect.objectContaining({ type: 'new-session', session }))
  })
})

describe('the flush every 255 connections (R2.5 to R2.9)', () => {
  function serveMany(fixture: ReturnType<typeof testContext>, count: number, version: number): void {
    for (let turn = 0; turn < count; turn++) serve(fixture, version === TLS13 ? offer13() : offer12())
  }

  test.each([
    ['TLS 1.2', TLS12, 255],
    ['TLS 1.3', TLS13, 254],
  ])('of %s comes after %i/%i quiet connections', (_, version, quiet) => {
    const fixture = testContext({ ...STATEFUL, numTickets: 1 })
    const stale = makeSession(1, { timeSec: START_SEC - 1000 })
    fixture.context.addSession(stale)
    serveMany(fixture, quiet, version)
    expect(fixture.removed).toEqual([])
    serveMany(fixture, 1, version)
    expect(fixture.removed).toEqual([[stale, 'flush']])
    fixture.context.addSession(stale)
    serveMany(fixture, 255, version)
    expect(fixture.removed.length).toBe(1)
    serveMany(fixture, 1, version)
    expect(fixture.removed.length).toBe(2)
  })

  test.each([
    ['NO_AUTO_CLEAR', SERVER | NO_AUTO_CLEAR],
    ['a mode without SERVER', CLIENT],
  ])('does not come with %s', (_, sessionCacheMode) => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode })
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    serveMany(fixture, 300, TLS12)
    expect(fixture.removed).toEqual([])
  })

  test('does not come with a mode without SERVER in TLS 1.3 either, whose sessions have ids (R2.5)', () => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode: CLIENT, numTickets: 1 })
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    serveMany(fixture, 300, TLS13)
    expect(fixture.removed).toEqual([])
  })

  test("is not due by the other role's counter (R2.9)", () => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode: SERVER | CLIENT })
    for (let turn = 0; turn < 255; turn++) visit(fixture, undefined, TLS12, false)
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    serveMany(fixture, 1, TLS12)
    expect(fixture.removed).toEqual([])
    visit(fixture, undefined, TLS12, false)
    expect(fixture.removed.map(([, reason]) => reason)).toEqual(['flush'])
  })

  test('comes after the new session is stored, for which it makes no room (R2.4a, R2.5)', () => {
    const fixture = testContext({ ...STATEFUL, sessionCacheSize: 1 })
    serveMany(fixture, 255, TLS12)
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    fixture.removed.length = 0
    serveMany(fixture, 1, TLS12)
    expect(fixture.removed.map(([, reason]) => reason)).toEqual(['evict'])
  })

  test('in steps, is switched off by NO_AUTO_CLEAR as well', () => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode: SERVER | NO_AUTO_CLEAR, clearingStep: 5 })
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    serveMany(fixture, 2, TLS12)
    expect(fixture.removed).toEqual([])
  })

  test('is skipped when its connection has nothing to store (R2.7), and comes with a resumed one', () => {
    const fixture = testContext(STATEFUL)
    serveMany(fixture, 255, TLS12)
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    serve(fixture, { ...offer12(), ticket: { status: 'empty' } }, withTickets(fixture))
    expect(fixture.removed).toEqual([])
    serveMany(fixture, 255, TLS12)
    const known = serve(fixture, offer12()).session
    expect(fixture.removed.length).toBe(1)
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 1000 }))
    for (let turn = 0; turn < 256; turn++) serve(fixture, offer12(known?.sessionId))
    expect(fixture.removed.length).toBe(2)
  })

  test('takes the whole second of the clock', () => {
    const fixture = testContext(STATEFUL)
    serveMany(fixture, 255, TLS12)
    fixture.context.addSession(makeSession(1, { timeSec: START_SEC - 100 }))
    fixture.clock.nowMs += 999
    serveMany(fixture, 1, TLS12)
    expect(fixture.removed).toEqual([])
  })

  function withTickets(fixture: ReturnType<typeof testContext>): SslConnection {
    const connection = fixture.context.newConnection()
    connection.clearOptions(SslOption.NO_TICKET)
    return connection
  }
})

describe('session tickets of TLS 1.2', () => {
  test.each([
    ['empty', { status: 'empty' } as const, true],
    ['undecryptable', { status: 'no-decrypt' } as const, true],
    ['ignored', { status: 'ignored' } as const, false],
    ['absent', undefined, false],
  ])('%s', (_, ticket, expected) => {
    const fixture = testContext()
    const connection = accepted(fixture)
    decide(connection, ticket === undefined ? offer12() : { ...offer12(), ticket })
    const hello = connection.serverHello()
    expect(hello.ticketExpected).toBe(expected)
    expect(hello.sessionId.length).toBe(expected ? 0 : 32)
  })

  test('undecryptable keep the session id from being tried', () => {
    const fixture = testContext()
    fixture.context.addSession(makeSession(1))
    expect(decide(accepted(fixture), { ...offer12(idOf(1)), ticket: { status: 'no-decrypt' } })).toEqual({
      resume: false,
      reason: 'ticket-undecryptable',
    })
    expect(fixture.context.stats).toMatchObject({ hits: 0, misses: 0 })
  })

  test('ignored or empty leave the session id to be tried', () => {
    const fixture = testContext()
    fixture.context.addSession(makeSession(1))
    for (const status of ['empty', 'ignored'] as const)
      expect(decide(accepted(fixture), { ...offer12(idOf(1)), ticket: { status } })).toMatchObject({
        source: 'internal',
      })
  })

  test('decrypted are resumed under the id of the ClientHello, and renewed when asked', () => {
    const fixture = testContext()
    const connection = accepted(fixture)
    const session = makeSession(0, { sessionId: new Uint8Array(0) })
    expect(
      decide(connection, { ...offer12(idOf(5)), ticket: { status: 'success-renew', session } }),
    ).toMatchObject({ resume: true, source: 'ticket' })
    expect(connection.serverHello()).toEqual({ sessionId: idOf(5), ticketExpected: true })
    expect(connection.issueTicket()).toEqual({ session, lifetimeHintSec: 0, stateful: false })
    connection.finishHandshake()
    expect(fixture.created).toEqual([])
  })

  test('without an id in the ClientHello keep theirs', () => {
    const fixture = testContext()
    const session = makeSession(3)
    decide(accepted(fixture), { ...offer12(), ticket: { status: 'success', session } })
    expect(session.sessionId).toEqual(idOf(3))
  })

  test('expired count a timeout, are not removed, and bring a new ticket', () => {
    const fixture = testContext()
    const connection = accepted(fixture)
    const session = makeSession(3, { timeSec: 5 })
    expect(decide(connection, { ...offer12(), ticket: { status: 'success', session } })).toEqual({
      resume: false,
      reason: 'expired',
    })
    expect(fixture.removed).toEqual([])
    expect(connection.serverHello().ticketExpected).toBe(true)
    expect(connection.issueTicket()).toMatchObject({ lifetimeHintSec: 7200 })
  })

  test('are not looked at with SSL_OP_NO_TICKET', () => {
    const fixture = testContext(STATEFUL)
    const connection = accepted(fixture)
    decide(connection, { ...offer12(), ticket: { status: 'empty' } })
    expect(connection.serverHello()).toMatchObject({ ticketExpected: false })
  })

  test('are not sent when NO_TICKET came after the ClientHello', () => {
    const connection = accepted(testContext())
    decide(connection, { ...offer12(), ticket: { status: 'empty' } })
    connection.setOptions(SslOption.NO_TICKET)
    expect(connection.serverHello().ticketExpected).toBe(false)
  })

  test('leave the server with nothing to store (R2.1)', () => {
    const fixture = testContext()
    serve(fixture, { ...offer12(), ticket: { status: 'empty' } })
    expect(fixture.created).toEqual([])
    expect(fixture.context.stats).toMatchObject({ number: 0, acceptGood: 1 })
  })
})

describe('the id of a new session (R8)', () => {
  test('is 32 random bytes', () => {
    expect(serve(testContext(STATEFUL), offer12()).session?.sessionId.length).toBe(32)
  })

  test('is drawn up to ten times while it is taken (R8.5)', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    fixture.draws.push(1, 1, 1, 1, 1, 1, 1, 1, 1, 2)
    expect(serve(fixture, offer12()).session?.sessionId).toEqual(idOf(2))
    fixture.draws.push(...new Array<number>(10).fill(1))
    expect(decide(accepted(fixture), offer12())).toEqual({
      resume: false,
      reason: 'session-id-callback-failed',
      alert: Alert.INTERNAL_ERROR,
    })
  })

  test('may be taken at another version (R8.7)', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1, { protocolVersion: 0x0302 }))
    fixture.draws.push(1)
    expect(serve(fixture, offer12()).session?.sessionId).toEqual(idOf(1))
  })

  test.each([1, 8, 32])('from a callback may have %i bytes (R8.6)', (length) => {
    const fixture = testContext({ ...STATEFUL, generateSessionId: () => new Uint8Array(length).fill(6) })
    expect(serve(fixture, offer12()).session?.sessionId).toEqual(new Uint8Array(length).fill(6))
  })

  test.each([
    ['of 0 bytes', () => new Uint8Array(0), 'session-id-bad-length'],
    ['of 33 bytes', () => new Uint8Array(33), 'session-id-bad-length'],
    ['that does not come', () => undefined, 'session-id-callback-failed'],
    ['that is taken', () => idOf(1), 'session-id-conflict'],
  ])('%s fails the handshake (R8.6, R8.7)', (_, generateSessionId, reason) => {
    const fixture = testContext({ ...STATEFUL, generateSessionId })
    fixture.context.addSession(makeSession(1))
    expect(decide(accepted(fixture), offer12())).toEqual({
      resume: false,
      reason,
      alert: Alert.INTERNAL_ERROR,
    })
    expect(fixture.context.stats.number).toBe(1)
  })

  test('from a callback that throws fails the handshake, with an event', () => {
    const fixture = testContext({
      ...STATEFUL,
      generateSessionId() {
        throw new Error('no id')
      },
    })
    expect(decide(accepted(fixture), offer12())).toMatchObject({ reason: 'session-id-callback-failed' })
    expect(fixture.events).toContainEqual(expect.objectContaining({ callback: 'generate-session-id' }))
  })

  test("comes from the connection's generator before the context's, which may come later (R8.4)", () => {
    const fixture = testContext(STATEFUL)
    const own = fixture.context.newConnection({ generateSessionId: () => idOf(3) })
    const other = fixture.context.newConnection()
    fixture.context.setGenerateSessionId(() => idOf(4))
    expect(serve(fixture, offer12(), own).session?.sessionId).toEqual(idOf(3))
    expect(serve(fixture, offer12(), other).session?.sessionId).toEqual(idOf(4))
  })

  test('that conflicts in TLS 1.3 takes the cached session with it, as the alert removes what has its id', () => {
    const fixture = testContext({ ...STATEFUL, generateSessionId: () => idOf(1) })
    fixture.context.addSession(makeTls13Session(1))
    const connection = accepted(fixture)
    decide(connection, offer13())
    connection.serverHello()
    connection.finishHandshake({ cipherSuite: 0x1302 })
    expect(connection.issueTicket()).toMatchObject({
      reason: 'session-id-conflict',
      alert: Alert.INTERNAL_ERROR,
    })
    expect(fixture.context.stats.number).toBe(0)
  })
})

describe('hasMatchingSessionId (R8.8)', () => {
  test("asks for the connection's version, whatever the mode", () => {
    const fixture = testContext({ sessionCacheMode: SERVER | NO_INTERNAL })
    fixture.context.addSession(makeTls13Session(1))
    const connection = fixture.context.newConnection()
    expect(connection.hasMatchingSessionId(idOf(1))).toBe(true)
    expect(connection.hasMatchingSessionId(idOf(2))).toBe(false)
    expect(connection.hasMatchingSessionId(new Uint8Array(33))).toBe(false)
    connection.accept()
    decide(connection, offer12())
    expect(connection.hasMatchingSessionId(idOf(1))).toBe(false)
    // SSL_clear makes it one of any version again.
    connection.clear()
    expect(connection.hasMatchingSessionId(idOf(1))).toBe(true)
  })
})
