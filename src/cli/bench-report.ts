import type { LoadReport } from './load.ts'
import { type GridRow, grid, type OutputStream, type Paint, widthOf, wrap } from './terminal.ts'

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
  stream: OutputStream = NO_TERMINAL,
): string {
  const width = widthOf(stream)
  const columns = reports.flatMap(columnsOf)
  const names = reports.map(({ endpoint }) => paint(endpoint, 'bold')).join(' and ')
  const lanes = `${connections} connection${connections === 1 ? '' : 's'}`
  const heads = [
    ...(reports.length > 1 ? [columns.map(({ endpoint }) => endpoint)] : []),
    columns.map(({ title }) => title),
  ]
  return [
    `${wrap(`${names} TLS ${protocol}, ${lanes} at a time`, '', width)}\n`,
    grid(heads, rowsOf(columns), stream),
    ...reports.map((report) => overTime(report, reports.length > 1, width)),
    comparison(reports, width),
    limitText(columns, paint, width),
  ].join('')
}

const NO_BREAK = '\u00a0'
const NO_TERMINAL: OutputStream = { write: () => undefined }

function rowsOf(columns: readonly Column[]): GridRow[] {
  const row = (title: string, cell: (report: PhaseReport) => string): GridRow => ({
    title,
    cells: columns.map(({ report }) => cell(report)),
  })
  return [
    row('handshakes per second', ({ handshakesPerSec }) => handshakesPerSec.toFixed(1)),
    row(
      'resumed',
      ifMeasured(({ resumptionRate, handshakes }) => `${percent(resumptionRate)} of ${handshakes}`),
    ),
    ...(['p50', 'p90', 'p99', 'max'] as const).map((name) =>
      row(
        `latency ${name}`,
        ifMeasured(({ latencyMs }) => `${latencyMs[name].toFixed(2)} ms`),
      ),
    ),
    row('failed', failedText),
    ...(columns.some(({ report }) => report.cutOff > 0)
      ? [row('cut off at the end', ({ cutOff }) => String(cutOff))]
      : []),
    row("this client's processor", ({ clientCpu }) => percent(clientCpu)),
    row("this client's thread", ({ clientLoop }) => `busy ${percent(clientLoop)} of the time`),
  ]
}

/** Of no handshakes there is no latency, and no share. */
function ifMeasured(cell: (report: PhaseReport) => string): (report: PhaseReport) => string {
  return (report) => (report.handshakes > 0 ? cell(report) : '-')
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

function comparison([first, second]: readonly BenchReport[], width: number): string {
  if (first === undefined || second === undefined) return ''
  const phases = [
    ['full handshakes', first.full, second.full],
    ['handshakes with a session offered', first.resumed, second.resumed],
  ] as const
  const lines = phases.flatMap(([title, one, other]) => {
    if (one === undefined || other === undefined || other.handshakesPerSec === 0) return []
    const ratio = one.handshakesPerSec / other.handshakesPerSec
    const text = `${title}: ${first.endpoint} makes ${ratio.toFixed(2)} times as many as ${second.endpoint}`
    return [wrap(text, '  ', width)]
  })
  return `\n${lines.join('')}`
}

function limitText(columns: readonly Column[], paint: Paint, width: number): string {
  const busy = columns.filter(
    ({ report }) => report.clientCpu > BUSY_CLIENT || report.clientLoop > BUSY_CLIENT,
  )
  if (busy.length === 0) return ''
  const where =
    busy.length === columns.length ? 'all the time' : `with ${busy.map(({ title }) => title).join(', ')}`
  const text = `This client was the limit, ${where}: it was busy, and the server can do more.`
  return `\n${paint(wrap(text, '  ', width).trimEnd(), 'yellow')}\n`
}

function failedText({ failed, errors }: LoadReport): string {
  return failed === 0 ? '0' : `${failed} (${Object.keys(errors).join(', ')})`
}

function overTime({ endpoint, resumed }: BenchReport, isOneOfMany: boolean, width: number): string {
  if (resumed === undefined || resumed.handshakes === 0) return ''
  const where = isOneOfMany ? ` at ${endpoint}` : ''
  // No line is broken between a figure and its sign.
  const shares = resumed.bySecond.map((second) =>
    percent(second.resumed / Math.max(1, second.full + second.resumed)).replace(' ', NO_BREAK),
  )
  const text = wrap(`resumed${where}, second by second: ${shares.join(' ')}`, '  ', width)
  return `\n${text.replaceAll(NO_BREAK, ' ')}`
}

function percent(share: number): string {
  return `${Math.floor(share * 1000) / 10} %`
}
