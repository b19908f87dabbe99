/**
 * What ClientSessions costs a client, and what it spares.
 *
 *   npm run bench:clients
 *
 * CPU of this process a connection, in blocks that take turns; the servers are processes of their own.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import type * as library from '../../src/index.ts'
import { type Certificate, makeCertificate } from '../tools/certificate.ts'
import { forkScript, nextMessage } from '../tools/server-process.ts'

// What is published is measured; it is built by then.
const built = new URL('../../dist/index.js', import.meta.url)
const { ClientSessions } = (await import(built.href)) as typeof library

const NAME = 'bench.example'
const WARM_UP = 100
const BLOCK = 150
const BLOCKS = 20
const ORIGINS = 100_000
const AT_ONCE = 20

const certificate = await makeCertificate(NAME)
const folder = mkdtempSync(join(tmpdir(), 'sslctx-bench-clients-'))
const children: ChildProcess[] = []

/** @param tickets - of a full handshake */
async function startServer(
  maxVersion: 'TLSv1.2' | 'TLSv1.3',
  isAttached: boolean,
  tickets = 2,
): Promise<number> {
  const config = join(folder, `tickets-${tickets}.cnf`)
  const sections = ['nodejs_conf = init', '[init]', 'ssl_conf = ssl', '[ssl]', 'system_default = defaults']
  writeFileSync(config, [...sections, '[defaults]', `NumTickets = ${tickets}`, ''].join('\n'))
  const child = forkScript(new URL('./sides/client-target.ts', import.meta.url), {
    execArgv: [`--openssl-config=${config}`],
  })
  children.push(child)
  child.send({ ...(certificate satisfies Certificate), isAttached, maxVersion })
  return nextMessage<number>(child)
}

type Connect = (options: tls.ConnectionOptions) => tls.TLSSocket

/** @returns whether it was resumed */
async function visit(connect: Connect, options: tls.ConnectionOptions): Promise<boolean> {
  const socket = connect(options)
  let isResumed = false
  socket.once('secureConnect', () => {
    isResumed = socket.isSessionReused()
  })
  socket.resume()
  await once(socket, 'close')
  return isResumed
}

interface Block {
  readonly cpuMs: number
  readonly resumed: number
}

async function block(connect: Connect, options: tls.ConnectionOptions, count: number): Promise<Block> {
  const before = process.cpuUsage()
  let resumed = 0
  for (let index = 0; index < count; index++) if (await visit(connect, options)) resumed++
  const { user, system } = process.cpuUsage(before)
  return { cpuMs: (user + system) / 1000 / count, resumed: resumed / count }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** Next to `tls.connect`, block by block. */
async function compare(title: string, port: number): Promise<void> {
  const sessions = new ClientSessions()
  const options = { host: '127.0.0.1', port, servername: NAME, ca: certificate.cert }
  const sides: readonly Connect[] = [(given) => tls.connect(given), (given) => sessions.connect(given)]
  for (const side of sides) await block(side, options, WARM_UP)
  const blocks: [Block[], Block[]] = [[], []]
  for (let turn = 0; turn < BLOCKS; turn++)
    // The side that goes first is another one each time.
    for (const index of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const side = sides[index]
      if (side !== undefined) blocks[index].push(await block(side, options, BLOCK))
    }
  const [without, with_] = blocks.map((side) => median(side.map(({ cpuMs }) => cpuMs)))
  const ratios = blocks[1].map(({ cpuMs }, index) => cpuMs / (blocks[0][index]?.cpuMs ?? Number.NaN))
  const resumed = median(blocks[1].map((one) => one.resumed))
  console.log(
    `${title}: tls.connect ${without?.toFixed(3)} ms, ClientSessions ${with_?.toFixed(3)} ms of CPU, ratio ${median(ratios).toFixed(3)}; resumed ${Math.round(resumed * 100)} %`,
  )
}

/** Each origin is a server name; what is kept stays within its bounds. */
async function remember(port: number): Promise<void> {
  const sessions = new ClientSessions()
  const heap = (): string => {
    globalThis.gc?.()
    return `${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(1)} MiB of heap`
  }
  let made = 0
  const visitNext = async (until: number): Promise<void> => {
    while (made < until) {
      const servername = `origin-${made++}.example`
      const options = { host: '127.0.0.1', port, servername, ca: certificate.cert, rejectUnauthorized: false }
      await visit((given) => sessions.connect(given), options)
    }
  }
  for (const until of [ORIGINS / 20, ORIGINS / 4, ORIGINS]) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => visitNext(until)))
    const { origins, tickets, bytes } = sessions.stats
    console.log(
      `${until} origins: ${origins} kept, ${tickets} tickets, ${bytes} bytes by their own count, ${heap()}`,
    )
  }
}

try {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    if (version === 'TLSv1.3')
      await compare(`full, ${version}, the server gives no tickets`, await startServer(version, false, 0))
    await compare(`resumed, ${version}, RSA-2048, next to full`, await startServer(version, true))
  }
  await remember(await startServer('TLSv1.3', false))
} finally {
  for (const child of children) child.disconnect()
  rmSync(folder, { recursive: true, force: true })
}
