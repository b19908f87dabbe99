import { describe, expect, test } from 'vitest'
import { type Binding, bindingContext, ticketContextOf } from '../../../src/node/session-binding.ts'
import type { TrustProfile } from '../../../src/node/trust-profile.ts'

const profile: TrustProfile = {
  requestCert: true,
  rejectUnauthorized: true,
  isOpaque: false,
  digest: Buffer.alloc(32, 1),
}
const binding: Binding = {
  ownContext: Buffer.from('shop'),
  serverName: 'a.example',
  profile,
  ownPolicy: undefined,
}

/** Everything that may differ between two connections, and must then lead to another hash. */
const others: readonly (readonly [string, Partial<Binding>])[] = [
  ['another context of the owner', { ownContext: Buffer.from('shoq') }],
  ['no context of the owner', { ownContext: Buffer.alloc(0) }],
  ['another server name', { serverName: 'b.example' }],
  ['no server name', { serverName: undefined }],
  ['an empty server name', { serverName: '' }],
  ['an answer of policy', { ownPolicy: 'gold' }],
  ['an empty answer of policy', { ownPolicy: '' }],
  ['no request for certificates', { profile: { ...profile, requestCert: false } }],
  ['certificates that need not verify', { profile: { ...profile, rejectUnauthorized: false } }],
  ['other authorities', { profile: { ...profile, digest: Buffer.alloc(32, 2) } }],
  [
    'a name that begins where the context ended',
    { ownContext: Buffer.from('shopa'), serverName: '.example' },
  ],
]

describe.each([
  ['the session id context of a session', (one: Binding) => Buffer.from(bindingContext(one)).toString('hex')],
  ['the one of a ticket', ticketContextOf],
])('%s', (_, hashOf) => {
  test.each(others)('is another one for %s', (_name, part) => {
    expect(hashOf({ ...binding, ...part })).not.toBe(hashOf(binding))
  })

  test('is the same for equal bindings, and no two of the others are equal', () => {
    expect(hashOf({ ...binding, profile: { ...profile } })).toBe(hashOf(binding))
    const hashes = others.map(([, part]) => hashOf({ ...binding, ...part }))
    expect(new Set(hashes).size).toBe(others.length)
  })

  test('follows what a profile object is used for, not the object alone', () => {
    const first = hashOf(binding)
    expect(hashOf({ ...binding, serverName: 'b.example' })).not.toBe(first)
    expect(hashOf(binding)).toBe(first)
  })
})
