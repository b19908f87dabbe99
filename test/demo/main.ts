import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SessionCacheMode } from '../../src/index.ts'
import { makeCertificate } from '../tools/certificate.ts'
import { type Client, nodeClient, opensslClient, TLS_VERSIONS } from './clients.ts'
import type { SharedStore } from './messages.ts'
import { ServerProcess } from './server-process.ts'

/** Process to connect to, and what is to become of it: undefined is a full handshake, else where the session is found. */
type Visit = readonly ['A' | 'B', 'internal' | 'external' | undefined]

/** Two server processes, one cache mode, and which connections it makes resume. */
interface Scenario {
  readonly title: string
  readonly mode: number
  readonly external: boolean
  /** What a client does, one after the other; both processes may start again in between. */
  readonly visits: readonly (Visit | 'restart')[]
}

const scenarios: readonly Scenario[] = [
  {
    title: 'SERVER, no external cache: each process knows only its own sessions',
    mode: SessionCacheMode.SERVER,
    external: false,
    visits: [
      ['A', undefined],
      ['A', 'internal'],
      ['B', undefined],
    ],
  },
  {
    title: 'SERVER, external cache: found there once, from then on internally',
    mode: SessionCacheMode.SERVER,
    external: true,
    visits: [
      ['A', undefined],
      ['A', 'internal'],
      ['B', 'external'],
      ['B', 'internal'],
    ],
  },
  {
    title: 'SERVER | NO_INTERNAL, external cache: every lookup goes there, also after a restart of both',
    mode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
    external: true,
    visits: [['A', undefined], ['B', 'external'], ['A', 'external'], 'restart', ['B', 'external']],
  },
  {
    title: 'OFF: nothing is stored, so nothing is found',
    mode: SessionCacheMode.OFF,
    external: true,
    visits: [
      ['A', undefined],
      ['A', undefined],
      ['B', undefined],
    ],
  },
]

const openSslNames: Record<string, string> = {
  number: 'SSL_CTX_sess_number',
  connect: 'SSL_CTX_sess_connect',
  connectGood: 'SSL_CTX_sess_connect_good',
  connectRenegotiate: 'SSL_CTX_sess_connect_renegotiate',
  accept: 'SSL_CTX_sess_accept',
  acceptGood: 'SSL_CTX_sess_accept_good',
  acceptRenegotiate: 'SSL_CTX_sess_accept_renegotiate',
  hits: 'SSL_CTX_sess_hits',
  cbHits: 'SSL_CTX_sess_cb_hits',
  misses: 'SSL_CTX_sess_misses',
  timeouts: 'SSL_CTX_sess_timeouts',
  cacheFull: 'SSL_CTX_sess_cache_full',
}

const tally = { connections: 0, resumed: 0, wrong: 0 }

async function visit(client: Client, server: ServerProcess, expected: string | undefined): Promise<void> {
  const [clientResumed, seen] = await Promise.all([client.connect(server.port), server.handshake()])
  const isRight =
    seen.outcome === (expected === undefined ? 'full' : 'resumed') &&
    clientResumed === (expected !== undefined) &&
    (expected === undefined || seen.reason === expected)
  tally.connections++
  if (seen.outcome === 'resumed') tally.resumed++
  if (!isRight) tally.wrong++
  const cpu = `${(seen.cpuMicros / 1000).toFixed(2)} ms cpu`
  const time = `${seen.elapsedMs.toFixed(2)} ms`
  const outcome = `${seen.outcome} (${seen.reason})`
  console.log(
    `  ${client.name.padEnd(16)} ${server.name}  ${seen.protocol}  ${outcome.padEnd(26)} ${cpu.padStart(13)} ${time.padStart(9)}` +
      (isRight
        ? ''
        : `   EXPECTED ${expected ?? 'full'}; the client says ${clientResumed ? 'resumed' : 'full'}`),
  )
}

async function printStatistics(server: ServerProcess): Promise<void> {
  const stats = Object.entries(await server.stats()).filter(([, value]) => value !== 0)
  console.log(
    `  ${server.name}: ${stats.map(([name, value]) => `${openSslNames[name]} ${value}`).join(', ')}`,
  )
}

/** Both server processes. */
async function startServers(
  { mode, external }: Scenario,
  store: SharedStore,
): Promise<Record<'A' | 'B', ServerProcess>> {
  const servers = { A: new ServerProcess('A'), B: new ServerProcess('B') }
  await Promise.all(
    Object.values(servers).map((server) => server.start(certificate, mode, external ? store : undefined)),
  )
  return servers
}

async function play(scenario: Scenario, clients: readonly Client[]): Promise<void> {
  console.log(`\n${scenario.title}`)
  const folder = mkdtempSync(join(tmpdir(), 'sslctx-demo-'))
  const store = { path: join(folder, 'sessions'), secret: randomBytes(32).toString('hex') }
  let servers = await startServers(scenario, store)
  const stop = (): Promise<unknown> => Promise.all(Object.values(servers).map((server) => server.stop()))
  try {
    for (const client of clients) {
      client.forget()
      for (const step of scenario.visits) {
        if (step === 'restart') {
          await stop()
          servers = await startServers(scenario, store)
        } else await visit(client, servers[step[0]], step[1])
      }
    }
    for (const server of Object.values(servers)) await printStatistics(server)
  } finally {
    await stop()
    rmSync(folder, { recursive: true })
  }
}

const certificate = await makeCertificate('demo.example')
const openssl = TLS_VERSIONS.flatMap((version) => opensslClient(version) ?? [])
if (openssl.length === 0) console.log('openssl is not installed: only the client of Node takes part')
const clients: Client[] = [
  ...TLS_VERSIONS.map((version) => nodeClient(certificate, 'demo.example', version)),
  ...openssl,
]
try {
  for (const scenario of scenarios) await play(scenario, clients)
} finally {
  for (const client of openssl) client[Symbol.dispose]()
}
const verdict = tally.wrong === 0 ? 'as expected' : `${tally.wrong} NOT as expected`
console.log(`\ndemo: ${tally.connections} connections, ${tally.resumed} resumed, ${verdict}`)
process.exitCode = tally.wrong === 0 ? 0 : 1
