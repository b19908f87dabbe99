import { runCommand } from '../../../src/cli/command.ts'
import type { Examination } from '../../../src/cli/examination-facts.ts'
import type { Finding } from '../../../src/cli/findings.ts'
import type { OutputStream } from '../../../src/cli/terminal.ts'
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
  /** As SIGINT. */
  readonly interruption?: AbortSignal
  /** Told whatever is written, at once. */
  readonly onWrite?: (text: string, stream: 'stdout' | 'stderr') => void
}

/** The command in this process, as if at a terminal or not. */
export async function run(args: readonly string[], place: Place = {}): Promise<Run> {
  const { isTerminal = false, columns, env = {}, stdin = noInput(), interruption, onWrite } = place
  const written = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr'): OutputStream => ({
    isTTY: isTerminal,
    ...(columns && { columns }),
    write: (text) => {
      written[name] += text
      onWrite?.(text, name)
    },
  })
  const exitCode = await runCommand(args, {
    stdin,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    env,
    ...(interruption && { interruption: () => interruption }),
  })
  return { exitCode, ...written }
}

async function* noInput(): AsyncGenerator<Uint8Array> {}

export interface DoctorReport extends Examination {
  readonly findings: readonly Finding[]
  readonly error?: { readonly code: string }
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
