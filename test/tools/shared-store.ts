import { EventEmitter, once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { MemoryStore, type SessionStore } from '../../src/index.ts'
import type { CallbackStore } from '../../src/model.ts'

/** One line of JSON each way; bytes are base64. */
type Request =
  | { readonly id: number; readonly call: 'get' | 'take' | 'delete'; readonly key: string }
  | {
      readonly id: number
      readonly call: 'set'
      readonly entries: readonly {
        readonly key: string
        readonly value: string
        readonly expiresAtMs: number
      }[]
    }
interface Reply {
  readonly id: number
  readonly value?: string
}
type Call = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never

const toText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const toBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))

export interface StoreServer {
  readonly port: number
  /** Resolves when the store holds something under the key. */
  written(key: Uint8Array): Promise<void>
  close(): void
}

/** A memory store behind a loopback port, for tests in which several processes share one external cache. */
export async function startStoreServer(): Promise<StoreServer> {
  const store = new MemoryStore({ maxSessions: 1_000_000 })
  // As many wait as there are clients.
  const writes = new EventEmitter().setMaxListeners(0)
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    createInterface({ input: socket }).on('line', (line) => {
      const request = JSON.parse(line) as Request
      const value = answer(store, request)
      if (request.call === 'set') for (const { key } of request.entries) writes.emit(key)
      const reply: Reply = { id: request.id, ...(value && { value: toText(value) }) }
      socket.write(`${JSON.stringify(reply)}\n`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async written(key) {
      if (store.get(key) === undefined) await once(writes, toText(key))
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function answer(store: MemoryStore, request: Request): Uint8Array | undefined {
  if (request.call === 'set') {
    store.set(
      request.entries.map(({ key, value, expiresAtMs }) => ({
        key: toBytes(key),
        value: toBytes(value),
        expiresAtMs,
      })),
    )
    return undefined
  }
  if (request.call === 'delete') {
    store.delete(toBytes(request.key))
    return undefined
  }
  return store[request.call](toBytes(request.key))
}

/** The other end of {@link startStoreServer}: does not keep its process alive. */
export async function connectStore(port: number): Promise<CallbackStore & Pick<SessionStore, 'close'>> {
  const socket = net.connect(port, '127.0.0.1').unref()
  await once(socket, 'connect')
  const waiting = new Map<
    number,
    { resolve(value: Uint8Array | undefined): void; reject(error: Error): void }
  >()
  let lastId = 0
  createInterface({ input: socket }).on('line', (line) => {
    const { id, value } = JSON.parse(line) as Reply
    waiting.get(id)?.resolve(value === undefined ? undefined : toBytes(value))
    waiting.delete(id)
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('the store has gone'))
    waiting.clear()
  })
  const call = (request: Call): Promise<Uint8Array | undefined> =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) return reject(new Error('the store has gone'))
      const id = ++lastId
      waiting.set(id, { resolve, reject })
      socket.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  return {
    get: (key) => call({ call: 'get', key: toText(key) }),
    take: (key) => call({ call: 'take', key: toText(key) }),
    async delete(key) {
      await call({ call: 'delete', key: toText(key) })
    },
    async set(entries) {
      await call({
        call: 'set',
        entries: entries.map(({ key, value, expiresAtMs }) => ({
          key: toText(key),
          value: toText(value),
          expiresAtMs,
        })),
      })
    },
    close: () => void socket.end(),
  }
}
