import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENT_HELP, CLIENT_OPTIONS, clientSettings, defaultPort } from './client-options.ts'
import { diagnose, isTlsServer } from './diagnosis.ts'
import { doctorText, verdictLine } from './doctor-report.ts'
import { type ExaminationPlan, examine } from './examination.ts'
import type { Examination } from './examination-facts.ts'
import type { Finding } from './findings.ts'
import { type Endpoint, shakeHands } from './probe.ts'
import { serverName } from './server-name.ts'
import { defaultServername, parseTarget, resolveTarget, type Target } from './target.ts'
import { jsonLine, painter, progressLine, type Terminal } from './terminal.ts'
import {
  DAY_SEC,
  ExitCode,
  listOption,
  numberOption,
  parseCommandLine,
  UnreachableError,
  UsageError,
} from './usage.ts'

export const DOCTOR_HELP: string = `sslctx doctor HOST[:PORT] ...

Does this TLS server resume, and if not, why not? Connects as clients do: TLS 1.2 by session id, TLS 1.2 by
ticket, TLS 1.3; offers each session on the next connection, once more, after others were made, at the other
addresses and under another server name; says what resumes how often, the likely reason, and the remedy.

HOST is a name, all of whose addresses are probed, an address or a URL; PORT is 443 by default. Several are taken
for one service: the sessions of each are offered to the others.

  --servername NAME         the name to ask for; by default the first HOST, when it is a name
  --other-servername NAMES  names, by commas, under which sessions of the first are offered;
                            by default an invented one
  --address LIST            addresses, by commas, to connect to in place of those of HOST; [:PORT] may follow
  --attempts N              sessions for each question, 1 to 1000; 5 by default (15 offers each method and address)
  --wait SECONDS            offers sessions once more after so long
  --watch SECONDS           examines again and again, with so long in between, until it is interrupted; says more
                            than a line when the findings change
  --max-time SECONDS        for one examination, without --wait; 300 by default. What was seen until then is reported
${CLIENT_HELP}
  --strict                  warnings count as problems
  --json                    for machines: one line for each examination
  --help

Exit code: 0 what clients would offer resumes, 1 there is a problem (or, with --strict, a warning), also when the
server speaks TLS and refuses every handshake, 2 wrong usage, 3 no TLS server answers, 4 the command itself failed.
All findings and what to do about them: docs/doctor.md.
`

const OPTIONS = {
  ...CLIENT_OPTIONS,
  'other-servername': { type: 'string', multiple: true },
  address: { type: 'string', multiple: true },
  attempts: { type: 'string' },
  wait: { type: 'string' },
  watch: { type: 'string' },
  'max-time': { type: 'string' },
  strict: { type: 'boolean' },
} as const

/** RFC 2606 §2: no server has that name. */
const INVENTED_NAME = 'sslctx-doctor.invalid'
const DEFAULT_ATTEMPTS = 5
const MAX_ATTEMPTS = 1000
const DEFAULT_MAX_TIME_SEC = 300

interface DoctorPlan {
  readonly targets: readonly [Target, ...Target[]]
  readonly addresses: readonly string[]
  readonly examination: Omit<ExaminationPlan, 'endpoints'>
  readonly maxTimeMs: number
  /** Undefined for one examination only. */
  readonly watchMs: number | undefined
  readonly isStrict: boolean
  readonly isJson: boolean
}

/** What one examination came to. */
interface Outcome {
  readonly examination: Examination
  readonly findings: readonly Finding[]
  readonly exitCode: number
}

/** @returns the exit code, when watching that of the last examination */
export async function doctorCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseCommandLine(args, OPTIONS)
  const plan = makePlan(values, positionals)
  return plan.watchMs === undefined
    ? report(await examineOnce(plan, terminal), plan, terminal)
    : watch(plan, plan.watchMs, terminal)
}

async function watch(plan: DoctorPlan, watchMs: number, terminal: Terminal): Promise<number> {
  const signal = terminal.interruption?.() ?? new AbortController().signal
  let exitCode: number = ExitCode.OK
  let known: string | undefined
  while (!signal.aborted) {
    const outcome = await examineOnce(plan, terminal, signal).catch((error: unknown) => {
      // A resolver that fails for once is no reason to stop watching.
      if (!(error instanceof UnreachableError) || known === undefined) throw error
      terminal.stderr.write(`sslctx: ${error.message}\n`)
      return undefined
    })
    // What an interruption has cut off says nothing.
    if (signal.aborted && known !== undefined) break
    if (outcome !== undefined) {
      exitCode = outcome.exitCode
      known = reportChange(outcome, known, plan, terminal)
    }
    await sleep(watchMs, undefined, { signal }).catch(() => undefined)
  }
  return exitCode
}

/** @returns what the next one is compared with */
function reportChange(
  outcome: Outcome,
  known: string | undefined,
  plan: DoctorPlan,
  terminal: Terminal,
): string {
  const { examination, findings } = outcome
  const now = findings
    .map(({ id, severity, method, endpoint }) => `${severity} ${id} ${method} ${endpoint}`)
    .join('\n')
  if (plan.isJson) report(outcome, plan, terminal)
  else {
    const time = new Date().toISOString().replace(/\.\d+/, '')
    const paint = painter(terminal.stdout, terminal.env)
    const line = verdictLine(examination, findings, paint)
    terminal.stdout.write(now === known ? `${time} unchanged: ${line}\n` : `${time}\n`)
    if (now !== known) report(outcome, plan, terminal)
  }
  return now
}

function report({ examination, findings, exitCode }: Outcome, plan: DoctorPlan, terminal: Terminal): number {
  const { stdout, env } = terminal
  stdout.write(
    plan.isJson
      ? jsonLine({ time: new Date().toISOString(), exitCode, ...examination, findings })
      : doctorText(examination, findings, stdout, painter(stdout, env)),
  )
  return exitCode
}

async function examineOnce(plan: DoctorPlan, terminal: Terminal, signal?: AbortSignal): Promise<Outcome> {
  const { settings } = plan.examination
  const endpoints = await endpointsOf(plan)
  const progress = progressLine(terminal)
  let deadlineMs = performance.now() + plan.maxTimeMs
  const leftMs = (): number => deadlineMs - performance.now()
  const examination = await examine(
    { ...plan.examination, endpoints },
    {
      shakeHands: (wish) =>
        shakeHands({ ...wish, timeoutMs: Math.max(1, Math.min(settings.timeoutMs, leftMs())) }, settings),
      sleep: (milliseconds) => {
        deadlineMs += milliseconds
        return sleep(milliseconds)
      },
      random: () => randomInt(2 ** 32) / 2 ** 32,
      onStep: (step) => progress.show(step),
      hasTime: () => leftMs() > 0 && signal?.aborted !== true,
    },
  ).finally(() => progress.end())
  const findings = diagnose(examination)
  return { examination, findings, exitCode: exitCodeOf(examination, findings, plan) }
}

function exitCodeOf(
  examination: Examination,
  findings: readonly Finding[],
  { isStrict }: DoctorPlan,
): number {
  if (!isTlsServer(examination)) return ExitCode.UNREACHABLE
  const isBad = ({ severity }: Finding): boolean =>
    severity === 'problem' || (isStrict && severity === 'warning')
  return findings.some(isBad) ? ExitCode.PROBLEM : ExitCode.OK
}

type DoctorValues = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values']

function makePlan(values: DoctorValues, positionals: readonly string[]): DoctorPlan {
  const port = defaultPort(values)
  const [first, ...others] = positionals.map((text) => parseTarget(text, port))
  if (first === undefined) throw new UsageError('doctor needs a HOST[:PORT]')
  const servername =
    values.servername === undefined ? defaultServername(first) : serverName(values.servername, '--servername')
  const otherNames = listOption(values['other-servername']).map((name) =>
    serverName(name, '--other-servername'),
  )
  if (servername !== undefined && otherNames.includes(servername))
    throw new UsageError(`--other-servername must be another name than ${servername}`)
  const addresses = listOption(values.address)
  for (const address of addresses) parseTarget(address, first.port)
  return {
    targets: [first, ...others],
    addresses,
    examination: {
      servername,
      otherNames: otherNames.length > 0 || servername === undefined ? otherNames : [INVENTED_NAME],
      ...numbersOf(values),
      settings: clientSettings(values),
    },
    maxTimeMs: 1000 * maxTimeSec(values),
    watchMs: watchMs(values),
    isStrict: values.strict === true,
    isJson: values.json === true,
  }
}

function numbersOf(values: DoctorValues): Pick<ExaminationPlan, 'attempts' | 'waitSec'> {
  return {
    attempts: numberOption('attempts', values.attempts, {
      fallback: DEFAULT_ATTEMPTS,
      min: 1,
      max: MAX_ATTEMPTS,
      isInteger: true,
    }),
    waitSec: numberOption('wait', values.wait, { fallback: 0, min: 0, max: 7 * DAY_SEC }),
  }
}

function maxTimeSec(values: DoctorValues): number {
  return numberOption('max-time', values['max-time'], {
    fallback: DEFAULT_MAX_TIME_SEC,
    min: 1,
    max: DAY_SEC,
  })
}

function watchMs({ watch: text }: DoctorValues): number | undefined {
  if (text === undefined) return undefined
  return 1000 * numberOption('watch', text, { fallback: 0, min: 0.1, max: 7 * DAY_SEC })
}

async function endpointsOf({ targets, addresses, examination }: DoctorPlan): Promise<Endpoint[]> {
  const [first] = targets
  const wanted = addresses.length > 0 ? addresses.map((text) => parseTarget(text, first.port)) : targets
  const { timeoutMs } = examination.settings
  const answers = await Promise.allSettled(wanted.map((target) => resolveTarget(target, timeoutMs)))
  const [answer] = answers
  if (answer?.status === 'rejected' && answers.every(({ status }) => status === 'rejected'))
    throw answer.reason
  // A name without an address is one that cannot be reached, where others can.
  const found = wanted.flatMap(({ host, port }, index): Endpoint[] => {
    const one = answers[index]
    return one?.status === 'fulfilled' ? one.value : [{ address: host, port }]
  })
  const seen = new Map(found.map((endpoint) => [`${endpoint.address} ${endpoint.port}`, endpoint]))
  return [...seen.values()]
}
