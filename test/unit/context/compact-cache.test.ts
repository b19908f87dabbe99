import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { HASH_KEY_LENGTH, InternalCache } from '../../../src/context/internal-cache.ts'
import { SessionRangeError } from '../../../src/errors.ts'
import { SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import fc from '../../tools/fast-check.ts'
import { idOf, makeSession, offer12, START_SEC, serve, testContext } from '../../tools/model-fixtures.ts'
import { anyFields, encode, MINIMAL } from '../../tools/session-fields.ts'

const newCache = (): InternalCache => new InternalCache(randomBytes(HASH_KEY_LENGTH))

describe('a session in a cache', () => {
  test('holds, and encodes to, what it did before, whatever its fields', () => {
    fc.assert(
      fc.property(anyFields, (fields) => {
        const der = encode({ ...fields, sessionId: idOf(1) })
        const [loose, cached] = [SslSession.fromDer(der, 0), SslSession.fromDer(der, 0)]
        for (const session of [loose, cached]) {
          session.setSessionIdContext(Uint8Array.of(1, 2, 3))
          session.setTicketAppData(Uint8Array.of(7))
        }
        newCache().insert(cached, 0)
        // Read by another one in between.
        sessionInternals.content(loose)
        expect(cached.toDer()).toEqual(loose.toDer())
        expect(cached.dup().toDer()).toEqual(loose.dup().toDer())
      }),
    )
  })

  test('keeps a server name that ends in DER before its end (R12.5), and a certificate of 9 kB', () => {
    const session = SslSession.fromDer(
      encode({
        ...MINIMAL,
        peerCertificate: Uint8Array.from([
          0x30,
          0x82,
          0x23,
          0x28,
          0x04,
          0x82,
          0x23,
          0x24,
          ...new Uint8Array(8996),
        ]),
      }),
    )
    newCache().insert(session, 0)
    expect(session.peerCertificate).toHaveLength(9004)
    const odd = makeSession(2)
    sessionInternals.update(odd, { hostname: Buffer.from('a\0b') })
    newCache().insert(odd, 0)
    expect(odd.hostname).toBe('a\0b')
  })

  test('may be in several, and leaves each by itself', () => {
    const caches = [newCache(), newCache(), newCache()] as const
    const session = makeSession(1)
    for (const cache of caches) cache.insert(session, 0)
    caches[1].remove(session)
    session.setTimeout(5)
    expect(caches.map((cache) => cache.sessions().length)).toEqual([1, 0, 1])
  })
})

describe('ids of one hash', () => {
  test('are told apart, whichever of them come and go', () => {
    // With this key, words whose upper halves are 0 add nothing to the hash.
    const cache = new InternalCache(new Uint8Array(HASH_KEY_LENGTH))
    const sessionOf = (number: number): SslSession => {
      const id = new Uint8Array(32)
      id[4 * (number % 8)] = 1 + Math.floor(number / 8)
      return SslSession.fromDer(encode({ ...MINIMAL, sessionId: id }), 0)
    }
    const sessions = Array.from({ length: 64 }, (_, number) => sessionOf(number))
    for (const session of sessions) cache.insert(session, 0)
    const [left, gone] = [sessions.filter((_, i) => i % 3 > 0), sessions.filter((_, i) => i % 3 === 0)]
    for (const session of gone) expect(cache.remove(session)).toBe(true)
    for (const session of gone) expect(cache.find(session.protocolVersion, session.sessionId)).toBeUndefined()
    for (const session of left) expect(cache.find(session.protocolVersion, session.sessionId)).toBe(session)
  })

  test('are told apart by version and length as well', () => {
    const cache = new InternalCache(new Uint8Array(HASH_KEY_LENGTH))
    const short = SslSession.fromDer(
      encode({ ...MINIMAL, protocolVersion: 0x0300, sessionId: Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0, 0, 0) }),
      0,
    )
    cache.insert(short, 0)
    expect(cache.find(0x0300, short.sessionId)).toBe(short)
    // 0x0300 times a length of 10 is 0x0100 times one of 30, as the hash sees it.
    expect(
      cache.find(
        0x0100,
        Uint8Array.from({ length: 30 }, (_, i) => (i === 0 ? 7 : 0)),
      ),
    ).toBeUndefined()
  })
})

/** What libssl does: a scan from the latest. */
function insertByScan(list: SslSession[], session: SslSession): void {
  const place = list.findIndex(({ expiresAtMs }) => expiresAtMs <= session.expiresAtMs)
  list.splice(place === -1 ? list.length : place, 0, session)
}

describe('the order of a cache', () => {
  test.each([
    ['whole seconds', 1000],
    ['seconds that are far apart', 100_000],
    ['milliseconds', 37],
  ])('is that of a scan, with expiries at %s, whatever comes and goes', (_, stepMs) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(30), fc.nat(2)), { maxLength: 200 }), (steps) => {
        const cache = newCache()
        let list: SslSession[] = []
        for (const [id, expiry, action] of steps) {
          const known = list.find((session) => session.sessionId[0] === id)
          if (known !== undefined) list = list.filter((session) => session !== known)
          if (action === 0 && known !== undefined) cache.remove(known)
          else if (action === 1 && known !== undefined) {
            sessionInternals.setTimeMs(known, START_SEC * 1000 + expiry * stepMs)
            insertByScan(list, known)
          } else {
            const session = makeSession(id)
            sessionInternals.setTimeMs(session, START_SEC * 1000 + expiry * stepMs)
            cache.insert(session, 0)
            insertByScan(list, session)
          }
          expect(cache.sessions()).toEqual(list)
          expect(cache.size).toBe(list.length)
        }
      }),
    )
  })

  test('is that of a scan also after it has grown', () => {
    const cache = newCache()
    let list: SslSession[] = []
    const insert = (index: number): void => {
      const session = makeSession(0, {
        sessionId: Uint8Array.of(index >> 8, index & 255),
        timeSec: START_SEC + (index % 5) * 10,
      })
      cache.insert(session, 0)
      insertByScan(list, session)
    }
    for (let index = 0; index < 3000; index++) insert(index)
    for (const session of list.filter((_, place) => place % 600 < 300)) cache.remove(session)
    list = list.filter((_, place) => place % 600 >= 300)
    for (let index = 3000; index < 3100; index++) insert(index)
    // Compared as a whole, thousands of sessions would be printed.
    const sessions = cache.sessions()
    expect(sessions.findIndex((session, place) => session !== list[place])).toBe(-1)
    expect(sessions).toHaveLength(list.length)
  })

  test('holds thousands, finds each, and gives back what it took when all have gone', () => {
    const cache = newCache()
    const id = (index: number): Uint8Array =>
      Uint8Array.from({ length: 32 }, (_, place) => (index >> (place % 16)) & 255)
    const sessions = Array.from({ length: 5000 }, (_, index) =>
      SslSession.fromDer(encode({ ...MINIMAL, sessionId: id(index) })),
    )
    for (let round = 0; round < 2; round++) {
      for (const session of sessions) cache.insert(session, 0)
      expect(cache.size).toBe(5000)
      for (const [index, session] of sessions.entries()) expect(cache.find(0x0303, id(index))).toBe(session)
      expect(cache.find(0x0304, id(1))).toBeUndefined()
      expect(cache.find(0x0303, id(1).subarray(0, 31))).toBeUndefined()
      expect(cache.find(0x0303, new Uint8Array(33))).toBeUndefined()
      expect(cache.removeEarliestWhile(() => true, 4999)).toHaveLength(4999)
      expect(cache.removeEarliestWhile(() => true, 9)).toHaveLength(1)
      expect(cache.size).toBe(0)
    }
  })
})

describe('clearing in steps', () => {
  function expired(clearingStep: number) {
    const made = testContext({ clearingStep })
    for (let id = 0; id < 10; id++) made.context.addSession(makeSession(id))
    made.clock.nowMs += 101 * 1000
    return made
  }

  test('each handshake clears so many expired sessions', () => {
    const made = expired(3)
    const sizes = Array.from({ length: 5 }, () => {
      serve(made, offer12())
      return made.context.stats.number
    })
    expect(sizes).toEqual([8, 6, 4, 4, 5])
    expect(made.removed.map(([, reason]) => reason)).toEqual(Array.from({ length: 10 }, () => 'flush'))
  })

  test('goes on in steps at the 256th connection, where libssl clears all (R2.6)', () => {
    const made = testContext({ clearingStep: 3 })
    for (let count = 0; count < 255; count++) serve(made, offer12())
    for (let id = 0; id < 10; id++) made.context.addSession(makeSession(id))
    const before = made.context.stats.number
    made.clock.nowMs += 100_000 * 1000
    serve(made, offer12())
    expect(made.context.stats).toMatchObject({ acceptGood: 256, number: before + 1 - 3 })
  })

  test('is off at 0, and an integer', () => {
    const made = expired(0)
    serve(made, offer12())
    expect(made.context.stats.number).toBe(11)
    expect(made.context.setClearingStep(4)).toBe(0)
    expect(() => made.context.setClearingStep(1.5)).toThrow(SessionRangeError)
  })
})
