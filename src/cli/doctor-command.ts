import { randomInt } from 'node:crypto'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENT_OPTIONS, clientSettings } from './client-options.ts'
import { diagnose, isReachable } from './diagnosis.ts'
import { doctorText } from './doctor-report.ts'
import { type ExaminationPlan, examine } from './examination.ts'
import type { Finding } from './findings.ts'
import { type Endpoint, shakeHands } from './probe.ts'
import { defaultServername, parseTarget, resolveTarget, type Target } from './target.ts'
import { painter, progressLine, type Terminal } from './terminal.ts'
import { DAY_SEC, ExitCode, listOption, numberOption, parseCommandLine, UsageError } from './usage.ts'

export const DOCTOR_HELP = `sslctx doctor HOST[:PORT] ...

Does this TLS server resume, and if not, why not? Connects as clients do: TLS 1.2 by session id, TLS 1.2 by
ticket, TLS 1.3; offers each session on the next connection, once more, after others were made, at the other
addresses and under another server name; says what resumes how often, the likely reason, and the remedy.

HOST is a name, all of whose addresses are probed, or an address; PORT is 443 by default. Several are taken for
one service: the sessions of each are offered to the others.

  --servername NAME         the name to ask for; by default the first HOST, when it is a name
  --other-servername NAMES  names, by commas, under which sessions of the first are offered;
                            by default an invented one
  --address LIST            addresses, by commas, to connect to in place of those of HOST; [:PORT] may follow
  --attempts N              sessions for each question, 1 to 1000; 5 by default (15 offers each method and address)
  --wait SECONDS            offers sessions once more after so long
  --timeout SECONDS         for one handshake; 10 by default
  --http                    sends a HEAD request on each connection; for servers that send the tickets of TLS 1.3
                            with their first answer only
  --alpn NAMES              protocols, by commas
  --ca FILE                 PEM of the authorities that the server's certificate is verified by. Verification is
                            reported; a certificate that does not verify stops nothing
  --cert FILE, --key FILE   PEM of a client certificate and its key
  --strict                  warnings count as problems
  --json                    for machines
  --help

Exit code: 0 all that clients would offer resumes, 1 there is a problem (or, with --strict, a warning),
2 wrong usage, 3 no TLS server answers.
`

const OPTIONS = {
  ...CLIENT_OPTIONS,
  'other-servername': { type: 'string', multiple: true },
  address: { type: 'string', multiple: true },
  attempts: { type: 'string' },
  wait: { type: 'string' },
  strict: { type: 'boolean' },
} as const

/** RFC 2606 §2: no server has that name. */
const INVENTED_NAME = 'sslctx-doctor.invalid'
const DEFAULT_ATTEMPTS = 5
const MAX_ATTEMPTS = 1000

/** @returns the exit code */
export async function doctorCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseCommandLine(args, OPTIONS)
  const plan = await makePlan(values, positionals)
  const progress = progressLine(terminal)
  const examination = await examine(plan, {
    shakeHands,
    sleep,
    random: () => randomInt(2 ** 32) / 2 ** 32,
    onStep: (step) => progress.show(step),
  }).finally(() => progress.end())
  const findings = diagnose(examination)
  const exitCode = isReachable(examination)
    ? exitCodeOf(findings, values.strict === true)
    : ExitCode.UNREACHABLE
  if (values.json === true)
    terminal.stdout.write(`${JSON.stringify({ ...examination, findings, exitCode }, null, 2)}\n`)
  else terminal.stdout.write(doctorText(examination, findings, painter(terminal.stdout, terminal.env)))
  return exitCode
}

function exitCodeOf(findings: readonly Finding[], isStrict: boolean): number {
  const isBad = ({ severity }: Finding): boolean =>
    severity === 'problem' || (isStrict && severity === 'warning')
  return findings.some(isBad) ? ExitCode.PROBLEM : ExitCode.OK
}

type DoctorValues = ReturnType<typeof parseCommandLine<typeof OPTIONS>>['values']

async function makePlan(values: DoctorValues, positionals: readonly string[]): Promise<ExaminationPlan> {
  const targets = positionals.map((text) => parseTarget(text))
  const [first] = targets
  if (first === undefined) throw new UsageError('doctor needs a HOST[:PORT]')
  const servername = values.servername ?? defaultServername(first)
  if (servername !== undefined) checkName('servername', servername)
  const otherNames = listOption(values['other-servername'])
  for (const name of otherNames) checkName('other-servername', name)
  const attempts = numberOption('attempts', values.attempts, {
    fallback: DEFAULT_ATTEMPTS,
    min: 1,
    max: MAX_ATTEMPTS,
    isInteger: true,
  })
  const waitSec = numberOption('wait', values.wait, { fallback: 0, min: 0, max: 7 * DAY_SEC })
  const settings = clientSettings(values)
  return {
    endpoints: await endpointsOf(targets, first, listOption(values.address)),
    servername,
    otherNames: otherNames.length > 0 || servername === undefined ? otherNames : [INVENTED_NAME],
    attempts,
    waitSec,
    settings,
  }
}

function checkName(option: string, name: string): void {
  if (isIP(name) !== 0) throw new UsageError(`--${option} must be a name, got the address '${name}'`)
}

async function endpointsOf(
  targets: readonly Target[],
  first: Target,
  addresses: readonly string[],
): Promise<Endpoint[]> {
  const wanted = addresses.length > 0 ? addresses.map((text) => parseTarget(text, first.port)) : targets
  const found = (await Promise.all(wanted.map(resolveTarget))).flat()
  const seen = new Map(found.map((endpoint) => [`${endpoint.address} ${endpoint.port}`, endpoint]))
  return [...seen.values()]
}
