import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import type { SslSession } from '../../../src/index.ts'
import {
  bytes,
  clientHello,
  concat,
  extension,
  keyShare,
  preSharedKey,
  pskKeyExchangeModes,
  records,
  resumingClientHello,
  supportedVersions,
  uint,
  vector,
} from '../../tools/client-hello-builder.ts'
import {
  connect,
  type Harness,
  NO_INTERNAL,
  reasons,
  start,
  startStock,
  TLS12,
  TLS13,
} from '../../tools/node-servers.ts'
import { manyProtocols, pieces, type RawVisit, reframing, visitRaw, withServer } from './raw-visit.ts'

/** The index of the identity that a ServerHello has chosen; undefined in a full handshake. */
function selectedIdentity({ answer }: RawVisit): number | undefined {
  expect([answer[0], answer[5]]).toEqual([22, 2])
  let offset = 5 + 4 + 2 + 32
  offset += 1 + answer.readUInt8(offset) + 2 + 1
  const end = offset + 2 + answer.readUInt16BE(offset)
  for (offset += 2; offset < end; offset += 4 + answer.readUInt16BE(offset + 2))
    if (answer.readUInt16BE(offset) === 41) return answer.readUInt16BE(offset + 4)
  return undefined
}

interface Offered {
  readonly identity: Uint8Array
  /** Without, the binder is nonsense. */
  readonly session?: SslSession
}

const SUITE_SHA256 = 'TLS_AES_128_GCM_SHA256'

/** A ClientHello with the binders of RFC 9846 §4.3.11.2 (RFC 8446 §4.2.11.2), for {@link SUITE_SHA256}. */
function offering(...offers: readonly Offered[]): Uint8Array {
  const message = clientHello({
    sessionId: bytes(32, 0x1d),
    cipherSuites: [0x1301],
    extensions: [
      extension(10, vector(2, uint(2, 0x001d))),
      extension(13, vector(2, uint(2, 0x0804), uint(2, 0x0403))),
      supportedVersions(0x0304),
      pskKeyExchangeModes(1),
      keyShare({ group: 0x001d, keyExchange: bytes(32) }),
      preSharedKey(offers),
    ],
  })
  const bindersLength = 33 * offers.length
  const truncated = message.subarray(0, message.length - bindersLength - 2)
  const binders = offers.map(({ session }) =>
    vector(
      1,
      session === undefined ? bytes(32) : binder(decodeSslSession(session.toDer()).masterKey, truncated),
    ),
  )
  return records(concat(truncated, vector(2, ...binders)))
}

function binder(psk: Uint8Array, truncated: Uint8Array): Uint8Array {
  const hash = (content: Uint8Array): Buffer => createHash('sha256').update(content).digest()
  const early = createHmac('sha256', bytes(32, 0)).update(psk).digest()
  const binderKey = expandLabel(early, 'res binder', hash(bytes(0)))
  const finishedKey = expandLabel(binderKey, 'finished', bytes(0))
  return createHmac('sha256', finishedKey).update(hash(truncated)).digest()
}

/** RFC 9846 §7.1; HKDF-Expand of one block. */
function expandLabel(secret: Uint8Array, label: string, context: Uint8Array): Buffer {
  const info = concat(uint(2, 32), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context))
  return createHmac('sha256', secret)
    .update(concat(info, Uint8Array.of(1)))
    .digest()
}

describe('the identities of a TLS 1.3 ClientHello', () => {
  const OTHER = { identity: bytes(32, 0x01) }
  const BLOB = { identity: bytes(200, 0x02) }

  async function startAsked(): Promise<{ harness: Harness; good: Required<Offered>; asked: string[] }> {
    const made: SslSession[] = []
    const asked: string[] = []
    const find = (id: Uint8Array): SslSession | undefined =>
      made.find(({ sessionId }) => Buffer.from(sessionId).equals(id))
    const harness = await start(
      withServer(
        TLS13,
        { ciphers: SUITE_SHA256 },
        {
          context: {
            sessionCacheMode: NO_INTERNAL,
            newSessionCallback: (_connection, session) => made.push(session),
            getSessionCallback: async (_connection, id) => {
              asked.push(Buffer.from(id).toString('hex'))
              return find(id)
            },
          },
        },
      ),
    )
    // The hello that is built here names no server.
    await connect(harness, undefined, { servername: '', checkServerIdentity: () => undefined })
    const session = made[0]
    if (session === undefined) throw new Error('there is no session')
    return { harness, good: { identity: session.sessionId, session }, asked }
  }

  test('one of 32 bytes is looked up, and its binder is good', async () => {
    const { harness, good, asked } = await startAsked()
    expect(selectedIdentity(await visitRaw(harness, offering(good)))).toBe(0)
    expect(asked).toEqual([Buffer.from(good.identity).toString('hex')])
  })

  test('the first of 32 bytes counts, whatever precedes it', async () => {
    const { harness, good, asked } = await startAsked()
    expect(selectedIdentity(await visitRaw(harness, offering(BLOB, good, OTHER)))).toBe(1)
    expect(asked).toEqual([Buffer.from(good.identity).toString('hex')])
  })

  test('a second one of 32 bytes is not looked up, and its binder never meets the session of the first', async () => {
    const { harness, good, asked } = await startAsked()
    expect(selectedIdentity(await visitRaw(harness, offering(OTHER, good)))).toBeUndefined()
    expect(asked).toEqual([Buffer.from(OTHER.identity).toString('hex')])
  })

  test('a binder that does not verify ends that connection, and harms no other', async () => {
    const { harness, good } = await startAsked()
    const [[error], { answer }] = await Promise.all([
      once(harness.server, 'tlsClientError'),
      visitRaw(harness, offering({ identity: good.identity })),
    ])
    expect(error).toMatchObject({ code: 'ERR_SSL_BINDER_DOES_NOT_VERIFY' })
    expect(answer[0]).toBe(21)
    expect(selectedIdentity(await visitRaw(harness, offering(good)))).toBe(0)
  })

  test('that of a hello with a post-quantum key share is found', async () => {
    const { harness, good, asked } = await startAsked()
    await visitRaw(harness, records(resumingClientHello(good.identity)))
    expect(asked).toEqual([Buffer.from(good.identity).toString('hex')])
  })

  test('a stateless ticket of before is a miss: the handshake is full, and the client can resume from then on', async () => {
    const before = await startStock(withServer(TLS13, { secureOptions: 0 }))
    const harness = await start(TLS13)
    const { session: ticket } = await connect(before)
    const { resumed, session } = await connect(harness, ticket)
    expect(resumed).toBe(false)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['stateless-ticket', 'internal'])
    expect(harness.context.stats).toMatchObject({ hits: 1, misses: 0, acceptGood: 2 })
  })
})

test('a stateless ticket of TLS 1.2 of before is a miss', async () => {
  const before = await startStock(withServer(TLS12, { secureOptions: 0 }))
  const harness = await start(TLS12)
  const { session: ticket } = await connect(before)
  const { resumed, session } = await connect(harness, ticket)
  expect(resumed).toBe(false)
  expect((await connect(harness, session)).resumed).toBe(true)
  expect(reasons(harness)).toEqual(['not-found', 'internal'])
})

describe('a TLS 1.3 client that is asked for another key share (RFC 9846 §4.2.4, RFC 8446 §4.1.4)', () => {
  const CLIENT: tls.ConnectionOptions = { ecdhCurve: 'X25519:P-384' }
  const RETRIED = withServer(TLS13, { ecdhCurve: 'P-384' })

  test.each([
    ['its ClientHello in one record', (message: Uint8Array) => [records(message)]],
    ['its ClientHello byte by byte', (message: Uint8Array) => pieces(records(message), 1)],
    ['its ClientHello in several records', (message: Uint8Array) => [records(message, 100)]],
  ] as const)('resumes, and is counted once: %s', async (_, cut) => {
    const harness = await start(RETRIED)
    const { session } = await connect(harness, undefined, CLIENT)
    const { resumed, received } = await connect(await reframing(harness, cut), session, CLIENT)
    expect([resumed, received]).toEqual([true, 'hello'])
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
    expect(harness.context.stats).toMatchObject({ accept: 2, acceptGood: 2, hits: 1, misses: 0 })
  })

  test('is looked up once', async () => {
    let lookups = 0
    const harness = await start({
      ...RETRIED,
      context: {
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: () => {
          lookups++
          return undefined
        },
      },
    })
    const { session } = await connect(harness, undefined, CLIENT)
    expect((await connect(harness, session, CLIENT)).resumed).toBe(false)
    expect([lookups, reasons(harness).at(-1)]).toEqual([1, 'not-found'])
  })

  test('resumes when its ClientHello is beyond 16 KiB', async () => {
    const harness = await start(RETRIED)
    const options = { ...CLIENT, ALPNProtocols: manyProtocols(20_000) }
    const { session } = await connect(harness, undefined, options)
    expect((await connect(harness, session, options)).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })
})
