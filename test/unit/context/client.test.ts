import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption } from '../../../src/session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import {
  idOf,
  makeSession,
  offer12,
  START_SEC,
  STATEFUL,
  SUITE_12,
  SUITE_13,
  serve,
  TLS12,
  TLS13,
  testContext,
  visit,
} from '../../tools/model-fixtures.ts'
import { ANY, connecting, TICKET, ticketed } from './connecting.ts'

const { CLIENT, BOTH, NO_INTERNAL_STORE, OFF } = SessionCacheMode

describe('what a ClientHello offers (R11.2)', () => {
  test('without a session: 32 random bytes and an empty ticket extension', () => {
    const offer = connecting(testContext()).clientHello(ANY)
    expect(offer).toMatchObject({ ticket: new Uint8Array(0), psk: undefined })
    expect(offer.sessionId.length).toBe(32)
  })

  test.each([
    [
      'without middlebox compatibility',
      (connection: SslConnection) => connection.clearOptions(SslOption.ENABLE_MIDDLEBOX_COMPAT),
      ANY,
    ],
    ['of a client of TLS 1.2', () => 0, { minVersion: TLS12, maxVersion: TLS12 }],
  ])('%s: an empty id', (_, change, capabilities) => {
    const connection = connecting(testContext())
    change(connection)
    expect(connection.clientHello(capabilities).sessionId.length).toBe(0)
  })

  test('of a TLS 1.2 session its id and ticket, however old it is (R6.10)', () => {
    const session = makeSession(1, { ticket: TICKET, timeSec: 1 })
    expect(connecting(testContext(), session).clientHello(ANY)).toEqual({
      sessionId: idOf(1),
      ticket: TICKET,
      psk: undefined,
    })
  })

  test('no ticket extension with SSL_OP_NO_TICKET', () => {
    expect(
      connecting(testContext(STATEFUL), makeSession(1, { ticket: TICKET })).clientHello(ANY).ticket,
    ).toBeUndefined()
  })

  test('of a TLS 1.3 session its ticket as PSK, with an age in whole seconds less one, obfuscated', () => {
    const fixture = testContext()
    fixture.clock.nowMs += 5_900
    const offer = connecting(fixture, ticketed()).clientHello(ANY)
    expect(offer.psk).toEqual({ identity: TICKET, obfuscatedTicketAge: 4_007 })
    expect(offer.sessionId).not.toEqual(idOf(1))
  })

  test.each([
    ['an age of 0', 0, 7],
    ['an age that wraps', 10_000, 9_007],
    ['a clock that went back', -9_000, 7],
  ])('%s', (_, elapsed, age) => {
    const fixture = testContext()
    fixture.clock.nowMs += elapsed
    expect(connecting(fixture, ticketed()).clientHello(ANY).psk?.obfuscatedTicketAge).toBe(age)
  })

  test('a session of TLS 1.3 only until its age in milliseconds has 32 bits', () => {
    const fixture = testContext()
    const old = ticketed({ ticketLifetimeHintSec: 1_000_000_000n, timeoutSec: 1_000_000_000 })
    fixture.clock.nowMs += 4_294_968_000
    expect(connecting(fixture, old).clientHello(ANY).psk?.obfuscatedTicketAge).toBe(4_294_967_007)
    fixture.clock.nowMs += 1000
    expect(connecting(fixture, old).clientHello(ANY).psk).toBeUndefined()
  })

  test('the obfuscated age is modulo 2^32', () => {
    const fixture = testContext()
    fixture.clock.nowMs += 2_000
    expect(
      connecting(fixture, ticketed({ ticketAgeAdd: 0xffff_ffff })).clientHello(ANY).psk?.obfuscatedTicketAge,
    ).toBe(999)
  })

  test.each([
    ['a ticket as old as its lifetime hint', 101_000, {}, true],
    ['a ticket one second older', 102_000, {}, false],
    ['no ticket', 0, { ticket: new Uint8Array(0), sessionId: idOf(1) }, false],
    ['a suite without a known hash', 0, { cipherSuite: 0xc013 }, false],
    ['a suite of TLS 1.2 whose hash is known', 0, { cipherSuite: 0xc02c }, true],
  ])('PSK with %s (R10.16)', (_, elapsed, fields, offered) => {
    const fixture = testContext()
    fixture.clock.nowMs += elapsed
    expect(connecting(fixture, ticketed(fields)).clientHello(ANY).psk !== undefined).toBe(offered)
  })

  test.each([
    ['below the enabled versions', makeSession(1, { protocolVersion: 0x0302 })],
    ['not resumable', makeSession(1, { sessionId: new Uint8Array(0) })],
  ])('a session %s is replaced by a new one, without an error', (_, session) => {
    const connection = connecting(testContext(), session)
    expect(connection.clientHello(ANY).sessionId).not.toEqual(idOf(1))
    expect(connection.session).not.toBe(session)
  })

  test('a session above the enabled versions is replaced', () => {
    const connection = connecting(testContext(), ticketed())
    expect(connection.clientHello({ minVersion: TLS12, maxVersion: TLS12 }).psk).toBeUndefined()
  })

  test.each([
    [SUITE_13, true],
    [0x1301, false],
  ])('after a HelloRetryRequest for suite %i the PSK of a SHA-384 session is there: %s', (suite, offered) => {
    const connection = connecting(testContext(), ticketed())
    const first = connection.clientHello(ANY)
    connection.receiveHelloRetryRequest()
    const second = connection.clientHello({ ...ANY, helloRetryCipherSuite: suite })
    expect(second.sessionId).toEqual(first.sessionId)
    expect(second.psk !== undefined).toBe(offered)
  })

  test('after a HelloRetryRequest a session that has died meanwhile is not replaced', () => {
    const fixture = testContext()
    const session = ticketed()
    const connection = connecting(fixture, session)
    connection.clientHello(ANY)
    connection.receiveHelloRetryRequest()
    fixture.context.removeSession(session)
    connection.clientHello(ANY)
    expect(connection.session).toBe(session)
  })
})

describe('the ServerHello', () => {
  test('that echoes the id resumes (R11.4)', () => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const connection = visit(fixture, makeSession(1), TLS12, true)
    expect(connection.sessionReused).toBe(true)
    expect(fixture.context.stats).toMatchObject({ connect: 1, connectGood: 1, hits: 1, misses: 0, number: 0 })
  })

  test('with another id is a miss for what was offered, and a new session (R11.6)', () => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const offered = makeSession(1)
    const connection = visit(fixture, offered, TLS12, false)
    expect(connection.session?.sessionId).toEqual(idOf(0xee))
    expect(fixture.context.stats).toMatchObject({ misses: 1, hits: 0, number: 1 })
    expect(offered.isResumable).toBe(true)
  })

  test('without an id of an id-less session is not a resumption', () => {
    const connection = connecting(testContext())
    connection.clientHello({ minVersion: TLS12, maxVersion: TLS12 })
    expect(
      connection.processServerHello({ protocolVersion: TLS12, sessionId: new Uint8Array(0), cipherSuite: 1 }),
    ).toEqual({ resume: false })
  })

  test('of TLS 1.3 resumes by the PSK, not by the echoed id', () => {
    const fixture = testContext()
    expect(visit(fixture, ticketed(), TLS13, true).sessionReused).toBe(true)
    expect(visit(fixture, makeSession(1), TLS13, false).sessionReused).toBe(false)
    expect(fixture.context.stats.misses).toBe(1)
  })

  test.each([
    [
      'a PSK that was not offered',
      undefined,
      { protocolVersion: TLS13, pskSelected: true },
      'psk-not-offered',
      Alert.UNSUPPORTED_EXTENSION,
    ],
    [
      'another suite of TLS 1.2',
      makeSession(1),
      { cipherSuite: 0xc02b },
      'cipher-mismatch',
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'another hash of TLS 1.3',
      ticketed(),
      { protocolVersion: TLS13, pskSelected: true, cipherSuite: 0x1301 },
      'cipher-mismatch',
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'another version',
      makeSession(1, { protocolVersion: 0x0302 }),
      {},
      'version-mismatch',
      Alert.PROTOCOL_VERSION,
    ],
    [
      'an extended master secret that the session lacks',
      makeSession(1),
      { extendedMasterSecret: true },
      'extended-master-secret-mismatch',
      Alert.HANDSHAKE_FAILURE,
    ],
    [
      'none of the extended master secret that the session has',
      makeSession(1, { flags: 1 }),
      {},
      'extended-master-secret-mismatch',
      Alert.HANDSHAKE_FAILURE,
    ],
    [
      'a session of another context',
      makeSession(1, { sessionIdContext: TICKET }),
      {},
      'session-id-context-mismatch',
      Alert.ILLEGAL_PARAMETER,
    ],
  ])('with %s fails (R9.4, R11.5)', (_, session, changes, reason, alert) => {
    const fixture = testContext()
    const connection = connecting(fixture, session)
    connection.clientHello({ minVersion: 0x0301, maxVersion: TLS13 })
    const verdict = connection.processServerHello({
      protocolVersion: TLS12,
      sessionId: idOf(1),
      cipherSuite: SUITE_12,
      ...changes,
    })
    expect(verdict).toEqual({ resume: false, reason, alert })
    expect(connection.session?.isResumable ?? false).toBe(false)
    expect(fixture.removed.length).toBe(session === undefined ? 0 : 1)
  })

  test('of a renegotiation may not drop the extended master secret', () => {
    const connection = connecting(testContext())
    const capabilities = { minVersion: TLS12, maxVersion: TLS12 }
    const hello = { protocolVersion: TLS12, sessionId: idOf(3), cipherSuite: SUITE_12 }
    connection.clientHello(capabilities)
    connection.processServerHello({ ...hello, extendedMasterSecret: true })
    connection.finishHandshake({ cipherSuite: SUITE_12 })
    expect(connection.session?.extendedMasterSecret).toBe(true)
    connection.connect()
    connection.clientHello(capabilities)
    expect(connection.processServerHello({ ...hello, sessionId: idOf(4) })).toMatchObject({
      reason: 'extended-master-secret-mismatch',
    })
  })

  test('resumes in TLS 1.3 with another suite of the same hash (R11.5)', () => {
    const connection = connecting(testContext(), ticketed({ cipherSuite: 0x1301 }))
    const offer = connection.clientHello(ANY)
    const hello = { protocolVersion: TLS13, sessionId: offer.sessionId, pskSelected: true }
    expect(connection.processServerHello({ ...hello, cipherSuite: 0x1303 })).toEqual({ resume: true })
  })

  test('keeps the top bit of the flags when it sets the extended master secret', () => {
    const session = makeSession(1, { sessionId: new Uint8Array(0), ticket: TICKET, flags: 0x8000_0000 })
    const connection = connecting(testContext(), session)
    connection.clientHello(ANY)
    connection.processServerHello({
      protocolVersion: TLS12,
      sessionId: idOf(2),
      cipherSuite: SUITE_12,
      extendedMasterSecret: true,
    })
    expect(sessionInternals.content(session).flags).toBe(0x8000_0001)
  })
})

describe('a client in mode CLIENT', () => {
  test.each([
    [CLIENT, 1, 1],
    [BOTH, 1, 1],
    [CLIENT | NO_INTERNAL_STORE, 0, 1],
    [OFF, 0, 0],
    [SessionCacheMode.SERVER, 0, 0],
  ])('%i stores %i and reports %i TLS 1.2 sessions', (sessionCacheMode, number, reported) => {
    const fixture = testContext({ sessionCacheMode })
    visit(fixture, undefined, TLS12, false)
    expect(fixture.context.stats.number).toBe(number)
    expect(fixture.created.length).toBe(reported)
  })

  test('uses a TLS 1.3 session once, resumed or not (R10.15)', () => {
    for (const resumes of [true, false]) {
      const fixture = testContext({ sessionCacheMode: CLIENT })
      const session = ticketed()
      fixture.context.addSession(session)
      visit(fixture, session, TLS13, resumes)
      expect(fixture.removed).toEqual(resumes ? [[session, 'delete']] : [])
    }
  })

  test('otherwise may use it again', () => {
    const fixture = testContext()
    const session = ticketed()
    visit(fixture, session, TLS13, true)
    expect(session.isResumable).toBe(true)
  })

  test('goes on with a copy when the key exchange group has changed; the offered object stays', () => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const session = ticketed({ kexGroup: 29 })
    const connection = connecting(fixture, session)
    connection.clientHello(ANY)
    connection.processServerHello({
      protocolVersion: TLS13,
      sessionId: idOf(0),
      cipherSuite: SUITE_13,
      pskSelected: true,
    })
    connection.finishHandshake({ kexGroup: 23 })
    expect(connection.session).not.toBe(session)
    expect([session.isResumable, connection.session?.isResumable]).toEqual([true, false])
  })

  test('is flushed by its own counter (R2.9)', () => {
    const fixture = testContext({ sessionCacheMode: BOTH })
    const stale = makeSession(1, { timeSec: START_SEC - 1000 })
    fixture.context.addSession(stale)
    for (let turn = 0; turn < 255; turn++) visit(fixture, undefined, TLS12, false)
    expect(fixture.removed).toEqual([])
    visit(fixture, undefined, TLS12, false)
    expect(fixture.removed).toEqual([[stale, 'flush']])
  })

  test('stores sessions without a context although it verifies its peer (R2.3)', () => {
    const fixture = testContext({ sessionCacheMode: CLIENT, verifyMode: 1 })
    visit(fixture, undefined, TLS12, false)
    expect(fixture.context.stats.number).toBe(1)
  })
})

describe('a NewSessionTicket', () => {
  const received = {
    lifetimeHintSec: 1_000_000,
    ticket: TICKET,
    ticketAgeAdd: 5,
    masterKey: new Uint8Array(48),
  }
  const hash = new Uint8Array(createHash('sha256').update(TICKET).digest())

  test('of TLS 1.3 makes a session known by the hash of the ticket, each its own (R10.14)', () => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const connection = visit(fixture, undefined, TLS13, false)
    expect(connection.session?.isResumable).toBe(false)
    fixture.clock.nowMs += 3_000
    const first = connection.receiveTicket({ ...received, maxEarlyData: 9 })
    const second = connection.receiveTicket({ ...received, ticket: Uint8Array.of(9) })
    expect(first).toMatchObject({ sessionId: hash, timeSec: START_SEC + 3, isResumable: true })
    expect(sessionInternals.content(first)).toMatchObject({
      ticketLifetimeHintSec: 604_800n,
      ticketAgeAdd: 5,
      maxEarlyData: 9,
    })
    expect(sessionInternals.content(second).maxEarlyData).toBe(9)
    expect(connection.session).toBe(second)
    expect([fixture.created, fixture.context.stats.number]).toEqual([[first, second], 2])
  })

  test('of TLS 1.2 in a first handshake changes the session itself, and its hint is not capped', () => {
    const fixture = testContext({ sessionCacheMode: CLIENT })
    const connection = connecting(fixture)
    connection.clientHello({ minVersion: TLS12, maxVersion: TLS12 })
    connection.processServerHello({
      protocolVersion: TLS12,
      sessionId: new Uint8Array(0),
      cipherSuite: SUITE_12,
    })
    const before = connection.session
    expect(connection.receiveTicket({ lifetimeHintSec: 1_000_000, ticket: TICKET })).toBe(before)
    connection.finishHandshake({ cipherSuite: SUITE_12 })
    expect(before?.sessionId).toEqual(hash)
    expect(sessionInternals.content(before as SslSession).ticketLifetimeHintSec).toBe(1_000_000n)
    expect(fixture.created).toEqual([before])
  })

  test.each([
    [CLIENT, true, 0],
    [OFF, false, 1],
  ])(
    'of TLS 1.2 in mode %i replaces the resumed session, removed: %s, unreported (R2.11)',
    (sessionCacheMode, isRemoved, number) => {
      const fixture = testContext({ sessionCacheMode })
      const old = makeSession(1)
      fixture.context.addSession(old)
      const connection = connecting(fixture, old)
      connection.clientHello(ANY)
      connection.processServerHello({ protocolVersion: TLS12, sessionId: idOf(1), cipherSuite: SUITE_12 })
      connection.receiveTicket({ lifetimeHintSec: 0, ticket: TICKET })
      connection.finishHandshake()
      expect(connection.session).not.toBe(old)
      expect(old.isResumable).toBe(!isRemoved)
      expect([fixture.created, fixture.context.stats.number]).toEqual([[], number])
    },
  )

  test('of TLS 1.2 that is empty changes nothing', () => {
    const connection = visit(testContext(), undefined, TLS12, false)
    const { session } = connection
    expect(connection.receiveTicket({ lifetimeHintSec: 0, ticket: new Uint8Array(0) })).toBe(session)
    expect(session?.hasTicket).toBe(false)
  })
})

test('an abbreviated renegotiation offers the session, a full one does not, and misses it (R11.6)', () => {
  const fixture = testContext()
  const connection = visit(fixture, undefined, TLS12, false)
  const capabilities = { minVersion: TLS12, maxVersion: TLS12 }
  connection.connect('abbreviated')
  expect(connection.clientHello(capabilities).sessionId).toEqual(idOf(0xee))
  connection.processServerHello({ protocolVersion: TLS12, sessionId: idOf(0xee), cipherSuite: SUITE_12 })
  connection.finishHandshake()
  connection.connect()
  expect(connection.clientHello(capabilities)).toMatchObject({
    sessionId: new Uint8Array(0),
    ticket: new Uint8Array(0),
  })
  connection.processServerHello({ protocolVersion: TLS12, sessionId: idOf(0xdd), cipherSuite: SUITE_12 })
  connection.finishHandshake({ cipherSuite: SUITE_12 })
  expect(fixture.context.stats).toMatchObject({
    connect: 1,
    connectRenegotiate: 2,
    connectGood: 3,
    hits: 1,
    misses: 1,
  })
})

test('one context serves both roles (R2.9)', () => {
  const fixture = testContext({ sessionCacheMode: BOTH, ...STATEFUL })
  serve(fixture, offer12())
  visit(fixture, undefined, TLS12, false)
  expect(fixture.context.stats).toMatchObject({ number: 2, accept: 1, connect: 1 })
})
