import { EventEmitter, errorMonitor } from 'node:events'
import { describe, expect, test } from 'vitest'
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

describe('a subscriber of ioredis', () => {
  /** It notes what it is told, and has subscribed at once. */
  class Subscriber extends EventEmitter {
    readonly asked: string[] = []
    async subscribe(channel: string): Promise<void> {
      this.asked.push(`subscribe ${channel}`)
      if (channel.startsWith('refused')) throw new Error('NOPERM')
    }
    async unsubscribe(channel: string): Promise<void> {
      this.asked.push(`unsubscribe ${channel}`)
    }
    publish(channel: string, message: string): void {
      this.emit('messageBuffer', Buffer.from(channel), Buffer.from(message))
    }
  }
  const watched = async (subscriber: Subscriber, prefix: string) => {
    const heard: string[] = []
    const store = redisStore(fromIoredis(new OfflineClient(), { subscriber }), { prefix })
    const end = await store.watchMarks?.((mark) => heard.push(Buffer.from(mark).toString()))
    return { heard, end }
  }

  test('has one listener, whatever the number of stores, and each hears of its own channel', async () => {
    const subscriber = new Subscriber()
    const stores = await Promise.all(
      Array.from({ length: 20 }, (_, index) => watched(subscriber, index % 2 === 0 ? 'even:' : 'odd:')),
    )
    expect(subscriber.listenerCount('messageBuffer')).toBe(1)
    subscriber.publish('even:marks', 'a')
    subscriber.publish('other:marks', 'b')
    expect(stores.map(({ heard }) => heard)).toEqual(stores.map((_, index) => (index % 2 === 0 ? ['a'] : [])))
  })

  test('is left by the last of them', async () => {
    const subscriber = new Subscriber()
    const [first, second] = [await watched(subscriber, 'a:'), await watched(subscriber, 'a:')]
    subscriber.asked.length = 0
    await first.end?.()
    await first.end?.()
    subscriber.publish('a:marks', 'x')
    expect([first.heard, second.heard, subscriber.asked]).toEqual([[], ['x'], []])
    await second.end?.()
    expect(subscriber.asked).toEqual(['unsubscribe a:marks'])
    expect(subscriber.listenerCount('messageBuffer')).toBe(0)
    const third = await watched(subscriber, 'a:')
    subscriber.publish('a:marks', 'y')
    expect(third.heard).toEqual(['y'])
  })

  test('that refuses keeps no listener', async () => {
    const subscriber = new Subscriber()
    await expect(watched(subscriber, 'refused:')).rejects.toThrow('SUBSCRIBE failed')
    expect(subscriber.listenerCount('messageBuffer')).toBe(0)
  })
})
