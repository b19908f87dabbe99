import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as later } from 'node:timers/promises'
import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { MemoryStore, type SslSession, storeCallbacks } from '../../../src/index.ts'
import {
  connect,
  type Harness,
  listen,
  NO_INTERNAL,
  start,
  startStock,
  TLS12,
  TLS13,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { duplexPair } from '../../tools/pipe-end.ts'
import { arrive, closed, connections, HELLO, PART, received, relay, type Target } from './arrival.ts'
import { handedOver } from './handed-over.ts'

/** Leaves nothing behind. */
async function closes(server: net.Server): Promise<void> {
  expect(await connections(server)).toBe(0)
  server.close()
  await once(server, 'close')
}

describe('a client that stalls in mid-hello', () => {
  test('is left to the handshakeTimeout of Node once readAheadMs is over', async () => {
    const harness = await start({ server: { handshakeTimeout: 20 }, attach: { readAheadMs: 20 } })
    const stock = await startStock({ server: { handshakeTimeout: 20 } })
    const codeOf = async (target: Target): Promise<unknown> => {
      const { client, raw } = await arrive(target)
      client.write(PART)
      const [error] = (await once(target.server, 'tlsClientError')) as [NodeJS.ErrnoException]
      client.destroy()
      await closed(raw)
      return error.code
    }
    expect([await codeOf(stock), await codeOf(harness)]).toEqual(
      new Array(2).fill('ERR_TLS_HANDSHAKE_TIMEOUT'),
    )
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'stalled-hello' }])
    expect(harness.handshakes[0]?.readAheadMs).toBeGreaterThan(18)
    await closes(harness.server)
  })

  test.each([
    ['that says nothing', 0],
    ['that says a part', 5],
  ])('%s, has no more time than from Node', async (_, length) => {
    const timeouts = { server: { handshakeTimeout: 300 } }
    const [harness, stock] = [await start(timeouts), await startStock(timeouts)]
    const msOf = async (target: Target): Promise<number> => {
      const { client, raw } = await arrive(target)
      const sinceMs = performance.now()
      client.write(PART.subarray(0, length))
      const [error] = (await once(target.server, 'tlsClientError')) as [NodeJS.ErrnoException]
      expect(error.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT')
      const ms = performance.now() - sinceMs
      client.destroy()
      await closed(raw)
      return ms
    }
    const [ours, theirs] = await Promise.all([msOf(harness), msOf(stock)])
    expect(ours).toBeGreaterThan(290)
    // Not a second time after the first; both ran at once, on a machine that may be busy.
    expect(ours - theirs).toBeLessThan(250)
    await closes(harness.server)
  })

  test('and goes on within its handshakeTimeout each time, as Node lets it, is served', async () => {
    const harness = await start({ server: { handshakeTimeout: 1000 } })
    const { port } = await relay(harness.port, async (hello, upstream) => {
      const over = handedOver()
      upstream.write(hello.subarray(0, 5))
      await later(500)
      upstream.write(hello.subarray(5, 100))
      // A second after it came; half a second is left.
      await over
      upstream.write(hello.subarray(100))
    })
    expect((await connect({ port })).resumed).toBe(false)
    expect(harness.handshakes).toMatchObject([{ outcome: 'full', reason: 'stalled-hello' }])
  })

  test.each(
    VERSIONS.flatMap(([title, version]) => [1, 5, 100].map((length) => [title, length, version] as const)),
  )('%s: and goes on after %i bytes gets a full handshake', async (_, length, version) => {
    const context = storeCallbacks(new MemoryStore())
    const patient = await start({ ...version, context })
    const harness = await start({ ...version, context, attach: { readAheadMs: 20 } })
    const { session } = await connect(patient)
    const { port } = await relay(harness.port, async (hello, upstream) => {
      const over = handedOver()
      upstream.write(hello.subarray(0, length))
      await over
      upstream.write(hello.subarray(length))
    })
    const late = await connect({ port }, session)
    expect(late.resumed).toBe(false)
    expect(harness.handshakes).toMatchObject([{ outcome: 'full', reason: 'stalled-hello' }])
    // Nothing proves for which name a TLS 1.3 session was made when the hello was not read.
    const isKept = version === TLS12
    expect((await connect(patient, late.session)).resumed).toBe(isKept)
    expect(harness.attachment.stats.notKept).toEqual(isKept ? {} : { 'unread-hello': 2 })
  })
})

const LEAVE = {
  'ends (FIN)': (socket: net.Socket) => socket.end(),
  'resets (RST)': (socket: net.Socket) => socket.resetAndDestroy(),
} as const

type Leave = keyof typeof LEAVE

describe.each(Object.keys(LEAVE) as Leave[])('a client that %s', (leave) => {
  const BEFORE = [
    ['before its first byte', new Uint8Array(0)],
    ['after one byte', HELLO.subarray(0, 1)],
    ['in mid-hello', PART],
  ] as const

  test.each(BEFORE)('%s, has failed, and nothing of it is left', async (_, sent) => {
    const harness = await start()
    const { client, raw } = await arrive(harness)
    client.write(sent)
    await received(raw, sent.length)
    LEAVE[leave](client)
    await closed(raw)
    expect(harness.handshakes).toMatchObject([
      { outcome: 'failed', reason: 'client-left', socket: undefined, serverName: undefined },
    ])
    expect(harness.context.stats).toMatchObject({ accept: 1, acceptGood: 0 })
    await closes(harness.server)
  })

  interface Asked {
    readonly harness: Harness
    readonly client: net.Socket
    readonly raw: net.Socket
    readonly answer: (session: SslSession | undefined) => void
  }

  /** The client has left while it is looked up. */
  async function leaveDuringLookup(lookupTimeoutMs: number): Promise<Asked> {
    let answer: Asked['answer'] | undefined
    let asked: (() => void) | undefined
    const wasAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const harness = await start({
      ...TLS13,
      context: {
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: () =>
          new Promise((resolve) => {
            answer = resolve
            asked?.()
          }),
      },
      attach: { lookupTimeoutMs },
    })
    const { client, raw } = await arrive(harness)
    client.write(HELLO)
    await wasAsked
    LEAVE[leave](client)
    return { harness, client, raw, answer: (session) => answer?.(session) }
  }

  test('during a lookup that never answers, has failed', async () => {
    const { harness, raw } = await leaveDuringLookup(20_000)
    await closed(raw)
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'client-left' }])
    await closes(harness.server)
  })

  test('during a lookup that answers later, has failed, and the answer is not used', async () => {
    const { harness, raw, answer } = await leaveDuringLookup(20_000)
    await closed(raw)
    answer(undefined)
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'client-left' }])
    expect(harness.context.stats).toMatchObject({ accept: 1, acceptGood: 0, hits: 0 })
    await closes(harness.server)
  })
})

/** The end of the stream has come, behind bytes that nobody has read. */
async function hasEnded(raw: net.Socket): Promise<void> {
  const { _readableState: state } = raw as unknown as { readonly _readableState: { readonly ended: boolean } }
  while (!state.ended) await new Promise((resolve) => setImmediate(resolve))
}

async function failure({ server }: Target): Promise<{ code: unknown; message: string }> {
  const [{ code, message }] = (await once(server, 'tlsClientError')) as [NodeJS.ErrnoException]
  return { code, message }
}

describe('tlsClientError tells once of a client that leaves, as in a stock server,', () => {
  const MOMENTS = [
    ['before its first byte', new Uint8Array(0)],
    ['after one byte', HELLO.subarray(0, 1)],
    ['in mid-hello', PART],
    ['after its hello', HELLO],
  ] as const

  test.each(
    (Object.keys(LEAVE) as Leave[]).flatMap((leave) =>
      MOMENTS.flatMap(([moment, sent]) =>
        [false, true].map((allowHalfOpen) => [leave, moment, allowHalfOpen, sent] as const),
      ),
    ),
  )('one that %s %s, with allowHalfOpen: %s', async (leave, _, allowHalfOpen, sent) => {
    // Refuses the whole ClientHello at once.
    const options = { server: { ...TLS12.server, allowHalfOpen, handshakeTimeout: 100 } }
    const errorsOf = async (target: Target): Promise<unknown> => {
      const errors: unknown[] = []
      target.server.on('tlsClientError', ({ code, message }: NodeJS.ErrnoException) =>
        errors.push({ code, message: code?.startsWith('ERR_SSL') === true ? '' : message }),
      )
      const { client, raw } = await arrive(target)
      const failed = once(target.server, 'tlsClientError')
      client.write(sent)
      await received(raw, sent.length)
      LEAVE[leave](client)
      await failed
      // Node leaves half-open what has timed out.
      raw.destroy()
      await closed(raw)
      return errors
    }
    const stock = await errorsOf(await startStock(options))
    expect(await errorsOf(await start(options))).toEqual(stock)
    expect(stock).toHaveLength(1)
  })

  test.each([1, 100])('with %i bytes before it was given to the server', async (length) => {
    const end = async (target: Target): Promise<{ code: unknown; message: string }> => {
      const front = net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
      const { client, raw } = await arrive({ server: front as tls.Server, port: await listen(front) })
      client.end(HELLO.subarray(0, length))
      // As a server does that asks somebody about the address first.
      raw.read(0)
      await hasEnded(raw)
      const failed = failure(target)
      target.server.emit('connection', raw)
      await failed
      raw.destroy()
      await closed(raw)
      return await failed
    }
    const options = { server: { handshakeTimeout: 50 }, attach: { readAheadMs: 20 } }
    const harness = await start(options)
    expect(await end(harness)).toEqual(await end(await startStock(options)))
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'client-left' }])
  })
})

describe('a connection that goes in its own way', () => {
  test('is destroyed with an error by the get callback: the error is nobody else’s', async () => {
    const harness = await start({
      ...TLS13,
      context: {
        sessionCacheMode: NO_INTERNAL,
        getSessionCallback: ({ appData }) => {
          ;(appData as net.Socket).destroy(new Error('unwanted'))
          return undefined
        },
      },
    })
    const { client, raw } = await arrive(harness)
    client.write(HELLO)
    await closed(raw)
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'client-left' }])
    await closes(harness.server)
  })

  test('is a stream that ends with part of a hello at once', async () => {
    const harness = await start()
    const [ours, theirs] = duplexPair()
    harness.server.emit('connection', theirs)
    ours.end(PART)
    await once(theirs, 'end')
    theirs.destroy()
    await closed(theirs)
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'client-left' }])
  })

  test('is closed before it is given to the server: nothing waits for it', async () => {
    const harness = await start()
    const [, theirs] = duplexPair()
    theirs.destroy()
    await closed(theirs)
    harness.server.emit('connection', theirs)
    expect(await harness.attachment.close({ deadlineMs: 120_000 })).toEqual({ dropped: 0 })
  })
})
