import type tls from 'node:tls'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import type { Outcome } from '../session/handshakes.ts'
import { cipherSuiteHash } from '../session/judge-session.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import type { HandshakeReason } from '../session/reasons.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type Edge, usesNodeTickets } from './edge.ts'
import type { TicketHandshake } from './judged-tickets.ts'
import { readSession, type SessionHolder } from './keep-session.ts'
import type { Decision } from './look-up.ts'

/** How a handshake ended. */
export interface ConnectionOutcome {
  readonly outcome: Outcome
  readonly reason: HandshakeReason
  readonly protocol: string | undefined
  readonly socket: tls.TLSSocket | undefined
  /** Node never had the connection; the error that ended it, if one did. */
  readonly unserved: { readonly error: Error | undefined } | undefined
}

/** Why a handshake that Node has completed resumed, or did not. */
export function whyEstablished(
  edge: Edge,
  decision: Decision,
  hello: ClientHello | undefined,
  tickets: TicketHandshake | undefined,
  isReused: boolean,
  socket: SessionHolder,
): HandshakeReason {
  if (isReused && decision.resume) return decision.source
  if (isReused) return usesNodeTickets(edge) ? 'ticket' : 'external-psk'
  if (!decision.resume) return decision.reason
  if (tickets?.refusal !== undefined) return tickets.refusal
  const made = readSession(socket.getSession())
  if (made?.protocolVersion !== TLS1_3_VERSION) return 'node-disagreed'
  if (cipherSuiteHash(made.cipherSuite) !== cipherSuiteHash(decision.found.session.cipherSuite))
    return 'cipher-hash-mismatch'
  return hello?.keyShareGroups.includes(made.kexGroup) === false ? 'hello-retry-request' : 'node-disagreed'
}

/** Why a handshake came to nothing. */
export function whyFailed(decision: Decision): HandshakeReason {
  return !decision.resume && HELLO_FAILURES.has(decision.reason) ? decision.reason : 'handshake-failed'
}

const HELLO_FAILURES: ReadonlySet<HandshakeReason> = new Set([
  'client-left',
  'not-tls',
  'oversized-hello',
  'unreadable-hello',
  'stalled-hello',
])

/**
 * The model's handshake ends as Node's did. In TLS 1.2 it ends with the new session, whose policy may still be at work.
 *
 * @param hasMade - Node has shown a new session
 */
export function recordOutcome(
  model: SslConnection,
  edge: Edge,
  decision: Decision,
  protocolVersion: number,
  isReused: boolean,
  hasMade: boolean,
  socket: SessionHolder,
): void {
  const isTls13 = protocolVersion === TLS1_3_VERSION
  if (model.isHandshaking && !(hasMade && !isTls13)) {
    // A ticket of Node's own, or an external PSK, is not what was found.
    const session = isReused && !decision.resume ? readSession(socket.getSession()) : undefined
    const resumed = isReused ? { session, isTicket: usesNodeTickets(edge) } : undefined
    model.recordOutcome({ protocolVersion, resumed })
  }
  const { found } = decision
  if (isReused && isTls13 && edge.singleUse && found !== undefined) edge.usedIds.add(found.session.sessionId)
}

/** `kMaxSessionSize` of Node: there is no newSession for what is larger. */
const MAX_NODE_SESSION_LENGTH = 10_240

/**
 * Only a client certificate makes it so.
 *
 * @param der - of the connection's session, which gets its id with the ticket in TLS 1.3
 */
export function isTooLargeForNode(der: Uint8Array | undefined): boolean {
  return (der?.length ?? 0) > MAX_NODE_SESSION_LENGTH - MAX_ID_LENGTH
}
