/**
 * The least code that resumes TLS 1.3 by sessions in a Map: it takes the first bytes for a whole ClientHello, the last extension for
 * a PSK, and its first identity for a session id. No rule, no name, no count, no bound but one; never to be used. Speaks as
 * tls-server does.
 */
import type { Socket } from 'node:net'
import tls from 'node:tls'
import type { FromServer, ToServer } from './tls-server.ts'

const SSL_OP_NO_TICKET = 0x4000
const MAX_SESSIONS = 2_000
const PRE_SHARED_KEY = 41

/** @param hello - in one record */
function firstPskIdentity(hello: Buffer): string | undefined {
  // Record header, message header, version, random.
  let at = 5 + 4 + 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  const end = at + 2 + hello.readUInt16BE(at)
  at += 2
  while (at < end) {
    if (hello.readUInt16BE(at) === PRE_SHARED_KEY)
      return hello.toString('latin1', at + 8, at + 8 + hello.readUInt16BE(at + 6))
    at += 4 + hello.readUInt16BE(at + 2)
  }
  return undefined
}

function createServer(options: tls.TlsOptions): tls.Server {
  const sessions = new Map<string, Buffer>()
  let found: Buffer | undefined
  const server = tls.createServer({ ...options, secureOptions: SSL_OP_NO_TICKET })
  server.on('newSession', (id: Buffer, der: Buffer, done: () => void) => {
    sessions.set(id.toString('latin1'), der)
    if (sessions.size > MAX_SESSIONS) sessions.delete(sessions.keys().next().value ?? '')
    done()
  })
  server.on('resumeSession', (_id: Buffer, done: (error: null, der: Buffer | null) => void) =>
    done(null, found ?? null),
  )
  const [accept] = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    socket.once('readable', () => {
      const hello = socket.read() as Buffer | null
      if (hello === null) return socket.destroy()
      const id = firstPskIdentity(hello)
      found = id === undefined ? undefined : sessions.get(id)
      socket.unshift(hello)
      return accept?.call(server, socket)
    })
  })
  return server
}

function send(message: FromServer): void {
  process.send?.(message)
}

process.on('message', (message: ToServer) => {
  if (message.type === 'usage') {
    const { user, system } = process.cpuUsage()
    send({ type: 'usage', cpuUs: user + system })
    return
  }
  if (message.type !== 'start') return
  const { key, cert } = message
  const server = createServer({ key, cert })
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    socket.resume().write('.')
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1', () =>
    send({ type: 'listening', port: (server.address() as { port: number }).port }),
  )
})
process.on('disconnect', () => process.exit())
