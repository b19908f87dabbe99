import type { Certificate } from '../tools/certificate.ts'
import {
  alpn,
  bytes,
  clientHello,
  ExtensionType,
  extension,
  records,
  serverName,
  uint,
  vector,
} from '../tools/client-hello-builder.ts'
import { redisProblem } from '../tools/redis-server.ts'
import type { Benchmark, Measure, Peer, Side } from './compare.ts'
import { handshakeBenchmarks, nginxBenchmark, type Setting } from './handshakes.ts'
import { runLibssl, runSide } from './programs.ts'
import type { ClusterStart } from './sides/redis-cluster.ts'
import { makeTemplate } from './sides/sessions.ts'
import { redisCluster, throughput } from './tls-load.ts'

const MILLION = 1_000_000

export interface Peers {
  /** The name of the libssl that cc links, or why there is none. */
  readonly libssl: { readonly version?: string; readonly missing?: string }
  /** This Node and the newest, with ECDSA and RSA; the first is what one row alone is measured with. */
  readonly settings: readonly [Setting, ...Setting[]]
}

export function benchmarks(peers: Peers): Benchmark[] {
  const [usual] = peers.settings
  return [
    ...cacheBenchmarks(peers),
    ...codecBenchmarks(),
    ...handshakeBenchmarks(peers.settings),
    redisBenchmark(usual.certificate),
    nginxBenchmark(usual),
    startBenchmark(),
  ]
}

function libsslPeer(peers: Peers, operation: string, sessions: number, batches: number, note?: string): Peer {
  const { der, idOffset, timeOffset } = makeTemplate()
  const template = Buffer.from(der).toString('hex')
  return {
    name: `${peers.libssl.version ?? 'libssl'} in C${note === undefined ? '' : `, ${note}`}`,
    missing: peers.libssl.missing,
    measure: () => runLibssl(operation, sessions, batches, template, idOffset, timeOffset),
  }
}

function cacheBenchmarks(peers: Peers): Benchmark[] {
  const row = (
    name: string,
    operation: string,
    sessions: number,
    batches: number,
    fields: Omit<Benchmark, 'name' | 'ours' | 'peers' | 'unit'> & Partial<Pick<Benchmark, 'unit' | 'peers'>>,
  ): Benchmark => ({
    name,
    unit: 'ns',
    ours: () => runSide('cache', operation, sessions, batches),
    peers: [libsslPeer(peers, operation, sessions, batches)],
    ...fields,
  })
  const bare: Record<string, string> = { lookup: 'find', miss: 'find-absent', mixed: 'mixed-find' }
  // A server has a connection for each lookup. The lookup alone is shown, and has rows of its own: find.
  const lookingUp = (
    name: string,
    operation: string,
    sessions: number,
    batches: number,
    what: string,
    others: readonly Peer[] = [],
  ): Benchmark =>
    row(name, operation, sessions, batches, {
      what,
      target: 1,
      peers: [
        libsslPeer(peers, operation, sessions, batches, 'with a connection each'),
        { ...libsslPeer(peers, bare[operation] ?? '', sessions, batches, 'the lookup alone'), target: null },
        ...others,
      ],
    })
  const map: Peer = { name: 'a hand-written Map', measure: () => runSide('map', 'mixed', MILLION, 100) }
  const hit = 'a connection, and its lookup of an id: a hit'
  const found = 'SSL_has_matching_session_id and ours: a hit'
  const added = 'add to a full cache, which evicts one'
  const mixed = '90 % look up, 9 % add, 1 % remove, while sessions expire'
  return [
    lookingUp('lookup-20k', 'lookup', 20_480, 100, hit),
    lookingUp('lookup-1m', 'lookup', MILLION, 200, hit),
    lookingUp(
      'miss-20k',
      'miss',
      20_480,
      50,
      'a connection, and its lookup of an id: a miss, and a new session',
    ),
    row('find-20k', 'find', 20_480, 200, { what: found, target: 1 }),
    row('find-1m', 'find', MILLION, 200, { what: found, target: 1 }),
    row('find-absent-20k', 'find-absent', 20_480, 200, { what: found.replace('hit', 'miss'), target: 1 }),
    row('add-20k', 'add', 20_480, 100, { what: added, target: 1 }),
    row('add-1m', 'add', MILLION, 100, { what: added, target: 1 }),
    lookingUp('mixed-1m', 'mixed', MILLION, 100, mixed, [map]),
    row('memory-1m', 'memory', MILLION, 0, {
      what: 'resident bytes of a session of 160 bytes of DER',
      unit: 'bytes',
      target: 0.4,
      rounds: 3,
    }),
    {
      name: 'gc-1m',
      what: 'longest stall while 10,000 sessions a second come and go',
      unit: 'ms',
      target: 0.5,
      rounds: 3,
      ours: () => runSide('stall', 'ours', MILLION, 20),
      peers: [{ name: 'a hand-written Map of Buffers', measure: () => runSide('stall', 'map', MILLION, 20) }],
    },
    row('flush-1m', 'flush', MILLION, 0, {
      what: 'flushes of which 0, 1 and 100 % have expired',
      unit: 'ms',
      target: 1,
      rounds: 3,
    }),
    {
      name: 'flush-stall',
      what: 'longest stall while 1,000,000 sessions that expire together are cleared by handshakes, 32 by each',
      unit: 'ms',
      target: 0.01,
      rounds: 3,
      ours: () => runSide('stall', 'in-steps', MILLION, 0),
      peers: [
        { name: 'all at once, as libssl does it', measure: () => runSide('stall', 'at-once', MILLION, 0) },
      ],
    },
  ]
}

function codecBenchmarks(): Benchmark[] {
  const hello = Buffer.from(postQuantumHello()).toString('hex')
  const der =
    (whose: string): Measure =>
    () =>
      runSide('der', whose, 20_000)
  const read =
    (whose: string): Measure =>
    () =>
      runSide('hello', whose, 20_000, hello)
  return [
    {
      name: 'der',
      what: 'decode and encode a session',
      unit: 'ns',
      target: 0.1,
      ours: der('ours'),
      peers: [
        { name: '@peculiar/asn1-schema', measure: der('asn1-schema') },
        { name: 'asn1js without a schema', measure: der('asn1js') },
      ],
    },
    {
      name: 'hello',
      what: `read a post-quantum ClientHello of ${hello.length / 2} bytes`,
      unit: 'ns',
      target: 0.1,
      ours: read('ours'),
      peers: [{ name: 'read-tls-client-hello', measure: read('read-tls-client-hello') }],
    },
  ]
}

/** As a browser sends it: X25519MLKEM768 and X25519 key shares, and room for a ticket. */
function postQuantumHello(): Uint8Array {
  const share = (group: number, length: number): Uint8Array[] => [uint(2, group), vector(2, bytes(length))]
  return records(
    clientHello({
      extensions: [
        serverName('www.eu2.bench.example.net'),
        alpn('h2', 'http/1.1'),
        extension(ExtensionType.EXTENDED_MASTER_SECRET),
        extension(ExtensionType.SUPPORTED_VERSIONS, vector(1, uint(2, 0x0304), uint(2, 0x0303))),
        extension(ExtensionType.PSK_KEY_EXCHANGE_MODES, vector(1, uint(1, 1))),
        extension(ExtensionType.KEY_SHARE, vector(2, ...share(0x11ec, 1216), ...share(0x1d, 32))),
        extension(ExtensionType.SESSION_TICKET, bytes(320)),
      ],
    }),
  )
}

function redisBenchmark(certificate: Certificate): Benchmark {
  const redis = (kind: ClusterStart['kind']): Side =>
    throughput(() => redisCluster(kind, certificate), { version: 'TLSv1.2', resumes: true })
  const peer = (name: string, kind: ClusterStart['kind'], target?: null): Peer => ({
    name,
    missing: redisProblem,
    measure: redis(kind),
    ...(target === null && { target }),
  })
  return {
    name: 'redis-resume',
    what: 'time from one resumed handshake to the next, TLS 1.2, four workers and Redis',
    unit: 'us',
    target: 1,
    ours: redis('store'),
    peers: [
      peer('listeners over the bare client', 'hand-written'),
      peer('ours without the seal', 'unsealed', null),
      peer('ours without seal and guard', 'unguarded', null),
    ],
  }
}

function startBenchmark(): Benchmark {
  return {
    name: 'start',
    what: "import 'sslctx' in a fresh process",
    unit: 'ms',
    target: 1.5,
    rounds: 15,
    ours: () => runSide('start', 'ours'),
    peers: [{ name: 'its two dependencies', measure: () => runSide('start', 'dependencies') }],
  }
}

/** Lookup, add and flush as the cache grows; shown in a chart of its own. */
export function growth(peers: Peers, largest: number): Benchmark[] {
  const sizes = [10_000, 100_000, 1_000_000, 10_000_000].filter((size) => size <= largest)
  const shown = { find: 'ns', add: 'ns', flush: 'ms' } as const
  return Object.entries(shown).flatMap(([operation, unit]) =>
    sizes.map((sessions): Benchmark => {
      const batches = operation === 'flush' ? 0 : 200
      return {
        name: `growth-${operation}-1e${Math.log10(sessions)}`,
        what: `${operation} at ${sessions.toLocaleString('en')} sessions`,
        unit,
        rounds: sessions > MILLION ? 1 : 3,
        ours: () => runSide('cache', operation, sessions, batches),
        peers: [libsslPeer(peers, operation, sessions, batches)],
      }
    }),
  )
}
