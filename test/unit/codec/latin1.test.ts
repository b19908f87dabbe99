import fc from 'fast-check'
import { expect, test } from 'vitest'
import { latin1, latin1Anywhere } from '../../../src/codec/latin1.ts'

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
