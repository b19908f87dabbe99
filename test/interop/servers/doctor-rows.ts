import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeCertificate } from '../../tools/certificate.ts'
import { doctorInProcess, type ReportedDoctor, verdicts } from '../../tools/doctor.ts'
import { METHODS, type Method } from '../../tools/methods.ts'
import { freePort, startProgram } from '../../tools/server-process.ts'
import { byHand, type Meeting } from './by-hand.ts'
import { type OtherServer, otherServers } from './other-servers.ts'

/** What `sslctx doctor` and `openssl s_client` say of one server. */
export interface DoctorRow {
  readonly name: string
  /** Why there is none. */
  readonly missing?: string
  /** Must not be missing where peers are required. */
  readonly isQuick?: boolean
  readonly doctor?: Readonly<Record<Method, Meeting>>
  readonly hand?: Readonly<Record<Method, Meeting>>
  readonly exitCode?: number
  /** The worst one. */
  readonly finding?: string
  readonly problems: readonly string[]
}

/** @param folder - each server gets one of its own below it */
export async function doctorRows(folder: string, isQuick: boolean): Promise<DoctorRow[]> {
  const certificate = await makeCertificate('server.example')
  const rows: DoctorRow[] = []
  for (const [index, server] of otherServers.entries()) {
    if (isQuick && server.isQuick !== true) continue
    const own = join(folder, `server-${index}`)
    mkdirSync(own)
    writeFileSync(join(own, 'key.pem'), certificate.key)
    writeFileSync(join(own, 'cert.pem'), certificate.cert)
    writeFileSync(join(own, 'both.pem'), `${certificate.cert}\n${certificate.key}`)
    rows.push(
      await doctorRow(server, own).catch((error: unknown) => ({
        name: server.name,
        problems: [error instanceof Error ? error.message : String(error)],
      })),
    )
  }
  return rows
}

async function doctorRow(server: OtherServer, folder: string): Promise<DoctorRow> {
  const { name } = server
  const [command, ...args] = server.peer
  try {
    execFileSync(command, args, { stdio: 'ignore' })
  } catch (error) {
    // Some end with an error when they say their version.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return {
        name,
        missing: `${command} is not installed`,
        isQuick: server.isQuick === true,
        problems: [],
      }
  }
  const port = await freePort()
  const launch = server.launch({ folder, port })
  const child = await startProgram(launch.command, launch.args, port)
  try {
    const report = await doctorInProcess(
      `127.0.0.1:${port}`,
      '--servername',
      'server.example',
      '--attempts',
      '2',
    )
    const seen = seenBy(report)
    const hand = await byHand(port, folder)
    const [finding] = report.findings.filter(({ id }) => id !== 'certificate-not-verified')
    const found = finding && `${finding.severity} ${finding.id}`
    return {
      name,
      doctor: seen,
      hand,
      exitCode: report.exitCode,
      ...(found !== undefined && { finding: found }),
      problems: problemsOf(server, report.exitCode, seen, hand),
    }
  } finally {
    child.kill()
  }
}

function seenBy(report: ReportedDoctor): Record<Method, Meeting> {
  const rates = verdicts(report)
  const of = (method: Method): Meeting => {
    const facts = report.methods.find((one) => one.method === method)
    if (facts === undefined || facts.support === 'failed') return 'no handshake'
    if (facts.support === 'none') return 'nothing to offer'
    return rates[method] === 'all' ? 'resumes' : 'does not resume'
  }
  return { 'tls12-id': of('tls12-id'), 'tls12-ticket': of('tls12-ticket'), tls13: of('tls13') }
}

/** A client that knows tickets falls back to the id where it is given none; the doctor keeps the two apart. */
function asClient(seen: Readonly<Record<Method, Meeting>>, method: Method): Meeting {
  return method === 'tls12-ticket' && seen[method] === 'nothing to offer' ? seen['tls12-id'] : seen[method]
}

function problemsOf(
  { exitCode }: OtherServer,
  ended: number,
  seen: Readonly<Record<Method, Meeting>>,
  hand: Readonly<Record<Method, Meeting>>,
): string[] {
  const different = METHODS.flatMap((method) => {
    const ours = asClient(seen, method)
    // With -sess_out, s_client writes what cannot be resumed, too.
    const isSame =
      ours === hand[method] || (ours === 'nothing to offer' && hand[method] === 'does not resume')
    return isSame ? [] : [`${method}: doctor says ${ours}, s_client ${hand[method]}`]
  })
  return [...different, ...(ended === exitCode ? [] : [`ended with ${ended}, not ${exitCode}`])]
}
