import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { KeyRing } from '../../../src/index.ts'
import { records } from '../../tools/client-hello-builder.ts'
import {
  afterTest,
  certificate,
  connect,
  type Harness,
  NAME,
  reasons,
  start,
  startStock,
  TLS12,
  TLS13,
} from '../../tools/node-servers.ts'
import { hello12 } from '../../tools/offering-hello.ts'
import { SECRET, startTicketed } from '../../tools/ticket-servers.ts'

// What becomes of a connection with stateless tickets where libssl, the server or its secrets are not as they were when its
// ClientHello was judged.

const BOTH_VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const

/** The last eight bytes of ServerHello.random. */
async function endOfRandom(port: number): Promise<string> {
  const client = net.connect(port, '127.0.0.1')
  afterTest(() => client.destroy())
  client.write(records(hello12()))
  const [answer] = (await once(client, 'data')) as [Buffer]
  // The headers of record and message, and legacy_version, are before the 32 bytes.
  return answer.subarray(11 + 24, 11 + 32).toString('latin1')
}

test('a client that asks for TLS 1.2 is told that the server speaks 1.3, with tickets of both as well (RFC 9846 §4.2.3)', async () => {
  const stock = await startStock({})
  expect(await endOfRandom(stock.port)).toBe('DOWNGRD\x01')
  const harness = await start({
    attach: { tickets: { keyRing: new KeyRing([SECRET]), versions: BOTH_VERSIONS } },
  })
  expect(await endOfRandom(harness.port)).toBe('DOWNGRD\x01')
})

test.each([
  ['lost TLS 1.3', { maxVersion: 'TLSv1.2' }, 'TLSv1.2'],
  ['kept both', {}, 'TLSv1.3'],
] as const)(
  'a server that has %s while the policy is at work serves the connection',
  async (_, range, protocol) => {
    let ask: () => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      ask = resolve
    })
    let answer: (policy: string) => void = () => undefined
    const policy = (): Promise<string> =>
      new Promise((resolve) => {
        answer = resolve
        ask()
      })
    const harness = await startTicketed({ attach: { policy } })
    const visit = connect(harness)
    await asked
    harness.server.setSecureContext({ ...certificate, ...range })
    answer('one')
    await visit
    expect(harness.handshakes[0]).toMatchObject({ outcome: 'full', protocol })
  },
)

test('secrets that go between the judgement and the question of libssl are the reason', async () => {
  const keyRing = new KeyRing([SECRET])
  let replace = (): void => undefined
  const objectionTo = (): undefined => {
    replace()
  }
  const revocations = { objectionTo }
  const harness = await startTicketed({ attach: { revocations } }, keyRing)
  const { session } = await connect(harness)
  replace = () => keyRing.replaceSecrets([randomBytes(32)])
  expect((await connect(harness, session)).resumed).toBe(false)
  expect(reasons(harness)[1]).toBe('ticket-unopenable')
})

test('a PSK made outside TLS that resumes beside a ticket of another hash is the reason', async () => {
  const key = Buffer.alloc(32, 7)
  const harness = await startTicketed({
    server: {
      ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:PSK',
      pskCallback: (_socket, identity) => (identity === 'outside' ? key : null),
    },
  })
  const { session } = await connect(harness, undefined, { ciphers: 'TLS_AES_256_GCM_SHA384' })
  const both = await connect(harness, session, {
    ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
    pskCallback: () => ({ psk: key, identity: 'outside' }),
    checkServerIdentity: () => undefined,
  })
  expect(both.resumed).toBe(true)
  expect(reasons(harness)).toEqual(['not-offered', 'external-psk'])
  expect(harness.context.stats.hits).toBe(1)
})

test.each([
  ['TLS 1.2', () => start(TLS12)],
  ['TLS 1.3', () => start(TLS13)],
  ['TLS 1.3 with tickets', () => startTicketed(TLS13)],
])('a handshake whose connection an earlier listener destroys is a full one: %s', async (_name, begin) => {
  const harness = await begin()
  let protocol: string | null = null
  harness.server.prependListener('secureConnection', (socket) => {
    protocol = socket.getProtocol()
    socket.destroy()
  })
  await left(harness)
  expect(harness.handshakes).toMatchObject([{ outcome: 'full', protocol }])
  expect(harness.attachment.stats.notKept).toEqual({})
})

/** A client of such a server comes, and sees it go. */
async function left({ port, server }: Harness): Promise<void> {
  const gone = once(server, 'connection').then(([raw]) => once(raw as net.Socket, 'close'))
  const client = tls.connect({ host: '127.0.0.1', port, ca: certificate.cert, servername: NAME })
  client.on('error', () => undefined)
  await gone
  client.destroy()
}
