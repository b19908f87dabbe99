import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { type AttachServerOptions, SessionCacheMode, type SslContextOptions } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { afterTest, type Harness, listen, NAME, start } from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { handedOver } from './handed-over.ts'
import { NameSwitcher } from './name-switch.ts'

/**
 * The client chooses whether its first hello can be read. Whatever is decided from a hello must hold for those that were not
 * read: a HelloRetryRequest lets a client name a server that trusts others after it was verified by what the first one trusts.
 */

const OTHER = 'other.example'
const UNREADABLE = 'é.example'
const [trusted, foreign] = await Promise.all(
  ['trusted', 'foreign'].map((name) => makeCertificate(name, { isAuthority: true })),
)
const client = await makeCertificate('client', { ca: trusted! })
const otherServer = await makeCertificate(OTHER)

const problem = missingCommand('cc', '--version')
const switcher = new NameSwitcher()
beforeAll(() => {
  if (problem === undefined) switcher.build()
})
afterAll(() => switcher.remove())

/** The client's first key share is not the server's, so that it is asked for another one. */
const RETRY = 'P-256:P-384'
const NO_RETRY = 'P-384'

interface Seen {
  readonly servername: unknown
  readonly authorized: boolean
  readonly reused: boolean
}

interface Way {
  readonly title: string
  /** The name in the first hello. */
  readonly first: string
  readonly context?: SslContextOptions
  readonly attach?: AttachServerOptions
  /** Where the client connects. */
  readonly via?: (harness: Harness) => Promise<number>
  readonly prepare?: (harness: Harness) => void
  /** The connection itself is Node's alone: its sessions are what must not be kept. */
  readonly isNodesAlone?: true
}

/** Sends a part of the first hello, and the rest when Node has that part. */
async function stalling({ port, server }: Harness): Promise<number> {
  return listen(
    net.createServer((inward) => {
      inward
        .on('error', () => undefined)
        .once('data', (hello: Buffer) => {
          inward.pause()
          const outward = net.connect({ port, host: '127.0.0.1', noDelay: true })
          outward.on('error', () => undefined).pipe(inward)
          afterTest(() => outward.destroy())
          const over = once(server, 'connection').then(handedOver)
          outward.write(hello.subarray(0, 60))
          void over.then(() => {
            outward.write(hello.subarray(60))
            inward.pipe(outward)
          })
        })
    }),
  )
}

const STALL_MS = 20

const WAYS: readonly Way[] = [
  { title: 'that was read', first: NAME },
  { title: 'whose server name is not ASCII', first: UNREADABLE },
  { title: 'that stalls beyond readAheadMs', first: NAME, attach: { readAheadMs: STALL_MS }, via: stalling },
  {
    title: 'that came while the attachment was disabled',
    first: NAME,
    isNodesAlone: true,
    prepare({ server, attachment }) {
      attachment.enabled = false
      server.on('connection', () => {
        attachment.enabled = true
      })
    },
  },
  {
    title: 'where nothing is looked up',
    first: NAME,
    context: {
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL_LOOKUP,
      newSessionCallback: () => undefined,
    },
  },
]

async function startVerifying(
  { context = {}, attach = {}, prepare, via }: Way,
  rejectUnauthorized: boolean,
): Promise<{ readonly harness: Harness; readonly port: number; readonly seen: Seen[] }> {
  const seen: Seen[] = []
  const harness = await start({
    context: { sessionIdContext: 'shop', ...context },
    attach,
    server: { requestCert: true, rejectUnauthorized, ca: trusted!.cert, ecdhCurve: 'P-384' },
    make: (options) =>
      tls.createServer(options, (socket) => {
        const { servername, authorized } = socket
        seen.push({ servername, authorized, reused: socket.isSessionReused() })
        socket.on('error', () => undefined).end('hello')
      }),
  })
  // It trusts others than the rest of the server.
  harness.server.addContext(OTHER, { ...otherServer, ca: foreign!.cert })
  prepare?.(harness)
  return { harness, seen, port: (await via?.(harness)) ?? harness.port }
}

const trustedByOther = (seen: readonly Seen[]): readonly Seen[] =>
  seen.filter(({ servername, authorized }) => servername === OTHER && authorized)

describe.each(WAYS.map((way) => [way.title, way] as const))('a first hello %s', (_title, way) => {
  describe.each([true, false])('with rejectUnauthorized: %s', (rejectUnauthorized) => {
    peerTest('and another name after a HelloRetryRequest: nobody is authorized there', problem, async () => {
      const { harness, seen, port } = await startVerifying(way, rejectUnauthorized)
      await switcher.visit({ port, groups: RETRY, names: [way.first, OTHER], certificate: client })
      if (way.isNodesAlone !== true) expect(trustedByOther(seen)).toEqual([])
      expect(harness.context.stats.number).toBe(0)
    })

    peerTest('and another name after it: no session of it is good there', problem, async () => {
      const { harness, seen, port } = await startVerifying(way, rejectUnauthorized)
      const file = switcher.sessionFile('switched')
      const visit = { groups: RETRY, certificate: client, sessionOut: file }
      const answer = await switcher.visit({ ...visit, port, names: [way.first, OTHER] })
      if (answer.includes('hello'))
        await switcher.visit({
          port: harness.port,
          groups: NO_RETRY,
          names: [OTHER, OTHER],
          certificate: client,
          sessionIn: file,
        })
      expect(seen.filter(({ reused }) => reused)).toEqual([])
      // The first one may have been Node's alone.
      expect(trustedByOther(seen.slice(way.isNodesAlone === true ? 1 : 0))).toEqual([])
    })
  })

  peerTest(
    'and the same name after a HelloRetryRequest is served, as by a stock server',
    problem,
    async () => {
      const { seen, port } = await startVerifying(way, true)
      const names = [way.first, way.first] as const
      expect(await switcher.visit({ port, groups: RETRY, names, certificate: client })).toMatch(
        /^full\nhello/,
      )
      expect(seen).toMatchObject([{ authorized: true, reused: false }])
    },
  )

  peerTest('without a HelloRetryRequest is served, as by a stock server', problem, async () => {
    const { seen, port } = await startVerifying(way, true)
    const names = [way.first, way.first] as const
    expect(await switcher.visit({ port, groups: NO_RETRY, names, certificate: client })).toMatch(
      /^full\nhello/,
    )
    expect(seen).toMatchObject([{ authorized: true, reused: false }])
  })
})

describe('of a first hello that was not read', () => {
  peerTest('no session of TLS 1.3 is kept, and its client is served', problem, async () => {
    const harness = await start({ attach: { readAheadMs: STALL_MS } })
    const port = await stalling(harness)
    const answer = await switcher.visit({ port, groups: 'P-256', names: [NAME, NAME] })
    expect(answer).toMatch(/^full\nhello/)
    expect(harness.context.stats.number).toBe(0)
    expect(harness.handshakes).toMatchObject([{ outcome: 'full', reason: 'stalled-hello' }])
  })
})
