import { once } from 'node:events'
import net from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import { KeyRing, ServerSessions } from '../../../src/index.ts'
import type { TlsServer } from '../../../src/node/node-engine.ts'
import { TrustProfiles } from '../../../src/node/trust-profile.ts'
import {
  afterTest,
  certificate,
  connect,
  listen,
  reasons,
  start,
  TLS12,
  TLS13,
} from '../../tools/node-servers.ts'

// What the owner of a server may do to it, and to the connections, is as good as with Node alone.

const mutual: tls.TlsOptions = { requestCert: true, rejectUnauthorized: false }
const profileOf = (options: tls.TlsOptions) =>
  new TrustProfiles(tls.createServer({ ...certificate, ...options }) as TlsServer).of(undefined)

describe('whom a server trusts', () => {
  test('an empty list of authorities is nobody, and no list are those of Node', () => {
    const [nobody, ofNode, empty, own] = [{ ca: [] }, {}, { ca: '' }, { ca: [certificate.cert] }].map(
      (options) => profileOf({ ...mutual, ...options }).digest.toString('hex'),
    )
    expect(empty).toBe(ofNode)
    expect(new Set([nobody, ofNode, own]).size).toBe(3)
  })

  test.each([TLS12, TLS13])('no session of before is good when nobody is trusted any more', async (range) => {
    const harness = await start({ ...range, server: { ...range.server, ...mutual } })
    const { session } = await connect(harness, undefined, certificate)
    expect((await connect(harness, session, certificate)).resumed).toBe(true)
    harness.server.setSecureContext({ ...range.server, ...certificate, ca: [] })
    expect((await connect(harness, session, certificate)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('trust-changed')
  })

  test('the same bytes in another view are the same trust', () => {
    const { cert } = certificate
    const bytes = Buffer.from(cert)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    expect(profileOf({ ...mutual, ca: view as never })).toEqual(profileOf({ ...mutual, ca: bytes }))
  })

  test('of what cannot be read nobody can tell, and nothing of before resumes', async () => {
    // Node may take what is not understood here.
    vi.spyOn(tls.Server.prototype, 'addContext').mockImplementation(() => undefined)
    afterTest(() => vi.restoreAllMocks())
    const harness = await start({ ...TLS13, server: { ...TLS13.server, ...mutual } })
    const { session } = await connect(harness)
    const { server } = harness as unknown as { readonly server: TlsServer }
    expect(() => server.addContext('localhost', { cert: 'no certificate' })).not.toThrow()
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('policy-unknown')
  })
})

describe('setSecureContext of an attached server', () => {
  class Options {
    readonly #certificate = certificate
    get key(): string {
      return this.#certificate.key
    }
    get cert(): string {
      return this.#certificate.cert
    }
  }

  test('takes the options of a class, as Node does', async () => {
    const harness = await start(TLS13)
    harness.server.setSecureContext(new Options())
    expect((await connect(harness)).resumed).toBe(false)
  })

  test('refuses a list, as Node does, and goes on with what it had', async () => {
    const harness = await start(TLS13)
    expect(() => harness.server.setSecureContext([] as tls.SecureContextOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    )
    expect((await connect(harness)).resumed).toBe(false)
  })

  test('takes options that are frozen', async () => {
    const harness = await start(TLS13)
    const { secureOptions } = harness.server as tls.Server & { readonly secureOptions: number }
    harness.server.setSecureContext(Object.freeze({ ...certificate, secureOptions }))
    expect((await connect(harness)).resumed).toBe(false)
  })

  test('refuses with tickets what attachServer refuses', async () => {
    const keyRing = new KeyRing([Buffer.from('0123456789abcdefghijklmnopqrstuv')])
    const harness = await start({
      server: { secureOptions: 0 },
      attach: { tickets: { keyRing }, tolerate: ['tickets'] },
    })
    expect(() => harness.server.setSecureContext({ ...certificate, secureOptions: 0x400 })).toThrow(
      expect.objectContaining({ code: 'ERR_SERVER_SETUP' }),
    )
  })

  test("is Node's own again when the server is detached, also for whoever has wrapped it meanwhile", async () => {
    const harness = await start(TLS13)
    const { server } = harness
    const { setSecureContext } = server
    server.setSecureContext = (options) => Reflect.apply(setSecureContext, server, [options])
    harness.attachment[Symbol.dispose]()
    expect(() => server.setSecureContext({ ...certificate, sessionTimeout: 60 })).not.toThrow()
  })
})

test('options of attach may be those of a class: none is lost', async () => {
  class Own {
    get policy() {
      return () => false as const
    }
  }
  await using sessions = new ServerSessions({ name: 'class' })
  const server = tls.createServer({ ...certificate, ...sessions.serverOptions() }, (socket) =>
    socket.on('error', () => undefined).end('hello'),
  )
  sessions.attach(server, new Own())
  const harness = { port: await listen(server) }
  const { session } = await connect(harness, undefined, { maxVersion: 'TLSv1.2' })
  expect((await connect(harness, session, { maxVersion: 'TLSv1.2' })).resumed).toBe(false)
})

test('a listener of newSession holds the connection back until it has answered', async () => {
  const harness = await start(TLS12)
  let answer: (() => void) | undefined
  const asked = new Promise<void>((resolve) => {
    harness.server.on('newSession', (_id, _der, done) => {
      answer = done
      resolve()
    })
  })
  let isOver = false
  const visit = connect(harness).then((one) => {
    isOver = true
    return one
  })
  await asked
  await connectTcp(harness.port)
  expect(isOver).toBe(false)
  answer?.()
  expect((await visit).resumed).toBe(false)
  expect(harness.context.stats.number).toBe(1)
})

/** There and back through the same event loop. */
async function connectTcp(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
  await once(socket, 'close')
}

test('a socket that another listener ends by an error is told of by that error, after the other listeners', async () => {
  const harness = await start(TLS13)
  const { server } = harness
  const seen: string[] = []
  server.prependListener('connection', (socket) => socket.destroy(new Error('blocked')))
  server.on('connection', () => seen.push('another listener'))
  server.on('tlsClientError', ({ message }) => seen.push(message))
  const told = once(server, 'tlsClientError')
  const client = net.connect(harness.port, '127.0.0.1').on('error', () => undefined)
  await told
  client.destroy()
  expect(seen).toEqual(['another listener', 'blocked'])
})

test('what a policy throws may be anything', async () => {
  const warned = once(process, 'warning')
  const harness = await start({
    ...TLS12,
    attach: {
      policy: async () => {
        throw Object.create(null)
      },
    },
  })
  expect((await connect(harness)).resumed).toBe(false)
  expect(await warned).toMatchObject([{ message: expect.stringContaining('an object') }])
})

test('a stream that lets nobody stand between is served as by Node', async () => {
  const harness = await start(TLS13)
  const [ours, theirs] = pair()
  Object.defineProperty(theirs, 'push', { value: theirs.push, writable: false })
  harness.server.emit('connection', theirs)
  const client = tls.connect({ socket: ours, rejectUnauthorized: false })
  const [text] = (await once(client, 'data')) as [Buffer]
  expect(String(text)).toBe('hello')
  client.destroy()
  expect(reasons(harness)).toEqual(['unreadable-stream'])
})

function pair(): [Duplex, Duplex] {
  const make = (other: () => Duplex) =>
    new Duplex({
      read: () => undefined,
      write: (chunk, _encoding, done) => {
        other().push(chunk)
        done()
      },
    })
  const ours: Duplex = make(() => theirs)
  const theirs: Duplex = make(() => ours)
  return [ours, theirs]
}
