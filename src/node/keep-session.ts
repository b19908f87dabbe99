import type { AsyncResource } from 'node:async_hooks'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import { nodeCrypto } from '../crypto.ts'
import { type Awaitable, hearRejection, isPromiseLike } from '../session/awaitable.ts'
import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import { askPolicy, type Edge, isPolicyUnknown, usesNodeTickets } from './edge.ts'
import { bindingOf, contextOf } from './look-up.ts'
import { noteSessionIdContext } from './node-session-context.ts'
import { supportsPsk } from './resumption-offer.ts'
import { sessionTimeoutSec } from './server-setup.ts'
import { readOrigin, type SessionOrigin, stamp } from './session-binding.ts'
import { authenticationEndSec, isTooOld, objectionToSession } from './session-rules.ts'
import type { TrustProfile } from './trust-profile.ts'

/** What has a session: a TLSSocket. */
export interface SessionHolder {
  /** Its DER. */
  getSession(): Uint8Array | undefined
}

/** What is known of the handshake that made a session. */
export interface HandshakeFacts {
  readonly serverName: string | undefined
  /** What Node was given as the connection's. */
  readonly sessionIdContext: string
  /** Undefined when it was not read ahead. */
  readonly hello: ClientHello | undefined
  /** What the server trusted when Node took the connection; undefined when that has changed, and the name was not known yet. */
  readonly profile: TrustProfile | undefined
  /** Its client has named another server than before, so the connection is closed. */
  readonly isRejected: boolean
  /** When the first certificate of the client's chain expires, seconds since the epoch. */
  chainEndSec(): number
}

/**
 * The new sessions of one handshake, from Node's DER to what is stored: each is stamped with what a resumption needs to know, or
 * counted as not kept.
 */
export class SessionKeeper {
  readonly #edge: Edge
  readonly #connection: SslConnection
  readonly #arrival: AsyncResource
  /** The origin of all new sessions of the handshake. */
  #origin: SessionOrigin | undefined
  /** One answer for all of them. */
  #policy: Awaitable<string | undefined | false> | undefined
  #hasMade = false

  /** @param arrival - the asynchronous context in which the connection arrived */
  constructor(edge: Edge, connection: SslConnection, arrival: AsyncResource) {
    this.#edge = edge
    this.#connection = connection
    this.#arrival = arrival
  }

  /** Node has shown a session that this handshake made. */
  get hasMade(): boolean {
    return this.#hasMade
  }

  /**
   * @param der - of a session that the handshake has made
   * @returns why the session is not kept, undefined when it is; it never rejects
   */
  keep(der: Uint8Array, facts: HandshakeFacts): Awaitable<NotKeptReason | undefined> {
    const session = readSession(der)
    if (session === undefined) return 'unreadable'
    if (this.#isRenegotiated(session)) return this.#finishRenegotiation(session)
    this.#hasMade = true
    noteContext(session, facts)
    // libssl carries it from what was resumed into the new ticket.
    const inherited = session.protocolVersion === TLS1_3_VERSION ? readOrigin(session) : undefined
    const isResumed = inherited !== undefined
    const objection = this.#objection(session.protocolVersion, session, facts)
    if (objection !== undefined) return this.#finish(session, isResumed, objection)
    this.#origin ??= inherited ?? originOf(session, facts)
    const origin = this.#origin
    this.#policy ??= this.#askPolicy(session, facts)
    const policy = this.#policy
    return typeof policy === 'object'
      ? Promise.resolve(policy).then((one) => this.#stampAndFinish(session, origin, isResumed, facts, one))
      : this.#stampAndFinish(session, origin, isResumed, facts, policy)
  }

  #stampAndFinish(
    session: SslSession,
    origin: SessionOrigin,
    isResumed: boolean,
    facts: HandshakeFacts,
    policy: string | undefined | false,
  ): Awaitable<NotKeptReason | undefined> {
    const objection =
      policy === false ? 'policy-refused' : this.#stamp(session, origin, isResumed, facts, policy)
    return this.#finish(session, isResumed, objection)
  }

  /**
   * What a stateless ticket of TLS 1.3 is to carry, before it is made.
   *
   * @param socket - of the connection, whose session it has
   * @param inherited - of the ticket that was resumed
   * @param ownPolicy - what the owner's policy said when the ClientHello came
   * @returns why there is to be none
   */
  originForTicket(
    socket: SessionHolder,
    inherited: SessionOrigin | undefined,
    facts: HandshakeFacts,
    ownPolicy: string | undefined | false,
  ): SessionOrigin | NotKeptReason {
    this.#hasMade = true
    // What resumed without a client certificate has nothing more to say.
    const isSilent = inherited !== undefined && facts.profile?.requestCert === false
    const session = isSilent ? undefined : readSession(socket.getSession())
    if (session === undefined && !isSilent) return 'unreadable'
    if (session !== undefined) noteContext(session, facts)
    const objection = this.#objection(TLS1_3_VERSION, session, facts)
    if (objection !== undefined) return objection
    if (this.#edge.policy !== undefined && typeof ownPolicy !== 'string') return 'policy-refused'
    return this.#unlessOver(inherited ?? (session && originOf(session, facts)))
  }

  #unlessOver(origin: SessionOrigin | undefined): SessionOrigin | NotKeptReason {
    if (origin === undefined) return 'unreadable'
    const isOver = isTooOld(origin, this.#edge.context.now(), this.#edge)
    return isOver ? 'authentication-too-old' : origin
  }

  #askPolicy(
    session: SslSession,
    { serverName, hello }: HandshakeFacts,
  ): Awaitable<string | undefined | false> {
    // It may keep the session, or take its time: the bytes are Node's.
    if (this.#edge.policy !== undefined) sessionInternals.compact(session)
    const answer = askPolicy(this.#edge, this.#arrival, serverName, session, hello)
    return falseWhenLate(answer, this.#edge.lookupTimeoutMs)
  }

  #objection(
    protocolVersion: number,
    session: SslSession | undefined,
    { hello, profile, isRejected }: HandshakeFacts,
  ): NotKeptReason | undefined {
    const edge = this.#edge
    if (!edge.enabled) return 'disabled'
    if (isRejected) return 'server-name-changed'
    const unusable = protocolVersion === TLS1_3_VERSION ? whyUnusable(edge, hello) : undefined
    if (unusable !== undefined) return unusable
    if (profile === undefined || isPolicyUnknown(edge, profile)) return 'policy-unknown'
    const objection = session && objectionToSession(session, edge, profile)
    return objection ?? (this.isDeclined(hello) ? 'declined' : undefined)
  }

  /** The owner's `shouldStore` says that the sessions of this client are not to be kept. */
  isDeclined(hello: ClientHello | undefined): boolean {
    const { shouldStore, reportError } = this.#edge
    if (shouldStore === undefined) return false
    try {
      const answer: unknown = this.#arrival.runInAsyncScope(shouldStore, undefined, hello)
      if (!isPromiseLike(answer)) return !answer
      hearRejection(answer, reportError)
      throw new TypeError('shouldStore must answer at once, not with a promise')
    } catch (error) {
      reportError(error)
      return true
    }
  }

  /** What is stored differs from what Node made by what a resumption needs to know. */
  #stamp(
    session: SslSession,
    origin: SessionOrigin,
    isResumed: boolean,
    { serverName, profile }: HandshakeFacts,
    ownPolicy: string | undefined,
  ): NotKeptReason | undefined {
    if (profile === undefined) return 'policy-unknown'
    const edge = this.#edge
    // R6.2 and R6.9: the context's timeout, or that of the session which was resumed.
    const timeoutSec = isResumed ? session.timeoutSec : sessionTimeoutSec(edge.context)
    const remainingSec = Math.min(timeoutSec, authenticationEndSec(origin, edge) - session.timeSec)
    if (remainingSec <= 0) return 'authentication-too-old'
    // The next ticket would inherit it, and is limited again.
    if (isResumed) sessionInternals.limitTimeout(session, remainingSec)
    else if (remainingSec !== session.timeoutSec) session.setTimeout(remainingSec)
    const binding = bindingOf(edge, serverName, profile, ownPolicy)
    const sessionIdContext = contextOf(edge, binding)
    stamp(session, origin, binding, sessionIdContext)
    this.#connection.setSessionIdContext(sessionIdContext)
    return undefined
  }

  /** The model hears of the session, and with it the caches. */
  #finish(
    session: SslSession,
    isResumed: boolean,
    reason: NotKeptReason | undefined,
  ): Awaitable<NotKeptReason | undefined> {
    const connection = this.#connection
    const { protocolVersion } = session
    const isTls13 = protocolVersion === TLS1_3_VERSION
    if (connection.isHandshaking)
      connection.recordOutcome({
        protocolVersion,
        resumed: isResumed ? { isTicket: false } : undefined,
        made: isTls13 || reason !== undefined ? undefined : session,
      })
    if (reason !== undefined) return reason
    if (isTls13 && connection.isTicketDue) connection.adoptTicket(session)
    const { latestReport } = connection
    return typeof latestReport === 'boolean'
      ? whyNotTaken(latestReport)
      : Promise.resolve(latestReport).then(whyNotTaken)
  }

  /** Node forgets no session because its connection ended without close_notify. */
  freeConnection(): void {
    const free = (): void => {
      this.#connection.setShutdown(true, true)
      this.#connection.free()
    }
    // A client that leaves while its new session is being looked at comes back all the same.
    if (typeof this.#policy === 'object') this.#policy.then(free)
    else free()
  }

  #isRenegotiated({ protocolVersion }: SslSession): boolean {
    return protocolVersion < TLS1_3_VERSION && (this.#hasMade || !this.#connection.isHandshaking)
  }

  /** Node shows nothing of a renegotiation but its new session. */
  #finishRenegotiation({ protocolVersion }: SslSession): NotKeptReason {
    if (!this.#connection.isHandshaking) {
      this.#connection.accept()
      this.#connection.recordOutcome({ protocolVersion })
    }
    return 'renegotiation'
  }
}

function whyNotTaken(isTaken: boolean): NotKeptReason | undefined {
  return isTaken ? undefined : 'store-failed'
}

function noteContext(session: SslSession, { hello, serverName, sessionIdContext }: HandshakeFacts): void {
  if (hello !== undefined)
    noteSessionIdContext(sessionInternals.traits(session).sessionIdContext, sessionIdContext, serverName)
}

/** Why nobody could ever resume a session of TLS 1.3. */
function whyUnusable(edge: Edge, hello: ClientHello | undefined): NotKeptReason | undefined {
  // Only a hello that was read proves for which name the session was made: a second hello may name another.
  if (hello === undefined) return 'unread-hello'
  if (!supportsPsk(hello)) return 'psk-modes-unsupported'
  return usesNodeTickets(edge) ? 'stateless-ticket' : undefined
}

/** What follows a handshake of TLS 1.3 without stateless tickets is a session that somebody may resume. */
export function isTicketUsable(edge: Edge, hello: ClientHello): boolean {
  return edge.tickets === undefined && whyUnusable(edge, hello) === undefined
}

/** Nobody vouches for a chain that did not verify, so that only its first certificate is looked at. */
function originOf(session: SslSession, facts: HandshakeFacts): SessionOrigin {
  const leaf = session.peerCertificate
  if (leaf === undefined)
    return { authenticatedAtSec: session.timeSec, chainEndSec: Number.POSITIVE_INFINITY }
  const { X509Certificate } = nodeCrypto()
  const leafEndSec = endSec(new X509Certificate(leaf).validTo)
  const chainEndSec = session.verifyResult === 0 ? facts.chainEndSec() : Number.POSITIVE_INFINITY
  return { authenticatedAtSec: session.timeSec, chainEndSec: Math.min(leafEndSec, chainEndSec) }
}

/** @param validTo - of a certificate, as Node writes it; what has no readable end has ended */
export function endSec(validTo: string): number {
  return Math.floor((Date.parse(validTo) || 0) / 1000)
}

/** What takes too long is false. */
function falseWhenLate<T>(answer: Awaitable<T>, timeoutMs: number): Awaitable<T | false> {
  if (!isPromiseLike(answer)) return answer
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs, false)
    timer.unref()
    answer.then((value) => {
      clearTimeout(timer)
      resolve(value)
    })
  })
}

/** @param der - not copied: for a look, or to be edited at once */
export function readSession(der: Uint8Array | undefined): SslSession | undefined {
  try {
    return der && sessionInternals.borrow(der)
  } catch {
    return undefined
  }
}

/**
 * Each session of TLS 1.3 that a ticket stands for has an id, a PSK made outside TLS has none.
 *
 * @param der - of what a connection has resumed, as it is before the connection's first ticket
 */
export function isExternalPsk(der: Uint8Array | undefined): boolean {
  const resumed = readSession(der)
  return resumed?.protocolVersion === TLS1_3_VERSION && !sessionInternals.hasId(resumed)
}
