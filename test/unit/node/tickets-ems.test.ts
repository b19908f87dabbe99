import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { type AttachServerOptions, KeyRing } from '../../../src/index.ts'
import { SslOption } from '../../../src/model.ts'
import { connect, type Harness, reasons, start } from '../../tools/node-servers.ts'
import { SECRET } from '../../tools/ticket-servers.ts'

const WITH = { maxVersion: 'TLSv1.2' } as const
const WITHOUT = { ...WITH, secureOptions: SslOption.NO_EXTENDED_MASTER_SECRET }

/** All have the same secret. */
function startBoth(attach: AttachServerOptions = {}): Promise<Harness> {
  const tickets = { keyRing: new KeyRing([SECRET]), versions: ['TLSv1.3', 'TLSv1.2'] as const }
  return start({ attach: { ...attach, tickets } })
}

/** The error of the server, whose client does not get through. */
async function errorOf(harness: Harness, visit: Promise<unknown>): Promise<string | undefined> {
  const failed = once(harness.server, 'tlsClientError').then(
    ([cause]) => (cause as NodeJS.ErrnoException).code,
  )
  const [code] = await Promise.all([failed, expect(visit).rejects.toThrow()])
  return code
}

describe('a ticket of TLS 1.2 without the extended master secret', () => {
  test('resumes where such sessions are allowed, and is refused when its client offers that by now (RFC 7627 §5.3)', async () => {
    const harness = await startBoth({ requireExtendedMasterSecret: false })
    const { session } = await connect(harness, undefined, WITHOUT)
    expect((await connect(harness, session, WITHOUT)).resumed).toBe(true)
    const visit = await connect(harness, session, WITH)
    expect([visit.resumed, visit.received]).toEqual([false, 'hello'])
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'extended-master-secret-added'])
    expect((await connect(harness, visit.session, WITH)).resumed).toBe(true)
  })

  test('is refused where they are not, whatever its client offers, and none is made', async () => {
    const { session } = await connect(
      await startBoth({ requireExtendedMasterSecret: false }),
      undefined,
      WITHOUT,
    )
    const harness = await startBoth()
    for (const client of [WITH, WITHOUT]) {
      const visit = await connect(harness, session, client)
      expect([visit.resumed, visit.received]).toEqual([false, 'hello'])
    }
    expect(reasons(harness)[0]).toBe('no-extended-master-secret')
    expect(harness.attachment.stats.tickets?.sealed).toBe(1)
    expect(harness.attachment.stats.notKept).toEqual({ 'no-extended-master-secret': 1 })
  })
})

describe('a client with a ticket of TLS 1.2 that drops', () => {
  test('the extended master secret gets the alert of libssl (RFC 7627 §5.3)', async () => {
    const harness = await startBoth({ requireExtendedMasterSecret: false })
    const { session } = await connect(harness, undefined, WITH)
    const error = await errorOf(harness, connect(harness, session, WITHOUT))
    expect(error).toBe('ERR_SSL_INCONSISTENT_EXTMS')
    expect(harness.handshakes.at(-1)).toMatchObject({ outcome: 'failed', reason: 'handshake-failed' })
    expect((await connect(harness, session, WITH)).resumed).toBe(true)
  })

  test('the extended master secret has no ticket where that is required, and a full handshake', async () => {
    const harness = await startBoth()
    const { session } = await connect(harness, undefined, WITH)
    const visit = await connect(harness, session, WITHOUT)
    expect([visit.resumed, visit.received]).toEqual([false, 'hello'])
    expect((await connect(harness, session, WITH)).resumed).toBe(true)
  })

  test('the cipher suite of its session gets the alert of libssl', async () => {
    const harness = await startBoth()
    const [one, other] = ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-GCM-SHA384']
    const { session } = await connect(harness, undefined, { ...WITH, ciphers: one })
    const error = await errorOf(harness, connect(harness, session, { ...WITH, ciphers: other }))
    expect(error).toBe('ERR_SSL_REQUIRED_CIPHER_MISSING')
    expect((await connect(harness, session, { ...WITH, ciphers: one })).resumed).toBe(true)
  })

  test('the extended master secret is refused without an alert when its ticket is refused for another reason', async () => {
    const harness = await startBoth({ requireExtendedMasterSecret: false })
    const { session } = await connect(harness, undefined, WITH)
    const after = { requireExtendedMasterSecret: false, authenticatedAfterMs: Date.now() + 2000 }
    const stern = await startBoth(after)
    const visit = await connect(stern, session, WITHOUT)
    expect([visit.resumed, visit.received, reasons(stern)]).toEqual([false, 'hello', ['revoked']])
  })
})
