import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import { afterEach } from 'vitest'
import { type ClientHello, decodeClientHello } from '../../../src/codec/client-hello.ts'
import { ClientHelloCollector } from '../../../src/codec/client-hello-records.ts'
import {
  attachServer,
  ClientSessions,
  type ClientSessionsOptions,
  type ConnectOptions,
  type SessionStore,
  SslContext,
  serverOptions,
} from '../../../src/index.ts'
import { type Certificate, makeCertificate } from '../../tools/certificate.ts'
import { delegate } from '../../tools/delegate.ts'

export const authority: Certificate = await makeCertificate('authority', { isAuthority: true })
/** Of a server that is called localhost. */
export const certificate: Certificate = await makeCertificate('localhost', {
  ca: authority,
  names: ['localhost', 'other.example'],
})

const cleanUp: (() => unknown)[] = []

/** Undone after the test, last one first. */
export function afterTest(undo: () => unknown): void {
  cleanUp.push(undo)
}

afterEach(async () => {
  for (const undo of cleanUp.splice(0).reverse()) await undo()
})

export const versions = ['TLSv1.2', 'TLSv1.3'] as const

export interface TestServer {
  readonly port: number
  readonly url: string
  /** No ticket of before is good any more. */
  setTicketKeys(keys: Buffer): void
  /** How many connections there were, and how many of them were resumed. */
  readonly seen: { connections: number; resumed: number }
  readonly options: tls.ConnectionOptions & {
    readonly host: string
    readonly port: number
    readonly ca: string
  }
}

type AnyServer = tls.Server | https.Server | http2.Http2SecureServer

/** @returns the server, which listens now and ends with the test */
export async function listening(server: AnyServer): Promise<TestServer> {
  const seen = { connections: 0, resumed: 0 }
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    seen.connections++
    if (socket.isSessionReused()) seen.resumed++
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  afterTest(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  return {
    port,
    url: `https://localhost:${port}/`,
    setTicketKeys: (keys) => server.setTicketKeys(keys),
    seen,
    options: { host: 'localhost', port, ca: authority.cert, lookup: localLookup },
  }
}

/** localhost may be ::1 as well, where nobody listens. */
export const localLookup: NonNullable<tls.ConnectionOptions['lookup']> = (_name, options, callback) => {
  const answer = callback as (error: null, address: unknown, family?: number) => void
  if (options.all === true) answer(null, [{ address: '127.0.0.1', family: 4 }])
  else answer(null, '127.0.0.1', 4)
}

/** Says hello and goodbye, by TLS alone. */
export function startTls(options: tls.TlsOptions = {}): Promise<TestServer> {
  const server = tls.createServer({ ...certificate, ...options }, (socket) => {
    socket.on('error', () => undefined).end('hello')
  })
  return listening(server)
}

/** As a Node server is without further options: it gives two tickets, and one with each resumption. */
export function startHttps(options: https.ServerOptions = {}): Promise<TestServer> {
  return listening(
    https.createServer({ ...certificate, ...options }, (_request, response) => response.end('hello')),
  )
}

export function startHttp2(): Promise<TestServer> {
  return listening(
    http2.createSecureServer({ ...certificate }).on('stream', (stream) => {
      stream.respond()
      stream.end('hello')
    }),
  )
}

/** Each of its tickets is good for one resumption. */
export function startSingleUse(options: https.ServerOptions = {}): Promise<TestServer> {
  const context = new SslContext({ sessionIdContext: 'clients' })
  const server = https.createServer(
    { ...certificate, ...serverOptions(context), ...options },
    (_request, response) => response.end('hello'),
  )
  attachServer(server, context, { singleUse: true })
  return listening(server)
}

/** The same, by TLS alone. */
export function startSingleUseTls(options: tls.TlsOptions = {}): Promise<TestServer> {
  const context = new SslContext({
    sessionIdContext: 'clients',
    sessionTimeout: options.sessionTimeout ?? 300,
  })
  const server = tls.createServer({ ...certificate, ...serverOptions(context), ...options }, (socket) => {
    socket.on('error', () => undefined).end('hello')
  })
  attachServer(server, context, { singleUse: true })
  return listening(server)
}

/**
 * Stands between clients and a server.
 *
 * @param onHello - of each connection; who is destroyed or ended by it never reaches the server
 * @returns what a client of the server connects with
 */
export async function between(
  { port, options }: Pick<TestServer, 'port' | 'options'>,
  onHello: (hello: ClientHello, client: net.Socket) => void,
): Promise<TestServer['options']> {
  const proxy = net.createServer((client) => {
    const collector = new ClientHelloCollector()
    const chunks: Buffer[] = []
    client.on('error', () => undefined)
    client.on('data', function read(bytes: Buffer) {
      chunks.push(bytes)
      const progress = collector.push(bytes)
      if (progress.state !== 'complete') return
      client.off('data', read)
      onHello(decodeClientHello(progress.message), client)
      if (client.destroyed || client.writableEnded) return
      const server = net.connect(port, '127.0.0.1').on('error', () => client.destroy())
      client.on('error', () => server.destroy())
      server.write(Buffer.concat(chunks))
      client.pipe(server).pipe(client)
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  afterTest(() => proxy.close())
  const { port: own } = proxy.address() as AddressInfo
  return { ...options, port: own }
}

/** Answers in a later turn, as an engine over a network does. @param onAsked - called before each answer */
export function remote(store: SessionStore, onAsked: () => void = () => undefined): SessionStore {
  const later = async <T>(answer: () => T): Promise<Awaited<T>> => {
    await turn()
    onAsked()
    return answer() as Awaited<T>
  }
  return {
    ...delegate(store),
    get: (key) => later(() => store.get(key)),
    take: (key) => later(() => store.take(key)),
    set: (entries) => later(() => store.set(entries)),
    delete: (key) => later(() => store.delete(key)),
  }
}

/** After it, what was written without waiting is there for others. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export interface Result {
  readonly isResumed: boolean
  readonly authorized: boolean
  readonly authorizationError: unknown
}

export function make(options: ClientSessionsOptions = {}): ClientSessions {
  return new ClientSessions(options)
}

/** One connection, to its end. */
export function connect(sessions: ClientSessions, options: ConnectOptions): Promise<Result> {
  return finished(sessions.connect(options))
}

/** @returns when the server has ended it, and everything has been read */
export async function finished(socket: tls.TLSSocket): Promise<Result> {
  let result: Result | undefined
  socket.once('secureConnect', () => {
    const { authorized, authorizationError } = socket
    result = { isResumed: socket.isSessionReused(), authorized, authorizationError }
  })
  socket.resume()
  await once(socket, 'close')
  if (result === undefined) throw new Error('the handshake was not completed')
  return result
}
