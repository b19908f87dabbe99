import { once } from 'node:events'
import { connect } from 'node:net'
import { memcachedStore } from '../../../src/store/memcached-store.ts'

/** What a taker is told first: the server, and the keys (in hex) that it takes, all at once, when it is told to go. */
interface TakerTask {
  readonly port: number
  readonly prefix: string
  readonly keys: readonly string[]
}

const [task] = await once(process, 'message')
const { port, prefix, keys } = task as TakerTask
const store = memcachedStore({ connect: () => connect(port, '127.0.0.1'), prefix })
await store.get(Uint8Array.of(0))
const go = once(process, 'message')
process.send?.('ready')
await go
const values = await Promise.all(keys.map(async (key) => store.take(Buffer.from(key, 'hex'))))
process.send?.(values.map((value) => value !== undefined))
await store.close()
process.disconnect()
