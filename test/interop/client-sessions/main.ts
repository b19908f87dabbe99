import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type EngineMajor, engineMajors, enginePath } from '../../tools/engine-binary.ts'
import { freePort, startProgram } from '../../tools/server-process.ts'
import { type Certificates, makeCertificates } from '../certificates.ts'
import { type OtherServer, otherServers, type Place } from '../servers/other-servers.ts'
import { SERVER_NAME, type Version, versions } from '../setups.ts'
import {
  closingLine,
  type Figures,
  type Measured,
  problemsIn,
  resultsFile,
  table,
  usedOnceTable,
} from './report.ts'
import { type UsedOnce, usedOnce } from './used-once.ts'

// Sixty connections in bursts of six, of every client of Node on every line of Node, against five kinds of servers: how many are
// resumed as it comes, and how many with ClientSessions. Then thousands of connections, whose tickets are counted at the server. With --quick, on the line that runs this, in TLS 1.3.

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))
const DEADLINE_MS = 180_000
const run = promisify(execFile)
const isQuick = process.argv.includes('--quick')
const [ownMajor = ''] = process.versions.node.split('.')
const lines: readonly EngineMajor[] = isQuick
  ? engineMajors.filter((major) => String(major) === ownMajor)
  : engineMajors
const chosenVersions: readonly Version[] = isQuick ? ['TLSv1.3'] : versions

interface Server extends Pick<OtherServer, 'name' | 'peer' | 'launch'> {
  readonly hasHttp2: boolean
  /** Clients that use a TLS 1.3 ticket once run out of them. */
  readonly isScarce: boolean
}

function nodeServer(name: string, manner: 'plain' | 'single-use', isScarce: boolean): Server {
  return {
    name,
    peer: [process.execPath, '--version'],
    launch: ({ folder, port }: Place) => ({
      command: process.execPath,
      args: [
        ...['--import', 'tsx', here('./server.ts'), String(port)],
        ...[join(folder, 'cert.pem'), join(folder, 'key.pem'), manner],
      ],
    }),
    hasHttp2: true,
    isScarce,
  }
}

function other(name: string, as: string): Server {
  const found = otherServers.find((server) => server.name === as)
  if (found === undefined) throw new Error(`there is no server "${as}"`)
  return { ...found, name, hasHttp2: false, isScarce: false }
}

const servers: readonly Server[] = [
  nodeServer('Node as it comes', 'plain', true),
  nodeServer('attachServer, singleUse', 'single-use', false),
  other('nginx', 'nginx, as it comes'),
  other('Go', 'Go, as it comes'),
  other('openssl s_server', 'openssl s_server'),
]

function missingPeer({ peer: [command, ...args] }: Server): string | undefined {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return undefined
  } catch {
    return `${command} is not installed`
  }
}

function folderOf(parent: string, name: string, { authority, server }: Certificates): string {
  const folder = join(parent, name.replaceAll(/\W/g, '-'))
  mkdirSync(folder)
  for (const [file, text] of [
    ['authority.pem', authority],
    ['cert.pem', server.cert],
    ['key.pem', server.key],
  ] as const)
    writeFileSync(join(folder, file), text, { mode: 0o600 })
  return folder
}

/** One process of one line, which is each client in turn. */
async function measure(
  node: string,
  server: Server,
  { folder, port }: Place,
  version: Version,
): Promise<Figures[]> {
  const about = {
    port,
    authority: join(folder, 'authority.pem'),
    name: SERVER_NAME,
    version,
    hasHttp2: server.hasHttp2,
  }
  const { stdout } = await run(node, [here('./client.js'), JSON.stringify(about)], { timeout: DEADLINE_MS })
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Figures)
}

async function measureServer(server: Server, folder: string): Promise<Measured[]> {
  const port = await freePort()
  const { command, args } = server.launch({ folder, port })
  const child = await startProgram(command, args, port)
  const measured: Measured[] = []
  try {
    for (const major of lines)
      for (const version of chosenVersions) {
        const figures = await measure(await enginePath(major), server, { folder, port }, version)
        measured.push(
          ...figures.map((one) => ({
            ...one,
            server: server.name,
            isScarce: server.isScarce,
            major,
            version,
          })),
        )
        console.log(`${server.name}, Node ${major}, ${version}: ${figures.length} rows`)
      }
  } finally {
    child.kill()
  }
  return measured
}

const place = mkdtempSync(join(tmpdir(), 'sslctx-interop-clients-'))
const measured: Measured[] = []
const counted: UsedOnce[] = []
const missing: string[] = []
try {
  const certificates = await makeCertificates('rsa')
  for (const processes of [1, 4])
    counted.push(await usedOnce(place, certificates, { processes, connections: isQuick ? 1200 : 10_200 }))
  for (const server of servers) {
    const reason = missingPeer(server)
    if (reason === undefined)
      measured.push(...(await measureServer(server, folderOf(place, server.name, certificates))))
    else missing.push(`${server.name}: ${reason}`)
  }
} finally {
  rmSync(place, { recursive: true, force: true })
}

console.log(`\n${table(measured)}\n\n${usedOnceTable(counted)}\n`)
for (const reason of missing) console.log(`missing: ${reason}`)
const problems = problemsIn(measured, counted)
for (const problem of problems) console.log(problem)
console.log(closingLine(measured, problems))
if (!isQuick) writeFileSync(here('./RESULTS.md'), resultsFile(measured, counted, missing))
if (problems.length > 0 || (missing.length > 0 && process.env['SSLCTX_REQUIRE_PEERS'] === '1'))
  process.exitCode = 1
