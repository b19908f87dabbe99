import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { FindingId } from './findings.ts'

/** What the command ends with, for scripts. */
export const ExitCode: {
  /** Nothing is wrong. */
  readonly OK: 0
  /** The command did its work, and what it found is wrong. */
  readonly PROBLEM: 1
  /** The arguments, or what is in a file that they name, cannot be used. */
  readonly USAGE: 2
  /** No TLS server answered: silence, refusal, another protocol. */
  readonly UNREACHABLE: 3
  /** The command itself failed: a fault of its own, or its output cannot be written. */
  readonly FAULT: 4
} = { OK: 0, PROBLEM: 1, USAGE: 2, UNREACHABLE: 3, FAULT: 4 }

export const DAY_SEC: number = 86_400

/** The user asked for something that cannot be done; the message says what to write instead. */
export class UsageError extends Error {}

/** What `--json` calls the reason for which there is nothing else to show: as the finding is called that `doctor` would have of it. */
export type ErrorCode = FindingId | 'no-address' | 'usage' | 'fault'

/** There is no handshake to go on with. */
export class UnreachableError extends Error {
  readonly code: ErrorCode
  /** A server of TLS that refuses is a problem; nobody at all is something else. */
  readonly exitCode: number

  constructor(
    message: string,
    options: ErrorOptions & { readonly code: ErrorCode; readonly exitCode?: number },
  ) {
    super(message, options)
    this.code = options.code
    this.exitCode = options.exitCode ?? ExitCode.UNREACHABLE
  }
}

/** What `--json` shows in place of a report. */
export interface ErrorReport {
  readonly time: string
  readonly exitCode: number
  readonly error: {
    readonly code: ErrorCode
    /** What Node calls it, where there is such a name. */
    readonly cause?: string
    readonly message: string
  }
}

export function errorJson(error: unknown): ErrorReport {
  const time = new Date().toISOString()
  const message = messageOf(error)
  if (error instanceof UsageError)
    return { time, exitCode: ExitCode.USAGE, error: { code: 'usage', message } }
  if (!(error instanceof UnreachableError))
    return { time, exitCode: ExitCode.FAULT, error: { code: 'fault', message } }
  const { code, exitCode, cause } = error
  const name = cause === undefined ? {} : { cause: codeOf(cause) }
  return { time, exitCode, error: { code, ...name, message } }
}

/** What is foreseen needs no name. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isForeseen = error instanceof UsageError || error instanceof UnreachableError
  return isForeseen ? error.message : `${error.name}: ${error.message}`
}

/** Longer than names and paths that somebody writes by hand. */
const MAX_QUOTED = 300
/** An encoding of bytes, 24 of them or more, and no absolute path. */
const ENCODED = /^(?=.*\d)[A-Za-z0-9+][A-Za-z0-9+/_-]{31,}={0,2}$/

/**
 * For a message: what was given, in quotes, unless it may be a secret or a session itself, given in place of a file of it. Nor is a
 * password quoted.
 */
export function quoted(text: string): string {
  const isBytes = text.length > MAX_QUOTED || /[\r\n]/.test(text) || ENCODED.test(text)
  if (isBytes) return `what was given (${text.length} characters, which may be a secret)`
  return `'${text.replace(/^(\w+:\/\/)?[^/@\s]*@/, '$1…@')}'`
}

/** For a message: what Node calls the error. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}

type Options = NonNullable<ParseArgsConfig['options']>
type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; allowPositionals: true; strict: true }>
>

/** @throws {@link UsageError} for an unknown option, or one without its value */
export function parseCommandLine<const T extends Options>(
  args: readonly string[],
  options: T,
): Pick<Parsed<T>, 'values' | 'positionals'> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(firstSentence(error))
  }
}

/**
 * @param text - what was given to the option; undefined for `fallback`
 * @throws {@link UsageError} for what is no number from `min` to `max`
 */
export function numberOption(
  name: string,
  text: string | undefined,
  { fallback, min, max, isInteger = false }: NumberRange,
): number {
  if (text === undefined) return fallback
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (value >= min && value <= max && (!isInteger || Number.isInteger(value))) return value
  const kind = isInteger ? 'a whole number' : 'a number'
  throw new UsageError(`--${name} must be ${kind} from ${min} to ${max}, got ${quoted(text)}`)
}

export interface NumberRange {
  readonly fallback: number
  readonly min: number
  readonly max: number
  readonly isInteger?: boolean
}

/** One option as its parts: `a,b` is two. */
export function listOption(texts: readonly string[] | undefined): string[] {
  return (texts ?? []).flatMap((text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  )
}

/** Node's messages go on to explain how to escape a dash. */
function firstSentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/\.?(\n|\. |$)[\s\S]*/, '')
}
