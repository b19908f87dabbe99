import { executionAsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import tls from 'node:tls'
import {
  type AttachServerOptions,
  attachServer,
  MemoryStore,
  ServerSetupError,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import { captureTlsHandle, type TlsHandle } from '../../../src/node/node-engine.ts'
import { type Certificate, makeCertificate } from '../../tools/certificate.ts'
import { type Client, nodeClient, opensslClient, type Protocol } from './clients.ts'

/** What the Node that runs this can do, as its connections show it: a row of the table each. */
export type Features = Readonly<Record<keyof typeof probes, string>>
export interface StartProbe {
  readonly type: 'start'
  readonly certificate: Certificate
}

export interface FromProbe {
  readonly type: 'features'
  readonly features: Features
  /** What failed, and where a feature check of the library says that something works which does not. */
  readonly dangers: readonly string[]
}

const DEADLINE_MS = 10_000

let certificate: Certificate
const cleanUp: (() => void)[] = []

const manyProtocols = Array.from({ length: 70 }, (_, index) => String(index).padEnd(250, 'x'))

const probes = {
  'handle captured by async_hooks, net.Socket': () => captured(false),
  'handle captured by async_hooks, Duplex': () => captured(true),
  'ClientHello parser': parser,
  'TLS 1.2 resumes': () => resumption('TLSv1.2'),
  'TLS 1.2, hello in two records': () => resumption('TLSv1.2', { isSplit: true }),
  'TLS 1.3 resumes': () => resumption('TLSv1.3'),
  'TLS 1.3, HelloRetryRequest': () =>
    resumption('TLSv1.3', { client: nodeClient({ ecdhCurve: 'X25519:P-256' }), isRetried: true }),
  'TLS 1.3, no legacy session id': () => resumption('TLSv1.3', { client: openssl('-no_middlebox') }),
  'TLS 1.3, no legacy session id, HelloRetryRequest': () =>
    resumption('TLSv1.3', { client: openssl('-no_middlebox', '-groups', 'X25519:P-256'), isRetried: true }),
  'TLS 1.3, hello in two records': () => resumption('TLSv1.3', { isSplit: true }),
  'TLS 1.3, hello beyond 16 KiB': () =>
    resumption('TLSv1.3', { client: nodeClient({ ALPNProtocols: manyProtocols }) }),
  'TLS 1.3, injected Duplex': () => resumption('TLSv1.3', { isInjected: true }),
  'strict store with TLS 1.3': strictStore,
  'TLS 1.3 keeps data ended before newSession is answered': dataKept,
  'TLS 1.3 authorized kept without certificate': authorizedKept,
  "TLS 1.3 newSession shows the client's chain": chainShown,
  'TLS 1.3 resumes without requested certificate': () =>
    resumption('TLSv1.3', { server: { requestCert: true, rejectUnauthorized: false } }),
} satisfies Record<string, () => string | Promise<string>>

function openssl(...options: readonly string[]): Client | 'missing' {
  return opensslClient(...options) ?? 'missing'
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.push(() => server.close())
  return (server.address() as AddressInfo).port
}

function handleOf(stream: Duplex): object | undefined {
  const socket = new tls.TLSSocket(stream, { isServer: true, secureContext: tls.createSecureContext() })
  cleanUp.push(() => socket.destroy())
  return (socket as { _handle?: object })._handle
}

function passThrough(socket: net.Socket): Duplex {
  return Duplex.from({ readable: socket, writable: socket })
}

async function captured(isInjected: boolean): Promise<string> {
  const server = net.createServer()
  const client = net.connect(await listen(server), '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  cleanUp.push(() => client.destroy())
  let made: object | undefined
  const carrier = isInjected ? passThrough(socket) : socket
  const handle = captureTlsHandle(() => {
    made = handleOf(carrier)
  })
  return handle !== undefined && handle === made ? 'yes' : 'NO'
}

function parser(): string {
  const handle = handleOf(new Duplex({ read: () => undefined })) ?? {}
  return ['clientHelloDone', 'endParser'].find((method) => method in handle) ?? 'neither'
}

interface Scenario {
  readonly client?: Client | 'missing'
  readonly server?: tls.TlsOptions
  readonly isRetried?: boolean
  readonly isSplit?: boolean
  readonly isInjected?: boolean
}

/** @returns yes, or why not, as the library says it; both sides must agree */
async function resumption(protocol: Protocol, scenario: Scenario = {}): Promise<string> {
  const client = scenario.client ?? nodeClient()
  if (client === 'missing') return 'openssl is missing'
  const outcomes: string[] = []
  const { server } = attached(
    { ...(scenario.isRetried === true && { ecdhCurve: 'P-256' }), ...scenario.server },
    { onHandshake: ({ outcome, reason }) => outcomes.push(`${outcome}: ${reason}`) },
  )
  let port = await listen(scenario.isInjected === true ? injecting(server) : server)
  if (scenario.isSplit === true) port = await listen(splitting(port))
  const first = await client.visit(port, protocol)
  const { isResumed } = await client.visit(port, protocol, first.session)
  const last = outcomes.at(-1) ?? 'nothing'
  if (isResumed !== last.startsWith('resumed')) return `CLIENT ${isResumed}, ${last}`
  return isResumed ? 'yes' : last
}

function attached(options: tls.TlsOptions, attach: AttachServerOptions = {}): { server: tls.Server } {
  const context = new SslContext({ sessionIdContext: 'probe', ...storeCallbacks(new MemoryStore()) })
  const server = tls.createServer({ ...certificate, ...serverOptions(context), ...options }, (socket) =>
    socket.on('error', () => undefined).end('hello\n'),
  )
  attachServer(server, context, attach)
  return { server }
}

/** As the PROXY protocol does it. */
function injecting(server: tls.Server): net.Server {
  return net.createServer((socket) => server.emit('connection', passThrough(socket)))
}

/** A relay that makes two TLS records of the first. */
function splitting(target: number): net.Server {
  return net.createServer((client) => {
    const upstream = net.connect(target, '127.0.0.1')
    let held = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk])
      const end = held.length < 5 ? Number.POSITIVE_INFINITY : 5 + held.readUInt16BE(3)
      if (held.length < end) return
      const middle = 5 + Math.floor((end - 5) / 2)
      upstream.write(Buffer.concat([record(held, 5, middle), record(held, middle, end), held.subarray(end)]))
      client.off('data', onData).pipe(upstream)
    }
    client.on('data', onData).on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy()).pipe(client)
  })
}

function record(bytes: Buffer, start: number, end: number): Buffer {
  const header = Buffer.from(bytes.subarray(0, 5))
  header.writeUInt16BE(end - start, 3)
  return Buffer.concat([header, bytes.subarray(start, end)])
}

function strictStore(): string {
  try {
    attached({ minVersion: 'TLSv1.3' }, { waitForStore: true })
    return 'allowed'
  } catch (error) {
    if (error instanceof ServerSetupError && error.problem === 'wait-for-store') return 'refused'
    throw error
  }
}

async function dataKept(): Promise<string> {
  const server = tls.createServer({ ...certificate, minVersion: 'TLSv1.3' }, (socket) => socket.end('hello'))
  const answers: (() => void)[] = []
  server.on('newSession', (_id: Buffer, _session: Buffer, done: () => void) => answers.push(done))
  // Two immediates later what was written and ended is either waiting or lost.
  server.on('secureConnection', () =>
    setImmediate(() =>
      setImmediate(() => {
        for (const answer of answers) answer()
      }),
    ),
  )
  const socket = tls.connect({ host: '127.0.0.1', port: await listen(server), rejectUnauthorized: false })
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString()
  })
  await once(socket, 'close')
  return received === 'hello' ? 'yes' : 'NO'
}

/** Node alone: with its own tickets, which carry the same session. */
async function authorizedKept(): Promise<string> {
  const server = tls.createServer({
    ...certificate,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
  })
  const authorized: boolean[] = []
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    authorized.push(socket.authorized)
    socket.end('hello')
  })
  const client = nodeClient()
  const port = await listen(server)
  const first = await client.visit(port, 'TLSv1.3')
  const second = await client.visit(port, 'TLSv1.3', first.session)
  if (!second.isResumed) return 'not resumed'
  return authorized[0] === authorized[1] ? 'yes' : 'NO'
}

/** Node alone: the certificates from the leaf to the root, when the tickets come. */
async function chainShown(): Promise<string> {
  const root = await makeCertificate('root', { isAuthority: true })
  const intermediate = await makeCertificate('intermediate', { ca: root, isAuthority: true })
  const { key, cert } = await makeCertificate('client', { ca: intermediate })
  const server = tls.createServer(
    { ...certificate, minVersion: 'TLSv1.3', requestCert: true, ca: root.cert },
    (socket) => socket.end('hello'),
  )
  let chain: readonly string[] = []
  server.on('newSession', (_id: Buffer, _session: Buffer, done: () => void) => {
    // Node's session events happen in the name of its handle.
    const handle = executionAsyncResource() as TlsHandle
    chain = chainOf(handle.getPeerCertificate(true) as tls.DetailedPeerCertificate | undefined)
    done()
  })
  const client = nodeClient({ key, cert: `${cert}\n${intermediate.cert}` })
  await client.visit(await listen(server), 'TLSv1.3')
  return chain.length === 3 ? 'yes' : `${chain.length} of 3`
}

function chainOf(leaf: tls.DetailedPeerCertificate | undefined): readonly string[] {
  const seen = new Set<string>()
  for (let one = leaf; one !== undefined && !seen.has(one.fingerprint256); one = one.issuerCertificate)
    seen.add(one.fingerprint256)
  return [...seen]
}

async function settled(run: () => string | Promise<string>): Promise<string> {
  try {
    return await run()
  } catch (error) {
    return `FAILED: ${(error as Error).message}`
  }
}

function hang(): Promise<string> {
  return setTimeout(DEADLINE_MS, 'FAILED: hangs', { ref: false })
}

async function probe(): Promise<void> {
  const features: Record<string, string> = {}
  for (const [name, run] of Object.entries(probes)) {
    features[name] = await Promise.race([settled(run), hang()])
    for (const undo of cleanUp.splice(0)) undo()
  }
  process.send?.({
    type: 'features',
    features: features as Features,
    dangers: dangersIn(features as Features),
  } satisfies FromProbe)
}

function dangersIn(features: Features): string[] {
  const dangers = Object.entries(features)
    .filter(([, answer]) => answer.startsWith('FAILED'))
    .map(([name, answer]) => `${name}: ${answer}`)
  if (
    features['strict store with TLS 1.3'] === 'allowed' &&
    features['TLS 1.3 keeps data ended before newSession is answered'] !== 'yes'
  )
    dangers.push('a strict store is allowed, and loses data')
  if (
    features['TLS 1.3 resumes without requested certificate'] === 'yes' &&
    features['TLS 1.3 authorized kept without certificate'] !== 'yes'
  )
    dangers.push('a connection without certificate resumes, and becomes authorized')
  return dangers
}

process.once('message', (message: StartProbe) => {
  certificate = message.certificate
  void probe()
})
process.on('disconnect', () => process.exit())
