import { BENCH_HELP, benchCommand } from './bench-command.ts'
import { DOCTOR_HELP, doctorCommand } from './doctor-command.ts'
import { INSPECT_HELP, inspectCommand } from './inspect-command.ts'
import type { Terminal } from './terminal.ts'
import { ExitCode, UnreachableError, UsageError } from './usage.ts'

interface Command {
  readonly help: string
  readonly run: (args: readonly string[], terminal: Terminal) => Promise<number>
}

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['doctor', { help: DOCTOR_HELP, run: doctorCommand }],
  ['inspect', { help: INSPECT_HELP, run: inspectCommand }],
  ['bench', { help: BENCH_HELP, run: benchCommand }],
])

const HELP = `sslctx: TLS session resumption, seen from outside

  sslctx doctor HOST[:PORT] ...   does this server resume, and if not, why not?
  sslctx inspect FILE|-           what is in a session
  sslctx bench HOST:PORT          full and resumed handshakes per second

sslctx COMMAND --help says more. NO_COLOR=1 switches colours off.
`

/**
 * The whole command, without the process around it.
 *
 * @param args - what stands after `sslctx`
 * @returns the exit code
 */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined) {
    terminal.stderr.write(HELP)
    return ExitCode.USAGE
  }
  if (isHelp(name)) {
    terminal.stdout.write(HELP)
    return ExitCode.OK
  }
  const command = COMMANDS.get(name)
  if (command === undefined) return usageError(`there is no command '${name}'`, 'sslctx --help', terminal)
  if (rest.some(isHelp)) {
    terminal.stdout.write(command.help)
    return ExitCode.OK
  }
  return command.run(rest, terminal).catch((error: unknown) => failed(error, name, terminal))
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h'
}

function failed(error: unknown, name: string, terminal: Terminal): number {
  if (error instanceof UsageError) return usageError(error.message, `sslctx ${name} --help`, terminal)
  if (!(error instanceof UnreachableError)) throw error
  terminal.stderr.write(`sslctx: ${error.message}\n`)
  return ExitCode.UNREACHABLE
}

function usageError(message: string, help: string, { stderr }: Terminal): number {
  stderr.write(`sslctx: ${message}. See '${help}'.\n`)
  return ExitCode.USAGE
}
