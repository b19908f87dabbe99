import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type tls from 'node:tls'
import { ClientHelloCollector } from '../../../src/codec/client-hello-records.ts'
import { afterTest, type Harness, type StartOptions } from '../../tools/node-servers.ts'

export const withServer = (
  version: StartOptions,
  server: tls.TlsOptions,
  rest: StartOptions = {},
): StartOptions => ({
  ...rest,
  server: { ...version.server, ...server },
})

/** Stands between clients and the server, and sends the message of each ClientHello as the chunks that `cut` makes of it. */
export async function reframing(
  { port }: Harness,
  cut: (message: Uint8Array) => Iterable<Uint8Array>,
): Promise<{ readonly port: number }> {
  const proxy = net.createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    for (const socket of [client, upstream]) socket.on('error', () => undefined)
    upstream.pipe(client)
    const collector = new ClientHelloCollector()
    client.on('data', function collect(chunk: Buffer): void {
      const progress = collector.push(chunk)
      if (progress.state !== 'complete') return
      client.off('data', collect).pause()
      void send(upstream, cut(progress.message)).then(() => client.pipe(upstream))
    })
    afterTest(() => {
      client.destroy()
      upstream.destroy()
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  afterTest(() => proxy.close())
  return { port: (proxy.address() as AddressInfo).port }
}

/** The server reads each chunk before the next comes. */
async function send(socket: net.Socket, chunks: Iterable<Uint8Array>): Promise<void> {
  for (const chunk of chunks) {
    socket.write(chunk)
    await nextTurn()
  }
}

export function* pieces(whole: Uint8Array, length: number): Iterable<Uint8Array> {
  for (let start = 0; start < whole.length; start += length) yield whole.subarray(start, start + length)
}

/** Names that fill so many bytes of the ClientHello, for a server that has no list of its own. */
export const manyProtocols = (length: number): string[] =>
  Array.from({ length: Math.floor(length / 101) }, (_, index) => `protocol-${index}`.padEnd(100, '.'))

export interface RawVisit {
  /** What the server said, until it ended the connection or until its first record was whole. */
  readonly answer: Buffer
}

/** Sends bytes, and leaves after the first record of the answer. */
export async function visitRaw({ port }: { readonly port: number }, sent: Uint8Array): Promise<RawVisit> {
  const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    const answer = Buffer.concat(chunks)
    if (answer.length >= 5 && answer.length >= 5 + answer.readUInt16BE(3)) socket.end()
  })
  socket.write(sent)
  await once(socket, 'close')
  return { answer: Buffer.concat(chunks) }
}
