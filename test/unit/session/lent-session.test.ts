import { describe, expect, test } from 'vitest'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import fc from '../../tools/fast-check.ts'
import { hex, toHex } from '../../tools/hex.ts'
import { anyFields, encode, MINIMAL } from '../../tools/session-fields.ts'

const TIMES = { timeSec: 1_700_000_000, timeoutSec: 7200 }
const OWN = hex('0a0b')

/** As libssl made it, with a session id context of our own since then. */
function kept(fields: Partial<typeof MINIMAL> = {}): SslSession {
  const session = sessionInternals.borrow(encode({ ...MINIMAL, ...TIMES, ...fields }))
  session.setSessionIdContext(OWN)
  sessionInternals.compact(session)
  return session
}

function lent(session: SslSession, sessionIdContext: Uint8Array): string {
  const seen: string[] = []
  sessionInternals.lendDer(session, sessionIdContext, (der) => seen.push(toHex(der)))
  expect(seen).toHaveLength(1)
  return seen.join()
}

describe('what is lent is what toDer gives', () => {
  test('whatever it holds, under the context with which it came and under others', () => {
    const contexts = fc.uint8Array({ maxLength: 32 })
    fc.assert(
      fc.property(anyFields, contexts, fc.nat(1e6), fc.nat(1e6), (fields, other, timeSec, timeoutSec) => {
        const session = SslSession.fromDer(encode({ ...fields, timeSec, timeoutSec }), 1000)
        const came = session.sessionIdContext
        session.setSessionIdContext(other)
        for (const context of [came, other, OWN])
          expect(lent(session, context)).toBe(toHex(session.toDer(context)))
        expect(toHex(session.toDer())).toBe(toHex(session.toDer(other)))
      }),
    )
  })

  test.each<[string, (session: SslSession) => void]>([
    ['a time', (session) => session.setTime(1)],
    ['a timeout', (session) => session.setTimeout(1)],
    ['a longer timeout', (session) => session.setTimeout(70_000)],
    ['a hostname', (session) => session.setHostname(hex('61'))],
    ['application data', (session) => session.setTicketAppData(hex('01'))],
    ['its place in a cache', (session) => sessionInternals.setTimeMs(session, 5_000)],
    ['fields', (session) => sessionInternals.update(session, { maxEarlyData: 1 })],
  ])('when it got %s after it came', (_name, change) => {
    const session = kept()
    change(session)
    expect(lent(session, MINIMAL.sessionIdContext)).toBe(toHex(session.toDer(MINIMAL.sessionIdContext)))
    sessionInternals.compact(session)
    expect(lent(session, MINIMAL.sessionIdContext)).toBe(toHex(session.toDer(MINIMAL.sessionIdContext)))
  })

  test('also after one that needs more room than any before it', () => {
    const long = kept({ ticket: new Uint8Array(50_000).fill(7) })
    // As long as one another.
    const [one, other] = [kept({ hostname: hex('61') }), kept({ hostname: hex('62') })]
    for (const session of [one, long, other])
      expect(lent(session, MINIMAL.sessionIdContext)).toBe(toHex(session.toDer(MINIMAL.sessionIdContext)))
  })

  test('without times in its DER', () => {
    const session = SslSession.fromDer(encode({ ...MINIMAL, timeSec: 0, timeoutSec: 0 }), 9000)
    expect(lent(session, OWN)).toBe(
      toHex(encode({ ...MINIMAL, sessionIdContext: OWN, timeSec: 9, timeoutSec: 3 })),
    )
  })
})

test('a timeout that is limited is the shorter one to all but libssl', () => {
  const session = kept()
  sessionInternals.limitTimeout(session, 60)
  expect([session.timeoutSec, session.expiresAtMs]).toEqual([60, (TIMES.timeSec + 60) * 1000])
  expect(decodeSslSession(session.toDer()).timeoutSec).toBe(60)
  expect(lent(session, MINIMAL.sessionIdContext)).toBe(toHex(encode({ ...MINIMAL, ...TIMES })))
})

test('a session id context of its own is in all that is made of it', () => {
  const session = kept()
  expect(toHex(session.toDer())).toBe(toHex(encode({ ...MINIMAL, ...TIMES, sessionIdContext: OWN })))
  expect(session.dup().sessionIdContext).toEqual(OWN)
  expect(toHex(session.dup().toDer())).toBe(toHex(session.toDer()))
  expect(sessionInternals.content(session).sessionIdContext).toEqual(OWN)
  // Of the same text, under another context.
  const other = sessionInternals.borrow(encode({ ...MINIMAL, ...TIMES }))
  sessionInternals.compact(other)
  expect(sessionInternals.content(other).sessionIdContext).toEqual(MINIMAL.sessionIdContext)
})

describe.each<[string, (session: SslSession) => void]>([
  ['compact', (session) => sessionInternals.compact(session)],
  ['in fields', (session) => sessionInternals.update(session, { maxEarlyData: 0 })],
])('a session %s', (_name, change) => {
  test('gets and loses what may be changed', () => {
    const session = sessionInternals.borrow(encode({ ...MINIMAL, ...TIMES }))
    change(session)
    expect([session.ticketAppData, session.hostname]).toEqual([undefined, undefined])
    session.setTicketAppData(hex('0102'))
    session.setHostname(hex('610062'))
    session.setSessionIdContext(OWN)
    expect([session.ticketAppData, session.hostname]).toEqual([hex('0102'), 'a'])
    expect(toHex(session.toDer())).toBe(
      toHex(
        encode({
          ...MINIMAL,
          ...TIMES,
          sessionIdContext: OWN,
          hostname: hex('61'),
          ticketAppData: hex('0102'),
        }),
      ),
    )
    session.setTicketAppData(new Uint8Array(0))
    session.setHostname(undefined)
    expect([session.ticketAppData, session.hostname]).toEqual([undefined, undefined])
    expect(toHex(session.toDer())).toBe(toHex(encode({ ...MINIMAL, ...TIMES, sessionIdContext: OWN })))
  })
})

describe('application data is lent', () => {
  const read = (bytes: Uint8Array, start: number, end: number): string => toHex(bytes.subarray(start, end))
  const forms: readonly [string, (session: SslSession) => void][] = [
    ['as it came', () => {}],
    ['compact', (session) => sessionInternals.compact(session)],
    ['in fields', (session) => sessionInternals.update(session, { maxEarlyData: 1 })],
  ]

  test.each(forms)('%s', (_name, change) => {
    const session = sessionInternals.borrow(encode({ ...MINIMAL, ...TIMES, ticketAppData: hex('0102') }))
    change(session)
    expect(sessionInternals.lendTicketAppData(session, read)).toBe('0102')
  })

  test.each(forms)('%s, unless there is none', (_name, change) => {
    const session = sessionInternals.borrow(encode({ ...MINIMAL, ...TIMES }))
    change(session)
    expect(sessionInternals.lendTicketAppData(session, read)).toBeUndefined()
  })
})
