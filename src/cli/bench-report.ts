import type { LoadReport, Second } from './load.ts'
import { type Paint, table } from './terminal.ts'

export interface PhaseReport extends LoadReport {
  /** Share of the time in which this client's one thread was busy, 0 to 1. */
  readonly clientLoop: number
}

/** The figures of one server. */
export interface BenchReport {
  readonly endpoint: string
  readonly servername: string | undefined
  full?: PhaseReport
  resumed?: PhaseReport
}

/** Beyond this share it is this client that is measured, and not the server. */
const BUSY_CLIENT = 0.9

export function benchText(
  reports: readonly BenchReport[],
  { protocol, connections }: { readonly protocol: string; readonly connections: number },
  paint: Paint,
): string {
  const columns = reports.flatMap(columnsOf)
  const names = reports.map(({ endpoint }) => paint(endpoint, 'bold')).join(' and ')
  const row = (title: string, cell: (report: PhaseReport) => string): string[] => [
    title,
    ...columns.map(({ report }) => cell(report)),
  ]
  return [
    `${names} TLS ${protocol}, ${connections} connections at a time\n\n`,
    table([
      ...(reports.length > 1 ? [['', ...columns.map(({ endpoint }) => endpoint)]] : []),
      ['', ...columns.map(({ title }) => title)],
      row('handshakes per second', ({ handshakesPerSec }) => handshakesPerSec.toFixed(1)),
      row('resumed', ({ resumptionRate, handshakes }) => `${percent(resumptionRate)} of ${handshakes}`),
      ...(['p50', 'p90', 'p99', 'max'] as const).map((name) =>
        row(`latency ${name}`, ({ latencyMs }) => `${latencyMs[name].toFixed(2)} ms`),
      ),
      row('failed', failedText),
      row("this client's processor", ({ clientCpu }) => percent(clientCpu)),
      row("this client's thread", ({ clientLoop }) => `busy ${percent(clientLoop)} of the time`),
    ]),
    ...reports.map(({ endpoint, resumed }) =>
      resumed
        ? `\n  resumed${reports.length > 1 ? ` at ${endpoint}` : ''}, second by second: ${overTime(resumed.bySecond)}\n`
        : '',
    ),
    comparison(reports),
    limitText(columns, paint),
  ].join('')
}

interface Column {
  readonly endpoint: string
  readonly title: string
  readonly report: PhaseReport
}

function columnsOf({ endpoint, full, resumed }: BenchReport): Column[] {
  return [
    ...(full ? [{ endpoint, title: 'full', report: full }] : []),
    ...(resumed ? [{ endpoint, title: 'session offered', report: resumed }] : []),
  ]
}

function comparison([first, second]: readonly BenchReport[]): string {
  if (first === undefined || second === undefined) return ''
  const phases = [
    ['full handshakes', first.full, second.full],
    ['handshakes with a session offered', first.resumed, second.resumed],
  ] as const
  const lines = phases.flatMap(([title, one, other]) => {
    if (one === undefined || other === undefined || other.handshakesPerSec === 0) return []
    const ratio = one.handshakesPerSec / other.handshakesPerSec
    return [`  ${title}: ${first.endpoint} makes ${ratio.toFixed(2)} times as many as ${second.endpoint}\n`]
  })
  return `\n${lines.join('')}`
}

function limitText(columns: readonly Column[], paint: Paint): string {
  const busy = columns.filter(
    ({ report }) => report.clientCpu > BUSY_CLIENT || report.clientLoop > BUSY_CLIENT,
  )
  if (busy.length === 0) return ''
  const where =
    busy.length === columns.length ? 'all the time' : `with ${busy.map(({ title }) => title).join(', ')}`
  const text = `This client was the limit, ${where}: it was busy, and the server can do more.`
  return `\n  ${paint(text, 'yellow')}\n`
}

function failedText({ failed, errors }: LoadReport): string {
  return failed === 0 ? '0' : `${failed} (${Object.keys(errors).join(', ')})`
}

function overTime(seconds: readonly Second[]): string {
  return seconds.map(({ full, resumed }) => percent(resumed / Math.max(1, full + resumed))).join(' ')
}

function percent(share: number): string {
  return `${Math.floor(share * 1000) / 10} %`
}
