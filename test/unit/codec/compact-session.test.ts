import { describe, expect, test } from 'vitest'
import { compactDer, fieldsOfCompact } from '../../../src/codec/compact-session.ts'
import { explicitTag } from '../../../src/codec/der.ts'
import {
  decodeSslSession,
  outlineSslSession,
  outlineStrictly,
  type SslSessionFields,
} from '../../../src/codec/ssl-session-der.ts'
import { SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import fc from '../../tools/fast-check.ts'
import { hex, toHex } from '../../tools/hex.ts'
import { anyFields, encode, MINIMAL, V1, V2, V3 } from '../../tools/session-fields.ts'
import { derElement, derInteger } from './der-builder.ts'

const TIMES = { timeSec: 1_700_000_000, timeoutSec: 7200 }
const octets = (bytes: Uint8Array): Uint8Array => derElement(0x04, bytes)
const explicit = (number: number, content: Uint8Array): Uint8Array => derElement(explicitTag(number), content)

/** With these elements behind the mandatory ones, and [4] and [19] unless they are left out. */
function session(elements: Record<number, Uint8Array>): Uint8Array {
  const all: Record<number, Uint8Array | undefined> = {
    4: octets(new Uint8Array(0)),
    19: derInteger(0),
    ...elements,
  }
  const optional = Object.entries(all).flatMap(([number, content]) =>
    content === undefined ? [] : [explicit(Number(number), content)],
  )
  const mandatory = [
    derInteger(1),
    derInteger(0x0303),
    octets(hex('c030')),
    octets(hex('01')),
    octets(hex('02')),
  ]
  return derElement(0x30, ...mandatory, ...optional)
}

/** Its fields are no longer compact. */
function updated(one: SslSession): SslSession {
  sessionInternals.update(one, { maxFragmentLengthMode: 1 })
  return one
}

function isCanonical(der: Uint8Array): boolean {
  return outlineSslSession(der).layout.isCanonical
}

describe('an outline tells whether libssl would write the very same', () => {
  test.each([
    ['V2', V2, true],
    ['V3', V3, true],
    ['nothing optional', session({}), true],
    ['V1, without [4] and [19]', V1, false],
    ['no [4]', session({ 4: undefined as unknown as Uint8Array }), false],
    ['no [19]', session({ 19: undefined as unknown as Uint8Array }), false],
    ['a time of zero', session({ 1: derInteger(0) }), false],
    ['a timeout of zero', session({ 2: derInteger(0) }), false],
    ['a verify result of zero', session({ 5: derInteger(0) }), false],
    ['a hint of zero', session({ 9: derInteger(0) }), false],
    ['a compression id of zero', session({ 11: octets(hex('00')) }), false],
    ['flags of zero', session({ 13: derInteger(0) }), false],
    ['flags of 33 bits', session({ 13: derInteger(0x1_0000_0001) }), false],
    ['flags of 64 bits', session({ 13: derInteger(2n ** 64n - 1n) }), false],
    ['flags of 64 bits of which the lower 32 are zero', session({ 13: derInteger(2n ** 63n) }), false],
    ['flags of 32 bits', session({ 13: derInteger(0xffff_ffff) }), true],
    ['an age of zero', session({ 14: derInteger(0) }), false],
    ['early data of zero', session({ 15: derInteger(0) }), false],
    ['a max fragment length of zero', session({ 17: derInteger(0) }), false],
    ['a max fragment length of 9 bits', session({ 17: derInteger(0x101) }), false],
    ['a max fragment length of 8 bits', session({ 17: derInteger(0xff) }), true],
    ...[6, 7, 8, 12].map((number) => [
      `a NUL in [${number}]`,
      session({ [number]: octets(hex('610062')) }),
      false,
    ]),
    ...[10, 16, 18].map((number) => [
      `a NUL in [${number}]`,
      session({ [number]: octets(hex('610062')) }),
      true,
    ]),
  ] as [string, Uint8Array, boolean][])('%s', (_, der, expected) => {
    expect(isCanonical(der)).toBe(expected)
    expect(toHex(encode(decodeSslSession(der))) === toHex(der)).toBe(expected)
  })

  test('key_arg [0] is not written again', () => {
    const elements = [
      derInteger(1),
      derInteger(0x0303),
      octets(hex('c030')),
      octets(hex('01')),
      octets(hex('02')),
    ]
    const rest = [explicit(4, octets(new Uint8Array(0))), explicit(19, derInteger(0))]
    expect(isCanonical(derElement(0x30, ...elements, ...rest))).toBe(true)
    expect(isCanonical(derElement(0x30, ...elements, derElement(0x80), ...rest))).toBe(false)
  })

  test('whatever the numbers that are zero, absent or too large', () => {
    const number = fc.option(fc.constantFrom(0n, 1n, 0xffn, 0x100n, 0xffff_ffffn, 0x1_0000_0000n))
    fc.assert(
      fc.property(fc.array(number, { minLength: 5, maxLength: 5 }), (values) => {
        const elements = [9, 13, 14, 17, 19].map((tag, index) => {
          const value = values[index] ?? null
          return [tag, value === null || (tag > 13 && value > 0xffff_ffffn) ? undefined : derInteger(value)]
        })
        const der = session(Object.fromEntries(elements) as Record<number, Uint8Array>)
        expect(isCanonical(der)).toBe(toHex(encode(decodeSslSession(der))) === toHex(der))
      }),
    )
  })
})

describe('a session that is like one before', () => {
  /** A number that has as many octets as another. */
  const sameLength = (value: number): fc.Arbitrary<number> => {
    const octets = Math.max(1, Math.ceil((value.toString(2).length + 1) / 8))
    const least = octets === 1 ? 1 : 2 ** (8 * octets - 9)
    return fc.integer({ min: least, max: Math.min(2 ** (8 * octets - 1) - 1, 0xffff_ffff) })
  }
  const like = (bytes: Uint8Array): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: bytes.length, maxLength: bytes.length })

  test('is outlined as if there had been none', () => {
    const pairs = anyFields.chain((one) =>
      fc
        .record({
          sessionId: like(one.sessionId),
          masterKey: like(one.masterKey),
          sessionIdContext: like(one.sessionIdContext),
          ticketAgeAdd: one.ticketAgeAdd === 0 ? fc.constant(0) : sameLength(one.ticketAgeAdd),
        })
        .map((own) => [one, { ...one, ...own }] as const),
    )
    fc.assert(
      fc.property(pairs, fc.integer({ min: 2 ** 23, max: 2 ** 31 - 1 }), (both, timeSec) => {
        const [first, second] = both.map((fields) => encode({ ...fields, timeSec, timeoutSec: 300 }))
        expect(outlineSslSession(first as Uint8Array)).toEqual(outlineStrictly(first as Uint8Array))
        expect(outlineSslSession(second as Uint8Array)).toEqual(outlineStrictly(second as Uint8Array))
      }),
    )
  })

  test.each([
    { timeSec: 1_700_000_000, timeoutSec: 300, ticketAgeAdd: 0x7fff_ffff },
    { timeSec: 18_446_744_073, timeoutSec: 1, ticketAgeAdd: 0xffff_ffff },
    { timeSec: 1, timeoutSec: 18_446_744_073, ticketAgeAdd: 1 },
  ])('is refused, or outlined, as if there had been none, whatever octet is another: %j', (numbers) => {
    const der = encode({ ...decodeSslSession(V3), ...numbers })
    const read = (outline: (bytes: Uint8Array) => unknown, bytes: Uint8Array): unknown => {
      try {
        return outline(bytes)
      } catch (error) {
        return error
      }
    }
    for (let index = 0; index < der.length; index++)
      for (const octet of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
        // What was just read must not be what the next one is held against.
        outlineSslSession(der)
        const other = Uint8Array.from(der)
        other[index] = octet
        expect(read(outlineSslSession, other)).toEqual(read(outlineStrictly, other))
      }
  })
})

describe('a compact session', () => {
  test('is the DER in its canonical form, in any other without times', () => {
    fc.assert(
      fc.property(anyFields, fc.boolean(), (fields, hasKeyArg) => {
        const der = hasKeyArg ? withKeyArg(fields) : encode(fields)
        const text = compactDer(der, outlineSslSession(der), {})
        const kept = hasKeyArg ? { ...fields, timeSec: 0, timeoutSec: 0 } : fields
        expect(fieldsOfCompact(text)).toEqual(kept)
        expect(text).toBe(Buffer.from(encode(kept)).toString('latin1'))
      }),
    )
  })

  test('tells each field as the decoder does', () => {
    fc.assert(
      fc.property(anyFields, (fields) => {
        const session = SslSession.fromDer(encode(fields))
        const { hostname, ticket } = fields
        expect({
          sessionId: session.sessionId,
          masterKey: sessionInternals.masterKey(session),
          sessionIdContext: session.sessionIdContext,
          peerCertificate: session.peerCertificate,
          ticketAppData: session.ticketAppData,
          verifyResult: session.verifyResult,
          kexGroup: session.kexGroup,
          maxEarlyData: session.maxEarlyData,
          protocolVersion: session.protocolVersion,
          cipherSuite: session.cipherSuite,
          hasTicket: session.hasTicket,
          isResumable: session.isResumable,
          hostname: session.hostname,
          ticketLifetimeHintSec: session.ticketLifetimeHintSec,
        }).toEqual({
          sessionId: fields.sessionId,
          masterKey: fields.masterKey,
          sessionIdContext: fields.sessionIdContext,
          peerCertificate: fields.peerCertificate,
          ticketAppData: fields.ticketAppData,
          verifyResult: fields.verifyResult,
          kexGroup: fields.kexGroup,
          maxEarlyData: fields.maxEarlyData,
          protocolVersion: fields.protocolVersion,
          cipherSuite: fields.cipherSuite,
          hasTicket: (ticket?.length ?? 0) > 0,
          isResumable: (ticket?.length ?? 0) > 0 || fields.sessionId.length > 0,
          hostname: hostname && Buffer.from(hostname).toString('latin1'),
          ticketLifetimeHintSec: Number(fields.ticketLifetimeHintSec),
        })
      }),
    )
  })

  const some = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength, size: 'max' })
  const noNul = some(300).map((bytes) => bytes.filter((byte) => byte !== 0))

  test('that is changed is written as the changed fields are, and the changes can be taken back', () => {
    fc.assert(
      fc.property(
        anyFields,
        some(32),
        fc.option(noNul),
        some(300),
        (fields, sessionIdContext, name, ticketAppData) => {
          const session = SslSession.fromDer(encode({ ...fields, ...TIMES }))
          session.setSessionIdContext(sessionIdContext)
          session.setHostname(name ?? undefined)
          session.setTicketAppData(ticketAppData)
          const { hostname: _, ticketAppData: __, ...others } = fields
          const changed: SslSessionFields = {
            ...others,
            ...TIMES,
            sessionIdContext,
            // What is empty is none.
            ...(ticketAppData.length > 0 && { ticketAppData }),
            ...(name !== null && { hostname: name }),
          }
          expect(toHex(session.toDer())).toBe(toHex(encode(changed)))
          expect(toHex(session.toDer(fields.sessionIdContext))).toBe(
            toHex(encode({ ...changed, sessionIdContext: fields.sessionIdContext })),
          )
          expect(session.sessionIdContext).toEqual(sessionIdContext)
        },
      ),
    )
  })

  test('that is borrowed is the same, and no longer depends on the bytes once it is edited or compact', () => {
    fc.assert(
      fc.property(
        anyFields,
        fc.boolean(),
        fc.record({
          sessionIdContext: fc.option(some(32), { nil: undefined }),
          hostname: fc.option(noNul),
          ticketAppData: fc.option(some(300), { nil: undefined }),
        }),
        (fields, hasKeyArg, edits) => {
          const der = hasKeyArg ? withKeyArg({ ...fields, ...TIMES }) : encode({ ...fields, ...TIMES })
          const owned = SslSession.fromDer(der)
          sessionInternals.edit(owned, edits)
          const edited = sessionInternals.borrow(der)
          expect(edited.ticketAppData).toEqual(fields.ticketAppData)
          sessionInternals.edit(edited, edits)
          const cached = sessionInternals.borrow(der)
          sessionInternals.compact(cached)
          const copied = SslSession.fromDer(der)
          const before = copied.toDer()
          der.fill(0xff)
          expect(toHex(edited.toDer())).toBe(toHex(owned.toDer()))
          expect(toHex(cached.toDer())).toBe(toHex(before))
          expect(toHex(copied.toDer())).toBe(toHex(before))
        },
      ),
    )
  })

  test('that is borrowed says of itself what its copy says', () => {
    fc.assert(
      fc.property(anyFields, (fields) => {
        const der = encode({ ...fields, ...TIMES })
        const [borrowed, copied] = [sessionInternals.borrow(der), SslSession.fromDer(der)]
        const said = (session: SslSession): unknown => ({
          hostname: session.hostname,
          hasTicket: session.hasTicket,
          isResumable: session.isResumable,
          hasId: sessionInternals.hasId(session),
          masterKey: sessionInternals.masterKey(session),
          ticketAppData: session.ticketAppData,
        })
        expect(said(borrowed)).toEqual(said(copied))
        expect(sessionInternals.masterKey(updated(SslSession.fromDer(der)))).toEqual(fields.masterKey)
        // It is borrowed still.
        const masterKey = fields.masterKey.map((octet) => octet ^ 0xff)
        der.set(encode({ ...fields, ...TIMES, masterKey }))
        expect(Buffer.from(sessionInternals.masterKey(borrowed))).toEqual(Buffer.from(masterKey))
      }),
    )
  })

  test('that is borrowed has the hostname which its DER leaves out, until somebody sets another', () => {
    const nameless = (): SslSession => sessionInternals.borrow(session({}), 'a.example')
    expect(nameless().hostname).toBe('a.example')
    expect(Buffer.from(decodeSslSession(nameless().toDer()).hostname ?? [])).toEqual(Buffer.from('a.example'))
    const edited = nameless()
    edited.setTicketAppData(hex('01'))
    expect([edited.hostname, edited.ticketAppData]).toEqual(['a.example', hex('01')])
    const renamed = nameless()
    renamed.setHostname(Buffer.from('b.example'))
    expect(renamed.hostname).toBe('b.example')
    const unnamed = nameless()
    unnamed.setHostname(undefined)
    expect(unnamed.hostname).toBeUndefined()
    expect(sessionInternals.borrow(session({}), '').hostname).toBe('')
    expect(sessionInternals.borrow(session({})).hostname).toBeUndefined()
    // V3 has its own.
    const named = sessionInternals.borrow(V3, 'a.example')
    expect(named.hostname).toBe('example.org')
    named.setTicketAppData(hex('01'))
    expect(named.hostname).toBe('example.org')
  })

  test.each([
    ['borrowed', () => sessionInternals.borrow(V3)],
    ['compact', () => SslSession.fromDer(V3)],
    ['in fields', () => updated(SslSession.fromDer(V3))],
  ])('is for the hostname that it has, and for no other: %s', (_, make) => {
    const isFor = (hostname: string | null): boolean =>
      sessionInternals.isFor(make(), hostname === null ? null : Buffer.from(hostname))
    expect(isFor('example.org')).toBe(true)
    for (const other of [null, '', 'example.or', 'example.com', 'example.orgs', 'Example.org'])
      expect([other, isFor(other)]).toEqual([other, false])
  })

  test.each([
    ['borrowed', () => sessionInternals.borrow(V2)],
    ['compact', () => SslSession.fromDer(V2)],
    ['in fields', () => updated(SslSession.fromDer(V2))],
  ])('without a hostname is for none: %s', (_, make) => {
    expect(sessionInternals.isFor(make(), null)).toBe(true)
    expect(sessionInternals.isFor(make(), new Uint8Array(0))).toBe(false)
  })

  test('is looked at whatever was looked at before, however long', () => {
    const short = SslSession.fromDer(V3)
    const long = SslSession.fromDer(V3)
    long.setTicketAppData(new Uint8Array(5000).fill(7))
    for (const one of [long, short, long, short])
      expect(one.ticketAppData?.length).toBe(one === long ? 5000 : decodeSslSession(V3).ticketAppData?.length)
  })

  test('lends the bytes that toDer makes, and leaves none of them behind', () => {
    const session = SslSession.fromDer(V3)
    let lent: Uint8Array | undefined
    sessionInternals.lendDer(session, hex('01'), (der) => {
      expect(toHex(der)).toBe(toHex(session.toDer(hex('01'))))
    })
    sessionInternals.lendDer(session, hex('01'), (der) => {
      lent = der
    })
    expect(lent?.every((octet) => octet === 0)).toBe(true)
    expect(() => sessionInternals.lendDer(session, hex('01'), () => expect.fail('as it may'))).toThrow()
    expect(toHex(session.toDer())).toBe(toHex(V3))
  })

  test('is changed by a single byte, and all at once', () => {
    const session = SslSession.fromDer(V3)
    const sessionIdContext = hex('637479')
    session.setSessionIdContext(sessionIdContext)
    session.setTicketAppData(hex('617071'))
    const changed = { ...decodeSslSession(V3), sessionIdContext, ticketAppData: hex('617071') }
    expect(toHex(session.toDer())).toBe(toHex(encode(changed)))
    const other = SslSession.fromDer(V3)
    sessionInternals.edit(other, { sessionIdContext, ticketAppData: hex('617071'), hostname: undefined })
    expect(toHex(other.toDer())).toBe(toHex(encode(changed)))
    sessionInternals.edit(other, { hostname: null })
    expect(other.hostname).toBeUndefined()
    expect(other.sessionIdContext).toEqual(sessionIdContext)
  })

  test('stays what it is when it is set to what it is', () => {
    const session = SslSession.fromDer(V3)
    session.setHostname(Buffer.from('example.org'))
    session.setTicketAppData(hex('617070'))
    session.setSessionIdContext(hex('637478'))
    expect(toHex(session.toDer())).toBe(toHex(V3))
    const bare = SslSession.fromDer(V2)
    bare.setHostname(undefined)
    expect(toHex(bare.toDer())).toBe(toHex(V2))
    session.setTicketAppData(hex('61707000'))
    session.setHostname(Buffer.from('example.com'))
    const fields = decodeSslSession(session.toDer())
    expect(toHex(fields.ticketAppData ?? hex(''))).toBe('61707000')
    expect(session.hostname).toBe('example.com')
  })

  test('tells the same when it cannot be compact', () => {
    const peerCertificate = hex('30020500')
    const fields = { ...decodeSslSession(V3), peerCertificate }
    const session = SslSession.fromDer(encode(fields))
    session.setHostname(hex('6100'))
    const { verifyResult, kexGroup, maxEarlyData, ticketAppData, sessionId, sessionIdContext } = fields
    expect(session).toMatchObject({
      peerCertificate,
      verifyResult,
      kexGroup,
      maxEarlyData,
      ticketAppData,
      sessionId,
      sessionIdContext,
      hasTicket: true,
    })
  })

  test('takes a name up to a NUL, and no empty application data (R12.5)', () => {
    const session = SslSession.fromDer(V3)
    session.setHostname(hex('610062'))
    expect(session.hostname).toBe('a')
    session.setTicketAppData(new Uint8Array(0))
    expect(session.ticketAppData).toBeUndefined()
    expect(decodeSslSession(session.toDer())).not.toHaveProperty('ticketAppData')
    session.setSessionIdContext(hex('07'))
    session.setTicketAppData(hex('08'))
    expect(SslSession.fromDer(session.toDer())).toMatchObject({
      hostname: 'a',
      sessionIdContext: hex('07'),
      ticketAppData: hex('08'),
    })
    session.setHostname(undefined)
    expect(session.hostname).toBeUndefined()
  })

  test('is not changed with the arrays that it was made of, or that it has given', () => {
    const der = V3.slice()
    const session = SslSession.fromDer(der)
    const data = hex('0102')
    session.setTicketAppData(data)
    der.fill(0)
    data.fill(0)
    session.ticketAppData?.fill(9)
    session.sessionId.fill(9)
    expect(toHex(session.toDer())).toBe(
      toHex(encode({ ...decodeSslSession(V3), ticketAppData: hex('0102') })),
    )
  })

  test('and another of the same bytes, of which one is changed, are two', () => {
    const [one, other] = [SslSession.fromDer(V2), SslSession.fromDer(V2)]
    const before = toHex(other.dup().toDer())
    one.dup().setHostname(hex('61'))
    one.setHostname(hex('6100'))
    expect(toHex(other.dup().toDer())).toBe(before)
    expect(other.hostname).toBeUndefined()
    expect(MINIMAL.hostname).toBeUndefined()
  })
})

/** key_arg [0] behind the master key. */
function withKeyArg(fields: SslSessionFields): Uint8Array {
  const der = encode(fields)
  const { start, mandatoryEnd } = outlineSslSession(der).layout
  return derElement(0x30, der.subarray(start, mandatoryEnd), hex('8003aabbcc'), der.subarray(mandatoryEnd))
}
