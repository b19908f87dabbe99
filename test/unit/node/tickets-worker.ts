import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { attachServer, KeyRing, SslContext, serverOptions } from '../../../src/index.ts'
import type { WorkerOrder, WorkerSettings } from './tickets-fleet.ts'
import { SETTINGS } from './tickets-fleet.ts'

/** One process of a fleet with stateless tickets and without a store, which does what its parent says. */
const { certificate, secret, offsetMs } = JSON.parse(process.env[SETTINGS] ?? '') as WorkerSettings
let aheadMs = offsetMs
const context = new SslContext({ now: () => Date.now() + aheadMs, sessionTimeout: 86_400 })
const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) =>
  socket.on('error', () => undefined).end('hello'),
)
const attachment = attachServer(server, context, {
  tickets: { keyRing: new KeyRing([Buffer.from(secret, 'hex')]) },
})

process.on('message', (order: WorkerOrder) => {
  if ('advanceMs' in order) aheadMs += order.advanceMs
  else server.setSecureContext(order.renewed)
  process.send?.(attachment.stats)
})
process.on('disconnect', () => process.exit())
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
