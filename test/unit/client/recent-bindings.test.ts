import { randomBytes } from 'node:crypto'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { bindingOf, type ConnectOptions } from '../../../src/client/bound-options.ts'
import { RecentBindings } from '../../../src/client/recent-bindings.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import fc from '../../tools/fast-check.ts'

const certificate = await makeCertificate('authority', { isAuthority: true })
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

test('equal options get one SecureContext; others, and what binds nothing, do not', () => {
  const ca = certificate.cert
  const bindings = new RecentBindings(key)
  const contextOf = (given: ConnectOptions) => {
    const name = bindings.of(given)
    return name === undefined ? undefined : bindings.secureContext(given, name)
  }
  const first = contextOf({ host: 'a', port: 1, ca })
  expect(first).toBeDefined()
  // As tls.connect has it, a context of single use would end with its first connection.
  expect(first).not.toHaveProperty('singleUse')
  expect(contextOf({ host: 'a', port: 1, ca: Buffer.from(ca), singleUse: true } as ConnectOptions)).toBe(
    first,
  )
  expect(contextOf({ host: 'a', port: 1, ca: [ca, ca] })).not.toBe(first)
  expect(contextOf({ host: 'b', port: 1, ca })).not.toBe(first)
  expect(contextOf({ host: 'a', port: 1, ca, sessionTimeout: 5 })).toBeUndefined()
  expect(contextOf({ host: 'a', port: 1, ca, secureContext: tls.createSecureContext() })).toBeUndefined()
  expect(contextOf({ host: 'a', port: 1, ca: [ca, ca] })).toBe(
    contextOf({ host: 'a', port: 1, ca: [ca, ca] }),
  )
})
