import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { fromIoredis, redisStore } from '../../../src/store/redis-store.ts'
import { storeConformance } from '../../../src/testing/index.ts'
import { peerTest } from '../../tools/peers.ts'
import {
  type OpenConnection,
  type RedisServer,
  redisClients,
  redisProblem,
  startRedis,
} from '../../tools/redis-server.ts'
import { forkScript, nextMessage } from '../../tools/server-process.ts'

const MINUTE_MS = 60_000
const later = (): number => Date.now() + MINUTE_MS

let server: RedisServer
let withoutGetdel: RedisServer
let admin: Redis
beforeAll(async () => {
  if (redisProblem !== undefined) return
  server = await startRedis()
  withoutGetdel = await startRedis('--rename-command', 'GETDEL', '')
  admin = new Redis(server.port, '127.0.0.1')
})
afterAll(async () => {
  admin?.disconnect()
  await server?.close()
  await withoutGetdel?.close()
})

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function started(...settings: readonly string[]): Promise<RedisServer> {
  const own = await startRedis(...settings)
  cleanups.push(() => own.close())
  return own
}

describe.each(redisClients)('the Redis store, by $name', ({ open }) => {
  let client: OpenConnection
  let old: OpenConnection
  beforeAll(async () => {
    if (redisProblem !== undefined) return
    client = await open(server.port)
    old = await open(withoutGetdel.port)
  })
  afterAll(() => {
    client?.close()
    old?.close()
  })

  async function connect(port: number): Promise<OpenConnection> {
    const connection = await open(port)
    cleanups.push(() => connection.close())
    return connection
  }

  const openStore = (prefix: string): SessionStore => redisStore(client.connection, { prefix })
  for (const { title, run } of storeConformance({ open: openStore, randomBytes }))
    peerTest(title, redisProblem, run)

  describe('on a server without GETDEL', () => {
    const openOld = (prefix: string): SessionStore => redisStore(old.connection, { prefix })
    for (const { title, run } of storeConformance({ open: openOld, randomBytes }))
      peerTest(title, redisProblem, run)

    peerTest('learns once that it takes a script', redisProblem, async () => {
      const proxy = await startProxy(withoutGetdel.port)
      const store = redisStore((await connect(proxy.port)).connection)
      proxy.commands.length = 0
      for (let round = 0; round < 3; round++) await store.take(randomBytes(32))
      expect(proxy.commands).toEqual(['getdel', 'eval', 'eval', 'eval'])
    })
  })

  const calls: readonly [string, readonly string[], (store: SessionStore) => unknown][] = [
    ['get', ['get'], (store) => store.get(randomBytes(32))],
    ['set', ['set', 'set', 'del'], (store) => store.set([entry(), entry(), { ...entry(), expiresAtMs: 1 }])],
    ['take', ['getdel'], (store) => store.take(randomBytes(32))],
    ['delete', ['del'], (store) => store.delete(randomBytes(32))],
    ['getMarks', ['zrangebyscore'], (store) => store.getMarks()],
    [
      'addMarks',
      ['zadd', 'zremrangebyscore', 'publish', 'publish'],
      (store) => store.addMarks([mark(), mark()]),
    ],
  ]
  for (const [call, commands, run] of calls)
    peerTest(`${call} is one round trip: all is sent before anything is answered`, redisProblem, async () => {
      const proxy = await startProxy(server.port)
      const store = redisStore((await connect(proxy.port)).connection)
      proxy.commands.length = 0
      proxy.hold()
      const done = run(store)
      await proxy.untilSent(commands.length)
      proxy.release()
      await done
      expect(proxy.commands).toEqual(commands)
    })

  for (const [call, commands, run] of calls)
    peerTest(`${call} rejects when its answer is lost, and is not sent again`, redisProblem, async () => {
      const proxy = await startProxy(server.port)
      const connection = await connect(proxy.port)
      const store = redisStore(connection.connection)
      proxy.commands.length = 0
      proxy.loseAnswer()
      const ready = connection.nextReady()
      await expect(run(store)).rejects.toThrow(SessionStoreError)
      await ready
      await admin.ping()
      await store.get(randomBytes(32))
      const sent = proxy.commands.filter((command) => commands.includes(command))
      expect(sent).toEqual(call === 'get' ? ['get', 'get'] : commands)
    })

  peerTest('sessions expire by the server, after the time that is left', redisProblem, async () => {
    const prefix = `${randomBytes(8).toString('hex')}:`
    const store = openStore(prefix)
    await store.set([
      { key: Buffer.from('lasting'), value: Buffer.from('v'), expiresAtMs: Number.POSITIVE_INFINITY },
      { key: Buffer.from('soon'), value: Buffer.from('v'), expiresAtMs: Date.now() + 0.5 },
      { key: Buffer.from('later'), value: Buffer.from('v'), expiresAtMs: Date.now() + 5 * MINUTE_MS },
    ])
    expect(await admin.pttl(`${prefix}s:lasting`)).toBe(-1)
    const left = await admin.pttl(`${prefix}s:later`)
    expect(left).toBeGreaterThan(4 * MINUTE_MS)
    expect(left).toBeLessThanOrEqual(5 * MINUTE_MS)
  })

  peerTest(
    'rejects an expiry that is no number rather than keep the session for ever',
    redisProblem,
    async () => {
      const entries = [{ ...entry(), expiresAtMs: Number.NaN }]
      await expect(redisStore(client.connection).set(entries)).rejects.toThrow('redis SET failed')
    },
  )

  peerTest(
    'all marks are in one sorted set, and expired ones leave it with the next',
    redisProblem,
    async () => {
      const prefix = `${randomBytes(8).toString('hex')}:`
      const store = openStore(prefix)
      const lasting = { mark: randomBytes(44), expiresAtMs: Number.POSITIVE_INFINITY }
      await admin.zadd(`${prefix}marks`, Date.now() - MINUTE_MS, 'expired')
      expect(await store.getMarks()).toBeUndefined()
      await store.addMarks([lasting, mark()])
      expect(await admin.zcard(`${prefix}marks`)).toBe(2)
      expect(await admin.zscore(`${prefix}marks`, lasting.mark)).toBe('inf')
      expect(await admin.keys(`${prefix}*`)).toEqual([`${prefix}marks`])
    },
  )

  peerTest('no key that a client can ask for reaches the marks', redisProblem, async () => {
    const store = openStore(`${randomBytes(8).toString('hex')}:`)
    const { mark: bytes, expiresAtMs } = mark()
    await store.addMarks([{ mark: bytes, expiresAtMs }])
    for (const key of ['marks', 's:marks', ':marks'].map((text) => Buffer.from(text))) {
      expect(await store.get(key)).toBeUndefined()
      expect(await store.take(key)).toBeUndefined()
      await store.delete(key)
    }
    expect(await store.getMarks()).toEqual([new Uint8Array(bytes)])
  })

  peerTest(
    'a watch that has ended hears nothing, and others of the same client go on',
    redisProblem,
    async () => {
      const prefix = `${randomBytes(8).toString('hex')}:`
      const [one, other] = [openStore(prefix), openStore(prefix)]
      const heard: string[] = []
      const watchOther = new Promise<void>((resolve) => {
        void other.watchMarks?.(() => {
          heard.push('other')
          resolve()
        })
      })
      const end = await one.watchMarks?.(() => void heard.push('one'))
      await end?.()
      await end?.()
      await one.addMarks([mark()])
      await watchOther
      expect(heard).toEqual(['other'])
      await other.close()
      expect(await admin.pubsub('NUMSUB', `${prefix}marks`)).toEqual([`${prefix}marks`, 0])
    },
  )

  test('a connection that cannot subscribe gives a store that cannot push', () => {
    expect(redisStore({ send: () => Promise.resolve(null) }).watchMarks).toBeUndefined()
  })

  peerTest('a full server rejects what it cannot keep', redisProblem, async () => {
    const full = await started('--maxmemory', '1', '--maxmemory-policy', 'noeviction')
    const store = redisStore((await connect(full.port)).connection)
    await expect(store.set([entry()])).rejects.toMatchObject({
      code: 'ERR_SESSION_STORE',
      cause: { message: expect.stringMatching(/^OOM/) },
    })
    await expect(store.addMarks([mark()])).rejects.toThrow(SessionStoreError)
    expect(await store.get(randomBytes(32))).toBeUndefined()
  })

  peerTest('one refused entry of several is an error', redisProblem, async () => {
    const prefix = `${randomBytes(8).toString('hex')}:`
    const good = entry()
    const bad = { ...entry(), expiresAtMs: Number.NaN }
    await expect(openStore(prefix).set([good, bad])).rejects.toThrow(SessionStoreError)
    await expect(openStore(prefix).set([bad, good])).rejects.toThrow(SessionStoreError)
  })

  peerTest('a read-only replica answers gets, and rejects all that changes it', redisProblem, async () => {
    const replica = await started('--replicaof', '127.0.0.1', '1')
    const store = redisStore((await connect(replica.port)).connection)
    for (const change of [
      store.set([entry()]),
      store.take(randomBytes(32)),
      store.delete(randomBytes(32)),
      store.addMarks([mark()]),
    ])
      await expect(change).rejects.toThrow(SessionStoreError)
    expect(await store.get(randomBytes(32))).toBeUndefined()
  })

  peerTest(
    'a server that is dead rejects everything, and one that is back serves again',
    redisProblem,
    async () => {
      const mortal = await started()
      const connection = await connect(mortal.port)
      const store = redisStore(connection.connection)
      const before = entry()
      await store.set([before])
      await mortal.kill()
      for (const [, , run] of calls) await expect(run(store)).rejects.toThrow(SessionStoreError)
      const ready = connection.nextReady()
      await mortal.restart()
      await ready
      expect(await store.get(before.key)).toBeUndefined()
      await store.set([before])
      expect(await store.get(before.key)).toEqual(new Uint8Array(before.value))
    },
  )

  peerTest(
    'what another program keeps under the name of a session is an error, not a session',
    redisProblem,
    async () => {
      const prefix = `${randomBytes(8).toString('hex')}:`
      await admin.rpush(`${prefix}s:list`, 'foreign')
      const store = openStore(prefix)
      await expect(store.get(Buffer.from('list'))).rejects.toThrow('redis GET failed')
      await expect(store.take(Buffer.from('list'))).rejects.toThrow('redis GETDEL failed')
    },
  )

  peerTest('no error has a session, or its key, in it', redisProblem, async () => {
    const refusing = await started('--rename-command', 'SET', '', '--rename-command', 'GET', '')
    const store = redisStore((await connect(refusing.port)).connection)
    const secret = { key: Buffer.from('the-session-id'), value: Buffer.from('the-master-secret') }
    const errors = await Promise.all(
      [store.set([{ ...secret, expiresAtMs: later() }]), store.get(secret.key)].map((call) =>
        Promise.resolve(call).then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
    )
    for (const error of errors) {
      expect(error).toMatchObject({ cause: { message: expect.stringMatching(/^ERR unknown command/i) } })
      const shown = `${inspect(error, { depth: 9, showHidden: true })}${JSON.stringify((error as Error).cause)}`
      for (const bytes of [secret.key, secret.value]) {
        expect(shown).not.toContain(bytes.toString())
        expect(shown).not.toContain([...bytes].map((byte) => byte.toString(16)).join(' '))
        expect(shown).not.toContain([...bytes].join(','))
      }
    }
  })
})

peerTest(
  'of two processes that take a session, exactly one gets it',
  redisProblem,
  async () => {
    const keys = [...Array(200)].map(() => randomBytes(32))
    await redisStore(fromIoredis(admin)).set(keys.map((key) => ({ ...entry(), key })))
    const takers = [1, 2].map(() => {
      const taker = forkScript(new URL('./redis-taker.ts', import.meta.url), { args: [String(server.port)] })
      cleanups.push(() => taker.kill())
      return taker
    })
    await Promise.all(takers.map((taker) => nextMessage(taker)))
    const takesBefore = await countTakes()
    const won = takers.map((taker) => nextMessage<string[]>(taker))
    const names = keys.map((key) => key.toString('hex'))
    for (const taker of takers) taker.send(names)
    expect((await Promise.all(won)).flat().sort()).toEqual(names.sort())
    expect((await countTakes()) - takesBefore).toBe(2 * keys.length)
  },
  60_000,
)

async function countTakes(): Promise<number> {
  return Number(/cmdstat_getdel:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)
}

describe('an ioredis that sends again what was not answered', () => {
  peerTest(
    'makes a take whose answer is lost a miss: the session is lost, and never given twice',
    redisProblem,
    async () => {
      const proxy = await startProxy(server.port)
      const client = new Redis(proxy.port, '127.0.0.1', { lazyConnect: true })
      client.on('error', () => undefined)
      cleanups.push(() => client.disconnect())
      await client.connect()
      const store = redisStore(fromIoredis(client))
      const session = entry()
      await store.set([session])
      proxy.loseAnswer()
      expect(await store.take(session.key)).toBeUndefined()
      expect(await store.take(session.key)).toBeUndefined()
      expect(proxy.commands.filter((command) => command === 'getdel')).toHaveLength(3)
    },
  )
})

test('an answer that is not bytes is an error', async () => {
  const store = redisStore({ send: () => Promise.resolve('text') })
  const calls = [store.get(Buffer.of(1)), store.take(Buffer.of(1)), store.getMarks()]
  for (const call of calls) await expect(call).rejects.toThrow(SessionStoreError)
})

function entry(): { key: Buffer; value: Buffer; expiresAtMs: number } {
  return { key: randomBytes(32), value: randomBytes(100), expiresAtMs: later() }
}

function mark(): { mark: Buffer; expiresAtMs: number } {
  return { mark: randomBytes(44), expiresAtMs: later() }
}

interface Proxy {
  readonly port: number
  /** The names of the commands that clients have sent, in lower case. */
  readonly commands: string[]
  /** Keeps answers back until {@link release}. */
  hold(): void
  release(): void
  untilSent(count: number): Promise<void>
  /** Breaks the connection when the server has answered the next command. */
  loseAnswer(): void
}

async function startProxy(port: number): Promise<Proxy> {
  const commands: string[] = []
  const sockets = new Set<net.Socket>()
  const held: (() => void)[] = []
  let isHolding = false
  let isLosing = false
  let hear: () => void = () => undefined
  const proxy = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        near.destroy()
        far.destroy()
      })
    }
    const parse = commandParser((name) => {
      commands.push(name)
      hear()
    })
    near.on('data', (chunk: Buffer) => {
      far.write(chunk)
      parse(chunk)
    })
    far.on('data', (chunk: Buffer) => {
      if (isLosing) {
        isLosing = false
        near.destroy()
      } else if (isHolding) held.push(() => near.write(chunk))
      else near.write(chunk)
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  cleanups.push(() => {
    proxy.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    port: (proxy.address() as AddressInfo).port,
    commands,
    hold() {
      isHolding = true
    },
    release() {
      isHolding = false
      for (const pass of held.splice(0)) pass()
    },
    untilSent: (count) =>
      new Promise((resolve) => {
        hear = () => {
          if (commands.length >= count) resolve()
        }
        hear()
      }),
    loseAnswer() {
      isLosing = true
    },
  }
}

/** Commands are arrays of bulk strings: https://redis.io/docs/latest/develop/reference/protocol-spec/ */
function commandParser(onCommand: (name: string) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0)
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    for (let end = endOfCommand(rest); end !== undefined; end = endOfCommand(rest)) {
      onCommand(rest.toString('latin1').split('\r\n')[2]!.toLowerCase())
      rest = rest.subarray(end)
    }
  }
}

function endOfCommand(bytes: Buffer): number | undefined {
  const lineAt = (start: number): [number, number] | undefined => {
    const end = bytes.indexOf('\r\n', start)
    return end < 0 ? undefined : [Number(bytes.toString('latin1', start + 1, end)), end + 2]
  }
  const head = lineAt(0)
  if (head === undefined) return undefined
  let [count, at] = head
  for (; count > 0; count--) {
    const line = lineAt(at)
    if (line === undefined) return undefined
    at = line[1] + line[0] + 2
  }
  return at <= bytes.length ? at : undefined
}
