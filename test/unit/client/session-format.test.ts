import { once } from 'node:events'
import tls from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import { derOf } from '../../../src/client/session-format.ts'
import { connect, finished, make, startTls, type TestServer, versions } from './harness.ts'

/** As the lines of Node since June 2026 give out the sessions of clients. */
function wrapped(serverName: string, der: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(Buffer.byteLength(serverName))
  return Buffer.concat([
    Buffer.from('\0nodejs:tls:session:1\0', 'latin1'),
    length,
    Buffer.from(serverName),
    der,
  ])
}

/** By Node alone. @returns the DER, whatever this line gives */
async function sessionOf(server: TestServer, options: tls.ConnectionOptions = {}): Promise<Buffer> {
  const socket = tls.connect({ ...server.options, ...options })
  socket.resume()
  const [session] = (await once(socket, 'session')) as [Buffer]
  await once(socket, 'close')
  return derOf(session)
}

describe.each(versions)('a session that is given by hand, %s', (version) => {
  const range = { minVersion: version, maxVersion: version }
  const named = { servername: 'localhost' }

  test.each([
    ['wrapped', (der: Buffer) => wrapped('localhost', der)],
    ['wrapped, as text', (der: Buffer) => wrapped('localhost', der).toString('latin1')],
  ])('is offered: %s', async (_name, form) => {
    const server = await startTls(range)
    const session = form(await sessionOf(server, named))
    const sessions = make()
    const result = await finished(
      sessions.connect({ ...server.options, ...named, session } as tls.ConnectionOptions),
    )
    expect(result).toMatchObject({ isResumed: true, authorized: true })
    expect(sessions.stats.reasons).toEqual({ 'own-session': 1 })
  })

  test('bare is worth what it is to this Node alone', async () => {
    const server = await startTls(range)
    const options = { ...server.options, ...named, session: await sessionOf(server, named) }
    const alone = await finished(tls.connect(options))
    expect(await finished(make().connect(options))).toEqual(alone)
  })

  test('that is broken, and the first of the process, spoils no other', async () => {
    const server = await startTls(range)
    vi.resetModules()
    const { ClientSessions } = await import('../../../src/index.ts')
    const sessions = new ClientSessions()
    const session = wrapped('localhost', Buffer.from([0x30, 3, 2, 1, 1]))
    await finished(sessions.connect({ ...server.options, ...named, session }))
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: false })
    expect(await connect(sessions, server.options)).toMatchObject({ isResumed: true })
  })

  test('is not offered to another server than its wrapping names', async () => {
    const server = await startTls(range)
    const session = wrapped('other.example', await sessionOf(server, named))
    expect(await finished(make().connect({ ...server.options, ...named, session }))).toMatchObject({
      isResumed: false,
    })
  })

  test('is kept no further, since only its owner knows what was verified for it', async () => {
    const server = await startTls(range)
    const session = wrapped('localhost', await sessionOf(server, named))
    const sessions = make()
    await finished(sessions.connect({ ...server.options, ...named, session }))
    expect(sessions.stats.tickets).toBe(0)
  })

  test.each([
    ['nothing', ''],
    ['no session', 'nonsense'],
    ['half a wrapping', '\0nodejs:tls:session:1\0\xff\xff'],
  ])('leads to a full handshake when it is %s', async (_name, session) => {
    const server = await startTls(range)
    const result = await finished(
      make().connect({ ...server.options, session: Buffer.from(session, 'latin1') }),
    )
    expect(result).toMatchObject({ isResumed: false, authorized: true })
  })
})

test('what a full handshake with it gives is kept', async () => {
  const server = await startTls()
  const sessions = make()
  await finished(sessions.connect({ ...server.options, session: Buffer.from('nonsense') }))
  expect(await finished(sessions.connect(server.options))).toMatchObject({ isResumed: true })
})
