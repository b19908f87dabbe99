import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Certificates, makeCertificates } from './certificates.ts'
import { clientOpeners } from './clients/all.ts'
import type { Client, Target, Workspace } from './clients/client.ts'
import { type PairResult, runPair } from './pairs/pair.ts'
import { Servers } from './pairs/servers.ts'
import { closingLine, doctorLine, resultsFile, resultTables } from './report.ts'
import { type DoctorRow, doctorRows } from './servers/doctor-rows.ts'
import { doctorTable } from './servers/doctor-table.ts'
import { type KeyKind, quickSetups, serverKey, setups, versionsOf } from './setups.ts'

// Every client that is installed resumes with every kind of server; with --quick, with one kind. Of every server that is
// installed, sslctx doctor says what openssl s_client shows; with --quick, of some.

const isQuick = process.argv.includes('--quick')
const chosenSetups = isQuick ? quickSetups : setups
const folder = mkdtempSync(join(tmpdir(), 'sslctx-interop-'))
const opened: Promise<Client>[] = []
const servers = new Servers()
let cleaned: Promise<void> | undefined
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void cleanUp().finally(() => process.exit(1)))

function cleanUp(): Promise<void> {
  cleaned ??= closeAll()
  return cleaned
}

async function closeAll(): Promise<void> {
  for (const client of await Promise.allSettled(opened))
    if (client.status === 'fulfilled') await client.value.close?.()
  await servers.stop()
  // Processes of a browser may outlive it for a moment.
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}

type Files = Required<Pick<Target, 'authority' | 'certificate'>>

function writeFiles(kind: KeyKind, { authority, client }: Certificates): Files {
  const write = (name: string, text: string): string => {
    const file = join(folder, `${kind}-${name}.pem`)
    writeFileSync(file, text, { mode: 0o600 })
    return file
  }
  return {
    authority: write('authority', authority),
    certificate: { certificate: write('client', client.cert), key: write('client-key', client.key) },
  }
}

async function openClients(workspace: Workspace, missing: Map<string, string>): Promise<Map<string, Client>> {
  const clients = new Map<string, Client>()
  for (const [name, open] of Object.entries(clientOpeners)) {
    const opening = open(workspace)
    opened.push(opening)
    try {
      clients.set(name, await opening)
    } catch (error) {
      const [line = ''] = String(error instanceof Error ? error.message : error).split('\n')
      missing.set(name, line)
    }
  }
  return clients
}

function printProblems({ client, version, setup, verdict }: PairResult): void {
  if (verdict.state !== 'unexplained') return
  console.log(`${client}, ${serverKey(version, setup)}:`)
  for (const problem of verdict.problems) console.log(`  ${problem}`)
}

const certificates = { ecdsa: await makeCertificates('ecdsa'), rsa: await makeCertificates('rsa') }
const files = { ecdsa: writeFiles('ecdsa', certificates.ecdsa), rsa: writeFiles('rsa', certificates.rsa) }
const missing = new Map<string, string>()
const clients = await openClients(
  {
    folder,
    authorities: Object.values(files).map(({ authority }) => authority),
    certificates: Object.values(files).map(({ certificate }) => certificate),
  },
  missing,
)
const results: PairResult[] = []
let doctored: DoctorRow[] = []
try {
  await servers.start({
    servers: chosenSetups.flatMap((setup) => versionsOf(setup).map((version) => ({ version, setup }))),
    certificates,
  })
  for (const [name, client] of clients) {
    console.log(`${name} ${client.version}`)
    for (const setup of chosenSetups) {
      for (const version of versionsOf(setup)) {
        const { authority, certificate } = files[setup.keyKind]
        const read = { authority, ...(setup.clientCertificate && { certificate }) }
        const result = await runPair({ client: name, version, setup }, client, servers, read)
        printProblems(result)
        results.push(result)
      }
    }
  }
  doctored = await doctorRows(folder, isQuick)
} finally {
  await cleanUp()
}

const report = { results, clients, missing, doctored }
console.log(`\n${resultTables(report)}\n\n${doctorTable(doctored)}\n`)
if (!isQuick) writeFileSync(new URL('../../docs/interop.md', import.meta.url), resultsFile(report))
for (const [client, reason] of missing) console.log(`missing: ${client}: ${reason}`)
for (const { name, missing: reason } of doctored) if (reason) console.log(`missing: ${name}: ${reason}`)
console.log(closingLine(results))
console.log(doctorLine(doctored))
const isComplete =
  (missing.size === 0 &&
    doctored.every(({ missing: reason, isQuick: isWanted }) => !isWanted || reason === undefined)) ||
  process.env['SSLCTX_REQUIRE_PEERS'] !== '1'
const isWrong =
  results.some(({ verdict }) => verdict.state === 'unexplained') ||
  doctored.some(({ problems }) => problems.length > 0)
if (isWrong || !isComplete) process.exitCode = 1
