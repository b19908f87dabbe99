import type { AsyncResource } from 'node:async_hooks'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import { type Answer, type Awaitable, andThen } from '../session/awaitable.ts'
import { equalBytes } from '../session/bytes.ts'
import { isExpired } from '../session/judge-session.ts'
import type { Examination, ResumptionOffer } from '../session/offer.ts'
import type { HandshakeReason, RefusalReason, SessionSource } from '../session/reasons.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { ResumptionVerdict } from '../session/verdict.ts'
import { askPolicy, type Edge, isPolicyUnknown, usesNodeTickets } from './edge.ts'
import type { JudgedTickets } from './judged-tickets.ts'
import { nodeSessionIdContext } from './node-session-context.ts'
import {
  negotiatedVersion,
  type OfferedSession,
  offeredTickets,
  resumptionOffer,
  supportsPsk,
  ticketOffer,
} from './resumption-offer.ts'
import { sessionTimeoutSec } from './server-setup.ts'
import { serverVersions } from './server-versions.ts'
import {
  type Binding,
  bindingContext,
  bindingHostname,
  knownBinding,
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
export type Decision = (
  | { readonly resume: true; readonly source: SessionSource; readonly found: Found }
  /** `found`: present when libssl is to see the session all the same, and to refuse it with the alert that is due. */
  | { readonly resume: false; readonly reason: HandshakeReason; readonly found?: Found }
) & {
  /** What the owner's policy says about the tickets that may follow; undefined when it was not asked. */
  readonly ticketPolicy?: string | undefined | false
}

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

/** In place of a decision that no longer holds: what it says of the tickets that may follow stays. */
export function fullAfter({ ticketPolicy }: Decision, reason: HandshakeReason): Decision {
  return { ...full(reason), ticketPolicy }
}

/**
 * May this ClientHello resume what it offers? Every rule is asked here, in one order: whether the cache may be asked at all; the
 * model with its caches, or with the tickets that could be opened; of what they found expiry, format, server name, single use, the
 * owner's policy, trust, marks, age, and the edge's rules; and libssl's own.
 *
 * @param ticketVersion - see {@link ticketVersionOf}
 * @param arrival - the asynchronous context in which the connection arrived, that of the owner's callbacks
 * @returns a promise only when an external cache or the owner's policy gave one; it never rejects
 */
export function lookUp(
  edge: Edge,
  connection: SslConnection,
  hello: ClientHello,
  ticketVersion: number | undefined,
  arrival: AsyncResource,
): Answer<Decision> {
  const { server } = edge
  const { serverName } = hello
  const version = negotiatedVersion(hello, serverVersions(server))
  // Node will tell the client.
  if (version === undefined) return full('not-offered')
  if (usesNodeTickets(edge) && hasStatelessTicket(hello, version)) return full('stateless-ticket')
  if (isPolicyUnknown(edge, edge.profiles.of(serverName))) return full('policy-unknown')
  const inquiry = new Inquiry(edge, connection, hello, version, arrival)
  if (ticketVersion === undefined || edge.tickets === undefined) return inquiry.answer()
  const decision = inquiry.answerByTickets(edge.tickets)
  return edge.policy === undefined
    ? decision
    : andThen(decision, (one) => withTicketPolicy(edge, connection, one, hello, arrival))
}

/** The tickets of a resumed connection are under the answer by which it resumes; those of another under one of their own. */
function withTicketPolicy(
  edge: Edge,
  { session }: SslConnection,
  decision: Decision,
  hello: ClientHello,
  arrival: AsyncResource,
): Answer<Decision> {
  if (decision.resume) return { ...decision, ticketPolicy: decision.found.binding.ownPolicy }
  // The handshake has failed already.
  if (session === undefined) return decision
  const answer = askPolicy(edge, arrival, hello.serverName, session, hello)
  return andThen(answer, (ticketPolicy) => ({ ...decision, ticketPolicy }))
}

/** A stateless ticket that could be opened. */
interface OpenedOffer extends OfferedSession {
  readonly origin: SessionOrigin
  /** Once it is there: the model asks about what was chosen among several. */
  judgement: Judgement | undefined
}

/** The edge's own rules about one session. */
interface Judgement {
  readonly examination: Examination
  readonly found: Found
  /** Why it was declined. */
  readonly objection: HandshakeReason | undefined
}

/** What each offer may cost: clients have one ticket, some have two. */
const MAX_OPENED = 4

/** One question to the model, and what came to light on the way. */
class Inquiry {
  readonly #edge: Edge
  readonly #connection: SslConnection
  readonly #hello: ClientHello
  readonly #version: number
  readonly #arrival: AsyncResource
  /** Stateless tickets, of which there may be several. */
  #opened: readonly OpenedOffer[] = []
  /** The one about the session that the model has found. */
  #judgement: Judgement | undefined

  constructor(
    edge: Edge,
    connection: SslConnection,
    hello: ClientHello,
    version: number,
    arrival: AsyncResource,
  ) {
    this.#edge = edge
    this.#connection = connection
    this.#hello = hello
    this.#version = version
    this.#arrival = arrival
  }

  answer(): Answer<Decision> {
    return this.#ask(resumptionOffer(this.#hello, this.#version, this.#examine.bind(this)))
  }

  answerByTickets(tickets: JudgedTickets): Answer<Decision> {
    this.#connection.clearOptions(SslOption.NO_TICKET)
    const opened: OpenedOffer[] = []
    for (const ticket of offeredTickets(this.#hello, this.#version).slice(0, MAX_OPENED)) {
      const offer = this.#open(tickets, ticket)
      if (offer !== undefined) opened.push(offer)
    }
    this.#opened = opened
    return andThen(this.#choose(opened), (chosen) =>
      this.#ask(ticketOffer(this.#hello, this.#version, chosen, this.#examine.bind(this))),
    )
  }

  #ask(offer: ResumptionOffer): Answer<Decision> {
    const verdict = this.#connection.resumeSession(offer)
    return verdict.then === undefined
      ? this.#decide(verdict)
      : Promise.resolve(verdict).then((one) => this.#decide(one))
  }

  #open(tickets: JudgedTickets, ticket: Uint8Array): OpenedOffer | undefined {
    const content = tickets.openTicket(ticket, this.#hello.serverName)
    if (content === undefined) return undefined
    const { session, origin } = content
    return { ticket, session, origin, judgement: undefined }
  }

  #openedOf(session: SslSession): OpenedOffer | undefined {
    for (const offer of this.#opened) if (offer.session === session) return offer
    return undefined
  }

  /** The first that is good; the first of all when none is, for the model to say why. */
  #choose(opened: readonly OpenedOffer[], index = 0): Awaitable<OpenedOffer | undefined> {
    const offer = opened[index]
    if (opened.length < 2 || offer === undefined) return opened[0]
    const { session } = offer
    return andThen(this.#judge(session), ({ examination }) => {
      const isGood =
        !examination.isDeclined &&
        !isExpired(session, this.#edge.context.now()) &&
        equalBytes(sessionInternals.traits(session).sessionIdContext, examination.sessionIdContext)
      return isGood ? offer : this.#choose(opened, index + 1)
    })
  }

  #examine(session: SslSession): Answer<Examination> {
    const judgement = this.#judge(session)
    return judgement.then === undefined
      ? this.#hold(judgement)
      : Promise.resolve(judgement).then((one) => this.#hold(one))
  }

  #hold(judgement: Judgement): Examination {
    this.#judgement = judgement
    return judgement.examination
  }

  #judge(session: SslSession): Answer<Judgement> {
    const opened = this.#openedOf(session)
    if (opened === undefined) return this.#judgeAnew(session, undefined)
    return (
      opened.judgement ??
      andThen(this.#judgeAnew(session, opened), (one) => {
        opened.judgement = one
        return one
      })
    )
  }

  #judgeAnew(session: SslSession, opened: OpenedOffer | undefined): Answer<Judgement> {
    const edge = this.#edge
    const { serverName } = this.#hello
    const found: Found = {
      session,
      origin: opened?.origin ?? readOrigin(session),
      binding: bindingOf(edge, serverName, edge.profiles.of(serverName), undefined),
      ticket: opened?.ticket,
    }
    const nowMs = edge.context.now()
    // The model judges, counts and forgets what has expired, whatever it was made for.
    if (isExpired(session, nowMs)) return accept(found, session.sessionIdContext)
    const reason = found.ticket === undefined ? objectionToFound(edge, found) : undefined
    if (reason !== undefined) return decline(found, reason)
    if (edge.policy === undefined) return this.#judgeBound(found, nowMs)
    return andThen(askPolicy(edge, this.#arrival, serverName, session, this.#hello), (answer) => {
      if (answer === false) return decline(found, 'policy-refused')
      // What the server trusts may have changed meanwhile.
      const binding = bindingOf(edge, serverName, edge.profiles.of(serverName), answer)
      return this.#judgeBound({ ...found, binding }, edge.context.now())
    })
  }

  #judgeBound(found: Found, nowMs: number): Judgement {
    const edge = this.#edge
    const expected = expectedContext(edge, found)
    // R3.3, the session id context is the isolation of names and trust profiles; the model says so.
    const isOwn = equalBytes(sessionInternals.traits(found.session).sessionIdContext, expected)
    const later = isOwn ? objectionToBound(edge, found, nowMs) : undefined
    return later === undefined ? accept(found, expected) : decline(found, later)
  }

  #decide(verdict: ResumptionVerdict): Decision {
    const { found, objection } = this.#judgement ?? {}
    if (verdict.resume && found !== undefined) return { resume: true, source: verdict.source, found }
    const refusal = verdict.resume ? 'declined' : verdict.reason
    const reason = objection ?? refined(this.#edge, this.#hello, this.#version, refusal, found)
    return found !== undefined && LIBSSL_ALERTS.has(refusal) ? { resume: false, reason, found } : full(reason)
  }
}

function accept(found: Found, sessionIdContext: Uint8Array): Judgement {
  return { examination: { isDeclined: false, sessionIdContext }, found, objection: undefined }
}

function decline(found: Found, objection: HandshakeReason): Judgement {
  return { examination: DECLINED, found, objection }
}

/**
 * The version in which a connection may have stateless tickets, which are all judged. Others have none at all: of a ClientHello that
 * was not read, nobody knows what it offers.
 *
 * @param isDeclined - by the owner's `shouldStore`
 * @returns undefined for none
 */
export function ticketVersionOf(
  edge: Edge,
  hello: ClientHello,
  isDeclined: () => boolean,
): number | undefined {
  const { tickets, server, requireExtendedMasterSecret } = edge
  const version = tickets && negotiatedVersion(hello, serverVersions(server))
  if (version === undefined || tickets?.has(version) !== true) return undefined
  if (version === TLS1_3_VERSION) return supportsPsk(hello) ? version : undefined
  // What is known at once keeps such a session out of a ticket, which libssl makes before anybody can object.
  const isUsable =
    hello.sessionTicket !== undefined && (hello.extendedMasterSecret || !requireExtendedMasterSecret)
  return isUsable && !isDeclined() ? version : undefined
}

/** The server has not been given other versions since the ClientHello was looked at. */
export function isVersionOf({ server }: Edge, hello: ClientHello, version: number): boolean {
  return negotiatedVersion(hello, serverVersions(server)) === version
}

/**
 * Is a decision still good, now that Node gets the connection? A lookup may have taken its time, and what the server is, its
 * switch and the marks may have changed meanwhile.
 */
export function confirmed(edge: Edge, decision: Decision): Decision {
  const { found } = decision
  const objection = found && objectionNow(edge, found)
  return objection === undefined ? decision : fullAfter(decision, objection)
}

function objectionNow(edge: Edge, found: Found): HandshakeReason | undefined {
  const { binding } = found
  if (!edge.enabled) return 'disabled'
  const profile = edge.profiles.of(binding.serverName)
  if (isPolicyUnknown(edge, profile)) return 'policy-unknown'
  if (!isSameProfile(binding.profile, profile)) return 'trust-changed'
  return revocationOf(edge, found)
}

/** What a session is bound to. */
export function bindingOf(
  { ownContext }: Edge,
  serverName: string | undefined,
  profile: TrustProfile,
  ownPolicy: string | undefined,
): Binding {
  return knownBinding({ ownContext, serverName, profile, ownPolicy })
}

/** The session id context that a session of the binding has. */
export function contextOf({ bindSessions, ownContext }: Edge, binding: Binding): Uint8Array {
  return bindSessions ? bindingContext(binding) : ownContext
}

function expectedContext(edge: Edge, { binding, ticket }: Found): Uint8Array {
  return ticket === undefined
    ? contextOf(edge, binding)
    : nodeSessionIdContext(ticketContextOf(binding), binding.serverName)
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
  { session, origin, binding }: Found,
): HandshakeReason | undefined {
  const needsOrigin = bindSessions || revocations !== undefined || authenticatedAfterMs > 0
  if (needsOrigin && origin === undefined) return 'unknown-format'
  if (bindSessions && !sessionInternals.isFor(session, bindingHostname(binding)))
    return 'server-name-mismatch'
  // Who can write to the store can put back what was taken from it.
  return singleUse && usedIds.has(session.sessionId) ? 'already-used' : undefined
}

/** What is left once the session is known to be for this name and trust. */
function objectionToBound(edge: Edge, found: Found, nowMs: number): HandshakeReason | undefined {
  const { session, origin, binding } = found
  if (isOfRenegotiation(found)) return 'trust-changed'
  const revocation = revocationOf(edge, found)
  if (revocation !== undefined) return revocation
  if (isTooOld(origin, nowMs, edge)) return 'authentication-too-old'
  return objectionToSession(session, edge, binding.profile)
}

/**
 * A server with tickets of TLS 1.2 asks for client certificates in renegotiations alone. libssl makes tickets of these as well, and
 * nobody can tell when the certificate's chain ends.
 */
function isOfRenegotiation({ ticket, session }: Found): boolean {
  return (
    ticket !== undefined && session.protocolVersion < TLS1_3_VERSION && session.peerCertificate !== undefined
  )
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

function whyMismatch({ binding, session, ticket }: Found): HandshakeReason {
  return ticket === undefined ? mismatchReason(session, binding) : ticketMismatchReason(session, binding)
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
  return identities.some(({ identity }) => usedIds.has(identity)) ? 'already-used' : 'not-found'
}

function hasStatelessTicket(hello: ClientHello, version: number): boolean {
  return version < TLS1_3_VERSION ? (hello.sessionTicket?.length ?? 0) > 0 : hello.pskIdentities.length > 0
}
