import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { createSentinel } from 'redis'
import { afterEach, expect, vi } from 'vitest'
import type { SessionStore } from '../../src/session/session-store.ts'
import { fromIoredis, fromNodeRedisSentinel, redisStore } from '../../src/store/redis-store.ts'
import { missingCommand, peerTest } from '../peers.ts'
import { freePort, redisProblem, startRedis } from './redis-server.ts'

const sentinelProblem = redisProblem ?? missingCommand('redis-sentinel', '--version')

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A master, its replica, and a Sentinel that can make the replica the master. */
async function startSentinel(): Promise<{ readonly port: number; failOver(): Promise<void> }> {
  const master = await startRedis()
  cleanups.push(() => master.close())
  const replica = await startRedis('--replicaof', `127.0.0.1 ${master.port}`)
  cleanups.push(() => replica.close())
  const directory = await mkdtemp(join(tmpdir(), 'sslctx-sentinel-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))
  const port = await freePort()
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor shop 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds shop 1000',
    'sentinel failover-timeout shop 5000',
  ]
  await writeFile(join(directory, 'sentinel.conf'), `${settings.join('\n')}\n`)
  const child = spawn('redis-sentinel', [join(directory, 'sentinel.conf')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  cleanups.push(() => end(child))
  await said(child, '+slave slave')
  const admin = new Redis(port, '127.0.0.1')
  cleanups.push(() => admin.disconnect())
  return {
    port,
    async failOver() {
      const switched = said(child, '+switch-master')
      await vi.waitFor(() => admin.call('SENTINEL', 'FAILOVER', 'shop'), { timeout: 20_000, interval: 200 })
      await switched
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

function said(child: ChildProcess, text: string): Promise<void> {
  const { stdout } = child
  if (stdout === null) throw new Error('its output is piped')
  return new Promise((resolve) => {
    createInterface({ input: stdout }).on('line', (line) => {
      if (line.includes(text)) resolve()
    })
  })
}

const entryOf = (key: Uint8Array) => ({ key, value: Uint8Array.of(1, 2), expiresAtMs: Date.now() + 60_000 })

/** Writes, reads and takes; then the master is another, which the client has to find while all its connections stay open. */
async function check(store: SessionStore, failOver: () => Promise<void>): Promise<void> {
  const keys = [randomBytes(32), randomBytes(32)]
  await store.set(keys.map(entryOf))
  const [taken = new Uint8Array(), left = new Uint8Array()] = keys
  expect(await store.take(taken)).toEqual(Uint8Array.of(1, 2))
  expect(await store.get(left)).toEqual(Uint8Array.of(1, 2))
  const pushed: Uint8Array[] = []
  const stop = await store.watchMarks?.((mark) => pushed.push(mark))
  await store.addMarks([{ mark: Uint8Array.of(7), expiresAtMs: Number.POSITIVE_INFINITY }])
  if (stop !== undefined) await vi.waitFor(() => expect(pushed).toEqual([Uint8Array.of(7)]))
  await stop?.()
  await failOver()
  const again = randomBytes(32)
  await vi.waitFor(async () => store.set([entryOf(again)]), { timeout: 30_000, interval: 100 })
  expect(await store.take(again)).toEqual(Uint8Array.of(1, 2))
  expect(await store.getMarks()).toEqual([Uint8Array.of(7)])
}

peerTest(
  'a sentinel of node-redis finds the master, and its successor',
  sentinelProblem,
  async () => {
    const { port, failOver } = await startSentinel()
    const sentinel = createSentinel({ name: 'shop', sentinelRootNodes: [{ host: '127.0.0.1', port }] })
    sentinel.on('error', () => undefined)
    await sentinel.connect()
    cleanups.push(() => sentinel.destroy())
    await check(redisStore(fromNodeRedisSentinel(sentinel, { subscriber: sentinel })), failOver)
  },
  90_000,
)

peerTest(
  'ioredis leaves a master that has become read-only, as it is told',
  sentinelProblem,
  async () => {
    const { port, failOver } = await startSentinel()
    const refused: string[] = []
    const client = new Redis({
      sentinels: [{ host: '127.0.0.1', port }],
      name: 'shop',
      lazyConnect: true,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    })
    client.on('error', () => undefined)
    await client.connect()
    cleanups.push(() => client.disconnect())
    const store = redisStore(fromIoredis(client))
    const noting: SessionStore = {
      ...store,
      set: async (entries) => {
        try {
          await store.set(entries)
        } catch (error) {
          refused.push((error as NodeJS.ErrnoException).code ?? '')
          throw error
        }
      },
    }
    await check(noting, failOver)
    expect(refused.filter((code) => code === 'ERR_SESSION_STORE').length).toBeLessThan(300)
  },
  90_000,
)

peerTest('a Redis that is full refuses what it cannot keep, and answers', redisProblem, async () => {
  const server = await startRedis('--maxmemory', '1500kb', '--maxmemory-policy', 'noeviction')
  cleanups.push(() => server.close())
  const client = new Redis(server.port, '127.0.0.1')
  cleanups.push(() => client.disconnect())
  const store = redisStore(fromIoredis(client))
  const keys = Array.from({ length: 1000 }, () => randomBytes(32))
  const results = await Promise.allSettled(
    keys.map(async (key) => store.set([{ ...entryOf(key), value: randomBytes(2000) }])),
  )
  const refused = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as unknown] : [],
  )
  expect(refused.length).toBeGreaterThan(0)
  for (const error of refused) expect(error).toMatchObject({ isRefusal: true })
  expect(await store.get(randomBytes(32))).toBeUndefined()
  await store.delete(randomBytes(32))
})
