import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { type Database, open, type RootDatabase } from 'lmdb'
import { KeyRing, type SessionStore, sealed } from '../../src/index.ts'
import type { Awaitable } from '../../src/session/awaitable.ts'
import { lmdbStore } from '../../src/store/lmdb-store.ts'
import { memcachedStore } from '../../src/store/memcached-store.ts'
import { fromIoredis, redisStore } from '../../src/store/redis-store.ts'
import { REDIS_OPTIONS } from '../tools/engine-store.ts'
import { startMemcached } from '../tools/memcached-server.ts'
import { startRedis } from '../tools/redis-server.ts'
import { V2 } from '../tools/session-fields.ts'
import { shuffled } from '../tools/shuffled.ts'

const { values: settings } = parseArgs({
  options: {
    sessions: { type: 'string', default: '1000000' },
    engine: { type: 'string' },
    'no-report': { type: 'boolean', default: false },
  },
})
const SESSIONS = Number(settings.sessions)
const GETS = Math.min(SESSIONS, 200_000)
const TAKES = Math.min(SESSIONS, 100_000)
/** Each way has its turn at one block. */
const BLOCK = 500
/** Calls under way at once, as in a busy server. */
const CONCURRENCY = 64
const LIFE_MS = 7_200_000

/** What one call is about. */
interface Item {
  readonly key: Buffer
  /** What the adapter makes of the key, made beforehand: that is part of the adapter's own work. */
  readonly name: Buffer
  readonly value: Buffer
  readonly expiresAtMs: number
}

/** One way to store sessions in an engine, which it has to itself. */
interface Way {
  set(item: Item): Awaitable<unknown>
  get(item: Item): Awaitable<Uint8Array | null | undefined>
  take(item: Item): Awaitable<Uint8Array | null | undefined>
  bytesStored(): Promise<number>
  close(): Promise<void>
}

const WAYS = ['bare', 'adapter', 'sealed'] as const
type WayName = (typeof WAYS)[number]
const OPERATIONS = ['set', 'get', 'take'] as const
type Operation = (typeof OPERATIONS)[number]

interface Engine {
  readonly name: string
  readonly bare: string
  /** Of the adapter's names. */
  readonly prefix: string
  start(way: WayName): Promise<Way>
}

const keyRing = new KeyRing([randomBytes(32)])

function itemAt(index: number, prefix: string): Item {
  const key = createHash('sha256').update(`session ${index}`).digest()
  const secret = createHash('sha384').update(key).digest()
  // As long as a session without a client's certificate, and as random.
  const value = Buffer.concat([V2, key, secret])
  return { key, name: Buffer.concat([Buffer.from(prefix), key]), value, expiresAtMs: Date.now() + LIFE_MS }
}

function throughStore(store: SessionStore, way: WayName): Pick<Way, Operation> {
  const used = way === 'sealed' ? sealed(store, keyRing) : store
  return {
    set: (item) => used.set([item]),
    get: ({ key }) => used.get(key),
    take: ({ key }) => used.take(key),
  }
}

const redis: Engine = {
  name: 'redis',
  bare: 'ioredis',
  prefix: 'sslctx:s:',
  async start(way) {
    const server = await startRedis()
    const client = new Redis(server.port, '127.0.0.1', REDIS_OPTIONS)
    await client.connect()
    const memory = async (): Promise<number> =>
      Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
    const emptyBytes = await memory()
    const bare: Pick<Way, Operation> = {
      set: ({ name, value, expiresAtMs }) => client.set(name, value, 'PX', expiresAtMs - Date.now()),
      get: ({ name }) => client.getBuffer(name),
      take: ({ name }) => client.getdelBuffer(name),
    }
    return {
      ...(way === 'bare' ? bare : throughStore(redisStore(fromIoredis(client)), way)),
      bytesStored: async () => (await memory()) - emptyBytes,
      async close() {
        client.disconnect()
        await server.close()
      },
    }
  },
}

/** What is used of memjs, which has no types. */
interface Memjs {
  readonly Client: {
    create(server: string, options: { readonly timeout: number; readonly retries: number }): MemjsClient
  }
}

interface MemjsClient {
  set(key: string, value: Buffer, options: { readonly expires: number }): Promise<boolean>
  get(key: string): Promise<{ readonly value: Buffer | null }>
  delete(key: string): Promise<boolean>
  close(): void
}

const memjsName: string = 'memjs'
const { default: memjs } = (await import(memjsName)) as { readonly default: Memjs }

interface BareClient extends Pick<Way, Operation> {
  close(): void
}

const nameOf = ({ name }: Item): string => name.toString('base64')

/** It cannot take atomically: get and delete are as many round trips. */
function throughMemjs({ Client }: Memjs, port: number): BareClient {
  const client = Client.create(`127.0.0.1:${port}`, { timeout: 60, retries: 0 })
  const get: Way['get'] = async (item) => (await client.get(nameOf(item))).value
  return {
    set: (item) => client.set(nameOf(item), item.value, { expires: LIFE_MS / 1000 }),
    get,
    async take(item) {
      const value = await get(item)
      return (await client.delete(nameOf(item))) ? value : undefined
    },
    close: () => client.close(),
  }
}

const memcached: Engine = {
  name: 'memcached',
  prefix: 'sslctx:s',
  bare: 'memjs',
  async start(way) {
    const server = await startMemcached('-m', '4096')
    const client = throughMemjs(memjs, server.port)
    const store = memcachedStore({ connect: () => server.connect() })
    return {
      ...(way === 'bare' ? client : throughStore(store, way)),
      bytesStored: () => memcachedBytes(server.port),
      async close() {
        client.close()
        await store.close()
        await server.kill()
      },
    }
  },
}

async function memcachedBytes(port: number): Promise<number> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write('stats\r\n')
  let answer = ''
  for await (const chunk of socket) {
    answer += String(chunk)
    if (answer.endsWith('END\r\n')) break
  }
  return Number(/STAT bytes (\d+)/.exec(answer)?.[1])
}

const lmdb: Engine = {
  name: 'lmdb',
  bare: 'lmdb, with the same databases',
  prefix: '',
  async start(way) {
    const folder = await mkdtemp(join(tmpdir(), 'sslctx-bench-'))
    const root = open({ path: join(folder, 'sessions') })
    const databases = openDatabases(root)
    // Far more than is put in: nothing is to be evicted.
    const store = lmdbStore(root, { maxBytes: 8 * 2 ** 30 })
    return {
      ...(way === 'bare' ? bareLmdb(databases) : throughStore(store, way)),
      bytesStored: async () => pagesOf(databases.sessions) + pagesOf(databases.index),
      async close() {
        await root.close()
        await rm(folder, { recursive: true, force: true })
      },
    }
  },
}

interface LmdbDatabases {
  readonly sessions: Database<Buffer, Buffer>
  readonly index: Database<Buffer, Buffer>
}

function openDatabases(root: RootDatabase): LmdbDatabases {
  const binary = { encoding: 'binary', keyEncoding: 'binary', compression: false } as const
  return {
    sessions: root.openDB<Buffer, Buffer>({ name: 'sslctx-sessions', ...binary, useVersions: false }),
    index: root.openDB<Buffer, Buffer>({ name: 'sslctx-expiry', ...binary, useVersions: true }),
  }
}

const HEADER_LENGTH = 12
const EMPTY = Buffer.alloc(0)

/** The bytes that the adapter writes, by the calls of the library that write them. */
function bareLmdb({ sessions, index }: LmdbDatabases): Pick<Way, Operation> {
  const indexKeyOf = (stored: Buffer, key: Buffer): Buffer => Buffer.concat([stored.subarray(0, 6), key])
  return {
    set({ key, value, expiresAtMs }) {
      const stored = Buffer.allocUnsafe(HEADER_LENGTH + value.length)
      stored.writeUIntBE(expiresAtMs, 0, 6)
      stored.writeUIntBE(expiresAtMs, 6, 6)
      stored.set(value, HEADER_LENGTH)
      void sessions.put(key, stored)
      return index.put(indexKeyOf(stored, key), EMPTY, expiresAtMs)
    },
    get: ({ key }) => sessions.getBinary(key)?.subarray(HEADER_LENGTH),
    async take({ key }) {
      const stored = sessions.getBinary(key)
      if (stored === undefined) return undefined
      const indexKey = indexKeyOf(stored, key)
      const isOurs = await index.ifVersion(indexKey, stored.readUIntBE(6, 6), () => {
        void index.remove(indexKey)
        void sessions.remove(key)
      })
      return isOurs ? stored.subarray(HEADER_LENGTH) : undefined
    },
  }
}

function pagesOf(database: Database<Buffer, Buffer>): number {
  const {
    pageSize = 0,
    treeBranchPageCount = 0,
    treeLeafPageCount = 0,
    overflowPages = 0,
  } = database.getStats() as Readonly<Record<string, number>>
  return pageSize * (treeBranchPageCount + treeLeafPageCount + overflowPages)
}

/** Of one way and one operation. */
class Measure {
  readonly blockMs: number[] = []
  /** Microseconds of this process for one call, its threads included and the engine's own process not, by block. */
  readonly cpuMicros: number[] = []
  readonly latenciesMs: number[] = []

  get perSecond(): number {
    return (1000 * BLOCK) / median(this.blockMs)
  }

  get p99Ms(): number {
    const sorted = Float64Array.from(this.latenciesMs).sort()
    return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
  }
}

type Measures = Readonly<Record<WayName, Readonly<Record<Operation, Measure>>>>

async function runBlock(
  way: Way,
  operation: Operation,
  items: readonly Item[],
  measure: Measure,
): Promise<void> {
  const queue = items.values()
  const lane = async (): Promise<void> => {
    for (const item of queue) {
      const begin = performance.now()
      const value = await way[operation](item)
      measure.latenciesMs.push(performance.now() - begin)
      if (operation !== 'set' && lengthOf(value) !== item.value.length)
        throw new Error('a session is not there')
    }
  }
  const cpu = process.cpuUsage()
  const begin = performance.now()
  await Promise.all(Array.from({ length: CONCURRENCY }, lane))
  measure.blockMs.push((BLOCK / items.length) * (performance.now() - begin))
  const { user, system } = process.cpuUsage(cpu)
  measure.cpuMicros.push((user + system) / items.length)
}

function lengthOf(answer: unknown): number | undefined {
  return answer instanceof Uint8Array ? answer.length : undefined
}

interface Result {
  readonly engine: Engine
  readonly measures: Measures
  readonly bytesPerSession: Readonly<Record<WayName, number>>
}

async function bench(engine: Engine): Promise<Result> {
  const ways = {
    bare: await engine.start('bare'),
    adapter: await engine.start('adapter'),
    sealed: await engine.start('sealed'),
  }
  const measures = { bare: newMeasures(), adapter: newMeasures(), sealed: newMeasures() }
  const bytesPerSession = { bare: 0, adapter: 0, sealed: 0 }
  const runAll = async (
    operation: Operation,
    count: number,
    pick: (place: number) => number,
  ): Promise<void> => {
    for (let done = 0; done < count; done += BLOCK) {
      const items = Array.from({ length: Math.min(BLOCK, count - done) }, (_, place) =>
        itemAt(pick(done + place), engine.prefix),
      )
      // Garbage is collected at intervals: in a regular order that would fall on the same way again and again.
      for (const name of shuffled(WAYS, Math.random))
        await runBlock(ways[name], operation, items, measures[name][operation])
      if (done % 100_000 === 0) console.error(`${engine.name}: ${operation} ${done} of ${count}`)
    }
  }
  try {
    await runAll('set', SESSIONS, (place) => place)
    for (const name of WAYS) bytesPerSession[name] = (await ways[name].bytesStored()) / SESSIONS
    // Anywhere in the store, each once: 7919 is a prime.
    await runAll('get', GETS, (place) => (place * 7919) % SESSIONS)
    await runAll('take', TAKES, (place) => place)
  } finally {
    await Promise.all(WAYS.map((name) => ways[name].close()))
  }
  return { engine, measures, bytesPerSession }
}

function newMeasures(): Record<Operation, Measure> {
  return { set: new Measure(), get: new Measure(), take: new Measure() }
}

function ratio(of: Measure, to: Measure, unit: 'blockMs' | 'cpuMicros'): string {
  return (median(to[unit]) / median(of[unit])).toFixed(2)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2
}

/** Without an engine: microseconds for one session. */
async function sealCosts(): Promise<{ readonly sealMicros: number; readonly unsealMicros: number }> {
  const ROUNDS = 50_000
  const kept = new Map<string, Uint8Array>()
  const nowhere: SessionStore = {
    get: (key) => kept.get(Buffer.from(key).toString('latin1')),
    set: ([entry]) => void (entry && kept.set(Buffer.from(entry.key).toString('latin1'), entry.value)),
    take: () => undefined,
    delete: () => undefined,
    getMarks: () => undefined,
    addMarks: () => undefined,
    close: () => undefined,
  }
  const store = sealed(nowhere, keyRing)
  const item = itemAt(0, '')
  const micros = async (call: () => Awaitable<unknown>): Promise<number> => {
    const begin = performance.now()
    for (let round = 0; round < ROUNDS; round++) await call()
    return ((performance.now() - begin) * 1000) / ROUNDS
  }
  return {
    sealMicros: await micros(() => store.set([item])),
    unsealMicros: await micros(() => store.get(item.key)),
  }
}

function report(results: readonly Result[], seal: Awaited<ReturnType<typeof sealCosts>>): string {
  const rows = results.flatMap(({ engine, measures, bytesPerSession }) =>
    OPERATIONS.map((operation) => {
      const of = (way: WayName): Measure => measures[way][operation]
      const speed = (way: WayName): string => Math.round(of(way).perSecond).toLocaleString('en')
      const tail = (way: WayName): string => of(way).p99Ms.toFixed(1)
      return `| ${[
        engine.name,
        operation,
        ...(operation === 'set' ? WAYS.map((way) => Math.round(bytesPerSession[way])) : ['', '', '']),
        ...WAYS.map(speed),
        ...WAYS.map(tail),
        ...WAYS.map((way) => median(of(way).cpuMicros).toFixed(1)),
        ratio(of('adapter'), of('bare'), 'blockMs'),
        ratio(of('adapter'), of('bare'), 'cpuMicros'),
        ratio(of('sealed'), of('adapter'), 'blockMs'),
      ].join(' | ')} |`
    }),
  )
  return `# ${SESSIONS.toLocaleString('en')} sessions in each engine

Made by \`npm run bench:stores -- --sessions ${SESSIONS}\`, with Node ${process.versions.node} on ${cpus().length} cores. Sessions of ${itemAt(0, '').value.length} bytes, ids of 32;
${CONCURRENCY} calls under way at once; engine and client on the same machine. Bare is ${results.map(({ engine }) => `for ${engine.name} ${engine.bare}`).join(', ')}.
Bare, adapter and sealed adapter have an engine each and take turns in random order, ${BLOCK.toLocaleString('en')} calls at a time, so that what else the machine does
falls on all three. Speeds are medians of these turns, and a ratio is that of two of them:
1.00 is as fast, 0.90 is 10 % slower. p99 includes the wait behind the other ${CONCURRENCY - 1} calls.
CPU is that of the client's process, which other work on the machine hardly changes.

| engine | operation | bytes a session: bare | adapter | sealed | calls/s: bare | adapter | sealed | p99 ms: bare | adapter | sealed | µs of CPU a call: bare | adapter | sealed | adapter : bare | by CPU | sealed : adapter |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}

Bytes are those that the engine says it uses: redis \`used_memory\`, memcached \`bytes\`, LMDB the pages of both databases.
The seal itself, without an engine: ${seal.sealMicros.toFixed(1)} µs to seal a session, ${seal.unsealMicros.toFixed(1)} µs to open it, 51 bytes.
`
}

const engines = [redis, memcached, lmdb].filter(({ name }) => (settings.engine ?? name) === name)
const seal = await sealCosts()
const results: Result[] = []
for (const engine of engines) results.push(await bench(engine))
const text = report(results, seal)
console.log(text)
if (!settings['no-report']) await writeFile(new URL('./STORES.md', import.meta.url), text)
