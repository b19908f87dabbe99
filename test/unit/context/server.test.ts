import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionStateError } from '../../../src/errors.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption } from '../../../src/session/ssl-constants.ts'
import type { SslSession } from '../../../src/session/ssl-session.ts'
import {
  decide,
  idOf,
  makeSession,
  makeTls13Session,
  offer12,
  offer13,
  STATEFUL,
  serve,
  TLS12,
  TLS13,
  testContext,
  visit,
} from '../../tools/model-fixtures.ts'
import { accepted } from './accepted.ts'

const { SERVER, NO_INTERNAL_LOOKUP, OFF } = SessionCacheMode

describe('renegotiation', () => {
  test('counts as such, and may resume', () => {
    const fixture = testContext(STATEFUL)
    const connection = serve(fixture, offer12())
    serve(fixture, offer12(connection.session?.sessionId), connection)
    expect(connection.sessionReused).toBe(true)
    expect(fixture.context.stats).toMatchObject({ accept: 1, acceptRenegotiate: 1, acceptGood: 2, hits: 1 })
  })

  test('does not resume with NO_SESSION_RESUMPTION_ON_RENEGOTIATION, unless the server asked for it abbreviated', () => {
    const fixture = testContext({
      options: SslOption.NO_TICKET | SslOption.NO_SESSION_RESUMPTION_ON_RENEGOTIATION,
    })
    const connection = serve(fixture, offer12())
    const offer = offer12(connection.session?.sessionId)
    connection.accept('abbreviated')
    expect(decide(connection, offer).resume).toBe(true)
    connection.finishHandshake()
    connection.accept()
    expect(decide(connection, offer)).toEqual({ resume: false, reason: 'renegotiation' })
    expect(fixture.context.stats.misses).toBe(0)
  })

  test('may not drop the extended master secret (RFC 7627 §5.4)', () => {
    const fixture = testContext(STATEFUL)
    const connection = serve(fixture, { ...offer12(), extendedMasterSecret: true })
    connection.accept()
    expect(decide(connection, { ...offer12(), extendedMasterSecret: false })).toMatchObject({
      reason: 'extended-master-secret-dropped',
      alert: Alert.HANDSHAKE_FAILURE,
    })
  })

  test('cannot be cleared in its midst', () => {
    const connection = serve(testContext(STATEFUL), offer12())
    connection.accept()
    expect(connection.clear()).toBe(false)
  })
})

describe('switching contexts (R2.8, R9.2)', () => {
  test('counts the success where it ends, and keeps the cache of where it began', () => {
    const [first, second] = [testContext(STATEFUL), testContext({ sessionIdContext: 'second' })]
    const connection = accepted(first)
    second.context.adoptConnection(connection)
    expect(Buffer.from(connection.sessionIdContext).toString()).toBe('second')
    decide(connection, offer12())
    connection.serverHello()
    connection.finishHandshake({ cipherSuite: 1 })
    expect(first.context.stats).toMatchObject({ accept: 0, acceptGood: 0, number: 1 })
    expect(second.context.stats).toMatchObject({ accept: 1, acceptGood: 1, number: 0 })
    connection.accept()
    expect(second.context.stats.acceptRenegotiate).toBe(1)
  })

  test("keeps a connection's own session id context", () => {
    const [first, second] = [testContext(), testContext({ sessionIdContext: 'second' })]
    const connection = first.context.newConnection({ sessionIdContext: Uint8Array.of(9) })
    second.context.adoptConnection(connection)
    expect(connection.sessionIdContext).toEqual(Uint8Array.of(9))
    expect(second.context.stats.accept).toBe(0)
  })

  test('blanks the id by the mode of where it is', () => {
    const [first, second] = [testContext(STATEFUL), testContext({ sessionCacheMode: OFF })]
    const connection = accepted(first)
    second.context.adoptConnection(connection)
    decide(connection, offer12())
    expect(connection.serverHello().sessionId.length).toBe(0)
  })
})

describe('a session that another TLS stack made', () => {
  test("takes the place of the model's, stamped with the connection's context", () => {
    const fixture = testContext({ ...STATEFUL, sessionIdContext: 'x' })
    const connection = accepted(fixture)
    decide(connection, offer12())
    const made = makeSession(7)
    connection.adoptSession(made)
    connection.finishHandshake()
    expect(fixture.created).toEqual([made])
    expect(Buffer.from(made.sessionIdContext).toString()).toBe('x')
  })
})

describe('calls at the wrong moment', () => {
  test.each([
    ['resumeSession', (connection: SslConnection) => connection.resumeSession(offer12())],
    ['serverHello', (connection: SslConnection) => connection.serverHello()],
    ['finishHandshake', (connection: SslConnection) => connection.finishHandshake()],
    ['issueTicket', (connection: SslConnection) => connection.issueTicket()],
    ['shutdown', (connection: SslConnection) => connection.shutdown()],
    [
      'clientHello',
      (connection: SslConnection) => connection.clientHello({ minVersion: 771, maxVersion: 772 }),
    ],
  ])('%s before a handshake is an ERR_SESSION_STATE', (name, call) => {
    expect(() => call(testContext().context.newConnection())).toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_STATE', message: expect.stringContaining(name) }),
    )
  })

  test('accept within a handshake, and a session before there is one', () => {
    const connection = accepted(testContext())
    expect(connection.isHandshaking).toBe(true)
    expect(() => connection.accept()).toThrow(expect.objectContaining({ code: 'ERR_SESSION_STATE' }))
    expect(() => connection.serverHello()).toThrow(/there is no session yet/)
  })
})

describe('what no trace can show', () => {
  test('a new session of a server is X509_V_OK before anybody was verified', () => {
    const { context } = testContext()
    for (const offer of [offer12(), offer13()]) {
      const connection = context.newConnection()
      connection.accept()
      decide(connection, offer)
      expect(connection.session?.verifyResult).toBe(0)
    }
  })

  test('a fatal alert that is sent ends the connection also after close_notify', () => {
    const connection = serve(testContext(), offer12())
    connection.shutdown()
    connection.receiveAlert('warning', Alert.CLOSE_NOTIFY)
    connection.sendAlert('fatal', Alert.HANDSHAKE_FAILURE)
    expect(() => connection.accept()).toThrow(SessionStateError)
  })

  // SSL_read of 3.0 and 3.5 answers SSL_ERROR_ZERO_RETURN to whatever comes then.
  test('nothing is read after close_notify: the session lives', () => {
    const fixture = testContext()
    const connection = serve(fixture, offer12())
    connection.receiveAlert('warning', Alert.CLOSE_NOTIFY)
    connection.receiveAlert('fatal', Alert.HANDSHAKE_FAILURE)
    expect(connection.unexpectedEof()).toBe(false)
    expect(connection.session?.isResumable).toBe(true)
    expect(connection.shutdown()).toBe(true)
    expect(fixture.removed).toEqual([])
  })

  test('nothing is read after a fatal alert: it is told of once', () => {
    const fixture = testContext()
    const connection = serve(fixture, offer12())
    connection.receiveAlert('fatal', Alert.HANDSHAKE_FAILURE)
    expect(connection.unexpectedEof()).toBe(false)
    expect(fixture.removed).toHaveLength(1)
  })

  test('a HelloRetryRequest drops what was found', () => {
    const fixture = testContext({ options: SslOption.NO_TICKET })
    const session = makeTls13Session(1)
    fixture.context.addSession(session)
    const connection = fixture.context.newConnection()
    connection.accept()
    expect(decide(connection, offer13(idOf(1)))).toMatchObject({ resume: true })
    connection.helloRetryRequest()
    expect([connection.session, connection.sessionReused]).toEqual([undefined, false])
  })

  test('a client has no tickets to send', () => {
    const connection = visit(testContext(), undefined, TLS13, false)
    expect(connection.newSessionTicket()).toBe(false)
    expect(connection.isTicketDue).toBe(false)
  })

  test('an answer about the first ClientHello is none about the second (D7)', async () => {
    const answers: ((session: SslSession | undefined) => void)[] = []
    const { context } = testContext({
      options: SslOption.NO_TICKET,
      sessionCacheMode: SERVER | NO_INTERNAL_LOOKUP,
      getSessionCallback: () => new Promise((resolve) => answers.push(resolve)),
    })
    const connection = context.newConnection()
    connection.accept()
    const first = connection.resumeSession(offer13(idOf(1)))
    connection.helloRetryRequest()
    decide(connection, offer13())
    const { session } = connection
    answers[0]?.(makeTls13Session(1))
    expect(await first).toMatchObject({ resume: false, reason: 'abandoned' })
    expect(connection.session).toBe(session)
    expect(connection.sessionReused).toBe(false)
  })

  test('a session that the stack has resumed by itself is of this connection from then on', () => {
    const { context } = testContext({ sessionIdContext: Uint8Array.of(1) })
    const connection = context.newConnection()
    connection.accept()
    const session = makeSession(1, { sessionIdContext: Uint8Array.of(2) })
    connection.recordOutcome({ protocolVersion: TLS12, resumed: { session, isTicket: true } })
    expect([connection.session, connection.sessionReused]).toEqual([session, true])
    expect(session.sessionIdContext).toEqual(Uint8Array.of(1))
  })
})
