import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { MemoryStore, storeCallbacks } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  certificate,
  connect,
  type Harness,
  NAME,
  reasons,
  start,
  versions,
} from '../../tools/node-servers.ts'

const authority = await makeCertificate('authority', { isAuthority: true })
const client = { ...(await makeCertificate('client', { ca: authority })), rejectUnauthorized: false }
const renewed = await makeCertificate(NAME)

const verifying: tls.TlsOptions = { requestCert: true, rejectUnauthorized: false, ca: authority.cert }

/** Later lines of Node have more options than the types of the oldest. */
type Options = tls.TlsOptions & { readonly allowPartialTrustChain?: boolean }

/** What decides whom a server trusts, or for whom it may be taken. */
const DECIDING: readonly (readonly [string, Options])[] = [
  ['requestCert', { requestCert: false }],
  ['rejectUnauthorized', { rejectUnauthorized: true }],
  ['ca, none', { ca: [] }],
  ['ca, one more', { ca: [authority.cert, certificate.cert] }],
  ['sigalgs', { sigalgs: 'rsa_pss_rsae_sha256:rsa_pkcs1_sha256' }],
  ['ciphers', { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384' }],
  ['the security level in ciphers', { ciphers: 'DEFAULT@SECLEVEL=1' }],
  ['ALPNProtocols', { ALPNProtocols: ['h2'] }],
]

/** What decides nothing of the kind: sessions are not lost for it. */
const INDIFFERENT: readonly (readonly [string, Options])[] = [
  ['key and cert, renewed', { ...renewed }],
  ['ca, in another form', { ca: [authority.cert] }],
  ['honorCipherOrder', { honorCipherOrder: true }],
  ['ecdhCurve', { ecdhCurve: 'P-256:X25519' }],
  ['dhparam', { dhparam: 'auto' }],
  ['handshakeTimeout', { handshakeTimeout: 60_000 }],
  ['ticketKeys', { ticketKeys: Buffer.alloc(48, 7) }],
  ['passphrase', { passphrase: 'of a key that has none' }],
  ['pauseOnConnect, keepAlive, noDelay', { pauseOnConnect: false, keepAlive: true, noDelay: true }],
  ['highWaterMark, allowHalfOpen', { highWaterMark: 20_000, allowHalfOpen: false }],
]

describe.each(versions)('%s: of two servers with one store', (version) => {
  const range = { minVersion: version, maxVersion: version }

  async function crosses(changed: Options): Promise<{ resumed: boolean; reason: string | undefined }> {
    const context = { sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) }
    const first = await start({ context, server: { ...verifying, ...range } })
    const second = await start({ context, server: { ...verifying, ...range, ...changed } })
    const { session } = await connect(first, undefined, client)
    const { resumed } = await connect(second, session, client)
    return { resumed, reason: reasons(second)[0] }
  }

  test.each(DECIDING)(
    'a session of the one is not good on the other, when they differ in %s',
    async (_name, changed) => {
      expect(await crosses(changed)).toEqual({ resumed: false, reason: 'trust-changed' })
    },
  )

  test.each(INDIFFERENT)(
    'a session of the one is good on the other, when they differ in %s',
    async (_name, changed) => {
      expect(await crosses(changed)).toMatchObject({ resumed: true })
    },
  )

  // createServer ignores the option on all lines; the contexts of addContext have it.
  test('a session of a name is not good on the other, when its contexts differ in allowPartialTrustChain', async () => {
    const context = { sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) }
    const startNamed = async (allowPartialTrustChain: boolean): Promise<Harness> => {
      const harness = await start({ context, server: { ...verifying, ...range } })
      const named: Options = { ...renewed, ca: authority.cert, allowPartialTrustChain }
      harness.server.addContext('other.example', named)
      return harness
    }
    const named = { ...client, servername: 'other.example' }
    const [first, same, second] = [await startNamed(false), await startNamed(false), await startNamed(true)]
    const { session } = await connect(first, undefined, named)
    expect((await connect(same, session, named)).resumed).toBe(true)
    expect((await connect(second, session, named)).resumed).toBe(false)
  })
})
