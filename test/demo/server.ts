import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { open } from 'lmdb'
import {
  attachServer,
  guarded,
  KeyRing,
  SslContext,
  sealed,
  serverOptions,
  storeCallbacks,
} from '../../src/index.ts'
import type { StoreCallbacks } from '../../src/model.ts'
import { lmdbStore } from '../../src/store/lmdb-store.ts'
import type { FromServer, SharedStore, ToServer } from './messages.ts'

// One HTTPS server process. Its external cache is an LMDB file that it shares with the others.
let context: SslContext | undefined
/** Settles when all sessions so far are in the external cache. */
let stored: Promise<unknown> = Promise.resolve()

function send(message: FromServer): void {
  process.send?.(message)
}

function externalCache({ path, secret }: SharedStore): StoreCallbacks {
  const keyRing = new KeyRing([Buffer.from(secret, 'hex')])
  const callbacks = storeCallbacks(sealed(guarded(lmdbStore(open({ path }))), keyRing))
  return {
    ...callbacks,
    newSessionCallback(connection, session) {
      const answer = callbacks.newSessionCallback(connection, session)
      stored = Promise.allSettled([stored, answer])
      return answer
    },
  }
}

function start({ certificate, mode, store }: Extract<ToServer, { type: 'start' }>): void {
  context = new SslContext({
    sessionCacheMode: mode,
    sessionIdContext: 'demo',
    ...(store && externalCache(store)),
  })
  const server = https.createServer({ ...certificate, ...serverOptions(context) }, (_request, response) =>
    response.end('hello\n'),
  )
  let cpu = process.cpuUsage()
  let begin = performance.now()
  server.prependListener('connection', () => {
    cpu = process.cpuUsage()
    begin = performance.now()
  })
  attachServer(server, context, {
    onHandshake({ protocol = 'unknown', outcome, reason }) {
      const { user, system } = process.cpuUsage(cpu)
      const elapsedMs = performance.now() - begin
      const handshake = { protocol, outcome, reason, cpuMicros: user + system, elapsedMs }
      // The tickets of TLS 1.3 are made in this turn. Their client comes back at once, maybe to the other process.
      setImmediate(() => void stored.then(() => send({ type: 'handshake', handshake })))
    },
  })
  server.listen(0, '127.0.0.1', () =>
    send({ type: 'listening', port: (server.address() as AddressInfo).port }),
  )
}

process.on('message', (message: ToServer) => {
  if (message.type === 'start') start(message)
  else if (context !== undefined) send({ type: 'stats', stats: { ...context.stats } })
})
process.on('disconnect', () => process.exit())
