import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  KeyRing,
  MemoryStore,
  Revocations,
  SessionCacheMode,
  sealed,
  storeCallbacks,
} from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  connect,
  NO_INTERNAL,
  reasons,
  type StartOptions,
  start,
  VERSIONS,
} from '../../tools/node-servers.ts'

const authority = await makeCertificate('authority.example', { isAuthority: true })
const client = await makeCertificate('client.example', { ca: authority })
const mutual = { requestCert: true, rejectUnauthorized: true, ca: authority.cert }
const keyRing = new KeyRing([randomBytes(32)])

/** Two servers on one store, each with its own view of what is revoked. */
async function pair(versions: StartOptions, sessionCacheMode: number) {
  const store = sealed(new MemoryStore(), keyRing)
  // A mark ends what was made in its own second, too.
  const clock = { offsetMs: -5000 }
  const make = async () => {
    const revocations = new Revocations(store, keyRing, { now: () => Date.now() + clock.offsetMs })
    afterTest(() => void revocations.close())
    await revocations.ready
    const harness = await start({
      server: { ...versions.server, ...mutual },
      context: { sessionCacheMode, ...storeCallbacks(store) },
      attach: { revocations },
    })
    return { ...harness, revocations }
  }
  return { clock, here: await make(), there: await make() }
}

describe.each([
  ['the external cache alone', NO_INTERNAL],
  ['both caches', SessionCacheMode.SERVER],
])('with %s', (_, mode) => {
  test.each(VERSIONS)(
    'in %s a client whose certificate is revoked by one process resumes with none',
    async (_name, versions) => {
      const { clock, here, there } = await pair(versions, mode)
      const own = { key: client.key, cert: client.cert }
      const { session } = await connect(here, undefined, own)
      expect((await connect(there, session, own)).resumed).toBe(true)
      expect((await connect(here, session, own)).resumed).toBe(true)
      clock.offsetMs = 2000
      await here.revocations.revokeClient(new X509Certificate(client.cert).fingerprint256)
      for (const server of [here, there]) {
        expect((await connect(server, session, own)).resumed).toBe(false)
        expect(reasons(server).at(-1)).toBe('revoked')
      }
    },
  )
})

describe.each(VERSIONS)('in %s', (_name, versions) => {
  test('what is revoked, or may be, gets a full handshake, and a reason of its own', async () => {
    let objection: 'revoked' | 'revocation-unknown' | undefined
    const seen: (readonly [string | undefined, number])[] = []
    const harness = await start({
      ...versions,
      server: { ...versions.server, ...mutual },
      attach: {
        revocations: {
          objectionTo({ peerCertificate }, authenticatedAtSec) {
            seen.push([
              peerCertificate && createHash('sha256').update(peerCertificate).digest('hex'),
              authenticatedAtSec,
            ])
            return objection
          },
        },
      },
    })
    const own = { key: client.key, cert: client.cert }
    const startedSec = Math.floor(Date.now() / 1000)
    const { session } = await connect(harness, undefined, own)
    expect((await connect(harness, session, own)).resumed).toBe(true)
    for (const next of ['revoked', 'revocation-unknown'] as const) {
      objection = next
      expect((await connect(harness, session, own)).resumed).toBe(false)
    }
    expect(reasons(harness).slice(1)).toEqual(['internal', 'revoked', 'revocation-unknown'])
    const fingerprint = new X509Certificate(client.cert).fingerprint256.replaceAll(':', '').toLowerCase()
    for (const [hash, atSec] of seen) {
      expect(hash).toBe(fingerprint)
      expect(atSec).toBeGreaterThanOrEqual(startedSec)
    }
  })
})
