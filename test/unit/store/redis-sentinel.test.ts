import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSentinel } from 'redis'
import { expect, test } from 'vitest'
import { fromNodeRedisSentinel, redisStore } from '../../../src/store/redis-store.ts'
import { redisProblem, startRedis } from '../../tools/redis-server.ts'
import { endProcess, freePort, startProgram } from '../../tools/server-process.ts'

interface Sentinel {
  readonly port: number
  close(): Promise<void>
}

/** A sentinel on 127.0.0.1 that watches a master by the name `shop`. */
async function startSentinel(masterPort: number): Promise<Sentinel> {
  const directory = await mkdtemp(join(tmpdir(), 'sslctx-sentinel-'))
  const port = await freePort()
  const settings = [`port ${port}`, 'bind 127.0.0.1', `dir ${directory}`]
  const watched = `sentinel monitor shop 127.0.0.1 ${masterPort} 1`
  const path = join(directory, 'sentinel.conf')
  await writeFile(path, [...settings, watched, ''].join('\n'))
  const child = await startProgram('redis-server', [path, '--sentinel'], /\+monitor/)
  return {
    port,
    async close() {
      await endProcess(child)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

test.skipIf(redisProblem)('sessions and marks behind a real Sentinel, by node-redis', async () => {
  const server = await startRedis()
  const sentinel = await startSentinel(server.port)
  const client = createSentinel({
    name: 'shop',
    sentinelRootNodes: [{ host: '127.0.0.1', port: sentinel.port }],
  })
  await client.connect()
  try {
    const store = redisStore(fromNodeRedisSentinel(client, { subscriber: client }))
    const [key, value, mark] = [randomBytes(32), randomBytes(300), randomBytes(44)]
    const expiresAtMs = Date.now() + 600_000
    await store.set([{ key, value, expiresAtMs }])
    expect(Buffer.from((await store.get(key)) ?? [])).toEqual(value)
    expect(Buffer.from((await store.take(key)) ?? [])).toEqual(value)
    expect(await store.take(key)).toBeUndefined()
    let hear: (mark: Uint8Array) => void = () => undefined
    const pushed = new Promise<Uint8Array>((resolve) => {
      hear = resolve
    })
    await store.watchMarks?.(hear)
    await store.addMarks([{ mark, expiresAtMs }])
    expect(await store.getMarks()).toEqual([new Uint8Array(mark)])
    expect(Buffer.from(await pushed)).toEqual(mark)
    await store.close()
  } finally {
    await client.destroy()
    await sentinel.close()
    await server.close()
  }
})
