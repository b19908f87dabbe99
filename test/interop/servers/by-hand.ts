import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { METHODS, type Method } from '../../tools/methods.ts'

/** What clients of one kind meet. */
export type Meeting = 'resumes' | 'does not resume' | 'nothing to offer' | 'no handshake'

const OPTIONS: Readonly<Record<Method, readonly string[]>> = {
  'tls12-id': ['-tls1_2', '-no_ticket'],
  'tls12-ticket': ['-tls1_2'],
  tls13: ['-tls1_3'],
}
/** For the answer, or the end, of a server that waits for something else than HTTP. */
const PATIENCE_MS = 1500

/** What `openssl s_client` shows, by hand: one connection with `-sess_out`, and another one with `-sess_in`. */
export async function byHand(port: number, folder: string): Promise<Record<Method, Meeting>> {
  const meetings: Partial<Record<Method, Meeting>> = {}
  for (const method of METHODS) meetings[method] = await meet(port, method, join(folder, `${method}.pem`))
  return meetings as Record<Method, Meeting>
}

async function meet(port: number, method: Method, file: string): Promise<Meeting> {
  rmSync(file, { force: true })
  const first = await sClient(port, [...OPTIONS[method], '-sess_out', file])
  // SSLv3 is how it names suites that are as old as that.
  if (!/^New, (TLS|SSLv3)/m.test(first) || first.includes('SSL alert number')) return 'no handshake'
  if (!existsSync(file)) return 'nothing to offer'
  const second = await sClient(port, [...OPTIONS[method], '-sess_in', file])
  return /^Reused, /m.test(second) ? 'resumes' : 'does not resume'
}

async function sClient(port: number, options: readonly string[]): Promise<string> {
  const where = ['-connect', `127.0.0.1:${port}`, '-servername', 'server.example']
  const child = spawn('openssl', ['s_client', ...where, ...options], { stdio: 'pipe' })
  const timer = setTimeout(() => child.stdin.end(), PATIENCE_MS)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString('latin1')
    })
  child.stdin.on('error', () => undefined)
  child.stdin.write('GET / HTTP/1.1\r\nHost: server.example\r\nConnection: close\r\n\r\n')
  await once(child, 'close')
  clearTimeout(timer)
  return output
}
