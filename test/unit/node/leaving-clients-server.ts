import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import { attachServer, SessionCacheMode, SslContext, serverOptions } from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'
import { bytes, records } from '../../tools/client-hello-builder.ts'
import { hello13 } from '../../tools/offering-hello.ts'
import { answersOf, type SocketAnswers } from '../../tools/socket-answers.ts'

/** How a client leaves a server, whose lookups take until it has left. */
export interface Departure {
  readonly server: 'tls' | 'https' | 'http2'
  /** What it sends: so many bytes of its hello, or all of it. */
  readonly sent: number | 'hello'
  /** FIN or RST, and whether a lookup is under way by then. */
  readonly farewell: 'FIN' | 'RST'
  readonly isLookedUp: boolean
}

/** What the listeners of one departure heard, in their order. */
export interface Heard {
  readonly events: readonly {
    readonly event: string
    readonly code: string | undefined
    readonly answers: SocketAnswers
  }[]
}

export interface StartDepartures {
  readonly certificate: Certificate
  readonly isAttached: boolean
  readonly departures: readonly Departure[]
}

export type FromDepartures =
  | { readonly type: 'heard'; readonly heard: Heard }
  | { readonly type: 'uncaught'; readonly error: string }

const MAKE: Readonly<Record<Departure['server'], (options: tls.TlsOptions) => tls.Server>> = {
  tls: (options) => tls.createServer(options),
  https: (options) => https.createServer(options),
  http2: (options) => http2.createSecureServer(options),
}

/** Asked by those who resume without sslctx as well. */
const HELLO = records(hello13({ identity: bytes(32, 0x77) }))

/** Until it is read: what is sent later is lost when the process dies. */
function send(message: FromDepartures): Promise<void> {
  return new Promise((resolve) => process.send?.(message, () => resolve()))
}

/** A lookup that is under way until it is told to end. */
class HeldLookup {
  #begin: () => void = () => undefined
  #end: () => void = () => undefined
  readonly begun: Promise<void> = new Promise((resolve) => {
    this.#begin = resolve
  })
  readonly ended: Promise<void> = new Promise((resolve) => {
    this.#end = resolve
  })

  look(): Promise<undefined> {
    this.#begin()
    return this.ended.then(() => undefined)
  }

  end(): void {
    this.#end()
  }
}

function makeServer(
  { certificate, isAttached }: StartDepartures,
  { server: kind, isLookedUp }: Departure,
  lookup: HeldLookup,
): tls.Server {
  const context = new SslContext(
    isLookedUp
      ? {
          sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
          newSessionCallback: () => undefined,
          getSessionCallback: () => lookup.look(),
        }
      : {},
  )
  const server = MAKE[kind]({ ...certificate, ...serverOptions(context), handshakeTimeout: 500 })
  if (isAttached) attachServer(server, context)
  else if (isLookedUp)
    server.on('resumeSession', (_id, done) => void lookup.look().then(() => done(null, null)))
  return server
}

async function depart(start: StartDepartures, departure: Departure): Promise<Heard> {
  const events: Heard['events'][number][] = []
  const lookup = new HeldLookup()
  const server = makeServer(start, departure, lookup)
  for (const event of ['tlsClientError', 'clientError'])
    server.on(event, (error: NodeJS.ErrnoException, socket: tls.TLSSocket) => {
      const answers = answersOf(socket, (question) => process.stderr.write(`${event} ${question}\n`))
      events.push({ event, code: error.code, answers })
      // As the documentation of clientError wants it; without such a listener Node does.
      if (departure.server === 'tls' || event === 'clientError') socket.destroy()
    })
  const arrived = once(server, 'connection') as Promise<[net.Socket]>
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = net.connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
  })
  client.on('error', () => undefined).resume()
  const [[raw]] = await Promise.all([arrived, once(client, 'connect')])
  await leave(client, raw, departure, lookup)
  if (!raw.closed) await new Promise((resolve) => raw.once('close', resolve))
  // Whoever is told late is told now.
  await turns(5)
  client.destroy()
  server.close()
  await once(server, 'close')
  return { events }
}

async function leave(
  client: net.Socket,
  raw: net.Socket,
  { sent, farewell, isLookedUp }: Departure,
  lookup: HeldLookup,
): Promise<void> {
  const bytes = sent === 'hello' ? HELLO : HELLO.subarray(0, sent)
  if (bytes.length > 0) client.write(bytes)
  if (isLookedUp) await lookup.begun
  else while (raw.bytesRead < bytes.length) await new Promise((resolve) => setImmediate(resolve))
  await new Promise<void>((resolve) => {
    if (farewell === 'FIN') client.end(resolve)
    else client.once('close', () => resolve()).resetAndDestroy()
  })
  // The loopback has delivered it, and the server has heard of it if it listens.
  await turns(3)
  lookup.end()
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

async function run(start: StartDepartures): Promise<void> {
  process.on('uncaughtException', (error) => void send({ type: 'uncaught', error: String(error.stack) }))
  for (const departure of start.departures)
    await send({ type: 'heard', heard: await depart(start, departure) })
  process.disconnect()
}

process.once('message', (start: StartDepartures) => void run(start))
