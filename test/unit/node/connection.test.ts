import { once } from 'node:events'
import net from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { MemoryStore, type SslSession, storeCallbacks } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { records } from '../../tools/client-hello-builder.ts'
import {
  afterTest,
  connect,
  NAME,
  NO_INTERNAL,
  reasons,
  start,
  TLS12,
  TLS13,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { hello13 } from '../../tools/offering-hello.ts'

/** What one connection does once, in its order: each of these was broken once without a test that noticed. */

describe.each(VERSIONS)('%s', (_, version) => {
  test('the policy is asked once about all new sessions of a handshake, and once about the one that is offered', async () => {
    const asked: SslSession[] = []
    const harness = await start({
      ...version,
      attach: {
        policy(_serverName, session) {
          asked.push(session)
          return 'main'
        },
      },
    })
    const { session } = await connect(harness)
    expect(asked).toHaveLength(1)
    expect((await connect(harness, session)).resumed).toBe(true)
    // TLS 1.2 makes no new session when it resumes.
    expect(asked).toHaveLength(version === TLS12 ? 2 : 3)
  })

  test('a mark that comes while the caches are asked is looked at before Node gets the connection', async () => {
    let isRevoked = false
    const context = storeCallbacks(new MemoryStore())
    const harness = await start({
      ...version,
      context: {
        ...context,
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: async (connection, id) => {
          const found = await context.getSessionCallback(connection, id)
          // The edge's own rules come after the caches, and Node after those.
          setImmediate(() => {
            isRevoked = true
          })
          return found
        },
      },
      attach: {
        policy: async () => {
          await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
          return 'main'
        },
        revocations: { objectionTo: () => (isRevoked ? 'revoked' : undefined) },
      },
    })
    const { session } = await connect(harness)
    isRevoked = false
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('revoked')
  })

  test('a mark that comes when all rules have been asked is looked at once more', async () => {
    let asked = 0
    const harness = await start({
      ...version,
      // The first look is part of the lookup, the second one is when Node gets the connection.
      attach: { revocations: { objectionTo: () => (++asked > 1 ? 'revoked' : undefined) } },
    })
    const { session } = await connect(harness)
    asked = 0
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('revoked')
  })

  test('the deadline of a lookup that has answered is over', async () => {
    const clear = vi.spyOn(globalThis, 'clearTimeout')
    const set = vi.spyOn(globalThis, 'setTimeout')
    afterTest(() => vi.restoreAllMocks())
    const lookupTimeoutMs = 54_321
    const harness = await start({
      ...version,
      context: { sessionCacheMode: NO_INTERNAL, getSessionCallback: async () => undefined },
      attach: { lookupTimeoutMs },
    })
    const { session } = await connect(harness)
    await connect(harness, session)
    const timers = set.mock.results.filter((_result, index) => set.mock.calls[index]?.[1] === lookupTimeoutMs)
    expect(timers.length).toBeGreaterThan(0)
    const cleared = new Set(clear.mock.calls.map(([timer]) => timer))
    expect(timers.filter(({ value }) => !cleared.has(value as NodeJS.Timeout))).toEqual([])
  })

  test('the last addContext that matches is the one whose trust counts, as in Node', async () => {
    const authority = await makeCertificate('authority', { isAuthority: true })
    const other = await makeCertificate('other authority', { isAuthority: true })
    const client = { ...(await makeCertificate('client', { ca: authority })), rejectUnauthorized: false }
    const names = await makeCertificate(NAME)
    const harness = await start({
      ...version,
      server: { ...version.server, requestCert: true, rejectUnauthorized: true, ca: other.cert },
    })
    harness.server.addContext('*.example', { ...names, ca: other.cert })
    harness.server.addContext(NAME, { ...names, ca: authority.cert })
    const { session } = await connect(harness, undefined, client)
    expect((await connect(harness, session, client)).resumed).toBe(true)
    // A later one that matches as well changes whom the name trusts; one that does not changes nothing.
    harness.server.addContext('elsewhere.test', { ...names, ca: other.cert })
    const again = await connect(harness, session, client)
    expect(again.resumed).toBe(true)
    harness.server.addContext('*.example', { ...names, ca: [authority.cert, other.cert] })
    expect((await connect(harness, again.session ?? session, client)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('trust-changed')
  })
})

test('lookupMs begins when the ClientHello is whole', async () => {
  const READ_AHEAD_MS = 60
  const harness = await start()
  const client = net.connect(harness.port, '127.0.0.1')
  afterTest(() => client.destroy())
  const hello = records(hello13({ identity: new Uint8Array(32) }))
  client.on('error', () => undefined).write(hello.subarray(0, 20))
  const began = performance.now()
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (performance.now() - began > READ_AHEAD_MS) resolve()
      else setImmediate(look)
    }
    look()
  })
  client.end(hello.subarray(20))
  await once(client.resume(), 'close')
  const [handshake] = harness.handshakes
  expect(handshake?.readAheadMs).toBeGreaterThan(READ_AHEAD_MS / 2)
  expect(handshake?.lookupMs).toBeLessThan(handshake?.readAheadMs ?? 0)
})

test('a handshake is pending until its last session is written, whichever is written first', async () => {
  const answers: (() => void)[] = []
  const harness = await start({
    ...TLS13,
    context: {
      sessionCacheMode: NO_INTERNAL,
      newSessionCallback: () => new Promise<void>((resolve) => answers.push(resolve)),
    },
    attach: { lookupTimeoutMs: 60_000 },
  })
  const { attachment } = harness
  harness.context.setGetSessionCallback(() => undefined)
  await connect(harness)
  expect([answers.length, attachment.stats.pendingWrites]).toEqual([2, 1])
  answers[0]?.()
  await new Promise((resolve) => setImmediate(resolve))
  expect(attachment.stats.pendingWrites).toBe(1)
  answers[1]?.()
  await new Promise((resolve) => setImmediate(resolve))
  expect(attachment.stats.pendingWrites).toBe(0)
})

test('a session that could not be stored is counted as not kept, one by one', async () => {
  let writes = 0
  const harness = await start({
    ...TLS13,
    context: {
      sessionCacheMode: NO_INTERNAL,
      getSessionCallback: () => undefined,
      newSessionCallback: async () => {
        if (++writes % 2 === 1) throw new Error('full')
      },
    },
  })
  await connect(harness)
  expect(harness.attachment.stats.notKept).toEqual({ 'store-failed': 1 })
})
