import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { open } from 'lmdb'
import { MemcachedServer } from '../../../src/store/memcached-connection.ts'
import type { EngineAddress, EngineName } from '../../tools/engine-store.ts'
import { startMemcached } from '../../tools/memcached-server.ts'
import { startRedis } from '../../tools/redis-server.ts'
import { startProxy } from './delaying-proxy.ts'
import type { Trouble } from './messages.ts'

/** What lies in the engine is replaced by this. `values` are those of all entries, at this moment. */
export type Spoil = (index: number, values: readonly Buffer[]) => Uint8Array

/** A real engine, and what can happen to it. */
export interface Engine {
  readonly name: EngineName
  /** For the servers. */
  readonly address: EngineAddress
  /** One by one, as far as they are listed. */
  deleteAll(): Promise<void>
  flush(): Promise<void>
  spoil(spoil: Spoil): Promise<void>
  kill(): Promise<void>
  restart(): Promise<void>
  trouble(trouble: Trouble): Promise<void>
  close(): Promise<void>
}

/** The processes of the servers: an embedded engine has no other, and some trouble is theirs. */
export interface EmbeddingServers {
  kill(): Promise<void>
  restart(): Promise<void>
  trouble(trouble: Trouble): void
}

const SLOW_MS = 10_000

export function startEngine(name: EngineName, servers: EmbeddingServers): Promise<Engine> {
  if (name === 'redis') return startRedisEngine(servers)
  return name === 'memcached' ? startMemcachedEngine(servers) : startLmdbEngine(servers)
}

async function proxied(
  enginePort: number,
): Promise<Pick<Engine, 'trouble'> & { readonly port: number; close(): Promise<void> }> {
  const proxy = await startProxy(enginePort)
  let isOpen = true
  return {
    port: proxy.port,
    async trouble(trouble) {
      proxy.delay(trouble === 'slow' ? SLOW_MS : 0)
      const shouldBeOpen = trouble !== 'unreachable'
      if (isOpen !== shouldBeOpen) await (shouldBeOpen ? proxy.open() : proxy.shut())
      isOpen = shouldBeOpen
    },
    async close() {
      if (isOpen) await proxy.shut()
    },
  }
}

async function startRedisEngine(servers: EmbeddingServers): Promise<Engine> {
  const server = await startRedis()
  const proxy = await proxied(server.port)
  const use = async (run: (redis: Redis) => Promise<unknown>): Promise<void> => {
    const redis = new Redis(server.port, '127.0.0.1', { lazyConnect: true })
    redis.on('error', () => undefined)
    await redis.connect()
    await run(redis)
    redis.disconnect()
  }
  return {
    name: 'redis',
    address: { engine: 'redis', port: proxy.port },
    deleteAll: () =>
      use(async (redis) => {
        for (const key of await redis.keysBuffer('*')) await redis.del(key)
      }),
    flush: () => use((redis) => redis.flushall()),
    spoil: (spoil) =>
      use(async (redis) => {
        const keys = await redis.keysBuffer('*')
        if (keys.length === 0) return
        const values = (await redis.mgetBuffer(keys)).map((value) => value ?? Buffer.alloc(0))
        const pipeline = redis.pipeline()
        for (const [index, key] of keys.entries())
          pipeline.set(key, Buffer.from(spoil(index, values)), 'KEEPTTL', 'XX')
        await pipeline.exec()
      }),
    kill: () => server.kill(),
    restart: () => server.restart(),
    async trouble(trouble) {
      await proxy.trouble(trouble)
      // NOPERM to all that writes.
      await use((redis) => redis.acl('SETUSER', 'default', trouble === 'refusing' ? '-@write' : '+@all'))
      servers.trouble(trouble === 'rejecting-late' ? trouble : 'none')
    },
    async close() {
      await proxy.close()
      await server.close()
    },
  }
}

async function startMemcachedEngine(servers: EmbeddingServers): Promise<Engine> {
  const server = await startMemcached()
  const proxy = await proxied(server.port)
  const limits = { answerTimeoutMs: 10_000, maxValueBytes: 1024 * 1024 }
  const admin = new MemcachedServer(() => server.connect(), limits)
  const read = (key: string): Promise<Buffer> =>
    admin.use(0, async (connection) => {
      const answer = await connection.send({ verb: 'mg', key, flags: 'v', answers: ['VA', 'EN'] })
      return Buffer.from(answer.value ?? [])
    })
  const replace = (key: string, value: Uint8Array): Promise<unknown> =>
    admin.use(0, (connection) =>
      connection.send({ verb: 'ms', key, value, flags: 'MR T3600', answers: ['HD', 'NS', 'NF'] }),
    )
  const listed = async (): Promise<string[]> =>
    memcachedKeys(await say(server.port, 'lru_crawler metadump all'))
  return {
    name: 'memcached',
    address: { engine: 'memcached', port: proxy.port },
    async deleteAll() {
      for (const key of await listed())
        await admin.use(0, (connection) =>
          connection.send({ verb: 'md', key, flags: '', answers: ['HD', 'NF'] }),
        )
    },
    async flush() {
      await say(server.port, 'flush_all')
    },
    async spoil(spoil) {
      const keys = await listed()
      const values = await Promise.all(keys.map(read))
      await Promise.all(keys.map((key, index) => replace(key, spoil(index, values))))
    },
    kill: () => server.kill(),
    restart: () => server.restart(),
    async trouble(trouble) {
      await proxy.trouble(trouble)
      servers.trouble(trouble === 'rejecting-late' || trouble === 'refusing' ? trouble : 'none')
    },
    async close() {
      await admin.close()
      await proxy.close()
      await server.kill()
    },
  }
}

/** The answer to one line of text, on a connection of its own. */
async function say(port: number, line: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${line}\r\n`)
  let answer = ''
  for await (const chunk of socket) {
    answer += (chunk as Buffer).toString('latin1')
    if (/(OK|END|ERROR.*|BUSY.*)\r\n$/.test(answer)) break
  }
  socket.destroy()
  if (/^(CLIENT_ERROR|ERROR)/.test(answer)) throw new Error(`memcached said ${answer}`)
  return answer
}

/** metadump escapes the bytes of keys as in URLs; the meta commands want them in base64. */
function memcachedKeys(dump: string): string[] {
  return [...dump.matchAll(/^key=(\S+)/gm)].map(([, escaped = '']) => {
    const bytes = escaped.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    return Buffer.from(bytes, 'latin1').toString('base64')
  })
}

async function startLmdbEngine(servers: EmbeddingServers): Promise<Engine> {
  const folder = await mkdtemp(join(tmpdir(), 'sslctx-chaos-'))
  const path = join(folder, 'sessions')
  const root = open({ path })
  const binary = { encoding: 'binary', keyEncoding: 'binary', compression: false } as const
  const sessions = root.openDB<Buffer, Buffer>({ name: 'sslctx-sessions', ...binary, useVersions: false })
  const index = root.openDB<Buffer, Buffer>({ name: 'sslctx-expiry', ...binary, useVersions: true })
  const entries = (): { key: Buffer; value: Buffer }[] => {
    root.resetReadTxn()
    return [...sessions.getRange()].map(({ key, value }) => ({
      key: Buffer.from(key),
      value: Buffer.from(value),
    }))
  }
  return {
    name: 'lmdb',
    address: { engine: 'lmdb', path },
    async deleteAll() {
      await root.transaction(() => {
        for (const key of [...sessions.getKeys()]) void sessions.remove(key)
        for (const key of [...index.getKeys()]) void index.remove(key)
      })
    },
    async flush() {
      await Promise.all([sessions.clearAsync(), index.clearAsync()])
    },
    async spoil(spoil) {
      const all = entries()
      const values = all.map(({ value }) => value)
      await root.transaction(() => {
        for (const [place, { key }] of all.entries())
          if (sessions.doesExist(key)) void sessions.put(key, Buffer.from(spoil(place, values)))
      })
    },
    kill: () => servers.kill(),
    restart: () => servers.restart(),
    async trouble(trouble) {
      servers.trouble(trouble)
    },
    async close() {
      await root.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What garbage is in an engine that somebody else writes to as well. */
export function garbage({
  random,
  foreign,
  der,
}: {
  readonly random: (length: number) => Uint8Array
  /** Sealed by another key ring. */
  readonly foreign: Uint8Array
  /** A session that nobody has sealed. */
  readonly der: Uint8Array
}): Spoil {
  const kinds: readonly Spoil[] = [
    (place, values) => random(values[place]?.length ?? 1),
    (place, values) => values[(place + 1) % values.length] ?? der,
    () => foreign,
    () => der,
    () => random(1),
  ]
  return (place, values) => (kinds[place % kinds.length] ?? kinds[0]!)(place, values)
}
