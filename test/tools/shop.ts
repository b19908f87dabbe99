import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import * as promClient from 'prom-client'
import {
  attachServer,
  type GuardedStore,
  guarded,
  KeyRing,
  type ServerHandshake,
  type SessionStore,
  SslContext,
  type SslContextOptions,
  sealed,
  serverOptions,
  storeCallbacks,
} from '../../src/index.ts'
import { prometheusMetrics } from '../../src/observability/prometheus.ts'
import type { MeasuredParts } from '../../src/observability/subject.ts'
import { makeCertificate } from './certificate.ts'

/** Its sessions are not kept. */
export const ROBOT = 'robot.example'
const PEOPLE = 'shop.example'
const certificate = await makeCertificate(PEOPLE, { names: [PEOPLE, ROBOT] })

/** Comes again and again, and brings the session of the last time. */
export interface Client {
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly servername?: string
  /** Comes to the server with stateless tickets, if there is one. */
  readonly atEdge?: boolean
  session?: Buffer | undefined
}

/** A server with all that can be measured about one, measured. */
export interface Shop {
  readonly parts: MeasuredParts
  readonly context: SslContext
  readonly guard: GuardedStore
  readonly register: promClient.Registry
  visit(client: Client): Promise<void>
  /** Somebody who speaks no TLS. */
  scan(): Promise<void>
  close(): Promise<void>
}

export async function openShop(
  store: SessionStore,
  settings: Pick<SslContextOptions, 'sessionCacheSize' | 'sessionTimeout'>,
  { hasEdge = false }: { readonly hasEdge?: boolean } = {},
): Promise<Shop> {
  const guard = guarded(store, { name: 'sessions' })
  const context = new SslContext({
    ...settings,
    ...storeCallbacks(sealed(guard, new KeyRing([randomBytes(32)]))),
  })
  const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) =>
    socket.on('error', () => undefined).end('hello'),
  )
  const waiting: (() => void)[] = []
  const attachment = attachServer(server, context, {
    shouldStore: (hello) => hello?.serverName !== ROBOT,
    onHandshake: ({ outcome }: ServerHandshake) => {
      if (outcome === 'failed') waiting.shift()?.()
    },
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const edge = hasEdge ? await openEdge() : undefined
  const register = new promClient.Registry()
  const parts = {
    contexts: { shop: context },
    stores: { sessions: guard },
    attachments: { shop: attachment, ...(edge && { edge: edge.attachment }) },
    clients: {},
  }
  const end = prometheusMetrics(promClient, parts, { registers: [register] })
  return {
    parts,
    context,
    guard,
    register,
    visit: (client) => visit((client.atEdge === true ? edge?.port : undefined) ?? port, client),
    async scan() {
      const failed = new Promise<void>((resolve) => waiting.push(resolve))
      net
        .connect(port, '127.0.0.1')
        .on('error', () => undefined)
        .end('GET / HTTP/1.0\r\n\r\n')
      await failed
    },
    async close() {
      end()
      server.close()
      edge?.server.close()
      await edge?.attachment.close()
      await attachment.close()
      await guard.close()
    },
  }
}

/** A server with stateless tickets beside it. */
async function openEdge() {
  const context = new SslContext()
  const server = tls.createServer(
    { ...certificate, ...serverOptions(context, { tickets: true }) },
    (socket) => socket.on('error', () => undefined).end('hello'),
  )
  const attachment = attachServer(server, context, { tickets: { keyRing: new KeyRing([randomBytes(32)]) } })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, attachment, port: (server.address() as AddressInfo).port }
}

async function visit(port: number, client: Client): Promise<void> {
  const { version, servername = PEOPLE, session } = client
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername,
    ca: certificate.cert,
    minVersion: version,
    maxVersion: version,
    ...(session && { session }),
  })
  socket.on('session', (next: Buffer) => {
    client.session = next
  })
  socket.resume()
  await once(socket, 'close')
}
