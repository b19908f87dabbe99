import { decodeSslSession, type SslSessionFields } from '../codec/ssl-session-der.ts'
import { ArgumentError, SessionRangeError, WeakKeyError } from '../errors.ts'
import { sessionIdContextOf } from '../node/server-names.ts'
import type { SessionOrigin } from '../node/session-binding.ts'
import { openTicket } from '../node/stateless-ticket.ts'
import { TicketKeyRing } from '../node/ticket-keys.ts'
import { KeyRing } from '../store/key-ring.ts'
import { bytesOfSecret } from '../store/secret-text.ts'
import { isUtf16, readBounded } from './files.ts'
import { type SessionView, sessionJson, sessionText } from './session-text.ts'
import { UsageError } from './usage.ts'

/** Secrets are some dozens of bytes. */
const MAX_SECRET_BYTES = 4096
/** Whatever the length of their periods and their age, tickets of each period open. */
const ANY_PERIOD = { periodMs: 1, lifetimeMs: Number.MAX_SAFE_INTEGER / 2 }

/** What opens the stateless tickets of a server that is attached with `tickets`. */
export interface TicketOpener {
  /** @returns undefined for a ticket of other servers, or of another secret */
  open(ticket: Uint8Array, nowMs: number): OpenedView | undefined
}

/** What a server would find in a ticket. */
export interface OpenedView {
  readonly fields: SslSessionFields
  readonly derLength: number
  readonly origin: SessionOrigin
}

/**
 * @param file - of the secret: its bytes, or these as hexadecimal digits or base64
 * @param name - of ServerSessions, or the session id context of the server
 * @throws {@link UsageError} when it is no secret of a KeyRing
 */
export function ticketOpener(file: string, name: string): TicketOpener {
  const secret = readSecret(readBounded(file, MAX_SECRET_BYTES, '--secret-file'))
  try {
    const keys = new TicketKeyRing(new KeyRing([secret]), sessionIdContextOf(name), () => ANY_PERIOD)
    return {
      open(ticket, nowMs) {
        const opened = openTicket(ticket, keys, nowMs)
        if (opened === undefined) return undefined
        const der = opened.session.toDer()
        return { fields: decodeSslSession(der), derLength: der.length, origin: opened.origin }
      },
    }
  } catch (error) {
    const isWrong =
      error instanceof WeakKeyError || error instanceof SessionRangeError || error instanceof ArgumentError
    throw isWrong
      ? new UsageError(`--secret-file: ${error.message.replace('secret 0', 'the secret')}`)
      : error
  }
}

/** Text ends with a line break, which belongs to no secret, and may begin with a byte order mark: to `trim` both are white space. */
function readSecret(bytes: Buffer): Uint8Array {
  if (bytes.length === 0) throw new UsageError('--secret-file: the file is empty')
  const text = bytes.toString(isUtf16(bytes) ? 'utf16le' : 'utf8').trim()
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return bytes
  const secret = bytesOfSecret(text)
  if (secret !== undefined) return secret
  throw new UsageError(
    '--secret-file: the secret is text, but not 64 or more hexadecimal digits, nor base64: `npx sslctx secret` prints a good one',
  )
}

/** As sessionText, of the session in the ticket of `view`. */
export function openedText(view: SessionView, opened: OpenedView | undefined): string {
  if (view.fields.ticket === undefined) return 'Its ticket: it has none\n'
  if (opened === undefined) return `Its ticket: ${NOT_OPENED}\n`
  const { authenticatedAtSec, chainEndSec } = opened.origin
  return [
    'In its ticket, as the server finds it:',
    `    Full handshake: ${dateOf(authenticatedAtSec)}`,
    `    Client's chain ends: ${Number.isFinite(chainEndSec) ? dateOf(chainEndSec) : 'never, it has none'}`,
    sessionText(inner(view, opened)),
  ].join('\n')
}

/** @returns null for a session without a ticket */
export function openedJson(
  view: SessionView,
  opened: OpenedView | undefined,
): Record<string, unknown> | null {
  if (view.fields.ticket === undefined) return null
  if (opened === undefined) return { isOpened: false }
  const { authenticatedAtSec, chainEndSec } = opened.origin
  return {
    isOpened: true,
    authenticatedAtSec,
    chainEndSec: Number.isFinite(chainEndSec) ? chainEndSec : null,
    ...sessionJson(inner(view, opened)),
  }
}

const NOT_OPENED = 'does not open with this secret and name'

function inner(view: SessionView, { fields, derLength }: OpenedView): SessionView {
  return { ...view, fields, input: { der: new Uint8Array(derLength), form: 'ticket' } }
}

function dateOf(seconds: number): string {
  return seconds <= 8_640_000_000_000 ? new Date(seconds * 1000).toISOString() : `${seconds} s`
}
