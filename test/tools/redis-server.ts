import { type ChildProcess, execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Cluster as IoredisCluster, Redis } from 'ioredis'
import { Cluster as IovalkeyCluster, Redis as Valkey } from 'iovalkey'
import { createClient, createCluster } from 'redis'
import {
  fromIoredis,
  fromIovalkey,
  fromNodeRedis,
  fromNodeRedisCluster,
  type RedisConnection,
} from '../../src/store/redis-store.ts'
import { missingCommand } from './peers.ts'
import { endProcess, freePort, startProgram } from './server-process.ts'

export const redisProblem: string | undefined = missingCommand('redis-server', '--version')
export const redisClusterProblem: string | undefined =
  redisProblem ?? missingCommand('redis-cli', '--version')

/** A cluster node talks to the others on its port + 10000. */
const MAX_PORT = 50_000

export interface RedisServer {
  readonly port: number
  /** SIGKILL: no goodbye to anyone. */
  kill(): Promise<void>
  /** After {@link kill}: the same port, and nothing in it. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** A redis-server on 127.0.0.1 that writes nothing to its disk. `settings` are as in redis.conf, `maxmemory` and `1` apart. */
export async function startRedis(...settings: readonly string[]): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'sslctx-redis-'))
  const port = await freePort(MAX_PORT)
  let child = await spawnRedis(port, directory, settings)
  const kill = (): Promise<void> => endProcess(child)
  return {
    port,
    kill,
    async restart() {
      child = await spawnRedis(port, directory, settings)
    },
    async close() {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function spawnRedis(port: number, directory: string, settings: readonly string[]): Promise<ChildProcess> {
  const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '']
  return startProgram('redis-server', [...own, ...settings], /Ready to accept connections/)
}

export interface RedisCluster {
  readonly ports: readonly number[]
  /** Moves the slot of a key, with all that is in it, from node to node, round and round. */
  keepMoving(key: string): { stop(): Promise<{ readonly moves: number; readonly keysMoved: number }> }
  /** How often the nodes answered with an error of this name, such as MOVED. */
  countErrors(name: string): Promise<number>
  close(): Promise<void>
}

export async function startRedisCluster(): Promise<RedisCluster> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '5000']
  const servers = await Promise.all([1, 2, 3].map(() => startRedis(...settings)))
  const ports = servers.map(({ port }) => port)
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  await promisify(execFile)('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'])
  const nodes = ports.map((port) => new Redis(port, '127.0.0.1', { lazyConnect: true }))
  await Promise.all(nodes.map((node) => node.connect()))
  await Promise.all(nodes.map(untilWhole))
  return {
    ports,
    keepMoving: (key) => keepMoving(nodes, ports, key),
    async countErrors(name) {
      const stats = await Promise.all(nodes.map((node) => node.info('errorstats')))
      return stats
        .map((text) => Number(new RegExp(`errorstat_${name}:count=(\\d+)`).exec(text)?.[1] ?? 0))
        .reduce((sum, count) => sum + count)
    },
    async close() {
      for (const node of nodes) node.disconnect()
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

/** redis-cli waits until the nodes agree; each takes a moment more to say that the cluster is up. */
async function untilWhole(node: Redis): Promise<void> {
  while (!String(await node.cluster('INFO')).includes('cluster_state:ok'));
}

function keepMoving(
  nodes: readonly Redis[],
  ports: readonly number[],
  key: string,
): ReturnType<RedisCluster['keepMoving']> {
  let isOn = true
  const moved = (async () => {
    const slot = Number(await nodes[0]!.call('CLUSTER', 'KEYSLOT', key))
    const ids = await Promise.all(nodes.map(async (node) => String(await node.call('CLUSTER', 'MYID'))))
    let owner = await ownerOf(nodes, slot)
    let moves = 0
    let keysMoved = 0
    for (; isOn; moves++) {
      const next = (owner + 1) % nodes.length
      await untilUpToDate(nodes, nodes[next]!)
      keysMoved += await moveSlot(nodes, ports, ids, slot, owner, next)
      owner = next
    }
    return { moves, keysMoved }
  })()
  // Whoever stops it hears of its failure.
  moved.catch(() => undefined)
  return {
    stop() {
      isOn = false
      return moved
    },
  }
}

/**
 * The target's claim to the slot must be the latest that there is. Otherwise an older claim, which is still on its way between
 * two nodes, wins over it, and the target answers with MOVED for a slot that it has got.
 */
async function untilUpToDate(nodes: readonly Redis[], target: Redis): Promise<void> {
  const latest = Math.max(...(await Promise.all(nodes.map(epochOf))))
  while ((await epochOf(target)) < latest);
}

async function epochOf(node: Redis): Promise<number> {
  return Number(/cluster_current_epoch:(\d+)/.exec(String(await node.cluster('INFO')))?.[1] ?? 0)
}

async function ownerOf(nodes: readonly Redis[], slot: number): Promise<number> {
  const answers = await Promise.all(
    nodes.map(async (node) => {
      const lines = String(await node.call('CLUSTER', 'NODES')).split('\n')
      const ranges =
        lines
          .find((line) => line.includes('myself'))
          ?.split(' ')
          .slice(8) ?? []
      return ranges.some((range) => {
        const [first = Number.NaN, last = first] = range.split('-').map(Number)
        return slot >= first && slot <= last
      })
    }),
  )
  return answers.indexOf(true)
}

/** As `redis-cli --cluster reshard` does it: https://redis.io/docs/latest/commands/cluster-setslot/ */
async function moveSlot(
  nodes: readonly Redis[],
  ports: readonly number[],
  ids: readonly string[],
  slot: number,
  from: number,
  to: number,
): Promise<number> {
  const source = nodes[from]!
  const target = nodes[to]!
  await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from]!)
  await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to]!)
  let keysMoved = 0
  for (;;) {
    const keys = (await source.callBuffer('CLUSTER', 'GETKEYSINSLOT', slot, 5)) as Buffer[]
    if (keys.length === 0) break
    await source.call('MIGRATE', '127.0.0.1', ports[to]!, '', 0, 5000, 'KEYS', ...keys)
    keysMoved += keys.length
  }
  for (const node of [target, source, ...nodes.filter((one) => one !== source && one !== target)])
    await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to]!)
  return keysMoved
}

export interface OpenConnection {
  readonly connection: RedisConnection
  /** When the client has connected again. */
  nextReady(): Promise<unknown>
  close(): void
}

/** Each client as the documentation of its shim wants it: nothing is sent twice, nothing piles up. */
export const redisClients: readonly {
  readonly name: string
  readonly open: (port: number) => Promise<OpenConnection>
}[] = [
  {
    name: 'ioredis',
    async open(port) {
      const client = new Redis(port, '127.0.0.1', SENDS_ONCE)
      client.on('error', () => undefined)
      const subscriber = client.duplicate()
      subscriber.on('error', () => undefined)
      await Promise.all([client.connect(), subscriber.connect()])
      return {
        connection: fromIoredis(client, { subscriber }),
        nextReady: () => new Promise((resolve) => client.once('ready', resolve)),
        close() {
          client.disconnect()
          subscriber.disconnect()
        },
      }
    },
  },
  {
    name: 'iovalkey',
    async open(port) {
      const client = new Valkey(port, '127.0.0.1', SENDS_ONCE)
      client.on('error', () => undefined)
      const subscriber = client.duplicate()
      subscriber.on('error', () => undefined)
      await Promise.all([client.connect(), subscriber.connect()])
      return {
        connection: fromIovalkey(client, { subscriber }),
        nextReady: () => new Promise((resolve) => client.once('ready', resolve)),
        close() {
          client.disconnect()
          subscriber.disconnect()
        },
      }
    },
  },
  {
    name: 'node-redis',
    async open(port) {
      const client = createClient({ socket: { host: '127.0.0.1', port }, disableOfflineQueue: true })
      client.on('error', () => undefined)
      const subscriber = client.duplicate()
      subscriber.on('error', () => undefined)
      await Promise.all([client.connect(), subscriber.connect()])
      return {
        connection: fromNodeRedis(client, { subscriber }),
        nextReady: () => new Promise((resolve) => client.once('ready', resolve)),
        close() {
          client.destroy()
          subscriber.destroy()
        },
      }
    },
  },
]

const SENDS_ONCE = { lazyConnect: true, maxRetriesPerRequest: 0, enableOfflineQueue: false }

/** The same for clusters, each of which is its own subscriber. */
export const redisClusterClients: readonly {
  readonly name: string
  readonly open: (ports: readonly number[]) => Promise<OpenConnection>
}[] = [
  {
    name: 'ioredis Cluster',
    async open(ports) {
      const cluster = new IoredisCluster(nodesAt(ports), { lazyConnect: true, retryDelayOnFailover: 0 })
      await cluster.connect()
      return {
        connection: fromIoredis(cluster, { subscriber: cluster }),
        nextReady: () => new Promise((resolve) => cluster.once('ready', resolve)),
        close: () => cluster.disconnect(),
      }
    },
  },
  {
    name: 'iovalkey Cluster',
    async open(ports) {
      const cluster = new IovalkeyCluster(nodesAt(ports), { lazyConnect: true, retryDelayOnFailover: 0 })
      await cluster.connect()
      return {
        connection: fromIovalkey(cluster, { subscriber: cluster }),
        nextReady: () => new Promise((resolve) => cluster.once('ready', resolve)),
        close: () => cluster.disconnect(),
      }
    },
  },
  {
    name: 'node-redis createCluster',
    async open(ports) {
      const cluster = createCluster({ rootNodes: nodesAt(ports).map((socket) => ({ socket })) })
      cluster.on('error', () => undefined)
      await cluster.connect()
      return {
        connection: fromNodeRedisCluster(cluster, { subscriber: cluster }),
        nextReady: () => new Promise((resolve) => cluster.once('connect', resolve)),
        close: () => cluster.destroy(),
      }
    },
  },
]

function nodesAt(ports: readonly number[]): { host: string; port: number }[] {
  return ports.map((port) => ({ host: '127.0.0.1', port }))
}
