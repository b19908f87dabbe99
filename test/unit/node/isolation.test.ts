import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { derOf } from '../../../src/client/session-format.ts'
import {
  type AttachServerOptions,
  attachServer,
  MemoryStore,
  type SessionPolicy,
  SslContext,
  SslSession,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import { reportsAuthorizationTruly } from '../../../src/node/runtime.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  certificate,
  connect,
  type Harness,
  NAME,
  reasons,
  start,
  type Version,
  versions,
} from '../../tools/node-servers.ts'

const [authority, otherAuthority] = await Promise.all(
  ['authority', 'other authority'].map((name) => makeCertificate(name, { isAuthority: true })),
)
const client = await makeCertificate('client', { ca: authority! })
const other = await makeCertificate('other.example')
const renewed = await makeCertificate(NAME)

/** Two servers that share one external cache, the second with something changed. */
async function pair(
  version: Version,
  first: tls.TlsOptions,
  second: tls.TlsOptions,
  attach: readonly [AttachServerOptions, AttachServerOptions] = [{}, {}],
): Promise<readonly [Harness, Harness]> {
  const context = { sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) }
  const range = { minVersion: version, maxVersion: version }
  return [
    await start({ context, server: { ...range, ...first }, attach: attach[0] }),
    await start({ context, server: { ...range, ...second }, attach: attach[1] }),
  ]
}

const anyone: tls.ConnectionOptions = { rejectUnauthorized: false }
const withCertificate: tls.ConnectionOptions = { ...client, ...anyone }
const verifying: tls.TlsOptions = { requestCert: true, ca: authority!.cert }

describe.each(versions)('%s: a session is good only', (version) => {
  test('on servers of the same policy', async () => {
    const [first, second] = await pair(version, {}, {})
    const { session } = await connect(first)
    expect((await connect(second, session)).resumed).toBe(true)
  })

  test.each<[string, tls.TlsOptions, tls.TlsOptions]>([
    ['client certificates are requested', {}, { requestCert: true, rejectUnauthorized: false }],
    [
      'client certificates are required',
      { ...verifying, rejectUnauthorized: false },
      { ...verifying, rejectUnauthorized: true },
    ],
    ['other authorities are trusted', verifying, { ...verifying, ca: otherAuthority!.cert }],
    [
      'another authority is trusted as well',
      verifying,
      { ...verifying, ca: [authority!.cert, otherAuthority!.cert] },
    ],
    ['fewer ciphers are allowed', {}, { ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_256_GCM_SHA384' }],
    ['other protocols are negotiated', { ALPNProtocols: ['h2'] }, { ALPNProtocols: ['http/1.1'] }],
    ['other names are certified', {}, { ...other }],
  ])('while not %s', async (_, before, after) => {
    const [first, second] = await pair(version, before, after)
    const { session } = await connect(first, undefined, withCertificate)
    expect((await connect(first, session, withCertificate)).resumed).toBe(true)
    const visit = await connect(second, session, withCertificate).catch((error: Error) => error)
    if (visit instanceof Error)
      expect(second.handshakes.map(({ outcome }) => outcome)).not.toContain('resumed')
    else expect(visit.resumed).toBe(false)
    expect(
      reasons(second).filter((reason) => reason !== 'trust-changed' && reason !== 'handshake-failed'),
    ).toEqual([])
  })

  test('for the versions of its server', async () => {
    const context = storeCallbacks(new MemoryStore())
    const wide = await start({ context })
    const narrow = await start({ context, server: { minVersion: version, maxVersion: version } })
    const { session } = await connect(wide, undefined, { maxVersion: version })
    expect((await connect(narrow, session)).resumed).toBe(false)
    expect(reasons(narrow)).toEqual(['trust-changed'])
  })

  test('also after the certificate was renewed: names count, not fingerprints', async () => {
    const [first, second] = await pair(version, {}, { ...renewed })
    const { session } = await connect(first)
    expect((await connect(second, session, anyone)).resumed).toBe(true)
  })

  test('for the server name it was made for (virtual host confusion, CVE-2025-23419)', async () => {
    const [harness] = await pair(version, {}, {})
    harness.server.addContext('other.example', other)
    const { session } = await connect(harness)
    // Node's client itself would not offer it under another name.
    const unwrapped = unwrap(session)
    const wrong = await connect(harness, wrap(unwrapped, 'other.example'), {
      servername: 'other.example',
      ...anyone,
    })
    expect(wrong.resumed).toBe(false)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(reasons(harness).slice(1)).toEqual(['server-name-mismatch', 'internal'])
  })

  test('for one of several names that a certificate has', async () => {
    const both = await makeCertificate(NAME, { names: [NAME, 'alias.example'] })
    const [harness] = await pair(version, both, {})
    const { session } = await connect(harness, undefined, anyone)
    const alias = wrap(unwrap(session), 'alias.example')
    expect((await connect(harness, alias, { servername: 'alias.example', ...anyone })).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('server-name-mismatch')
  })

  test('in the session id context of its owner', async () => {
    const store = storeCallbacks(new MemoryStore())
    const first = await start({ context: { sessionIdContext: 'one', ...store } })
    const second = await start({ context: { sessionIdContext: 'two', ...store } })
    const { session } = await connect(first, undefined, { maxVersion: version })
    expect((await connect(second, session, { maxVersion: version })).resumed).toBe(false)
    expect(reasons(second)).toEqual(['session-id-context-mismatch'])
  })

  test('with the policy of its name, from the options given to addContext', async () => {
    const [first, second] = await pair(
      version,
      { ...verifying, rejectUnauthorized: false },
      { ...verifying, rejectUnauthorized: false },
    )
    first.server.addContext(NAME, { ...certificate, ca: authority!.cert })
    second.server.addContext(NAME, { ...certificate, ca: otherAuthority!.cert })
    const { session } = await connect(first, undefined, withCertificate)
    expect((await connect(first, session, withCertificate)).resumed).toBe(true)
    expect((await connect(second, session, withCertificate)).resumed).toBe(false)
    expect(reasons(second)).toEqual(['trust-changed'])
  })

  test('under the present settings of its server, also for a name of addContext', async () => {
    const [harness] = await pair(version, {}, {})
    harness.server.addContext(NAME, certificate)
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    const ciphers = 'ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_256_GCM_SHA384'
    harness.server.setSecureContext({ ...certificate, ciphers, minVersion: version, maxVersion: version })
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('trust-changed')
  })

  test('unbound, with bindSessions off, as in libssl', async () => {
    const unbound = { bindSessions: false }
    const [first, second] = await pair(version, {}, { ALPNProtocols: ['h2'] }, [unbound, unbound])
    const { session } = await connect(first)
    expect((await connect(second, session)).resumed).toBe(true)
  })
})

/** Sessions of Node's client hold the name they are good for, from 22.23, 24.17 and 26.3 on. */
const WRAPPED = Buffer.from('\0nodejs:tls:session:1\0')

function unwrap(session: Buffer | undefined): Uint8Array {
  if (session === undefined) throw new Error('no session')
  return derOf(session)
}

function wrap(der: Uint8Array, servername: string): Buffer {
  const name = Buffer.from(servername)
  const length = Buffer.from([name.length >> 8, name.length & 0xff])
  const isWrapping = process.versions.node.split('.').map(Number)[0]! >= 22
  return isWrapping ? Buffer.concat([WRAPPED, length, name, der]) : Buffer.from(der)
}

describe('SNICallback', () => {
  async function startWithSni(
    version: Version,
    attach: AttachServerOptions,
    server: tls.TlsOptions = { ...verifying, rejectUnauthorized: false },
  ): Promise<Harness> {
    return start({
      attach,
      server: {
        minVersion: version,
        maxVersion: version,
        SNICallback: (_name, done) =>
          done(null, tls.createSecureContext({ ...certificate, ca: authority!.cert })),
        ...server,
      },
    })
  }

  test.each(versions)(
    '%s: without a policy, sessions of verified clients are not kept, and counted',
    async (version) => {
      const harness = await startWithSni(version, {})
      const { session } = await connect(harness, undefined, withCertificate)
      expect((await connect(harness, session, withCertificate)).resumed).toBe(false)
      expect(reasons(harness)).toEqual(['policy-unknown', 'policy-unknown'])
      expect(harness.attachment.stats.notKept['policy-unknown']).toBeGreaterThanOrEqual(2)
      expect(harness.context.stats.number).toBe(0)
    },
  )

  test.each(versions)('%s: without client certificates no policy is needed', async (version) => {
    const harness = await startWithSni(version, {}, {})
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test.each(versions)('%s: sessions resume under the policy under which they were made', async (version) => {
    let policy = 'staff'
    const asked: unknown[] = []
    const harness = await startWithSni(version, {
      policy: async (servername, session, hello) => {
        asked.push([servername, session instanceof SslSession, hello?.serverName])
        return policy
      },
    })
    const { session } = await connect(harness, undefined, withCertificate)
    const again = await connect(harness, session, withCertificate)
    expect(again.resumed).toBe(true)
    policy = 'guests'
    expect((await connect(harness, session, withCertificate)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('trust-changed')
    expect(new Set(asked.map((one) => JSON.stringify(one)))).toEqual(
      new Set([JSON.stringify([NAME, true, NAME])]),
    )
  })
})

describe('policy', () => {
  test.each(versions)(
    '%s: refuses the resumption of a revoked client, by its certificate',
    async (version) => {
      const revoked = new Set<string>()
      const policy: SessionPolicy = (_name, session) =>
        revoked.has(Buffer.from(session.peerCertificate ?? []).toString('hex')) ? false : 'staff'
      const harness = await start({
        server: { ...verifying, minVersion: version, maxVersion: version },
        attach: { policy },
      })
      const { session } = await connect(harness, undefined, withCertificate)
      expect((await connect(harness, session, withCertificate)).resumed).toBe(true)
      const [kept] = [...harness.context.sessions()]
      revoked.add(Buffer.from(kept?.peerCertificate ?? []).toString('hex'))
      expect((await connect(harness, session, withCertificate)).resumed).toBe(false)
      expect(reasons(harness).at(-1)).toBe('policy-refused')
      expect(harness.attachment.stats.notKept['policy-refused']).toBeGreaterThan(0)
    },
  )

  test.each<[string, SessionPolicy]>([
    [
      'throws',
      () => {
        throw new Error('policy is down')
      },
    ],
    ['rejects', () => Promise.reject(new Error('policy is down'))],
  ])('that %s resumes and keeps nothing, and the process hears of it', async (_, policy) => {
    const harness = await start({ attach: { policy } })
    const [[warning]] = await Promise.all([once(process, 'warning'), connect(harness)])
    expect(warning).toMatchObject({ message: 'policy is down' })
    expect(harness.context.stats.number).toBe(0)
    expect(harness.attachment.stats.notKept).toEqual({ 'policy-refused': 2 })
  })
})

describe('authorized means on a resumed connection what it meant on the full one', () => {
  async function authorizations(
    version: Version,
    options: tls.ConnectionOptions,
  ): Promise<{ readonly seen: unknown[]; readonly resumed: boolean; readonly harness: Harness }> {
    const seen: unknown[] = []
    const harness = await start({
      server: { ...verifying, rejectUnauthorized: false, minVersion: version, maxVersion: version },
      make: (serverOptions) =>
        tls.createServer(serverOptions, (socket) => {
          seen.push([socket.authorized, String(socket.authorizationError)])
          socket.on('error', () => undefined).end('hello')
        }),
    })
    const { session } = await connect(harness, undefined, options)
    const { resumed } = await connect(harness, session, options)
    return { seen, resumed, harness }
  }

  test.each(versions)('%s: of a client with a good certificate', async (version) => {
    const { seen, resumed } = await authorizations(version, withCertificate)
    expect([resumed, ...seen]).toEqual([true, [true, 'null'], [true, 'null']])
  })

  test.each(versions)('%s: of a client whose certificate nobody knows', async (version) => {
    const { seen, resumed } = await authorizations(version, { ...other, ...anyone })
    expect(resumed).toBe(true)
    expect(seen[0]).toEqual(seen[1])
    expect(seen[0]).toEqual([false, 'DEPTH_ZERO_SELF_SIGNED_CERT'])
  })

  test.each(versions)('%s: of a client without a certificate', async (version) => {
    const { seen, resumed, harness } = await authorizations(version, anyone)
    expect(seen[1]).toEqual(seen[0])
    expect(seen[0]).toMatchObject([false, expect.any(String)])
    // Where this line of Node would lie, it does not resume.
    const isKept = version === 'TLSv1.2' || reportsAuthorizationTruly()
    expect(resumed).toBe(isKept)
    expect(harness.attachment.stats.notKept).toEqual(isKept ? {} : { 'authorization-not-preserved': 4 })
  })

  test('the lines of Node that tell the truth are those that were seen to', () => {
    const truthful = ['24.21.0', '24.22.1', '26.10.0', '27.0.0']
    const others = ['20.20.2', '22.23.3', '24.20.0', '25.9.0', '26.9.9']
    expect(truthful.filter((version) => !reportsAuthorizationTruly(version))).toEqual([])
    expect(others.filter((version) => reportsAuthorizationTruly(version))).toEqual([])
  })

  test('a client whose certificate does not verify leaves no session behind', async () => {
    const harness = await start({ server: { ...verifying, maxVersion: 'TLSv1.2' } })
    const failed = connect(harness, undefined, { ...other, ...anyone }).catch((error: Error) => error.message)
    await Promise.all([once(harness.server, 'tlsClientError'), failed])
    expect(harness.context.stats.number).toBe(0)
    expect(harness.attachment.stats.notKept).toEqual({ unauthorized: 1 })
  })
})

test('one context serves several servers; sessions cross only between equal bindings', async () => {
  const context = new SslContext({ sessionIdContext: 'shop' })
  const ports: number[] = []
  for (const options of [{}, {}, { ALPNProtocols: ['h2'] }]) {
    const server = tls.createServer({ ...certificate, ...serverOptions(context), ...options }, (socket) =>
      socket.on('error', () => undefined).end('hello'),
    )
    attachServer(server, context)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    afterTest(() => server.close())
    ports.push((server.address() as AddressInfo).port)
  }
  const { session } = await connect({ port: ports[0]! })
  const resumed: boolean[] = []
  for (const port of ports) resumed.push((await connect({ port }, session)).resumed)
  expect(resumed).toEqual([true, true, false])
})
