import { describe, expect, test } from 'vitest'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionStateError } from '../../../src/errors.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { Alert, SslOption, VerifyMode } from '../../../src/session/ssl-constants.ts'
import type { SslSession } from '../../../src/session/ssl-session.ts'
import {
  decide,
  idOf,
  issueAll,
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

const { SERVER, NO_INTERNAL, NO_INTERNAL_LOOKUP, NO_INTERNAL_STORE, NO_AUTO_CLEAR, OFF, CLIENT } =
  SessionCacheMode

function accepted(fixture: ReturnType<typeof testContext>): SslConnection {
  const connection = fixture.context.newConnection()
  connection.accept()
  return connection
}

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

  test('removes an expired session, counts a timeout, and goes on', () => {
    const fixture = testContext(STATEFUL)
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
    const { pskModeSupported: _, ...silent } = offer13(idOf(1))
    expect(decide(accepted(fixture), silent)).toEqual({ resume: false, reason: 'psk-modes-unsupported' })
    expect(fixture.context.stats.misses).toBe(0)
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

  test('a fatal alert ends the connection also after close_notify', () => {
    const fixture = testContext()
    const ends: readonly ((connection: SslConnection) => unknown)[] = [
      (connection) => connection.receiveAlert('fatal', Alert.HANDSHAKE_FAILURE),
      (connection) => connection.sendAlert('fatal', Alert.HANDSHAKE_FAILURE),
    ]
    for (const end of ends) {
      const connection = serve(fixture, offer12())
      connection.shutdown()
      connection.receiveAlert('warning', Alert.CLOSE_NOTIFY)
      end(connection)
      expect(() => connection.accept()).toThrow(SessionStateError)
    }
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
