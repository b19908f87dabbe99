import { EventEmitter, errorMonitor } from 'node:events'
import { expect, test } from 'vitest'
import { guarded } from '../../../src/index.ts'
import { fromIoredis, redisStore } from '../../../src/store/redis-store.ts'

/** A client that has lost its connection: it tells its listeners why, and its callers that it is so. */
class OfflineClient extends EventEmitter {
  async callBuffer(): Promise<never> {
    throw new Error("Stream isn't writeable and enableOfflineQueue options is false")
  }
}

test('a client without a connection fails with the code of what has ended it, and its listeners hear as before', async () => {
  const client = new OfflineClient()
  const heard: unknown[] = []
  client.on('error', (error) => heard.push(error))
  const guard = guarded(redisStore(fromIoredis(client)))
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' })
  client.emit('error', refused)
  await expect(guard.get(new Uint8Array(32))).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
  expect(guard.stats.lastFailure).toMatchObject({
    operation: 'get',
    error: { cause: { code: 'ECONNREFUSED' } },
  })
  expect(heard).toEqual([refused])
})

test('whoever does not listen to the errors of a client is still ended by them', () => {
  const client = new OfflineClient()
  fromIoredis(client)
  expect(() => client.emit('error', new Error('nobody listens'))).toThrow('nobody listens')
})

test('stores that have one client watch it once', () => {
  const client = new OfflineClient()
  for (let store = 0; store < 20; store++) fromIoredis(client)
  expect(client.listenerCount(errorMonitor)).toBe(1)
})
