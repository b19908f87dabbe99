import { expect, test } from 'vitest'
import { decodePem, encodePem } from '../../../src/codec/pem.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { SessionDerError } from '../../../src/errors.ts'
import fc from '../../tools/fast-check.ts'
import { anyFields, encode, V3 } from '../../tools/session-fields.ts'

const RUNS = 10_000

/** @returns whether the input was accepted; any error but ours is thrown on */
function isAccepted(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch (error) {
    if (error instanceof SessionDerError) return false
    throw error
  }
}

const mutated = fc
  .tuple(
    anyFields,
    fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('set', 'insert', 'delete')), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([fields, edits]) => {
    const der = [...encode(fields)]
    for (const [at, byte, edit] of edits) {
      if (edit === 'set') der[at % der.length] = byte
      else if (edit === 'insert') der.splice(at % der.length, 0, byte)
      else der.splice(at % der.length, 1)
    }
    return Uint8Array.from(der)
  })

test(`${RUNS} mutated sessions are read, and then written the same, or refused with our error`, () => {
  let accepted = 0
  fc.assert(
    fc.property(mutated, (der) => {
      if (isAccepted(() => decodeSslSession(der))) {
        accepted++
        const again = encode(decodeSslSession(der))
        expect(encode(decodeSslSession(again))).toEqual(again)
      }
    }),
    { numRuns: RUNS },
  )
  // Some mutations hit contents only: the test must see both outcomes.
  expect(accepted).toBeGreaterThan(0)
  expect(accepted).toBeLessThan(RUNS)
}, 120_000)

test('arbitrary bytes are refused with our error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(isAccepted(() => decodeSslSession(bytes))).toBe(false)
    }),
    { numRuns: RUNS },
  )
})

test('arbitrary text is refused with our error, and PEM with noise around it is read', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      expect(isAccepted(() => decodePem(before))).toBe(false)
      expect(decodePem(`${before}\n${encodePem(V3)}${after}`)).toEqual(V3)
    }),
  )
})
