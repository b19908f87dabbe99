import { once } from 'node:events'
import http2 from 'node:http2'
import tls, { type TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { ConnectOptions } from '../../../src/index.ts'
import { afterTest, authority, certificate, listening, localLookup, make } from './harness.ts'

// ClientSessions.http2 connects to what `http2.connect` alone connects to, and as it does.

type Options = Readonly<Record<string, unknown>>
type Connect = (authority: unknown, options: Options) => http2.ClientHttp2Session

const trust = { ca: authority.cert, lookup: localLookup } as const

const alone: Connect = (target, options) => http2.connect(target as URL, { ...trust, ...options } as object)

/** @param own - options of `ClientSessions.http2` */
const withSessions =
  (own: ConnectOptions = {}): Connect =>
  (target, options) =>
    http2.connect(target as URL, { ...options, createConnection: make().http2({ ...trust, ...own }) })

const BOTH: Readonly<Record<string, Connect>> = { alone, 'with sessions': withSessions() }

/** What the server has got, and with which protocol and name. */
async function seenOf(session: http2.ClientHttp2Session): Promise<unknown> {
  const stream = session.request({ ':path': '/' })
  const body = Buffer.concat(await stream.toArray()).toString()
  session.close()
  await once(session, 'close')
  return JSON.parse(body)
}

function answer(stream: http2.ServerHttp2Stream): void {
  const session = stream.session as http2.Http2Session
  const { alpnProtocol, servername } = session.socket as TLSSocket
  stream.respond()
  stream.end(JSON.stringify({ alpnProtocol, servername }))
}

async function startServer() {
  return listening(http2.createSecureServer({ ...certificate }).on('stream', answer))
}

const TARGETS: Readonly<Record<string, (port: number) => readonly [authority: unknown, options?: Options]>> =
  {
    'a string': (port) => [`https://localhost:${port}`],
    'a URL': (port) => [new URL(`https://localhost:${port}`)],
    'an object with a hostname': (port) => [{ hostname: 'localhost', port }],
    'an object with a host': (port) => [{ host: 'localhost', port }],
    'an object without a host': (port) => [{ port }],
    'an object without a protocol': (port) => [{ hostname: 'localhost', port }, { protocol: 'https:' }],
    'no name to be sent': (port) => [`https://localhost:${port}`, { servername: '' }],
    'protocols of the caller': (port) => [`https://localhost:${port}`, { ALPNProtocols: ['http/1.1'] }],
    'HTTP/1.1 as well': (port) => [`https://localhost:${port}`, { allowHTTP1: true }],
    'another protocol than that of the URL': (port) => [`https://localhost:${port}`, { protocol: 'http:' }],
  }

describe.each(Object.keys(BOTH))('http2.connect, %s, given', (who) => {
  const { [who]: connect = alone } = BOTH

  test.each(Object.keys(TARGETS))('%s', async (name) => {
    const { port } = await startServer()
    const [target, options = {}] = TARGETS[name]?.(port) ?? []
    expect(await seenOf(connect(target, options))).toEqual({ alpnProtocol: 'h2', servername: 'localhost' })
  })

  test.each([
    ['no URL', 'no URL'],
    ['a number', 5],
    ['null', null],
    ['another protocol', 'ftp://localhost'],
    ['another protocol, of an object', { hostname: 'localhost', protocol: 'ftp:' }],
  ])('%s, which it refuses at once', (_name, target) => {
    expect(() => connect(target, {})).toThrow()
  })

  test.each<[string, (port: number) => readonly [authority: unknown, options: Options]]>([
    ['a URL', (port) => [`http://localhost:${port}`, {}]],
    ['an option', (port) => [{ hostname: 'localhost', port }, { protocol: 'http:' }]],
  ])('http: by %s, without TLS', async (_name, targetOf) => {
    const server = http2.createServer().on('stream', (stream) => {
      stream.respond()
      stream.end('{}')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    afterTest(() => server.close())
    const { port } = server.address() as { port: number }
    const [target, options] = targetOf(port)
    expect(await seenOf(connect(target, options))).toEqual({})
  })
})

describe('ClientSessions.http2', () => {
  test('offers HTTP/2 whatever protocols its own options name', async () => {
    const { url } = await startServer()
    const session = withSessions({ ALPNProtocols: ['http/1.1'] })(url, {})
    expect(await seenOf(session)).toMatchObject({ alpnProtocol: 'h2' })
  })

  test.each(['no URL', undefined, null, 5, [], 'ftp://localhost', { protocol: 'ftp:' }])(
    'refuses to connect to %j, when it is called without http2.connect, and forgets nothing',
    async (target) => {
      const server = await startServer()
      const sessions = make({ reuse: true })
      const createConnection = sessions.http2(trust)
      await seenOf(http2.connect(server.url, { createConnection }))
      const { tickets } = sessions.stats
      expect(() => createConnection(target as never)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(ARGUMENT_INVALID|INVALID_URL)$/) }),
      )
      expect(sessions.stats.tickets).toBe(tickets)
      expect(sessions.stats.sessions.connect).toBe(1)
    },
  )

  test('makes a plain socket for http: only', async () => {
    const { port } = await startServer()
    const socket = make().http2(trust)(new URL(`https://localhost:${port}`))
    expect(socket).toBeInstanceOf(tls.TLSSocket)
    socket.destroy()
    await once(socket, 'close')
  })
})
