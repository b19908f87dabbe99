import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClientHello, decodeClientHello } from '../../../src/codec/client-hello.ts'
import { ClientHelloCollector } from '../../../src/codec/client-hello-records.ts'
import { type Certificate, makeCertificate } from '../../tools/certificate.ts'
import { bytes } from '../../tools/client-hello-builder.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'

/**
 * Real clients, on the way to a server of Node that gives them what they resume with: the hellos are read from the bytes
 * that pass.
 */
describe('the ClientHello of a real client', () => {
  let certificate: Certificate
  let folder: string
  beforeAll(async () => {
    certificate = await makeCertificate('shop.example')
    folder = mkdtempSync(join(tmpdir(), 'sslctx-client-hello-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  /**
   * @param options - with `waits`, the client is the one that ends its connections
   * @returns what `run`'s connections to `port` began with, in their order
   */
  async function hellosOf(
    run: (port: number) => Promise<void>,
    { waits = false, ...options }: tls.TlsOptions & { waits?: boolean } = {},
  ) {
    const upstream = tls.createServer({ ...certificate, ...options }, (socket) => {
      socket.on('error', () => {})
      if (!waits) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
      socket.resume()
    })
    const hellos: ClientHello[] = []
    const tap = createServer((client) => {
      const collector = new ClientHelloCollector()
      const onward = connect((upstream.address() as AddressInfo).port, '127.0.0.1')
      let found = false
      client.on('data', (chunk: Buffer) => {
        const progress = collector.push(chunk)
        if (progress.state !== 'complete' || found) return
        found = true
        hellos.push(decodeClientHello(progress.message))
      })
      client.pipe(onward).pipe(client)
      for (const [one, other] of [
        [client, onward],
        [onward, client],
      ] as const) {
        one.on('error', () => other.destroy())
        // A pipe that is broken leaves its source paused, blind to its end.
        one.on('close', () => other.end().resume())
      }
    })
    upstream.on('tlsClientError', () => {})
    await listen(upstream)
    await listen(tap)
    try {
      await run((tap.address() as AddressInfo).port)
    } finally {
      await Promise.all([close(tap), close(upstream)])
    }
    return hellos
  }

  describe('of Node', () => {
    /** @returns the last session that it was given, if any */
    function connectNode(port: number, options: tls.ConnectionOptions): Promise<Buffer | undefined> {
      return new Promise((resolve, reject) => {
        let session: Buffer | undefined
        const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
        socket.on('session', (given: Buffer) => {
          session = given
        })
        socket.on('error', reject)
        socket.on('close', () => resolve(session))
        socket.resume()
      })
    }

    test('in TLS 1.3 has its versions and groups, and later the PSK', async () => {
      const options = { servername: 'Shop.example', ALPNProtocols: ['h2', 'x'] }
      const hellos = await hellosOf(
        async (port) => {
          const session = await connectNode(port, options)
          await connectNode(port, { ...options, session })
        },
        { ALPNProtocols: ['x'] },
      )
      expect(hellos).toHaveLength(2)
      for (const hello of hellos) {
        expect(hello).toMatchObject({
          legacyVersion: 0x0303,
          serverName: 'Shop.example',
          alpnProtocols: ['h2', 'x'],
          supportedVersions: [0x0304, 0x0303],
          pskKeyExchangeModes: [1],
          extendedMasterSecret: true,
        })
        expect(hello.sessionId).toHaveLength(32)
        expect(hello.cipherSuites).toContain(0x1301)
        expect(hello.keyShareGroups).toContain(29)
      }
      expect(hellos.map(({ pskIdentities }) => pskIdentities.length)).toEqual([0, 1])
      expect(hellos[1]?.pskIdentities[0]?.identity.length).toBeGreaterThan(32)
    })

    test('in TLS 1.2 has no PSK, and later the ticket', async () => {
      const options = { maxVersion: 'TLSv1.2' } as const
      const hellos = await hellosOf(async (port) => {
        const session = await connectNode(port, options)
        await connectNode(port, { ...options, session })
      })
      expect(hellos).toHaveLength(2)
      for (const hello of hellos) {
        expect(hello).toMatchObject({ alpnProtocols: [], pskIdentities: [], keyShareGroups: [] })
        expect(hello).not.toHaveProperty('supportedVersions')
        expect(hello).not.toHaveProperty('pskKeyExchangeModes')
        expect(hello).not.toHaveProperty('serverName')
      }
      expect(hellos[0]).toMatchObject({ sessionId: bytes(0), sessionTicket: bytes(0) })
      expect(hellos[1]?.sessionTicket?.length).toBeGreaterThan(100)
    })
  })

  describe('of openssl s_client', () => {
    const problem = missingCommand('openssl', 'version')
    const sClient = (port: number, ...options: string[]) =>
      finished('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...options])

    peerTest('in TLS 1.3 has what it was told, and later the PSK', problem, async () => {
      const session = join(folder, 'tls13.pem')
      const options = ['-tls1_3', '-servername', 'SHOP.example', '-alpn', 'h2,http/1.1', '-groups', 'P-256']
      const hellos = await hellosOf(async (port) => {
        await sClient(port, ...options, '-sess_out', session)
        await sClient(port, ...options, '-sess_in', session)
      })
      expect(hellos).toHaveLength(2)
      for (const hello of hellos) {
        expect(hello).toMatchObject({
          serverName: 'SHOP.example',
          alpnProtocols: ['h2', 'http/1.1'],
          supportedVersions: [0x0304],
          keyShareGroups: [23],
        })
        expect(hello.pskKeyExchangeModes).toContain(1)
      }
      expect(hellos.map(({ pskIdentities }) => pskIdentities.length)).toEqual([0, 1])
    })

    peerTest('in TLS 1.2 without tickets later has the session id', problem, async () => {
      const session = join(folder, 'tls12.pem')
      const options = ['-tls1_2', '-noservername', '-no_ticket']
      const hellos = await hellosOf(async (port) => {
        await sClient(port, ...options, '-sess_out', session)
        await sClient(port, ...options, '-sess_in', session)
      })
      expect(hellos.map(({ sessionId }) => sessionId.length)).toEqual([0, 32])
      for (const hello of hellos) {
        expect(hello).not.toHaveProperty('serverName')
        expect(hello).not.toHaveProperty('sessionTicket')
        expect(hello).not.toHaveProperty('supportedVersions')
        expect(hello.extendedMasterSecret).toBe(true)
      }
    })
  })

  peerTest('of curl has its name and protocols', missingCommand('curl', '--version'), async () => {
    const hellos = await hellosOf((port) =>
      finished('curl', [
        ...['--silent', '--insecure', '--http1.1', '--noproxy', '*'],
        ...['--connect-to', `shop.example:443:127.0.0.1:${port}`, 'https://shop.example/'],
      ]),
    )
    expect(hellos).toHaveLength(1)
    expect(hellos[0]).toMatchObject({ serverName: 'shop.example', alpnProtocols: ['http/1.1'] })
    expect(hellos[0]?.supportedVersions).toContain(0x0304)
  })

  describe('of gnutls-cli', () => {
    const problem = missingCommand('gnutls-cli', '--version')
    const gnutls = (port: number, ...options: string[]) =>
      finished('gnutls-cli', ['--insecure', '--port', `${port}`, ...options, '127.0.0.1'])

    peerTest('in TLS 1.3 has what it was told, and later the PSK', problem, async () => {
      const options = ['--sni-hostname', 'shop.example', '--alpn', 'http/1.1']
      const hellos = await hellosOf((port) => gnutls(port, '--resume', '--waitresumption', ...options), {
        waits: true,
      })
      expect(hellos).toHaveLength(2)
      for (const hello of hellos) {
        expect(hello).toMatchObject({ serverName: 'shop.example', alpnProtocols: ['http/1.1'] })
        expect(hello.supportedVersions).toContain(0x0304)
        expect(hello.pskKeyExchangeModes).toContain(1)
        expect(hello.keyShareGroups).toContain(29)
      }
      expect(hellos.map(({ pskIdentities }) => pskIdentities.length)).toEqual([0, 1])
    })

    peerTest('in TLS 1.2 has no versions but the legacy one', problem, async () => {
      const hellos = await hellosOf((port) => gnutls(port, '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.2'))
      expect(hellos).toHaveLength(1)
      expect(hellos[0]).toMatchObject({
        legacyVersion: 0x0303,
        extendedMasterSecret: true,
        pskIdentities: [],
      })
    })
  })
})

function listen(server: ReturnType<typeof createServer>): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
}

function close(server: ReturnType<typeof createServer>): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

/** How it ends is not asked: what it sent is what counts. */
function finished(command: string, options: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const child = execFile(command, options, { timeout: 20_000 }, () => resolve())
    child.stdin?.end()
  })
}
