import { randomBytes } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster, createSentinel } from 'redis'
import { describe, expect, test } from 'vitest'
import { guarded, KeyRing, MemoryStore, SessionCacheMode, SslContext } from '../../../src/index.ts'
import {
  fromIoredis,
  fromIovalkey,
  fromNodeRedis,
  fromNodeRedisCluster,
  fromNodeRedisSentinel,
  redisStore,
} from '../../../src/store/redis-store.ts'

const WRONG = expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' })
const OUT_OF_RANGE = expect.objectContaining({ code: 'ERR_SESSION_OUT_OF_RANGE' })

/** As from JavaScript, where no type says what is wrong. */
// biome-ignore lint/suspicious/noExplicitAny: what is tested is what types refuse
type Untyped = any

function thrownBy(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}

const shims = { fromIoredis, fromIovalkey, fromNodeRedis, fromNodeRedisCluster, fromNodeRedisSentinel }
const nodeRedis = {
  client: createClient(),
  sentinel: createSentinel({ name: 'shop', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] }),
  cluster: createCluster({ rootNodes: [{ url: 'redis://127.0.0.1:1' }] }),
}
const ioredis = new Redis({ lazyConnect: true })
const ioredisCluster = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true })

describe('a client of Redis', () => {
  test.each([
    ['fromNodeRedis', nodeRedis.client],
    ['fromNodeRedisSentinel', nodeRedis.sentinel],
    ['fromNodeRedisCluster', nodeRedis.cluster],
    ['fromIoredis', ioredis],
    ['fromIoredis', ioredisCluster],
  ] as const)('is taken by its own function, %s', (name, client) => {
    expect((shims[name] as Untyped)(client)).toHaveProperty('send')
  })

  test.each([
    ['fromNodeRedis', nodeRedis.sentinel, 'fromNodeRedisSentinel'],
    ['fromNodeRedis', nodeRedis.cluster, 'fromNodeRedisCluster'],
    ['fromNodeRedis', ioredis, 'fromIoredis'],
    ['fromNodeRedisSentinel', nodeRedis.client, 'fromNodeRedis'],
    ['fromNodeRedisSentinel', nodeRedis.cluster, 'fromNodeRedisCluster'],
    ['fromNodeRedisCluster', nodeRedis.client, 'fromNodeRedis'],
    ['fromNodeRedisCluster', nodeRedis.sentinel, 'fromNodeRedisSentinel'],
    ['fromIoredis', nodeRedis.client, 'callBuffer'],
    ['fromIovalkey', {}, 'callBuffer'],
    ['fromNodeRedis', undefined, 'createClient'],
    ['fromIoredis', undefined, 'ioredis'],
    // Its commands by name, with answers in bytes, end the process.
    ['fromIoredis', { callBuffer: () => undefined, options: { enableAutoPipelining: true } }, 'without'],
  ] as const)('is refused at once by %s when it is another, with what to write', (name, client, said) => {
    const error = thrownBy(() => (shims[name] as Untyped)(client))
    expect(error).toEqual(WRONG)
    expect((error as Error).message).toContain(said)
  })

  test.each([undefined, null, ioredis, 'redis://127.0.0.1'])('is no connection of a store', (connection) => {
    expect(thrownBy(() => redisStore(connection as Untyped))).toEqual(WRONG)
  })
})

test.each([
  ['guarded() of nothing', () => guarded(undefined as Untyped)],
  ['guarded() of a store without marks', () => guarded({ get() {}, set() {} } as Untyped)],
  ['an option that is misspelt', () => guarded(new MemoryStore(), { deadline: 5 } as Untyped)],
  [
    'an option of the breaker that is misspelt',
    () => guarded(new MemoryStore(), { breaker: { failure: 5 } } as Untyped),
  ],
  ['a secret as text', () => new KeyRing('a1'.repeat(32) as Untyped)],
  ['no secrets', () => new KeyRing(undefined as Untyped)],
  ['one secret without an array', () => new KeyRing(randomBytes(32) as Untyped)],
])('%s is refused with a code', (_what, run) => {
  expect(thrownBy(run)).toEqual(WRONG)
})

test.each(['SERVER', 1.5, Number.NaN, Number.POSITIVE_INFINITY, null])('a mode of %s is refused', (mode) => {
  expect(thrownBy(() => new SslContext({ sessionCacheMode: mode as Untyped }))).toEqual(OUT_OF_RANGE)
})

test('unknown bits of a mode are kept, as in libssl', () => {
  const context = new SslContext({ sessionCacheMode: SessionCacheMode.SERVER | 0x8000_0000 })
  expect(context.getSessionCacheMode()).toBe(0x8000_0002)
})
