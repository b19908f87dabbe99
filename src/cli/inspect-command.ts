import { existsSync } from 'node:fs'
import { decodeSslSession } from '../codec/ssl-session-der.ts'
import { SessionDerError } from '../errors.ts'
import {
  CLIENT_HELP,
  CLIENT_OPTIONS,
  type ClientOptions,
  clientSettings,
  targetOf,
} from './client-options.ts'
import { HandshakeError } from './failure.ts'
import { readBounded } from './files.ts'
import { type OpenedView, openedJson, openedText, type TicketOpener, ticketOpener } from './opened-ticket.ts'
import { type Endpoint, labelOf, shakeHands } from './probe.ts'
import { refusal } from './refusal.ts'
import { serverName } from './server-name.ts'
import { readSessionInputs, type SessionInput } from './session-input.ts'
import { isExpired, type SessionView, sessionJson, sessionText } from './session-text.ts'
import { defaultServername, firstThatConnects, resolveTarget, type Target } from './target.ts'
import { jsonLine, type Terminal } from './terminal.ts'
import { codeOf, ExitCode, parseCommandLine, quoted, UnreachableError, UsageError } from './usage.ts'

export const INSPECT_HELP: string = `sslctx inspect FILE|-|HOST[:PORT]

What is in a TLS session: every field as 'openssl sess_id -text' prints it, when it expires in words, the peer's
certificate. Takes DER, PEM (openssl s_client -sess_out), what Node's tls gives for 'session', 'newSession' and
getSession(), base64 and hexadecimal digits of these, and several of them; - is standard input. Of a server, where no
file has that name: what it gives to a client that connects.

  --secrets                 also the master key, the ticket and the application's data in it. Who has them can
                            decrypt connections and pose as one of their ends
  --secret-file FILE        also what is in its stateless ticket, when that is one of attachServer({ tickets }):
                            FILE has the secret of the KeyRing, as bytes, or as 64 or more hexadecimal digits
                            or base64
  --name TEXT               with it, the name of ServerSessions, or the sessionIdContext; empty by default
  --json                    for machines, one line for each session, or one with an error
  --help

Of a server, and never with FILE or -:
  --servername NAME         the name to ask for; by default HOST, when it is a name
  --protocol 1.2|1.3        by default what is negotiated
${CLIENT_HELP}

Exit code: 0 it was read, 1 one has expired, or the server gives none or refuses, 2 wrong usage or no session,
3 no TLS server answers, 4 the command itself failed.
`

const OPTIONS = {
  ...CLIENT_OPTIONS,
  protocol: { type: 'string' },
  secrets: { type: 'boolean' },
  'secret-file': { type: 'string' },
  name: { type: 'string' },
} as const
/** A session is some kilobytes, and what is longer is none. */
const MAX_INPUT_BYTES = 1_048_576

interface InspectValues extends ClientOptions {
  readonly servername?: string | undefined
  readonly protocol?: string | undefined
  readonly 'secret-file'?: string | undefined
  readonly name?: string | undefined
}

/** @returns the exit code */
export async function inspectCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseCommandLine(args, OPTIONS)
  const [source] = positionals
  if (source === undefined || positionals.length > 1)
    throw new UsageError('inspect needs one FILE, HOST[:PORT], or - for standard input')
  if (isFile(source)) refuseServerOptions(source, values)
  const opener = openerOf(values)
  const inputs = isFile(source) ? await readInputs(source, terminal) : await sessionsOf(source, values)
  const views = inputs.map((input): SessionView => {
    const fields = decodeInput(input, source)
    return { input, fields, showsSecrets: values.secrets === true, nowMs: Date.now() }
  })
  const seen = views.map((view): Seen => ({ view, ...(opener && { opened: opened(view, opener) }) }))
  terminal.stdout.write(values.json === true ? seen.map(jsonOf).join('') : textOf(seen))
  const isGood = seen.every((one) => !isExpired(one.view) && !('opened' in one && one.opened === undefined))
  return isGood ? ExitCode.OK : ExitCode.PROBLEM
}

/** Of a file they would say nothing. */
function refuseServerOptions(source: string, values: Readonly<Record<string, unknown>>): void {
  const { json: _, ...ofServers } = { ...CLIENT_OPTIONS, protocol: OPTIONS.protocol }
  const given = Object.keys(ofServers).find((name) => values[name] !== undefined)
  if (given === undefined) return
  const name = source === '-' ? 'standard input is none' : `${quoted(source)} names a file`
  throw new UsageError(`--${given} is for a server, and ${name}`)
}

/** A session, and what is in its ticket when that was asked for. */
interface Seen {
  readonly view: SessionView
  readonly opened?: OpenedView | undefined
}

function openerOf({ 'secret-file': file, name }: InspectValues): TicketOpener | undefined {
  if (file === undefined && name !== undefined) throw new UsageError('--name needs --secret-file')
  return file === undefined ? undefined : ticketOpener(file, name ?? '')
}

function opened({ fields: { ticket }, nowMs }: SessionView, opener: TicketOpener): OpenedView | undefined {
  return ticket && opener.open(ticket, nowMs)
}

function jsonOf(seen: Seen): string {
  const { view } = seen
  return jsonLine({
    ...sessionJson(view),
    ...('opened' in seen && { inTicket: openedJson(view, seen.opened) }),
  })
}

function textOf(all: readonly Seen[]): string {
  const texts = all.map((seen) => {
    const text = sessionText(seen.view)
    return 'opened' in seen ? `${text}${openedText(seen.view, seen.opened)}` : text
  })
  if (texts.length === 1) return texts.join('')
  return texts.map((text, index) => `${index + 1} of ${texts.length}:\n${text}`).join('\n')
}

/** What cannot be the name of a host, or is there, is a file. */
function isFile(source: string): boolean {
  if (source === '-' || source === '' || existsSync(source)) return true
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) return false
  return /[/\\]|\.(pem|der|crt|key|txt|bin|sess|session|json|b64|hex)$/i.test(source)
}

async function readInputs(source: string, terminal: Terminal): Promise<SessionInput[]> {
  const bytes = source === '-' ? await readAll(terminal.stdin) : readBounded(source, MAX_INPUT_BYTES)
  try {
    return readSessionInputs(bytes)
  } catch (error) {
    throw noSession(error, source)
  }
}

function decodeInput({ der }: SessionInput, source: string): SessionView['fields'] {
  try {
    return decodeSslSession(der)
  } catch (error) {
    throw noSession(error, source)
  }
}

function noSession(error: unknown, source: string): unknown {
  if (!(error instanceof SessionDerError)) return error
  const name = source === '-' ? 'standard input' : quoted(source)
  // Where a whole input is the wrong thing, no place in it is.
  return new UsageError(`${name} is no session: ${error.message.replace(' (at offset 0)', '')}`)
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of stream) {
      chunks.push(chunk)
      length += chunk.length
      if (length > MAX_INPUT_BYTES) throw new UsageError('standard input is too long for a session')
    }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`cannot read standard input (${codeOf(error)})`)
  }
  return Buffer.concat(chunks)
}

const METHODS_OF_PROTOCOLS = { any: 'any', '1.2': 'tls12-ticket', '1.3': 'tls13' } as const

async function sessionsOf(source: string, values: InspectValues): Promise<SessionInput[]> {
  const { protocol = 'any' } = values
  if (protocol !== 'any' && protocol !== '1.2' && protocol !== '1.3')
    throw new UsageError(`--protocol must be 1.2 or 1.3, got ${quoted(protocol)}`)
  const target = targetOf(source, values)
  const servername =
    values.servername === undefined
      ? defaultServername(target)
      : serverName(values.servername, '--servername')
  const settings = clientSettings(values)
  const method = METHODS_OF_PROTOCOLS[protocol]
  const endpoints = await resolveSource(source, target, settings.timeoutMs)
  let last = target.host
  try {
    const { result } = await firstThatConnects(endpoints, (endpoint) => {
      last = labelOf(endpoint)
      return shakeHands({ endpoint, method, servername }, settings)
    })
    if (result.sessions.length > 0) return result.sessions.map((der) => ({ der, form: 'DER' }))
  } catch (error) {
    if (!(error instanceof HandshakeError)) throw error
    throw refusal(error, { endpoint: last, servername, method }, settings)
  }
  throw new UnreachableError(`${last} gives no session; sslctx doctor says more`, {
    code: 'nothing-to-resume-with',
    exitCode: ExitCode.PROBLEM,
  })
}

/** A word without a port is as likely the name of a file that is not there. */
async function resolveSource(source: string, target: Target, timeoutMs: number): Promise<Endpoint[]> {
  try {
    return await resolveTarget(target, timeoutMs)
  } catch (error) {
    if (!(error instanceof UnreachableError) || /[:.]/.test(source)) throw error
    throw new UsageError(`there is no file ${quoted(source)}, and no host of that name`)
  }
}
