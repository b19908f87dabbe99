import { readFile } from 'node:fs/promises'
import { decodeSslSession } from '../codec/ssl-session-der.ts'
import { SessionDerError } from '../errors.ts'
import { readSessionInput } from './session-input.ts'
import { type SessionView, sessionJson, sessionText } from './session-text.ts'
import type { Terminal } from './terminal.ts'
import { codeOf, ExitCode, parseCommandLine, UsageError } from './usage.ts'

export const INSPECT_HELP = `sslctx inspect FILE|-

What is in a TLS session: every field as 'openssl sess_id -text' prints it, when it expires in words, the peer's
certificate. Takes DER, PEM (openssl s_client -sess_out), what Node's tls gives for 'session', 'newSession' and
getSession(), and base64 of these; - is standard input.

  --secrets   also the master key, the ticket and the application's data in it. Who has them can decrypt
              connections and pose as one of their ends
  --json      for machines
  --help

Exit code: 0 it was read, 1 it has expired, 2 wrong usage or no session.
`

const OPTIONS = { secrets: { type: 'boolean' }, json: { type: 'boolean' } } as const
/** A session is some kilobytes, and what is longer is none. */
const MAX_INPUT_BYTES = 1_048_576

/** @returns the exit code */
export async function inspectCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseCommandLine(args, OPTIONS)
  const [file] = positionals
  if (file === undefined || positionals.length > 1)
    throw new UsageError('inspect needs one FILE, or - for standard input')
  const bytes = file === '-' ? await readAll(terminal.stdin) : await readInputFile(file)
  const view = readView(bytes, file, values.secrets === true)
  const json = sessionJson(view)
  terminal.stdout.write(values.json === true ? `${JSON.stringify(json, null, 2)}\n` : sessionText(view))
  return json['isExpired'] === true ? ExitCode.PROBLEM : ExitCode.OK
}

function readView(bytes: Uint8Array, file: string, showsSecrets: boolean): SessionView {
  try {
    const input = readSessionInput(bytes)
    return { input, fields: decodeSslSession(input.der), showsSecrets, nowMs: Date.now() }
  } catch (error) {
    if (!(error instanceof SessionDerError)) throw error
    throw new UsageError(`${file === '-' ? 'standard input' : `'${file}'`} is no session: ${error.message}`)
  }
}

async function readInputFile(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new UsageError(`cannot read '${file}' (${codeOf(error)})`)
  }
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    length += chunk.length
    if (length > MAX_INPUT_BYTES) throw new UsageError('standard input is too long for a session')
  }
  return Buffer.concat(chunks)
}
