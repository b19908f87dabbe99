import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bindingOf, type ConnectOptions } from '../../src/client/bound-options.ts'
import { RecentBindings } from '../../src/client/recent-bindings.ts'

const key = new Uint8Array(randomBytes(32))
const material = fc.oneof(
  fc.constantFrom('a', 'ab', ''),
  fc.constantFrom('a', 'b').map((text) => Buffer.from(text)),
)
const options = fc.record(
  {
    host: fc.constantFrom('a', 'b'),
    port: fc.constantFrom(1, 2),
    ca: fc.oneof(material, fc.array(material, { maxLength: 2 })),
    key: fc.oneof(material, fc.constantFrom([{ pem: 'a' }], [{ pem: 'b' }])),
    ciphers: fc.constantFrom('a', 'b'),
    rejectUnauthorized: fc.constantFrom(true, false, undefined),
    servername: fc.constantFrom('a', 'b'),
    checkServerIdentity: fc.constant(() => undefined),
  },
  { requiredKeys: ['host', 'port'] },
)

test('recent bindings are those that a hash would give', () => {
  fc.assert(
    fc.property(fc.array(options, { maxLength: 60, size: 'max' }), (all) => {
      const bindings = new RecentBindings(key)
      for (const one of all) {
        const given = one as ConnectOptions
        expect(bindings.of(given)).toBe(bindingOf(given, key))
      }
    }),
  )
})

test('a recent binding is not that of bytes, or a list, which its owner has written into', () => {
  const bindings = new RecentBindings(key)
  const ca = [Buffer.from('authority')]
  const given: ConnectOptions = { host: 'a', port: 1, ca }
  const before = bindings.of(given)
  ca[0]?.fill(0)
  const after = bindings.of(given)
  expect(after).not.toBe(before)
  ca.push(Buffer.from('another'))
  expect(bindings.of(given)).not.toBe(after)
})
