import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption } from '../../../src/session/ssl-constants.ts'
import {
  idOf,
  makeSession,
  STATEFUL,
  type TestContext,
  TLS12,
  TLS13,
  testContext,
  visit,
} from '../../tools/model-fixtures.ts'
import { ANY, connecting, ticketed } from './connecting.ts'

const { CLIENT } = SessionCacheMode

describe('the bad-session rule (R11.7)', () => {
  const established = (fixture: TestContext): SslConnection => visit(fixture, undefined, TLS12, false)
  const ends: [string, (connection: SslConnection) => unknown][] = [
    ['free', (connection) => connection.free()],
    ['clear', (connection) => connection.clear()],
    ['setSession', (connection) => connection.setSession(makeSession(5))],
  ]

  test.each(ends)('%s of a connection that was not shut down ends its session', (_, end) => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const connection = established(fixture)
    const { session } = connection
    end(connection)
    expect(session?.isResumable).toBe(false)
    expect(fixture.removed).toEqual([[session, 'delete']])
  })

  test.each(ends)('%s after close_notify was sent leaves it', (_, end) => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const connection = established(fixture)
    const { session } = connection
    connection.shutdown()
    end(connection)
    expect(session?.isResumable).toBe(true)
  })

  test('having received close_notify is not enough', () => {
    const fixture = testContext()
    const connection = established(fixture)
    const { session } = connection
    connection.receiveAlert('warning', Alert.CLOSE_NOTIFY)
    connection.free()
    expect(session?.isResumable).toBe(false)
  })

  test.each([
    ['before a handshake', (fixture: TestContext) => fixture.context.newConnection()],
    ['within a handshake', (fixture: TestContext) => connecting(fixture)],
  ])('does not apply %s', (_, make) => {
    const fixture = testContext()
    const connection = make(fixture)
    const session = makeSession(1)
    connection.setSession(session)
    connection.free()
    expect(session.isResumable).toBe(true)
    expect(connection.session).toBeUndefined()
  })

  test('does not apply to a server that has not finished', () => {
    const fixture = testContext(STATEFUL)
    const connection = fixture.context.newConnection()
    connection.accept()
    connection.free()
    expect(fixture.removed).toEqual([])
  })

  test('clear keeps a session that was shut down, and offers it again', () => {
    const connection = established(testContext())
    const { session } = connection
    connection.shutdown()
    expect(connection.clear()).toBe(true)
    expect(connection.session).toBe(session)
    expect(connection.sessionReused).toBe(false)
    connection.connect()
    expect(connection.clientHello(ANY).sessionId).toEqual(idOf(0xee))
  })
})

describe('shutdown', () => {
  test('is complete once both sides have sent close_notify', () => {
    const connection = visit(testContext(), undefined, TLS13, false)
    expect(connection.shutdown()).toBe(false)
    connection.receiveAlert('warning', Alert.CLOSE_NOTIFY)
    expect(connection.shutdown()).toBe(true)
  })

  test('that is quiet counts as both', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    connection.setQuietShutdown(true)
    expect(connection.shutdown()).toBe(true)
  })
})

describe('alerts (R5.2)', () => {
  test.each([
    ['sent', (connection: SslConnection) => connection.sendAlert('fatal', 20)],
    ['received', (connection: SslConnection) => connection.receiveAlert('fatal', 20)],
  ])('a fatal one that is %s ends the session', (_, alert) => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const connection = visit(fixture, undefined, TLS12, false)
    const { session } = connection
    alert(connection)
    expect(fixture.removed).toEqual([[session, 'delete']])
    connection.free()
    expect(fixture.removed.length).toBe(1)
  })

  test('is dropped, with no effect on the session, once close_notify was sent', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    connection.shutdown()
    expect(connection.sendAlert('fatal', 20)).toBe(false)
    expect(connection.sendAlert('warning', Alert.CLOSE_NOTIFY)).toBe(true)
    expect(connection.session?.isResumable).toBe(true)
  })

  test('a warning leaves the session', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    connection.sendAlert('warning', 90)
    connection.receiveAlert('warning', 90)
    expect(connection.session?.isResumable).toBe(true)
  })

  test.each([
    [Alert.USER_CANCELED, true],
    [40, false],
  ])(
    'of TLS 1.3 is fatal whatever its level, but for user_canceled: after %i resumable is %s',
    (description, resumable) => {
      const connection = visit(testContext(), ticketed(), TLS13, true)
      connection.receiveAlert('warning', description)
      expect(connection.session?.isResumable).toBe(resumable)
    },
  )

  test.each([
    ['warning', true],
    ['fatal', false],
  ] as const)('of TLS 1.2 that is close_notify and %s: resumable is %s', (level, resumable) => {
    const connection = visit(testContext(), makeSession(1), TLS12, true)
    connection.receiveAlert(level, Alert.CLOSE_NOTIFY)
    expect(connection.session?.isResumable).toBe(resumable)
  })

  test('is a warning, and no more, before the version is known', () => {
    const fixture = testContext()
    const connection = fixture.context.newConnection()
    const session = makeSession(1)
    connection.setSession(session)
    connection.connect()
    connection.clientHello(ANY)
    // A server of TLS 1.2 that does not know the name says so ahead of its ServerHello.
    connection.receiveAlert('warning', 112)
    expect(session.isResumable).toBe(true)
    expect(connection.isHandshaking).toBe(true)
    connection.receiveHelloRetryRequest()
    connection.receiveAlert('warning', 112)
    expect(session.isResumable).toBe(false)
  })

  test('no_renegotiation ends a client that asked for it', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    connection.connect()
    connection.receiveAlert('warning', Alert.NO_RENEGOTIATION)
    expect(connection.session?.isResumable).toBe(false)
    expect(connection.isHandshaking).toBe(false)
  })

  test('without a session has nothing to end', () => {
    const fixture = testContext()
    const connection = fixture.context.newConnection()
    connection.accept()
    connection.sendAlert('fatal', 40)
    expect(fixture.removed).toEqual([])
  })
})

describe('an unexpected end of the transport (R11.7)', () => {
  test('is a fatal decode_error that ends the session', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    expect(connection.unexpectedEof()).toBe(true)
    expect(connection.session?.isResumable).toBe(false)
  })

  test('after close_notify was sent leaves the session, and no alert is sent', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    connection.shutdown()
    expect(connection.unexpectedEof()).toBe(false)
    expect(connection.session?.isResumable).toBe(true)
  })

  test('with IGNORE_UNEXPECTED_EOF is a clean close from the other side', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    connection.setOptions(SslOption.IGNORE_UNEXPECTED_EOF)
    expect(connection.unexpectedEof()).toBe(false)
    expect(connection.session?.isResumable).toBe(true)
    expect(connection.shutdown()).toBe(true)
  })
})
