import { AsyncLocalStorage } from 'node:async_hooks'
import net from 'node:net'
import { describe, expect, test } from 'vitest'
import type { AttachServerOptions, SslSession } from '../../../src/index.ts'
import {
  connect,
  greet,
  type Harness,
  listen,
  NO_INTERNAL,
  start,
  TLS12,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { closed, HELLO, PART } from './arrival.ts'

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
