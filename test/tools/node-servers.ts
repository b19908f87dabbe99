import { once } from 'node:events'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { afterEach } from 'vitest'
import {
  type AttachServerOptions,
  attachServer,
  type ServerAttachment,
  type ServerHandshake,
  SessionCacheMode,
  SslContext,
  type SslContextOptions,
  serverOptions,
} from '../../src/index.ts'
import { type Certificate, makeCertificate } from './certificate.ts'

export const NAME = 'server.example'
export const certificate: Certificate = await makeCertificate(NAME)

const cleanUp: (() => void)[] = []

/** Undone after the test, last one first. */
export function afterTest(undo: () => void): void {
  cleanUp.push(undo)
}

afterEach(() => {
  for (const undo of cleanUp.splice(0).reverse()) undo()
})

export interface Harness {
  readonly server: tls.Server
  readonly context: SslContext
  readonly attachment: ServerAttachment
  readonly port: number
  readonly handshakes: ServerHandshake[]
}

export type MakeServer = (options: tls.TlsOptions) => tls.Server

/** Says hello, and goodbye. */
export const greet: MakeServer = (options) =>
  tls.createServer(options, (socket) => socket.on('error', () => undefined).end('hello'))

export interface StartOptions {
  readonly context?: SslContextOptions
  readonly attach?: AttachServerOptions
  /** Laid over those of `serverOptions`. */
  readonly server?: tls.TlsOptions
  readonly make?: MakeServer
}

/** The external cache is the truth. */
export const NO_INTERNAL: number = SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL

export const versions = ['TLSv1.2', 'TLSv1.3'] as const
export type Version = (typeof versions)[number]

export const TLS12: StartOptions = { server: { maxVersion: 'TLSv1.2' } }
export const TLS13: StartOptions = { server: { minVersion: 'TLSv1.3' } }
export const VERSIONS: readonly (readonly [string, StartOptions])[] = [
  ['TLS 1.2', TLS12],
  ['TLS 1.3', TLS13],
]

/** A listening server with a context attached, that ends with the test. */
export async function start({
  context: settings = {},
  attach = {},
  server: overrides = {},
  make = greet,
}: StartOptions = {}): Promise<Harness> {
  const context = new SslContext(settings)
  const server = make({ ...certificate, ...serverOptions(context), ...overrides })
  const handshakes: ServerHandshake[] = []
  const attachment = attachServer(server, context, {
    onHandshake: (handshake) => void handshakes.push(handshake),
    ...attach,
  })
  return { server, context, attachment, port: await listen(server), handshakes }
}

/** The same server without a context. */
export async function startStock({ server: overrides = {}, make = greet }: StartOptions): Promise<{
  readonly server: tls.Server
  readonly port: number
}> {
  const server = make({ ...certificate, ...serverOptions(new SslContext()), ...overrides })
  return { server, port: await listen(server) }
}

/** Until the test is over. */
export async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterTest(() => server.close())
  return (server.address() as AddressInfo).port
}

export const reasons = ({ handshakes }: Harness): string[] => handshakes.map(({ reason }) => reason)

export interface Visit {
  readonly resumed: boolean
  /** All that came, in their order. */
  readonly sessions: readonly Buffer[]
  /** The last one. */
  readonly session: Buffer | undefined
  readonly received: string
  readonly socket: tls.TLSSocket
}

/** One connection of Node's own client, until the server has closed it. */
export async function connect(
  { port }: { readonly port: number },
  session?: Buffer,
  options: tls.ConnectionOptions = {},
): Promise<Visit> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername: NAME,
    ca: certificate.cert,
    ...(session && { session }),
    ...options,
  })
  const sessions: Buffer[] = []
  socket.on('session', (value: Buffer) => sessions.push(value))
  await once(socket, 'secureConnect')
  const resumed = socket.isSessionReused()
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString()
  })
  await once(socket, 'close')
  return { resumed, sessions, session: sessions.at(-1), received, socket }
}
