import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  attachServer,
  KeyRing,
  MemoryStore,
  Revocations,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import { SslOption } from '../../../src/session/ssl-constants.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  certificate,
  connect,
  greet,
  type MakeServer,
  NAME,
  NO_INTERNAL,
  reasons,
  start,
} from '../../tools/node-servers.ts'
import { offeredTo, SECRET, startTicketed } from '../../tools/ticket-servers.ts'

const TLS12_CLIENT = { maxVersion: 'TLSv1.2' } as const
const keyRing = new KeyRing([SECRET])

describe('serverOptions with tickets: true', () => {
  const options = (secureOptions?: number): number =>
    serverOptions(new SslContext(), { tickets: true, ...(secureOptions && { secureOptions }) }).secureOptions

  test('has no SSL_OP_NO_TICKET, and all else as without', () => {
    expect(options() & SslOption.NO_TICKET).toBe(0)
    expect(options(0x0200_0000)).toBe(options() | 0x0200_0000)
    const context = new SslContext()
    const { secureOptions: _, ...rest } = serverOptions(context)
    expect(serverOptions(context, { tickets: true })).toMatchObject(rest)
  })

  test('makes a server that has tickets which are judged, and no others', async () => {
    const harness = await startTicketed({ server: { secureOptions: 0 } })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    const { session: old } = await connect(harness, undefined, TLS12_CLIENT)
    expect((await connect(harness, old, TLS12_CLIENT)).resumed).toBe(true)
    harness.attachment.enabled = false
    // Nobody reads its ClientHello, and Node has tickets of its own.
    const unread = await connect(harness)
    harness.attachment.enabled = true
    expect((await connect(harness, unread.session)).resumed).toBe(false)
    expect(reasons(harness)).toEqual([
      'not-offered',
      'ticket',
      'not-offered',
      'internal',
      'disabled',
      'ticket-unopenable',
    ])
    expect(harness.attachment.stats.notKept).toEqual({ disabled: 2 })
  })

  test('has no ticket for what the not-resumable callback flags (R11.8)', async () => {
    const harness = await startTicketed({
      server: { secureOptions: 0 },
      context: { notResumableCallback: () => true },
    })
    expect((await connect(harness)).session).toBeUndefined()
    expect(harness.attachment.stats.tickets?.sealed).toBe(0)
  })

  test('makes a server that is refused without the option tickets', async () => {
    await expect(start({ server: { secureOptions: 0 } })).rejects.toMatchObject({ problem: 'tickets' })
  })

  test('keeps tickets through a renewal of the certificate', async () => {
    const harness = await startTicketed({ server: { secureOptions: 0 } })
    const { session } = await connect(harness)
    const { session: old } = await connect(harness, undefined, TLS12_CLIENT)
    const renewed = await makeCertificate(NAME)
    harness.server.setSecureContext(renewed)
    expect((await connect(harness, session, { ca: renewed.cert })).resumed).toBe(true)
    expect((await connect(harness, old, { ...TLS12_CLIENT, ca: renewed.cert })).resumed).toBe(true)
    expect(reasons(harness).slice(2)).toEqual(['ticket', 'internal'])
  })
})

describe.each([
  ['at once', <T>(answer: T) => answer],
  ['later', <T>(answer: T) => setImmediate(answer)],
])('with tickets, a policy that answers %s', (_title, answer) => {
  test('lets resume who gets the same answer as before, in every process', async () => {
    const policy = () => answer('trust')
    const [one, other] = [
      await startTicketed({ attach: { policy } }),
      await startTicketed({ attach: { policy } }),
    ]
    let { session } = await connect(one)
    for (const harness of [other, one, other]) {
      const visit = await connect(harness, session)
      expect([visit.resumed, visit.sessions.length]).toEqual([true, 1])
      session = visit.session
    }
  })

  test('makes a full handshake of another answer, in whose tickets the new one is', async () => {
    let trust = 'before'
    const harness = await startTicketed({ attach: { policy: () => answer(trust) } })
    const { session } = await connect(harness)
    trust = 'after'
    const visit = await connect(harness, session)
    expect([visit.resumed, reasons(harness).at(-1)]).toEqual([false, 'trust-changed'])
    expect((await connect(harness, visit.session)).resumed).toBe(true)
    trust = ''
    expect((await connect(harness, visit.session)).resumed).toBe(false)
  })

  test('neither resumes nor gives a ticket to whom it refuses', async () => {
    let trust: string | false = 'trust'
    const harness = await startTicketed({ attach: { policy: () => answer(trust) } })
    const { session } = await connect(harness)
    trust = false
    const visit = await connect(harness, session)
    expect([visit.resumed, visit.received, visit.sessions.length]).toEqual([false, 'hello', 0])
    expect(reasons(harness).at(-1)).toBe('policy-refused')
    expect(harness.attachment.stats.notKept).toEqual({ 'policy-refused': 1 })
  })

  test('sees the certificate of who comes back, and can refuse it', async () => {
    const authority = await makeCertificate('authority.example', { isAuthority: true })
    const own = await makeCertificate('client.example', { ca: authority })
    let isRevoked = false
    const harness = await startTicketed({
      server: { requestCert: true, ca: authority.cert },
      attach: {
        policy: (_name, { peerCertificate }) =>
          answer(peerCertificate !== undefined && isRevoked ? false : 'trust'),
      },
    })
    const { session } = await connect(harness, undefined, own)
    const visit = await connect(harness, session, own)
    expect(visit.resumed).toBe(true)
    isRevoked = true
    expect((await connect(harness, visit.session, own)).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'policy-refused'])
  })
})

test('with tickets, a policy that never answers costs a full handshake without tickets', async () => {
  const harness = await startTicketed({
    attach: { policy: () => new Promise<string>(() => undefined), lookupTimeoutMs: 20 },
  })
  const visit = await connect(harness)
  expect([visit.received, visit.sessions.length, reasons(harness)]).toEqual(['hello', 0, ['lookup-timeout']])
})

test('a ticket of a server without a policy is not good where there is one, nor the other way round', async () => {
  const [without, withPolicy] = [await startTicketed(), await startTicketed({ attach: { policy: () => '' } })]
  expect((await connect(withPolicy, (await connect(without)).session)).resumed).toBe(false)
  expect((await connect(without, (await connect(withPolicy)).session)).resumed).toBe(false)
})

describe('tickets of TLS 1.2, when versions has it,', () => {
  const versions = ['TLSv1.3', 'TLSv1.2'] as const
  const startBoth: typeof startTicketed = async (options = {}) =>
    start({ ...options, attach: { ...options.attach, tickets: { keyRing, versions } } })

  test('resume, are renewed, and are in no cache; TLS 1.3 goes on', async () => {
    const harness = await startBoth()
    const { session } = await connect(harness, undefined, TLS12_CLIENT)
    for (let visit = 0; visit < 3; visit++)
      expect((await connect(harness, session, TLS12_CLIENT)).resumed).toBe(true)
    const { session: latest } = await connect(harness)
    expect((await connect(harness, latest)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'ticket', 'ticket', 'not-offered', 'ticket'])
    expect(harness.context.stats).toMatchObject({ number: 0, accept: 6, acceptGood: 6, hits: 4, misses: 0 })
    expect(harness.attachment.stats.notKept).toEqual({})
  })

  test('resume in every process, and where TLS 1.2 has none they are let alone', async () => {
    const [one, other] = [await startBoth(), await startBoth()]
    const { session } = await connect(one, undefined, TLS12_CLIENT)
    expect((await connect(other, session, TLS12_CLIENT)).resumed).toBe(true)
    const alone = await startTicketed()
    const visit = await connect(alone, session, TLS12_CLIENT)
    expect([visit.resumed, visit.received]).toEqual([false, 'hello'])
  })

  test('are good for one name and trust', async () => {
    const harness = await startBoth()
    const { session } = await connect(harness, undefined, TLS12_CLIENT)
    const there = {
      ...TLS12_CLIENT,
      servername: 'other.example',
      checkServerIdentity: () => undefined,
    }
    expect((await connect(harness, offeredTo('other.example', session), there)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('server-name-mismatch')
    const changed = await startBoth({ server: { ALPNProtocols: ['h2'] } })
    expect((await connect(changed, session, TLS12_CLIENT)).resumed).toBe(false)
    expect(reasons(changed)).toEqual(['trust-changed'])
  })

  test('end with their full handshake, whatever chain of renewals', async () => {
    let nowMs = Date.now()
    const harness = await startBoth({
      context: { now: () => nowMs },
      attach: { maxAuthenticationAgeSec: 100 },
    })
    let { session } = await connect(harness, undefined, TLS12_CLIENT)
    for (let visit = 0; visit < 2; visit++) {
      nowMs += 40_000
      const renewed = await renewedAt(harness, session)
      expect(renewed.equals(session!)).toBe(false)
      session = renewed
    }
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'ticket'])
    nowMs += 40_000
    expect((await connect(harness, session, TLS12_CLIENT)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('authentication-too-old')
  })

  test('are not made for whom shouldStore declines', async () => {
    const harness = await startBoth({ attach: { shouldStore: () => false } })
    const { session } = await connect(harness, undefined, TLS12_CLIENT)
    expect((await connect(harness, session, TLS12_CLIENT)).resumed).toBe(false)
    expect(harness.attachment.stats.notKept).toEqual({ declined: 2 })
  })

  test('take over from session ids', async () => {
    const store = new MemoryStore()
    const context = { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(store) }
    const { session } = await connect(await start({ context }), undefined, TLS12_CLIENT)
    const harness = await startBoth({ context })
    const ticket = await renewedAt(harness, session)
    await connect(harness, ticket, TLS12_CLIENT)
    expect(reasons(harness)).toEqual(['external', 'ticket'])
  })

  test('are refused at attach where client certificates are requested', async () => {
    await expect(startBoth({ server: { requestCert: true } })).rejects.toMatchObject({
      code: 'ERR_SERVER_SETUP',
      problem: 'contradicting-options',
      message: expect.stringContaining('leave TLSv1.2 out of versions'),
    })
  })

  test('can be the only ones', async () => {
    const harness = await start({
      attach: { tickets: { keyRing, versions: ['TLSv1.2'] } },
      server: { maxVersion: 'TLSv1.2' },
    })
    const { session } = await connect(harness, undefined, TLS12_CLIENT)
    expect((await connect(harness, session, TLS12_CLIENT)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'ticket'])
  })

  test('of none, of one that does not exist, are nonsense', () => {
    const context = new SslContext()
    const server = greet({ ...certificate, ...serverOptions(context) })
    for (const wrong of [[], ['TLSv1.1'], 'TLSv1.2'])
      expect(() => attachServer(server, context, { tickets: { keyRing, versions: wrong } } as never)).toThrow(
        expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' }),
      )
  })

  test('survive a renegotiation, which makes a full handshake', async () => {
    const harness = await startBoth({
      make: (options) => tls.createServer(options, (socket) => socket.on('error', () => undefined).resume()),
    })
    const { session } = await connect({ port: await greeting(startBoth) }, undefined, TLS12_CLIENT)
    const client = tls.connect({
      host: '127.0.0.1',
      port: harness.port,
      servername: NAME,
      ca: certificate.cert,
      ...TLS12_CLIENT,
      session,
    })
    afterTest(() => client.destroy())
    await once(client, 'secureConnect')
    expect(client.isSessionReused()).toBe(true)
    const error = await new Promise((resolve) => client.renegotiate({}, resolve))
    expect(error).toBeNull()
    expect(client.isSessionReused()).toBe(false)
    const next = await connect({ port: await greeting(startBoth) }, client.getSession(), TLS12_CLIENT)
    expect(next.received).toBe('hello')
  })
})

/** Node's client has no event for a ticket that comes with a resumption of TLS 1.2. */
async function renewedAt({ port }: { readonly port: number }, session: Buffer | undefined): Promise<Buffer> {
  const client = tls.connect({
    host: '127.0.0.1',
    port,
    servername: NAME,
    ca: certificate.cert,
    ...TLS12_CLIENT,
    ...(session && { session }),
  })
  client.on('error', () => undefined)
  await once(client, 'data')
  const renewed = client.getSession()
  client.destroy()
  return renewed!
}

async function greeting(make: typeof startTicketed): Promise<number> {
  return (await make()).port
}

describe('keys of the owner are refused while tickets are attached', () => {
  test.each([
    ['setTicketKeys', (server: tls.Server) => server.setTicketKeys(Buffer.alloc(48))],
    [
      'setSecureContext with ticketKeys',
      (server: tls.Server) =>
        server.setSecureContext({ ...certificate, ticketKeys: Buffer.alloc(48) } as never),
    ],
  ])('%s', async (_title, set) => {
    const harness = await startTicketed({ server: { secureOptions: 0 } })
    expect(() => set(harness.server)).toThrow(
      expect.objectContaining({
        code: 'ERR_SERVER_SETUP',
        message: expect.stringContaining('replaceSecrets'),
      }),
    )
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    await harness.attachment.close()
    expect(() => set(harness.server)).not.toThrow()
  })
})

test('after a disposal the server has its own tickets again, under its own keys', async () => {
  const harness = await startTicketed({ server: { secureOptions: 0 } })
  const { session } = await connect(harness)
  harness.attachment[Symbol.dispose]()
  const visit = await connect(harness, session)
  expect([visit.resumed, visit.received]).toEqual([false, 'hello'])
  expect((await connect(harness, visit.session)).resumed).toBe(true)
})

describe('Revocations without a store', () => {
  test('object to nothing, and reject each revocation with a code of its own', async () => {
    const revocations = new Revocations(undefined, keyRing)
    await revocations.ready
    await revocations.refresh()
    const harness = await startTicketed({ attach: { revocations } })
    const { session } = await connect(harness)
    const revoke = [
      () => revocations.revokeAll(),
      () => revocations.revokeServerName(NAME),
      () => revocations.revokeClient(new Uint8Array(32)),
    ]
    for (const call of revoke)
      await expect(call()).rejects.toMatchObject({
        code: 'ERR_REVOCATION_UNAVAILABLE',
        message: expect.stringContaining('authenticatedAfterMs'),
      })
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(revocations.stats).toEqual({ marks: 0, staleMs: 0, failedRefreshes: 0, unverified: 0, broken: 0 })
    await revocations.close()
  })
})

test('a ticket of TLS 1.2 that a renegotiation has made, in which the client showed a certificate, is refused', async () => {
  const make: MakeServer = (options) =>
    tls.createServer(options, (socket) => {
      socket.on('error', () => undefined)
      if (socket.isSessionReused()) socket.end('resumed')
      else
        socket.renegotiate({ requestCert: true, rejectUnauthorized: false }, () => socket.end('renegotiated'))
    })
  const tickets = { keyRing: new KeyRing([SECRET]), versions: ['TLSv1.3', 'TLSv1.2'] as const }
  const harness = await start({ attach: { tickets }, make })
  const client = { ...certificate, maxVersion: 'TLSv1.2' } as const
  const { sessions, received } = await connect(harness, undefined, client)
  expect([sessions.length, received]).toEqual([2, 'renegotiated'])
  expect((await connect(harness, sessions[0], client)).received).toBe('resumed')
  expect((await connect(harness, sessions[1], client)).received).toBe('renegotiated')
  expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'trust-changed'])
})
