import { describe, expect, test } from 'vitest'
import { explicitTag } from '../../../src/codec/der.ts'
import { decodeSslSession, type SslSessionFields } from '../../../src/codec/ssl-session-der.ts'
import { SessionCacheError, SessionDerError, SessionRangeError } from '../../../src/errors.ts'
import fc from '../../tools/fast-check.ts'
import { hex, toHex } from '../../tools/hex.ts'
import { anyFields, encode, MINIMAL, V1, V2, V3 } from '../../tools/session-fields.ts'
import { derElement, derInteger } from './der-builder.ts'

const octets = (...bytes: number[]): Uint8Array => derElement(0x04, Uint8Array.from(bytes))
const explicit = (number: number, content: Uint8Array): Uint8Array => derElement(explicitTag(number), content)

/** A session with its elements given one by one. */
function session(parts: {
  version?: Uint8Array
  protocol?: Uint8Array
  cipher?: Uint8Array
  id?: Uint8Array
  key?: Uint8Array
  rest?: readonly Uint8Array[]
}): Uint8Array {
  return derElement(
    0x30,
    parts.version ?? derInteger(1n),
    parts.protocol ?? derInteger(0x0303n),
    parts.cipher ?? octets(0xc0, 0x30),
    parts.id ?? octets(1, 2, 3),
    parts.key ?? octets(4, 5, 6),
    ...(parts.rest ?? []),
  )
}

function refusal(der: Uint8Array): SessionDerError {
  try {
    decodeSslSession(der)
  } catch (error) {
    if (error instanceof SessionDerError) return error
    throw error
  }
  throw new Error('was accepted')
}

describe('the vectors of libssl (R12)', () => {
  test('V1, without [4] and [19], is read and written again as V2', () => {
    expect(toHex(encode(decodeSslSession(V1)))).toBe(toHex(V2))
  })

  test('V2 is what a session without optional values looks like', () => {
    expect(decodeSslSession(V2)).toEqual(MINIMAL)
    expect(toHex(encode(MINIMAL))).toBe(toHex(V2))
  })

  test('V3, with every scalar field, comes back byte for byte', () => {
    const fields = decodeSslSession(V3)
    expect(fields).toMatchObject({
      verifyResult: 18,
      ticketLifetimeHintSec: 300n,
      flags: 1,
      ticketAgeAdd: 0xfedc_ba98,
      maxEarlyData: 16_384,
      maxFragmentLengthMode: 1,
      kexGroup: 29,
    })
    expect(String.fromCharCode(...(fields.hostname ?? []))).toBe('example.org')
    expect(toHex(encode(fields))).toBe(toHex(V3))
  })
})

describe('the protocol version (R12.4)', () => {
  test.each([0x0300, 0x0303, 0x03ff, 0xfe00, 0xfefd, 0xfeff, 0x0100])('%i is accepted', (version) => {
    expect(decodeSslSession(session({ protocol: derInteger(BigInt(version)) })).protocolVersion).toBe(version)
  })

  test.each([0x0002, 0x0200, 0x02ff, 0x0400, 0x0101, 0xfdff, 0xff00, 0x010303, -1, -0x0303])(
    '%i is refused',
    (version) => {
      expect(refusal(session({ protocol: derInteger(BigInt(version)) })).message).toMatch(/TLS or DTLS/)
    },
  )

  test('is refused with the offset of its element', () => {
    expect(refusal(session({ protocol: derInteger(0x0400n) })).offset).toBe(5)
  })

  test('a version beyond int32 is refused', () => {
    expect(refusal(session({ protocol: derInteger(2n ** 31n) })).message).toMatch(/protocol version must be/)
  })
})

describe('the bounds of mandatory fields (R12.4)', () => {
  test.each([0, 32])('a session id of %i bytes is accepted', (length) => {
    expect(
      decodeSslSession(session({ id: octets(...new Array<number>(length).fill(9)) })).sessionId.length,
    ).toBe(length)
  })

  test.each([0, 512])('a master key of %i bytes is accepted', (length) => {
    const key = octets(...new Array<number>(length).fill(9))
    expect(decodeSslSession(session({ key })).masterKey.length).toBe(length)
  })

  test.each([
    ['format version 0', session({ version: derInteger(0n) }), 4, /format version/],
    ['format version 2', session({ version: derInteger(2n) }), 4, /format version/],
    ['a cipher of 1 byte', session({ cipher: octets(1) }), 11, /exactly 2 bytes/],
    ['a cipher of 3 bytes', session({ cipher: octets(1, 2, 3) }), 11, /exactly 2 bytes/],
    ['a session id of 33 bytes', session({ id: octets(...new Array<number>(33).fill(9)) }), 15, /at most 32/],
    [
      'a master key of 513 bytes',
      session({ key: octets(...new Array<number>(513).fill(9)) }),
      24,
      /at most 512/,
    ],
  ])('%s is refused', (_, der, offset, message) => {
    const error = refusal(der)
    expect(error.message).toMatch(message)
    expect(error.code).toBe('ERR_SESSION_DER_INVALID')
    expect(error.offset).toBe(offset)
  })

  test('any two bytes are a cipher suite (D9)', () => {
    expect(decodeSslSession(session({ cipher: octets(0xff, 0xfe) })).cipherSuite).toBe(0xfffe)
  })
})

describe('the bounds of optional numbers', () => {
  const cases: [string, number, bigint, bigint, keyof SslSessionFields][] = [
    ['time', 1, 0n, 18_446_744_073n, 'timeSec'],
    ['timeout', 2, 0n, 18_446_744_073n, 'timeoutSec'],
    ['verify result', 5, -(2n ** 31n), 2n ** 31n - 1n, 'verifyResult'],
    ['ticket lifetime hint', 9, 0n, 2n ** 64n - 1n, 'ticketLifetimeHintSec'],
    ['ticket age add', 14, 0n, 2n ** 32n - 1n, 'ticketAgeAdd'],
    ['max early data', 15, 0n, 2n ** 32n - 1n, 'maxEarlyData'],
    ['key exchange group', 19, 0n, 2n ** 32n - 1n, 'kexGroup'],
  ]

  test.each(cases)('%s [%i] is %s to %s (R12, D5)', (_, tag, min, max, field) => {
    for (const value of [min, max]) {
      const fields = decodeSslSession(session({ rest: [explicit(tag, derInteger(value))] }))
      expect(BigInt(fields[field] as number | bigint)).toBe(value)
      expect(BigInt(decodeSslSession(encode(fields))[field] as number | bigint)).toBe(value)
    }
    for (const value of [min - 1n, max + 1n])
      expect(refusal(session({ rest: [explicit(tag, derInteger(value))] })).message).toMatch(/must be/)
  })

  test('a zero that is written all the same is read as absent', () => {
    const rest = [1, 2, 5, 9, 13, 14, 15, 17].map((tag) => explicit(tag, derInteger(0n)))
    const fields = decodeSslSession(session({ rest }))
    expect(fields).toMatchObject({ timeSec: 0, timeoutSec: 0, verifyResult: 0, flags: 0 })
  })

  test('flags are read as 64 bits and kept as 32, as libssl does', () => {
    expect(decodeSslSession(session({ rest: [explicit(13, derInteger(0x1_8000_0001n))] })).flags).toBe(
      0x8000_0001,
    )
    expect(refusal(session({ rest: [explicit(13, derInteger(2n ** 64n))] })).message).toMatch(/flags/)
  })

  test('the max fragment length is read as 32 bits and kept as 8, as libssl does', () => {
    expect(
      decodeSslSession(session({ rest: [explicit(17, derInteger(0x1ffn))] })).maxFragmentLengthMode,
    ).toBe(0xff)
    expect(refusal(session({ rest: [explicit(17, derInteger(2n ** 32n))] })).message).toMatch(/max fragment/)
  })
})

describe('optional elements', () => {
  test('key_arg [0] is read and forgotten', () => {
    const der = session({ rest: [derElement(0x80, hex('aabb'))] })
    expect(toHex(encode(decodeSslSession(der)))).not.toContain('aabb')
  })

  test.each([6, 7, 8, 12])('the text [%i] ends at its first NUL (R12.5)', (tag) => {
    const fields = decodeSslSession(session({ rest: [explicit(tag, octets(0x61, 0x62, 0x00, 0x63))] }))
    const text = fields.hostname ?? fields.pskIdentityHint ?? fields.pskIdentity ?? fields.srpUsername
    expect(toHex(text ?? new Uint8Array(0))).toBe('6162')
  })

  test.each([6, 10, 16, 18])('an empty [%i] is not the same as an absent one', (tag) => {
    const der = encode(decodeSslSession(session({ rest: [explicit(tag, octets())] })))
    expect(toHex(der)).toContain(toHex(explicit(tag, octets())))
  })

  test.each([
    [
      'a session id context of 33 bytes',
      [explicit(4, octets(...new Array<number>(33).fill(1)))],
      /at most 32/,
    ],
    ['a compression id of 0 bytes', [explicit(11, octets())], /exactly 1/],
    ['a compression id of 2 bytes', [explicit(11, octets(1, 2))], /exactly 1/],
    ['a certificate that is no SEQUENCE', [explicit(3, octets(1))], /must be a SEQUENCE/],
    ['a certificate that does not nest', [explicit(3, hex('30020401'))], /exceeds/],
    ['a key that is no SEQUENCE', [explicit(20, derElement(4, octets(1)))], /must be a SEQUENCE/],
    ['a key followed by something', [explicit(20, derElement(4, hex('30000500')))], /must end here/],
    ['two integers in one element', [explicit(1, hex('020101020102'))], /must end here/],
    ['an unknown element [21]', [explicit(21, octets(1))], /unknown, repeated or out of order/],
    ['elements out of order', [explicit(2, derInteger(1n)), explicit(1, derInteger(1n))], /out of order/],
    ['a repeated element', [explicit(1, derInteger(1n)), explicit(1, derInteger(1n))], /repeated/],
    ['an implicit tag', [derElement(0x81, hex('01'))], /unknown/],
  ])('%s is refused (R12.4)', (_, rest, message) => {
    expect(refusal(session({ rest })).message).toMatch(message)
  })

  test('a certificate that is no SEQUENCE is refused with its own offset', () => {
    expect(refusal(session({ rest: [explicit(3, octets(1))] })).offset).toBe(25)
  })

  test.each([
    ['bytes after the session', hex(`${toHex(V2)}00`)],
    ['an indefinite length', hex('30800201010000')],
    ['an INTEGER without content', session({ rest: [explicit(1, hex('0200'))] })],
    ['a length that is not minimal', hex(`308176${toHex(V2).slice(4)}`)],
    ['an OCTET STRING in pieces', session({ key: hex('2403040101') })],
    ['a tag number below 31 in the long form', session({ rest: [hex('bf0103020101')] })],
    ['key_arg [0] in pieces', session({ rest: [hex('a003040101')] })],
    ['bytes after the raw public key', session({ rest: [explicit(20, derElement(4, hex('3002050000')))] })],
  ])('%s, which libssl would take, is refused (D9)', (_, der) => {
    expect(refusal(der).code).toBe('ERR_SESSION_DER_INVALID')
  })
})

describe('whatever the fields', () => {
  test('what was written is read back, and written again the same', () => {
    fc.assert(
      fc.property(anyFields, (fields) => {
        const der = encode(fields)
        expect(decodeSslSession(der)).toEqual(fields)
        expect(toHex(encode(decodeSslSession(der)))).toBe(toHex(der))
      }),
    )
  })

  test.each([
    ['V2', V2],
    ['V3', V3],
  ])('no proper prefix of %s is a session', (_, der) => {
    for (let length = 0; length < der.length; length++)
      expect(refusal(der.subarray(0, length)).offset).toBeLessThanOrEqual(length)
  })

  test('what is read does not change when the input does', () => {
    const input = V3.slice()
    const fields = decodeSslSession(input)
    input.fill(0)
    expect(toHex(encode(fields))).toBe(toHex(V3))
  })
})

test('an error names the rule and never the bytes', () => {
  const secret = octets(...new Array<number>(513).fill(0x41))
  const error = refusal(session({ key: secret }))
  expect(error.name).toBe('SessionDerError')
  expect(error.message).not.toMatch(/4141|AAAA/)
  expect(error.message).toMatch(/at offset 24/)
  expect(error.cause).toBeUndefined()
})

test('a range error is one of ours, with a name and a code of its own', () => {
  const error = new SessionRangeError('timeout must be at least 0, got -1')
  expect(error).toBeInstanceOf(SessionCacheError)
  expect(error.name).toBe('SessionRangeError')
  expect(error.code).toBe('ERR_SESSION_OUT_OF_RANGE')
})
