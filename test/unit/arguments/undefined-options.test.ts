import { randomBytes } from 'node:crypto'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import {
  ClientSessions,
  guarded,
  KeyRing,
  MemoryStore,
  Revocations,
  ServerSessions,
  SslContext,
  serverOptions,
} from '../../../src/index.ts'
import { memcachedStore } from '../../../src/store/memcached-store.ts'

// What comes from a configuration may be undefined. That is as if it were not there, to the types under exactOptionalPropertyTypes too.

const nothing: undefined = undefined
const keyRing = (): KeyRing => new KeyRing([randomBytes(32)])

test.each<[string, () => unknown]>([
  [
    'ClientSessions',
    () =>
      new ClientSessions({
        maxOrigins: nothing,
        ticketsPerOrigin: nothing,
        maxBytes: nothing,
        reuse: nothing,
        store: nothing,
        secrets: nothing,
        deadlineMs: nothing,
        onHandshake: nothing,
      }),
  ],
  [
    'guarded',
    () =>
      guarded(new MemoryStore(), {
        name: nothing,
        deadlineMs: nothing,
        breaker: { failures: nothing, retryAfterMs: nothing },
        maxConcurrentWrites: nothing,
        maxQueuedSessions: nothing,
        now: nothing,
        onEvent: nothing,
      }),
  ],
  ['guarded, the breaker', () => guarded(new MemoryStore(), { breaker: nothing })],
  [
    'Revocations',
    () =>
      new Revocations(new MemoryStore(), keyRing(), {
        maxStaleMs: nothing,
        now: nothing,
        onError: nothing,
      }).close(),
  ],
  ['KeyRing', () => new KeyRing([randomBytes(32)], { periodMs: nothing, openMs: nothing })],
  ['MemoryStore', () => new MemoryStore({ maxSessions: nothing, now: nothing })],
  [
    'SslContext',
    () =>
      new SslContext({
        sessionCacheMode: nothing,
        sessionCacheSize: nothing,
        sessionTimeout: nothing,
        sessionIdContext: nothing,
        newSessionCallback: nothing,
        clearingStep: nothing,
      }),
  ],
  ['serverOptions', () => serverOptions(new SslContext(), { tickets: nothing, secureOptions: nothing })],
  [
    'ServerSessions.serverOptions',
    () => new ServerSessions({ name: 'x' }).serverOptions({ secureOptions: nothing }),
  ],
  ['ServerSessions.close', () => new ServerSessions({ name: 'x' }).close({ deadlineMs: nothing })],
  [
    'memcachedStore',
    () =>
      memcachedStore({
        connect: () => new PassThrough(),
        prefix: nothing,
        maxItemBytes: nothing,
        answerTimeoutMs: nothing,
      }),
  ],
])('%s', async (_, make) => {
  await expect((async () => void (await make()))()).resolves.toBeUndefined()
})
