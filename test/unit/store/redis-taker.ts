import { Redis } from 'ioredis'
import { fromIoredis, redisStore } from '../../../src/store/redis-store.ts'

/** Takes the keys that its parent sends, one after the other, and answers with those that it won. */
const client = new Redis(Number(process.argv[2]), '127.0.0.1', { lazyConnect: true, maxRetriesPerRequest: 0 })
await client.connect()
const store = redisStore(fromIoredis(client))
process.once('message', (keys: readonly string[]) => void takeAll(keys))
process.send?.('ready')

async function takeAll(keys: readonly string[]): Promise<void> {
  const won: string[] = []
  for (const key of keys) if ((await store.take(Buffer.from(key, 'hex'))) !== undefined) won.push(key)
  process.send?.(won)
  client.disconnect()
  process.disconnect()
}
