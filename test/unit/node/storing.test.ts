import { once } from 'node:events'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  type AttachServerOptions,
  MemoryStore,
  SessionCacheMode,
  type SslContextOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import { nodeFeatures } from '../../../src/node/node-engine.ts'
import {
  certificate,
  connect,
  type Harness,
  NAME,
  NO_INTERNAL,
  start,
  versions,
} from '../../tools/node-servers.ts'

const allowsStrictTls13 = nodeFeatures(tls.createSecureContext(certificate)).hasEarlyClientHello
const strictVersions = versions.filter((version) => version === 'TLSv1.2' || allowsStrictTls13)

const startWith = (
  version: (typeof versions)[number],
  context: SslContextOptions,
  attach: AttachServerOptions = {},
): Promise<Harness> => start({ context, attach, server: { minVersion: version, maxVersion: version } })

/** A store that answers when it is told to. */
function heldStore(): {
  readonly callbacks: SslContextOptions
  readonly asked: Promise<void>
  release(): void
} {
  const memory = new MemoryStore()
  let release: () => void = () => undefined
  let ask: () => void = () => undefined
  const asked = new Promise<void>((resolve) => {
    ask = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const callbacks = storeCallbacks({
    get: (key) => memory.get(key),
    take: (key) => memory.take(key),
    delete: (key) => memory.delete(key),
    confidentiality: 'in-process',
    async set(entries) {
      ask()
      await released
      memory.set(entries)
    },
  })
  return { callbacks, asked, release }
}

async function listenAgain(server: tls.Server, path: string): Promise<void> {
  server.close()
  await once(server, 'close')
  await once(server.listen(path), 'listening')
}

describe('a write-behind store', () => {
  test.each(versions)('%s: holds up nobody, however long it takes', async (version) => {
    const store = heldStore()
    const harness = await startWith(version, store.callbacks)
    expect((await connect(harness)).received).toBe('hello')
    expect(harness.attachment.stats.pendingWrites).toBeGreaterThan(0)
    store.release()
    expect(await harness.attachment.close()).toEqual({ dropped: 0 })
  })
})

describe.each(strictVersions)('a strict store, %s', (version) => {
  test('has the session before the client hears the last of its handshake', async () => {
    const store = heldStore()
    const harness = await startWith(version, store.callbacks, { waitForStore: true, lookupTimeoutMs: 10_000 })
    let isAnswered = false
    const visit = connect(harness).then((value) => {
      isAnswered = true
      return value
    })
    await store.asked
    await new Promise((resolve) => setImmediate(resolve))
    expect(isAnswered).toBe(false)
    store.release()
    expect(await visit).toMatchObject({ resumed: false, received: 'hello' })
  })

  test.each([
    ['resets its connection', '127.0.0.1', (client: net.Socket) => client.resetAndDestroy()],
    ['closes a Unix socket', 'a Unix socket', (client: net.Socket) => client.destroy()],
  ])('that answers in the turn in which the client %s leaves no socket behind', async (_, host, leave) => {
    const store = heldStore()
    const harness = await startWith(version, store.callbacks, { waitForStore: true, lookupTimeoutMs: 10_000 })
    const { server, port } = harness
    const path = join(tmpdir(), `sslctx-${process.pid}-${version}.sock`)
    if (host !== '127.0.0.1') await listenAgain(server, path)
    const raw = net.connect(host === '127.0.0.1' ? { host, port } : { path })
    const client = tls.connect({ socket: raw, servername: NAME, ca: certificate.cert })
    client.on('error', () => undefined)
    await store.asked
    await new Promise((resolve) => setImmediate(resolve))
    leave(raw)
    store.release()
    const closed = once(server, 'close')
    server.close()
    await closed
  })

  test('that does not answer is waited for until the deadline, and no longer', async () => {
    const store = heldStore()
    const harness = await startWith(version, store.callbacks, { waitForStore: true, lookupTimeoutMs: 50 })
    const begin = performance.now()
    expect((await connect(harness)).received).toBe('hello')
    expect(performance.now() - begin).toBeGreaterThan(45)
  })
})

describe.each(versions)('%s: a new callback that', (version) => {
  test.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('store is full')
      },
    ],
    ['rejects', () => Promise.reject(new Error('store is full'))],
  ])('%s is an event: the handshake succeeds, and the session is a miss', async (_, newSessionCallback) => {
    const harness = await startWith(version, {
      sessionCacheMode: NO_INTERNAL,
      newSessionCallback,
      getSessionCallback: () => undefined,
    })
    const errors: unknown[] = []
    harness.context.subscribe((event) => event.type === 'callback-error' && errors.push(event.callback))
    const { session, received } = await connect(harness)
    expect(received).toBe('hello')
    expect(new Set(errors)).toEqual(new Set(['new']))
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(harness.handshakes.at(-1)?.reason).toBe('not-found')
  })

  test('that goes on after the client has left still stores', async () => {
    const memory = new MemoryStore()
    let answer: (policy: string) => void = () => undefined
    const harness = await startWith(
      version,
      { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(memory) },
      {
        policy: () =>
          new Promise<string>((resolve) => {
            answer = resolve
          }),
      },
    )
    const { session } = await connect(harness)
    answer('late')
    await harness.attachment.close()
    // The policy's answer came when nobody was connected any more.
    const successor = await startWith(
      version,
      { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(memory) },
      { policy: () => 'late' },
    )
    expect((await connect(successor, session)).resumed).toBe(true)
  })
})

test('a policy that never answers about a new session is a refusal after lookupTimeoutMs', async () => {
  const harness = await start({ attach: { policy: () => new Promise(() => undefined), lookupTimeoutMs: 20 } })
  await connect(harness)
  expect(await harness.attachment.close()).toEqual({ dropped: 0 })
  expect(harness.attachment.stats.notKept).toEqual({ 'policy-refused': 2 })
})

test('a TLS 1.2 session whose server name was not read ahead is bound to what Node says it is', async () => {
  const names: (string | undefined)[] = []
  const harness = await start({
    context: {
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      newSessionCallback: (_connection, session) => names.push(session.hostname),
    },
  })
  await connect(harness)
  await connect(harness, undefined, { maxVersion: 'TLSv1.2' })
  expect(names).toEqual([NAME])
  expect(harness.attachment.stats.notKept).toEqual({ 'unread-hello': 2 })
  expect(harness.handshakes.map(({ reason }) => reason)).toEqual(['no-lookup', 'no-lookup'])
})
