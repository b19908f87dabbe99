import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { MemoryStore, SessionCacheMode, SslSession, storeCallbacks } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { connect, reasons, start, TLS13, versions } from '../../tools/node-servers.ts'

describe('the age of an authentication', () => {
  test('is carried over through every TLS 1.3 resumption: no chain of tickets outlives maxAuthenticationAgeSec', async () => {
    let nowMs = Date.now()
    const harness = await start({
      ...TLS13,
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

  test('of a full handshake is that of the tickets which its resumption brings, whatever time Node gives them', async () => {
    const AGE_SEC = 60
    const harness = await start({ ...TLS13, attach: { maxAuthenticationAgeSec: 100 } })
    const { session } = await connect(harness)
    const before = new Set(harness.context.sessions())
    const made: number[] = []
    for (const kept of before) {
      const origin = Buffer.from(kept.ticketAppData ?? [])
      made.push(origin.readUIntBE(1, 6) - AGE_SEC)
      origin.writeUIntBE(origin.readUIntBE(1, 6) - AGE_SEC, 1, 6)
      kept.setTicketAppData(origin)
    }
    expect((await connect(harness, session)).resumed).toBe(true)
    const [brought] = [...harness.context.sessions()].filter((kept) => !before.has(kept))
    const authenticatedAtSec = Buffer.from(brought?.ticketAppData ?? []).readUIntBE(1, 6)
    expect(made).toContain(authenticatedAtSec)
    expect(brought?.expiresAtMs).toBe((authenticatedAtSec + 100) * 1000)
  })

  test.each(versions)(
    '%s: is by default the session timeout, which ends the session as in libssl',
    async (version) => {
      let nowMs = Date.now()
      const harness = await start({
        context: { now: () => nowMs, sessionTimeout: 60 },
        server: { minVersion: version, maxVersion: version },
      })
      const { session } = await connect(harness)
      nowMs += 61_000
      expect((await connect(harness, session)).resumed).toBe(false)
      expect(reasons(harness).at(-1)).toBe('expired')
    },
  )

  test('an old authentication is not made young by a longer limit on another server, nor kept by a shorter one', async () => {
    let nowMs = Date.now()
    const context = {
      now: () => nowMs,
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      ...storeCallbacks(new MemoryStore({ now: () => nowMs })),
    }
    const lenient = await start({ ...TLS13, context, attach: { maxAuthenticationAgeSec: 1000 } })
    const stern = await start({ ...TLS13, context, attach: { maxAuthenticationAgeSec: 100 } })
    const { session } = await connect(lenient)
    // libssl stamps the session by its own clock, which may be in the next second by now.
    nowMs += 102_000
    expect((await connect(stern, session)).resumed).toBe(false)
    expect((await connect(lenient, session)).resumed).toBe(true)
    expect(reasons(stern)).toEqual(['authentication-too-old'])
  })

  test('a context with another timeout than its server rewrites what is kept', async () => {
    const harness = await start(TLS13)
    harness.context.setSessionTimeout(42)
    await connect(harness)
    // The authentication lasts 42 seconds, of which one may be over when libssl makes a ticket.
    for (const { timeoutSec } of harness.context.sessions()) expect([41, 42]).toContain(timeoutSec)
    expect(harness.context.stats.number).toBe(2)
  })
})

describe.each(versions)('%s: client certificates', (version) => {
  const range = { minVersion: version, maxVersion: version }

  test('a session ends with the first certificate of its chain', async () => {
    const authority = await makeCertificate('authority', { isAuthority: true })
    const endSec = Math.floor(Date.now() / 1000) + 600
    const intermediate = await makeCertificate('intermediate', {
      ca: authority,
      isAuthority: true,
      notAfterDate: new Date(endSec * 1000),
    })
    const leaf = await makeCertificate('client', { ca: intermediate })
    let nowMs = Date.now()
    const harness = await start({
      context: { now: () => nowMs },
      server: { ...range, requestCert: true, ca: authority.cert },
    })
    const client = { key: leaf.key, cert: `${leaf.cert}\n${intermediate.cert}`, rejectUnauthorized: false }
    const { session } = await connect(harness, undefined, client)
    for (const { expiresAtMs } of harness.context.sessions()) expect(expiresAtMs).toBe(endSec * 1000)
    expect((await connect(harness, session, client)).resumed).toBe(true)
    nowMs = (endSec + 1) * 1000
    expect((await connect(harness, session, client)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('authentication-too-old')
  })

  test('what a client sends along, though it has ended long ago and nobody needs it, ends no session', async () => {
    const other = await makeCertificate('other', { isAuthority: true })
    const root = await makeCertificate('root', { isAuthority: true })
    const cross = await makeCertificate('root', {
      ca: other,
      isAuthority: true,
      key: root.key,
      notAfterDate: new Date(Date.now() - 86_400_000),
    })
    const leaf = await makeCertificate('client', { ca: root })
    const harness = await start({ server: { ...range, requestCert: true, ca: root.cert } })
    const client = { key: leaf.key, cert: `${leaf.cert}\n${cross.cert}`, rejectUnauthorized: false }
    const { session } = await connect(harness, undefined, client)
    expect((await connect(harness, session, client)).resumed).toBe(true)
  })

  test('sessions beyond the 10 KiB of Node are counted', async () => {
    const names = Array.from({ length: 700 }, (_, index) => `name-${index}.client.example`)
    const large = await makeCertificate('client', { names })
    const harness = await start({ server: { ...range, requestCert: true, rejectUnauthorized: false } })
    await connect(harness, undefined, { ...large, rejectUnauthorized: false })
    await new Promise((resolve) => setImmediate(resolve))
    expect(harness.attachment.stats.notKept).toEqual({ 'too-large': 1 })
    expect(harness.context.stats).toMatchObject({ number: 0, acceptGood: 1 })
  })
})

test('a session of an unknown format is a miss with its own reason, so that fleets can be upgraded', async () => {
  const memory = new MemoryStore()
  const harness = await start({
    ...TLS13,
    context: {
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      ...storeCallbacks({
        get(key) {
          const der = memory.get(key)
          if (der === undefined) return undefined
          const session = SslSession.fromDer(der)
          session.setTicketAppData(Uint8Array.of(2, 0, 0))
          return session.toDer()
        },
        set: (entries) => memory.set(entries),
        take: (key) => memory.take(key),
        delete: (key) => memory.delete(key),
        confidentiality: 'in-process',
      }),
    },
  })
  const { session } = await connect(harness)
  expect((await connect(harness, session)).resumed).toBe(false)
  expect(reasons(harness).at(-1)).toBe('unknown-format')
})

describe('what is not kept', () => {
  test('TLS 1.2 without extended master secret, unless it is not required (RFC 7627)', async () => {
    const old: tls.ConnectionOptions = { maxVersion: 'TLSv1.2', secureOptions: 0x1 }
    const strict = await start()
    const lenient = await start({ attach: { requireExtendedMasterSecret: false } })
    const sessions = [await connect(strict, undefined, old), await connect(lenient, undefined, old)]
    expect((await connect(strict, sessions[0]?.session, old)).resumed).toBe(false)
    expect((await connect(lenient, sessions[1]?.session, old)).resumed).toBe(true)
    expect(strict.attachment.stats.notKept).toEqual({ 'no-extended-master-secret': 2 })
  })

  test.each<[string, (hello: unknown) => boolean]>([
    ['declines', () => false],
    [
      'throws',
      () => {
        throw new Error('no opinion')
      },
    ],
  ])('the sessions of a client that shouldStore %s', async (title, shouldStore) => {
    const harness = await start({ attach: { shouldStore } })
    const warned = title === 'throws' ? new Promise((resolve) => process.once('warning', resolve)) : undefined
    await connect(harness)
    await warned
    expect(harness.context.stats.number).toBe(0)
    expect(harness.attachment.stats.notKept).toEqual({ declined: 2 })
  })

  test('shouldStore sees the ClientHello', async () => {
    const names: (string | undefined)[] = []
    const harness = await start({
      attach: {
        shouldStore(hello) {
          names.push(hello?.serverName)
          return true
        },
      },
    })
    await connect(harness)
    expect(new Set(names)).toEqual(new Set(['server.example']))
  })

  test('a session that the not-resumable callback flags, in TLS 1.2 and 1.3 (R11.8)', async () => {
    for (const version of versions) {
      const harness = await start({
        context: { notResumableCallback: () => true },
        server: { minVersion: version, maxVersion: version },
      })
      const { session } = await connect(harness)
      expect((await connect(harness, session)).resumed).toBe(false)
      expect(harness.context.stats.number).toBe(0)
    }
  })

  test('anything, in a mode without SERVER: what was not found says so', async () => {
    const harness = await start({ context: { sessionCacheMode: SessionCacheMode.OFF } })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('mode-without-server')
  })
})

test('the switch of an attachment takes true and false alone: a word of the environment would leave it on', async () => {
  const { attachment } = await start()
  for (const word of ['false', 0, null, undefined])
    expect(() => Reflect.set(attachment, 'enabled', word)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' }),
    )
  expect(attachment.enabled).toBe(true)
})
