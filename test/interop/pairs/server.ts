import cluster from 'node:cluster'
import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import {
  attachServer,
  KeyRing,
  type ServerHandshake,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import type { CallbackStore } from '../../../src/model.ts'
import { connectStore } from '../../tools/shared-store.ts'
import { CLUSTER_SIZE, serverKey } from '../setups.ts'
import type { FromServer, Start, Visit } from './messages.ts'

// One process with all servers of a layout, or the primary of a cluster whose workers have them.

/** Browsers would open another connection to ask for an icon. */
const PAGE = '<!doctype html><link rel="icon" href="data:,">hello\n'

function send(message: FromServer): void {
  if (process.connected) process.send?.(message)
}

/** What a handshake looked up in vain; TCP ports tell connections apart. */
type Missed = Map<number | undefined, string>

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function makeContext(store: CallbackStore, missed: Missed): SslContext {
  const { newSessionCallback, getSessionCallback, removeSessionCallback } = storeCallbacks(store, {
    plaintext: true,
  })
  return new SslContext({
    sessionIdContext: 'interop',
    removeSessionCallback,
    newSessionCallback(connection, session) {
      send({ type: 'issued', sessionId: hex(session.sessionId) })
      return newSessionCallback(connection, session)
    },
    async getSessionCallback(connection, sessionId) {
      const session = await getSessionCallback(connection, sessionId)
      if (session === undefined) missed.set((connection.appData as Socket).remotePort, hex(sessionId))
      return session
    },
  })
}

async function listen(
  { version, setup }: Start['servers'][number],
  start: Start,
  store: CallbackStore,
): Promise<void> {
  const { authority, server: certificate } = start.certificates[setup.keyKind]
  const missed: Missed = new Map()
  const handshakes = new WeakMap<Socket, Omit<Visit, 'clientName'>>()
  const context = makeContext(store, missed)
  const server = https.createServer({
    ...certificate,
    ...(setup.clientCertificate && { requestCert: true, ca: authority }),
    minVersion: version,
    maxVersion: version,
    ...serverOptions(context, { tickets: setup.layout === 'tickets' }),
  })
  const key = serverKey(version, setup)
  attachServer(server, context, {
    ...(setup.layout === 'tickets' && {
      tickets: { keyRing: new KeyRing([Buffer.from(start.secret, 'hex')]), versions: [version] },
    }),
    onHandshake({ socket, outcome, reason, protocol, serverName }: ServerHandshake) {
      if (socket === undefined) return
      const missedId = missed.get(socket.remotePort)
      missed.delete(socket.remotePort)
      handshakes.set(socket, { outcome, reason, protocol, serverName, missedId })
    },
  })
  server.on('tlsClientError', ({ code = '', message }: NodeJS.ErrnoException) => {
    // Chromium breaks off when a certificate is wanted, chooses one, and comes back.
    if (code !== 'ECONNRESET') send({ type: 'failed', server: key, reason: `${code} ${message}` })
  })
  server.on('request', (request, response) => {
    const handshake = handshakes.get(request.socket)
    const clientName = clientNameOf(request.socket as TLSSocket)
    if (handshake !== undefined) send({ type: 'visit', path: request.url ?? '', clientName, ...handshake })
    response.setHeader('Connection', 'close').setHeader('Content-Type', 'text/html').end(PAGE)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  send({ type: 'listening', server: key, port: (server.address() as AddressInfo).port })
}

function clientNameOf(socket: TLSSocket): string | undefined {
  return socket.authorized ? String(socket.getPeerCertificate().subject.CN) : undefined
}

async function serve(start: Start): Promise<void> {
  const store = await connectStore(start.storePort)
  // One after the other: the workers of a cluster share the ports that they ask for in the same order.
  for (const server of start.servers) await listen(server, start, store)
}

function serveByWorkers(start: Start): void {
  cluster.on('message', (worker, message: FromServer) => {
    if (message.type === 'ready') worker.send(start)
    else send(message)
  })
  for (let count = 0; count < CLUSTER_SIZE; count++) cluster.fork()
}

process.once('message', (start: Start) => {
  const isCluster = start.servers.some(({ setup }) => setup.layout !== 'one')
  if (isCluster && cluster.isPrimary) serveByWorkers(start)
  else void serve(start)
})
process.once('disconnect', () => process.exit())
if (!process.connected) process.exit()
send({ type: 'ready' })
