import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import {
  attachServer,
  type ServerHandshake,
  SessionCacheMode,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import type { CallbackStore } from '../../../src/model.ts'
import type { Certificate } from '../../tools/certificate.ts'
import { connectStore } from '../../tools/shared-store.ts'

export interface StartServer {
  readonly type: 'start'
  readonly certificate: Certificate
  readonly storePort: number
}

export type FromServer =
  | { readonly type: 'listening'; readonly port: number }
  | ({ readonly type: 'handshake' } & Pick<ServerHandshake, 'outcome' | 'reason' | 'protocol'>)
  | { readonly type: 'stored'; readonly count: number }

function send(message: FromServer): void {
  process.send?.(message)
}

/** Says when its sessions have arrived, so that nobody comes back too early. */
function announced(store: CallbackStore): CallbackStore {
  return {
    ...store,
    async set(entries) {
      await store.set(entries)
      send({ type: 'stored', count: entries.length })
    },
  }
}

async function serve({ certificate, storePort }: StartServer): Promise<void> {
  const context = new SslContext({
    // All that is resumed here has come from the store, also what this server made itself.
    sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
    sessionIdContext: 'engines',
    ...storeCallbacks(announced(await connectStore(storePort)), { plaintext: true }),
  })
  const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) =>
    socket.on('error', () => undefined).end('hello\n'),
  )
  attachServer(server, context, {
    onHandshake: ({ outcome, reason, protocol }) => send({ type: 'handshake', outcome, reason, protocol }),
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  send({ type: 'listening', port: (server.address() as AddressInfo).port })
}

process.once('message', (start: StartServer) => void serve(start))
process.on('disconnect', () => process.exit())
