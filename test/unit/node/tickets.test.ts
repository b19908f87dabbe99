import { createCipheriv, createDecipheriv, createHmac, randomBytes, X509Certificate } from 'node:crypto'
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
import type { SessionOrigin } from '../../../src/node/session-binding.ts'
import { makeOriginBlock, openTicket } from '../../../src/node/stateless-ticket.ts'
import { TicketKeyRing } from '../../../src/node/ticket-keys.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  certificate,
  connect,
  greet,
  type Harness,
  NAME,
  NO_INTERNAL,
  reasons,
  startStock,
  TLS12,
} from '../../tools/node-servers.ts'
import { offeredTo, SECRET, startTicketed } from '../../tools/ticket-servers.ts'

const OTHER_NAME = 'other.example'
const anyName = { checkServerIdentity: () => undefined }
const HOUR_MS = 3_600_000

describe('attachServer with tickets', () => {
  test('resumes TLS 1.3 by stateless tickets, each of which is renewed, and nothing is cached', async () => {
    const harness = await startTicketed()
    const first = await connect(harness)
    expect(first.sessions).toHaveLength(2)
    let { session } = first
    for (let visit = 0; visit < 3; visit++) {
      const next = await connect(harness, session)
      expect([next.resumed, next.received, next.sessions.length]).toEqual([true, 'hello', 1])
      session = next.session
    }
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'ticket', 'ticket'])
    expect(harness.context.stats).toMatchObject({ number: 0, accept: 4, acceptGood: 4, hits: 3, misses: 0 })
    expect(harness.attachment.stats.notKept).toEqual({})
  })

  test('resumes by either ticket of a full handshake, and more than once', async () => {
    const harness = await startTicketed()
    const { sessions } = await connect(harness)
    for (const session of [...sessions, ...sessions])
      expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('resumes TLS 1.2 by session ids, from the cache', async () => {
    const harness = await startTicketed()
    const options = { maxVersion: 'TLSv1.2' } as const
    const { session } = await connect(harness, undefined, options)
    expect((await connect(harness, session, options)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })

  test('asks the store for TLS 1.2 alone', async () => {
    const asked: string[] = []
    const harness = await startTicketed({
      context: {
        newSessionCallback: () => void asked.push('new'),
        getSessionCallback: () => void asked.push('get'),
      },
    })
    const { session } = await connect(harness)
    await connect(harness, session)
    expect(asked).toEqual([])
    await connect(harness, undefined, { maxVersion: 'TLSv1.2' })
    expect(asked).toEqual(['new'])
  })

  test('resumes in every process that has the secret', async () => {
    const [one, other] = [await startTicketed(), await startTicketed()]
    const { session } = await connect(one)
    const second = await connect(other, session)
    expect(second.resumed).toBe(true)
    expect((await connect(one, second.session)).resumed).toBe(true)
  })

  test('keeps tickets when a certificate is renewed, amid connections', async () => {
    const harness = await startTicketed()
    let { session } = await connect(harness)
    for (let renewal = 0; renewal < 3; renewal++) {
      const renewed = await makeCertificate(NAME)
      harness.server.setSecureContext(renewed)
      const visit = await connect(harness, session, { ca: renewed.cert })
      expect(visit.resumed).toBe(true)
      session = visit.session
      let served = ''
      await connect(harness, undefined, {
        ca: renewed.cert,
        checkServerIdentity: (_name, { fingerprint256 }) => {
          served = fingerprint256
          return undefined
        },
      })
      expect(served).toBe(new X509Certificate(renewed.cert).fingerprint256)
    }
  })

  test.each([0, 1, 2])('sends %d tickets after a full handshake when the context says so', async (count) => {
    const harness = await startTicketed()
    harness.context.setNumTickets(count)
    const { sessions, received } = await connect(harness)
    expect([sessions.length, received]).toEqual([count, 'hello'])
  })

  test('sends none to whom shouldStore declines, and counts why', async () => {
    const harness = await startTicketed({ attach: { shouldStore: () => false } })
    const { sessions, received } = await connect(harness)
    expect([sessions.length, received]).toEqual([0, 'hello'])
    expect(harness.attachment.stats.notKept).toEqual({ declined: 1 })
  })

  test('neither resumes nor makes a ticket while it is switched off', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    harness.attachment.enabled = false
    const off = await connect(harness, session)
    expect([off.resumed, reasons(harness).at(-1)]).toEqual([false, 'disabled'])
    harness.attachment.enabled = true
    expect((await connect(harness, off.session)).resumed).toBe(false)
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('leaves a server that has no tickets of its own when it ends', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    await harness.attachment.close()
    expect((await connect(harness, session)).resumed).toBe(false)
    const { session: next } = await connect(harness)
    expect((await connect(harness, next)).resumed).toBe(false)
  })
})

describe('a ticket is refused, which is a full handshake and no error,', () => {
  test('at another server name', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const visit = await connect(harness, offeredTo(OTHER_NAME, session), {
      servername: OTHER_NAME,
      ...anyName,
    })
    expect([visit.resumed, visit.received, visit.sessions.length]).toEqual([false, 'hello', 2])
    expect(reasons(harness).at(-1)).toBe('server-name-mismatch')
  })

  test('under another trust', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const changed = await startTicketed({ server: { ALPNProtocols: ['h2'] } })
    expect((await connect(changed, session)).resumed).toBe(false)
    expect(reasons(changed)).toEqual(['trust-changed'])
  })

  test('in another server context, though the secret is the same', async () => {
    const [one, other] = [
      { sessionIdContext: Buffer.from('one') },
      { sessionIdContext: Buffer.from('other') },
    ]
    const { session } = await connect(await startTicketed({ context: one }))
    const harness = await startTicketed({ context: other })
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['ticket-unopenable'])
  })

  test('when its secret is gone, and not while it is the second', async () => {
    const keyRing = new KeyRing([SECRET])
    const harness = await startTicketed({}, keyRing)
    const { session } = await connect(harness)
    const next = randomBytes(32)
    keyRing.replaceSecrets([next, SECRET])
    const visit = await connect(harness, session)
    expect(visit.resumed).toBe(true)
    keyRing.replaceSecrets([next])
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('ticket-unopenable')
    expect((await connect(harness, visit.session)).resumed).toBe(true)
  })

  test('of plain Node, from before the switch', async () => {
    const { session } = await connect(await startStock({ server: { secureOptions: 0 } }))
    const harness = await startTicketed()
    const visit = await connect(harness, session)
    expect([visit.resumed, reasons(harness)]).toEqual([false, ['ticket-unopenable']])
    expect((await connect(harness, visit.session)).resumed).toBe(true)
  })

  test('when its full handshake is too long ago, through whatever chain of renewals', async () => {
    let nowMs = Date.now()
    const harness = await startTicketed({
      context: { now: () => nowMs },
      attach: { maxAuthenticationAgeSec: 100 },
    })
    let { session } = await connect(harness)
    for (const stepSec of [40, 40]) {
      nowMs += stepSec * 1000
      const visit = await connect(harness, session)
      expect(visit.resumed).toBe(true)
      session = visit.session
    }
    nowMs += 40_000
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('authentication-too-old')
  })

  test('but the time of its full handshake goes with it into its renewal, whatever time Node gives that', async () => {
    const AGE_SEC = 60
    const keyRing = new TicketKeyRing(new KeyRing([SECRET]), new Uint8Array(0), () => ({
      periodMs: HOUR_MS,
      lifetimeMs: HOUR_MS,
    }))
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const aged = withOrigin(session!, keyRing, (origin) => ({
      authenticatedAtSec: origin.authenticatedAtSec - AGE_SEC,
      chainEndSec: origin.authenticatedAtSec + 1000,
    }))
    const visit = await connect(harness, aged)
    expect(visit.resumed).toBe(true)
    const inherited = openTicket(ticketIn(visit.session!, keyRing), keyRing, Date.now())?.origin
    expect(inherited).toEqual(openTicket(ticketIn(aged, keyRing), keyRing, Date.now())?.origin)
    expect(Date.now() / 1000 - inherited!.authenticatedAtSec).toBeGreaterThanOrEqual(AGE_SEC)
  })

  test.each([
    ['TLSv1.3', 'ticket'],
    ['TLSv1.2', 'external'],
  ] as const)(
    'when its full handshake was before authenticatedAfterMs, as a session of the cache is (%s)',
    async (maxVersion, resumed) => {
      const cache = new MemoryStore()
      const makeAt = (authenticatedAfterMs: number): Promise<Harness> =>
        startTicketed({
          context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(cache) },
          attach: { authenticatedAfterMs },
        })
      const lenient = await makeAt(Date.now() - 2000)
      const { session } = await connect(lenient, undefined, { maxVersion })
      await connect(lenient, session, { maxVersion })
      expect(reasons(lenient).at(-1)).toBe(resumed)
      const stern = await makeAt(Date.now() + 2000)
      await connect(stern, session, { maxVersion })
      expect(reasons(stern).at(-1)).toBe('revoked')
    },
  )

  test('when it has expired', async () => {
    let nowMs = Date.now()
    const harness = await startTicketed({ context: { now: () => nowMs, sessionTimeout: 60 } })
    const { session } = await connect(harness)
    nowMs += 62_000
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('expired')
    expect(harness.context.stats.timeouts).toBe(1)
  })

  test('when its period is long over, and not as long as it may live', async () => {
    let nowMs = Date.now()
    const harness = await startTicketed({ context: { now: () => nowMs, sessionTimeout: 7200 } })
    const { session } = await connect(harness)
    nowMs += 1.9 * HOUR_MS
    expect((await connect(harness, session)).resumed).toBe(true)
    nowMs += 3 * HOUR_MS
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('ticket-unopenable')
  })
})

/** A part of what a client keeps, not a copy. */
function ticketIn(session: Buffer, keyRing: TicketKeyRing): Buffer {
  const start = session.indexOf(keyRing.current(Date.now()).name)
  expect(start).toBeGreaterThan(0)
  // The length of the OCTET STRING is in the byte before it, or in two when it has 256 bytes or more.
  const length = session[start - 3] === 0x82 ? session.readUInt16BE(start - 2) : session[start - 1]!
  return session.subarray(start, start + length)
}

/** The same client's session, with a ticket of another origin. */
function withOrigin(
  session: Buffer,
  keyRing: TicketKeyRing,
  change: (origin: SessionOrigin) => SessionOrigin,
): Buffer {
  const aged = Buffer.from(session)
  const ticket = ticketIn(aged, keyRing)
  const keys = keyRing.current(Date.now())
  const opened = openTicket(ticket, keyRing, Date.now())!
  const iv = makeOriginBlock(change(opened.origin), keys)
  const decipher = createDecipheriv('aes-128-cbc', keys.cipher, ticket.subarray(16, 32))
  const cipher = createCipheriv('aes-128-cbc', keys.cipher, iv)
  const der = Buffer.concat([decipher.update(ticket.subarray(32, -32)), decipher.final()])
  const sealed = Buffer.concat([keys.name, iv, cipher.update(der), cipher.final()])
  ticket.set(Buffer.concat([sealed, createHmac('sha256', keys.mac).update(sealed).digest()]))
  return aged
}

describe('with client certificates, a ticket', async () => {
  const authority = await makeCertificate('authority.example', { isAuthority: true })
  const mutual: tls.TlsOptions = { requestCert: true, ca: authority.cert }
  const CHAIN_MS = HOUR_MS / 2
  const client = await makeCertificate('client.example', {
    ca: authority,
    notAfterDate: new Date(Date.now() + CHAIN_MS),
  })
  const own = { key: client.key, cert: client.cert }

  test('carries the certificate, for the owner to see, and ends with it', async () => {
    let nowMs = Date.now()
    const seen: unknown[] = []
    const harness = await startTicketed({
      server: mutual,
      context: { now: () => nowMs },
      make: (options) =>
        tls.createServer(options, (socket) => {
          seen.push(socket.getPeerCertificate().subject?.CN, socket.authorized)
          socket.on('error', () => undefined).end('hello')
        }),
    })
    let { session } = await connect(harness, undefined, own)
    const second = await connect(harness, session, own)
    session = second.session
    expect(second.resumed).toBe(true)
    expect(seen).toEqual(['client.example', true, 'client.example', true])
    nowMs += CHAIN_MS + 1000
    await connect(harness, session, own)
    expect(reasons(harness).at(-1)).toBe('authentication-too-old')
  })

  test('is refused when its client is revoked, in every process, and after a renewal', async () => {
    const store = new MemoryStore()
    const keyRing = new KeyRing([SECRET])
    let nowMs = Date.now() - 5000
    const make = async () => {
      const revocations = new Revocations(store, keyRing, { now: () => nowMs })
      afterTest(() => void revocations.close())
      await revocations.ready
      const harness = await startTicketed({ server: mutual, attach: { revocations } })
      return { harness, revocations }
    }
    const [here, there] = [await make(), await make()]
    const { session } = await connect(here.harness, undefined, own)
    const renewed = await connect(there.harness, session, own)
    expect(renewed.resumed).toBe(true)
    nowMs = Date.now() + 2000
    await here.revocations.revokeClient(new X509Certificate(client.cert).fingerprint256)
    for (const ticket of [session, renewed.session]) {
      expect((await connect(here.harness, ticket, own)).resumed).toBe(false)
      expect(reasons(here.harness).at(-1)).toBe('revoked')
    }
  })

  test('is refused when all of its server name are revoked', async () => {
    const keyRing = new KeyRing([SECRET])
    let nowMs = Date.now() - 5000
    const revocations = new Revocations(new MemoryStore(), keyRing, { now: () => nowMs })
    afterTest(() => void revocations.close())
    await revocations.ready
    const harness = await startTicketed({ attach: { revocations } })
    const { session } = await connect(harness)
    nowMs = Date.now() + 2000
    await revocations.revokeServerName(NAME)
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('revoked')
  })
})

describe('attachServer refuses tickets together with', () => {
  const keyRing = new KeyRing([SECRET])

  test.each([
    ['singleUse', { attach: { singleUse: true } }],
    ['waitForStore', { attach: { waitForStore: true, tolerate: ['wait-for-store'] as const } }],
    ['bindSessions: false', { attach: { bindSessions: false } }],
    ['ticketKeys', { server: { ticketKeys: randomBytes(48) } }],
    ['SSL_OP_ALLOW_NO_DHE_KEX', { server: { secureOptions: 0x4000 | 0x400 } }],
    ['a server without TLSv1.3', TLS12],
  ])('%s', async (what, options) => {
    await expect(startTicketed(options)).rejects.toMatchObject({
      code: 'ERR_SERVER_SETUP',
      problem: 'contradicting-options',
      message: expect.stringContaining(`tickets do not go with ${what}`),
    })
  })

  test.each([
    [{}, 'keyRing'],
    [{ keyRing: {} }, 'keyRing'],
    [{ keyRing, periodMs: 1 }, 'periodMs'],
    [{ keyRing, period: 1 }, 'period'],
    [true, 'tickets'],
  ])('nonsense: %j', (tickets, name) => {
    const context = new SslContext()
    const server = greet({ ...certificate, ...serverOptions(context) })
    expect(() => attachServer(server, context, { tickets } as never)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID', message: expect.stringContaining(name) }),
    )
  })
})
