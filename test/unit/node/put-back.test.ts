import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { describe, test } from 'vitest'
import { certificate, listen, NAME, VERSIONS } from '../../tools/node-servers.ts'
import { duplexPair } from '../../tools/pipe-end.ts'
import { isServedAsByNode } from '../../tools/served-as-by-node.ts'

/** Whoever waits for this has hung. */
const TIMEOUT_MS = 5_000

const ignore = (): void => undefined

describe('a stream is served whose first bytes are put into it by whoever has handed it on', () => {
  /** As a process does it that gets a socket from another, and in a message what was read of it. */
  type Put = (raw: Duplex, hello: Buffer) => void
  const inPieces: Put = (raw, hello) => {
    for (const [start, end] of [[100], [1, 100], [0, 1]]) raw.unshift(hello.subarray(start, end))
  }
  const atOnce: Put = (raw, hello) => raw.unshift(hello)
  const waysOf = (title: string, put: Put): readonly (readonly [string, Put])[] => [
    [title, put],
    [`${title}, when it was resumed`, (raw, hello) => put(raw.resume(), hello)],
    [
      `${title}, and is resumed then`,
      (raw, hello) => {
        put(raw, hello)
        raw.resume()
      },
    ],
    [
      `${title}, and is heard by others then`,
      (raw, hello) => {
        put(raw, hello)
        raw.on('data', ignore)
      },
    ],
  ]
  const WAYS = [...waysOf('at once', atOnce), ...waysOf('in pieces, the last one first', inPieces)]
  /** A stock server has looked into a socket by then, and takes the pieces of a stream in the order in which they come. */
  const LATER = waysOf('at once', atOnce).map(([title, put]): [string, Put] => [
    `${title}, in the next tick`,
    (raw, hello) => process.nextTick(put, raw, hello),
  ])

  /** @param open - a connection, of which the server's end is given the hello */
  async function visit(open: (hello: Buffer) => Promise<Duplex>): Promise<string> {
    const [ours, theirs] = duplexPair()
    const client = tls.connect({ socket: ours, servername: NAME, ca: certificate.cert })
    const [hello] = (await once(theirs, 'data')) as [Buffer]
    const transport = await open(hello)
    theirs.pipe(transport).pipe(theirs)
    const [greeting] = (await once(client, 'data')) as [Buffer]
    client.destroy()
    return greeting.toString()
  }

  describe.each(VERSIONS)('%s', (_, version) => {
    test.each(WAYS)(
      'a socket, %s',
      async (_title, put) => {
        await isServedAsByNode(version, ({ server }) =>
          visit(async (hello) => {
            const front = net.createServer((raw) => {
              server.emit('connection', raw)
              put(raw, hello)
            })
            return net.connect(await listen(front), '127.0.0.1')
          }),
        )
      },
      TIMEOUT_MS,
    )

    test.each([...WAYS, ...LATER])(
      'one that is no socket, %s',
      async (_title, put) => {
        await isServedAsByNode(version, ({ server }) =>
          visit(async (hello) => {
            const [front, raw] = duplexPair()
            server.emit('connection', raw)
            put(raw, hello)
            return front
          }),
        )
      },
      TIMEOUT_MS,
    )
  })
})
