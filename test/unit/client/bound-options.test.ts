import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  bindingOf,
  CLIENT_OPTIONS,
  type ConnectOptions,
  hasContextOptions,
} from '../../../src/client/bound-options.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { authority, certificate, connect, localLookup, make, startTls } from './harness.ts'

const key = new Uint8Array(32).fill(7)
const stranger = await makeCertificate('stranger', { isAuthority: true })
const client = await makeCertificate('client', { ca: authority })
const BASE: ConnectOptions = { host: 'localhost', port: 443, ca: authority.cert }

/** Another value of each bound option. What OpenSSL has to make (crl, pfx) is bytes here: a binding does not read them. */
const OTHER: Readonly<Record<string, ConnectOptions>> = {
  host: { host: 'other.example' },
  port: { port: 8443 },
  path: { path: '/run/server.sock' },
  servername: { servername: 'other.example' },
  localAddress: { localAddress: '127.0.0.2' },
  ALPNProtocols: { ALPNProtocols: ['h2'] },
  minVersion: { minVersion: 'TLSv1.3' },
  maxVersion: { maxVersion: 'TLSv1.2' },
  secureProtocol: { secureProtocol: 'TLSv1_2_method' },
  secureOptions: { secureOptions: 4 },
  ciphers: { ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256' },
  ecdhCurve: { ecdhCurve: 'P-256' },
  sigalgs: { sigalgs: 'rsa_pss_rsae_sha256' },
  minDHSize: { minDHSize: 2048 },
  ca: { ca: [authority.cert, stranger.cert] },
  crl: { crl: '-----BEGIN X509 CRL-----' },
  allowPartialTrustChain: { allowPartialTrustChain: true },
  cert: { cert: client.cert },
  key: { key: client.key },
  passphrase: { passphrase: 'secret' },
  pfx: { pfx: Buffer.from('a PKCS #12 file') },
  rejectUnauthorized: { rejectUnauthorized: false },
  sessionIdContext: { sessionIdContext: 'own' },
}

const OPAQUE: Readonly<Record<string, ConnectOptions>> = {
  checkServerIdentity: { checkServerIdentity: () => undefined },
  secureContext: { secureContext: tls.createSecureContext() },
  pskCallback: { pskCallback: () => null },
  privateKeyEngine: { privateKeyEngine: 'engine' },
  privateKeyIdentifier: { privateKeyIdentifier: 'key' },
  clientCertEngine: { clientCertEngine: 'engine' } as ConnectOptions,
  requestOCSP: { requestOCSP: true },
}

const named = (part: 'bound' | 'opaque') =>
  Object.keys(CLIENT_OPTIONS).filter((name) => CLIENT_OPTIONS[name] === part)

describe('the binding of a session', () => {
  test.each(Object.keys(OTHER))('covers %s', (name) => {
    expect(bindingOf({ ...BASE, ...OTHER[name] }, key)).not.toBe(bindingOf(BASE, key))
  })

  test.each(Object.keys(OPAQUE))('cannot be told with %s', (name) => {
    expect(bindingOf({ ...BASE, ...OPAQUE[name] }, key)).toBeUndefined()
  })

  test('is tried with each option of the table', () => {
    expect(Object.keys(OTHER)).toEqual(named('bound'))
    expect(Object.keys(OPAQUE)).toEqual(named('opaque'))
  })

  test('has another value for each value of each option', () => {
    const all = named('bound').map((name) => bindingOf({ ...BASE, ...OTHER[name] }, key))
    expect(new Set(all).size).toBe(all.length)
  })

  test('is the same for the same material in other containers', () => {
    const ca = Buffer.from(authority.cert)
    expect(bindingOf({ ...BASE, ca }, key)).toBe(bindingOf(BASE, key))
    expect(bindingOf({ ...BASE, checkServerIdentity: tls.checkServerIdentity }, key)).toBe(
      bindingOf(BASE, key),
    )
  })

  test('is keyed, since a private key is in it', () => {
    expect(bindingOf(BASE, key)).not.toBe(bindingOf(BASE, new Uint8Array(32).fill(8)))
  })

  test.each([
    ['defaults of Node', { ciphers: tls.DEFAULT_CIPHERS, minVersion: tls.DEFAULT_MIN_VERSION }],
    ['the host that is the default', { host: 'localhost' }],
    ['what https.Agent gives instead of nothing', { path: null as never, servername: '' }],
  ])('is the same without and with %s', (_name, options) => {
    expect(bindingOf({ port: 443, ca: authority.cert, ...options }, key)).toBe(bindingOf(BASE, key))
  })

  test('covers the default authorities of the moment', () => {
    const { host, port } = { host: 'localhost', port: 443 }
    expect(bindingOf({ host, port }, key)).not.toBe(bindingOf(BASE, key))
    const before = bindingOf({ host, port }, key)
    const { NODE_EXTRA_CA_CERTS: known } = process.env
    const setDefaults = (tls as { setDefaultCACertificates?(certificates: readonly string[]): void })
      .setDefaultCACertificates
    if (setDefaults !== undefined) setDefaults([authority.cert])
    else process.env['NODE_EXTRA_CA_CERTS'] = '/nowhere.pem'
    try {
      expect(bindingOf({ host, port }, key)).not.toBe(before)
    } finally {
      if (setDefaults !== undefined) setDefaults(tls.rootCertificates)
      else if (known === undefined) delete process.env['NODE_EXTRA_CA_CERTS']
      else process.env['NODE_EXTRA_CA_CERTS'] = known
    }
  })

  test('covers NODE_TLS_REJECT_UNAUTHORIZED', () => {
    const before = bindingOf(BASE, key)
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      expect(bindingOf(BASE, key)).toBe(bindingOf({ ...BASE, rejectUnauthorized: false }, key))
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    }
    expect(bindingOf(BASE, key)).toBe(before)
  })

  test.each([
    ['a socket without a name', { socket: {} as never, host: '' }],
    ['a value of a class', { ca: new Map() as never }],
    [
      'a value that is read anew each time',
      { key: [Object.defineProperty({}, 'pem', { get: () => 'key' })] as never },
    ],
    ['a value that is a function', { key: (() => 'key') as never }],
  ])('cannot be told with %s', (_name, options) => {
    expect(bindingOf({ ...BASE, ...options }, key)).toBeUndefined()
  })

  test('keeps apart what only looks alike when it is written in a row', () => {
    const binding = (options: ConnectOptions) => bindingOf({ ...BASE, ...options }, key)
    expect(binding({ ALPNProtocols: ['ab', 'c'] })).not.toBe(binding({ ALPNProtocols: ['a', 'bc'] }))
    expect(binding({ ca: ['1', '2'] })).not.toBe(binding({ ca: '12' }))
    // biome-ignore lint/suspicious/noSparseArray: holes are what is asked about
    expect(binding({ ca: ['1', ,] as never })).not.toBe(binding({ ca: [, '1'] as never }))
    expect(binding({ key: [{ pem: 'a', passphrase: 'b' }] })).not.toBe(
      binding({ key: [{ pem: 'b', passphrase: 'a' }] }),
    )
  })
})

/** What this line of Node reads of the options of a client. */
function readOptions({ isOfContext = false } = {}): Set<string> {
  const read = new Set<string>()
  const watched = new Proxy<Record<string, unknown>>(
    {},
    { get: (_target, name) => void read.add(String(name)) },
  )
  tls.createSecureContext(watched)
  for (const source of isOfContext ? [] : [tls.connect, tls.TLSSocket])
    for (const [, name = ''] of source.toString().matchAll(/\boptions\.([a-zA-Z]+)/g)) read.add(name)
  return read
}

test('the table has every option that this Node reads', () => {
  const read = [...readOptions()]
  expect(read.length).toBeGreaterThan(30)
  expect(read.filter((name) => !Object.hasOwn(CLIENT_OPTIONS, name))).toEqual([])
})

test('what a SecureContext is made of is bound, or keeps it from being used again', () => {
  const ofContext = [...readOptions({ isOfContext: true })].filter(
    (name) => CLIENT_OPTIONS[name] !== 'opaque',
  )
  expect(ofContext.length).toBeGreaterThan(15)
  const free = ofContext.filter((name) => CLIENT_OPTIONS[name] !== 'bound' && name !== 'singleUse')
  expect(free.length).toBeGreaterThan(3)
  for (const name of free) expect([name, hasContextOptions({ [name]: 1 })]).toEqual([name, true])
})

/** Of the bound options those under which a connection comes about here. */
const CONNECTABLE = [
  'host',
  'servername',
  'localAddress',
  'ALPNProtocols',
  'minVersion',
  'maxVersion',
  'secureProtocol',
  'secureOptions',
  'ciphers',
  'ecdhCurve',
  'sigalgs',
  'minDHSize',
  'ca',
  'allowPartialTrustChain',
  'rejectUnauthorized',
  'sessionIdContext',
]

describe('a session that the server would resume', () => {
  test.each(CONNECTABLE)('is not offered under another value of %s', async (name) => {
    const { server, sessions } = await withSession()
    const other = await connect(sessions, { ...server.options, ...OTHER[name] })
    expect(other.isResumed).toBe(false)
    expect(sessions.stats.sessions.misses).toBe(0)
    expect(sessions.stats.reasons).toEqual(
      name === 'host' ? { 'nothing-to-offer': 2 } : { 'nothing-to-offer': 1, 'trust-differs': 1 },
    )
  })

  test('is not offered with another client certificate', async () => {
    const { server, sessions } = await withSession()
    expect(await connect(sessions, { ...server.options, cert: client.cert, key: client.key })).toMatchObject({
      isResumed: false,
    })
    expect(sessions.stats.reasons).toHaveProperty('trust-differs', 1)
  })

  test('is not offered to another port', async () => {
    const { server, sessions } = await withSession()
    const second = await startTls({ ticketKeys: TICKET_KEYS })
    expect(await connect(sessions, { ...server.options, port: second.port })).toMatchObject({
      isResumed: false,
    })
    expect(sessions.stats.sessions).toMatchObject({ hits: 0, misses: 0 })
  })

  test('is not trusted under an authority that does not trust the server', async () => {
    const { server, sessions } = await withSession()
    await expect(connect(sessions, { ...server.options, ca: stranger.cert })).rejects.toMatchObject({
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    })
  })

  test.each(
    Object.keys(OPAQUE).filter((name) =>
      ['checkServerIdentity', 'secureContext', 'requestOCSP'].includes(name),
    ),
  )('is neither kept nor offered with %s', async (name) => {
    const { server, sessions } = await withSession()
    const { tickets } = sessions.stats
    const options = { ...server.options, ...OPAQUE[name], rejectUnauthorized: name !== 'secureContext' }
    expect(await connect(sessions, options)).toMatchObject({ isResumed: false })
    expect(sessions.stats).toMatchObject({ tickets, reasons: { 'not-bindable': 1 } })
  })
})

const TICKET_KEYS = Buffer.alloc(48, 3)

/** A server, and sessions that have one of it. */
async function withSession() {
  const server = await startTls({
    ticketKeys: TICKET_KEYS,
    ALPNProtocols: ['h2', 'http/1.1'],
    sessionIdContext: 'one',
  })
  const sessions = make()
  await connect(sessions, server.options)
  expect(sessions.stats.tickets).toBeGreaterThan(0)
  return { server: { ...server, options: { ...server.options, lookup: localLookup } }, sessions, certificate }
}
