import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { decodeClientHello } from '../../../src/codec/client-hello.ts'
import { ClientHelloCollector } from '../../../src/codec/client-hello-records.ts'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'
import type { Certificates } from '../certificates.ts'
import { SERVER_NAME } from '../setups.ts'

/** What a server saw of clients that use each TLS 1.3 ticket once. */
export interface UsedOnce {
  readonly processes: number
  readonly connections: number
  /** Tickets in their ClientHellos. */
  readonly offered: number
  /** Of those, the ones that had been there before. */
  readonly again: number
  readonly resumed: number
}

const run = promisify(execFile)
const PROGRAM = fileURLToPath(new URL('./burst-client.js', import.meta.url))
const DEADLINE_MS = 900_000

/** @param processes - which share an LMDB store, if they are several */
export async function usedOnce(
  parent: string,
  certificates: Certificates,
  { processes, connections }: Pick<UsedOnce, 'processes' | 'connections'>,
): Promise<UsedOnce> {
  const folder = join(parent, `used-once-${processes}`)
  mkdirSync(folder)
  const authority = join(folder, 'authority.pem')
  writeFileSync(authority, certificates.authority)
  const server = await startWatched(certificates)
  const about = {
    port: server.port,
    authority,
    name: SERVER_NAME,
    connections: connections / processes,
    ...(processes > 1 && { folder: join(folder, 'lmdb'), secret: randomBytes(32).toString('hex') }),
  }
  try {
    const one = (): Promise<unknown> =>
      run(process.execPath, [PROGRAM, JSON.stringify(about)], { timeout: DEADLINE_MS })
    await Promise.all(Array.from({ length: processes }, one)).catch((cause: unknown) => {
      throw new Error(`a client process ended; handshakes failed: [${server.failures}]`, { cause })
    })
    return { processes, ...server.seen() }
  } finally {
    server.close()
  }
}

/** A server that takes each ticket once, behind a listener that reads the ClientHellos. */
async function startWatched({ server: certificate }: Certificates) {
  const context = new SslContext({ sessionIdContext: 'interop' })
  const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) => {
    socket.on('error', () => undefined).end('hello')
  })
  const failures: string[] = []
  attachServer(server, context, {
    singleUse: true,
    onHandshake: ({ outcome, reason }) => void (outcome === 'failed' && failures.push(reason)),
  })
  const counts = { connections: 0, resumed: 0 }
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    counts.connections++
    if (socket.isSessionReused()) counts.resumed++
  })
  const tickets: string[] = []
  const listener = net.createServer((client) => relay(client, portOf(server), (one) => tickets.push(one)))
  await Promise.all([server, listener].map((one) => once(one.listen(0, '127.0.0.1'), 'listening')))
  return {
    port: portOf(listener),
    failures,
    seen: () => ({ ...counts, offered: tickets.length, again: tickets.length - new Set(tickets).size }),
    close: () => void [server, listener].map((one) => one.close()),
  }
}

function portOf(server: net.Server): number {
  return (server.address() as AddressInfo).port
}

function relay(client: net.Socket, port: number, onTicket: (ticket: string) => void): void {
  const collector = new ClientHelloCollector()
  const server = net.connect(port, '127.0.0.1')
  let isRead = false
  client.on('data', (bytes: Buffer) => {
    const progress = isRead ? undefined : collector.push(bytes)
    if (progress?.state !== 'complete') return
    isRead = true
    for (const { identity } of decodeClientHello(progress.message).pskIdentities ?? [])
      onTicket(Buffer.from(identity).toString('base64'))
  })
  client.pipe(server).pipe(client)
  // Each leg ends with the other one, whichever way that ends.
  client.on('error', () => undefined).once('close', () => server.destroy())
  server.on('error', () => undefined).once('close', () => client.destroySoon())
}
