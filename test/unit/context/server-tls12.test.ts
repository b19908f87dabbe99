import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption, VerifyMode } from '../../../src/session/ssl-constants.ts'
import type { SslSession } from '../../../src/session/ssl-session.ts'
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
  testContext,
} from '../../tools/model-fixtures.ts'
import { accepted } from './accepted.ts'

const { SERVER, NO_INTERNAL, NO_INTERNAL_LOOKUP, NO_INTERNAL_STORE, OFF, CLIENT } = SessionCacheMode

describe('a TLS 1.2 server without tickets', () => {
  test('stores a full handshake and resumes it by its id', () => {
    const fixture = testContext(STATEFUL)
    const first = serve(fixture, offer12())
    const second = serve(fixture, offer12(first.session?.sessionId))
    expect(second.sessionReused).toBe(true)
    expect(second.session).toBe(first.session)
    expect(fixture.context.stats).toMatchObject({ number: 1, accept: 2, acceptGood: 2, hits: 1, misses: 0 })
    expect(fixture.created).toEqual([first.session])
  })

  test('without an id looks nothing up and counts nothing', () => {
    const fixture = testContext(STATEFUL)
    expect(decide(accepted(fixture), offer12())).toEqual({ resume: false, reason: 'not-offered' })
    expect(fixture.context.stats).toMatchObject({ misses: 0, hits: 0 })
  })

  test('counts an unknown id as a miss (R3.3)', () => {
    const fixture = testContext(STATEFUL)
    expect(decide(accepted(fixture), offer12(idOf(9)))).toEqual({ resume: false, reason: 'not-found' })
    expect(fixture.context.stats.misses).toBe(1)
  })

  test.each([
    ['a plain context', {}],
    ['one that takes early data, whose anti-replay is not for TLS 1.2', { maxEarlyData: 16_384 }],
  ])('removes an expired session, counts a timeout, and goes on, in %s', (_, settings) => {
    const fixture = testContext({ ...STATEFUL, ...settings })
    const session = makeSession(1)
    fixture.context.addSession(session)
    fixture.clock.nowMs += 100_001
    expect(decide(accepted(fixture), offer12(idOf(1)))).toEqual({ resume: false, reason: 'expired' })
    expect(fixture.removed).toEqual([[session, 'expire']])
    expect(fixture.context.stats).toMatchObject({ timeouts: 1, hits: 0, misses: 0, number: 0 })
  })

  test('leaves a session of another context where it is', () => {
    const fixture = testContext({ ...STATEFUL, sessionIdContext: 'b' })
    fixture.context.addSession(makeSession(1, { sessionIdContext: Uint8Array.of(0x61) }))
    expect(decide(accepted(fixture), offer12(idOf(1)))).toEqual({
      resume: false,
      reason: 'session-id-context-mismatch',
    })
    expect(fixture.context.stats).toMatchObject({ timeouts: 0, misses: 0, number: 1 })
  })

  test('finds in mode OFF what was added by hand (R1.5)', () => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode: OFF })
    fixture.context.addSession(makeSession(1))
    expect(decide(accepted(fixture), offer12(idOf(1)))).toMatchObject({ resume: true, source: 'internal' })
  })

  test('resumes an internal session that is flagged not resumable (R4.2)', () => {
    const fixture = testContext(STATEFUL)
    const session = makeSession(1)
    fixture.context.removeSession(session)
    fixture.context.addSession(session)
    expect(decide(accepted(fixture), offer12(idOf(1))).resume).toBe(true)
  })

  test.each([
    [SERVER, 1, idOf(0xff).length],
    [OFF, 0, 0],
    [CLIENT, 0, 0],
  ])(
    'in mode %i stores %i sessions and sends an id of %i bytes (R1.7)',
    (sessionCacheMode, number, length) => {
      const fixture = testContext({ ...STATEFUL, sessionCacheMode })
      const connection = accepted(fixture)
      decide(connection, offer12())
      expect(connection.serverHello().sessionId.length).toBe(length)
      connection.finishHandshake({ cipherSuite: 1 })
      expect(fixture.context.stats.number).toBe(number)
      expect(fixture.created.length).toBe(number)
    },
  )

  test('fails when it verifies clients, has no context and finds a session without one (R3.3 step 5)', () => {
    const fixture = testContext({ ...STATEFUL, verifyMode: VerifyMode.PEER })
    fixture.context.addSession(makeSession(1))
    const connection = accepted(fixture)
    expect(decide(connection, offer12(idOf(1)))).toEqual({
      resume: false,
      reason: 'session-id-context-uninitialized',
      alert: Alert.INTERNAL_ERROR,
    })
    expect(fixture.context.stats).toMatchObject({ number: 1, hits: 0 })
    expect(() => connection.serverHello()).toThrow(expect.objectContaining({ code: 'ERR_SESSION_STATE' }))
  })

  test('when it verifies clients without a context stores and reports nothing (R2.3, R9.5)', () => {
    const fixture = testContext({ ...STATEFUL, verifyMode: VerifyMode.PEER })
    serve(fixture, offer12())
    expect(fixture.created).toEqual([])
    expect(fixture.context.stats.number).toBe(0)
  })

  test('takes verify mode and context of the connection over those of the context', () => {
    const fixture = testContext(STATEFUL)
    serve(fixture, offer12(), fixture.context.newConnection({ verifyMode: VerifyMode.PEER }))
    expect(fixture.context.stats.number).toBe(0)
    serve(
      fixture,
      offer12(),
      fixture.context.newConnection({ verifyMode: VerifyMode.PEER, sessionIdContext: idOf(1) }),
    )
    expect(fixture.context.stats.number).toBe(1)
  })

  test('with a context of its own stores them, stamped with it (R9.3)', () => {
    const fixture = testContext({ ...STATEFUL, verifyMode: VerifyMode.PEER, sessionIdContext: 'x' })
    expect(Buffer.from(serve(fixture, offer12()).session?.sessionIdContext ?? []).toString()).toBe('x')
    expect(fixture.context.stats.number).toBe(1)
  })

  test('fails when the client no longer offers the suite of its session, which is lost', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    const verdict = decide(accepted(fixture), { ...offer12(idOf(1)), cipherSuites: [0xc02b] })
    expect(verdict).toEqual({ resume: false, reason: 'cipher-not-offered', alert: Alert.ILLEGAL_PARAMETER })
    expect(fixture.context.stats).toMatchObject({ hits: 1, number: 0 })
  })

  test('resumes when the client offers the suite', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    expect(decide(accepted(fixture), { ...offer12(idOf(1)), cipherSuites: [0xc02b, 0xc02c] }).resume).toBe(
      true,
    )
  })

  test('fails on a session with compression', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1, { compressionId: 1 }))
    expect(decide(accepted(fixture), offer12(idOf(1)))).toMatchObject({
      reason: 'compression',
      alert: Alert.HANDSHAKE_FAILURE,
    })
  })

  test('notes the extended master secret, unless it is switched off', () => {
    const offer = { ...offer12(), extendedMasterSecret: true }
    expect(serve(testContext(STATEFUL), offer).session?.extendedMasterSecret).toBe(true)
    const without = testContext({ options: SslOption.NO_TICKET | SslOption.NO_EXTENDED_MASTER_SECRET })
    expect(serve(without, offer).session?.extendedMasterSecret).toBe(false)
  })

  test('gives a new session the timeout of the context, 0 meaning 7200 (R6.2)', () => {
    const fixture = testContext({ ...STATEFUL, sessionTimeout: 0 })
    expect(serve(fixture, offer12()).session?.timeoutSec).toBe(7200)
    fixture.context.setSessionTimeout(9)
    expect(serve(fixture, offer12()).session?.timeoutSec).toBe(9)
  })

  test('reports a verdict of each handshake as an event', () => {
    const fixture = testContext(STATEFUL)
    const connection = accepted(fixture)
    const verdict = decide(connection, offer12())
    expect(fixture.events).toContainEqual({ type: 'resumption', connection, verdict })
  })
})

describe('the get callback (R3.2)', () => {
  const offer = offer12(idOf(1))

  test('is asked after an internal miss, and its answer is copied into the internal cache', () => {
    const stored = makeSession(1)
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => stored })
    expect(decide(accepted(fixture), offer)).toMatchObject({
      resume: true,
      source: 'external',
      session: stored,
    })
    expect(fixture.context.stats).toMatchObject({ misses: 1, cbHits: 1, hits: 1, number: 1 })
    expect(decide(accepted(fixture), offer)).toMatchObject({ source: 'internal' })
    expect(fixture.context.stats).toMatchObject({ misses: 1, cbHits: 1, hits: 2 })
  })

  test.each([
    [SERVER | NO_INTERNAL_STORE, { misses: 1, cbHits: 1, number: 0 }],
    [SERVER | NO_INTERNAL, { misses: 0, cbHits: 1, number: 0 }],
    [SERVER | NO_INTERNAL_LOOKUP, { misses: 0, cbHits: 1, number: 1 }],
    [OFF, { misses: 1, cbHits: 1, number: 1 }],
  ])('in mode %i leaves the counters %o', (sessionCacheMode, stats) => {
    const fixture = testContext({ ...STATEFUL, sessionCacheMode, getSessionCallback: () => makeSession(1) })
    expect(decide(accepted(fixture), offer).resume).toBe(true)
    expect(fixture.context.stats).toMatchObject(stats)
  })

  test('is not asked when the internal cache answers', () => {
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback() {
        throw new Error('was asked')
      },
    })
    fixture.context.addSession(makeSession(1))
    expect(decide(accepted(fixture), offer).resume).toBe(true)
    expect(fixture.events.some(({ type }) => type === 'callback-error')).toBe(false)
  })

  test('gets a copy of the id, and the connection with its appData', () => {
    const seen: unknown[] = []
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback(connection, id) {
        seen.push(connection.appData, connection.isServer, connection.protocolVersion)
        id.fill(0)
        return undefined
      },
    })
    const connection = fixture.context.newConnection({ appData: 'mine' })
    connection.accept()
    const id = idOf(1)
    decide(connection, offer12(id))
    expect(id).toEqual(idOf(1))
    expect(seen).toEqual(['mine', true, TLS12])
  })

  test('with a session of another id is a miss before anything is counted or copied (D8)', () => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => makeSession(2) })
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'wrong-session' })
    expect(fixture.context.stats).toMatchObject({ cbHits: 0, number: 0 })
  })

  test('with a session of another version is a miss in TLS 1.3, before its binder is looked at (D8)', () => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => makeSession(1) })
    expect(decide(accepted(fixture), offer13(idOf(1)))).toEqual({ resume: false, reason: 'wrong-session' })
    expect(fixture.context.stats).toMatchObject({ cbHits: 0, number: 0 })
  })

  test('with a session that is flagged is a miss that counts no cbHit (NORES)', () => {
    const dead = makeSession(1)
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => dead })
    fixture.context.removeSession(dead)
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'not-resumable' })
    expect(fixture.context.stats.cbHits).toBe(0)
  })

  test('that answers with another version counts a cbHit and refuses', () => {
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback: () => makeSession(1, { protocolVersion: 0x0302 }),
    })
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'version-mismatch' })
    expect(fixture.context.stats).toMatchObject({ cbHits: 1, number: 1 })
  })

  test('whose session has expired is told to remove it', () => {
    const stale = makeSession(1, { timeSec: START_SEC - 101 })
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => stale })
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'expired' })
    expect(fixture.removed).toEqual([[stale, 'expire']])
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('store')
      },
      /store/,
    ],
    [
      'answers with something else',
      () => Buffer.from('x') as unknown as SslSession,
      /SslSession or undefined/,
    ],
  ])('that %s is an event and a full handshake', (_, getSessionCallback, message) => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback })
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'callback-failed' })
    expect(fixture.events).toContainEqual(
      expect.objectContaining({
        callback: 'get',
        error: expect.objectContaining({ message: expect.stringMatching(message) }),
      }),
    )
  })

  test('that answers with null has found nothing', () => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => null as unknown as undefined })
    expect(decide(accepted(fixture), offer)).toEqual({ resume: false, reason: 'not-found' })
  })
})

describe('an asynchronous get callback (D7)', () => {
  const offer = offer12(idOf(1))

  test('makes the verdict a promise', async () => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: async () => makeSession(1) })
    const connection = accepted(fixture)
    const verdict = connection.resumeSession(offer)
    expect(verdict).toBeInstanceOf(Promise)
    expect(await verdict).toMatchObject({ resume: true, source: 'external' })
    expect(connection.sessionReused).toBe(true)
  })

  test('that rejects is an event and a full handshake', async () => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => Promise.reject(new Error('down')) })
    expect(await accepted(fixture).resumeSession(offer)).toEqual({ resume: false, reason: 'callback-failed' })
    expect(fixture.events).toContainEqual(
      expect.objectContaining({ type: 'callback-error', callback: 'get' }),
    )
  })

  test.each([
    ['was freed', (connection: SslConnection) => connection.free()],
    ['was cleared', (connection: SslConnection) => void connection.clear()],
    ['has received a fatal alert', (connection: SslConnection) => connection.receiveAlert('fatal', 40)],
    ['asks again', (connection: SslConnection) => void connection.resumeSession(offer12())],
  ])('whose connection %s meanwhile changes nothing any more', async (_, end) => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: async () => makeSession(1) })
    const connection = accepted(fixture)
    const verdict = connection.resumeSession(offer)
    end(connection)
    const session = connection.session
    expect(await verdict).toEqual({ resume: false, reason: 'abandoned' })
    expect(fixture.context.stats).toMatchObject({ cbHits: 0, hits: 0, number: 0 })
    expect(connection.session).toBe(session)
  })

  test('may look PSK identities up one after the other', async () => {
    const asked: number[] = []
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback: async (_, id) => {
        asked.push(id[0] ?? 0)
        return id[0] === 2 ? makeTls13Session(2) : undefined
      },
    })
    expect(await accepted(fixture).resumeSession(offer13(idOf(1), idOf(2), idOf(3)))).toMatchObject({
      resume: true,
      pskIdentity: 1,
    })
    expect(asked).toEqual([1, 2])
  })

  test('abandoned between two identities asks for no more', async () => {
    const asked: number[] = []
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback: async (_, id) => void asked.push(id[0] ?? 0) as undefined,
    })
    const connection = accepted(fixture)
    const verdict = connection.resumeSession(offer13(idOf(1), idOf(2)))
    connection.free()
    expect(await verdict).toEqual({ resume: false, reason: 'abandoned' })
    expect(asked).toEqual([1])
  })
})
