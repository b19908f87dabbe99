import type { Duplex } from 'node:stream'
import { ArgumentError, SessionRangeError, SessionStoreError } from '../errors.ts'
import { anInteger, checkOptions, type OptionRule } from '../session/arguments.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import { inTurns } from './in-turns.ts'
import { type MemcachedConnection, MemcachedServer } from './memcached-connection.ts'
import type { MetaAnswer, MetaCommand } from './memcached-protocol.ts'
import { checkEntries, checkKey, checkMarks } from './store-arguments.ts'

/** Where {@link memcachedStore} finds its servers, and what they take. */
export interface MemcachedStoreOptions {
  /**
   * Makes a connection, at the first call and whenever there is none: `net.connect`, also to a Unix socket, or `tls.connect`.
   * What it makes is the store's to close.
   *
   * Several servers: one function each. Keys are spread by the place in the list, which must be the same in all processes; a
   * server that is added or removed at the end moves its own share of the keys and no others. The marks are on the first.
   */
  readonly connect: (() => Duplex) | readonly (() => Duplex)[]
  /** Begins every key; `sslctx:` by default, at most 100 bytes. */
  readonly prefix?: string | undefined
  /**
   * What memcached's `-I` says, 1 MiB by default. What is larger is refused here: memcached itself would drop the old item for
   * it, and the marks are one item. Its 1 MiB holds 14,300 marks of 64 bytes.
   */
  readonly maxItemBytes?: number | undefined
  /** Milliseconds after which a server that owes an answer is given up with all it owes; 5000 by default. */
  readonly answerTimeoutMs?: number | undefined
}

/**
 * Sessions in memcached, 1.6.10 or later, by its meta commands. A call takes one round trip, a take that finds something and
 * the adding of marks take two. Calls fail at once while a server cannot be reached; connecting anew is the store's business.
 *
 * Several processes may take the same key: each reads it with its CAS value, and has it if the server then deletes the item of
 * exactly this value for it. An unconditional delete in the same round trip would make two winners where the item is replaced in between: one
 * deletes what both have read, the other what replaced it.
 *
 * memcached may evict anything. All marks are one item without expiry, which every `getMarks` makes recent again.
 *
 * @throws `SessionRangeError` for a prefix that is too long, or no server; `ArgumentError` for other wrong options
 *
 * @example
 * memcachedStore({ connect: () => net.connect({ port: 11211, host: 'cache.internal', noDelay: true }) })
 */
export function memcachedStore(options: MemcachedStoreOptions): SessionStore {
  checkOptions('memcachedStore', options, MEMCACHED_RULES)
  if (options.connect === undefined) throw new ArgumentError('memcachedStore needs the option connect')
  const { maxItemBytes = DEFAULT_ITEM_BYTES, answerTimeoutMs = DEFAULT_ANSWER_TIMEOUT_MS } = options
  const connects = typeof options.connect === 'function' ? [options.connect] : options.connect
  const servers = connects.map(
    (connect) => new MemcachedServer(connect, { answerTimeoutMs, maxValueBytes: maxItemBytes }),
  )
  const [first] = servers
  if (first === undefined) throw new SessionRangeError('a memcached store needs at least one server')
  const prefix = checkPrefix(options.prefix ?? 'sslctx:')
  const keyOf = (key: Uint8Array): string => encodeKey(prefix, SESSION, key)
  const serverOf = (key: Uint8Array): MemcachedServer => servers[placeOf(key, servers.length)] ?? first
  const marks = new MarkItem(first, encodeKey(prefix, MARKS, new Uint8Array(0)), maxItemBytes)

  return {
    async get(key) {
      return serverOf(key).use(COMMAND_BYTES, async (connection) =>
        found(await connection.send(get(keyOf(key)))),
      )
    },
    async set(entries) {
      checkEntries(entries)
      const [only] = entries
      if (only !== undefined && entries.length === 1)
        return sendAll(serverOf(only.key), [setOrDelete(keyOf(only.key), only, maxItemBytes)])
      const batches = servers.map((server) => ({ server, commands: [] as MetaCommand[] }))
      for (const entry of entries)
        batches[placeOf(entry.key, servers.length)]?.commands.push(
          setOrDelete(keyOf(entry.key), entry, maxItemBytes),
        )
      await Promise.all(batches.map(({ server, commands }) => sendAll(server, commands)))
    },
    async take(key) {
      return serverOf(key).use(COMMAND_BYTES, (connection) => take(connection, keyOf(key)))
    },
    async delete(key) {
      await serverOf(key).use(COMMAND_BYTES, (connection) => connection.send(remove(keyOf(key))))
    },
    getMarks: () => marks.read(),
    async addMarks(added) {
      checkMarks(added)
      await marks.add(added)
    },
    async close() {
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

const MEMCACHED_RULES: Readonly<Record<keyof MemcachedStoreOptions, OptionRule>> = {
  connect: {
    kind: 'a function that makes a connection, or an array of those',
    isGood: (value) => [value].flat().every((one) => typeof one === 'function'),
  },
  prefix: { kind: 'a string', isGood: (value) => typeof value === 'string' },
  maxItemBytes: anInteger(1024, 2 ** 31 - 1),
  answerTimeoutMs: anInteger(1, 2 ** 31 - 1),
}
const DEFAULT_ITEM_BYTES = 1024 * 1024
const DEFAULT_ANSWER_TIMEOUT_MS = 5000
/** Header, CAS value, flags, and a key of 250 bytes. */
const ITEM_OVERHEAD_BYTES = 512
/** What a command holds in memory besides its value, generously. */
const COMMAND_BYTES = 1024
const SESSION = 's'
const MARKS = 'm'
/** memcached's limit is for the key as it is sent, in base64. */
const MAX_KEY_CHARACTERS = 250
const MAX_PREFIX_BYTES = 100

function checkPrefix(prefix: string): Buffer {
  const bytes = Buffer.from(prefix)
  if (bytes.length > MAX_PREFIX_BYTES)
    throw new SessionRangeError(`prefix must be at most ${MAX_PREFIX_BYTES} bytes long, got ${bytes.length}`)
  return bytes
}

function encodeKey(prefix: Buffer, kind: string, key: Uint8Array): string {
  const encoded = Buffer.concat([prefix, Buffer.from(kind), key]).toString('base64')
  if (encoded.length > MAX_KEY_CHARACTERS) throw new SessionRangeError('the key is too long for memcached')
  return encoded
}

/** Rendezvous hashing: the place whose hash with the key is the highest. */
function placeOf(key: Uint8Array, places: number): number {
  checkKey(key)
  if (places === 1) return 0
  const hash = key.reduce((state, byte) => Math.imul(state ^ byte, 0x01000193), 0x811c9dc5)
  const scores = Array.from({ length: places }, (_, place) => mix(hash ^ mix(place + 1)))
  return scores.indexOf(Math.max(...scores))
}

/** A bijection of 32-bit numbers in which every bit of the input changes about half of the output. */
function mix(input: number): number {
  let bits = Math.imul(input ^ (input >>> 16), 0x21f0aaad)
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
  return (bits ^ (bits >>> 15)) >>> 0
}

function get(key: string): MetaCommand {
  return { verb: 'mg', key, flags: 'v c', answers: ['VA', 'EN'] }
}

function remove(key: string, cas?: string): MetaCommand {
  if (cas === undefined) return { verb: 'md', key, flags: '', answers: ['HD', 'NF'] }
  return { verb: 'md', key, flags: `C${cas}`, answers: ['HD', 'NF', 'EX'] }
}

function setOrDelete(key: string, { value, expiresAtMs }: StoreEntry, maxItemBytes: number): MetaCommand {
  if (expiresAtMs < Date.now()) return remove(key)
  checkSize(value, maxItemBytes)
  return { verb: 'ms', key, value, flags: `T${expiryOf(expiresAtMs)}`, answers: ['HD'] }
}

/**
 * memcached takes more than 30 days for seconds since the epoch, which these always are, and at most 2^31 - 1; 0 is never.
 * Rounded up, since it must not forget what a client was told to be good.
 */
function expiryOf(expiresAtMs: number): number {
  const seconds = Math.ceil(expiresAtMs / 1000)
  return seconds > 0x7fffffff ? 0 : seconds
}

function checkSize(value: Uint8Array, maxItemBytes: number): void {
  if (value.length + ITEM_OVERHEAD_BYTES > maxItemBytes)
    throw new SessionStoreError(`a value of ${value.length} bytes is too large for memcached's item size`)
}

async function sendAll(server: MemcachedServer, commands: readonly MetaCommand[]): Promise<void> {
  if (commands.length === 0) return
  const bytes = commands.reduce((sum, { value }) => sum + COMMAND_BYTES + (value?.length ?? 0), 0)
  await server.use(bytes, (connection) => Promise.all(commands.map((command) => connection.send(command))))
}

function found(answer: MetaAnswer): Uint8Array | undefined {
  return answer.code === 'VA' ? answer.value : undefined
}

/** Each means that somebody replaced the session within a round trip. */
const MAX_TAKE_ATTEMPTS = 10

async function take(connection: MemcachedConnection, key: string): Promise<Uint8Array | undefined> {
  for (let attempt = 0; attempt < MAX_TAKE_ATTEMPTS; attempt++) {
    const answer = await connection.send(get(key))
    const value = found(answer)
    if (value === undefined) return undefined
    const { code } = await connection.send(remove(key, casOf(answer)))
    if (code !== 'EX') return code === 'HD' ? value : undefined
  }
  throw new SessionStoreError('a session was replaced faster than memcached could be asked for it')
}

function casOf({ cas }: MetaAnswer): string {
  if (cas !== undefined && /^[1-9]\d{0,19}$/.test(cas)) return cas
  // Then a delete would take what is there, whatever it is.
  throw new SessionStoreError('memcached runs without CAS (-C), and so cannot do this atomically')
}

/** Each means that another process has added marks. */
const MAX_ADD_ATTEMPTS = 1000

/** All marks, in one item: memcached loses it whole or not at all. */
class MarkItem {
  readonly #server: MemcachedServer
  readonly #key: string
  readonly #maxItemBytes: number
  /** What the next write adds. It begins when the one under way is done: this process never competes with itself. */
  #next: { readonly marks: StoredMark[]; readonly written: Promise<void> } | undefined
  #underWay: Promise<void> = Promise.resolve()

  constructor(server: MemcachedServer, key: string, maxItemBytes: number) {
    this.#server = server
    this.#key = key
    this.#maxItemBytes = maxItemBytes
  }

  async read(): Promise<readonly Uint8Array[] | undefined> {
    const answer = await this.#server.use(COMMAND_BYTES, (connection) => connection.send(get(this.#key)))
    const marks = await livingMarks(answer.value)
    const read: Uint8Array[] = []
    await inTurns(marks.values(), ({ mark }) => void read.push(mark))
    return read.length === 0 ? undefined : read
  }

  add(added: readonly StoredMark[]): Promise<void> {
    if (this.#next !== undefined) {
      this.#next.marks.push(...added)
      return this.#next.written
    }
    const marks = [...added]
    const written = this.#underWay
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined
        return this.#server.use(COMMAND_BYTES, (connection) => this.#write(connection, marks))
      })
    this.#next = { marks, written }
    this.#underWay = written
    return written
  }

  async #write(connection: MemcachedConnection, added: readonly StoredMark[]): Promise<void> {
    for (let attempt = 0; attempt < MAX_ADD_ATTEMPTS; attempt++) {
      const answer = await connection.send(get(this.#key))
      const value = await encodeMarks(await livingMarks(answer.value, added))
      checkSize(value, this.#maxItemBytes)
      const condition = answer.code === 'VA' ? `C${casOf(answer)}` : 'ME'
      const { code } = await connection.send({
        verb: 'ms',
        key: this.#key,
        value,
        flags: `T0 ${condition}`,
        answers: ['HD', 'EX', 'NF', 'NS'],
      })
      if (code === 'HD') return
    }
    throw new SessionStoreError(
      'others changed the marks in memcached each time that they were to be written',
    )
  }
}

// The item: FORMAT, then of each mark its length in one byte, its expiry in milliseconds as a double (which has Infinity), itself.
const FORMAT = 1
const MARK_HEADER_BYTES = 9
const MAX_MARK_BYTES = 64

/** Steps of {@link inTurns} that it costs to read or write a mark. */
const READING = 10

/** Those that have not expired, each once and with its latest expiry: what the item holds, and what is added to it. */
async function livingMarks(
  item: Uint8Array,
  added: readonly StoredMark[] = [],
): Promise<ReadonlyMap<string, StoredMark>> {
  const now = Date.now()
  const latest = new Map<string, StoredMark>()
  const keep = ({ mark, expiresAtMs }: StoredMark): number => {
    const name = byteKey(mark)
    const latestMs = Math.max(expiresAtMs, latest.get(name)?.expiresAtMs ?? 0)
    if (latestMs >= now) latest.set(name, { mark, expiresAtMs: latestMs })
    return READING
  }
  if (isWhole(item)) await inTurns(marksIn(item), keep)
  await inTurns(added, keep)
  return latest
}

async function encodeMarks(marks: ReadonlyMap<string, StoredMark>): Promise<Buffer> {
  let length = 1
  await inTurns(marks.values(), ({ mark }) => {
    if (mark.length > MAX_MARK_BYTES)
      throw new SessionRangeError(`a mark must be at most ${MAX_MARK_BYTES} bytes long, got ${mark.length}`)
    length += MARK_HEADER_BYTES + mark.length
  })
  const item = Buffer.allocUnsafe(length)
  item[0] = FORMAT
  let offset = 1
  await inTurns(marks.values(), ({ mark, expiresAtMs }) => {
    item.writeUInt8(mark.length, offset)
    item.writeDoubleBE(expiresAtMs, offset + 1)
    item.set(mark, offset + MARK_HEADER_BYTES)
    offset += MARK_HEADER_BYTES + mark.length
    return READING
  })
  return item
}

/** Anything else than marks is none: they are lost, and what took their place must not keep new ones out. */
function isWhole(item: Uint8Array): boolean {
  if (item[0] !== FORMAT) return false
  let offset = 1
  while (offset + MARK_HEADER_BYTES <= item.length) offset += MARK_HEADER_BYTES + (item[offset] ?? 0)
  return offset === item.length
}

function* marksIn(item: Uint8Array): Generator<StoredMark> {
  const bytes = Buffer.from(item.buffer, item.byteOffset, item.length)
  for (let offset = 1; offset < bytes.length; ) {
    const begin = offset + MARK_HEADER_BYTES
    const end = begin + bytes.readUInt8(offset)
    yield { mark: new Uint8Array(bytes.subarray(begin, end)), expiresAtMs: bytes.readDoubleBE(offset + 1) }
    offset = end
  }
}
