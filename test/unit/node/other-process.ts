import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import tls from 'node:tls'
import type { SessionStore } from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'
import { delegate } from '../../tools/delegate.ts'

export interface FromOther {
  readonly outcomes: readonly string[]
}

/** As of a test runner: `process` is a copy, whose `nextTick` never comes. Node goes on with its own. */
const real = process
const copy = Object.create(
  Object.getPrototypeOf(process) as object,
  Object.getOwnPropertyDescriptors(process),
) as NodeJS.Process
Object.defineProperty(globalThis, 'process', { value: copy, writable: true, configurable: true })
const { attachServer, ClientSessions, MemoryStore, SslContext, serverOptions } = await import(
  '../../../src/index.ts'
)
copy.nextTick = () => undefined

real.once('message', (certificate: Certificate) => void serve(certificate))

async function serve(certificate: Certificate): Promise<void> {
  const context = new SslContext({ sessionIdContext: 'other process' })
  const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) =>
    socket.on('error', () => undefined).end('hello'),
  )
  const outcomes: string[] = []
  attachServer(server, context, { onHandshake: ({ outcome }) => outcomes.push(outcome) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // Without a store, and with one that takes its time.
  const store: SessionStore = {
    ...delegate(new MemoryStore()),
    get: async () => await Promise.resolve(undefined),
  }
  for (const options of [{}, { store, secrets: [randomBytes(32)] }]) {
    const sessions = new ClientSessions(options)
    for (let count = 0; count < 2; count++)
      await text(
        sessions.connect({ host: '127.0.0.1', port, servername: 'server.example', ca: certificate.cert }),
      )
    await sessions.close()
  }
  server.close()
  real.send?.({ outcomes } satisfies FromOther)
  real.disconnect?.()
}
