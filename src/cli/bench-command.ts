import { CLIENT_OPTIONS, clientSettings } from './client-options.ts'
import { HandshakeError } from './failure.ts'
import { generateLoad, type LoadReport, type Second } from './load.ts'
import { type ClientSettings, type Endpoint, type HandshakeWish, labelOf, shakeHands } from './probe.ts'
import { defaultServername, parseTarget, resolveTarget } from './target.ts'
import { type Paint, painter, progressLine, type Terminal, table } from './terminal.ts'
import { ExitCode, numberOption, parseCommandLine, UnreachableError, UsageError } from './usage.ts'

export const BENCH_HELP = `sslctx bench HOST:PORT

How many full and how many resumed handshakes per second? Lanes of connections, one after another, without
anything sent on them; first with full handshakes, then with the newest session of each lane offered. For
servers of your own: it is a load.

  --connections N      lanes, 1 to 1000; 8 by default
  --duration SECONDS   of each of the two phases, 0.1 to 3600; 10 by default
  --protocol 1.2|1.3   1.3 by default
  --full               full handshakes only
  --servername NAME    the name to ask for; by default HOST, when it is a name
  --timeout SECONDS    for one handshake; 10 by default
  --alpn NAMES, --http, --ca FILE, --cert FILE, --key FILE   as with doctor
  --json               for machines
  --help

Exit code: 0 it was measured, 1 handshakes failed or none resumed, 2 wrong usage, 3 no TLS server answers.
`

const OPTIONS = {
  ...CLIENT_OPTIONS,
  connections: { type: 'string' },
  duration: { type: 'string' },
  protocol: { type: 'string' },
  full: { type: 'boolean' },
} as const

interface BenchPlan {
  readonly endpoint: Endpoint
  readonly method: HandshakeWish['method']
  readonly servername: string | undefined
  readonly settings: ClientSettings
  readonly connections: number
  readonly durationMs: number
}

type Phase = 'full' | 'resumed'

/** @returns the exit code */
export async function benchCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseCommandLine(args, OPTIONS)
  const plan = await makePlan(values, positionals)
  const phases: readonly Phase[] = values.full === true ? ['full'] : ['full', 'resumed']
  const reports: Partial<Record<Phase, LoadReport>> = {}
  for (const phase of phases) reports[phase] = await measure(phase, plan, terminal)
  const { servername, connections } = plan
  const json = {
    endpoint: labelOf(plan.endpoint),
    servername,
    protocol: protocolOf(plan),
    connections,
    ...reports,
  }
  const paint = painter(terminal.stdout, terminal.env)
  terminal.stdout.write(
    values.json === true ? `${JSON.stringify(json, null, 2)}\n` : benchText(plan, reports, paint),
  )
  return isBad(reports) ? ExitCode.PROBLEM : ExitCode.OK
}

type BenchValues = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values']

async function makePlan(values: BenchValues, positionals: readonly string[]): Promise<BenchPlan> {
  const [text] = positionals
  if (text === undefined || positionals.length > 1) throw new UsageError('bench needs one HOST:PORT')
  const { protocol = '1.3' } = values
  if (protocol !== '1.2' && protocol !== '1.3')
    throw new UsageError(`--protocol must be 1.2 or 1.3, got '${protocol}'`)
  const target = parseTarget(text)
  const connections = numberOption('connections', values.connections, {
    fallback: 8,
    min: 1,
    max: 1000,
    isInteger: true,
  })
  const durationSec = numberOption('duration', values.duration, { fallback: 10, min: 0.1, max: 3600 })
  const settings = clientSettings(values)
  const [endpoint] = await resolveTarget(target, settings.timeoutMs)
  if (endpoint === undefined) throw new UnreachableError(`${target.host} has no address`)
  return {
    endpoint,
    // As clients are: with tickets, and without them by the session id.
    method: protocol === '1.2' ? 'tls12-ticket' : 'tls13',
    servername: values.servername ?? defaultServername(target),
    settings,
    connections,
    durationMs: durationSec * 1000,
  }
}

async function measure(phase: Phase, plan: BenchPlan, terminal: Terminal): Promise<LoadReport> {
  const { endpoint, method, servername, settings } = plan
  const progress = progressLine(terminal)
  const offersSessions = phase === 'resumed'
  try {
    // Whoever is not there is not worth a phase.
    if (phase === 'full') await shakeHands({ endpoint, method, servername }, settings)
    return await generateLoad(
      { ...plan, offersSessions },
      {
        shakeHands: (session) => shakeHands({ endpoint, method, servername, session }, settings),
        nowMs: () => performance.now(),
        cpuMicros: () => process.cpuUsage().user + process.cpuUsage().system,
        onProgress: ({ handshakes, startedMs }) => {
          const seconds = Math.floor((performance.now() - startedMs) / 1000)
          progress.show(`${phase} handshakes: ${handshakes} in ${seconds} of ${plan.durationMs / 1000} s`)
        },
      },
    )
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error
    throw new UnreachableError(`no handshake with ${labelOf(endpoint)}: ${error.code}`, { cause: error })
  } finally {
    progress.end()
  }
}

function isBad({ full, resumed }: Partial<Record<Phase, LoadReport>>): boolean {
  const hasFailed = [full, resumed].some((report) => report !== undefined && report.failed > 0)
  return hasFailed || resumed?.resumed === 0
}

/** Beyond this share of a processor it is this client that is measured. */
const BUSY_CLIENT = 0.9

function benchText(plan: BenchPlan, reports: Partial<Record<Phase, LoadReport>>, paint: Paint): string {
  const columns = Object.entries(reports)
  const row = (title: string, cell: (report: LoadReport) => string): string[] => [
    title,
    ...columns.map(([, report]) => cell(report)),
  ]
  const { resumed } = reports
  const isBusy = columns.some(([, { clientCpu }]) => clientCpu > BUSY_CLIENT)
  return [
    `${paint(labelOf(plan.endpoint), 'bold')} TLS ${protocolOf(plan)}, ${plan.connections} connections at a time\n\n`,
    table([
      ['', ...columns.map(([phase]) => (phase === 'full' ? 'full' : 'session offered'))],
      row('handshakes per second', ({ handshakesPerSec }) => handshakesPerSec.toFixed(1)),
      row('resumed', ({ resumptionRate, handshakes }) => `${percent(resumptionRate)} of ${handshakes}`),
      ...(['p50', 'p90', 'p99', 'max'] as const).map((name) =>
        row(`latency ${name}`, ({ latencyMs }) => `${latencyMs[name].toFixed(2)} ms`),
      ),
      row('failed', failedText),
      row("this client's processor", ({ clientCpu }) => percent(clientCpu)),
    ]),
    resumed ? `\n  resumed, second by second: ${overTime(resumed.bySecond)}\n` : '',
    isBusy ? `\n  ${paint('This client was busy all the time: the server can do more.', 'yellow')}\n` : '',
  ].join('')
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

function protocolOf({ method }: BenchPlan): string {
  return method === 'tls13' ? '1.3' : '1.2'
}
