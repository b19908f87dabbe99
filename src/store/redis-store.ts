import { SessionStoreError } from '../errors.ts'
import { A_STRING, checkMethods, checkOptions } from '../session/arguments.ts'
import { copyBytes } from '../session/bytes.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../session/session-store.ts'
import { inTurns } from './in-turns.ts'
import type { RedisCommand, RedisConnection } from './redis-clients.ts'
import { checkEntries, checkKey, checkMarks, checkWatcher } from './store-arguments.ts'

export {
  fromIoredis,
  fromIovalkey,
  fromNodeRedis,
  fromNodeRedisCluster,
  fromNodeRedisSentinel,
  type IoredisClient,
  type IoredisSubscriber,
  type NodeRedisClient,
  type NodeRedisCluster,
  type NodeRedisListener,
  type NodeRedisReplies,
  type NodeRedisSentinel,
  type NodeRedisSubscriber,
  type RedisCommand,
  type RedisConnection,
} from './redis-clients.ts'

/** What {@link redisStore} may be told. */
export interface RedisStoreOptions {
  /** Begins every key, and the channel; `sslctx:` by default. In a cluster a `{tag}` in it keeps everything in one slot. */
  readonly prefix?: string | undefined
}

/**
 * Sessions in Redis or Valkey: alone, behind Sentinel or as a cluster, whatever the client connects to. Each call takes one
 * round trip; connecting, finding nodes and trying again are the client's business.
 *
 * A take is GETDEL. When a server has none (before 6.2), this take costs a second round trip, and from then on all are scripts,
 * on every node: a cluster may be of mixed versions. A take whose answer was lost rejects, and is not sent again; a client that
 * does so makes it a miss: the session is lost, never given twice.
 *
 * A take is as final as the server's memory. A failover to a replica that lagged, or a restart from a snapshot, brings back what
 * was taken since; for single use, let the server keep no snapshots.
 *
 * Sessions expire by the server's clock, counted from their arrival; marks are pruned by the clock of whoever adds one. The marks
 * never expire as a whole, so that the `volatile-` policies of a full server spare them.
 *
 * @param connection - of `fromIoredis`, `fromIovalkey`, `fromNodeRedis`, `fromNodeRedisSentinel` or `fromNodeRedisCluster`, or your own; the client is
 *   yours to close, after the store
 */
export function redisStore(connection: RedisConnection, options: RedisStoreOptions = {}): SessionStore {
  checkMethods(
    'the connection of redisStore',
    connection,
    ['send'],
    'what fromIoredis, fromIovalkey, fromNodeRedis, fromNodeRedisSentinel or fromNodeRedisCluster returns',
  )
  checkOptions('redisStore', options, { prefix: A_STRING })
  const { prefix = 'sslctx:' } = options
  return { ...sessionsIn(connection, `${prefix}s:`), ...marksIn(connection, `${prefix}marks`) }
}

function sessionsIn(
  connection: RedisConnection,
  prefix: string,
): Pick<SessionStore, 'get' | 'set' | 'take' | 'delete'> {
  const prefixBytes = Buffer.from(prefix)
  const nameOf = (key: Uint8Array): Buffer => {
    checkKey(key)
    const name = Buffer.allocUnsafe(prefixBytes.length + key.length)
    name.set(prefixBytes)
    name.set(key, prefixBytes.length)
    return name
  }
  const getAndDelete = (name: Buffer): Promise<Uint8Array | undefined> =>
    send(connection, { name: 'eval', key: name, args: [GET_AND_DELETE, '1', name] }, bytesOf)
  let hasGetdel = true

  return {
    get: (key) => send(connection, onKey('get', nameOf(key)), bytesOf),
    set(entries) {
      checkEntries(entries)
      const now = Date.now()
      const [only] = entries
      if (only !== undefined && entries.length === 1)
        return send(connection, setCommand(nameOf(only.key), only, now), nothing)
      return sendAll(
        connection,
        entries.map((entry) => setCommand(nameOf(entry.key), entry, now)),
      )
    },
    take(key) {
      const name = nameOf(key)
      if (!hasGetdel) return getAndDelete(name)
      return send(connection, onKey('getdel', name), bytesOf, (error) => {
        if (!isUnknownCommand(error)) throw error
        hasGetdel = false
        return getAndDelete(name)
      })
    },
    delete: (key) => send(connection, onKey('del', nameOf(key)), nothing),
  }
}

/** @param name - of the sorted set and of the channel. No session has this name, whatever key a client asks for */
function marksIn(
  connection: RedisConnection,
  name: string,
): Pick<SessionStore, 'getMarks' | 'addMarks' | 'watchMarks' | 'close'> {
  const key = Buffer.from(name)
  const watches = new Set<() => Promise<void>>()
  const watchMarks = async (onMark: (mark: Uint8Array) => void): Promise<() => Promise<void>> => {
    checkWatcher(onMark)
    const unsubscribe = await orStoreError('subscribe', async () =>
      connection.subscribe?.(name, (mark) => onMark(copyBytes(mark))),
    )
    const end = async (): Promise<void> => {
      if (watches.delete(end)) await orStoreError('unsubscribe', async () => unsubscribe?.())
    }
    watches.add(end)
    return end
  }

  return {
    async getMarks() {
      const reply = await send(connection, onKey('zrangebyscore', key, String(Date.now()), '+inf'), listOf)
      const marks: Uint8Array[] = []
      await inTurns(reply, (mark) => {
        marks.push(bytes(mark))
        return READING
      })
      return marks.length === 0 ? undefined : marks
    },
    async addMarks(marks) {
      checkMarks(marks)
      if (marks.length > 0) await sendAll(connection, markCommands(key, marks, Date.now()))
    },
    ...(connection.subscribe && { watchMarks }),
    async close() {
      await Promise.all([...watches].map((end) => end()))
    },
  }
}

const GET_AND_DELETE = "local value = redis.call('get', KEYS[1]) redis.call('del', KEYS[1]) return value"

function onKey(name: string, key: Buffer, ...args: readonly (string | Buffer)[]): RedisCommand {
  return { name, key, args: args.length === 0 ? [key] : [key, ...args] }
}

function setCommand(key: Buffer, { value, expiresAtMs }: StoreEntry, now: number): RedisCommand {
  if (expiresAtMs < now) return onKey('del', key)
  // The last millisecond is one of its life; Redis takes no 0.
  const leftMs = Math.max(1, Math.ceil(expiresAtMs - now))
  if (leftMs > Number.MAX_SAFE_INTEGER) return onKey('set', key, viewOf(value))
  return { name: 'set', key, args: [key, viewOf(value), 'px', String(leftMs)] }
}

function markCommands(key: Buffer, marks: readonly StoredMark[], now: number): RedisCommand[] {
  const scored = marks.flatMap(({ mark, expiresAtMs }) => [scoreOf(expiresAtMs), viewOf(mark)])
  return [
    onKey('zadd', key, ...scored),
    onKey('zremrangebyscore', key, '-inf', `(${now}`),
    ...marks.map(({ mark }) => ({ name: 'publish', args: [key, viewOf(mark)] })),
  ]
}

function scoreOf(expiresAtMs: number): string {
  return expiresAtMs === Number.POSITIVE_INFINITY ? '+inf' : String(expiresAtMs)
}

/** The same memory: the caller leaves it as it is until the call has settled. */
function viewOf(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Without an async function around it: each layer of those costs a client of this speed some percent. */
function send<T>(
  connection: RedisConnection,
  command: RedisCommand,
  read: (reply: unknown) => T,
  onFailure: (error: SessionStoreError) => T | Promise<T> = rethrow,
): Promise<T> {
  try {
    return connection.send(command).then(read, (error: unknown) => onFailure(failed(command.name, error)))
  } catch (error) {
    return Promise.reject(failed(command.name, error))
  }
}

function rethrow(error: SessionStoreError): never {
  throw error
}

/** Settles when all have, and then rejects if one was refused. */
async function sendAll(connection: RedisConnection, commands: readonly RedisCommand[]): Promise<void> {
  const results = await Promise.allSettled(commands.map((one) => send(connection, one, nothing)))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

async function orStoreError<T>(name: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw failed(name, error)
  }
}

function failed(name: string, error: unknown): SessionStoreError {
  const cause = withoutArguments(error)
  const isRefused = REFUSALS.test(cause.message)
  return new SessionStoreError(`redis ${name.toUpperCase()} failed`, {
    cause,
    isRefusal: isRefused,
  })
}

/** What a server says that works, and does not want to write: full, a replica, forbidden, unable to save, without replicas. */
const REFUSALS = /^(OOM|READONLY|NOPERM|MISCONF|NOREPLICAS)\b/

/**
 * What the client said, without the sessions in it: ioredis hangs the arguments of a command on its errors, and a server quotes
 * those of a command that it does not know.
 */
function withoutArguments(error: unknown): Error {
  const { name, message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error()
  const cause = new Error(message.replace(/,? with args beginning with.*/is, ''))
  return Object.assign(cause, { name }, code !== undefined && { code })
}

function isUnknownCommand(error: unknown): boolean {
  const cause = error instanceof SessionStoreError ? error.cause : undefined
  return cause instanceof Error && /^ERR unknown command/i.test(cause.message)
}

/** Steps of {@link inTurns} that a mark costs. */
const READING = 2

function listOf(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw unexpectedReply()
  return reply
}

function bytesOf(reply: unknown): Uint8Array | undefined {
  return reply === null ? undefined : bytes(reply)
}

/** Clients cut their replies out of what the socket has read, and use that for nothing else. */
function bytes(reply: unknown): Uint8Array {
  if (!(reply instanceof Uint8Array)) throw unexpectedReply()
  return new Uint8Array(reply.buffer, reply.byteOffset, reply.byteLength)
}

function nothing(): void {
  // The answer to a write says no more than that it was done.
}

function unexpectedReply(): SessionStoreError {
  return new SessionStoreError('redis answered with something other than bytes')
}
