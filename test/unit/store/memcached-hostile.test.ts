import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { MemcachedConnection } from '../../../src/store/memcached-connection.ts'
import { type MetaReply, ReplyReader } from '../../../src/store/memcached-protocol.ts'
import { type MemcachedStoreOptions, memcachedStore } from '../../../src/store/memcached-store.ts'

/** What a fake server answers to a command line; undefined is silence. */
type Answer = (line: string, socket: Socket) => string | undefined

/** A server that speaks the protocol, as far as it wants to. */
class FakeMemcached {
  readonly connections: Socket[] = []
  /** All that came, on all connections. */
  received = ''
  #onClose: () => void = () => undefined
  /** Resolves when any connection has closed. */
  readonly closed = new Promise<void>((resolve) => {
    this.#onClose = resolve
  })
  readonly #server: Server
  port = 0

  private constructor(answer: Answer) {
    this.#server = createServer((socket) => this.#serve(socket, answer))
  }

  static async start(answer: Answer): Promise<FakeMemcached> {
    const fake = new FakeMemcached(answer)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    fake.port = (fake.#server.address() as AddressInfo).port
    return fake
  }

  #serve(socket: Socket, answer: Answer): void {
    this.connections.push(socket)
    socket.once('close', () => this.#onClose())
    socket.on('error', () => undefined)
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.received += text
      for (const line of text.split('\r\n').filter((part) => /^m[gsd] /.test(part))) {
        const reply = answer(line, socket)
        if (reply !== undefined) socket.write(reply, 'latin1')
      }
    })
  }

  stop(): void {
    for (const socket of this.connections) socket.destroy()
    this.#server.close()
  }
}

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function against(
  answer: Answer,
  options: Omit<MemcachedStoreOptions, 'connect'> = {},
): Promise<{ readonly fake: FakeMemcached; readonly store: SessionStore }> {
  const fake = await FakeMemcached.start(answer)
  const store = memcachedStore({ connect: () => connect(fake.port, '127.0.0.1'), ...options })
  cleanUps.push(
    () => store.close(),
    () => fake.stop(),
  )
  return { fake, store }
}

const opaqueOf = (line: string): string => / O(\d+)/.exec(line)?.[1] ?? ''
const isFirstQuestion = (line: string): boolean => line.endsWith(' s')
const miss: Answer = (line) => `EN O${opaqueOf(line)}\r\n`

async function outcomeOf(call: PromiseLike<unknown> | unknown): Promise<unknown> {
  try {
    return await call
  } catch (error) {
    return error
  }
}

const KEY = Uint8Array.of(1)
const OTHER_KEY = Uint8Array.of(2)
const IN_AN_HOUR = (): number => Date.now() + 3_600_000

describe('a reader of replies', () => {
  const stream = Buffer.from(
    'VA 9 O1 c77\r\nab\r\nHD\r\nc\r\nEN O2\r\nVA 0 O3 c8\r\n\r\nHD O4 \r\nSERVER_ERROR out of memory\r\nEX O5\r\nNF O6\r\nNS O7\r\n',
  )
  const read = (...chunks: readonly Buffer[]): MetaReply[] => {
    const reader = new ReplyReader(100)
    return chunks.flatMap((chunk) => [...reader.push(chunk)])
  }
  const value = new Uint8Array(Buffer.from('ab\r\nHD\r\nc'))
  const none = new Uint8Array(0)
  const whole = [
    { code: 'VA', value, opaque: '1', cas: '77' },
    { code: 'EN', value: none, opaque: '2', cas: undefined },
    { code: 'VA', value: none, opaque: '3', cas: '8' },
    { code: 'HD', value: none, opaque: '4', cas: undefined },
    { code: 'SERVER_ERROR', text: 'SERVER_ERROR out of memory' },
    { code: 'EX', value: none, opaque: '5', cas: undefined },
    { code: 'NF', value: none, opaque: '6', cas: undefined },
    { code: 'NS', value: none, opaque: '7', cas: undefined },
  ]

  test('reads the same however the stream is cut', () => {
    expect(read(stream)).toEqual(whole)
    expect(read(...[...stream].map((byte) => Buffer.of(byte)))).toEqual(whole)
    for (let cut = 1; cut < stream.length; cut++)
      expect(read(stream.subarray(0, cut), stream.subarray(cut))).toEqual(whole)
  })

  test('gives values memory of their own', () => {
    const chunk = Buffer.from('VA 3 O1\r\nabc\r\n')
    const [reply] = read(chunk)
    chunk.fill(0)
    expect(reply).toMatchObject({ value: new Uint8Array(Buffer.from('abc')) })
  })
})

describe('a reply that breaks the protocol', () => {
  const ofOldest: readonly (readonly [string, (opaque: string) => string])[] = [
    ['is no reply', () => 'HELLO\r\n'],
    ['is of another protocol', () => 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['has zero bytes', () => '\0\0\r\n'],
    ['has no size', () => 'VA\r\n'],
    ['has a negative size', (opaque) => `VA -1 O${opaque}\r\n`],
    ['has a size beyond the largest item', (opaque) => `VA 1048577 O${opaque}\r\n`],
    ['has a size of many digits', (opaque) => `VA 99999999999999 O${opaque}\r\n`],
    ['has more data than it said', (opaque) => `VA 3 O${opaque}\r\nabcd\r\n`],
    ['is of the next command', (opaque) => `EN O${Number(opaque) + 1}\r\n`],
    ['is of the command before', (opaque) => `EN O${Number(opaque) - 1}\r\n`],
    ['is of no command', () => 'EN\r\n'],
    ['does not fit the command', (opaque) => `HD O${opaque}\r\n`],
    ['does not know the command', () => 'ERROR\r\n'],
    ['refuses the command', () => 'CLIENT_ERROR bad command line format\r\n'],
    ['never ends its line', () => 'x'.repeat(3000)],
  ]
  test.each(ofOldest)(
    'since it %s ends the connection and fails all that is outstanding',
    async (_, reply) => {
      let isHostile = false
      const { fake, store } = await against((line, socket) =>
        isHostile ? reply(opaqueOf(line)) : miss(line, socket),
      )
      expect(await store.get(KEY)).toBeUndefined()
      isHostile = true
      const calls = await Promise.all([KEY, OTHER_KEY].map((key) => outcomeOf(store.get(key))))
      for (const outcome of calls) expect(outcome).toBeInstanceOf(SessionStoreError)
      isHostile = false
      expect(await store.get(KEY)).toBeUndefined()
      expect(fake.connections.length).toBe(2)
    },
  )

  test('since nobody asked for it ends the connection', async () => {
    const { fake, store } = await against(miss)
    expect(await store.get(KEY)).toBeUndefined()
    const [first] = fake.connections
    first?.write('EN O2\r\n')
    await fake.closed
    expect(await store.get(KEY)).toBeUndefined()
    expect(fake.connections.length).toBe(2)
  })
})

describe('a server', () => {
  test('that knows no meta commands or wants a password never gets a value', async () => {
    for (const answer of ['ERROR\r\n', 'CLIENT_ERROR unauthenticated\r\n', 'EN\r\n', 'SERVER_ERROR no\r\n']) {
      const { fake, store } = await against(() => answer)
      const set = store.set([{ key: KEY, value: Buffer.from('secret'), expiresAtMs: IN_AN_HOUR() }])
      expect(await outcomeOf(set)).toMatchObject({ code: 'ERR_SESSION_STORE_UNAVAILABLE' })
      expect(fake.received).not.toContain('secret')
    }
  })

  test('that leaves in the middle of a reply fails the call', async () => {
    const { store } = await against((line, socket) => {
      if (isFirstQuestion(line)) return miss(line, socket)
      socket.end(`VA 10 O${opaqueOf(line)}\r\nabc`)
      return undefined
    })
    expect(await outcomeOf(store.get(KEY))).toBeInstanceOf(SessionStoreError)
  })

  test('that leaves after the read of a take, or says nothing more, fails the take', async () => {
    for (const leaves of [true, false]) {
      const { store } = await against(
        (line, socket) => {
          if (isFirstQuestion(line)) return miss(line, socket)
          if (line.startsWith('mg')) return `VA 1 O${opaqueOf(line)} c7\r\nx\r\n`
          if (leaves) socket.destroy()
          return undefined
        },
        { answerTimeoutMs: 50 },
      )
      expect(await outcomeOf(store.take(KEY))).toBeInstanceOf(SessionStoreError)
    }
  })

  test('that is silent, or sends one byte at a time and never ends, is given up with ERR_SESSION_STORE_TIMEOUT', async () => {
    for (const isFirstAnswered of [true, false]) {
      const { fake, store } = await against(
        (line, socket) => {
          if (isFirstAnswered && isFirstQuestion(line)) return miss(line, socket)
          const drip = setInterval(() => socket.write('V'), 5)
          socket.once('close', () => clearInterval(drip))
          return undefined
        },
        { answerTimeoutMs: 60 },
      )
      const outcome = await outcomeOf(store.get(KEY))
      const timeout = expect.objectContaining({ code: 'ERR_SESSION_STORE_TIMEOUT' })
      expect(outcome).toMatchObject(
        isFirstAnswered ? { code: 'ERR_SESSION_STORE_TIMEOUT' } : { cause: timeout },
      )
      await fake.closed
    }
  })

  test('that answers in time goes on however long something is outstanding, and ends once it is silent', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    cleanUps.push(() => vi.useRealTimers())
    const asked: string[] = []
    const stream = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        for (const line of chunk.toString('latin1').split('\r\n')) if (line.startsWith('mg')) asked.push(line)
        done()
      },
    })
    let end: SessionStoreError | undefined
    const limits = { answerTimeoutMs: 100, maxValueBytes: 1000 }
    const connection = new MemcachedConnection(stream, limits, (error) => {
      end = error
    })
    const ask = (): Promise<unknown> =>
      outcomeOf(connection.send({ verb: 'mg', key: 'AQ==', flags: 's', answers: ['HD'] }))
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
    const first = ask()
    for (let round = 0; round < 10; round++) {
      // There is always one more that waits.
      void ask()
      await turn()
      vi.advanceTimersByTime(99)
      stream.push(`HD O${opaqueOf(asked.shift() ?? '')}\r\n`)
      await turn()
      expect(end).toBeUndefined()
    }
    expect(await first).not.toBeInstanceOf(Error)
    vi.advanceTimersByTime(100)
    expect(end).toMatchObject({ code: 'ERR_SESSION_STORE_TIMEOUT' })
  })

  test('that answers nothing holds 16 MiB at most', async () => {
    const { store } = await against(
      (line, socket) => (isFirstQuestion(line) ? miss(line, socket) : undefined),
      {
        answerTimeoutMs: 500,
      },
    )
    const value = new Uint8Array(11 * 1024)
    const sets = Array.from({ length: 2000 }, (_, index) =>
      outcomeOf(store.set([{ key: Uint8Array.of(index >> 8, index), value, expiresAtMs: IN_AN_HOUR() }])),
    )
    const codes = (await Promise.all(sets)).map((error) => (error as SessionStoreError).code)
    const held = codes.filter((code) => code === 'ERR_SESSION_STORE_TIMEOUT').length
    expect(held).toBe(Math.floor((16 * 1024) / 12))
    expect(codes.filter((code) => code === 'ERR_SESSION_STORE_UNAVAILABLE').length).toBe(2000 - held)
  })

  test('that always changes the session while it is taken fails the take', async () => {
    const { store } = await against((line, socket) => {
      if (isFirstQuestion(line)) return miss(line, socket)
      return line.startsWith('mg') ? `VA 1 O${opaqueOf(line)} c7\r\nx\r\n` : `EX O${opaqueOf(line)}\r\n`
    })
    expect(await outcomeOf(store.take(KEY))).toBeInstanceOf(SessionStoreError)
  })

  test('that gives no usable CAS value has nothing to say about a delete', async () => {
    for (const flag of ['', ' c', ' c0', ' cx', ' c1x', ' c-1']) {
      const { fake, store } = await against((line, socket) => {
        if (isFirstQuestion(line)) return miss(line, socket)
        return line.startsWith('mg') ? `VA 1 O${opaqueOf(line)}${flag}\r\nx\r\n` : `HD O${opaqueOf(line)}\r\n`
      })
      expect(await outcomeOf(store.take(KEY))).toBeInstanceOf(SessionStoreError)
      expect(fake.received).not.toContain('md ')
    }
  })
})

describe('a server that cannot be reached', () => {
  test.each([
    ['refuses connections', () => connect(1, '127.0.0.1')],
    [
      'cannot be connected to at all',
      () => {
        throw new Error('no such host')
      },
    ],
    ['gets no stream', () => undefined as never],
    ['gets a promise', () => Promise.reject(new Error('no such host')) as never],
  ])('since it %s is tried again after pauses that double from 50 ms to 2 s', async (_, fail) => {
    let nowMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    let attempts = 0
    const store = memcachedStore({
      connect: () => {
        attempts++
        return fail()
      },
    })
    for (const [index, pauseMs] of [50, 100, 200, 400, 800, 1600, 2000, 2000].entries()) {
      expect(await outcomeOf(store.get(KEY))).toMatchObject({ code: 'ERR_SESSION_STORE_UNAVAILABLE' })
      nowMs += pauseMs - 1
      expect(await outcomeOf(store.get(KEY))).toMatchObject({
        code: 'ERR_SESSION_STORE_UNAVAILABLE',
        cause: expect.any(Error),
      })
      expect(attempts).toBe(index + 1)
      nowMs += 1
    }
    await store.close()
  })

  test('is asked for one connection by all calls that wait for it', async () => {
    const { fake, store } = await against(miss)
    await Promise.all(Array.from({ length: 100 }, async () => store.get(KEY)))
    expect(fake.connections.length).toBe(1)
  })
})

describe('what goes out', () => {
  test('is lines of base64 keys and numbers, with an expiry that is rounded up to seconds', async () => {
    const { fake, store } = await against((line, socket) =>
      line.startsWith('ms') ? `HD O${opaqueOf(line)}\r\n` : miss(line, socket),
    )
    const key = Buffer.from('\r\n \0flush_all\r\n')
    await store.set([{ key, value: Uint8Array.of(0x78), expiresAtMs: 2_002_444_800_001 }])
    await store.get(key)
    const name = Buffer.concat([Buffer.from('sslctx:s'), key]).toString('base64')
    expect(fake.received).toBe(
      ['mg c3NsY3R4 b O0 s', `ms ${name} 1 b O1 T2002444801`, 'x', `mg ${name} b O2 v c`, ''].join('\r\n'),
    )
  })
})
