import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import stream, { type Duplex } from 'node:stream'
import tls from 'node:tls'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'

export interface StartShaped {
  readonly certificate: Certificate
  readonly isAttached: boolean
}

export interface FromShaped {
  /** For each list of options: whether all that were copied last have one shape in the engine. */
  readonly shapes: readonly boolean[]
}

const CONNECTIONS = 40
/** The engine has seen what it is going to see. */
const SETTLED = 30

/** Of `--allow-natives-syntax`. */
const haveSameShape = new Function('one', 'other', 'return %HaveSameMap(one, other)') as (
  one: object,
  other: object,
) => boolean

/** What each net.Socket makes of its options, which it hands to Duplex. */
const copies: object[] = []
Object.defineProperty(stream.Duplex, 'call', {
  value(socket: Duplex, options: object) {
    copies.push(options)
    return Reflect.apply(stream.Duplex, socket, [options])
  },
})

process.once('message', ({ certificate, isAttached }: StartShaped) => {
  void serve(certificate, isAttached)
})

/** Server and client in one process: their sockets have different options. */
async function serve(certificate: Certificate, isAttached: boolean): Promise<void> {
  const context = new SslContext({ sessionIdContext: 'shapes' })
  const server = tls.createServer(
    { ...certificate, ...(isAttached ? serverOptions(context) : {}) },
    (socket) => socket.on('error', () => undefined).end(),
  )
  if (isAttached) attachServer(server, context)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  for (let count = 0; count < CONNECTIONS; count++) {
    if (count === SETTLED) copies.length = 0
    const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }).resume()
    await once(client, 'close')
  }
  process.send?.({ shapes: judge() } satisfies FromShaped)
  server.close()
  process.disconnect?.()
}

function judge(): boolean[] {
  const groups = new Map<string, object[]>()
  for (const options of copies) {
    const names = Object.keys(options).join()
    groups.set(names, [...(groups.get(names) ?? []), options])
  }
  return [...groups.values()].map(([first, ...others]) =>
    others.every((other) => first !== undefined && haveSameShape(first, other)),
  )
}
