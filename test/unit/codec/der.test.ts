import { describe, expect, test } from 'vitest'
import { copySpan, DerReader, DerTag, explicitTag, implicitTag } from '../../../src/codec/der.ts'
import { SessionDerError } from '../../../src/errors.ts'
import fc from '../../tools/fast-check.ts'
import { hex, toHex } from '../../tools/hex.ts'
import { derElement, derInteger } from './der-builder.ts'

const UINT64 = { min: 0n, max: 2n ** 64n - 1n }
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n }

function failure(read: () => unknown): { message: string; offset: number } {
  try {
    read()
  } catch (error) {
    if (error instanceof SessionDerError) return { message: error.message, offset: error.offset }
    throw error
  }
  throw new Error('was accepted')
}

describe('reading an INTEGER', () => {
  test.each([
    ['020100', 0n],
    ['02017f', 127n],
    ['02020080', 128n],
    ['020180', -128n],
    ['0202ff7f', -129n],
    ['0201ff', -1n],
    ['02087fffffffffffffff', 2n ** 63n - 1n],
    ['02088000000000000000', -(2n ** 63n)],
  ])('%s is %s (X.690 §8.3)', (der, value) => {
    expect(BigInt(new DerReader(hex(der)).integer(INT64, 'n'))).toBe(value)
  })

  test('nine octets hold 2^64 - 1', () => {
    expect(BigInt(new DerReader(hex('020900ffffffffffffffff')).integer(UINT64, 'n'))).toBe(2n ** 64n - 1n)
  })

  test.each([
    ['without content', '0200', /at least one byte/, 2],
    ['with a needless leading 00', '02020001', /minimal/, 2],
    ['with a needless leading ff', '0202ff80', /minimal/, 2],
    ['below the range', '0201ff', /must be 0 to/, 2],
    ['above the range', '0209010000000000000000', /must be 0 to/, 2],
    ['of ten octets', '020a01000000000000000000', /10 bytes/, 2],
    ['of another type', '0401ff', /mandatory, got another element/, 0],
    ['at the end of the input', '', /mandatory, got the end/, 0],
  ])('%s is refused', (_, der, message, offset) => {
    const error = failure(() => new DerReader(hex(der)).integer(UINT64, 'n'))
    expect(error.message).toMatch(message)
    expect(error.offset).toBe(offset)
  })
})

describe('reading a length', () => {
  test.each([
    ['long form for 127', '04817f', /minimal/],
    ['two octets for 255', '048200ff', /minimal/],
    ['leading zero octet', '04830000ff', /minimal/],
    ['indefinite form', '048000', /definite/],
    ['five octets', '04850000000001', /at most 4 octets/],
    ['reserved ff', '04ff', /at most 4 octets/],
    ['truncated', '0482', /length of s is mandatory/],
    ['missing', '04', /length of s is mandatory/],
    ['beyond the input', '040201', /exceeds the 1 bytes left/],
    ['4 GiB', '0484ffffffff', /exceeds/],
  ])('%s is refused (X.690 §10.1)', (_, der, message) => {
    expect(failure(() => new DerReader(hex(der)).octetString(0, 99, 's')).message).toMatch(message)
  })

  test.each([0, 1, 127, 128, 255, 256, 65_535, 65_536])(
    '%i bytes come back as they were written',
    (length) => {
      const content = new Uint8Array(length).fill(7)
      const der = derElement(DerTag.OCTET_STRING, content)
      const reader = new DerReader(der)
      expect(toHex(copySpan(der, reader.octetString(0, 1e6, 's')))).toBe(toHex(content))
      reader.end('s')
    },
  )
})

describe('the content of an OCTET STRING', () => {
  test('can be copied', () => {
    const input = hex('0401aa')
    const bytes = copySpan(input, new DerReader(input).octetString(1, 1, 's'))
    input.fill(0)
    expect(toHex(bytes)).toBe('aa')
  })

  test('can be copied out of a Buffer as well, whose own slice would alias', () => {
    const input = Buffer.from('0401aa', 'hex')
    const bytes = copySpan(input, new DerReader(input).octetString(1, 1, 's'))
    input.fill(0)
    expect(toHex(bytes)).toBe('aa')
    expect(bytes.constructor).toBe(Uint8Array)
  })

  test.each([
    [2, 2, /exactly 2 bytes, got 1/],
    [0, 0, /exactly 0 bytes, got 1/],
    [3, 9, /at most 9 bytes, got 1/],
  ])('shorter than %i or longer than %i is refused', (min, max, message) => {
    expect(failure(() => new DerReader(hex('0401aa')).octetString(min, max, 's')).message).toMatch(message)
  })
})

describe('reading any well-formed element', () => {
  test.each(['0500', '30030101ff', '1f1f00', '1f818000'.replace('818000', '810000'), '3004a0020500'])(
    '%s is accepted',
    (der) => {
      expect(toHex(copySpan(hex(der), new DerReader(hex(der)).wellFormedElement('c')))).toBe(der)
    },
  )

  test.each([
    ['content that does not nest', '30020201', /exceeds/],
    ['a second element within that does not nest', '300405000201', /exceeds/],
    ['end-of-contents octets', '30020000', /end-of-contents/],
    ['tag number 30 in the long form', '1f1e00', /minimal tag numbers/],
    ['a tag number with a leading 80', '1f808100', /minimal tag numbers/],
    ['a tag number that does not end', '1f81', /tag number of c is mandatory/],
    ['nothing', '', /identifier of c is mandatory/],
  ])('%s is refused', (_, der, message) => {
    expect(failure(() => new DerReader(hex(der)).wellFormedElement('c')).message).toMatch(message)
  })

  test('64 levels are accepted, 65 are refused', () => {
    const nested = (levels: number): Uint8Array => {
      let element: Uint8Array = derElement(DerTag.SEQUENCE)
      for (let level = 1; level < levels; level++) element = derElement(DerTag.SEQUENCE, element)
      return element
    }
    expect(new DerReader(nested(64)).wellFormedElement('c')).toEqual({ start: 0, end: nested(64).length })
    expect(failure(() => new DerReader(nested(65)).wellFormedElement('c')).message).toMatch(/deeper than 64/)
  })
})

test.each([
  ['of a length that is not minimal', '300504817f0000', 3],
  ['of a length in too many octets', '300504850000000001', 3],
  ['of an indefinite length', '300404800000', 3],
  ['of a length that exceeds the input', '3004040101', 1],
  ['of a length that exceeds what encloses it', '300304020101', 3],
  ['of end-of-contents octets', '300405000000', 4],
  ['of an INTEGER in a longer form', '300402020001', 4],
  ['of the second of two elements', '300405000481', 6],
])('an error has the offset %s', (_, der, offset) => {
  const read = (): void => {
    const body = new DerReader(hex(der))
    body.enter(DerTag.SEQUENCE, 's')
    if (der.startsWith('02', 4)) body.integer(UINT64, 'n')
    else while (body.remaining > 0) body.wellFormedElement('c')
  }
  expect(failure(read).offset).toBe(offset)
})

describe('a reader within an element', () => {
  function within(der: string): DerReader {
    const reader = new DerReader(hex(der))
    reader.enter(DerTag.SEQUENCE, 's')
    return reader
  }

  test('cannot leave it', () => {
    const reader = within('3002020103')
    expect(failure(() => reader.integer(UINT64, 'n')).message).toMatch(/exceeds the 0 bytes left/)
  })

  test('does not see what follows it', () => {
    const reader = within('3000020101')
    expect(reader.enterOptional(DerTag.INTEGER, 'n')).toBeUndefined()
    expect(failure(() => reader.integer(UINT64, 'n'))).toMatchObject({ offset: 2 })
    expect(failure(() => reader.wellFormedElement('c'))).toMatchObject({ offset: 2 })
  })

  test('comes out of it where it ends, and sees what follows', () => {
    const reader = new DerReader(hex('3003020101020102'))
    const end = reader.enter(DerTag.SEQUENCE, 's')
    expect(BigInt(reader.integer(UINT64, 'n'))).toBe(1n)
    reader.leave(end, 's')
    expect(BigInt(reader.integer(UINT64, 'n'))).toBe(2n)
    reader.end('input')
  })

  test('does not come out of it as long as something is left in it', () => {
    const reader = new DerReader(hex('3003020101020102'))
    const end = reader.enter(DerTag.SEQUENCE, 's')
    expect(failure(() => reader.leave(end, 's')).message).toMatch(/s must end here, got 3 bytes more/)
  })

  test('steps over what is optional without a look into it, and over nothing else', () => {
    const reader = new DerReader(hex('8002ffff020101'))
    reader.skipOptional(implicitTag(0), 'x')
    reader.skipOptional(implicitTag(0), 'x')
    expect(BigInt(reader.integer(UINT64, 'n'))).toBe(1n)
  })

  test('refuses what is left over of the input', () => {
    const error = failure(() => new DerReader(hex('0500')).end('s'))
    expect(error.message).toMatch(/s must end here, got 2 bytes more/)
  })

  test('leaves an optional element of another tag where it is', () => {
    const reader = new DerReader(hex('020101'))
    expect(reader.enterOptional(explicitTag(1), 'x')).toBeUndefined()
    expect(BigInt(reader.integer(UINT64, 'n'))).toBe(1n)
  })
})

test('every integer of 64 bits comes back as it was written, in the fewest octets', () => {
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (value) => {
      const der = derInteger(value)
      expect(BigInt(new DerReader(der).integer(INT64, 'n'))).toBe(value)
    }),
  )
})
