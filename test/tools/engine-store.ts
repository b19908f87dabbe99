import { connect } from 'node:net'
import { Redis } from 'ioredis'
import { open } from 'lmdb'
import type { SessionStore } from '../../src/session/session-store.ts'
import { lmdbStore } from '../../src/store/lmdb-store.ts'
import { memcachedStore } from '../../src/store/memcached-store.ts'
import { fromIoredis, redisStore } from '../../src/store/redis-store.ts'

export const ENGINES = ['redis', 'memcached', 'lmdb'] as const
export type EngineName = (typeof ENGINES)[number]

/** Where an engine is, for a process that opens it. */
export type EngineAddress =
  | { readonly engine: 'redis' | 'memcached'; readonly port: number }
  | { readonly engine: 'lmdb'; readonly path: string }

export interface EngineStore {
  readonly store: SessionStore
  close(): Promise<void>
}

/** As the shim of ioredis wants it: nothing is sent twice, and nothing piles up in the client. */
export const REDIS_OPTIONS = {
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  lazyConnect: true,
  retryStrategy: (): number => 100,
}

/** The bare adapter: neither sealed nor guarded. */
export async function openEngineStore(address: EngineAddress): Promise<EngineStore> {
  if (address.engine === 'lmdb') {
    const root = open({ path: address.path })
    return { store: lmdbStore(root), close: () => root.close() }
  }
  if (address.engine === 'memcached') {
    const store = memcachedStore({
      connect: () => connect({ port: address.port, host: '127.0.0.1', noDelay: true }),
    })
    return { store, close: async () => store.close() }
  }
  const client = new Redis(address.port, '127.0.0.1', REDIS_OPTIONS)
  client.on('error', () => undefined)
  await client.connect()
  return { store: redisStore(fromIoredis(client)), close: async () => client.disconnect() }
}
