import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { records, resumingClientHello } from '../../tools/client-hello-builder.ts'
import { afterTest, type Harness, listen } from '../../tools/node-servers.ts'

export type Target = Pick<Harness, 'server' | 'port'>

/** With an offer of a TLS 1.3 session, so that it is looked up. */
export const HELLO = records(resumingClientHello())
export const PART = HELLO.subarray(0, 100)

/** A connection, when the server has it. */
export async function arrive({ server, port }: Target): Promise<{ client: net.Socket; raw: net.Socket }> {
  const client = net.connect(port, '127.0.0.1').on('error', () => undefined)
  const [[raw]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [net.Socket],
    unknown,
  ]
  afterTest(() => client.destroy())
  return { client: client.resume(), raw }
}

export async function received(raw: net.Socket, length: number): Promise<void> {
  while (raw.bytesRead < length) await new Promise((resolve) => setImmediate(resolve))
}

/** Also with an error; `socket.closed` is true a little before the event. */
export async function closed(socket: Duplex): Promise<void> {
  await new Promise((resolve) => (socket.closed ? setImmediate(resolve) : socket.on('close', resolve)))
}

export const connections = (server: net.Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
  })

/** Passes on all that a client says, but for its first words, of which `first` makes what it likes. */
export async function relay(
  port: number,
  first: (hello: Buffer, upstream: net.Socket) => unknown,
): Promise<{ readonly port: number }> {
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    client
      .on('error', () => undefined)
      .once('data', (hello: Buffer) => {
        client.pause()
        const upstream = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
        upstream.on('error', () => undefined).pipe(client)
        afterTest(() => upstream.destroy())
        void Promise.resolve(first(hello, upstream)).then(() => client.pipe(upstream))
      })
    afterTest(() => client.destroy())
  })
  return { port: await listen(server) }
}
