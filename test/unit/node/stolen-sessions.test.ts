import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { derOf, sessionForNode } from '../../../src/client/session-format.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { MemoryStore, SslSession, storeCallbacks } from '../../../src/index.ts'
import { sessionInternals } from '../../../src/session/ssl-session.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  bytes,
  clientHello,
  extension,
  keyShare,
  preSharedKey,
  pskKeyExchangeModes,
  records,
  serverName,
  supportedVersions,
  uint,
  vector,
} from '../../tools/client-hello-builder.ts'
import { delegate } from '../../tools/delegate.ts'
import {
  certificate,
  connect,
  NAME,
  NO_INTERNAL,
  start,
  TLS12,
  TLS13,
  VERSIONS,
} from '../../tools/node-servers.ts'

const TARGET = { servername: NAME, host: NAME, port: 443 }

function masterKeyOf(session: Buffer | undefined): string {
  return Buffer.from(decodeSslSession(derOf(session!)).masterKey).toString('hex')
}

/** The same session with another key: what somebody has who saw its id or ticket, and nothing else. */
function withoutKey(session: Buffer): Buffer {
  const known = SslSession.fromDer(derOf(session))
  sessionInternals.update(known, { masterKey: bytes(48, 7).subarray(0, masterKeyOf(session).length / 2) })
  return sessionForNode(known.toDer(), TARGET)
}

/** A store of this process, and what it was asked. */
function watchedStore() {
  const asked: string[] = []
  const store = new MemoryStore()
  const watched = {
    ...delegate(store),
    confidentiality: 'in-process' as const,
    get(key: Uint8Array) {
      asked.push('get')
      return store.get(key)
    },
    take(key: Uint8Array) {
      asked.push('take')
      return store.take(key)
    },
    delete(key: Uint8Array) {
      asked.push('delete')
      return store.delete(key)
    },
  }
  return { asked, watched }
}

async function secretsOf(
  port: number,
  session?: Buffer,
): Promise<{ secrets: string[]; session: Buffer; resumed: boolean }> {
  const secrets: string[] = []
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername: NAME,
    ca: certificate.cert,
    ...(session && { session }),
  })
  socket.on('keylog', (line: Buffer) => secrets.push(line.toString().trim().split(' ')[2] ?? ''))
  let made: Buffer | undefined
  socket.on('session', (one: Buffer) => {
    made = one
  })
  await once(socket, 'secureConnect')
  const resumed = socket.isSessionReused()
  socket.resume()
  await once(socket, 'close')
  return { secrets, session: made ?? session!, resumed }
}

describe('what a stolen session opens', () => {
  test('in TLS 1.2 it has the master key of each connection that used it', async () => {
    const { port } = await start(TLS12)
    const first = await secretsOf(port)
    const second = await secretsOf(port, first.session)
    expect([first.resumed, second.resumed]).toEqual([false, true])
    expect(first.secrets).toContain(masterKeyOf(first.session))
    expect(second.secrets).toContain(masterKeyOf(first.session))
  })

  test('in TLS 1.3 it has no key of a connection, and a resumption makes a key exchange of its own', async () => {
    const { port } = await start(TLS13)
    const first = await secretsOf(port)
    const second = await secretsOf(port, first.session)
    expect(second.resumed).toBe(true)
    expect(second.secrets.length).toBeGreaterThan(3)
    for (const { secrets } of [first, second]) expect(secrets).not.toContain(masterKeyOf(first.session))
    // Of the two handshakes no secret is the same, though the session is.
    expect(second.secrets.filter((secret) => first.secrets.includes(secret))).toEqual([])
  })

  test.each(VERSIONS)(
    '%s: it lets the thief resume as its client, who has shown a certificate',
    async (_, version) => {
      const client = await makeCertificate('client.example')
      const authorized: boolean[] = []
      const { port } = await start({
        ...version,
        server: { ...version.server, requestCert: true, rejectUnauthorized: true, ca: client.cert },
        make: (options) =>
          tls.createServer(options, (socket) => {
            authorized.push(socket.authorized)
            socket.on('error', () => undefined).end('hello')
          }),
      })
      const { session } = await connect({ port }, undefined, { key: client.key, cert: client.cert })
      const thief = await connect({ port }, session)
      expect({ resumed: thief.resumed, authorized }).toEqual({ resumed: true, authorized: [true, true] })
    },
  )
})

describe('who has seen an id or a ticket, and has no key', () => {
  test.each(VERSIONS)('%s: resumes nothing', async (_, version) => {
    const harness = await start(version)
    const { session } = await connect(harness)
    await expect(connect(harness, withoutKey(session!))).rejects.toThrow()
    await expect.poll(() => harness.handshakes.at(-1)?.outcome).toBe('failed')
  })

  test('in TLS 1.2 ends no session by a handshake that fails for want of its key', async () => {
    const { asked, watched } = watchedStore()
    const harness = await start({
      ...TLS12,
      context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(watched) },
    })
    const { session } = await connect(harness)
    await expect(connect(harness, withoutKey(session!))).rejects.toThrow()
    await expect.poll(() => harness.handshakes.at(-1)?.outcome).toBe('failed')
    expect(asked).not.toContain('delete')
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('in TLS 1.2 ends that session by offering it without its cipher suite, as in libssl: its client gets a full handshake', async () => {
    const { asked, watched } = watchedStore()
    const harness = await start({
      ...TLS12,
      context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(watched) },
    })
    const { session } = await connect(harness)
    const { sessionId, cipherSuite } = decodeSslSession(derOf(session!))
    const hello = clientHello({
      sessionId,
      // Both are good for the certificate of the tests.
      cipherSuites: [0xc02b, 0xc02c, 0xc02f, 0xc030].filter((suite) => suite !== cipherSuite),
      extensions: [
        serverName(NAME),
        extension(10, vector(2, uint(2, 0x001d), uint(2, 0x0017))),
        extension(11, vector(1, Uint8Array.of(0))),
        extension(13, vector(2, uint(2, 0x0804), uint(2, 0x0403), uint(2, 0x0401))),
        extension(23, new Uint8Array(0)),
      ],
    })
    await send(harness.port, Buffer.from(records(hello)))
    await expect.poll(() => asked).toContain('delete')
    const owner = await connect(harness, session)
    expect({ resumed: owner.resumed, received: owner.received }).toEqual({
      resumed: false,
      received: 'hello',
    })
  })

  test('in TLS 1.3 uses up a session that is for a single use: its client gets a full handshake', async () => {
    const { watched } = watchedStore()
    const harness = await start({
      ...TLS13,
      attach: { singleUse: true },
      context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(watched) },
    })
    const { session } = await connect(harness)
    await expect(connect(harness, withoutKey(session!))).rejects.toThrow()
    const owner = await connect(harness, session)
    expect({ resumed: owner.resumed, received: owner.received }).toEqual({
      resumed: false,
      received: 'hello',
    })
  })
})

async function send(port: number, hello: Buffer): Promise<void> {
  const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
  socket.write(hello)
  await once(socket, 'data')
  socket.destroy()
  await once(socket, 'close')
}

/** A ClientHello of TLS 1.3 with these PSK identities and key exchange modes. */
function offering(identities: readonly Uint8Array[], mode: number): Buffer {
  return Buffer.from(
    records(
      clientHello({
        sessionId: bytes(32, 0x1d),
        cipherSuites: [0x1301],
        extensions: [
          serverName(NAME),
          extension(10, vector(2, uint(2, 0x001d))),
          extension(13, vector(2, uint(2, 0x0804), uint(2, 0x0403))),
          supportedVersions(0x0304),
          pskKeyExchangeModes(mode),
          keyShare({ group: 0x001d, keyExchange: bytes(32, 9) }),
          preSharedKey(identities.map((identity) => ({ identity }))),
        ],
      }),
    ),
  )
}

describe('a ClientHello', () => {
  const PSK_KE = 0
  const PSK_DHE_KE = 1
  test('with sixty PSK identities makes one lookup in the store', async () => {
    const { asked, watched } = watchedStore()
    const { port } = await start({ context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(watched) } })
    await send(
      port,
      offering(
        Array.from({ length: 60 }, (_, index) => bytes(32, index)),
        PSK_DHE_KE,
      ),
    )
    expect(asked).toEqual(['get'])
  })

  test('that offers no new key exchange makes none, and is not resumed', async () => {
    const { asked, watched } = watchedStore()
    const harness = await start({ context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(watched) } })
    await send(harness.port, offering([bytes(32, 1)], PSK_KE))
    await expect.poll(() => harness.handshakes.map(({ outcome }) => outcome)).toEqual(['failed'])
    expect(asked).toEqual([])
  })
})

test('a session id of TLS 1.2 is the same on the wire each time that it is used', async () => {
  const { port } = await start(TLS12)
  const seen: Buffer[] = []
  const proxy = net.createServer((client) => {
    const server = net.connect(port, '127.0.0.1').on('error', () => client.destroy())
    client.once('data', (hello: Buffer) => seen.push(hello)).on('error', () => server.destroy())
    client.pipe(server).pipe(client)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port: watched } = proxy.address() as net.AddressInfo
  const { session } = await connect({ port: watched })
  for (let again = 0; again < 2; again++)
    expect((await connect({ port: watched }, session)).resumed).toBe(true)
  const { sessionId } = decodeSslSession(derOf(session!))
  expect(seen.map((hello) => hello.includes(Buffer.from(sessionId)))).toEqual([false, true, true])
  proxy.close()
})
