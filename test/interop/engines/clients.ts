import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { missingCommand } from '../../tools/peers.ts'

export type Protocol = 'TLSv1.2' | 'TLSv1.3'
export const SERVER_NAME = 'server.example'

export interface Visit {
  readonly isResumed: boolean
  /** In the client's own format. */
  readonly session: Buffer | undefined
}

export interface Client {
  readonly name: string
  /** One connection, until the server has ended it. */
  visit(port: number, protocol: Protocol, session?: Buffer): Promise<Visit>
}

/** That of the Node that runs this. */
export function nodeClient(options: tls.ConnectionOptions = {}): Client {
  return {
    name: `Node ${process.versions.node}`,
    async visit(port, protocol, session) {
      const socket = tls.connect({
        host: '127.0.0.1',
        port,
        servername: SERVER_NAME,
        rejectUnauthorized: false,
        minVersion: protocol,
        maxVersion: protocol,
        ...(session && { session }),
        ...options,
      })
      let last: Buffer | undefined
      socket.on('session', (one: Buffer) => {
        last = one
      })
      await once(socket, 'secureConnect')
      const isResumed = socket.isSessionReused()
      await once(socket.resume(), 'close')
      return { isResumed, session: last }
    },
  }
}

/** @returns undefined when the `openssl` command is not installed */
export function opensslClient(...options: readonly string[]): Client | undefined {
  if (missingCommand('openssl', 'version') !== undefined) return undefined
  return {
    name: 'openssl s_client',
    async visit(port, protocol, session) {
      const folder = mkdtempSync(join(tmpdir(), 'sslctx-engines-'))
      const [kept, made] = [join(folder, 'kept.pem'), join(folder, 'made.pem')]
      if (session !== undefined) writeFileSync(kept, session)
      const output = await runClient([
        '-connect',
        `127.0.0.1:${port}`,
        '-servername',
        SERVER_NAME,
        protocol === 'TLSv1.2' ? '-tls1_2' : '-tls1_3',
        '-ign_eof',
        '-sess_out',
        made,
        ...(session === undefined ? [] : ['-sess_in', kept]),
        ...options,
      ])
      const visit = {
        isResumed: /^Reused, /m.test(output),
        session: existsSync(made) ? readFileSync(made) : undefined,
      }
      rmSync(folder, { recursive: true })
      return visit
    },
  }
}

/**
 * Its exit code says nothing: Node before 26 leaves out close_notify when a TLS 1.3 server ends a connection at once, and
 * s_client takes that for an error.
 */
async function runClient(options: readonly string[]): Promise<string> {
  const child = spawn('openssl', ['s_client', ...options], { stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  await once(child, 'close')
  return output
}
