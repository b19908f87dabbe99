import https from 'node:https'
import type { AddressInfo } from 'node:net'
import {
  attachServer,
  type SessionStore,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../src/index.ts'
import type { FromServer, ToServer } from './messages.ts'

// One HTTPS server process. Its external cache lies in the parent process, at the other end of an IPC channel.
const waiting = new Map<number, (der: string | undefined) => void>()
let context: SslContext | undefined

function send(message: FromServer): void {
  process.send?.(message)
}

function find(id: string): Promise<string | undefined> {
  const request = waiting.size === 0 ? 1 : Math.max(...waiting.keys()) + 1
  return new Promise((resolve) => {
    waiting.set(request, resolve)
    send({ type: 'find', request, id })
  })
}

/** A store whose sessions lie in the parent process. */
const parentStore: SessionStore = {
  async get(key) {
    const der = await find(Buffer.from(key).toString('hex'))
    return der === undefined ? undefined : new Uint8Array(Buffer.from(der, 'base64'))
  },
  set(entries) {
    for (const { key, value, expiresAtMs } of entries)
      send({
        type: 'store',
        id: Buffer.from(key).toString('hex'),
        der: Buffer.from(value).toString('base64'),
        expiresAtMs,
      })
  },
  take: () => undefined,
  delete: () => undefined,
  close: () => undefined,
}

function start({ certificate, mode, external }: Extract<ToServer, { type: 'start' }>): void {
  context = new SslContext({
    sessionCacheMode: mode,
    sessionIdContext: 'demo',
    ...(external ? storeCallbacks(parentStore) : {}),
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
      send({
        type: 'handshake',
        handshake: { protocol, outcome, reason, cpuMicros: user + system, elapsedMs },
      })
    },
  })
  server.listen(0, '127.0.0.1', () =>
    send({ type: 'listening', port: (server.address() as AddressInfo).port }),
  )
}

process.on('message', (message: ToServer) => {
  if (message.type === 'start') start(message)
  else if (message.type === 'found') {
    waiting.get(message.request)?.(message.der)
    waiting.delete(message.request)
  } else if (context !== undefined) send({ type: 'stats', stats: { ...context.stats } })
})
process.on('disconnect', () => process.exit())
