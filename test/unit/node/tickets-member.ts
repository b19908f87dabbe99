import cluster from 'node:cluster'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { attachServer, KeyRing, SslContext, serverOptions } from '../../../src/index.ts'
import type { MemberOrder, MemberSettings } from './tickets-fleet.ts'

// A member of a fleet with stateless tickets and without a store: a worker of a cluster, a thread, or a process.

const settings = (
  isMainThread ? JSON.parse(process.env['SSLCTX_TEST_MEMBER'] ?? '') : workerData
) as MemberSettings
let { aheadMs } = settings
const context = new SslContext({
  sessionIdContext: 'fleet',
  now: () => Date.now() + aheadMs,
  sessionTimeout: 86_400,
})
const server = tls.createServer(
  { ...settings.certificate, ...serverOptions(context, { tickets: true }) },
  (socket) => socket.on('error', () => undefined).end(String(settings.number)),
)
attachServer(server, context, { tickets: { keyRing: new KeyRing([Buffer.from(settings.secret, 'hex')]) } })

/** After each order, and when it listens. */
function tellPort(): void {
  const { port } = server.address() as AddressInfo
  if (isMainThread) process.send?.(port)
  else parentPort?.postMessage(port)
}

function obey(order: MemberOrder): void {
  if ('advanceMs' in order) aheadMs += order.advanceMs
  else server.setSecureContext(order.renewed)
  tellPort()
}

if (isMainThread) {
  process.on('message', obey)
  if (!cluster.isWorker) process.on('disconnect', () => process.exit())
} else parentPort?.on('message', obey)
server.listen(0, '127.0.0.1', tellPort)
