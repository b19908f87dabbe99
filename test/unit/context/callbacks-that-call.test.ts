import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionRangeError, SessionStateError } from '../../../src/errors.ts'
import type { TicketStatus } from '../../../src/session/offer.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption } from '../../../src/session/ssl-constants.ts'
import {
  decide,
  idOf,
  issueAll,
  makeSession,
  makeTls13Session,
  offer12,
  offer13,
  serve,
  TLS13,
  testContext,
  visit,
} from '../../tools/model-fixtures.ts'
import { accepted } from './accepted.ts'

// What libssl 3.0.22 and 3.5.9 do, seen with programs of their own.

const STATEFUL = { options: SslOption.NO_TICKET }

describe('a callback that hears of a new session', () => {
  test('asks for one more ticket in vain: those of the handshake are not written yet', () => {
    const asked: unknown[] = []
    const fixture = testContext({
      ...STATEFUL,
      newSessionCallback: (connection) => asked.push((connection as SslConnection).newSessionTicket()),
    })
    const connection = serve(fixture, offer13())
    expect(asked).toEqual([false, false])
    expect(connection.newSessionTicket()).toBe(true)
    issueAll(connection)
    expect(asked).toEqual([false, false, false])
  })

  test.each([
    [1, 3, 3],
    [5, 1, 1],
  ])('changes the number of tickets from %i to %i, and so many are written', (before, after, written) => {
    let count = 0
    const fixture = testContext({
      ...STATEFUL,
      newSessionCallback: (connection) => {
        count++
        ;(connection as SslConnection).setNumTickets(after)
      },
    })
    const connection = fixture.context.newConnection()
    connection.setNumTickets(before)
    serve(fixture, offer13(), connection)
    expect(count).toBe(written)
  })

  test('cannot shut the connection down, which costs the session its life when the connection is freed', () => {
    const thrown: unknown[] = []
    const fixture = testContext({
      newSessionCallback: (connection) => {
        try {
          ;(connection as SslConnection).shutdown()
        } catch (error) {
          thrown.push(error)
        }
      },
    })
    fixture.context.setSessionCacheMode(SessionCacheMode.BOTH)
    const connection = visit(fixture, undefined, 0x0303, false)
    expect(thrown).toEqual([expect.any(SessionStateError)])
    connection.free()
    expect(fixture.removed).toHaveLength(1)
  })

  test('changes the mode for the next session', () => {
    const fixture = testContext({
      newSessionCallback: () => fixture.context.setSessionCacheMode(SessionCacheMode.SERVER | NO_AUTO_CLEAR),
    })
    const { NO_AUTO_CLEAR } = SessionCacheMode
    const stale = makeSession(1, { timeSec: 5 })
    fixture.context.addSession(stale)
    for (let count = 0; count < 254; count++) serve(fixture, offer12())
    fixture.context.setSessionCacheMode(SessionCacheMode.SERVER)
    serve(fixture, offer12())
    expect(fixture.removed).toEqual([])
    // The 256th, when 255 have been counted.
    fixture.context.setSessionCacheMode(SessionCacheMode.SERVER)
    serve(fixture, offer12())
    expect(fixture.removed).toEqual([[stale, 'flush']])
  })
})

describe('a connection whose tickets are not all written', () => {
  test('is in a handshake still, so that to free it ends no session', () => {
    const fixture = testContext(STATEFUL)
    const connection = accepted(fixture)
    decide(connection, offer13())
    connection.serverHello()
    connection.finishHandshake({ cipherSuite: 0x1302, masterKey: new Uint8Array(48) })
    connection.issueTicket({ masterKey: new Uint8Array(48).fill(8) })
    expect(connection.isTicketDue).toBe(true)
    expect(() => connection.shutdown()).toThrow(SessionStateError)
    const { session } = connection
    connection.free()
    expect(session?.isResumable).toBe(true)
    expect(fixture.removed).toEqual([])
  })

  test('keeps what was asked for when it is cleared', () => {
    const fixture = testContext({ ...STATEFUL, numTickets: 0 })
    const connection = serve(fixture, offer13())
    expect([fixture.created.length, connection.newSessionTicket()]).toEqual([0, true])
    connection.clear()
    serve(fixture, offer13(), connection)
    expect(fixture.created).toHaveLength(1)
  })
})

describe('an answer that is none', () => {
  test.each([null, 'id', [1, 2], 0, {}])(
    'of a generator of session ids, %j, fails the handshake',
    (answer) => {
      const fixture = testContext({ generateSessionId: () => answer as never })
      const connection = accepted(fixture)
      expect(decide(connection, offer12())).toMatchObject({
        reason: 'session-id-callback-failed',
        alert: Alert.INTERNAL_ERROR,
      })
    },
  )

  test('a promise of a session id fails the handshake, and its rejection is told of', async () => {
    const fixture = testContext({ generateSessionId: (() => Promise.reject(new Error('late'))) as never })
    expect(decide(accepted(fixture), offer12())).toMatchObject({ alert: Alert.INTERNAL_ERROR })
    await new Promise((resolve) => setImmediate(resolve))
    expect(fixture.events).toContainEqual(
      expect.objectContaining({ type: 'callback-error', callback: 'generate-session-id' }),
    )
  })

  test.each([undefined, 0, 1, 'yes', Promise.resolve(true)])(
    'of a verifier of binders, %s, refuses',
    (answer) => {
      const fixture = testContext(STATEFUL)
      fixture.context.addSession(makeTls13Session(1))
      const psk = { identity: idOf(1), verifyBinder: () => answer as never }
      expect(decide(accepted(fixture), { ...offer13(), pskIdentities: [psk] })).toMatchObject({
        reason: 'binder-mismatch',
        alert: Alert.DECRYPT_ERROR,
      })
    },
  )
})

describe('a ticket is resumed by a success alone', () => {
  const session = (version: number): ReturnType<typeof makeSession> =>
    version === TLS13 ? makeTls13Session(1) : makeSession(1)

  test.each<[TicketStatus, boolean]>([
    ['success', true],
    ['success-renew', true],
    ['ignored', false],
    ['empty', false],
    ['no-decrypt', false],
  ])('%s: %s', (status, resumes) => {
    const ticket12 = { status, session: session(0x0303) }
    expect(decide(accepted(testContext()), { ...offer12(), ticket: ticket12 }).resume).toBe(resumes)
    const psk = { identity: Uint8Array.of(1), ticket: { status, session: session(TLS13) } }
    expect(decide(accepted(testContext()), { ...offer13(), pskIdentities: [psk] }).resume).toBe(resumes)
  })
})

test('any number of PSK identities is looked at', () => {
  const fixture = testContext(STATEFUL)
  fixture.context.addSession(makeTls13Session(1))
  const identities = Array.from({ length: 20_000 }, () => idOf(2))
  expect(decide(accepted(fixture), offer13(...identities, idOf(1)))).toMatchObject({
    resume: true,
    pskIdentity: 20_000,
  })
  expect(decide(accepted(fixture), offer13(...identities))).toMatchObject({ reason: 'not-found' })
})

test('an expired session that anti-replay has deleted is removed once', () => {
  const fixture = testContext({ maxEarlyData: 100 })
  const stale = makeTls13Session(1, { timeSec: 5 })
  fixture.context.addSession(stale)
  expect(decide(accepted(fixture), offer13(idOf(1)))).toMatchObject({ reason: 'expired' })
  expect(fixture.removed).toEqual([[stale, 'delete']])
  expect(fixture.context.stats.timeouts).toBe(1)
})

test('the not-resumable callback is told of no forward secrecy in TLS 1.3, whose suites do not name a key exchange', () => {
  const told: boolean[] = []
  const fixture = testContext({
    notResumableCallback: (_, isForwardSecure) => {
      told.push(isForwardSecure)
      return false
    },
  })
  serve(fixture, offer12())
  serve(fixture, offer13())
  expect(told).toEqual([true, false])
})

test('TLS 1.3 has no renegotiation', () => {
  const fixture = testContext(STATEFUL)
  const connection = serve(fixture, offer13())
  expect(() => connection.accept()).toThrow(SessionStateError)
  expect(fixture.context.stats.acceptRenegotiate).toBe(0)
})

test('a session id has 32 bytes at most', () => {
  const fixture = testContext()
  const long = new Uint8Array(33)
  expect(() => accepted(fixture).resumeSession(offer12(long))).toThrow(SessionRangeError)
  const client = fixture.context.newConnection()
  client.connect()
  client.clientHello({ minVersion: 0x0303, maxVersion: 0x0303 })
  const hello = { protocolVersion: 0x0303, sessionId: long, cipherSuite: 0xc02c }
  expect(() => client.processServerHello(hello)).toThrow(SessionRangeError)
})
