import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import type { Certificate } from '../tools/certificate.ts'

/** A client that keeps one session, and offers it again. */
export interface Client {
  readonly name: string
  /** @returns whether the client says that the connection was resumed */
  connect(port: number): Promise<boolean>
  forget(): void
}

export const TLS_VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
type TlsVersion = (typeof TLS_VERSIONS)[number]

export function nodeClient({ cert }: Certificate, servername: string, maxVersion: TlsVersion): Client {
  let session: Buffer | undefined
  return {
    name: `node ${process.versions.node}`,
    async connect(port) {
      const socket = tls.connect({
        host: '127.0.0.1',
        port,
        servername,
        ca: cert,
        maxVersion,
        ...(session && { session }),
      })
      socket.on('session', (received: Buffer) => {
        session = received
      })
      await once(socket, 'secureConnect')
      const isResumed = socket.isSessionReused()
      socket.end('GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n')
      socket.resume()
      await once(socket, 'close')
      return isResumed
    },
    forget() {
      session = undefined
    },
  }
}

/** @returns undefined when the `openssl` command is not installed */
export function opensslClient(tlsVersion: TlsVersion): (Client & Disposable) | undefined {
  let version: string
  try {
    version = execFileSync('openssl', ['version'], { encoding: 'utf8' }).split(' ')[1] ?? ''
  } catch {
    return undefined
  }
  const folder = mkdtempSync(join(tmpdir(), 'sslctx-demo-'))
  const file = join(folder, 'session.pem')
  let hasSession = false
  return {
    name: `openssl ${version}`,
    async connect(port) {
      const session = hasSession ? ['-sess_in', file] : ['-sess_out', file]
      const protocol = tlsVersion === 'TLSv1.2' ? '-tls1_2' : '-tls1_3'
      const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, protocol, ...session], {
        stdio: ['pipe', 'pipe', 'ignore'],
      })
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
      child.stdin.on('error', () => undefined)
      child.stdin.write('GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n')
      await once(child, 'close')
      hasSession = true
      return /^Reused, /m.test(output)
    },
    forget() {
      hasSession = false
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
