import type { AsyncResource } from 'node:async_hooks'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslContext } from '../context/ssl-context.ts'
import { type Awaitable, isPromiseLike } from '../session/awaitable.ts'
import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import type { SslSession } from '../session/ssl-session.ts'
import type { Revocations } from '../store/revocations.ts'
import type { ChainEnds } from './chain-ends.ts'
import type { Deadlines } from './deadlines.ts'
import type { JudgedTickets } from './judged-tickets.ts'
import type { TlsServer } from './node-engine.ts'
import { usesTickets } from './server-setup.ts'
import type { SessionRules } from './session-rules.ts'
import type { TrustProfile, TrustProfiles } from './trust-profile.ts'
import type { UsedIds } from './used-ids.ts'

/**
 * Names the trust under which a server name's clients are verified, where SNICallback or a SecureContext of the owner's
 * decides it; it also forbids resumptions, as of a client whose certificate was revoked (see `session.peerCertificate`).
 *
 * @param serverName - as the client sent it; undefined without SNI
 * @param session - the one to be kept, or the one to be resumed. With stateless tickets, whose keys and answer must be known before
 * a full handshake begins, the one that is being made: nothing is known of the client yet
 * @param hello - undefined when it was not read ahead
 * @returns sessions are resumed under the answer under which they were made; false keeps and resumes nothing
 */
export type SessionPolicy = (
  serverName: string | undefined,
  session: SslSession,
  hello: ClientHello | undefined,
) => Awaitable<string | false>

/** What all connections of an attachment have in common. */
export interface Edge extends SessionRules {
  readonly server: TlsServer
  readonly context: SslContext
  /** The session id context of `context`, when the server was attached. */
  readonly ownContext: Uint8Array
  readonly profiles: TrustProfiles
  /** The switch of the attachment. */
  readonly enabled: boolean
  /** Milliseconds; also for `policy` about a new session, and for the writing of one. */
  readonly lookupTimeoutMs: number
  /** When a ClientHello must be whole. */
  readonly helloDeadlines: Deadlines
  readonly bindSessions: boolean
  /** Milliseconds since the epoch. */
  readonly authenticatedAfterMs: number
  /** Stateless tickets take the place of sessions in TLS 1.3; undefined without them. */
  readonly tickets: JudgedTickets | undefined
  readonly singleUse: boolean
  /** Clients may resume by PSKs that were made outside TLS. */
  readonly takesExternalPsks: boolean
  readonly policy: SessionPolicy | undefined
  readonly revocations: Pick<Revocations, 'objectionTo'> | undefined
  readonly shouldStore: ((hello: ClientHello | undefined) => boolean) | undefined
  /** Somebody else answers resumeSession, and two answers would end the connection. */
  readonly isAnsweredByOthers: boolean
  readonly usedIds: UsedIds
  readonly chainEnds: ChainEnds
  countNotKept(reason: NotKeptReason): void
  /** A callback of the owner's has thrown: the process hears of it, no connection does. */
  reportError(error: unknown): void
}

/**
 * Answers false when the owner's `policy` refuses or fails, and undefined when there is none.
 *
 * @param arrival - the asynchronous context in which the connection arrived
 */
export function askPolicy(
  { policy, reportError }: Edge,
  arrival: AsyncResource,
  ...question: Parameters<SessionPolicy>
): Awaitable<string | undefined | false> {
  if (policy === undefined) return undefined
  const failed = (error: unknown): false => {
    reportError(error)
    return false
  }
  const checked = (answer: unknown): string | false =>
    typeof answer === 'string' || answer === false
      ? answer
      : failed(new TypeError('policy must answer with a string or false'))
  try {
    const answer = arrival.runInAsyncScope(policy, undefined, ...question)
    return isPromiseLike(answer) ? Promise.resolve(answer).then(checked, failed) : checked(answer)
  } catch (error) {
    return failed(error)
  }
}

/** Clients resume by tickets of Node's own, which nobody judges. */
export function usesNodeTickets({ server, tickets }: Edge): boolean {
  return tickets === undefined && usesTickets(server)
}

/** Nobody can say whom such a connection trusts. */
export function isPolicyUnknown({ policy }: Edge, { requestCert, isOpaque }: TrustProfile): boolean {
  return requestCert && isOpaque && policy === undefined
}
