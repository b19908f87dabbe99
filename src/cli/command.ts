import { readFileSync } from 'node:fs'
import { BENCH_HELP, benchCommand } from './bench-command.ts'
import { DOCTOR_HELP, doctorCommand } from './doctor-command.ts'
import { INSPECT_HELP, inspectCommand } from './inspect-command.ts'
import { SECRET_HELP, secretCommand } from './secret-command.ts'
import { jsonLine, printable, type Terminal } from './terminal.ts'
import { ExitCode, errorJson, messageOf, quoted, UnreachableError, UsageError } from './usage.ts'

interface Command {
  readonly help: string
  readonly run: (args: readonly string[], terminal: Terminal) => Promise<number>
}

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['doctor', { help: DOCTOR_HELP, run: doctorCommand }],
  ['inspect', { help: INSPECT_HELP, run: inspectCommand }],
  ['bench', { help: BENCH_HELP, run: benchCommand }],
  ['secret', { help: SECRET_HELP, run: secretCommand }],
])

const HELP = `sslctx: TLS session resumption, seen from outside

  sslctx doctor HOST[:PORT] ...        does this server resume, and if not, why not?
  sslctx inspect FILE|-|HOST[:PORT]    what is in a session
  sslctx bench HOST[:PORT]             full and resumed handshakes per second
  sslctx secret                        a new secret for ServerSessions
  sslctx --version

sslctx COMMAND --help says more. NO_COLOR=1 switches colours off.

Exit code: 0 all is well, 1 there is a problem, 2 wrong usage, 3 no TLS server answers, 4 the command itself failed.
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
  const answer = answerTo(name)
  if (answer !== undefined) {
    terminal.stdout.write(answer)
    return ExitCode.OK
  }
  const command = COMMANDS.get(name)
  if (command === undefined)
    return usageError(`there is no command ${quoted(name)}`, 'sslctx --help', terminal)
  if (rest.some(isHelp)) {
    terminal.stdout.write(command.help)
    return ExitCode.OK
  }
  return command.run(rest, terminal).catch((error: unknown) => {
    // A program that reads the output gets a document, whatever happens; people read stderr.
    if (rest.includes('--json')) terminal.stdout.write(jsonLine(errorJson(error)))
    return failed(error, name, terminal)
  })
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h'
}

function answerTo(word: string): string | undefined {
  if (isHelp(word) || word === 'help') return HELP
  return word === '--version' || word === '-v' ? `${versionText()}\n` : undefined
}

/** The versions of this package, and of what makes the handshakes. */
function versionText(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly version: string
  }
  return `sslctx ${manifest.version} (Node ${process.versions.node}, OpenSSL ${process.versions.openssl})`
}

function failed(error: unknown, name: string, terminal: Terminal): number {
  if (error instanceof UsageError) return usageError(error.message, `sslctx ${name} --help`, terminal)
  if (error instanceof UnreachableError) {
    terminal.stderr.write(`sslctx: ${printable(error.message)}\n`)
    return error.exitCode
  }
  return fault(error, terminal)
}

/** What nobody has foreseen, in one line; with DEBUG=sslctx:* the stack, too. */
export function fault(error: unknown, { stderr, env }: Pick<Terminal, 'stderr' | 'env'>): number {
  const text = printable(messageOf(error))
  stderr.write(`sslctx: this is a fault of sslctx itself, please report it: ${text}\n`)
  if (env['DEBUG']?.includes('sslctx') && error instanceof Error) stderr.write(`${error.stack}\n`)
  return ExitCode.FAULT
}

function usageError(message: string, help: string, { stderr }: Terminal): number {
  stderr.write(`sslctx: ${printable(message)}. See '${help}'.\n`)
  return ExitCode.USAGE
}
