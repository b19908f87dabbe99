import { type BenchReport, benchText, type PhaseReport } from './bench-report.ts'
import { CLIENT_HELP, CLIENT_OPTIONS, clientSettings, targetOf } from './client-options.ts'
import { HandshakeError } from './failure.ts'
import { generateLoad } from './load.ts'
import { type ClientSettings, type Endpoint, type HandshakeWish, labelOf, shakeHands } from './probe.ts'
import { refusal } from './refusal.ts'
import { serverName } from './server-name.ts'
import { defaultServername, firstThatConnects, resolveTarget } from './target.ts'
import { jsonLine, painter, progressLine, type Terminal } from './terminal.ts'
import { ExitCode, numberOption, parseCommandLine, quoted, UsageError } from './usage.ts'

export const BENCH_HELP: string = `sslctx bench HOST[:PORT]

How many full and how many resumed handshakes per second? Lanes of connections, one after another, without
anything sent on them; first with full handshakes, then with the newest session of each lane offered. For
servers of your own: it is a load.

  --vs HOST[:PORT]          the same for a second server, and how much faster or slower it is
  --connections N           lanes, 1 to 1000; 8 by default
  --duration SECONDS        of each of the two phases, 0.1 to 3600; 10 by default. Handshakes under way at its end
                            have one second more, and are then cut off
  --handshakes N            of each phase at most, 1 to 1000000; 20000 by default, since each leaves a port in
                            TIME_WAIT for a minute
  --protocol 1.2|1.3        1.3 by default
  --full                    full handshakes only
  --servername NAME         the name to ask for; by default HOST, when it is a name
${CLIENT_HELP}
  --json                    for machines, in one line, with an error where no server answers
  --help

Exit code: 0 it was measured, 1 handshakes failed, none resumed or none ended, 2 wrong usage, 3 no TLS server answers,
4 the command itself failed.
`

const OPTIONS = {
  ...CLIENT_OPTIONS,
  vs: { type: 'string' },
  connections: { type: 'string' },
  duration: { type: 'string' },
  handshakes: { type: 'string' },
  protocol: { type: 'string' },
  full: { type: 'boolean' },
} as const

interface BenchTarget {
  readonly endpoint: Endpoint
  readonly servername: string | undefined
}

interface BenchPlan {
  readonly targets: readonly [BenchTarget, ...BenchTarget[]]
  readonly method: HandshakeWish['method']
  readonly protocol: '1.2' | '1.3'
  readonly settings: ClientSettings
  readonly connections: number
  readonly durationMs: number
  readonly maxHandshakes: number
}

type Phase = 'full' | 'resumed'

/** @returns the exit code */
export async function benchCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseCommandLine(args, OPTIONS)
  const plan = await makePlan(values, positionals)
  const reports = await measureAll(values.full === true ? ['full'] : ['full', 'resumed'], plan, terminal)
  const [first, second] = reports
  const { protocol, connections } = plan
  const json = { ...first, protocol, connections, ...(second && { vs: second }) }
  const paint = painter(terminal.stdout, terminal.env)
  terminal.stdout.write(
    values.json === true ? jsonLine(json) : benchText(reports, plan, paint, terminal.stdout),
  )
  return reports.some(isBad) ? ExitCode.PROBLEM : ExitCode.OK
}

async function measureAll(
  phases: readonly Phase[],
  plan: BenchPlan,
  terminal: Terminal,
): Promise<BenchReport[]> {
  const measured = plan.targets.map((target) => ({
    target,
    report: emptyReport(labelOf(target.endpoint), target.servername),
  }))
  // One server after the other in each phase, so that both meet the same client.
  for (const phase of phases)
    for (const { target, report } of measured) report[phase] = await measure(phase, target, plan, terminal)
  return measured.map(({ report }) => report)
}

function emptyReport(endpoint: string, servername: string | undefined): BenchReport {
  return { endpoint, servername }
}

type BenchValues = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values']

async function makePlan(values: BenchValues, positionals: readonly string[]): Promise<BenchPlan> {
  const [text] = positionals
  if (text === undefined || positionals.length > 1) throw new UsageError('bench needs one HOST:PORT')
  const { protocol = '1.3' } = values
  if (protocol !== '1.2' && protocol !== '1.3')
    throw new UsageError(`--protocol must be 1.2 or 1.3, got ${quoted(protocol)}`)
  const numbers = numbersOf(values)
  const settings = clientSettings(values)
  // As clients are: with tickets, and without them by the session id.
  const method = protocol === '1.2' ? 'tls12-ticket' : 'tls13'
  const first = await meet(text, values, { settings, method })
  const second = values.vs === undefined ? [] : [await meet(values.vs, values, { settings, method })]
  return { targets: [first, ...second], method, protocol, settings, ...numbers }
}

function numbersOf(values: BenchValues): Pick<BenchPlan, 'connections' | 'durationMs' | 'maxHandshakes'> {
  const whole = { min: 1, isInteger: true }
  const durationSec = numberOption('duration', values.duration, { fallback: 10, min: 0.1, max: 3600 })
  return {
    connections: numberOption('connections', values.connections, { ...whole, fallback: 8, max: 1000 }),
    durationMs: durationSec * 1000,
    maxHandshakes: numberOption('handshakes', values.handshakes, {
      ...whole,
      fallback: 20_000,
      max: 1_000_000,
    }),
  }
}

async function meet(
  text: string,
  values: BenchValues,
  { settings, method }: Pick<BenchPlan, 'settings' | 'method'>,
): Promise<BenchTarget> {
  const target = targetOf(text, values)
  const servername =
    values.servername === undefined
      ? defaultServername(target)
      : serverName(values.servername, '--servername')
  let last = target.host
  try {
    // Who is not there, or refuses, is not worth a phase.
    const { endpoint } = await firstThatConnects(await resolveTarget(target, settings.timeoutMs), (one) => {
      last = labelOf(one)
      return shakeHands({ endpoint: one, method, servername }, settings)
    })
    return { endpoint, servername }
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error
    throw refusal(error, { endpoint: last, servername, method }, settings)
  }
}

/** Redrawn ten times a second at most. */
const REDRAW_MS = 100

async function measure(
  phase: Phase,
  { endpoint, servername }: BenchTarget,
  plan: BenchPlan,
  terminal: Terminal,
): Promise<PhaseReport> {
  const { method, settings } = plan
  const progress = progressLine(terminal, REDRAW_MS)
  const before = performance.eventLoopUtilization()
  try {
    const report = await generateLoad(
      { ...plan, offersSessions: phase === 'resumed' },
      {
        shakeHands: (session, signal) =>
          shakeHands({ endpoint, method, servername, session, signal, isBare: true }, settings),
        nowMs: () => performance.now(),
        cpuMicros: () => process.cpuUsage().user + process.cpuUsage().system,
        onProgress: ({ handshakes, startedMs }) => {
          const seconds = Math.floor((performance.now() - startedMs) / 1000)
          const of = `${seconds} of ${plan.durationMs / 1000} s`
          progress.show(`${labelOf(endpoint)}, ${phase} handshakes: ${handshakes} in ${of}`)
        },
      },
    )
    return { ...report, clientLoop: performance.eventLoopUtilization(before).utilization }
  } finally {
    progress.end()
  }
}

function isBad({ full, resumed }: BenchReport): boolean {
  const isBadPhase = [full, resumed].some(
    (report) => report !== undefined && (report.failed > 0 || report.handshakes === 0),
  )
  return isBadPhase || resumed?.resumed === 0
}
