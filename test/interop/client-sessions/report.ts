import type { Version } from '../setups.ts'
import type { UsedOnce } from './used-once.ts'

/** What a client process says of one client. */
export interface Figures {
  readonly client: string
  readonly manner: 'as it comes' | 'sslctx' | 'sslctx, reuse'
  readonly connections: number
  readonly resumed: number
  /** Why it could not be measured. */
  readonly problem?: string
}

export interface Measured extends Figures {
  readonly server: string
  /** Its server gives no new ticket with a resumption, so that a client that uses each once runs out in TLS 1.3. */
  readonly isScarce: boolean
  readonly major: number
  readonly version: Version
}

const CONNECTIONS = 60
/** All but the first burst of six. */
const RESUMABLE = 54
/** Two tickets a full handshake, each used once: of three bursts, two are resumed, and the tenth burst is full. */
const RESUMABLE_IF_SCARCE = 36
/** Of all connections, in one process or in several that share a store: the server gives a ticket with each. */
const SHARE = 0.9
const MANNERS = ['as it comes', 'sslctx', 'sslctx, reuse'] as const

/** What is wrong with ours; what others do is shown only. */
export function problemsIn(measured: readonly Measured[], counted: readonly UsedOnce[]): string[] {
  return [...measured.flatMap(problemsOf), ...counted.flatMap(problemsOfCount)]
}

function problemsOfCount({ processes, connections, offered, again, resumed }: UsedOnce): string[] {
  const place = `${processes} processes, ${connections} connections`
  if (again > 0) return [`${place}: ${again} tickets were offered twice`]
  return resumed === offered && offered >= connections * SHARE
    ? []
    : [`${place}: ${offered} tickets were offered, ${resumed} resumed`]
}

function problemsOf(one: Measured): string[] {
  const { client, manner, server, major, version, connections, resumed, problem } = one
  const place = `${client}, ${manner}, ${server}, Node ${major}, ${version}`
  if (problem !== undefined) return [`${place}: ${problem}`]
  if (connections !== CONNECTIONS) return [`${place}: ${connections} connections, not ${CONNECTIONS}`]
  if (manner === 'as it comes') return []
  const wanted = isStarving(one) ? RESUMABLE_IF_SCARCE : RESUMABLE
  return resumed >= wanted ? [] : [`${place}: ${resumed} resumed, not ${wanted}`]
}

function isStarving({ isScarce, manner, version }: Measured): boolean {
  return isScarce && manner === 'sslctx' && version === 'TLSv1.3'
}

export function closingLine(measured: readonly Measured[], problems: readonly string[]): string {
  const ours = measured.filter(({ manner }) => manner !== 'as it comes')
  return `${ours.length} rows with ClientSessions, ${problems.length} of all rows wrong`
}

/** A row a client, version and manner, a column a server; a cell is what each line of Node resumed, or all of them. */
export function table(measured: readonly Measured[]): string {
  const columns = unique(measured.map(({ server }) => server))
  const clients = unique(measured.map(({ client }) => client))
  const rows = unique(measured.map(({ version }) => version)).flatMap((version) =>
    clients.flatMap((client) =>
      MANNERS.map((manner) => [
        version,
        client,
        manner,
        ...columns.map((server) =>
          cell(
            measured.filter(
              (one) =>
                one.version === version &&
                one.client === client &&
                one.manner === manner &&
                one.server === server,
            ),
          ),
        ),
      ]),
    ),
  )
  return markdown(['version', 'client', '', ...columns], rows)
}

export function usedOnceTable(counted: readonly UsedOnce[]): string {
  const rows = counted.map((one) =>
    [one.processes, one.connections, one.offered, one.again, one.resumed].map(String),
  )
  return markdown(['processes', 'connections', 'tickets offered', 'of them again', 'resumed'], rows)
}

function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, index) => text.padEnd(widths[index] ?? 0)).join(' | ')} |`
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

function cell(ofLines: readonly Measured[]): string {
  const figures = ofLines.map(({ resumed, problem }) => (problem === undefined ? String(resumed) : 'failed'))
  return unique(figures).length === 1 ? (figures[0] ?? '') : figures.join(' / ')
}

function unique<T>(values: readonly T[]): readonly T[] {
  return [...new Set(values)]
}

export function resultsFile(
  measured: readonly Measured[],
  counted: readonly UsedOnce[],
  missing: readonly string[],
): string {
  const lines = unique(measured.map(({ major }) => major)).join(', ')
  return `# Clients, with ClientSessions and without

Written by \`npm run interop:clients\`. Of ${CONNECTIONS} connections, in bursts of six, how many are resumed: on Node ${lines}, separated by
slashes where they differ. No connection is kept between two bursts: "keepAlive" and "keep-alive" are clients that keep theirs, and
whose connections have idled out. The first burst has nothing to resume, so that ${RESUMABLE} is all that there can be. Node as it comes gives
no new ticket with a resumption: with TLS 1.3, a client that uses each ticket once can resume ${RESUMABLE_IF_SCARCE}, and \`reuse: true\` is for such servers.

${table(measured)}

## No ticket is offered twice

Connections in bursts of six, in one process, and in four that share an LMDB store, to a server that takes each ticket once and counts them
in the ClientHellos.

${usedOnceTable(counted)}
${missing.map((reason) => `\nMissing: ${reason}.`).join('')}
`
}
