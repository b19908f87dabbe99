import { describe, expect, test } from 'vitest'
import { SessionCacheMode, type SslSession } from '../../../src/index.ts'
import type { Examination, ResumptionOffer, ResumptionVerdict, SslConnection } from '../../../src/model.ts'
import { TLS1_2_VERSION, TLS1_3_VERSION } from '../../../src/session/ssl-constants.ts'
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
  testContext,
} from '../../tools/model-fixtures.ts'

const GOOD: Examination = { isDeclined: false, sessionIdContext: new Uint8Array(0) }
const DECLINED: Examination = { isDeclined: true }

/** What an owner does whose TLS is a real libssl: it has rules of its own, and adopts what libssl makes. */

const NO_INTERNAL = SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL

describe("the owner's own rules about a session that was found", () => {
  const examined = (
    examine: NonNullable<ResumptionOffer['examine']>,
  ): {
    verdict: ResumptionVerdict | PromiseLike<ResumptionVerdict>
    fixture: ReturnType<typeof testContext>
  } => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    const connection = fixture.context.newConnection()
    connection.accept()
    return { verdict: connection.resumeSession({ ...offer12(idOf(1)), examine }), fixture }
  }

  test('decline it, before anything is counted or forgotten', () => {
    const { verdict, fixture } = examined(() => DECLINED)
    expect(verdict).toEqual({ resume: false, reason: 'declined' })
    expect(fixture.context.stats).toMatchObject({ number: 1, hits: 0, misses: 0, timeouts: 0 })
  })

  test('leave it to those of libssl, synchronously when they answer at once', () => {
    expect(examined(() => GOOD).verdict).toMatchObject({ resume: true, source: 'internal' })
  })

  test('may take their time', async () => {
    expect(await examined(async () => GOOD).verdict).toMatchObject({ resume: true })
    expect(await examined(async () => DECLINED).verdict).toMatchObject({ reason: 'declined' })
  })

  test.each<[string, () => Examination | Promise<Examination>]>([
    [
      'throw',
      () => {
        throw new Error('no')
      },
    ],
    ['reject', () => Promise.reject(new Error('no'))],
  ])('decline it when they %s, which is an event', async (_, examine) => {
    const { verdict, fixture } = examined(examine)
    expect(await verdict).toEqual({ resume: false, reason: 'declined' })
    expect(fixture.events).toContainEqual(
      expect.objectContaining({ type: 'callback-error', callback: 'examine' }),
    )
  })

  test('see the session, and name the context against which libssl then holds it (R3.3 step 4)', () => {
    const fixture = testContext(STATEFUL)
    const session = makeSession(1, { sessionIdContext: Uint8Array.of(1) })
    fixture.context.addSession(session)
    for (const context of [1, 2]) {
      const connection = fixture.context.newConnection()
      connection.accept()
      const examine = (found: SslSession): Examination => {
        expect(found).toBe(session)
        return { isDeclined: false, sessionIdContext: Uint8Array.of(context) }
      }
      expect(decide(connection, { ...offer12(idOf(1)), examine }).resume).toBe(context === 1)
    }
  })

  test('are not asked when nothing was found', () => {
    const connection = testContext(STATEFUL).context.newConnection()
    connection.accept()
    const examine = (): never => {
      throw new Error('asked')
    }
    expect(decide(connection, { ...offer12(idOf(1)), examine })).toMatchObject({ reason: 'not-found' })
  })

  test('do not resume what is removed while they think', async () => {
    const fixture = testContext(STATEFUL)
    const session = makeSession(1)
    fixture.context.addSession(session)
    const connection = fixture.context.newConnection()
    connection.accept()
    const verdict = connection.resumeSession({ ...offer12(idOf(1)), examine: async () => GOOD })
    fixture.context.removeSession(session)
    expect(await verdict).toEqual({ resume: false, reason: 'not-found' })
  })

  test('mean nothing once the connection has gone', async () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    const connection = fixture.context.newConnection()
    connection.accept()
    const verdict = connection.resumeSession({ ...offer12(idOf(1)), examine: async () => GOOD })
    connection.free()
    expect(await verdict).toEqual({ resume: false, reason: 'abandoned' })
    expect(fixture.context.stats.hits).toBe(0)
  })
})

describe('single use in TLS 1.3', () => {
  const use = (fixture: ReturnType<typeof testContext>, id: number): ResumptionVerdict => {
    const connection = fixture.context.newConnection({ singleUse: true })
    connection.accept()
    return decide(connection, offer13(idOf(id)))
  }

  test('without an external cache is the internal removal', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeTls13Session(1))
    expect(use(fixture, 1)).toMatchObject({ resume: true, source: 'internal' })
    expect(use(fixture, 1)).toEqual({ resume: false, reason: 'not-found' })
    expect(fixture.removed).toEqual([[expect.objectContaining({ sessionId: idOf(1) }), 'delete']])
  })

  test('with an external cache is its take: an internal copy is neither asked nor made', () => {
    const asked: boolean[] = []
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback: (connection) => {
        asked.push(connection.isSingleUse)
        return asked.length === 1 ? makeTls13Session(1) : undefined
      },
    })
    fixture.context.addSession(makeTls13Session(1))
    fixture.context.addSession(makeTls13Session(2))
    expect(use(fixture, 1)).toMatchObject({ resume: true, source: 'external' })
    expect(use(fixture, 1)).toEqual({ resume: false, reason: 'not-found' })
    expect(asked).toEqual([true, true])
    expect(fixture.context.stats).toMatchObject({ number: 2, misses: 0, cbHits: 1 })
  })

  test('with an external cache keeps no copy of what it gave', () => {
    const fixture = testContext({ ...STATEFUL, getSessionCallback: () => makeTls13Session(1) })
    expect(use(fixture, 1)).toMatchObject({ resume: true, source: 'external' })
    expect(fixture.context.stats.number).toBe(0)
  })

  test('is not for TLS 1.2, nor unless asked for', () => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    fixture.context.addSession(makeTls13Session(2))
    for (let times = 0; times < 2; times++) {
      const connection = fixture.context.newConnection({ singleUse: true })
      expect(serve(fixture, offer12(idOf(1)), connection).sessionReused).toBe(true)
      expect(connection.isSingleUse).toBe(false)
      expect(serve(fixture, offer13(idOf(2))).sessionReused).toBe(true)
    }
  })
})

describe('a ticket that a real TLS stack has built', () => {
  const finished = (
    version: 12 | 13,
    settings = {},
  ): ReturnType<typeof testContext> & { connection: ReturnType<typeof serve> } => {
    const fixture = testContext({ ...STATEFUL, ...settings })
    const connection = fixture.context.newConnection({ sessionIdContext: Uint8Array.of(5) })
    connection.accept()
    decide(connection, version === 13 ? offer13() : offer12())
    connection.serverHello()
    connection.finishHandshake()
    return { ...fixture, connection }
  }

  test('is stamped, stored and reported, as often as tickets are due (R10.2)', () => {
    const { connection, context } = finished(13)
    const made = [1, 2, 3].map((id) => makeTls13Session(id))
    expect(made.map((session) => connection.adoptTicket(session))).toEqual([true, true, false])
    expect([...context.sessions()]).toHaveLength(2)
    expect(made[0]?.sessionIdContext).toEqual(Uint8Array.of(5))
    expect(connection.session).toBe(made[1])
  })

  test('is not for TLS 1.2, nor before the handshake is finished', () => {
    expect(finished(12).connection.adoptTicket(makeTls13Session(9))).toBe(false)
    const connection = testContext(STATEFUL).context.newConnection()
    connection.accept()
    expect(() => connection.adoptTicket(makeTls13Session(1))).toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_STATE' }),
    )
  })

  test('has been reported when all new callbacks have answered; a rejection is an event and no more', async () => {
    const answers: { resolve(): void; reject(error: Error): void }[] = []
    const { connection, events } = finished(13, {
      sessionCacheMode: NO_INTERNAL,
      newSessionCallback: () => new Promise<void>((resolve, reject) => answers.push({ resolve, reject })),
    })
    expect(connection.reported).toBeUndefined()
    connection.adoptTicket(makeTls13Session(1))
    connection.adoptTicket(makeTls13Session(2))
    let isReported = false
    const reported = Promise.resolve(connection.reported).then(() => {
      isReported = true
    })
    answers[1]?.resolve()
    // A whole turn, in which every promise settles that can.
    await new Promise(setImmediate)
    expect(isReported).toBe(false)
    answers[0]?.reject(new Error('store is full'))
    await reported
    expect(events).toContainEqual(expect.objectContaining({ type: 'callback-error', callback: 'new' }))
  })
})

test('what a callback has not taken says nothing of the next session, of which none is told', () => {
  const fixture = testContext({
    ...STATEFUL,
    newSessionCallback() {
      throw new Error('full')
    },
  })
  const connection = serve(fixture, offer12())
  expect(connection.latestReport).toBe(false)
  fixture.context.setNewSessionCallback()
  serve(fixture, offer12(), connection)
  expect(connection.latestReport).toBe(true)
})

describe('what a real TLS stack made of a handshake', () => {
  const decided = (
    found: boolean,
  ): { connection: SslConnection; fixture: ReturnType<typeof testContext> } => {
    const fixture = testContext(STATEFUL)
    fixture.context.addSession(makeSession(1))
    const connection = fixture.context.newConnection()
    connection.accept()
    expect(decide(connection, offer12(idOf(found ? 1 : 2))).resume).toBe(found)
    return { connection, fixture }
  }

  test('counts as decided when it is as decided', () => {
    const { connection, fixture } = decided(true)
    connection.recordOutcome({ protocolVersion: TLS1_2_VERSION, resumed: { isTicket: false } })
    expect(connection.sessionReused).toBe(true)
    expect(fixture.context.stats).toMatchObject({ hits: 1, acceptGood: 1, number: 1 })
  })

  test('is no hit when it did not resume what was found: the new session counts', () => {
    const { connection, fixture } = decided(true)
    const made = makeSession(3)
    connection.recordOutcome({ protocolVersion: TLS1_2_VERSION, made })
    expect([connection.sessionReused, connection.session]).toEqual([false, made])
    expect(fixture.context.stats).toMatchObject({ hits: 0, acceptGood: 1, number: 2 })
  })

  test('is a hit when it resumed what nobody looked up, such as a ticket of its own', () => {
    const { connection, fixture } = decided(false)
    const session = makeSession(4)
    connection.recordOutcome({ protocolVersion: TLS1_2_VERSION, resumed: { session, isTicket: true } })
    // SSL_OP_NO_TICKET of the context: the model knows no ticket there.
    expect(connection.sessionReused).toBe(false)
    expect(fixture.context.stats).toMatchObject({ hits: 0, acceptGood: 1 })
  })

  test('ends a handshake about which nobody was asked', () => {
    const fixture = testContext(STATEFUL)
    const connection = fixture.context.newConnection()
    connection.accept()
    connection.recordOutcome({ protocolVersion: TLS1_2_VERSION, made: makeSession(5) })
    expect(fixture.context.stats).toMatchObject({ acceptGood: 1, number: 1 })
    expect(() => connection.recordOutcome({ protocolVersion: TLS1_2_VERSION })).toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_STATE' }),
    )
  })

  test('is of another version than the one that was looked up', () => {
    const { connection, fixture } = decided(true)
    connection.recordOutcome({ protocolVersion: TLS1_3_VERSION })
    expect(connection.protocolVersion).toBe(TLS1_3_VERSION)
    expect(fixture.context.stats).toMatchObject({ hits: 0, acceptGood: 1 })
  })

  test('is of another version, and resumed there', () => {
    const { connection } = decided(true)
    const resumed = { session: makeTls13Session(6), isTicket: false }
    connection.recordOutcome({ protocolVersion: TLS1_3_VERSION, resumed })
    expect([connection.protocolVersion, connection.sessionReused]).toEqual([TLS1_3_VERSION, true])
  })

  test('a lookup that was abandoned decides nothing when it answers', async () => {
    const fixture = testContext(STATEFUL)
    const session = makeSession(1)
    const connection = fixture.context.newConnection()
    let answer: (session: SslSession) => void = () => undefined
    fixture.context.setSessionCacheMode(NO_INTERNAL)
    fixture.context.setGetSessionCallback(
      () =>
        new Promise((resolve) => {
          answer = resolve
        }),
    )
    connection.accept()
    const verdict = connection.resumeSession(offer12(idOf(1)))
    connection.abandonLookup()
    answer(session)
    expect(await verdict).toEqual({ resume: false, reason: 'abandoned' })
    expect([connection.sessionReused, connection.session === session]).toEqual([false, false])
    expect(fixture.context.stats).toMatchObject({ hits: 0, cbHits: 0 })
  })
})

test('a TLS 1.3 suite that the owner leaves to somebody else is not compared', () => {
  const fixture = testContext(STATEFUL)
  fixture.context.addSession(makeTls13Session(1, { cipherSuite: 0x1302 }))
  const { selectedCipherSuite: _, ...offer } = offer13(idOf(1))
  expect(serve(fixture, offer).sessionReused).toBe(true)
})

test('an extended master secret that the owner leaves to somebody else is neither dropped nor made', () => {
  const fixture = testContext(STATEFUL)
  const connection = serve(fixture, { ...offer12(), extendedMasterSecret: true })
  connection.accept()
  expect(decide(connection, offer12())).toEqual({ resume: false, reason: 'not-offered' })
  expect(connection.session?.extendedMasterSecret).toBe(true)
})

test('the settings of a context can be read back', () => {
  const generateSessionId = (): Uint8Array => idOf(1)
  const getSessionCallback = (): undefined => undefined
  const { context } = testContext({
    options: 0x4000,
    numTickets: 3,
    maxEarlyData: 5,
    verifyMode: 1,
    generateSessionId,
    getSessionCallback,
  })
  expect([context.getOptions() & 0x4000, context.getNumTickets(), context.getMaxEarlyData()]).toEqual([
    0x4000, 3, 5,
  ])
  expect([context.getVerifyMode(), context.getGenerateSessionId(), context.getGetSessionCallback()]).toEqual([
    1,
    generateSessionId,
    getSessionCallback,
  ])
  expect(context.now()).toBe(START_SEC * 1000)
})

describe('fields of a session that its owner writes', () => {
  test('hostname and ticket application data are copied, and survive the DER ([6] and [18])', () => {
    const session = makeSession(1)
    const name = new TextEncoder().encode('shop.example')
    const data = Uint8Array.of(1, 2, 3)
    session.setHostname(name)
    session.setTicketAppData(data)
    name.fill(0)
    data.fill(0)
    expect([session.hostname, session.ticketAppData]).toEqual(['shop.example', Uint8Array.of(1, 2, 3)])
    session.setHostname(undefined)
    expect(session.hostname).toBeUndefined()
    expect(makeSession(2).ticketAppData).toBeUndefined()
  })

  test('its certificate, verify result and group can be read', () => {
    const peerCertificate = Uint8Array.of(0x30, 0x00)
    const session = makeSession(1, { peerCertificate, verifyResult: 18, kexGroup: 29 })
    expect([session.peerCertificate, session.verifyResult, session.kexGroup]).toEqual([
      peerCertificate,
      18,
      29,
    ])
    expect(makeSession(2).peerCertificate).toBeUndefined()
  })
})
