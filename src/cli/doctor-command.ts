import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENT_HELP, CLIENT_OPTIONS, clientSettings, targetOf } from './client-options.ts'
import { onAbort, within } from './connection.ts'
import { diagnose, isTlsServer } from './diagnosis.ts'
import { doctorText, verdictLine } from './doctor-report.ts'
import { type ExaminationPlan, type ExaminationPorts, examine } from './examination.ts'
import type { Examination } from './examination-facts.ts'
import type { Finding } from './findings.ts'
import { type Endpoint, shakeHands } from './probe.ts'
import { serverName } from './server-name.ts'
import { defaultServername, parseTarget, resolveTarget, type Target } from './target.ts'
import { jsonLine, painter, printable, progressLine, type Terminal } from './terminal.ts'
import {
  DAY_SEC,
  type ErrorReport,
  ExitCode,
  errorJson,
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
  --watch SECONDS           examines again and again, with so long in between, until it is interrupted, which ends
                            it at once; says more than a line when the findings change
  --max-time SECONDS        for one examination, without --wait; 300 by default. What was seen until then is reported;
                            a handshake that is cut off counts as nothing
${CLIENT_HELP}
  --strict                  warnings count as problems
  --json                    for machines: one line for each examination, with an error where no server answers
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
      if (!signal.aborted) reportTrouble(error, plan, terminal)
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

function reportTrouble(error: UnreachableError, { isJson }: DoctorPlan, { stdout, stderr }: Terminal): void {
  if (isJson) stdout.write(jsonLine(errorJson(error)))
  stderr.write(`sslctx: ${printable(error.message)}\n`)
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

function report(outcome: Outcome, { isJson }: DoctorPlan, { stdout, env }: Terminal): number {
  const { examination, findings, exitCode } = outcome
  stdout.write(
    isJson
      ? jsonLine({
          time: new Date().toISOString(),
          exitCode,
          ...errorOf(outcome),
          ...examination,
          findings,
        })
      : doctorText(examination, findings, stdout, painter(stdout, env)),
  )
  return exitCode
}

/** As the other commands show it, where no server answers. */
function errorOf({ examination, findings, exitCode }: Outcome): Partial<Pick<ErrorReport, 'error'>> {
  const [first] = findings
  if (exitCode !== ExitCode.UNREACHABLE || first === undefined) return {}
  const { endpoints, methods } = examination
  const cause = [
    ...endpoints.map(({ unreachable }) => unreachable),
    ...methods.map(({ error }) => error),
  ].find((code) => code !== undefined)
  return { error: { code: first.id, ...(cause !== undefined && { cause }), message: first.what } }
}

async function examineOnce(
  plan: DoctorPlan,
  terminal: Terminal,
  interruption?: AbortSignal,
): Promise<Outcome> {
  const endpoints = await unlessInterrupted(endpointsOf(plan), interruption)
  const progress = progressLine(terminal)
  const seen = await examine(
    { ...plan.examination, endpoints },
    portsOf(plan, (step) => progress.show(step), interruption),
  ).finally(() => progress.end())
  const examination =
    seen.isCutShort && interruption?.aborted ? { ...seen, isInterrupted: true as const } : seen
  const findings = diagnose(examination)
  return { examination, findings, exitCode: exitCodeOf(examination, findings, plan) }
}

/** A lookup of a name cannot be called back. */
async function unlessInterrupted<T>(work: Promise<T>, interruption: AbortSignal | undefined): Promise<T> {
  const { promise: interrupted, reject } = withReject()
  const release = onAbort(interruption, () =>
    reject(new UnreachableError('interrupted before a server could be asked', { code: 'cut-short' })),
  )
  return await Promise.race([work, interrupted]).finally(release)
}

function withReject(): { readonly promise: Promise<never>; readonly reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<never>((_resolve, fail) => {
    reject = fail
  })
  return { promise, reject }
}

/** When the time is over, or an interruption comes, whatever is under way ends. */
function portsOf(
  { examination: { settings }, maxTimeMs }: DoctorPlan,
  onStep: (step: string) => void,
  interruption: AbortSignal | undefined,
): ExaminationPorts {
  let deadlineMs = performance.now() + maxTimeMs
  const leftMs = (): number => deadlineMs - performance.now()
  return {
    shakeHands: (wish) =>
      within(leftMs(), interruption, (signal) => shakeHands({ ...wish, signal }, settings)),
    sleep: (milliseconds) => {
      deadlineMs += milliseconds
      const end = interruption === undefined ? {} : { signal: interruption }
      return sleep(milliseconds, undefined, end).catch(() => undefined)
    },
    random: () => randomInt(2 ** 32) / 2 ** 32,
    onStep,
    hasTime: () => leftMs() > 0 && interruption?.aborted !== true,
  }
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
  const [first, ...others] = positionals.map((text) => targetOf(text, values))
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
