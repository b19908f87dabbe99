import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { type AttachServerOptions, SslSession } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { records } from '../../tools/client-hello-builder.ts'
import {
  connect,
  type Harness,
  NAME,
  NO_INTERNAL,
  reasons,
  type StartOptions,
  start,
  startStock,
  VERSIONS,
  type Visit,
} from '../../tools/node-servers.ts'
import { hello12, hello13 } from '../../tools/offering-hello.ts'

const anyName: tls.ConnectionOptions = { checkServerIdentity: () => undefined }

/** As Node says it: raw UTF-8. */
const named = (servername: string): tls.ConnectionOptions => ({ ...anyName, servername })

describe.each(VERSIONS)('%s: a server name in raw UTF-8', (_, version) => {
  const UMLAUT = 'größe.example'

  test('is served as by a stock server, and resumes, or says why not', async () => {
    const stock = await connect(await startStock(version), undefined, named(UMLAUT))
    const harness = await start(version)
    const first = await connect(harness, undefined, named(UMLAUT))
    expect(first.received).toBe(stock.received)
    const second = await connect(harness, first.session, named(UMLAUT))
    expect(second.received).toBe('hello')
    // It could be read: that it could not is untrue.
    expect(reasons(harness)).not.toContain('unreadable-hello')
    if (!second.resumed) expect(reasons(harness)[1]).toMatch(/name/)
  })

  test.each([
    ['without its marks', 'grosse.example'],
    ['in upper case', 'GRÖSSE.example'],
    ['in another form of Unicode', 'größe.example'.normalize('NFD')],
    ['as punycode', 'xn--gre-ina4b.example'],
    ['of the same Latin-1 text', Buffer.from('größe.example').toString('latin1')],
  ])('makes no session for another one: %s', async (_title, other) => {
    const harness = await start(version)
    const { session } = await connect(harness, undefined, named(UMLAUT))
    expect((await connect(harness, session, named(other))).resumed).toBe(false)
    const back = await connect(harness, undefined, named(other))
    expect((await connect(harness, back.session, named(UMLAUT))).resumed).toBe(false)
  })

  test('gets the context that addContext has given to it, as by a stock server', async () => {
    const own = await makeCertificate('own')
    const serves = async ({ server, port }: Pick<Harness, 'server' | 'port'>): Promise<unknown> => {
      server.addContext(UMLAUT, own)
      const socket = tls.connect({
        port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        ...named(UMLAUT),
      })
      await once(socket, 'secureConnect')
      const { subject } = socket.getPeerCertificate()
      socket.destroy()
      return subject.CN
    }
    expect(await serves(await start(version))).toBe(await serves(await startStock(version)))
  })
})

/** What the first record of the answer to a hello says: whether the session that it offers is resumed. */
async function answerTo({ port }: Harness, hello: Uint8Array): Promise<Buffer> {
  const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    const answer = Buffer.concat(chunks)
    if (answer.length >= 5 && answer.length >= 5 + answer.readUInt16BE(3)) socket.end()
  })
  socket.write(hello)
  await once(socket, 'close')
  return Buffer.concat(chunks)
}

const isServerHello = (answer: Buffer): boolean => answer[0] === 22 && answer[5] === 2

/** RFC 9846 §4.3.11 (RFC 8446 §4.2.11): the server says which identity it has chosen. RFC 5246 §7.4.1.3: it repeats the session id. */
function resumes(answer: Buffer, sessionId: Uint8Array): boolean {
  if (!isServerHello(answer)) return false
  const idLength = answer.readUInt8(43)
  const isTls13 = answer.indexOf(Buffer.from('002b00020304', 'hex')) > 0
  if (!isTls13) return answer.subarray(44, 44 + idLength).equals(sessionId)
  let offset = 44 + idLength + 3
  const end = offset + 2 + answer.readUInt16BE(offset)
  for (offset += 2; offset < end; offset += 4 + answer.readUInt16BE(offset + 2))
    if (answer.readUInt16BE(offset) === 41) return true
  return false
}

interface Made {
  readonly harness: Harness
  readonly visit: Visit
  /** The server's own, as it was kept. */
  readonly session: SslSession
}

/** A session that was made under a name, or under none. */
async function make(
  version: StartOptions,
  servername: string,
  attach: AttachServerOptions = {},
): Promise<Made> {
  const made: SslSession[] = []
  const harness = await start({
    server: { ...version.server, ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256' },
    context: { newSessionCallback: (_connection, session) => void made.push(session) },
    attach,
  })
  const visit = await connect(harness, undefined, named(servername))
  const session = made.at(-1)
  if (session === undefined) throw new Error('no session was made')
  return { harness, visit, session }
}

/** Its binder is good. */
function offer(version: StartOptions, session: SslSession, serverName?: string | Uint8Array): Uint8Array {
  const name = serverName === undefined ? {} : { serverName }
  if (version.server?.maxVersion === 'TLSv1.2')
    return records(hello12({ sessionId: session.sessionId, ...name }))
  const { masterKey } = decodeSslSession(session.toDer())
  return records(hello13({ identity: session.sessionId, psk: masterKey, ...name }))
}

describe.each(VERSIONS)('%s: a session that was made without a server name', (_, version) => {
  test('resumes without one: the hello that is built here is good', async () => {
    const { harness, session } = await make(version, '')
    const answer = await answerTo(harness, offer(version, session))
    expect(resumes(answer, session.sessionId)).toBe(true)
  })

  test.each([
    ['an empty one', ''],
    ['one of a zero byte', Uint8Array.of(0)],
    ['one of a dot', '.'],
    ['one of a space', ' '],
    ['another one', 'other.example'],
  ])('does not resume under %s', async (_title, serverName) => {
    const { harness, session } = await make(version, '')
    const answer = await answerTo(harness, offer(version, session, serverName))
    expect(resumes(answer, session.sessionId)).toBe(false)
    expect(harness.handshakes.map(({ outcome }) => outcome)).not.toContain('resumed')
  })

  test('is never resumed under an empty one past a policy that says no', async () => {
    let isAllowed = true
    const { harness, session } = await make(version, '', { policy: () => (isAllowed ? 'same' : false) })
    isAllowed = false
    expect(resumes(await answerTo(harness, offer(version, session, '')), session.sessionId)).toBe(false)
    expect(resumes(await answerTo(harness, offer(version, session)), session.sessionId)).toBe(false)
  })
})

describe.each(VERSIONS)(
  '%s: a session whose name is not the one that its binding is made of',
  (_, version) => {
    // As written by whoever can write to the store, and by versions for which an empty name was none.
    test.each([
      ['an empty one', '', ''],
      ['another one', 'other.example', ''],
      ['none', undefined, NAME],
      ['an empty one', '', NAME],
      ['another one', 'other.example', NAME],
    ])('says %s: it does not resume, whatever its binding says', async (_title, says, servername) => {
      const made: SslSession[] = []
      const harness = await start({
        ...version,
        context: {
          sessionCacheMode: NO_INTERNAL,
          newSessionCallback: (_connection, session) => void made.push(SslSession.fromDer(session.toDer())),
          getSessionCallback: (_connection, id) => {
            const session = made.find(({ sessionId }) => Buffer.from(sessionId).equals(id))
            session?.setHostname(says === undefined ? undefined : Buffer.from(says))
            return session
          },
        },
        attach: { policy: () => 'same' },
      })
      const { session } = await connect(harness, undefined, named(servername))
      expect((await connect(harness, session, named(servername))).resumed).toBe(false)
      expect(reasons(harness).at(-1)).toBe('server-name-mismatch')
    })
  },
)

describe.each(VERSIONS)('%s: a session that was made under a name', (_, version) => {
  test('resumes under it: the hello that is built here is good', async () => {
    const { harness, session } = await make(version, NAME)
    expect(resumes(await answerTo(harness, offer(version, session, NAME)), session.sessionId)).toBe(true)
  })

  test.each([
    ['none', undefined],
    ['an empty one', ''],
    ['one in upper case', NAME.toUpperCase()],
    ['one with a dot behind it', `${NAME}.`],
    ['one with a zero byte behind it', Buffer.from(`${NAME}\0`)],
    ['its first half', NAME.slice(0, 6)],
  ])('does not resume under %s', async (_title, serverName) => {
    const { harness, session } = await make(version, NAME)
    const answer = await answerTo(harness, offer(version, session, serverName))
    expect(resumes(answer, session.sessionId)).toBe(false)
  })
})
