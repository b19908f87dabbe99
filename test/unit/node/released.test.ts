import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import tls from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { KeyRing, MemoryStore, storeCallbacks } from '../../../src/index.ts'
import { captureTlsHandle, listenerOf, tlsHandleOf } from '../../../src/node/node-engine.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  certificate,
  connect,
  greet,
  NAME,
  NO_INTERNAL,
  type StartOptions,
  start,
  TLS12,
  TLS13,
} from '../../tools/node-servers.ts'

/** What Node makes the handle of a TLSSocket with, before anything was attached. */
const maker = tls.TLSSocket.prototype as unknown as { readonly _wrapHandle: unknown }
const { _wrapHandle: wrapHandle } = maker

const opened: tls.TLSSocket[] = []
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

/** A connection that stays, with all that was known of its handshake. */
async function stay(
  options: StartOptions,
  client: tls.ConnectionOptions = {},
  isResumed = false,
): Promise<tls.TLSSocket> {
  const harness = await start({ ...options, make: isResumed ? greet : tls.createServer })
  const session = isResumed ? (await connect(harness, undefined, client)).session : undefined
  const accepted = once(harness.server, 'secureConnection') as Promise<[tls.TLSSocket]>
  const host = { host: '127.0.0.1', port: harness.port, servername: NAME, ca: certificate.cert }
  const socket = tls.connect({ ...host, ...(session && { session }), ...client })
  socket.on('error', () => undefined)
  opened.push(socket)
  const [served] = await accepted
  opened.push(served)
  // The tickets of TLS 1.3 come in the turn of their handshake, and what an engine answers, in the one after.
  await setImmediate()
  await setImmediate()
  return served
}

const large = await makeCertificate('client', {
  names: Array.from({ length: 700 }, (_, index) => `name-${index}.client.example`),
})
const asking = { requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' } as const
const ring = new KeyRing([randomBytes(32)])

describe('of an established connection of TLS 1.3 nothing is left, whatever became of its tickets:', () => {
  test.each<[string, StartOptions, tls.ConnectionOptions?, boolean?]>([
    ['kept', TLS13],
    ['kept, of one that has resumed', TLS13, {}, true],
    [
      'kept elsewhere',
      { ...TLS13, context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(new MemoryStore()) } },
    ],
    ['declined', { ...TLS13, attach: { shouldStore: () => false } }],
    ['refused by the policy', { ...TLS13, attach: { policy: () => false } }],
    [
      'refused by the policy, later',
      { ...TLS13, attach: { policy: async () => await Promise.resolve(false) } },
    ],
    ['too large for Node', { server: asking }, { ...large, rejectUnauthorized: false }],
    [
      'stateless',
      { ...TLS13, attach: { tickets: { keyRing: ring } }, server: { ...TLS13.server, secureOptions: 0 } },
    ],
  ])('%s', async (_name, options, client, isResumed) => {
    expect(listenerOf(await stay(options, client, isResumed))).toBeUndefined()
  })
})

test('a connection of TLS 1.2 is followed on, since it may be renegotiated', async () => {
  expect(listenerOf(await stay(TLS12))).toBeDefined()
})

test('a TLSSocket is made as ever while Node has one, and after it', async () => {
  const seen = new Set<unknown>()
  const harness = await start({
    ...TLS13,
    make: (options) => {
      const server = greet(options)
      server.on('secureConnection', () => seen.add(maker._wrapHandle))
      return server
    },
  })
  await connect(harness)
  expect([...seen, maker._wrapHandle]).toEqual([wrapHandle, wrapHandle])
})

test('the handle of a new TLSSocket is told from that of its carrier, which may be a TLSSocket', () => {
  const secureContext = tls.createSecureContext(certificate)
  const carrier = new tls.TLSSocket(new PassThrough(), { isServer: true, secureContext })
  let made: tls.TLSSocket | undefined
  const handle = captureTlsHandle(() => {
    made = new tls.TLSSocket(carrier, { isServer: true, secureContext })
  })
  if (made !== undefined) opened.push(made, carrier)
  expect(handle).toBeDefined()
  expect(handle).toBe(made && tlsHandleOf(made))
})

test('a TLSSocket over a TLSSocket has the session that was found for the inner one', async () => {
  const inner = await start(TLS13)
  const outer = tls.createServer(certificate, (socket) => inner.server.emit('connection', socket))
  outer.listen(0, '127.0.0.1')
  await once(outer, 'listening')
  const { port } = outer.address() as { readonly port: number }
  const visit = async (session?: Buffer): Promise<tls.TLSSocket & { readonly latest?: Buffer }> => {
    const carrier = tls.connect({ host: '127.0.0.1', port, servername: NAME, ca: certificate.cert })
    await once(carrier, 'secureConnect')
    const socket = tls.connect({
      socket: carrier,
      servername: NAME,
      ca: certificate.cert,
      ...(session && { session }),
    })
    let latest: Buffer | undefined
    socket.on('session', (value: Buffer) => {
      latest = value
    })
    await once(socket, 'secureConnect')
    socket.resume()
    await once(socket, 'close')
    return Object.assign(socket, latest && { latest })
  }
  const { latest } = await visit()
  const handshakes = inner.handshakes.length
  await visit(latest)
  outer.close()
  expect(inner.handshakes.slice(handshakes).map(({ reason }) => reason)).toEqual(['internal'])
})
