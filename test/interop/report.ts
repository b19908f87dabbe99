import type { Client } from './clients/client.ts'
import type { PairResult } from './pairs/pair.ts'
import { CHANCES } from './pairs/pair.ts'
import type { DoctorRow } from './servers/doctor-rows.ts'
import { doctorTable } from './servers/doctor-table.ts'
import { layouts, type Setup, setups, type Version, versions, versionsOf } from './setups.ts'

export interface Report {
  readonly results: readonly PairResult[]
  /** By name. */
  readonly clients: ReadonlyMap<string, Pick<Client, 'version' | 'manner'>>
  /** Reasons, by client. */
  readonly missing: ReadonlyMap<string, string>
  readonly doctored: readonly DoctorRow[]
}

const layoutTitles = {
  one: 'One process',
  cluster: 'A cluster of four, sharing an external store',
  tickets: 'A cluster of four with stateless tickets, sharing a secret and no store',
} as const

const columnTitle = ({ keyKind, clientCertificate }: Setup): string =>
  `${keyKind === 'ecdsa' ? 'ECDSA P-256' : 'RSA-2048'}${clientCertificate ? ', client certificate' : ''}`

/** The tables and what there is to say of them, in Markdown. */
export function resultTables({ results }: Pick<Report, 'results'>): string {
  const reasons = [...new Set(results.flatMap(({ verdict }) => reasonsOf(verdict)))]
  const tables = layouts
    .filter((layout) => results.some(({ setup }) => setup.layout === layout))
    .map((layout) => {
      const columns = setups.filter(
        (setup) => setup.layout === layout && results.some((one) => one.setup === setup),
      )
      return `### ${layoutTitles[layout]}\n\n${table(results, columns, reasons)}`
    })
  return [...tables, ...reasons.map((reason, index) => `[${index + 1}] ${reason}`)].join('\n\n')
}

function reasonsOf(verdict: PairResult['verdict']): string[] {
  return verdict.state === 'explained' ? [verdict.reason] : []
}

function table(
  results: readonly PairResult[],
  columns: readonly Setup[],
  reasons: readonly string[],
): string {
  const clients = [...new Set(results.map(({ client }) => client))]
  const rows = clients.flatMap((client) =>
    versionsIn(columns).map((version) => [
      client,
      version,
      ...columns.map((setup) => cell(find(results, client, version, setup), reasons)),
    ]),
  )
  const header = ['client', 'version', ...columns.map(columnTitle)]
  const widths = header.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, index) => text.padEnd(widths[index] ?? 0)).join(' | ')} |`
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

function versionsIn(columns: readonly Setup[]): readonly Version[] {
  return versions.filter((version) => columns.some((setup) => versionsOf(setup).includes(version)))
}

function find(
  results: readonly PairResult[],
  client: string,
  version: Version,
  setup: Setup,
): PairResult | undefined {
  return results.find((one) => one.client === client && one.version === version && one.setup === setup)
}

/** What {@link versionsOf} leaves out. */
const NO_SERVER = '*none*'

function cell(result: PairResult | undefined, reasons: readonly string[]): string {
  if (result === undefined) return NO_SERVER
  const { offered, resumed, verdict } = result
  if (verdict.state === 'unexplained') return `${offered}/${resumed} UNEXPLAINED`
  const [reason] = reasonsOf(verdict)
  return `${offered}/${resumed}${reason === undefined ? '' : ` [${reasons.indexOf(reason) + 1}]`}`
}

/** docs/interop.md: without date, so that it changes when a result or a version does. */
export function resultsFile(report: Report): string {
  const clients = [...report.clients].map(
    ([name, { version, manner }]) => `- ${name} (${version}): ${manner}.`,
  )
  const missing = [...report.missing].map(([name, reason]) => `- ${name}: missing, ${reason}`)
  return `# Who resumes

Written by \`npm run interop\`. Each client connects to each server once, and then ${CHANCES} times more with what it keeps.
A cell says how many of these connections offered a session, and how many of them were resumed, as \`onHandshake\` of the
server says; where the client says something too, it says the same. A client certificate is on a resumed connection what it
was on the full one: authorized, and of the same name.

*none*: with client certificates \`attachServer\` refuses tickets of TLS 1.2.

The servers run Node ${process.versions.node}, with \`serverOptions\` and \`attachServer\` as they come; each speaks one version of TLS. The
workers of a cluster take connections in turn.

${resultTables(report)}

## The clients

${[...clients, ...missing].join('\n')}

## tlsfuzzer

The scripts of [tlsfuzzer](https://github.com/tlsfuzzer/tlsfuzzer) (commit 14555fe) about tickets, session ids, PSKs, HelloRetryRequest and the extended master
secret were run by hand: against servers with stateless tickets in TLS 1.3, in both versions, and with a store, next to stock Node 20 and
\`openssl s_server\`. What fails with sslctx and with neither of the two is what sslctx does on purpose:

- No ticket in TLS 1.2, unless \`versions\` has it; no session in TLS 1.2 without the extended master secret, unless \`requireExtendedMasterSecret: false\`.
- In TLS 1.2, too, each resumption brings a new ticket.
- A ticket that is offered in a renegotiation is not resumed: the renegotiation is a full handshake.

None of 55 more scripts, about the ClientHello, TLS 1.3 and renegotiation, finds more than with stock Node.

## What the doctor says of servers of others

Each server is asked by \`sslctx doctor\`, and by hand: \`openssl s_client\` with \`-sess_out\`, then with \`-sess_in\`. The columns say what
clients meet that know session ids only, tickets, and TLS 1.3: *not* is a session that does not resume, *-* nothing to offer.

${doctorTable(report.doctored)}
`
}

export function doctorLine(rows: readonly DoctorRow[]): string {
  const present = rows.filter(({ missing }) => missing === undefined)
  const agreeing = present.filter(({ problems }) => problems.length === 0)
  return `doctor: ${agreeing.length} of ${present.length} servers as openssl s_client shows them, ${rows.length - present.length} missing`
}

export function closingLine(results: readonly PairResult[]): string {
  const count = (state: PairResult['verdict']['state']): number =>
    results.filter(({ verdict }) => verdict.state === state).length
  return (
    `interop: ${results.length} client/version pairs, ${count('resumed')} resumed, ` +
    `${count('explained')} explained, ${count('unexplained')} unexplained`
  )
}
