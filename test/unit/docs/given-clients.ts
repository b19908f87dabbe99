import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { WebSocketServer } from 'ws'
import { ClientSessions } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { tests } from './given.ts'

// What the snippets of docs/clients.md take as given. Such a snippet is run twice in one process: its second connection is to be resumed.

const authority = await makeCertificate('authority', { isAuthority: true })
const certificate = await makeCertificate('localhost', { ca: authority })
const seen = { connections: 0, resumed: 0 }

export const ca: string = authority.cert
export const host = 'localhost'
export const sessions: ClientSessions = new ClientSessions()

type AnyServer = Pick<tls.Server, 'on' | 'listen' | 'address'>

async function start(server: AnyServer): Promise<number> {
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    seen.connections++
    if (socket.isSessionReused()) seen.resumed++
  })
  server.on('tlsClientError', () => undefined)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

/** As much of a protocol as a client needs that says hello: what is answered to what. */
function talking(
  greeting: string,
  answer: (said: Buffer, socket: net.Socket) => string | Buffer,
): tls.Server {
  return tls.createServer(certificate, (socket) => {
    socket.on('error', () => undefined)
    socket.write(greeting)
    socket.on('data', (said: Buffer) => socket.write(answer(said, socket)))
  })
}

const web = createSecureServer({ ...certificate, allowHTTP1: true }, (_request, response) => {
  response.end('hello')
})
// The one for HTTP/1.1 is all that is used.
new WebSocketServer({ server: web as never })
const webPort = await start(web)
export const url = `https://${host}:${webPort}/`

export const port: number = await start(
  tls.createServer(certificate, (socket) => void socket.on('error', () => undefined).end('hello')),
)

/** An OK for each command. */
export const redisPort: number = await start(
  talking('', (said) => '+OK\r\n'.repeat(said.toString('latin1').match(/^\*\d+\r\n/gm)?.length ?? 0)),
)

const CONNECT = 0x10
const CONNACK = Buffer.from([0x20, 2, 0, 0])
export const mqttPort: number = await start(
  talking('', (said) => (said[0] === CONNECT ? CONNACK : Buffer.alloc(0))),
)

export const smtpPort: number = await start(
  talking('220 localhost\r\n', (said) => (String(said).startsWith('QUIT') ? '221 bye\r\n' : '250 OK\r\n')),
)

let isAgain = false
tests.push({
  title: 'the second connection is resumed',
  async run() {
    if (!isAgain) {
      isAgain = true
      // The same snippet once more; at its end it comes here again, and then to its own end.
      await import(`${process.argv[1]}?again`)
    }
    if (seen.connections < 2 || seen.resumed < 1)
      throw new Error(`${seen.connections} connections, of which ${seen.resumed} were resumed`)
  },
})
