import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'
import { type Certificate, makeCertificate } from '../../tools/certificate.ts'
import { freePort, startProgram } from '../../tools/server-process.ts'
import { type Finding, type Findings, findCommand, probe } from './run-testssl.ts'

/** Server defaults (tickets, ids, resumption), Ticketbleed, renegotiation. */
const PROBES = ['-S', '-T', '-R']
const ABOUT_RESUMPTION = /session|ticket/i
/**
 * testssl ends its s_client as soon as the handshake is over: whether that has read the tickets of TLS 1.3 by then is chance,
 * with either server.
 */
const BY_CHANCE_IN_TLS13 = ['TLS_session_ticket', 'sessionresumption_ticket']

const runs = [
  { name: 'TLS 1.2', sServer: ['-tls1_2'], options: { maxVersion: 'TLSv1.2' }, ignored: [] },
  { name: 'TLS 1.2 and 1.3', sServer: [], options: {}, ignored: BY_CHANCE_IN_TLS13 },
] as const
type Run = (typeof runs)[number]
const SEVERITIES = ['OK', 'INFO', 'LOW', 'MEDIUM', 'HIGH', 'CRITICAL']

const severityOf = (finding: Finding | undefined): number => SEVERITIES.indexOf(finding?.severity ?? 'OK')

async function startOpenssl(
  { key, cert }: Certificate,
  folder: string,
  options: readonly string[],
): Promise<{ port: number; child: ChildProcess }> {
  writeFileSync(join(folder, 'key.pem'), key)
  writeFileSync(join(folder, 'cert.pem'), cert)
  const files = ['-key', join(folder, 'key.pem'), '-cert', join(folder, 'cert.pem')]
  const port = await freePort()
  const args = ['s_server', '-accept', `127.0.0.1:${port}`, '-no_ticket', '-www', ...options, ...files]
  return { port, child: await startProgram('openssl', args, port) }
}

async function startNode(certificate: Certificate, options: https.ServerOptions): Promise<https.Server> {
  const context = new SslContext({ sessionIdContext: 'testssl' })
  const server = https.createServer(
    { ...certificate, ...options, ...serverOptions(context) },
    (_request, response) => response.end('hello'),
  )
  attachServer(server, context)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

interface Comparison {
  readonly findings: number
  readonly about: number
  readonly same: number
  readonly worse: number
}

function compare(openssl: Findings, node: Findings, ignored: readonly string[]): Comparison {
  const ids = [...new Set([...openssl.keys(), ...node.keys()])]
  const about = ids.filter((id) => ABOUT_RESUMPTION.test(id) && !ignored.includes(id))
  const isSame = (id: string): boolean => openssl.get(id)?.finding === node.get(id)?.finding
  for (const id of about) {
    const [theirs, ours] = [openssl.get(id)?.finding, node.get(id)?.finding]
    console.log(isSame(id) ? `  ${id}: ${ours}` : `  ${id}: ${ours}, BUT with openssl s_server: ${theirs}`)
  }
  const worse = [...node.values()].filter(
    (finding) => severityOf(finding) > Math.max(1, severityOf(openssl.get(finding.id))),
  )
  for (const { id, severity, finding } of worse) console.log(`  WORSE ${id}: ${severity} ${finding}`)
  return {
    findings: node.size,
    about: about.length,
    same: about.filter(isSame).length,
    worse: worse.length,
  }
}

async function play(
  run: Run,
  command: string,
  certificate: Certificate,
  folder: string,
): Promise<Comparison> {
  console.log(`\n${run.name}`)
  const { port, child } = await startOpenssl(certificate, folder, run.sServer)
  const server = await startNode(certificate, run.options)
  try {
    const ports = [port, (server.address() as AddressInfo).port]
    const [openssl, node] = await Promise.all(ports.map((one) => probe(command, one, folder, PROBES)))
    return compare(openssl!, node!, run.ignored)
  } finally {
    child.kill()
    server.close()
  }
}

// Does a public probe find more in a Node server than in OpenSSL's own: npm run testssl
const folder = mkdtempSync(join(tmpdir(), 'sslctx-testssl-'))
try {
  const command = await findCommand()
  const certificate = await makeCertificate('localhost')
  const total = { findings: 0, about: 0, same: 0, worse: 0 }
  for (const run of runs) {
    const { findings, about, same, worse } = await play(run, command, certificate, folder)
    total.findings += findings
    total.about += about
    total.same += same
    total.worse += worse
  }
  const { findings, about, same, worse } = total
  console.log(
    `\ntestssl: ${findings} findings, ${same} of ${about} about resumption as with openssl s_server, ${worse} worse`,
  )
  process.exitCode = about > 0 && same === about && worse === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
