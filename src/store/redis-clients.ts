import { type EventEmitter, errorMonitor } from 'node:events'
import { ArgumentError } from '../errors.ts'
import { CHECKED_LATER, checkMethods, checkOptions, hasMethod } from '../session/arguments.ts'

/** One command, its name in lower case. */
export interface RedisCommand {
  readonly name: string
  /** By which a cluster finds the node; without one, any node will do. It is among the arguments too. */
  readonly key?: Buffer
  /** Made for this command, and the client's to keep. */
  readonly args: (string | Buffer)[]
}

/** What `redisStore` needs of a client: raw commands, and bytes for an answer. */
export interface RedisConnection {
  /**
   * Writes the command at once, without waiting for answers that are due, so that several sent together take one round trip.
   *
   * @returns bulk strings as bytes, nil as null; an error reply rejects
   */
  send(command: RedisCommand): Promise<unknown>

  /**
   * Hears of what is published to a channel, on a connection of its own.
   *
   * @returns ends it
   */
  subscribe?(channel: string, onMessage: (message: Uint8Array) => void): Promise<() => Promise<void>>
}

/** A client of ioredis 5 and later, and of iovalkey: a `Redis`, or a `Cluster`. */
export interface IoredisClient {
  callBuffer(command: string, args: (string | Buffer)[]): Promise<unknown>
}

/** A subscriber of ioredis and iovalkey: a `Redis` that does nothing but subscribe, or a `Cluster`. */
export interface IoredisSubscriber {
  subscribe(channel: string): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  on(event: 'messageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown
  off(event: 'messageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown
}

/** A client of node-redis (`redis`) 5 and later. */
export interface NodeRedisClient {
  sendCommand(args: (string | Buffer)[], options: NodeRedisReplies): Promise<unknown>
}

/** A cluster of node-redis (`redis`) 5 and later. */
export interface NodeRedisCluster {
  sendCommand(
    firstKey: Buffer | undefined,
    isReadonly: boolean,
    args: (string | Buffer)[],
    options: NodeRedisReplies,
  ): Promise<unknown>
}

/** A sentinel of node-redis (`redis`) 5 and later. */
export interface NodeRedisSentinel {
  sendCommand(isReadonly: boolean, args: (string | Buffer)[], options: NodeRedisReplies): Promise<unknown>
}

/** A subscriber of node-redis: a client, or the cluster or sentinel itself. */
export interface NodeRedisSubscriber {
  subscribe(channel: string, listener: NodeRedisListener, bufferMode: true): Promise<void>
  unsubscribe(channel: string, listener: NodeRedisListener, bufferMode: true): Promise<void>
}

/** Its cluster's types do not tell buffer mode from the other. */
export type NodeRedisListener = (message: Buffer | string) => void

/** What makes node-redis answer with bytes: 36 is `$`, the type of bulk strings. */
export interface NodeRedisReplies {
  readonly typeMapping: { readonly 36: typeof Buffer }
}

/**
 * A `Redis` or `Cluster` of ioredis.
 *
 * Give a `Redis` `maxRetriesPerRequest: 0` and `enableOfflineQueue: false`, a `Cluster` `retryDelayOnFailover: 0`: otherwise a SET
 * whose answer was lost is sent again, and may bring back a session that was taken in between; and commands for a dead server pile
 * up. (`autoResendUnfulfilledCommands: false` is no way out: such a command then never settles.)
 *
 * @param options - `subscriber`, for push: a second `Redis`, since one that subscribes can do nothing else, or the same `Cluster`
 */
export function fromIoredis(
  client: IoredisClient,
  options: { readonly subscriber?: IoredisSubscriber } = {},
): RedisConnection {
  return ofIoredis('fromIoredis', client, options)
}

function ofIoredis(
  caller: string,
  client: IoredisClient,
  options: { readonly subscriber?: IoredisSubscriber },
): RedisConnection {
  const kind = 'a Redis or Cluster of ioredis 5 or later, or of iovalkey'
  checkMethods(`the client of ${caller}`, client, ['callBuffer'], kind)
  checkSubscriber(caller, options, ['subscribe', 'unsubscribe', 'on', 'off'])
  // Of the client itself: commands by name, with answers in bytes, end the process then.
  const { options: own } = client as { readonly options?: { readonly enableAutoPipelining?: unknown } }
  if (own?.enableAutoPipelining === true)
    throw new ArgumentError(
      `the client of ${caller} has enableAutoPipelining: true, with which ioredis throws where nobody can catch it: ` +
        'give it a client of its own, without',
    )
  const { subscriber } = options
  const explained = connectionErrorsOf(client)
  return {
    send: ({ name, args }) => explained(client.callBuffer(name, args)),
    ...(subscriber && { subscribe: (channel, onMessage) => listen(subscriber, channel, onMessage) }),
  }
}

/** The same for iovalkey, whose interface is that of ioredis. */
export function fromIovalkey(
  client: IoredisClient,
  options: { readonly subscriber?: IoredisSubscriber } = {},
): RedisConnection {
  return ofIoredis('fromIovalkey', client, options)
}

/**
 * A client of node-redis. It sends nothing twice; give it `disableOfflineQueue: true`, or a dead server's commands pile up in it.
 *
 * @param options - `subscriber`: for push, a client, best one of its own
 */
export function fromNodeRedis(
  client: NodeRedisClient,
  options: { readonly subscriber?: NodeRedisSubscriber } = {},
): RedisConnection {
  checkNodeRedis('fromNodeRedis', client, options)
  const explained = connectionErrorsOf(client)
  return {
    send: ({ name, args }) => explained(client.sendCommand([name, ...args], BYTES)),
    ...nodeRedisPush(options.subscriber),
  }
}

/**
 * A cluster of node-redis; for its clients see {@link fromNodeRedis}.
 *
 * @param options - `subscriber`: for push, the cluster itself, which subscribes on a connection of its own
 */
export function fromNodeRedisCluster(
  cluster: NodeRedisCluster,
  options: { readonly subscriber?: NodeRedisSubscriber } = {},
): RedisConnection {
  checkNodeRedis('fromNodeRedisCluster', cluster, options)
  return {
    send: ({ name, key, args }) => cluster.sendCommand(key, false, [name, ...args], BYTES),
    ...nodeRedisPush(options.subscriber),
  }
}

/**
 * What `createSentinel` of node-redis returns; for its clients see {@link fromNodeRedis}. Commands go to the master of the moment.
 *
 * @param options - `subscriber`: for push, the sentinel itself, which subscribes on a connection of its own
 */
export function fromNodeRedisSentinel(
  sentinel: NodeRedisSentinel,
  options: { readonly subscriber?: NodeRedisSubscriber } = {},
): RedisConnection {
  checkNodeRedis('fromNodeRedisSentinel', sentinel, options)
  return {
    send: ({ name, args }) => sentinel.sendCommand(false, [name, ...args], BYTES),
    ...nodeRedisPush(options.subscriber),
  }
}

/**
 * A client without a connection says so, and not why; it has told that to whoever listens to its errors. Who only watches them
 * takes nothing from those.
 *
 * @returns gives a command that failed for want of a connection the code of the last error of the connection, such as ECONNREFUSED
 */
function connectionErrorsOf(client: object): (answer: Promise<unknown>) => Promise<unknown> {
  const latest = latestErrors.get(client) ?? watchErrors(client)
  return (answer) =>
    answer.catch((error: unknown) => {
      const { code } = latest
      const isOffline = error instanceof Error && /writeable|offline|closed/i.test(error.message)
      if (!isOffline || code === undefined || codeIn(error) !== undefined) throw error
      throw Object.assign(new Error(`${error.message} (${code})`, { cause: error }), { code })
    })
}

interface LatestError {
  code: string | undefined
}

/** Several stores may have the same client, which is watched once. */
const latestErrors = new WeakMap<object, LatestError>()

function watchErrors(client: object): LatestError {
  const latest: LatestError = { code: undefined }
  latestErrors.set(client, latest)
  if (hasMethod(client, 'on'))
    (client as EventEmitter).on(errorMonitor, (error: unknown) => {
      latest.code = codeIn(error) ?? latest.code
    })
  return latest
}

function codeIn(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : []
  return 'code' in error && typeof error.code === 'string' ? error.code : codeIn(first)
}

/** By how many arguments `sendCommand` of node-redis takes: those of its three kinds of clients mean different things. */
const NODE_REDIS_KINDS = {
  fromNodeRedis: { parameters: 2, kind: 'what createClient of redis 5 or later returns' },
  fromNodeRedisSentinel: { parameters: 3, kind: 'what createSentinel of redis 5 or later returns' },
  fromNodeRedisCluster: { parameters: 4, kind: 'what createCluster of redis 5 or later returns' },
} as const

function checkNodeRedis(caller: keyof typeof NODE_REDIS_KINDS, client: unknown, options: unknown): void {
  const { kind } = NODE_REDIS_KINDS[caller]
  checkMethods(`the client of ${caller}`, client, ['sendCommand'], kind)
  if (hasMethod(client, 'callBuffer'))
    throw new ArgumentError(`${caller} takes ${kind}, this client goes to fromIoredis or fromIovalkey`)
  const { length } = (client as NodeRedisClient).sendCommand
  const [other] = Object.entries(NODE_REDIS_KINDS).find(([, { parameters }]) => parameters === length) ?? []
  if (other !== undefined && other !== caller)
    throw new ArgumentError(`${caller} takes ${kind}, this client goes to ${other}`)
  checkSubscriber(caller, options, ['subscribe', 'unsubscribe'])
}

function checkSubscriber(caller: string, options: unknown, methods: readonly string[]): void {
  checkOptions(caller, options, { subscriber: CHECKED_LATER })
  const { subscriber } = options as { readonly subscriber?: unknown }
  if (subscriber !== undefined)
    checkMethods(`the subscriber of ${caller}`, subscriber, methods, 'a client of the same library')
}

/** RESP's type byte `$`, bulk string: RESP_TYPES.BLOB_STRING of node-redis. */
const BYTES: NodeRedisReplies = { typeMapping: { 36: Buffer } }

function nodeRedisPush(subscriber: NodeRedisSubscriber | undefined): Pick<RedisConnection, 'subscribe'> {
  if (subscriber === undefined) return {}
  return {
    async subscribe(channel, onMessage) {
      // Of its own, since the client ends a subscription by its listener.
      const listener: NodeRedisListener = (message) => {
        if (typeof message !== 'string') onMessage(message)
      }
      await subscriber.subscribe(channel, listener, true)
      return () => subscriber.unsubscribe(channel, listener, true)
    },
  }
}

type MessageListener = (message: Uint8Array) => void

/** Several stores may have the same subscriber, which is listened to once. */
const subscriptions = new WeakMap<IoredisSubscriber, IoredisSubscriptions>()

async function listen(
  subscriber: IoredisSubscriber,
  channel: string,
  onMessage: MessageListener,
): Promise<() => Promise<void>> {
  const own = subscriptions.get(subscriber) ?? new IoredisSubscriptions(subscriber)
  subscriptions.set(subscriber, own)
  return own.add(channel, onMessage)
}

/** Who listens to which channel: ioredis leaves that to its users. */
class IoredisSubscriptions {
  readonly #subscriber: IoredisSubscriber
  readonly #listeners: Map<string, Set<MessageListener>> = new Map()

  constructor(subscriber: IoredisSubscriber) {
    this.#subscriber = subscriber
  }

  /** @returns ends it */
  async add(channel: string, onMessage: MessageListener): Promise<() => Promise<void>> {
    // The same function may listen twice.
    const listener: MessageListener = (message) => onMessage(message)
    const end = async (): Promise<void> => {
      if (this.#remove(channel, listener)) await this.#subscriber.unsubscribe(channel)
    }
    if (this.#listeners.size === 0) this.#subscriber.on('messageBuffer', this.#onMessage)
    this.#listeners.set(channel, (this.#listeners.get(channel) ?? new Set()).add(listener))
    try {
      await this.#subscriber.subscribe(channel)
    } catch (error) {
      await end().catch(() => undefined)
      throw error
    }
    return end
  }

  readonly #onMessage = (channel: Buffer, message: Buffer): void => {
    for (const listener of this.#listeners.get(channel.toString()) ?? []) listener(message)
  }

  /** @returns whether nobody listens to the channel any more */
  #remove(channel: string, listener: MessageListener): boolean {
    const listeners = this.#listeners.get(channel)
    if (listeners?.delete(listener) !== true || listeners.size > 0) return false
    this.#listeners.delete(channel)
    if (this.#listeners.size === 0) this.#subscriber.off('messageBuffer', this.#onMessage)
    return true
  }
}
