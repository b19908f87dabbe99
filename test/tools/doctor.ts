import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { METHODS, type Method } from './methods.ts'

// `sslctx` as its users have it, and what a report of `sslctx doctor --json` says.

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const DEADLINE_MS = 120_000

/** As much of the report as is read here. */
export interface ReportedDoctor {
  readonly exitCode: number
  readonly findings: readonly {
    readonly id: string
    readonly severity: string
    readonly method?: Method | undefined
  }[]
  readonly methods: readonly { readonly method: Method; readonly support: string }[]
  readonly trials: readonly { readonly method: Method; readonly kind: string; readonly outcome: string }[]
}

/** The command in a process of its own. */
export function runInProcess(...args: readonly string[]): Promise<{ exitCode: number; stdout: string }> {
  return new Promise((resolve, reject) => {
    const options = { timeout: DEADLINE_MS }
    execFile(process.execPath, ['--import', 'tsx', MAIN, ...args], options, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : error.code
      if (typeof exitCode === 'number') resolve({ exitCode, stdout })
      else reject(new Error(`sslctx ${args.join(' ')} has no exit code: ${stderr}`, { cause: error }))
    })
  })
}

const helps: Map<string, Promise<string>> = new Map()

/** @param command - of sslctx; without it, of all of it */
export function helpOf(...command: readonly string[]): Promise<string> {
  const key = command.join(' ')
  const help = helps.get(key) ?? runInProcess(...command, '--help').then(({ stdout }) => stdout)
  helps.set(key, help)
  return help
}

/** `sslctx doctor --json`, in a process of its own. */
export async function doctorInProcess(...args: readonly string[]): Promise<ReportedDoctor> {
  const { exitCode, stdout } = await runInProcess('doctor', '--json', ...args)
  const report = JSON.parse(stdout) as ReportedDoctor
  if (report.exitCode !== exitCode) throw new Error(`the report says ${report.exitCode}, not ${exitCode}`)
  return report
}

/** `problem never-resumes tls13` and the like; what resumes, and certificates of no authority, left out. */
export function findingsOf({ findings }: Pick<ReportedDoctor, 'findings'>): string[] {
  return findings
    .filter(({ id }) => id !== 'resumes' && id !== 'certificate-not-verified')
    .map(({ severity, id, method }) => [severity, id, ...(method ? [method] : [])].join(' '))
}

export type Verdict = 'all' | 'some' | 'none' | 'nothing offered'

/** Of what was offered where it was made. */
export function verdicts({ trials }: Pick<ReportedDoctor, 'trials'>): Record<Method, Verdict> {
  const local = trials.filter(({ kind }) => ['next', 'again', 'later'].includes(kind))
  const of = (method: Method): Verdict => verdict(local.filter((trial) => trial.method === method))
  return Object.fromEntries(METHODS.map((method) => [method, of(method)])) as Record<Method, Verdict>
}

function verdict(trials: ReportedDoctor['trials']): Verdict {
  if (trials.length === 0) return 'nothing offered'
  return verdictOf(trials.map(({ outcome }) => outcome === 'resumed'))
}

export function verdictOf(resumed: readonly boolean[]): Verdict {
  if (resumed.every(Boolean)) return 'all'
  return resumed.some(Boolean) ? 'some' : 'none'
}
