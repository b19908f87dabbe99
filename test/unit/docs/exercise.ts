import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { cert, servername, tests } from './given.ts'

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
type Version = (typeof VERSIONS)[number]

/**
 * What follows a snippet: the tests that it has declared are run, its server takes clients that come back with their session,
 * and the process ends, since servers and clients of stores are there to stay.
 *
 * @param subject - a server, or an application of one of the frameworks
 * @param expected - the versions in which a client must resume, and in no others
 */
export async function exercise(subject: unknown, expected: readonly string[]): Promise<never> {
  for (const { run } of tests) await run()
  if (subject !== undefined) {
    const port = await portOf(await serverOf(subject))
    const resumed = []
    for (const version of VERSIONS) if (await resumes(port, version)) resumed.push(version)
    if (String(resumed) !== String(expected))
      throw new Error(`resumes in [${resumed}], the documentation says [${expected}]`)
  }
  process.exit(0)
}

async function serverOf(subject: unknown): Promise<tls.Server> {
  if (subject instanceof tls.Server) return subject
  const app = subject as {
    server?: tls.Server
    ready?(): unknown
    init?(): unknown
    getHttpServer?(): tls.Server
  }
  await (app.ready?.() ?? app.init?.())
  const server = app.server ?? app.getHttpServer?.()
  if (server === undefined) throw new Error('what the snippet calls app has no server')
  return server
}

async function portOf(server: tls.Server): Promise<number> {
  if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

async function resumes(port: number, version: Version): Promise<boolean> {
  const first = await connect(port, version)
  if (first.isReused) throw new Error('a connection without a session was resumed')
  return (await connect(port, version, first.session)).isReused
}

async function connect(
  port: number,
  version: Version,
  session?: Buffer,
): Promise<{ readonly isReused: boolean; readonly session: Buffer }> {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername,
    ca: cert,
    minVersion: version,
    maxVersion: version,
    ...(session && { session }),
  })
  const sessions: Buffer[] = []
  socket.on('session', (one: Buffer) => sessions.push(one))
  await once(socket, 'secureConnect')
  const isReused = socket.isSessionReused()
  // A server sends the tickets of TLS 1.3 before its first answer.
  socket.write(`GET / HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`)
  socket.resume()
  await once(socket, 'close')
  const newest = sessions.at(-1) ?? session
  if (newest === undefined) throw new Error('the server gave no session')
  return { isReused, session: newest }
}
