import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  certificate,
  connect,
  greet,
  listen,
  NAME,
  start,
  startStock,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'
import { duplexPair } from '../../tools/pipe-end.ts'
import { arrive, closed, connections, PART, received, relay, type Target } from './arrival.ts'

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
