import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { type AttachServerOptions, MemoryStore, type SslSession, storeCallbacks } from '../../../src/index.ts'
import { records, resumingClientHello } from '../../tools/client-hello-builder.ts'
import {
  afterTest,
  certificate,
  connect,
  greet,
  type Harness,
  listen,
  NAME,
  NO_INTERNAL,
  start,
  startStock,
  TLS12,
  TLS13,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'
import { duplexPair } from '../../tools/pipe-end.ts'
import { handedOver } from './handed-over.ts'

type Target = Pick<Harness, 'server' | 'port'>

/** With an offer of a TLS 1.3 session, so that it is looked up. */
const HELLO = records(resumingClientHello())
const PART = HELLO.subarray(0, 100)

/** A connection, when the server has it. */
async function arrive({ server, port }: Target): Promise<{ client: net.Socket; raw: net.Socket }> {
  const client = net.connect(port, '127.0.0.1').on('error', () => undefined)
  const [[raw]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [net.Socket],
    unknown,
  ]
  afterTest(() => client.destroy())
  return { client: client.resume(), raw }
}

async function received(raw: net.Socket, length: number): Promise<void> {
  while (raw.bytesRead < length) await new Promise((resolve) => setImmediate(resolve))
}

/** Also with an error; `socket.closed` is true a little before the event. */
async function closed(socket: Duplex): Promise<void> {
  await new Promise((resolve) => (socket.closed ? setImmediate(resolve) : socket.on('close', resolve)))
}

const connections = (server: net.Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
  })

/** Leaves nothing behind. */
async function closes(server: net.Server): Promise<void> {
  expect(await connections(server)).toBe(0)
  server.close()
  await once(server, 'close')
}

/** Passes on all that a client says, but for its first words, of which `first` makes what it likes. */
async function relay(
  port: number,
  first: (hello: Buffer, upstream: net.Socket) => unknown,
): Promise<{ readonly port: number }> {
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    client
      .on('error', () => undefined)
      .once('data', (hello: Buffer) => {
        client.pause()
        const upstream = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
        upstream.on('error', () => undefined).pipe(client)
        afterTest(() => upstream.destroy())
        void Promise.resolve(first(hello, upstream)).then(() => client.pipe(upstream))
      })
    afterTest(() => client.destroy())
  })
  return { port: await listen(server) }
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

describe.each(VERSIONS)('%s resumes', (_, version) => {
  test.each([
    ['in one piece', (hello: Buffer) => [hello]],
    ['in two', (hello: Buffer) => [hello.subarray(0, 60), hello.subarray(60)]],
  ] as const)('through a stream of any kind, when the hello comes %s', async (_title, cut) => {
    const harness = await start(version)
    const visit = async (session?: Buffer): Promise<{ resumed: boolean; session: Buffer | undefined }> => {
      const [ours, theirs] = duplexPair()
      const [near, far] = duplexPair()
      harness.server.emit('connection', theirs)
      far.once('data', (hello: Buffer) => {
        far.pause()
        for (const piece of cut(hello)) ours.write(piece)
        far.pipe(ours)
      })
      ours.pipe(far)
      const socket = tls.connect({
        socket: near,
        servername: NAME,
        ca: certificate.cert,
        ...(session && { session }),
      })
      let received: Buffer | undefined
      socket.on('session', (value: Buffer) => {
        received = value
      })
      const [greeting] = (await once(socket, 'data')) as [Buffer]
      expect(greeting.toString()).toBe('hello')
      const resumed = socket.isSessionReused()
      socket.destroy()
      return { resumed, session: received }
    }
    const { session } = await visit()
    expect((await visit(session)).resumed).toBe(true)
    expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
  })

  const LINE = Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\n')

  function byReadable(raw: net.Socket, emit: () => void): void {
    let head = Buffer.alloc(0)
    raw.on('readable', function take() {
      for (let chunk = raw.read(); chunk !== null; chunk = raw.read()) head = Buffer.concat([head, chunk])
      if (!head.includes('\n')) return
      raw.off('readable', take)
      const rest = head.subarray(LINE.length)
      if (rest.length > 0) raw.unshift(rest)
      emit()
    })
  }

  function byData(raw: net.Socket, emit: () => void): void {
    raw.once('data', (head: Buffer) => {
      raw.pause()
      raw.unshift(head.subarray(LINE.length))
      emit()
    })
  }

  function byFlowingData(raw: net.Socket, emit: () => void): void {
    raw.once('data', (head: Buffer) => {
      raw.unshift(head.subarray(LINE.length))
      emit()
    })
  }

  const together = (hello: Buffer, upstream: net.Socket): unknown =>
    upstream.write(Buffer.concat([LINE, hello]))
  const parted = async (hello: Buffer, upstream: net.Socket): Promise<void> => {
    upstream.write(Buffer.concat([LINE, hello.subarray(0, 60)]))
    await new Promise((resolve) => setImmediate(resolve))
    upstream.write(hello.subarray(60))
  }

  test.each([
    ['readable, with all of the hello', byReadable, together],
    ['readable, with part of the hello', byReadable, parted],
    ['data, with all of the hello', byData, together],
    ['data, with part of the hello', byData, parted],
    ['data without a pause, with all of the hello', byFlowingData, together],
    ['data without a pause, with part of the hello', byFlowingData, parted],
  ] as const)('behind a PROXY protocol that its owner reads on %s', async (_title, strip, first) => {
    const peers: unknown[] = []
    const harness = await start({
      ...version,
      make: (options) =>
        greet(options).on('secureConnection', ({ remoteAddress, remotePort }) =>
          peers.push({ remoteAddress, remotePort }),
        ),
    })
    const remotes: unknown[] = []
    const front = net.createServer((raw) => {
      const { remoteAddress, remotePort } = raw.on('error', () => undefined)
      remotes.push({ remoteAddress, remotePort })
      strip(raw, () => harness.server.emit('connection', raw))
    })
    const proxy = await relay(await listen(front), first)
    const { session } = await connect(proxy)
    const { resumed } = await connect(proxy, session)
    expect(resumed).toBe(true)
    expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
    expect(peers).toEqual(remotes)
  })

  test('within the CONNECT tunnel of an HTTP server', async () => {
    const harness = await start(version)
    const port = await listen(
      http.createServer().on('connect', (_request, socket: net.Socket, head: Buffer) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        if (head.length > 0) socket.unshift(head)
        harness.server.emit('connection', socket)
      }),
    )
    const tunnel = async (): Promise<net.Socket> => {
      const request = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: `${NAME}:443` }).end()
      const [, socket] = (await once(request, 'connect')) as [unknown, net.Socket]
      return socket
    }
    const { session } = await connect(harness, undefined, { socket: await tunnel() })
    expect((await connect(harness, session, { socket: await tunnel() })).resumed).toBe(true)
    expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
  })

  test.each([1, 16, 1_000_000])('with highWaterMark: %i', async (highWaterMark) => {
    const harness = await start({ ...version, server: { ...version.server, highWaterMark } })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
  })
})

/** What a server sees of a client that sends ten bytes and gets two. */
async function observed(target: Target): Promise<Record<string, unknown>> {
  const socket = tls.connect({ host: '127.0.0.1', port: target.port, servername: NAME, ca: certificate.cert })
  const [[raw], [secure]] = (await Promise.all([
    once(target.server, 'connection'),
    once(target.server, 'secureConnection'),
    once(socket, 'secureConnect'),
  ])) as [[net.Socket], [tls.TLSSocket], unknown]
  const wasPaused = secure.isPaused()
  socket.write('0123456789')
  const [data] = (await once(secure.resume(), 'data')) as [Buffer]
  secure.write('ok')
  await once(socket, 'data')
  const { bytesRead, bytesWritten, remoteAddress, remoteFamily, localPort, readableHighWaterMark } = secure
  socket.destroy()
  secure.destroy()
  await closed(raw)
  return {
    wasPaused,
    data: data.toString(),
    bytesRead,
    bytesWritten,
    rawBytesRead: raw.bytesRead,
    rawBytesWritten: raw.bytesWritten,
    remoteAddress,
    remoteFamily,
    isRightPort: localPort === target.port,
    readableHighWaterMark,
    rawHighWaterMark: raw.readableHighWaterMark,
  }
}

const quiet = (options: tls.TlsOptions): tls.Server =>
  tls.createServer(options, (socket) => socket.on('error', () => undefined))

describe.each(VERSIONS)('%s: the sockets are as in a stock server', (_, version) => {
  test.each([
    ['by default', {}, { wasPaused: false }],
    ['with pauseOnConnect', { pauseOnConnect: true }, { wasPaused: true }],
    ['with highWaterMark', { highWaterMark: 20_000 }, { rawHighWaterMark: 20_000 }],
    ['with allowHalfOpen', { allowHalfOpen: true }, {}],
  ] as const)('%s', async (_title, options, expected) => {
    const settings = { server: { ...version.server, ...options }, make: quiet }
    const stock = await observed(await startStock(settings))
    expect(await observed(await start(settings))).toEqual(stock)
    expect(stock).toMatchObject({
      data: '0123456789',
      remoteAddress: '127.0.0.1',
      isRightPort: true,
      ...expected,
    })
  })
})

/** The kind of the timer that the kernel has set for the connections at a local port: 2 is keepalive. */
function kernelTimers(port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(suffix) === true && state === '01')
    .map(([, , , , , timer]) => timer?.slice(0, 2) ?? '')
}

peerTest(
  'keepAlive is set while a connection is read ahead',
  process.platform === 'linux' ? undefined : 'there is no /proc/net/tcp',
  async () => {
    for (const keepAlive of [true, false]) {
      const harness = await start({ server: { keepAlive } })
      const { client, raw } = await arrive(harness)
      client.write(PART)
      await received(raw, PART.length)
      expect(kernelTimers(harness.port)).toEqual([keepAlive ? '02' : '00'])
    }
  },
)

describe('while a connection is read ahead', () => {
  test('it counts in getConnections', async () => {
    const harness = await start()
    expect(await connections(harness.server)).toBe(0)
    const { client, raw } = await arrive(harness)
    client.write(PART)
    await received(raw, PART.length)
    expect(await connections(harness.server)).toBe(1)
  })

  test('server.close waits for it, and it is served', async () => {
    const harness = await start()
    const arrival = once(harness.server, 'connection') as Promise<[net.Socket]>
    const { port } = await relay(harness.port, async (hello, upstream) => {
      upstream.write(hello.subarray(0, 60))
      await received((await arrival)[0], 60)
      harness.server.close()
      upstream.write(hello.subarray(60))
    })
    const closed = once(harness.server, 'close')
    expect((await connect({ port })).received).toBe('hello')
    await closed
    expect(harness.handshakes).toMatchObject([{ outcome: 'full', reason: 'not-offered' }])
  })
})

/** Calls back in the asynchronous context of its store, as a promise would not. */
class Thenable<T> implements PromiseLike<T> {
  readonly #currentId: AsyncLocalStorage<string>
  readonly #promise: Promise<T>

  constructor(currentId: AsyncLocalStorage<string>, promise: Promise<T>) {
    this.#currentId = currentId
    this.#promise = promise
  }

  // biome-ignore lint/suspicious/noThenProperty: it is to be one
  then<U = T, E = never>(
    onFulfilled?: ((value: T) => U | PromiseLike<U>) | null,
    onRejected?: ((error: unknown) => E | PromiseLike<E>) | null,
  ): PromiseLike<U | E> {
    const next = this.#currentId.run('store', () => this.#promise.then(onFulfilled, onRejected))
    return new Thenable(this.#currentId, next)
  }
}

describe.each(VERSIONS)('%s: user code runs in the asynchronous context of its connection', (_, version) => {
  const currentId = new AsyncLocalStorage<string>()

  /** Answers from a context of its own, as the connection of a store does. */
  const KINDS = {
    'a promise': <T>(value: T): PromiseLike<T> =>
      new Promise((resolve) => {
        currentId.run('store', () => setImmediate(resolve, value))
      }),
    'a thenable': <T>(value: T): PromiseLike<T> => new Thenable(currentId, Promise.resolve(value)),
  }

  interface Watched {
    readonly harness: Harness
    readonly seen: (readonly [what: string, id: string | undefined])[]
    /** Each connection of this port has an id of its own. */
    readonly port: number
  }

  async function startWatched(
    answer: <T>(value: T) => PromiseLike<T>,
    attach: AttachServerOptions = {},
  ): Promise<Watched> {
    const stored = new Map<string, SslSession>()
    const seen: [string, string | undefined][] = []
    const see = (what: string): void => void seen.push([what, currentId.getStore()])
    const harness = await start({
      ...version,
      context: {
        sessionCacheMode: NO_INTERNAL,
        newSessionCallback: (_connection, session) => {
          see('new')
          stored.set(Buffer.from(session.sessionId).toString('hex'), session)
          return answer(undefined)
        },
        getSessionCallback: (_connection, id) => {
          see('get')
          return answer(stored.get(Buffer.from(id).toString('hex')))
        },
      },
      attach: {
        policy: async () => {
          see('policy')
          await answer(undefined)
          see('policy, after waiting')
          return 'same'
        },
        shouldStore: () => {
          see('shouldStore')
          return true
        },
        onHandshake: ({ outcome }) => see(`onHandshake ${outcome}`),
        ...attach,
      },
      make: (options) =>
        greet(options).on('secureConnection', () => {
          const serve = async (): Promise<void> => {
            see('secureConnection')
            await answer(undefined)
            see('secureConnection, after waiting')
          }
          void serve()
        }),
    })
    let connections = 0
    const front = net.createServer((raw) => {
      currentId.run(`connection ${++connections}`, () => harness.server.emit('connection', raw))
    })
    return { harness, seen, port: await listen(front) }
  }

  const unique = (seen: Watched['seen'], id: string): string[] => [
    ...new Set(seen.filter(([, one]) => one === id).map(([what]) => what)),
  ]

  test.each(Object.keys(KINDS) as (keyof typeof KINDS)[])('when stores answer with %s', async (kind) => {
    const watched = await startWatched(KINDS[kind])
    const { session } = await connect(watched)
    expect((await connect(watched, session)).resumed).toBe(true)
    const full = [
      'policy',
      'policy, after waiting',
      'shouldStore',
      'new',
      'secureConnection',
      'secureConnection, after waiting',
    ]
    expect(unique(watched.seen, 'connection 1').sort()).toEqual(
      [...full, 'onHandshake full', ...(version === TLS12 ? ['get'] : [])].sort(),
    )
    const resumed = version === TLS12 ? full.filter((what) => what !== 'new' && what !== 'shouldStore') : full
    expect(unique(watched.seen, 'connection 2').sort()).toEqual(
      [...resumed, 'get', 'onHandshake resumed'].sort(),
    )
    expect(watched.seen.filter(([, id]) => id === undefined || id === 'store')).toEqual([])
  })

  test('when a lookup has timed out', async () => {
    const never = <T>(): PromiseLike<T> => new Promise<T>(() => undefined)
    const watched = await startWatched(never, { lookupTimeoutMs: 20, policy: () => 'same' })
    const { session } = await connect(watched)
    expect((await connect(watched, session)).resumed).toBe(false)
    expect(unique(watched.seen, 'connection 2')).toContain('onHandshake full')
    expect(watched.seen.filter(([, id]) => id === undefined || id === 'store')).toEqual([])
  })

  test.each([
    ['is no TLS', Buffer.from('GET / HTTP/1.0\r\n\r\n')],
    ['ends in mid-hello', PART],
    ['ends after its hello', HELLO],
  ] as const)('when the client %s', async (_title, sent) => {
    const { seen, port } = await startWatched(KINDS['a thenable'])
    const client = net.connect(port, '127.0.0.1').on('error', () => undefined)
    client.resume().end(sent)
    await closed(client)
    expect(unique(seen, 'connection 1')).toContain('onHandshake failed')
    expect(seen.filter(([, id]) => id === undefined || id === 'store')).toEqual([])
  })
})

test.each(['a promise', 'a thenable'] as const)(
  'waitForStore: true leaves secureConnection in the context of its connection, when the store answers with %s',
  async (kind) => {
    const currentId = new AsyncLocalStorage<string>()
    const written = currentId.run('store', () => new Promise((resolve) => setImmediate(resolve)))
    const reply = kind === 'a promise' ? written : new Thenable(currentId, written)
    const harness = await start({
      ...TLS12,
      context: { newSessionCallback: () => reply },
      attach: { waitForStore: true },
    })
    const front = net.createServer((raw) => {
      currentId.run('connection', () => harness.server.emit('connection', raw))
    })
    const ids: unknown[] = []
    harness.server.on('secureConnection', () => ids.push(currentId.getStore()))
    await connect({ port: await listen(front) })
    expect(ids).toEqual(['connection'])
  },
)
