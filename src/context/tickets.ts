import { copyBytes } from '../session/bytes.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import type { SessionContent } from '../session/session-content.ts'
import { Alert } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { Refusal } from '../session/verdict.ts'
import type { ConnectionState } from './connection-state.ts'
import { generateSessionId } from './session-id.ts'
import { updateCache } from './update-cache.ts'

/** What the handshake has made. Fields that it did not negotiate anew stay away. */
export type NegotiatedSession = Partial<
  Pick<
    SessionContent,
    | 'cipherSuite'
    | 'masterKey'
    | 'peerCertificate'
    | 'peerRawPublicKey'
    | 'verifyResult'
    | 'hostname'
    | 'alpnSelected'
    | 'kexGroup'
    | 'pskIdentity'
    | 'pskIdentityHint'
    | 'srpUsername'
    | 'ticketAppData'
    | 'maxFragmentLengthMode'
  >
>

/** What goes into a ticket besides the session as it is; byte arrays are kept, not copied. */
export interface TicketMaterial extends NegotiatedSession {
  /** TLS 1.3: 32 random bits. The master key is the PSK of this ticket, RFC 9846 §4.7.1 (RFC 8446 §4.6.1). */
  readonly ticketAgeAdd?: number
}

/** A ticket to be put into a NewSessionTicket message. */
export interface IssuedTicket {
  readonly session: SslSession
  /** Seconds, 32 bits (R10.5). */
  readonly lifetimeHintSec: number
  /** The ticket is the session id; otherwise it is the sealed session. */
  readonly stateful: boolean
}

/** A NewSessionTicket as the client reads it, RFC 9846 §4.7.1 (RFC 8446 §4.6.1) and RFC 5077 §3.3. */
export interface ReceivedTicket {
  /** Seconds. */
  readonly lifetimeHintSec: number
  /** Empty in TLS 1.2 when the server changed its mind; copied. */
  readonly ticket: Uint8Array
  /** TLS 1.3. */
  readonly ticketAgeAdd?: number
  /** TLS 1.3: the PSK of this ticket; kept, not copied. */
  readonly masterKey?: Uint8Array
  /** TLS 1.3: the early_data extension; without it the session's value stays. */
  readonly maxEarlyData?: number
}

/** `tls_construct_new_session_ticket`, R10.4. */
export function issueTicket(
  state: ConnectionState,
  session: SslSession,
  material: TicketMaterial,
): IssuedTicket | (Refusal & { readonly alert: number }) {
  const stateful = state.isTls13 && state.hasStatefulTickets
  if (!state.isTls13) {
    if (!state.hit) sessionInternals.update(session, material)
    return { session, lifetimeHintSec: state.hit ? 0 : session.timeoutSec >>> 0, stateful }
  }
  // The present session may be in a cache already, and what is cached is not changed.
  const ticketed =
    state.sentTickets > 0 || state.hit ? sessionInternals.duplicateWithoutTicket(session) : session
  state.session = ticketed
  const { sessionId, failure } = generateSessionId(state)
  sessionInternals.update(ticketed, { sessionId })
  if (failure !== undefined) return state.fail(failure, Alert.INTERNAL_ERROR)
  sessionInternals.update(ticketed, { ...material, maxEarlyData: state.maxEarlyData })
  sessionInternals.setTimeMs(ticketed, state.context.ports.now())
  noteSentTicket(state)
  return { session: ticketed, lifetimeHintSec: Math.min(ticketed.timeoutSec, ONE_WEEK_SEC), stateful }
}

/**
 * A ticket that a real TLS stack has built takes the place of {@link issueTicket}.
 *
 * @returns false when none was due: the model knows nothing of it, and neither do the caches
 */
export function adoptTicket(state: ConnectionState, session: SslSession): boolean {
  if (!state.isWritingTickets) return false
  state.session = session
  noteSentTicket(state)
  return true
}

function noteSentTicket(state: ConnectionState): void {
  state.sentTickets++
  if (state.extraTickets > 0) state.extraTickets--
  // The callbacks look at it, and may change what it depends on.
  state.isWritingTickets = isAnotherDue(state)
  updateCache(state)
  state.isWritingTickets = isAnotherDue(state)
}

/** R10.2: after a resumption one ticket, else as many as are configured; extra ones on demand. */
function isAnotherDue(state: ConnectionState): boolean {
  return state.extraTickets > 0 || (!state.hit && state.numTickets > state.sentTickets)
}

/**
 * `tls_process_new_session_ticket`: the connection's session becomes a new one with the ticket, known by the ticket's
 * SHA-256 (R10.14). Cached sessions are not changed, so an existing one is replaced by a copy.
 */
export function receiveTicket(
  state: ConnectionState,
  session: SslSession,
  received: ReceivedTicket,
): SslSession {
  if (received.ticket.length === 0) return session
  const ticketed = replaceByCopy(state, session)
  const { lifetimeHintSec, ...fields } = received
  const hint = state.isTls13 ? Math.min(lifetimeHintSec, ONE_WEEK_SEC) : lifetimeHintSec
  sessionInternals.update(ticketed, {
    ticketAgeAdd: 0,
    ...fields,
    ticket: copyBytes(received.ticket),
    ticketLifetimeHintSec: BigInt(hint),
    sessionId: state.context.ports.sha256(received.ticket),
  })
  sessionInternals.setTimeMs(ticketed, state.context.ports.now())
  sessionInternals.setNotResumable(ticketed, false)
  state.session = ticketed
  if (state.isTls13) updateCache(state)
  return ticketed
}

function replaceByCopy(state: ConnectionState, session: SslSession): SslSession {
  if (!state.isTls13 && sessionInternals.content(session).sessionId.length === 0) return session
  const copy = sessionInternals.duplicateWithoutTicket(session)
  // R2.11: in TLS 1.2 a new ticket means that the old one is out of date.
  if (!state.isTls13 && state.context.hasMode(SessionCacheMode.CLIENT))
    state.context.remove(session, 'delete')
  return copy
}
