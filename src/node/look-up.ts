import type { ClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import { type Awaitable, andThen } from '../session/awaitable.ts'
import { equalBytes } from '../session/bytes.ts'
import { isExpired } from '../session/judge-session.ts'
import type { Examination, ResumptionOffer } from '../session/offer.ts'
import type { HandshakeReason, RefusalReason, SessionSource } from '../session/reasons.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'
import type { ResumptionVerdict } from '../session/verdict.ts'
import { byteKey } from '../store/byte-key.ts'
import { askPolicy, type Edge, type InArrivalContext, isPolicyUnknown } from './edge.ts'
import type { JudgedTickets } from './judged-tickets.ts'
import { negotiatedVersion, resumptionOffer, supportsPsk, ticketOffer } from './resumption-offer.ts'
import { sessionTimeoutSec, usesTickets } from './server-setup.ts'
import { serverVersions } from './server-versions.ts'
import {
  type Binding,
  bindingContext,
  mismatchReason,
  readOrigin,
  type SessionOrigin,
  ticketContextOf,
  ticketMismatchReason,
} from './session-binding.ts'
import { isTooOld, objectionToSession } from './session-rules.ts'
import { isSameProfile, type TrustProfile } from './trust-profile.ts'

/** What was found, and for whom it is good. */
export interface Found {
  readonly session: SslSession
  readonly origin: SessionOrigin | undefined
  readonly binding: Binding
  /** The stateless ticket that the session came in. */
  readonly ticket: Uint8Array | undefined
}

/** What is to become of a ClientHello: the one answer of a lookup. */
export type Decision =
  | { readonly resume: true; readonly source: SessionSource; readonly found: Found }
  /** `found`: present when libssl is to see the session all the same, and to refuse it with the alert that is due. */
  | { readonly resume: false; readonly reason: HandshakeReason; readonly found?: Found }

const DECLINED: Examination = { isDeclined: true }

/** Refusals that libssl will come to by itself when it sees the session, with the alert that the client is to get. */
const LIBSSL_ALERTS: ReadonlySet<RefusalReason> = new Set([
  'extended-master-secret-dropped',
  'cipher-not-offered',
  'compression',
])

export function full(reason: HandshakeReason): Decision {
  return { resume: false, reason }
}

/**
 * May this ClientHello resume what it offers? Every rule is asked here, in one order: whether the cache may be asked at all; the
 * model with its caches, or with the ticket that could be opened; of what they found expiry, format, server name, single use, the
 * owner's policy, trust, marks, age, and the edge's rules; and libssl's own.
 *
 * @returns a promise only when an external cache or the owner's policy gave one; it never rejects
 */
export function lookUp(
  edge: Edge,
  connection: SslConnection,
  hello: ClientHello,
  inArrivalContext: InArrivalContext,
): Awaitable<Decision> {
  const { server } = edge
  const { serverName } = hello
  const version = negotiatedVersion(hello, serverVersions(server))
  // Node will tell the client.
  if (version === undefined) return full('not-offered')
  if (usesTickets(server) && hasStatelessTicket(hello, version)) return full('stateless-ticket')
  if (isPolicyUnknown(edge, edge.profiles.of(serverName))) return full('policy-unknown')
  return new Inquiry(edge, connection, hello, version, inArrivalContext).answer()
}

interface OpenedOffer {
  readonly ticket: Uint8Array
  readonly origin: SessionOrigin
}

/** One question to the model, and what came to light on the way. */
class Inquiry {
  readonly #edge: Edge
  readonly #connection: SslConnection
  readonly #hello: ClientHello
  readonly #version: number
  readonly #inArrivalContext: InArrivalContext
  /** The stateless ticket that is being judged, if it is one. */
  #opened: OpenedOffer | undefined
  #found: Found | undefined
  #objection: HandshakeReason | undefined

  constructor(
    edge: Edge,
    connection: SslConnection,
    hello: ClientHello,
    version: number,
    inArrivalContext: InArrivalContext,
  ) {
    this.#edge = edge
    this.#connection = connection
    this.#hello = hello
    this.#version = version
    this.#inArrivalContext = inArrivalContext
  }

  answer(): Awaitable<Decision> {
    return andThen(this.#connection.resumeSession(this.#offer()), (verdict) => this.#decide(verdict))
  }

  #offer(): ResumptionOffer {
    const hello = this.#hello
    const tickets = this.#version === TLS1_3_VERSION ? this.#edge.tickets : undefined
    if (tickets === undefined) return resumptionOffer(hello, this.#version, this.#examine)
    this.#connection.clearOptions(SslOption.NO_TICKET)
    return ticketOffer(hello, (ticket) => this.#open(tickets, ticket), this.#examine)
  }

  #open(tickets: JudgedTickets, ticket: Uint8Array): SslSession | undefined {
    const content = tickets.openTicket(ticket)
    if (content === undefined) return undefined
    const { session, origin } = content
    this.#opened = { ticket, origin }
    const { serverName } = this.#hello
    // Node's libssl leaves it out; that it was this name follows from the session id context, or the ticket is refused.
    session.setHostname(serverName === undefined ? undefined : Buffer.from(serverName, 'latin1'))
    return session
  }

  readonly #examine = (session: SslSession): Awaitable<Examination> => {
    const edge = this.#edge
    const { serverName } = this.#hello
    const opened = this.#opened
    const { origin } = this.#bind(session, undefined)
    // The model judges, counts and forgets what has expired, whatever it was made for.
    if (isExpired(session, edge.context.now())) return accept(session.sessionIdContext)
    const reason = opened === undefined ? objectionToFound(edge, session, origin, serverName) : undefined
    if (reason !== undefined) return this.#decline(reason)
    return andThen(askPolicy(edge, this.#inArrivalContext, serverName, session, this.#hello), (answer) => {
      if (answer === false) return this.#decline('policy-refused')
      const bound = this.#bind(session, answer)
      const expected = expectedContext(edge, bound)
      // R3.3, the session id context is the isolation of names and trust profiles; the model says so.
      const later = equalBytes(session.sessionIdContext, expected) ? objectionToBound(edge, bound) : undefined
      return later === undefined ? accept(expected) : this.#decline(later)
    })
  }

  #bind(session: SslSession, ownPolicy: string | undefined): Found {
    const edge = this.#edge
    const { serverName } = this.#hello
    this.#found = {
      session,
      origin: this.#opened?.origin ?? readOrigin(session),
      binding: bindingOf(edge, serverName, edge.profiles.of(serverName), ownPolicy),
      ticket: this.#opened?.ticket,
    }
    return this.#found
  }

  #decline(reason: HandshakeReason): Examination {
    this.#objection = reason
    return DECLINED
  }

  #decide(verdict: ResumptionVerdict): Decision {
    const found = this.#found
    if (verdict.resume && found !== undefined) return { resume: true, source: verdict.source, found }
    const refusal = verdict.resume ? 'declined' : verdict.reason
    const reason = this.#objection ?? refined(this.#edge, this.#hello, this.#version, refusal, found)
    return found !== undefined && LIBSSL_ALERTS.has(refusal) ? { resume: false, reason, found } : full(reason)
  }
}

/**
 * The tickets of the attachment, for a connection whose tickets are all judged. Others have none at all: of a ClientHello that was
 * not read, nobody knows what it offers.
 */
export function ticketsFor(
  edge: Edge,
  hello: ClientHello | undefined,
  profile: TrustProfile | undefined,
): JudgedTickets | undefined {
  const { tickets, server } = edge
  if (tickets === undefined || hello === undefined || profile === undefined) return undefined
  const isUsable = negotiatedVersion(hello, serverVersions(server)) === TLS1_3_VERSION && supportsPsk(hello)
  return isUsable && !isPolicyUnknown(edge, profile) ? tickets : undefined
}

/**
 * Is a decision still good, now that Node gets the connection? A lookup may have taken its time, and what the server is, its
 * switch and the marks may have changed meanwhile.
 */
export function confirmed(edge: Edge, decision: Decision): Decision {
  const { found } = decision
  if (found === undefined) return decision
  const { binding } = found
  if (!edge.enabled) return full('disabled')
  const profile = edge.profiles.of(binding.serverName)
  if (isPolicyUnknown(edge, profile)) return full('policy-unknown')
  if (!isSameProfile(binding.profile, profile)) return full('trust-changed')
  const objection = revocationOf(edge, found)
  return objection === undefined ? decision : full(objection)
}

/** What a session is bound to. */
export function bindingOf(
  { ownContext }: Edge,
  serverName: string | undefined,
  profile: TrustProfile,
  ownPolicy: string | undefined,
): Binding {
  return { ownContext, serverName, profile, ownPolicy }
}

/** The session id context that a session of the binding has. */
export function contextOf({ bindSessions, ownContext }: Edge, binding: Binding): Uint8Array {
  return bindSessions ? bindingContext(binding) : ownContext
}

function expectedContext(edge: Edge, { binding, ticket }: Found): Uint8Array {
  return ticket === undefined ? contextOf(edge, binding) : Buffer.from(ticketContextOf(binding))
}

function accept(sessionIdContext: Uint8Array): Examination {
  return { isDeclined: false, sessionIdContext }
}

/** Neither cache would be asked. */
export function isLookupOff({ context, tickets }: Edge): boolean {
  if (tickets !== undefined) return false
  const isInternalLeftOut = (context.getSessionCacheMode() & SessionCacheMode.NO_INTERNAL_LOOKUP) !== 0
  return isInternalLeftOut && context.getGetSessionCallback() === undefined
}

/** What holds whatever the owner's policy says. */
function objectionToFound(
  { authenticatedAfterMs, bindSessions, revocations, singleUse, usedIds }: Edge,
  session: SslSession,
  origin: SessionOrigin | undefined,
  serverName: string | undefined,
): HandshakeReason | undefined {
  const needsOrigin = bindSessions || revocations !== undefined || authenticatedAfterMs > 0
  if (needsOrigin && origin === undefined) return 'unknown-format'
  if (bindSessions && session.hostname !== serverName) return 'server-name-mismatch'
  // Who can write to the store can put back what was taken from it.
  return singleUse && usedIds.has(byteKey(session.sessionId)) ? 'already-used' : undefined
}

/** What is left once the session is known to be for this name and trust. */
function objectionToBound(edge: Edge, found: Found): HandshakeReason | undefined {
  const { session, origin, binding } = found
  const revocation = revocationOf(edge, found)
  if (revocation !== undefined) return revocation
  if (isTooOld(origin, edge.context.now(), edge)) return 'authentication-too-old'
  return objectionToSession(session, edge, binding.profile)
}

function revocationOf(
  { authenticatedAfterMs, revocations }: Edge,
  { session, origin }: Found,
): HandshakeReason | undefined {
  if (origin === undefined) return undefined
  if (origin.authenticatedAtSec * 1000 < authenticatedAfterMs) return 'revoked'
  return revocations?.objectionTo(session, origin.authenticatedAtSec)
}

/** The model's refusal in the words of the edge, which knows more about it. */
function refined(
  edge: Edge,
  hello: ClientHello,
  version: number,
  reason: RefusalReason,
  found: Found | undefined,
): HandshakeReason {
  if (reason === 'session-id-context-mismatch' && found !== undefined && edge.bindSessions)
    return whyMismatch(found)
  if (reason === 'ticket-undecryptable' && edge.tickets !== undefined) return 'ticket-unopenable'
  if (reason === 'expired' && found !== undefined) return whyExpired(edge, found)
  if (reason === 'not-found') return whyNotFound(edge, hello, version)
  return isRenamed(reason) ? EDGE_NAMES[reason] : reason
}

function whyMismatch({ binding, origin, session, ticket }: Found): HandshakeReason {
  return ticket === undefined
    ? mismatchReason(origin, binding)
    : ticketMismatchReason(session.sessionIdContext, binding)
}

const EDGE_NAMES = {
  // The edge declines with a reason; without one, something has thrown.
  declined: 'callback-failed',
  abandoned: 'client-left',
  'ticket-undecryptable': 'stateless-ticket',
} as const

function isRenamed(reason: RefusalReason): reason is keyof typeof EDGE_NAMES {
  return reason in EDGE_NAMES
}

/** What is kept expires with its authentication, so that the times alone do not tell which of them was too short. */
function whyExpired(edge: Edge, { session, origin }: Found): HandshakeReason {
  const nowMs = edge.context.now()
  const ownEndMs = (session.timeSec + sessionTimeoutSec(edge.context)) * 1000
  return isTooOld(origin, nowMs, edge) && ownEndMs >= nowMs ? 'authentication-too-old' : 'expired'
}

function whyNotFound({ context, usedIds }: Edge, hello: ClientHello, version: number): HandshakeReason {
  if ((context.getSessionCacheMode() & SessionCacheMode.SERVER) === 0) return 'mode-without-server'
  const identities = version === TLS1_3_VERSION ? hello.pskIdentities : []
  return identities.some(({ identity }) => usedIds.has(byteKey(identity))) ? 'already-used' : 'not-found'
}

function hasStatelessTicket(hello: ClientHello, version: number): boolean {
  return version < TLS1_3_VERSION ? (hello.sessionTicketLength ?? 0) > 0 : hello.pskIdentities.length > 0
}
