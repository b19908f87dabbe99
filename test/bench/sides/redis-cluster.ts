/**
 * Workers on one port that keep their sessions in Redis; see {@link ClusterStart}. TLS 1.2, which is all that listeners
 * of newSession and resumeSession can resume in every Node.
 */
import cluster from 'node:cluster'
import { once } from 'node:events'
import tls from 'node:tls'
import { Redis } from 'ioredis'
import {
  attachServer,
  guarded,
  KeyRing,
  SslContext,
  sealed,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import { fromIoredis, redisStore } from '../../../src/store/redis-store.ts'

export interface ClusterStart {
  /**
   * `store`: `sealed(guarded(redisStore(…)))`. `unsealed` and `unguarded`: the same without the one, and without either.
   * `hand-written`: listeners over the bare client.
   */
  readonly kind: 'store' | 'unsealed' | 'unguarded' | 'hand-written'
  readonly workers: number
  readonly redisPort: number
  readonly key: string
  readonly cert: string
  /** In hex. */
  readonly secret: string
}

const TIMEOUT_MS = 7_200_000
const SSL_OP_NO_TICKET = 0x4000

function createServer({ kind, redisPort, key, cert, secret }: ClusterStart): tls.Server {
  const client = new Redis(redisPort, '127.0.0.1')
  if (kind === 'hand-written') return handWritten(client, { key, cert })
  const bare = redisStore(fromIoredis(client))
  const unsealed = kind === 'unguarded' ? bare : guarded(bare)
  const store = kind === 'store' ? sealed(unsealed, new KeyRing([Buffer.from(secret, 'hex')])) : unsealed
  const context = new SslContext({ sessionIdContext: 'bench', ...storeCallbacks(store, { plaintext: true }) })
  const server = tls.createServer({ key, cert, ...serverOptions(context) })
  attachServer(server, context)
  return server
}

function handWritten(client: Redis, options: tls.TlsOptions): tls.Server {
  const server = tls.createServer({ ...options, secureOptions: SSL_OP_NO_TICKET, sessionIdContext: 'bench' })
  const keyOf = (id: Buffer): string => `session:${id.toString('hex')}`
  server.on('newSession', (id: Buffer, der: Buffer, done: () => void) => {
    client.set(keyOf(id), der, 'PX', TIMEOUT_MS).then(done, done)
  })
  server.on('resumeSession', (id: Buffer, done: (error: Error | null, der: Buffer | null) => void) => {
    client.getBuffer(keyOf(id)).then(
      (der) => done(null, der),
      () => done(null, null),
    )
  })
  return server
}

function work(start: ClusterStart): void {
  const server = createServer(start)
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    // Node sends its tickets with the first byte.
    socket.resume().write('.')
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
}

async function lead(start: ClusterStart): Promise<void> {
  const workers = Array.from({ length: start.workers }, () => cluster.fork())
  const ports = await Promise.all(
    workers.map(async (worker) => {
      // Its 'online' comes before it listens to messages.
      await once(worker, 'message')
      worker.send(start)
      const [{ port }] = (await once(worker, 'listening')) as [{ port: number }]
      return port
    }),
  )
  process.send?.({ type: 'listening', port: ports[0], pids: workers.map((worker) => worker.process.pid) })
}

if (cluster.isPrimary) process.once('message', (start: ClusterStart) => void lead(start))
else {
  process.once('message', work)
  process.send?.('ready')
}
process.on('disconnect', () => process.exit())
