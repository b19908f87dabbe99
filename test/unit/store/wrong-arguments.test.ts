import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster, createSentinel } from 'redis'
import { afterAll, describe, expect, test } from 'vitest'
import {
  guarded,
  KeyRing,
  MemoryStore,
  Revocations,
  SessionCacheMode,
  SslContext,
  SslSession,
  sealed,
  storeCallbacks,
} from '../../../src/index.ts'
import { VerifyMode } from '../../../src/model.ts'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'
import { memcachedStore } from '../../../src/store/memcached-store.ts'
import {
  fromIoredis,
  fromIovalkey,
  fromNodeRedis,
  fromNodeRedisCluster,
  fromNodeRedisSentinel,
  redisStore,
} from '../../../src/store/redis-store.ts'

/** As in JavaScript, where no type stands in the way. */
// biome-ignore lint/suspicious/noExplicitAny: that is the point
type Anything = any
const SECRET = randomBytes(32)
const ring = new KeyRing([SECRET])
const memory = new MemoryStore()
const context = new SslContext()
const revocations = new Revocations(memory, ring)
const ioredis = new Redis({ lazyConnect: true })
const ioCluster = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true })
const nodeRedis = createClient()
const cluster = createCluster({ rootNodes: [] })
const sentinel = createSentinel({ name: 'shop', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] })
afterAll(() => {
  ioredis.disconnect()
  ioCluster.disconnect()
  return revocations.close()
})

const any = (value: unknown): Anything => value

const wrong: Readonly<Record<string, () => unknown>> = {
  'guarded()': () => any(guarded)(),
  'guarded of no store': () => guarded(any({ get: () => undefined })),
  'guarded with a misspelt option': () => guarded(memory, any({ deadline: 100 })),
  'guarded with a misspelt option of its breaker': () => guarded(memory, any({ breaker: { failure: 1 } })),
  'guarded with no function': () => guarded(memory, any({ onEvent: 'log' })),
  'sealed without a ring': () => any(sealed)(memory),
  'sealed with its arguments swapped': () => sealed(any(ring), any(memory)),
  'sealed with an unknown option': () => sealed(memory, ring, any({ clock: Date.now })),
  'storeCallbacks()': () => any(storeCallbacks)(),
  'storeCallbacks of a promise': () => storeCallbacks(any(Promise.resolve(memory))),
  'storeCallbacks with an unknown option': () => storeCallbacks(memory, any({ plainText: true })),
  'storeCallbacks with a word for a boolean': () => storeCallbacks(memory, any({ plaintext: 'yes' })),
  'MemoryStore of a word': () => new MemoryStore(any({ maxSessions: 'many' })),
  'MemoryStore of an unknown option': () => new MemoryStore(any({ max: 1 })),
  'KeyRing of a text': () => new KeyRing(any(SECRET.toString('hex'))),
  'KeyRing of a secret that is not in an array': () => new KeyRing(any(SECRET)),
  'KeyRing()': () => new (any(KeyRing))(),
  'KeyRing of an unknown option': () => new KeyRing([SECRET], any({ period: 1 })),
  'Revocations()': () => new (any(Revocations))(),
  'Revocations without a ring': () => new (any(Revocations))(memory),
  'Revocations of an unknown option': () => new Revocations(memory, ring, any({ maxStale: 1 })),
  'revokeClient of a number': () => revocations.revokeClient(any(7)),
  'revokeServerName of a number': () => revocations.revokeServerName(any(7)),
  'revokeServerName of a URL': () => revocations.revokeServerName('https://shop.example/'),
  'revokeServerName of a name with a port': () => revocations.revokeServerName('shop.example:443'),
  'revokeServerName of a wildcard': () => revocations.revokeServerName('*.shop.example'),
  'revokeServerName of a name with white space': () => revocations.revokeServerName(' shop.example'),
  'revokeServerName of what IDNA does not know': () => revocations.revokeServerName('\u200d.example'),
  'revokeAll with an unknown option': () => revocations.revokeAll(any({ before: 1 })),
  'redisStore()': () => any(redisStore)(),
  'redisStore of a client': () => redisStore(any(ioredis), any({ prefixes: '' })),
  'redisStore of a promise': () => redisStore(any(Promise.resolve())),
  'redisStore of a number as prefix': () => redisStore(fromIoredis(ioredis), any({ prefix: 1 })),
  'fromIoredis()': () => any(fromIoredis)(),
  'fromIoredis of node-redis': () => fromIoredis(any(nodeRedis)),
  'fromIovalkey of node-redis': () => fromIovalkey(any(nodeRedis)),
  'fromIoredis with no subscriber': () => fromIoredis(ioredis, any({ subscriber: {} })),
  'fromNodeRedis()': () => any(fromNodeRedis)(),
  'fromNodeRedis of ioredis': () => fromNodeRedis(any(ioredis)),
  'fromNodeRedis of a cluster': () => fromNodeRedis(any(cluster)),
  'fromNodeRedis of a sentinel': () => fromNodeRedis(any(sentinel)),
  'fromNodeRedisCluster of a client': () => fromNodeRedisCluster(any(nodeRedis)),
  'fromNodeRedisSentinel of a client': () => fromNodeRedisSentinel(any(nodeRedis)),
  'memcachedStore()': () => any(memcachedStore)(),
  'memcachedStore without connect': () => memcachedStore(any({})),
  'memcachedStore of a socket': () => memcachedStore(any({ connect: new net.Socket() })),
  'memcachedStore of an unknown option': () => memcachedStore(any({ connect: net.connect, timeout: 1 })),
  'lmdbStore()': () => any(lmdbStore)(),
  'lmdbStore of a path': () => lmdbStore(any('/var/cache')),
  'SslContext with an unknown option': () => new SslContext(any({ sessionTimeoutSec: 1 })),
  'SslContext with no function': () => new SslContext(any({ getSessionCallback: memory })),
  'SslContext of a number as session id context': () => new SslContext(any({ sessionIdContext: 7 })),
  'setVerifyMode of a word': () => context.setVerifyMode(any('PEER')),
  'setOptions of NaN': () => context.setOptions(Number.NaN),
  'clearOptions()': () => any(context).clearOptions(),
  'addSession of bytes': () => context.addSession(any(randomBytes(10))),
  'removeSession()': () => any(context).removeSession(),
  'subscribe()': () => any(context).subscribe(),
  'SslSession.fromDer of a text': () => SslSession.fromDer(any('00')),
  'SslSession.fromPem of bytes': () => SslSession.fromPem(any(randomBytes(3))),
}

describe('a wrong argument', () => {
  test.each(Object.entries(wrong))('%s is refused, by its code and without its value', async (_, call) => {
    const error = await Promise.resolve()
      .then(call)
      .then(() => undefined)
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'ERR_ARGUMENT_INVALID' })
    const { message } = error as Error
    expect(message).toMatch(/must be|has no option|needs the option|goes to/)
    expect(message).not.toContain(SECRET.toString('hex').slice(0, 8))
  })
})

test('unknown bits of a mode are kept, as in libssl', () => {
  expect(new SslContext({ sessionCacheMode: SessionCacheMode.SERVER | 0x8000 }).getSessionCacheMode()).toBe(
    0x8002,
  )
  context.setVerifyMode(VerifyMode.PEER | 0x40)
  expect(context.getVerifyMode()).toBe(0x41)
})

test('the right clients are taken', () => {
  for (const connection of [
    fromIoredis(ioredis, { subscriber: ioredis }),
    fromIoredis(ioCluster, { subscriber: ioCluster }),
    fromNodeRedis(nodeRedis, { subscriber: nodeRedis }),
    fromNodeRedisCluster(cluster, { subscriber: cluster }),
    fromNodeRedisSentinel(sentinel, { subscriber: sentinel }),
  ])
    expect(redisStore(connection).watchMarks).toBeTypeOf('function')
})
