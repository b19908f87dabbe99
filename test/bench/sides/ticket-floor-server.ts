/**
 * The least code that reads ahead, opens a stateless ticket of TLS 1.3 and renews it through libssl's ticket key callback: it takes
 * the first bytes for a whole ClientHello, the last extension for a PSK, and looks at nothing in the session but its length. One
 * key for ever, no rule, no binding, no age; never to be used. Speaks as tls-server does.
 */
import { createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import type { FromServer, ToServer } from './tls-server.ts'

const PRE_SHARED_KEY = 41
const REFUSED = 0
const MADE = 1
const RENEWED = 2

interface NativeContext {
  enableTicketKeyCallback(): void
  onticketkeycallback: (name: Buffer, iv: Buffer, isEncrypting: boolean) => readonly (number | Buffer)[]
}

const name = randomBytes(16)
const mac = randomBytes(32)
const cipher = randomBytes(16)

/** @param hello - in one record */
function firstPskIdentity(hello: Buffer): Buffer | undefined {
  // Record header, message header, version, random.
  let at = 5 + 4 + 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  const end = at + 2 + hello.readUInt16BE(at)
  at += 2
  while (at < end) {
    if (hello.readUInt16BE(at) === PRE_SHARED_KEY)
      return hello.subarray(at + 8, at + 8 + hello.readUInt16BE(at + 6))
    at += 4 + hello.readUInt16BE(at + 2)
  }
  return undefined
}

/** @returns whether it is one of ours */
function open(ticket: Buffer): boolean {
  const sealed = ticket.subarray(0, -32)
  if (!timingSafeEqual(createHmac('sha256', mac).update(sealed).digest(), ticket.subarray(-32))) return false
  const decipher = createDecipheriv('aes-128-cbc', cipher, sealed.subarray(16, 32))
  const der = Buffer.concat([decipher.update(sealed.subarray(32)), decipher.final()])
  return der.length > 0
}

function createServer(options: tls.TlsOptions): tls.Server {
  let isGood = false
  const server = tls.createServer(options)
  const native = (server as unknown as { _sharedCreds: { context: NativeContext } })._sharedCreds.context
  native.enableTicketKeyCallback()
  native.onticketkeycallback = (_name, _iv, isEncrypting) => {
    if (isEncrypting) return [MADE, mac, cipher, name, randomBytes(16)]
    return [isGood ? RENEWED : REFUSED, mac, cipher]
  }
  const [accept] = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    socket.once('readable', () => {
      const hello = socket.read() as Buffer | null
      if (hello === null) return socket.destroy()
      const ticket = firstPskIdentity(hello)
      isGood = ticket !== undefined && open(ticket)
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
