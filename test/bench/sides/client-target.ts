import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'

// A server for the bench of clients, in a process of its own. Its parent tells the certificate and whether each ticket is to be good
// once; how many tickets a full handshake gives is in the configuration of OpenSSL.

interface Wish {
  readonly key: string
  readonly cert: string
  readonly isAttached: boolean
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3'
}

const [{ key, cert, isAttached, maxVersion }] = (await once(process, 'message')) as [Wish]
const context = new SslContext({ sessionIdContext: 'bench' })
const server = tls.createServer(
  { key, cert, maxVersion, ...(isAttached && serverOptions(context)) },
  (socket) => void socket.on('error', () => undefined).end('hello'),
)
if (isAttached) attachServer(server, context, { singleUse: true })
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.((server.address() as AddressInfo).port)
process.once('disconnect', () => process.exit())
