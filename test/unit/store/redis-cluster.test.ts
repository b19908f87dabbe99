import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { redisStore } from '../../../src/store/redis-store.ts'
import { storeConformance } from '../../../src/testing/index.ts'
import { peerTest } from '../../tools/peers.ts'
import {
  type OpenConnection,
  type RedisCluster,
  redisClusterClients,
  redisClusterProblem,
  startRedisCluster,
} from '../../tools/redis-server.ts'

let cluster: RedisCluster
beforeAll(async () => {
  if (redisClusterProblem === undefined) cluster = await startRedisCluster()
})
afterAll(() => cluster?.close())

describe.each(redisClusterClients)('a Redis Cluster of three nodes, by $name', ({ open }) => {
  let client: OpenConnection
  beforeAll(async () => {
    if (redisClusterProblem === undefined) client = await open(cluster.ports)
  })
  afterAll(() => client?.close())

  peerTest(
    'finds the node of any key, its bytes whatever they are, at once',
    redisClusterProblem,
    async () => {
      const store = redisStore(client.connection)
      const keys = [...Array(100)].map((_, index) =>
        index % 2
          ? withoutBraces(32)
          : Buffer.concat([withoutBraces(8), Buffer.from('{'), withoutBraces(8), Buffer.from('}')]),
      )
      // The first command to each node opens the connection, and may be told of the nodes.
      for (const key of keys) await store.get(key)
      const before = await cluster.countErrors('MOVED')
      await store.set(keys.map((key) => ({ key, value: key, expiresAtMs: Date.now() + 60_000 })))
      for (const key of keys) expect(await store.get(key)).toEqual(new Uint8Array(key))
      for (const key of keys) expect(await store.take(key)).toEqual(new Uint8Array(key))
      for (const key of keys) await store.delete(key)
      expect(await cluster.countErrors('MOVED')).toBe(before)
    },
  )

  describe('while the slot of all its keys moves', () => {
    let moving: ReturnType<RedisCluster['keepMoving']>
    let asked = 0
    beforeAll(async () => {
      if (redisClusterProblem !== undefined) return
      asked = await cluster.countErrors('ASK')
      moving = cluster.keepMoving('{tls}')
    })
    const openStore = (name: string) => redisStore(client.connection, { prefix: `{tls}:${name}:` })
    for (const { title, run } of storeConformance({ open: openStore, randomBytes }))
      peerTest(title, redisClusterProblem, run)

    peerTest('has moved, and has told clients to ask the other node', redisClusterProblem, async () => {
      const { moves, keysMoved } = await moving.stop()
      expect(moves).toBeGreaterThan(0)
      expect(keysMoved).toBeGreaterThan(100)
      expect(await cluster.countErrors('ASK')).toBeGreaterThan(asked)
    })
  })
})

/** cluster-key-slot, which ioredis and iovalkey use, gets `{}` in mid-key wrong; a redirection cures it. */
function withoutBraces(length: number): Buffer {
  return randomBytes(length).map((byte) => byte | 0x80) as Buffer
}
