import { expect, test } from 'vitest'
import { latin1, latin1Anywhere, writeLatin1, writeLatin1Anywhere } from '../../../src/codec/latin1.ts'
import fc from '../../tools/fast-check.ts'

const part = fc.uint8Array({ maxLength: 9000, size: 'max' }).chain((bytes) =>
  fc.tuple(fc.constant(bytes), fc.nat(bytes.length), fc.nat(bytes.length)).map(([all, one, other]) => ({
    all,
    start: Math.min(one, other),
    end: Math.max(one, other),
  })),
)

test.each([
  ['by the way of this platform', latin1],
  ['by the language alone', latin1Anywhere],
])('a unit for each byte, %s', (_name, read) => {
  fc.assert(
    fc.property(part, ({ all, start, end }) => {
      const text = read(all, start, end)
      expect(Array.from(text, (unit) => unit.charCodeAt(0))).toEqual([...all.subarray(start, end)])
    }),
  )
})

test.each([
  ['by the way of this platform', writeLatin1],
  ['by the language alone', writeLatin1Anywhere],
])('the bytes of a text, %s, and nothing behind them', (_name, write) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 9000, size: 'max' }), (bytes) => {
      const target = new Uint8Array(bytes.length + 3).fill(9)
      write(latin1(bytes, 0, bytes.length), target)
      expect(target).toEqual(Uint8Array.of(...bytes, 9, 9, 9))
    }),
  )
})
