import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import * as tls from 'node:tls'
import {
  ArgumentError,
  attachServer,
  ClientSessions,
  KeyRing,
  MemoryStore,
  type ServerHandshake,
  type SessionStore,
  SslContext,
  sealed,
  serverOptions,
  storeCallbacks,
} from 'sslctx'
import { lmdbStore } from 'sslctx/lmdb'
import { memcachedStore } from 'sslctx/memcached'
import { SslConnection } from 'sslctx/model'
import { openTelemetryMetrics } from 'sslctx/opentelemetry'
import { prometheusMetrics } from 'sslctx/prometheus'
import { type RedisConnection, redisStore } from 'sslctx/redis'
import { statusHandler } from 'sslctx/status'
import type { ManualClock } from 'sslctx/testing'

// A declaration that is not found would be `any`, and these no errors.
// @ts-expect-error
void (() => new SslContext({ timeout: 5 }))
// @ts-expect-error
void (() => lmdbStore(5))
// @ts-expect-error
void (() => memcachedStore(5))
// @ts-expect-error
void (() => openTelemetryMetrics(5))
// @ts-expect-error
void (() => prometheusMetrics(5))
// @ts-expect-error
void (() => statusHandler(5))
// @ts-expect-error
void ((connection: RedisConnection) => redisStore(connection, { prefix: 5 }))
// @ts-expect-error
void ((clock: ManualClock) => clock.nothing)
// @ts-expect-error
void ((context: SslContext) => new SslConnection(context).nothing)
// What a class of Node is, is known.
// @ts-expect-error
void ((context: SslContext) => attachServer(new Date(), context))
// @ts-expect-error
void ((sessions: ClientSessions) => sessions.connect({ port: 1 }).nothing)

const store: SessionStore = sealed(new MemoryStore(), new KeyRing([randomBytes(32)]))

async function main(): Promise<void> {
  const { EXERCISE_KEY: key = '', EXERCISE_CERT: cert = '' } = process.env
  const outcomes: ServerHandshake['outcome'][] = []
  const context = new SslContext({ sessionIdContext: 'exercise', ...storeCallbacks(store) })
  const server = tls.createServer({ key, cert, ...serverOptions(context) }, (socket) => socket.end('hello'))
  attachServer(server, context, { onHandshake: ({ outcome }) => outcomes.push(outcome) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sessions = new ClientSessions()
  for (let round = 0; round < 2; round++) {
    const { port } = server.address() as AddressInfo
    const socket: tls.TLSSocket = sessions.connect({
      host: '127.0.0.1',
      port,
      servername: 'exercise.example',
      ca: cert,
    })
    socket.resume()
    await once(socket, 'close')
  }
  server.close()
  if (!(failure() instanceof ArgumentError)) throw new Error('another class of errors')
  console.log(outcomes.join(', '))
}

function failure(): unknown {
  try {
    return storeCallbacks({} as SessionStore)
  } catch (error) {
    return error
  }
}

void main()
