import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { SessionRangeError } from '../../../src/errors.ts'
import { equalBytes, redactId } from '../../../src/session/bytes.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import { toHex } from '../../tools/hex.ts'
import { makeSession, offer12, START_SEC, serve, testContext } from '../../tools/model-fixtures.ts'
import { MINIMAL, V1, V2, V3 } from '../../tools/session-fields.ts'

const NOW_MS = START_SEC * 1000 + 123

describe('a new session (R6.1)', () => {
  test('is made now, lives 304 seconds, is not resumable and has verify result 1', () => {
    const session = new SslSession(NOW_MS)
    expect(session).toMatchObject({
      timeSec: START_SEC,
      timeoutSec: 304,
      isResumable: false,
      protocolVersion: 0,
    })
    expect(sessionInternals.content(session)).toMatchObject({ verifyResult: 1, maxFragmentLengthMode: 255 })
    expect(session.hostname).toBeUndefined()
  })

  test('has no cipher suite and cannot be encoded (R12.2)', () => {
    expect(() => new SslSession(NOW_MS).toDer()).toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_DER_INVALID' }),
    )
    expect(new SslSession().cipherSuite).toBeUndefined()
  })
})

describe('fromDer and toDer', () => {
  test.each([
    ['V2', V2],
    ['V3', V3],
  ])('give %s back', (_, der) => {
    expect(toHex(SslSession.fromDer(der).toDer())).toBe(toHex(der))
    expect(SslSession.fromPem(SslSession.fromDer(der).toPem()).toPem()).toBe(SslSession.fromDer(der).toPem())
  })

  test('of one session show nothing of another, whose encoding has failed in the middle', () => {
    const broken = SslSession.fromDer(V3)
    broken.setTicketAppData(Uint8Array.from('of another', (letter) => letter.charCodeAt(0)))
    sessionInternals.update(broken, { masterKey: undefined as unknown as Uint8Array })
    expect(() => broken.toDer()).toThrow(TypeError)
    expect(toHex(SslSession.fromDer(V2).toDer())).toBe(toHex(V2))
  })

  test('a number that is none cannot be written', () => {
    const session = SslSession.fromDer(V2)
    sessionInternals.update(session, { kexGroup: Number.NaN })
    expect(() => session.toDer()).toThrow(TypeError)
  })

  test('can write the id context of another, and leave the session as it is', () => {
    const session = SslSession.fromDer(V2)
    expect(SslSession.fromDer(session.toDer(Uint8Array.of(7, 7))).sessionIdContext).toEqual(
      Uint8Array.of(7, 7),
    )
    expect(toHex(session.toDer())).toBe(toHex(V2))
    expect(() => session.toDer(new Uint8Array(33))).toThrow(SessionRangeError)
  })

  test('an absent time is now, to the millisecond, and an absent timeout 3 seconds (R12)', () => {
    const session = makeSession(1, { timeSec: 0, timeoutSec: 0 })
    expect(session.timeoutSec).toBe(3)
    const read = SslSession.fromDer(makeSession(1, { timeSec: 0, timeoutSec: 0 }).toDer().slice(), NOW_MS)
    expect(read.timeSec).not.toBe(0)
    const bare = Buffer.from(
      toHex(V1).replace('a10602045f5e1000a20402021c20', '').replace('306d', '305f'),
      'hex',
    )
    expect(SslSession.fromDer(bare, NOW_MS)).toMatchObject({
      timeSec: START_SEC,
      timeoutSec: 3,
      expiresAtMs: NOW_MS + 3000,
    })
  })

  test('keep whole seconds only (R6.8)', () => {
    const session = makeSession(1)
    sessionInternals.setTimeMs(session, NOW_MS)
    expect(session.expiresAtMs).toBe(NOW_MS + 100_000)
    expect(SslSession.fromDer(session.toDer()).expiresAtMs).toBe(START_SEC * 1000 + 100_000)
  })

  test('do not keep that a session is not resumable (R12.3)', () => {
    const session = makeSession(1)
    sessionInternals.setNotResumable(session, true)
    expect(SslSession.fromDer(session.toDer()).isResumable).toBe(true)
  })
})

describe('what a session tells', () => {
  const session = SslSession.fromDer(V3)

  test('its public values', () => {
    expect(session).toMatchObject({
      protocolVersion: 0x0303,
      cipherSuite: 0xc030,
      hostname: 'example.org',
      hasTicket: true,
      ticketLifetimeHintSec: 300,
      maxEarlyData: 16_384,
      extendedMasterSecret: true,
    })
    expect(toHex(session.sessionIdContext)).toBe('637478')
    expect(makeSession(1)).toMatchObject({ extendedMasterSecret: false, hasTicket: false })
  })

  test('ids are copies', () => {
    session.sessionId.fill(0)
    session.sessionIdContext.fill(0)
    expect(toHex(session.sessionId)).toBe(toHex(MINIMAL.sessionId))
    expect(toHex(session.sessionIdContext)).toBe('637478')
  })

  test.each([
    ['inspect', (value: SslSession) => inspect(value, { depth: 9, showHidden: true })],
    ['inspect within an object', (value: SslSession) => inspect({ nested: [value] }, { depth: 9 })],
    ['JSON', (value: SslSession) => JSON.stringify(value)],
    ['a string', (value: SslSession) => `${value}${Object.keys(value).join()}`],
  ])('%s shows neither master key nor ticket nor the whole id', (_, show) => {
    const text = show(session)
    expect(text).not.toMatch(/1c1d1e1f|aaaaaaaa|2c2d2e2f/i)
    expect(text).not.toMatch(/170, 170/)
  })

  test('inspect shows what tells sessions apart', () => {
    expect(inspect(session)).toMatch(
      /SslSession \{.*"protocolVersion":"0x0303".*"cipherSuite":"0xc030".*"sessionId":"00010203…\(32\)"/,
    )
    expect(JSON.parse(JSON.stringify(new SslSession(NOW_MS)))).toMatchObject({
      cipherSuite: null,
      sessionId: '',
    })
  })

  test.each([
    ['', ''],
    ['aabbccdd', 'aabbccdd'],
    ['aabbccddee', 'aabbccdd…(5)'],
  ])('the id %s is shown as %s', (id, shown) => {
    expect(redactId(new Uint8Array(Buffer.from(id, 'hex')))).toBe(shown)
  })
})

describe('time and timeout', () => {
  test.each([0, 1, 18_446_744_073])('%d seconds are accepted (R6.5)', (seconds) => {
    const session = makeSession(1)
    session.setTime(seconds)
    session.setTimeout(seconds)
    expect(session).toMatchObject({ timeSec: seconds, timeoutSec: seconds })
  })

  test.each([-1, 0.5, 18_446_744_074, Number.NaN])(
    '%d seconds are refused, and nothing changes (R6.4, D5)',
    (seconds) => {
      const session = makeSession(1)
      expect(() => session.setTime(seconds)).toThrow(SessionRangeError)
      expect(() => session.setTimeout(seconds)).toThrow(
        expect.objectContaining({ code: 'ERR_SESSION_OUT_OF_RANGE' }),
      )
      expect(session).toMatchObject({ timeSec: START_SEC, timeoutSec: 100 })
    },
  )

  test('a sum beyond 2^64 nanoseconds never expires (R6.6)', () => {
    const session = makeSession(1, { timeSec: 9_000_000_000, timeoutSec: 9_446_744_073 })
    expect(session.expiresAtMs).toBe(18_446_744_073_000)
    session.setTimeout(9_446_744_074)
    expect(session.expiresAtMs).toBe(Number.POSITIVE_INFINITY)
  })

  test('the last representable millisecond is not yet for ever', () => {
    const session = makeSession(1, { timeoutSec: 18_446_744_073 })
    sessionInternals.setTimeMs(session, 709)
    expect(session.expiresAtMs).toBe(18_446_744_073_709)
    sessionInternals.setTimeMs(session, 710)
    expect(session.expiresAtMs).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('isResumable (R11.3)', () => {
  test.each([
    ['an id', makeSession(1), true],
    ['a ticket alone', makeSession(1, { sessionId: new Uint8Array(0), ticket: Uint8Array.of(1) }), true],
    ['neither', makeSession(1, { sessionId: new Uint8Array(0) }), false],
    ['an empty ticket', makeSession(1, { sessionId: new Uint8Array(0), ticket: new Uint8Array(0) }), false],
  ])('with %s is %s', (_, session, resumable) => {
    expect(session.isResumable).toBe(resumable)
  })
})

describe('dup', () => {
  test('copies everything but the caches that hold it, not-resumable included (R11.4)', () => {
    const session = SslSession.fromDer(V3)
    sessionInternals.setNotResumable(session, true)
    const copy = session.dup()
    expect(toHex(copy.toDer())).toBe(toHex(V3))
    expect(copy.isResumable).toBe(false)
    copy.setTimeout(1)
    expect(session.timeoutSec).toBe(7200)
  })

  test('keeps the milliseconds of its time', () => {
    const session = makeSession(1)
    sessionInternals.setTimeMs(session, NOW_MS)
    expect(session.dup().expiresAtMs).toBe(session.expiresAtMs)
  })

  test('of a session without a ticket drops the lifetime hint, as libssl does', () => {
    const copy = makeSession(1, { ticketLifetimeHintSec: 300n }).dup()
    expect(sessionInternals.content(copy).ticketLifetimeHintSec).toBe(0n)
  })

  test('within the library drops the ticket and is resumable again (R10.4)', () => {
    const session = SslSession.fromDer(V3)
    sessionInternals.setNotResumable(session, true)
    const copy = sessionInternals.duplicateWithoutTicket(session)
    expect(copy).toMatchObject({ hasTicket: false, isResumable: true })
    expect(sessionInternals.content(copy).ticketLifetimeHintSec).toBe(0n)
  })
})

test('a session id context of 32 bytes is taken and copied, of 33 refused (R9.1)', () => {
  const session = makeSession(1)
  const context = Buffer.alloc(32, 1)
  session.setSessionIdContext(context)
  context.fill(2)
  expect(toHex(session.sessionIdContext)).toBe('01'.repeat(32))
  expect(() => session.setSessionIdContext(new Uint8Array(33))).toThrow(SessionRangeError)
})

test('bytes are equal only with the same length', () => {
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true)
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
  expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 2))).toBe(false)
})

test('a session that was never in DER is written with another session id context, and keeps its own', () => {
  const { session } = serve(testContext({ sessionCacheMode: SessionCacheMode.OFF }), offer12())
  const own = session?.toDer()
  const other = session?.toDer(Uint8Array.of(1, 2))
  expect(SslSession.fromDer(other ?? Uint8Array.of()).sessionIdContext).toEqual(Uint8Array.of(1, 2))
  expect(session?.toDer()).toEqual(own)
})
