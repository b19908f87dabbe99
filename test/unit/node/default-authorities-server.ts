import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import {
  attachServer,
  SessionCacheMode,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'
import { connectStore } from '../../tools/shared-store.ts'

export interface StartTrusting {
  readonly certificate: Certificate
  readonly storePort: number
  readonly version: 'TLSv1.2' | 'TLSv1.3'
}

export interface FromTrusting {
  readonly port: number
}

/** Verifies its clients by what this process trusts by default. */
async function serve({ certificate, storePort, version }: StartTrusting): Promise<void> {
  const context = new SslContext({
    sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
    sessionIdContext: 'authorities',
    ...storeCallbacks(await connectStore(storePort), { plaintext: true }),
  })
  const server = tls.createServer(
    {
      ...certificate,
      ...serverOptions(context),
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
    },
    (socket) => socket.on('error', () => undefined).end('hello'),
  )
  attachServer(server, context)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  process.send?.({ port: (server.address() as AddressInfo).port } satisfies FromTrusting)
}

process.once('message', (start: StartTrusting) => void serve(start))
process.on('disconnect', () => process.exit())
