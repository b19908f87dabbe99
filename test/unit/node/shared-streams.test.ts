import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { PassThrough } from 'node:stream'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { bytes, records } from '../../tools/client-hello-builder.ts'
import {
  afterTest,
  certificate,
  connect,
  greet,
  listen,
  NAME,
  NO_INTERNAL,
  start,
  startStock,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { hello13 } from '../../tools/offering-hello.ts'
import { duplexPair, type PipeEnd } from '../../tools/pipe-end.ts'
import { isServedAsByNode, PATIENT, type Target } from '../../tools/served-as-by-node.ts'
import { TOUCHES, type Touch } from '../../tools/stream-touches.ts'

/** Whoever waits for this has hung. */
const TIMEOUT_MS = 5_000

const ignore = (): void => undefined

/** A stock server reads such a stream by its events, so these keep it from its bytes. */
const HARMFUL = /^(setEncoding|pause|a listener of readable)/
const STREAM_TOUCHES = TOUCHES.filter(([title]) => !HARMFUL.test(title))

const received = async (target: { readonly port: number }): Promise<string> =>
  (await connect(target)).received

describe.each(VERSIONS)('%s: a connection is served, as by a stock server,', (_, version) => {
  describe.each([
    ['before', (server: net.Server, touch: Touch) => server.prependListener('connection', touch)],
    ['after', (server: net.Server, touch: Touch) => server.on('connection', touch)],
  ] as const)('when a listener of connection, %s ours,', (_where, add) => {
    test.each(TOUCHES)(
      'does %s',
      async (_title, touch) => {
        await isServedAsByNode(version, async (target) => {
          add(target.server, touch)
          return received(target)
        })
      },
      TIMEOUT_MS,
    )
  })

  test.each(TOUCHES)(
    'when somebody, while it is looked up, does %s',
    async (_title, touch) => {
      const offering = version.server?.maxVersion === 'TLSv1.2' ? { maxVersion: 'TLSv1.3' as const } : {}
      let lookups = 0
      let raw: net.Socket | undefined
      const harness = await start({
        ...version,
        attach: PATIENT,
        context: {
          sessionCacheMode: NO_INTERNAL,
          newSessionCallback: ignore,
          async getSessionCallback() {
            lookups++
            if (raw !== undefined) touch(raw)
            await new Promise((resolve) => setImmediate(resolve))
            return undefined
          },
        },
      })
      const { session } = await connect(harness, undefined, offering)
      lookups = 0
      harness.server.on('connection', (socket) => {
        raw = socket
      })
      expect((await connect(harness, session, offering)).received).toBe('hello')
      expect(lookups).toBe(1)
      expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'full'])
    },
    TIMEOUT_MS,
  )

  test.each(STREAM_TOUCHES)(
    'as a stream that is no socket, with which somebody does %s',
    async (_title, touch) => {
      await isServedAsByNode(version, (target) => {
        target.server.on('connection', touch)
        return throughStream(target, ignore)
      })
    },
    TIMEOUT_MS,
  )
})

test.each(TOUCHES.filter(([title]) => HARMFUL.test(title)))(
  'a stream that is no socket, with which somebody does %s, harms nobody',
  async (_title, touch) => {
    const harness = await start()
    harness.server.on('tlsClientError', (_error, socket: tls.TLSSocket) => socket.destroy())
    const [ours, theirs] = duplexPair()
    touch(theirs)
    harness.server.emit('connection', theirs)
    touch(theirs)
    ours.on('error', ignore).resume().write(records(hello13()))
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    const closed = theirs.closed ? undefined : once(theirs, 'close')
    theirs.destroy()
    await closed
    expect((await connect(harness)).received).toBe('hello')
    expect(harness.handshakes.map(({ outcome }) => outcome).sort()).toEqual(['failed', 'full'])
  },
  TIMEOUT_MS,
)

/** Over a pipe in memory; `first` may do something to it before the server gets it. */
async function throughStream({ server }: Target, first: (theirs: PipeEnd) => unknown): Promise<string> {
  const [ours, theirs] = duplexPair()
  first(theirs)
  server.emit('connection', theirs)
  const socket = tls.connect({ socket: ours, servername: NAME, ca: certificate.cert })
  const [greeting] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return greeting.toString()
}

/** Looks at the first byte of a connection, and hands it on. */
type Recipe = (raw: net.Socket, handOn: (isTls: boolean) => void) => void

const isHello = (first: Buffer): boolean => first[0] === 22

/** How those do it who have http and https on one port. */
const RECIPES: readonly (readonly [string, Recipe])[] = [
  [
    'once data: pause, unshift, resume in nextTick',
    (raw, handOn) =>
      raw.once('data', (first: Buffer) => {
        raw.pause()
        raw.unshift(first)
        handOn(isHello(first))
        process.nextTick(() => raw.resume())
      }),
  ],
  [
    'once data: pause, unshift, resume at once',
    (raw, handOn) =>
      raw.once('data', (first: Buffer) => {
        raw.pause()
        raw.unshift(first)
        handOn(isHello(first))
        raw.resume()
      }),
  ],
  [
    'once data: pause, unshift, resume in setImmediate',
    (raw, handOn) =>
      raw.once('data', (first: Buffer) => {
        raw.pause()
        raw.unshift(first)
        handOn(isHello(first))
        setImmediate(() => raw.resume())
      }),
  ],
  [
    'once data: unshift, and no pause',
    (raw, handOn) =>
      raw.once('data', (first: Buffer) => {
        raw.unshift(first)
        handOn(isHello(first))
      }),
  ],
  [
    'once data: pause, hand on in nextTick, unshift after it',
    (raw, handOn) =>
      raw.once('data', (first: Buffer) => {
        raw.pause()
        process.nextTick(() => {
          raw.unshift(first)
          handOn(isHello(first))
        })
      }),
  ],
  [
    'once readable: read all, unshift',
    (raw, handOn) =>
      raw.once('readable', () => {
        const first = raw.read() as Buffer
        raw.unshift(first)
        handOn(isHello(first))
      }),
  ],
  [
    'once readable: read one byte, unshift',
    (raw, handOn) =>
      raw.once('readable', () => {
        const first = raw.read(1) as Buffer
        raw.unshift(first)
        handOn(isHello(first))
      }),
  ],
  [
    'once readable: read, unshift in two pieces',
    (raw, handOn) =>
      raw.once('readable', () => {
        const all = raw.read() as Buffer
        raw.unshift(all.subarray(3))
        raw.unshift(all.subarray(0, 3))
        handOn(isHello(all))
      }),
  ],
]

/** A port for both, and what is asked of it. */
async function onOnePort(recipe: Recipe, server: tls.Server): Promise<number> {
  const plain = http.createServer((_request, response) => response.end('plain'))
  return listen(
    net.createServer((raw) => {
      raw.on('error', ignore)
      recipe(raw, (isTls) => (isTls ? server : plain).emit('connection', raw))
    }),
  )
}

const ask = (client: typeof http | typeof https, options: https.RequestOptions): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = client.request({ host: '127.0.0.1', agent: false, ...options }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      response.on('end', () => resolve(body))
    })
    request.on('error', reject).end()
  })

const web = (options: tls.TlsOptions): tls.Server =>
  https.createServer(options, (_request, response) => response.end('secret'))

describe.each(VERSIONS)('%s: http and https on one port', (_, version) => {
  /** Stock servers are given nothing by these: the bytes flow away before https reads, or the stream stays paused for http. */
  const NOT_BY_STOCK = [
    'once data: pause, unshift, resume at once',
    'once data: unshift, and no pause',
    'once data: pause, hand on in nextTick, unshift after it',
  ]

  test.each(RECIPES.filter(([title]) => !NOT_BY_STOCK.includes(title)))(
    '%s: both are served',
    async (_title, recipe) => {
      const answers = async ({ server }: Target): Promise<readonly string[]> => {
        const port = await onOnePort(recipe, server)
        return [
          await ask(http, { port }),
          await ask(https, { port, servername: NAME, ca: certificate.cert }),
          await ask(http, { port }),
        ]
      }
      const options = { ...version, make: web, attach: PATIENT }
      expect(await answers(await startStock(options))).toEqual(['plain', 'secret', 'plain'])
      const harness = await start(options)
      expect(await answers(harness)).toEqual(['plain', 'secret', 'plain'])
      expect(harness.handshakes).toMatchObject([{ outcome: 'full', serverName: NAME }])
    },
    TIMEOUT_MS,
  )

  test.each(RECIPES)(
    '%s: clients resume',
    async (_title, recipe) => {
      const harness = await start({ ...version, attach: PATIENT })
      const port = await onOnePort(recipe, harness.server)
      const { session } = await connect({ port })
      expect((await connect({ port }, session)).resumed).toBe(true)
      expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['full', 'resumed'])
    },
    TIMEOUT_MS,
  )
})

describe('somebody destroys a connection that is being looked up', () => {
  const HELLO = records(hello13({ identity: bytes(32) }))

  test.each<[string, (raw: net.Socket) => unknown, boolean?]>([
    ['at once', (raw) => raw.destroy()],
    ['at once, with an error', (raw) => raw.destroy(new Error('unwanted'))],
    ['by end and destroySoon', (raw) => raw.destroySoon()],
    ['by a reset', (raw) => raw.resetAndDestroy()],
    ['in nextTick', (raw) => process.nextTick(() => raw.destroy())],
    ['in a microtask', (raw) => queueMicrotask(() => raw.destroy())],
    ['in the turn after', (raw) => setImmediate(() => raw.destroy())],
    ['by an end, which leaves it half open', (raw) => raw.end(), true],
    ['by an end with a goodbye, which leaves it half open', (raw) => raw.end('goodbye'), true],
  ])(
    '%s: the process lives, it is told of once, and nothing is left',
    async (_title, end, allowHalfOpen = false) => {
      const failures: unknown[] = []
      let raw: net.Socket | undefined
      const harness = await start({
        attach: PATIENT,
        server: { allowHalfOpen },
        context: {
          sessionCacheMode: NO_INTERNAL,
          getSessionCallback: async () => {
            if (raw !== undefined) end(raw)
            return undefined
          },
        },
      })
      harness.server.on('connection', (socket) => {
        raw = socket
      })
      harness.server.on('tlsClientError', (_error, socket: tls.TLSSocket) => {
        failures.push(socket instanceof tls.TLSSocket)
        socket.destroy()
      })
      const client = net.connect(harness.port, '127.0.0.1').on('error', ignore)
      afterTest(() => client.destroy())
      client.resume().write(HELLO)
      // A reset is an error of the client's, which is not what is looked at.
      await new Promise((resolve) => client.once('close', resolve))
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
      expect(harness.handshakes.map(({ outcome }) => outcome)).toEqual(['failed'])
      expect(failures).toEqual([true])
      harness.server.close()
      await once(harness.server, 'close')
    },
    TIMEOUT_MS,
  )
})

describe('a hello that comes in pieces', () => {
  const inPieces = async (
    { port }: { readonly port: number },
    between: (length: number) => Promise<void>,
  ): Promise<{ readonly port: number }> => ({
    port: await listen(
      net.createServer((client) => {
        client.on('error', ignore).once('data', (hello: Buffer) => {
          client.pause()
          const upstream = net.connect({ port, host: '127.0.0.1', noDelay: true })
          upstream.on('error', ignore).pipe(client)
          afterTest(() => upstream.destroy())
          upstream.write(hello.subarray(0, 60))
          void between(60).then(() => {
            upstream.write(hello.subarray(60))
            client.pipe(upstream)
          })
        })
      }),
    ),
  })

  test.each(TOUCHES)(
    'is served when somebody, after the first of them, does %s',
    async (_title, touch) => {
      await isServedAsByNode({}, async (target) => {
        const arrived = once(target.server, 'connection') as Promise<[net.Socket]>
        const proxy = await inPieces(target, async (length) => {
          const [raw] = await arrived
          while (raw.bytesRead < length) await new Promise((resolve) => setImmediate(resolve))
          touch(raw)
          await new Promise((resolve) => setImmediate(resolve))
        })
        return received(proxy)
      })
    },
    TIMEOUT_MS,
  )
})

// A stock server ends with an assertion there: Node's TLSWrap is handed a string.
test(
  'a connection that got an encoding and was read as text before it was given to the server ends no process',
  async () => {
    const harness = await start({ attach: PATIENT, make: greet })
    const port = await listen(
      net.createServer((raw) => {
        raw.on('error', ignore).setEncoding('latin1')
        raw.once('data', (text: string) => {
          raw.pause()
          raw.unshift(Buffer.from(text, 'latin1'))
          harness.server.emit('connection', raw)
        })
      }),
    )
    const arrived = once(harness.server, 'connection') as Promise<[net.Socket]>
    const client = tls.connect({ port, host: '127.0.0.1', servername: NAME, ca: certificate.cert })
    client.on('error', ignore)
    const [raw] = await arrived
    expect((await connect(harness)).received).toBe('hello')
    const closed = once(raw, 'close')
    client.destroy()
    await closed
    expect(harness.handshakes).toHaveLength(2)
  },
  TIMEOUT_MS,
)

test.each([
  ['before a byte', 0],
  ['after a piece of its hello', 60],
  ['while it is looked up', Number.POSITIVE_INFINITY],
])(
  'a stream that is no socket, which somebody has paused, and whose client ends %s, is left by nobody',
  async (_title, length) => {
    const ends: PipeEnd[] = []
    const harness = await start({
      attach: PATIENT,
      context: {
        sessionCacheMode: NO_INTERNAL,
        async getSessionCallback() {
          for (const end of ends) end.push(null)
          for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
          return undefined
        },
      },
    })
    const [ours, theirs] = duplexPair({ allowHalfOpen: false })
    ends.push(theirs)
    theirs.pause()
    harness.server.emit('connection', theirs)
    const closed = once(theirs, 'close')
    ours
      .on('error', ignore)
      .resume()
      .write(records(hello13({ identity: bytes(32) })).subarray(0, length))
    if (Number.isFinite(length)) setImmediate(() => ours.end())
    await closed
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'client-left' }])
  },
  TIMEOUT_MS,
)

test(
  'a stream that is no socket, and is piped somewhere, is served when its bytes are put back after it was handed on',
  async () => {
    await isServedAsByNode({}, async ({ server }) => {
      server.on('connection', (raw) => raw.pipe(new PassThrough().resume()))
      const [ours, theirs] = duplexPair()
      theirs.once('data', (first: Buffer) => {
        theirs.pause()
        server.emit('connection', theirs)
        theirs.unshift(first)
      })
      const client = tls.connect({ socket: ours, servername: NAME, ca: certificate.cert })
      const [greeting] = (await once(client, 'data')) as [Buffer]
      client.destroy()
      return greeting.toString()
    })
  },
  TIMEOUT_MS,
)
