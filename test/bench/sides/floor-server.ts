/**
 * The least code that resumes TLS 1.3 by sessions in a Map: it takes the first bytes for a whole ClientHello, the last extension for
 * a PSK, and its first identity for a session id. No rule, no name, no count, no bound but one; never to be used. Speaks as
 * tls-server does.
 */
import tls from 'node:tls'
import { firstPskIdentityAt, readAhead, type Start, serve } from './side-server.ts'

const SSL_OP_NO_TICKET = 0x4000
const MAX_SESSIONS = 2_000

function createServer({ key, cert }: Start): tls.Server {
  const sessions = new Map<string, Buffer>()
  let found: Buffer | undefined
  const server = tls.createServer({ key, cert, secureOptions: SSL_OP_NO_TICKET })
  server.on('newSession', (id: Buffer, der: Buffer, done: () => void) => {
    sessions.set(id.toString('latin1'), der)
    if (sessions.size > MAX_SESSIONS) sessions.delete(sessions.keys().next().value ?? '')
    done()
  })
  server.on('resumeSession', (_id: Buffer, done: (error: null, der: Buffer | null) => void) =>
    done(null, found ?? null),
  )
  readAhead(server, (hello) => {
    const at = firstPskIdentityAt(hello)
    found =
      at === undefined
        ? undefined
        : sessions.get(hello.toString('latin1', at, at + hello.readUInt16BE(at - 2)))
  })
  return server
}

serve(createServer)
