import { randomBytes } from 'node:crypto'
import type { Terminal } from './terminal.ts'
import { ExitCode, parseCommandLine, UsageError } from './usage.ts'

const SECRET_LENGTH = 32

export const SECRET_HELP: string = `sslctx secret

A new secret for the option secrets of ServerSessions: ${SECRET_LENGTH} random bytes, in hexadecimal. Put it into your secret manager, and give the
same to all processes; who has it can pose as any client.

  --help
`

/** In hexadecimal: no character of it means anything to a shell, to YAML or in a URL, and a double click takes all of it. */
export async function secretCommand(args: readonly string[], { stdout }: Terminal): Promise<number> {
  const { positionals } = parseCommandLine(args, {})
  if (positionals.length > 0) throw new UsageError('secret takes no arguments')
  stdout.write(`${randomBytes(SECRET_LENGTH).toString('hex')}\n`)
  return ExitCode.OK
}
