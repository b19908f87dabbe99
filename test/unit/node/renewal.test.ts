import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { MemoryStore, SessionCacheMode, type SslSession, storeCallbacks } from '../../../src/index.ts'
import { type Certificate, makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  connect,
  type Harness,
  NAME,
  reasons,
  start,
  type Visit,
  versions,
} from '../../tools/node-servers.ts'

const CLIENTS = 100
const RENEWALS = 3

const authority = await makeCertificate('authority', { isAuthority: true })
const otherAuthority = await makeCertificate('other authority', { isAuthority: true })
const [original, ...renewed] = await Promise.all(
  Array.from({ length: 1 + RENEWALS }, () => makeCertificate(NAME, { ca: authority })),
)
const otherNames = await makeCertificate(NAME, { ca: authority, names: [NAME, 'other.example'] })
const client = await makeCertificate('client', { ca: authority })

const trusting: tls.ConnectionOptions = { ca: authority.cert }

const fingerprint = ({ cert }: Certificate): string => new X509Certificate(cert).fingerprint256

/** A client without a session is shown the certificate. */
async function servedFingerprint(harness: Harness): Promise<string | undefined> {
  let served: string | undefined
  await connect(harness, undefined, {
    ...trusting,
    checkServerIdentity(_name, { fingerprint256 }) {
      served = fingerprint256
      return undefined
    },
  })
  return served
}

async function connectAll(
  harness: { readonly port: number },
  sessions: readonly (Buffer | undefined)[],
  options: tls.ConnectionOptions,
): Promise<readonly Visit[]> {
  return Promise.all(sessions.map((session) => connect(harness, session, options)))
}

const nothing: readonly undefined[] = Array.from({ length: 10 }, () => undefined)

describe.each(versions)('%s: a certificate that is renewed by setSecureContext({ key, cert })', (version) => {
  const options: tls.ConnectionOptions = { ...trusting, maxVersion: version }

  test(`costs none of ${CLIENTS} clients a resumption, in ${RENEWALS} renewals amid their connections`, async () => {
    const harness = await start({ server: { ...original } })
    let visits = 0
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        let session: Buffer | undefined
        for (let round = 0; round <= RENEWALS; round++) {
          const visit = await connect(harness, session, options)
          expect([visit.received, visit.resumed]).toEqual(['hello', round > 0])
          session = visit.session ?? session
          visits++
          const next = renewed[visits / CLIENTS - 1]
          if (next !== undefined) harness.server.setSecureContext(next)
        }
      }),
    )
    expect(harness.attachment.stats.handshakes).toEqual({
      full: CLIENTS,
      resumed: CLIENTS * RENEWALS,
      failed: 0,
    })
    expect(await servedFingerprint(harness)).toBe(fingerprint(renewed.at(-1)!))
  })

  test('is not renewed when the call contradicts serverOptions, and sessions live on', async () => {
    const harness = await start({ server: { ...original } })
    const { session } = await connect(harness, undefined, options)
    for (const contradiction of [{ sessionIdContext: 'mine' }, { secureOptions: 0 }]) {
      const renew = (): void => harness.server.setSecureContext({ ...renewed[0], ...contradiction })
      expect(renew).toThrow(expect.objectContaining({ code: 'ERR_SERVER_SETUP' }))
    }
    expect((await connect(harness, session, options)).resumed).toBe(true)
    expect(await servedFingerprint(harness)).toBe(fingerprint(original!))
  })

  test('is no reason to refuse what was being looked up meanwhile', async () => {
    const { harness, sessions, renewDuringLookups } = await startWithSlowLookups(options)
    const visits = await renewDuringLookups(() => harness.server.setSecureContext(renewed[0]!))
    expect(visits.map(({ resumed }) => resumed)).toEqual(sessions.map(() => true))
  })
})

interface PolicyChange {
  readonly before?: tls.TlsOptions
  readonly change: (server: tls.Server) => void
}

const verifying: tls.TlsOptions = { requestCert: true, rejectUnauthorized: false, ca: authority.cert }
const renew = (server: tls.Server, options: tls.SecureContextOptions = {}): void =>
  server.setSecureContext({ ...renewed[0], ...options })

const changes: readonly (readonly [string, PolicyChange])[] = [
  ['other names', { change: (server) => server.setSecureContext(otherNames) }],
  ['another ca', { before: verifying, change: (server) => renew(server, { ca: otherAuthority.cert }) }],
  // Node takes what setSecureContext() is not given for the default.
  ['no ca any more', { before: verifying, change: (server) => renew(server) }],
  ['no minVersion any more', { before: { minVersion: 'TLSv1' }, change: (server) => renew(server) }],
  [
    'requestCert',
    {
      change: (server) => {
        Object.assign(server, { requestCert: true, rejectUnauthorized: false })
        renew(server)
      },
    },
  ],
  [
    'other ciphers',
    {
      change: (server) => renew(server, { ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_256_GCM_SHA384' }),
    },
  ],
  [
    'other application protocols',
    {
      change: (server) => {
        Object.assign(server, { ALPNProtocols: Buffer.from('\x02h2') })
        renew(server)
      },
    },
  ],
]

describe.each(versions)('%s: a renewal that brings', (version) => {
  const options: tls.ConnectionOptions = { ...trusting, ...client, maxVersion: version }

  test.each(changes)(
    '%s: no old session resumes, and every handshake succeeds',
    async (_, { before, change }) => {
      const harness = await start({ server: { ...original, ...before } })
      const first = await connectAll(harness, nothing, options)
      const old = first.map(({ session }) => session)
      const again = await connectAll(harness, old, options)
      expect(again.map(({ resumed }) => resumed)).toEqual(old.map(() => true))
      change(harness.server)
      const changed = await connectAll(harness, old, options)
      expect(changed.map(({ resumed, received }) => [resumed, received])).toEqual(
        old.map(() => [false, 'hello']),
      )
      expect(reasons(harness).slice(2 * old.length)).toEqual(old.map(() => 'trust-changed'))
      const sessions = changed.map(({ session }) => session)
      const last = await connectAll(harness, sessions, options)
      expect(last.map(({ resumed }) => resumed)).toEqual(old.map(() => true))
    },
  )

  test('another policy while lookups are in flight: nothing made before resumes', async () => {
    const { harness, sessions, renewDuringLookups } = await startWithSlowLookups(options)
    const visits = await renewDuringLookups(() => harness.server.setSecureContext(otherNames))
    expect(visits.map(({ resumed, received }) => [resumed, received])).toEqual(
      sessions.map(() => [false, 'hello']),
    )
    expect(reasons(harness).slice(sessions.length)).toEqual(sessions.map(() => 'trust-changed'))
  })

  test('another policy while a handshake is under way: its session is of the policy of before', async () => {
    const harness = await start({ server: { ...original } })
    const gate = await startGate(harness.port)
    const visit = connect(gate, undefined, options)
    await gate.reached
    harness.server.setSecureContext(otherNames)
    gate.open()
    const { session, resumed } = await visit
    expect([resumed, session?.length]).toEqual([false, expect.any(Number)])
    expect((await connect(harness, session, options)).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['not-offered', 'trust-changed'])
  })
})

interface SlowLookups {
  readonly harness: Harness
  readonly sessions: readonly (Buffer | undefined)[]
  /** All clients come back; once all are being looked up, `renew` runs, and then the lookups are answered. */
  readonly renewDuringLookups: (renew: () => void) => Promise<readonly Visit[]>
}

async function startWithSlowLookups(options: tls.ConnectionOptions): Promise<SlowLookups> {
  const callbacks = storeCallbacks(new MemoryStore())
  let answer: () => void = () => undefined
  const answered = new Promise<void>((resolve) => {
    answer = resolve
  })
  let lookups = 0
  let reach: () => void = () => undefined
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  const harness = await start({
    server: { ...original },
    attach: { lookupTimeoutMs: 20_000 },
    context: {
      ...callbacks,
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      async getSessionCallback(connection, id): Promise<SslSession | undefined> {
        if (++lookups === nothing.length) reach()
        await answered
        return callbacks.getSessionCallback(connection, id)
      },
    },
  })
  const first = await connectAll(harness, nothing, options)
  const sessions = first.map(({ session }) => session)
  return {
    harness,
    sessions,
    async renewDuringLookups(renew) {
      const visits = connectAll(harness, sessions, options)
      await reached
      renew()
      answer()
      return visits
    },
  }
}

interface Gate {
  readonly port: number
  /** The client has answered the server's first flight. */
  readonly reached: Promise<unknown>
  /** Lets that answer through, and all that follows. */
  open(): void
}

/** A way to the server for one client that ends, until it is opened, behind the ClientHello. */
async function startGate(port: number): Promise<Gate> {
  const outward = net.connect(port, '127.0.0.1').on('error', () => undefined)
  const proxy = net.createServer().listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  afterTest(() => {
    proxy.close()
    outward.destroy()
  })
  const reached = once(proxy, 'connection').then(async ([socket]) => {
    const inward = socket as net.Socket
    inward.on('error', () => undefined).on('close', () => outward.destroy())
    outward.pipe(inward)
    const [hello] = (await once(inward, 'data')) as [Buffer]
    inward.pause()
    outward.write(hello)
    await once(outward, 'data')
    inward.resume()
    const [answer] = (await once(inward, 'data')) as [Buffer]
    inward.pause()
    return { inward, answer }
  })
  return {
    port: (proxy.address() as AddressInfo).port,
    reached,
    open: () =>
      void reached.then(({ inward, answer }) => {
        outward.write(answer)
        inward.pipe(outward)
      }),
  }
}
