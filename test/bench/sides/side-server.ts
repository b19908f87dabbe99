/** What the servers of the bench have in common: they start, and say what they hold, by {@link ToServer} and {@link FromServer}. */
import type { Socket } from 'node:net'
import type tls from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FromServer, ToServer } from './tls-server.ts'

export type Start = Extract<ToServer, { type: 'start' }>

const PRE_SHARED_KEY = 41

/** @param createServer - called when the bench says so */
export function serve(createServer: (start: Start) => tls.Server): void {
  process.on('message', (message: ToServer) => {
    if (message.type === 'heap') {
      // What only the last turn has held is over by then.
      setImmediate(() => send({ type: 'heap', bytes: heapBytes() }))
    } else listen(createServer(message))
  })
  process.on('disconnect', () => process.exit())
}

function listen(server: tls.Server): void {
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    // Node sends its tickets with the first byte.
    socket.resume().write('.')
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1', () =>
    send({
      type: 'listening',
      port: (server.address() as { port: number }).port,
      pids: [process.pid],
    }),
  )
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

function send(message: FromServer): void {
  process.send?.(message)
}

/** The least code that reads ahead: the first bytes are taken for a whole ClientHello. @param hear - gets it before Node does */
export function readAhead(server: tls.Server, hear: (hello: Buffer) => void): void {
  const [accept] = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    socket.once('readable', () => {
      const hello = socket.read() as Buffer | null
      if (hello === null) return socket.destroy()
      hear(hello)
      socket.unshift(hello)
      return accept?.call(server, socket)
    })
  })
}

/**
 * The last extension is taken for a PSK.
 *
 * @param hello - in one record
 * @returns where the first identity begins, whose length is in the two bytes before
 */
export function firstPskIdentityAt(hello: Buffer): number | undefined {
  // Record header, message header, version, random.
  let at = 5 + 4 + 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  const end = at + 2 + hello.readUInt16BE(at)
  at += 2
  while (at < end) {
    if (hello.readUInt16BE(at) === PRE_SHARED_KEY) return at + 8
    at += 4 + hello.readUInt16BE(at + 2)
  }
  return undefined
}
