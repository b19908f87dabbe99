import { describe, expect, test } from 'vitest'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption, TLS1_2_VERSION, VerifyMode } from '../../../src/session/ssl-constants.ts'
import {
  decide,
  idOf,
  issueAll,
  makeTls13Session,
  offer12,
  offer13,
  START_SEC,
  STATEFUL,
  serve,
  testContext,
} from '../../tools/model-fixtures.ts'
import { accepted } from './accepted.ts'

const { SERVER, NO_INTERNAL, NO_INTERNAL_STORE } = SessionCacheMode

describe('a TLS 1.3 server with stateful tickets', () => {
  test('resumes the same ticket any number of times, and stores one more session each time (R10.8)', () => {
    const fixture = testContext(STATEFUL)
    const ticket = serve(fixture, offer13()).session?.sessionId ?? idOf(0)
    const numbers = [1, 2, 3].map(() => {
      expect(serve(fixture, offer13(ticket)).sessionReused).toBe(true)
      return fixture.context.stats.number
    })
    expect(numbers).toEqual([3, 4, 5])
  })

  test('asks the external cache for a ticket of 32 bytes', () => {
    const fixture = testContext({
      ...STATEFUL,
      sessionCacheMode: SERVER | NO_INTERNAL_STORE,
      getSessionCallback: () => makeTls13Session(1),
    })
    expect(serve(fixture, offer13(idOf(1))).sessionReused).toBe(true)
    expect(fixture.context.stats).toMatchObject({ misses: 1, cbHits: 1, hits: 1, number: 0 })
  })

  test.each([31, 33, 200])('does not look up a ticket of %i bytes (R8.9)', (length) => {
    const fixture = testContext(STATEFUL)
    expect(decide(accepted(fixture), offer13(new Uint8Array(length)))).toEqual({
      resume: false,
      reason: 'ticket-undecryptable',
    })
    expect(fixture.context.stats.misses).toBe(0)
  })

  test('fails on an empty identity', () => {
    expect(decide(accepted(testContext(STATEFUL)), offer13(new Uint8Array(0)))).toEqual({
      resume: false,
      reason: 'empty-psk-identity',
      alert: Alert.DECODE_ERROR,
    })
  })

  test('removes an expired session (D6), and issues as many tickets as for a full handshake (R10.13)', () => {
    const fixture = testContext(STATEFUL)
    const stale = makeTls13Session(1, { timeSec: 5 })
    fixture.context.addSession(stale)
    serve(fixture, offer13(idOf(1)))
    expect(fixture.removed).toEqual([[stale, 'expire']])
    expect(fixture.context.stats).toMatchObject({ timeouts: 1, number: 2 })
  })

  test('ignores PSKs without a key exchange mode of its own', () => {
    const fixture = testContext(STATEFUL)
    expect(decide(accepted(fixture), { ...offer13(idOf(1)), pskModeSupported: false })).toEqual({
      resume: false,
      reason: 'psk-modes-unsupported',
    })
    expect(fixture.context.stats.misses).toBe(0)
  })

  test('fails where there are PSKs and no key exchange modes', () => {
    const connection = accepted(testContext(STATEFUL))
    const { pskModeSupported: _, ...silent } = offer13(idOf(1))
    expect(decide(connection, silent)).toEqual({
      resume: false,
      reason: 'psk-modes-unsupported',
      alert: Alert.MISSING_EXTENSION,
    })
    expect(connection.isHandshaking).toBe(false)
  })

  test('issues tickets to a client without a key exchange mode of its own, as 3.5 does (R10.12)', () => {
    const fixture = testContext(STATEFUL)
    serve(fixture, { ...offer13(idOf(1)), pskModeSupported: false })
    expect(fixture.created.length).toBe(2)
  })

  test('tries every identity', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(4))
    const pskIdentities = [1, 2, 3, 4].map((id) => ({ identity: idOf(id) }))
    expect(decide(accepted(fixture), { ...offer13(), pskIdentities })).toMatchObject({
      resume: true,
      pskIdentity: 3,
    })
  })

  test('refuses a PSK of another hash, and issues tickets all the same', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(1, { cipherSuite: 0x1301 }))
    const connection = serve(fixture, offer13(idOf(1)))
    expect(connection.sessionReused).toBe(false)
    expect(fixture.events).toContainEqual(
      expect.objectContaining({ verdict: { resume: false, reason: 'cipher-hash-mismatch' } }),
    )
    expect(fixture.context.stats.number).toBe(3)
  })

  test('fails on a session with the flag of the extended master secret, which TLS 1.3 does not know', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(1, { flags: 1 }))
    expect(decide(accepted(fixture), offer13(idOf(1)))).toMatchObject({
      reason: 'extended-master-secret-dropped',
      alert: Alert.HANDSHAKE_FAILURE,
    })
    expect(fixture.context.stats.number).toBe(0)
  })

  test('fails when the binder does not verify; the session stays', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(1))
    const offer = { ...offer13(), pskIdentities: [{ identity: idOf(1), verifyBinder: () => false }] }
    expect(decide(accepted(fixture), offer)).toEqual({
      resume: false,
      reason: 'binder-mismatch',
      alert: Alert.DECRYPT_ERROR,
    })
    expect(fixture.context.stats).toMatchObject({ number: 1, hits: 0 })
  })

  test('loses the session when it verifies clients without a context (the alert is its end)', () => {
    const fixture = testContext({ ...STATEFUL, verifyMode: VerifyMode.PEER })
    const session = makeTls13Session(1)
    fixture.context.addSession(session)
    expect(decide(accepted(fixture), offer13(idOf(1)))).toMatchObject({ alert: Alert.INTERNAL_ERROR })
    expect(fixture.removed).toEqual([[session, 'delete']])
  })

  test('with an external PSK stamps and copies it, and never removes it', () => {
    const fixture = testContext({ ...STATEFUL, sessionIdContext: 'x', maxEarlyData: 9 })
    const psk = makeTls13Session(1, { ticket: Uint8Array.of(1) })
    const offer = { ...offer13(), pskIdentities: [{ identity: idOf(9), externalPsk: psk }] }
    const verdict = decide(accepted(fixture), offer)
    expect(verdict).toMatchObject({ resume: true, source: 'external-psk', earlyDataAllowed: true })
    expect(verdict.resume && verdict.session).not.toBe(psk)
    expect(psk.sessionIdContext.length).toBe(0)
  })

  test('with an expired external PSK counts a timeout and removes nothing', () => {
    const fixture = testContext(STATEFUL)
    const offer = {
      ...offer13(),
      pskIdentities: [{ identity: idOf(9), externalPsk: makeTls13Session(1, { timeSec: 5 }) }],
    }
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'expired' })
    expect(fixture.removed).toEqual([])
  })

  test('after a HelloRetryRequest decides anew, and counts the hit twice (R7)', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(1))
    const connection = accepted(fixture)
    decide(connection, offer13(idOf(1)))
    connection.serverHello()
    connection.helloRetryRequest()
    expect([connection.session, connection.sessionReused]).toEqual([undefined, false])
    expect(decide(connection, offer13(idOf(1)))).toMatchObject({ resume: true, earlyDataAllowed: false })
    expect(fixture.context.stats).toMatchObject({ hits: 2, accept: 1 })
  })
})

describe('anti-replay (R10.8, R10.9)', () => {
  const options = { maxEarlyData: 100 }

  test('makes tickets stateful and lets each be used once', () => {
    const fixture = testContext(options)
    const ticket = serve(fixture, offer13()).session?.sessionId ?? idOf(0)
    expect(serve(fixture, offer13(ticket)).sessionReused).toBe(true)
    expect(serve(fixture, offer13(ticket)).sessionReused).toBe(false)
    expect(fixture.context.stats.misses).toBe(1)
  })

  test('uses up a ticket also when its hash is another, and nothing is resumed', () => {
    const fixture = testContext(options)
    const session = makeTls13Session(1, { cipherSuite: 0x1301 })
    fixture.context.addSession(session)
    expect(decide(accepted(fixture), offer13(idOf(1)))).toEqual({
      resume: false,
      reason: 'cipher-hash-mismatch',
    })
    expect(fixture.removed).toEqual([[session, 'delete']])
  })

  test('refuses what was not in the internal cache', () => {
    const fixture = testContext({
      ...options,
      sessionCacheMode: SERVER | NO_INTERNAL,
      getSessionCallback: () => makeTls13Session(1),
    })
    expect(decide(accepted(fixture), offer13(idOf(1)))).toEqual({ resume: false, reason: 'replayed' })
  })

  test('kills resumption through a HelloRetryRequest', () => {
    const fixture = testContext(options)
    fixture.context.addSession(makeTls13Session(1))
    const connection = accepted(fixture)
    expect(decide(connection, offer13(idOf(1))).resume).toBe(true)
    connection.helloRetryRequest()
    expect(decide(connection, offer13(idOf(1)))).toEqual({ resume: false, reason: 'not-found' })
    expect(fixture.context.stats).toMatchObject({ hits: 1, misses: 1 })
  })

  test('is off with NO_ANTI_REPLAY, and tickets are stateless', () => {
    const fixture = testContext({ ...options, options: SslOption.NO_ANTI_REPLAY })
    const connection = accepted(fixture)
    decide(connection, offer13())
    connection.serverHello()
    connection.finishHandshake({ cipherSuite: 0x1302 })
    expect(connection.issueTicket()).toMatchObject({ stateful: false })
  })

  test.each([
    ['the first identity in time', 0, 0, true],
    ['the first identity with an incredible age', 0, 60_000, false],
    ['the second identity', 1, 0, false],
  ])('early data for %s', (_, index, age, allowed) => {
    const fixture = testContext(options)
    fixture.context.addSession(makeTls13Session(1))
    const known = { identity: idOf(1), obfuscatedTicketAge: age }
    const identities = index === 0 ? [known] : [{ identity: idOf(9) }, known]
    expect(decide(accepted(fixture), { ...offer13(), pskIdentities: identities })).toMatchObject({
      resume: true,
      earlyDataAllowed: allowed,
      pskIdentity: index,
    })
  })

  test('without an age given the ticket counts as new', () => {
    const fixture = testContext(options)
    fixture.context.addSession(makeTls13Session(1))
    expect(decide(accepted(fixture), offer13(idOf(1)))).toMatchObject({ earlyDataAllowed: true })
  })

  test('is refused after a HelloRetryRequest, RFC 9846 §4.3.10 (RFC 8446 §4.2.10)', () => {
    const fixture = testContext({ ...options, options: SslOption.NO_TICKET | SslOption.NO_ANTI_REPLAY })
    fixture.context.addSession(makeTls13Session(1))
    const connection = accepted(fixture)
    expect(decide(connection, offer13(idOf(1)))).toMatchObject({ earlyDataAllowed: true })
    connection.serverHello()
    connection.helloRetryRequest()
    expect(decide(connection, offer13(idOf(1)))).toMatchObject({ resume: true, earlyDataAllowed: false })
  })
})

describe('tickets of TLS 1.3', () => {
  test('stateless, leave the internal cache empty, but are reported each (R10.6)', () => {
    const fixture = testContext()
    fixture.context.setRemoveSessionCallback()
    serve(fixture, offer13())
    expect(fixture.created.length).toBe(2)
    expect(
      new Set(fixture.created.map((session) => Buffer.from(session.sessionId).toString('hex'))).size,
    ).toBe(2)
    expect(fixture.context.stats.number).toBe(0)
  })

  test('stateless, are kept internally once a remove callback is there (R10.6)', () => {
    const fixture = testContext()
    serve(fixture, offer13())
    expect(fixture.context.stats.number).toBe(2)
  })

  test.each([0, 1, 5])(
    'are %i after a full handshake, and at most one after a resumption (R10.2)',
    (numTickets) => {
      const fixture = testContext({ ...STATEFUL, numTickets })
      serve(fixture, offer13())
      expect(fixture.created.length).toBe(numTickets)
      fixture.context.addSession(makeTls13Session(1))
      serve(fixture, offer13(idOf(1)))
      expect(fixture.created.length).toBe(numTickets + Math.min(numTickets, 1))
    },
  )

  test.each([
    ['success', 0],
    ['success-renew', 1],
  ] as const)('stateless, with %s bring %i new ones (R10.3)', (status, count) => {
    const fixture = testContext()
    const offer = {
      ...offer13(),
      pskIdentities: [{ identity: new Uint8Array(200), ticket: { status, session: makeTls13Session(1) } }],
    }
    expect(serve(fixture, offer).sessionReused).toBe(true)
    expect(fixture.created.length).toBe(count)
  })

  test('stateless, of another hash, bring as many as a full handshake, even when they need no renewal', () => {
    const fixture = testContext()
    const session = makeTls13Session(1, { cipherSuite: 0x1301 })
    const offer = {
      ...offer13(),
      pskIdentities: [{ identity: new Uint8Array(200), ticket: { status: 'success' as const, session } }],
    }
    expect(serve(fixture, offer).sessionReused).toBe(false)
    expect(fixture.created.length).toBe(2)
  })

  test.each([
    ['the same hash ends the search', 0xc02c, { resume: false, reason: 'version-mismatch' }],
    ['another hash', 0xc02b, { resume: true, source: 'external-psk', pskIdentity: 1 }],
  ])('stateless, of TLS 1.2 and %s', (_, cipherSuite, verdict) => {
    const session = makeTls13Session(1, { protocolVersion: TLS1_2_VERSION, cipherSuite })
    const pskIdentities = [
      { identity: new Uint8Array(200), ticket: { status: 'success' as const, session } },
      { identity: idOf(9), externalPsk: makeTls13Session(2) },
    ]
    expect(decide(accepted(testContext()), { ...offer13(), pskIdentities })).toMatchObject(verdict)
  })

  test('stateless and undecryptable, bring new ones', () => {
    const fixture = testContext()
    const offer = {
      ...offer13(),
      pskIdentities: [
        { identity: new Uint8Array(200), ticket: { status: 'no-decrypt' as const } },
        { identity: new Uint8Array(9) },
      ],
    }
    expect(serve(fixture, offer).sessionReused).toBe(false)
    expect(fixture.created.length).toBe(2)
  })

  test('inherit the timeout of the resumed session, with a new time (R6.9), at most a week on the wire (R10.5)', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(1, { timeoutSec: 700_000 }))
    fixture.clock.nowMs += 50_000
    const connection = accepted(fixture)
    decide(connection, offer13(idOf(1)))
    connection.serverHello()
    connection.finishHandshake()
    const issued = connection.issueTicket()
    expect(issued).toMatchObject({ lifetimeHintSec: 604_800, stateful: true })
    expect(connection.session).toMatchObject({ timeoutSec: 700_000, timeSec: START_SEC + 50 })
    expect(connection.isTicketDue).toBe(false)
  })

  test('never change a session that is cached (R10.4)', () => {
    const fixture = testContext(STATEFUL)
    const cached = makeTls13Session(1)
    fixture.context.addSession(cached)
    const connection = serve(fixture, offer13(idOf(1)))
    expect(connection.session).not.toBe(cached)
    expect(cached.sessionId).toEqual(idOf(1))
  })

  test('can be asked for later, one at a time (R10.2)', () => {
    const fixture = testContext(STATEFUL)
    const connection = serve(fixture, offer13())
    expect([connection.newSessionTicket(), connection.newSessionTicket()]).toEqual([true, true])
    issueAll(connection)
    expect(fixture.created.length).toBe(4)
  })

  test.each([
    ['before the handshake', () => testContext().context.newConnection()],
    ['in TLS 1.2', () => serve(testContext(STATEFUL), offer12())],
    [
      'after the end',
      () => {
        const connection = serve(testContext(STATEFUL), offer13())
        connection.sendAlert('fatal', Alert.HANDSHAKE_FAILURE)
        return connection
      },
    ],
  ])('cannot be asked for %s', (_, make) => {
    expect(make().newSessionTicket()).toBe(false)
  })

  test('that were asked for and not yet issued are forgotten by clear', () => {
    const connection = serve(testContext(STATEFUL), offer13())
    connection.newSessionTicket()
    connection.clear()
    expect(connection.isTicketDue).toBe(false)
  })

  test('are counted anew after post-handshake authentication, for a changed session (R10.2)', () => {
    const fixture = testContext(STATEFUL)
    const connection = serve(fixture, offer13())
    const before = connection.session
    connection.finishPostHandshakeAuth({ verifyResult: 18 })
    expect(connection.session).not.toBe(before)
    issueAll(connection)
    expect(fixture.created.length).toBe(4)
    expect(fixture.context.stats.acceptGood).toBe(1)
  })
})

describe('the not-resumable callback (R11.8)', () => {
  test('true: the id is sent, nothing is stored, no ticket follows', () => {
    const seen: boolean[] = []
    const fixture = testContext({
      ...STATEFUL,
      notResumableCallback: (_, isForwardSecure) => seen.push(isForwardSecure) > 0,
    })
    const connection = accepted(fixture)
    decide(connection, offer12())
    expect(connection.serverHello({ isForwardSecure: false }).sessionId.length).toBe(32)
    connection.finishHandshake({ cipherSuite: 1 })
    expect(connection.session?.isResumable).toBe(false)
    expect([fixture.created, fixture.context.stats.number, seen]).toEqual([[], 0, [false]])
  })

  test('true in TLS 1.3: no tickets', () => {
    const fixture = testContext({ ...STATEFUL, notResumableCallback: () => true })
    serve(fixture, offer13())
    expect(fixture.created).toEqual([])
  })

  test('true in TLS 1.3: a ticket that is asked for later is neither stored nor reported (R2.2)', () => {
    const fixture = testContext({ ...STATEFUL, numTickets: 1, notResumableCallback: () => true })
    const connection = serve(fixture, offer13())
    expect(connection.newSessionTicket()).toBe(true)
    issueAll(connection)
    expect([fixture.created, fixture.context.stats.number]).toEqual([[], 0])
  })

  test('false: all goes on; a resumed session is not asked about', () => {
    let asked = 0
    const fixture = testContext({ ...STATEFUL, notResumableCallback: () => ++asked < 0 })
    const { session } = serve(fixture, offer12())
    serve(fixture, offer12(session?.sessionId))
    expect([asked, fixture.context.stats.hits]).toEqual([1, 1])
  })

  test('that throws counts as true, with an event', () => {
    const fixture = testContext({
      ...STATEFUL,
      notResumableCallback() {
        throw new Error('no')
      },
    })
    serve(fixture, offer12())
    expect(fixture.context.stats.number).toBe(0)
    expect(fixture.events).toContainEqual(expect.objectContaining({ callback: 'not-resumable' }))
  })
})
