import { runCommand } from '../../../src/cli/command.ts'
import type { Examination } from '../../../src/cli/examination-facts.ts'
import type { Finding } from '../../../src/cli/findings.ts'
import type { SslSessionFields } from '../../../src/codec/ssl-session-der.ts'
import { encode, MINIMAL } from '../../tools/session-fields.ts'

export interface Run {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

interface Place {
  readonly isTerminal?: boolean
  readonly columns?: number
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: AsyncIterable<Uint8Array>
}

/** The command in this process, as if at a terminal or not. */
export async function run(args: readonly string[], place: Place = {}): Promise<Run> {
  const { isTerminal = false, columns, env = {}, stdin = noInput() } = place
  let stdout = ''
  let stderr = ''
  const exitCode = await runCommand(args, {
    stdin,
    stdout: { isTTY: isTerminal, ...(columns && { columns }), write: (text) => (stdout += text) },
    stderr: { isTTY: isTerminal, ...(columns && { columns }), write: (text) => (stderr += text) },
    env,
  })
  return { exitCode, stdout, stderr }
}

async function* noInput(): AsyncGenerator<Uint8Array> {}

export interface DoctorReport extends Examination {
  readonly findings: readonly Finding[]
  readonly exitCode: number
}

/** `sslctx doctor --json`. */
export async function doctor(...args: readonly string[]): Promise<DoctorReport> {
  const { exitCode, stdout } = await run(['doctor', '--json', ...args])
  const report = JSON.parse(stdout) as DoctorReport
  if (report.exitCode !== exitCode) throw new Error(`the report says ${report.exitCode}, not ${exitCode}`)
  return report
}

/** A session of TLS 1.2 with an id, but for what is said otherwise. */
export function sessionDer(wish: Partial<SslSessionFields>): Uint8Array {
  return encode({ ...MINIMAL, ...wish })
}
