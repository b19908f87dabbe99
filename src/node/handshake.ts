import type { LRUCache } from 'lru-cache'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslConnection } from '../context/ssl-connection.ts'
import type { SslContextModel } from '../context/ssl-context.ts'
import { type Awaitable, andThen, isPromiseLike } from '../session/awaitable.ts'
import { equalBytes } from '../session/bytes.ts'
import { cipherSuiteHash, isExpired } from '../session/judge-session.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { SslSession } from '../session/ssl-session.ts'
import type { RefusalReason, ResumptionVerdict } from '../session/verdict.ts'
import { byteKey } from '../store/byte-key.ts'
import type { RevocationObjection, Revocations } from '../store/revocations.ts'
import { beforeVerification, chainEndSec, servernameOf, type TlsHandle } from './engine.ts'
import type { EdgeReason, HandshakeReason, NotKeptReason } from './handshake-reason.ts'
import { decidedOffer, negotiatedVersion, resumptionOffer, supportsPsk } from './resumption-offer.ts'
import { type ServerPolicies, serverVersions, type TlsServer } from './server-policy.ts'
import { serverVerifyMode, sessionTimeoutSec, usesTickets } from './server-setup.ts'
import {
  type Binding,
  bindingContext,
  isSameBinding,
  mismatchReason,
  readOrigin,
  type SessionOrigin,
  writeOrigin,
} from './session-binding.ts'
import {
  authenticationEndSec,
  isTooOld,
  objectionToKeeping,
  objectionToResuming,
  type ServerTrust,
  type SessionRules,
} from './session-rules.ts'

/**
 * Names the policy under which a server name's clients are verified, where SNICallback or a SecureContext of the owner's
 * decides it; it also forbids resumptions, as of a client whose certificate was revoked (see `session.peerCertificate`).
 *
 * @param servername - as the client sent it; undefined without SNI
 * @param session - the one to be kept, or the one to be resumed
 * @param hello - undefined when it was not read ahead
 * @returns sessions are resumed under the answer under which they were made; false keeps and resumes nothing
 */
export type SessionPolicy = (
  servername: string | undefined,
  session: SslSession,
  hello: ClientHello | undefined,
) => Awaitable<string | false>

/** What all handshakes of an attachment have in common. */
export interface HandshakeScope extends SessionRules {
  readonly server: TlsServer
  readonly context: SslContextModel
  readonly policies: ServerPolicies
  readonly enabled: boolean
  /** Milliseconds; also for `policy` about a new session. */
  readonly lookupTimeoutMs: number
  readonly singleUse: boolean
  readonly policy: SessionPolicy | undefined
  readonly revocations: Pick<Revocations, 'objectionTo'> | undefined
  readonly shouldStore: ((hello: ClientHello | undefined) => boolean) | undefined
  /** Ids of single use that were resumed here. */
  readonly usedIds: LRUCache<string, true>
  countNotKept(reason: NotKeptReason): void
  /** A callback of the owner's has thrown. */
  reportError(error: unknown): void
}

type OptionalDer = () => Uint8Array | undefined

/**
 * One connection from its TCP accept to the end of its handshake: what the model decides about its ClientHello, what Node
 * makes of that, and what becomes of its new sessions.
 */
export class Handshake {
  readonly #scope: HandshakeScope
  readonly #connection: SslConnection
  /** Runs the owner's callbacks in the asynchronous context in which the connection arrived. */
  readonly #inArrivalContext: <T>(call: () => T) => T
  readonly #ownContext: Uint8Array
  /** The server as it was when the lookup began, and from {@link handOver} on as Node took the connection. */
  #trust: ServerTrust
  #binding: Binding
  /** The connection has the context of #binding. */
  #isBound = false
  #hello: ClientHello | undefined
  #servername: string | undefined
  /** Why the cache was not asked. */
  #unasked: EdgeReason | undefined
  #verdict: ResumptionVerdict | undefined
  #candidate: SslSession | undefined
  /** That of the candidate. */
  #origin: SessionOrigin | undefined
  /** Why the edge does not want the candidate. */
  #objection: HandshakeReason | undefined
  /** Of what {@link handOver} gave away, which libssl may ask for until the handshake is over. */
  #der: Buffer | undefined
  #hasNewSession = false
  #isRejected = false
  /** Seconds since the epoch; what Node has left of the chain by the time of a new session may be less. */
  #chainEndSec = Number.POSITIVE_INFINITY
  /** The origin of all new sessions of a full handshake. */
  #newOrigin: Omit<SessionOrigin, 'policyTag'> | undefined
  /** Settles with all that was kept so far. */
  #kept: Promise<unknown> | undefined
  /** One answer for all new sessions of the handshake. */
  #newSessionPolicy: Awaitable<string | undefined | false> | undefined

  /** @param appData - what callbacks find in the connection that the model shows them */
  constructor(scope: HandshakeScope, appData: unknown, inArrivalContext: <T>(call: () => T) => T) {
    this.#scope = scope
    this.#trust = trustOf(scope)
    this.#inArrivalContext = inArrivalContext
    this.#connection = scope.context.newConnection({ appData, singleUse: scope.singleUse })
    this.#connection.setVerifyMode(serverVerifyMode(scope.server))
    this.#connection.setOptions(scope.server.secureOptions ?? 0)
    this.#ownContext = this.#connection.sessionIdContext
    this.#binding = this.#bindingOf(this.#initialPolicy)
    this.#connection.accept()
  }

  /** Settles with all new sessions that were kept so far; undefined when none is under way. */
  get kept(): Promise<unknown> | undefined {
    return this.#kept
  }

  get servername(): string | undefined {
    return this.#servername
  }

  get isTls13(): boolean {
    return this.#connection.protocolVersion === TLS1_3_VERSION
  }

  get hasLegacySessionId(): boolean {
    return (this.#hello?.sessionId.length ?? 0) > 0
  }

  /** Node has shown a session that this handshake made. */
  get hasNewSession(): boolean {
    return this.#hasNewSession
  }

  /** What was wrong with its ClientHello, should it fail. */
  get failure(): EdgeReason | undefined {
    return this.#unasked !== undefined && HELLO_FAILURES.has(this.#unasked) ? this.#unasked : undefined
  }

  /** The cache is not asked; the first reason counts. */
  leaveUnasked(reason: EdgeReason): void {
    this.#unasked ??= reason
  }

  /** @returns a promise only when an external cache or the owner's policy gave one; it never rejects */
  lookUp(hello: ClientHello): Awaitable<void> {
    this.#hello = hello
    this.#servername = hello.serverName
    const version = negotiatedVersion(hello, serverVersions(this.#scope.server))
    // Node will tell the client.
    if (version === undefined) return undefined
    if (this.#trust.isTicketing && hasStatelessTicket(hello, version))
      return this.leaveUnasked('stateless-ticket')
    if (this.#isPolicyUnknown()) return this.leaveUnasked('policy-unknown')
    this.#bind(this.#initialPolicy)
    const offer = resumptionOffer(hello, version, (session) => this.#examine(session))
    return andThen(this.#connection.resumeSession(offer), (verdict) => {
      if (this.#unasked === undefined) this.#verdict = verdict
    })
  }

  /** The lookup has taken too long: its answer, if it ever comes, means nothing. */
  giveUp(): void {
    this.leaveUnasked('lookup-timeout')
    if (this.#connection.isHandshaking)
      this.#connection.resumeSession(decidedOffer(this.#connection.protocolVersion))
  }

  /** The edge's own rules about what was found; true leaves the rest to the model, which counts and forgets. */
  #examine(session: SslSession): Awaitable<boolean> {
    const { context, bindSessions, revocations, singleUse, usedIds } = this.#scope
    this.#candidate = session
    this.#origin = readOrigin(session)
    if (isExpired(session, context.now())) return true
    if ((bindSessions || revocations !== undefined) && this.#origin === undefined)
      return this.#decline('unknown-format')
    // Who can write to the store can put back what was taken from it.
    if (singleUse && usedIds.has(byteKey(session.sessionId))) return this.#decline('already-used')
    // What was made for another name is no business of this name's policy: its context will not match.
    if (bindSessions && session.hostname !== this.#servername) return true
    return andThen(this.#askPolicy(session), (policy) => {
      if (policy === false) return this.#decline('policy-refused')
      if (policy !== this.#binding.ownPolicy) this.#bind(policy)
      return this.#examineBound(session)
    })
  }

  #examineBound(session: SslSession): boolean {
    const { context } = this.#scope
    if (!equalBytes(session.sessionIdContext, this.#connection.sessionIdContext)) return true
    const objection =
      this.#revocationOf(session) ??
      objectionToResuming({ session, origin: this.#origin }, context.now(), this.#scope, this.#trust)
    return objection === undefined || this.#decline(objection)
  }

  #revocationOf(session: SslSession): RevocationObjection | undefined {
    return this.#origin && this.#scope.revocations?.objectionTo(session, this.#origin.authenticatedAtSec)
  }

  #decline(objection: HandshakeReason): false {
    this.#objection = objection
    return false
  }

  /**
   * Node gets the connection now.
   *
   * @returns the DER that its libssl is to find
   */
  handOver(): Buffer | undefined {
    this.#trust = trustOf(this.#scope)
    if (this.#candidate === undefined || !this.#isForLibssl()) return undefined
    // What was decided while the server was another must not be handed to the server as it is.
    const decided = this.#connection.sessionIdContext
    this.#bind(this.#binding.ownPolicy)
    if (!equalBytes(decided, this.#connection.sessionIdContext)) this.#objection = 'policy-changed'
    else if (!this.#scope.enabled) this.#objection = 'disabled'
    else this.#objection = this.#revocationOf(this.#candidate)
    this.#der = this.#objection === undefined ? this.#export(this.#candidate) : undefined
    return this.#der
  }

  /** What Node's libssl is to find, until the handshake is over. */
  get der(): Buffer | undefined {
    return this.#der
  }

  /** What is resumed, and what libssl is to refuse with its own alert. */
  #isForLibssl(): boolean {
    const verdict = this.#verdict
    return verdict?.resume === true || (verdict !== undefined && LIBSSL_ALERTS.has(verdict.reason))
  }

  /** Node's libssl compares the session id context with its own, so that is what it gets to see. */
  #export(session: SslSession): Buffer {
    return Buffer.from(session.toDer(Buffer.from(this.#scope.server.sessionIdContext ?? '')))
  }

  /** @param handle - of the connection that Node has taken, before a byte of it was read */
  watchChain(handle: TlsHandle): void {
    beforeVerification(handle, () => {
      if (handle.isSessionReused?.() === false) this.#chainEndSec = chainEndSec(handle)
    })
  }

  /** A session that the handshake has made: stored, or counted as not kept; see {@link kept}. */
  keep(der: Uint8Array, handle: TlsHandle | undefined): void {
    const pending = this.#keep(der, handle)
    if (isPromiseLike(pending)) this.#kept = Promise.all([this.#kept, pending])
  }

  #keep(der: Uint8Array, handle: TlsHandle | undefined): Awaitable<unknown> {
    const session = readSession(der)
    if (session === undefined) return this.#scope.countNotKept('unreadable')
    if (this.#hello === undefined) this.#servername = servernameOf(handle?.getServername?.())
    if (this.#isRenegotiated(session)) return this.#finishRenegotiation(session)
    this.#hasNewSession = true
    // libssl carries it from what was resumed into the new ticket.
    const inherited = session.protocolVersion === TLS1_3_VERSION ? readOrigin(session) : undefined
    const isResumed = inherited !== undefined
    const objection = this.#objectionToKeeping(session)
    if (objection !== undefined) return this.#finish(session, isResumed, objection)
    this.#newOrigin ??= inherited ?? {
      authenticatedAtSec: session.timeSec,
      chainEndSec: Math.min(this.#chainEndSec, chainEndSec(handle, session.peerCertificate)),
    }
    const origin = this.#newOrigin
    this.#newSessionPolicy ??= falseWhenLate(this.#askPolicy(session), this.#scope.lookupTimeoutMs)
    return andThen(this.#newSessionPolicy, (policy) => {
      if (policy === false) return this.#finish(session, isResumed, 'policy-refused')
      this.#bind(policy)
      return this.#finish(session, isResumed, this.#stamp(session, origin, isResumed))
    })
  }

  #objectionToKeeping(session: SslSession): NotKeptReason | undefined {
    if (!this.#scope.enabled) return 'disabled'
    if (this.#isRejected) return 'server-name-changed'
    const isTls13 = session.protocolVersion === TLS1_3_VERSION
    if (isTls13 && this.#hello !== undefined && !supportsPsk(this.#hello)) return 'psk-modes-unsupported'
    if (this.#isPolicyUnknown()) return 'policy-unknown'
    const objection = objectionToKeeping(session, this.#scope, this.#trust)
    return objection ?? (this.#isDeclined() ? 'declined' : undefined)
  }

  #isDeclined(): boolean {
    const { shouldStore } = this.#scope
    if (shouldStore === undefined) return false
    try {
      return !this.#inArrivalContext(() => shouldStore(this.#hello))
    } catch (error) {
      this.#scope.reportError(error)
      return true
    }
  }

  /** What is stored differs from what Node made by what a resumption needs to know. */
  #stamp(
    session: SslSession,
    origin: Omit<SessionOrigin, 'policyTag'>,
    isResumed: boolean,
  ): NotKeptReason | undefined {
    // R6.2 and R6.9: the context's timeout, or that of the session which was resumed.
    const timeoutSec = isResumed ? session.timeoutSec : sessionTimeoutSec(this.#scope.context)
    const endSec = authenticationEndSec(origin, this.#scope)
    const remainingSec = Math.min(timeoutSec, endSec - session.timeSec)
    if (remainingSec <= 0) return 'authentication-too-old'
    session.setTimeout(remainingSec)
    session.setHostname(this.#servername === undefined ? undefined : Buffer.from(this.#servername, 'latin1'))
    writeOrigin(session, origin, this.#binding)
    return undefined
  }

  #finish(session: SslSession, isResumed: boolean, reason: NotKeptReason | undefined): Awaitable<unknown> {
    if (reason !== undefined) this.#scope.countNotKept(reason)
    const isTls13 = session.protocolVersion === TLS1_3_VERSION
    const made = isTls13 || reason !== undefined ? {} : { made: session }
    this.#finishModel(session.protocolVersion, isResumed, made)
    if (isTls13 && reason === undefined && this.#connection.isTicketDue) this.#connection.adoptTicket(session)
    return this.#connection.reported
  }

  #isRenegotiated({ protocolVersion }: SslSession): boolean {
    return protocolVersion < TLS1_3_VERSION && (this.#hasNewSession || !this.#connection.isHandshaking)
  }

  /** Node shows nothing of a renegotiation but its new session. */
  #finishRenegotiation({ protocolVersion }: SslSession): void {
    this.#scope.countNotKept('renegotiation')
    if (this.#connection.isHandshaking) return
    this.#connection.accept()
    this.#verdict = undefined
    this.#finishModel(protocolVersion, false)
  }

  /**
   * Node has completed the handshake.
   *
   * @param getSession - what a stateless ticket of Node's own held
   */
  settle(protocolVersion: number, isReused: boolean, getSession: OptionalDer): void {
    // In TLS 1.2 the policy for the new session may still be at work: it will finish.
    if (this.#hasNewSession && protocolVersion < TLS1_3_VERSION) return
    this.#finishModel(protocolVersion, isReused, { getSession })
    if (isReused && this.isTls13 && this.#scope.singleUse && this.#candidate !== undefined)
      this.#scope.usedIds.set(byteKey(this.#candidate.sessionId), true)
  }

  /**
   * The model finishes its handshake as Node did, whose word counts.
   *
   * @param made - the new session, in TLS 1.2. Without one, a full handshake's is not to be found by its id
   */
  #finishModel(
    protocolVersion: number,
    isReused: boolean,
    { made, getSession }: { made?: SslSession; getSession?: OptionalDer } = {},
  ): void {
    const connection = this.#connection
    if (!connection.isHandshaking) return
    const isAgreed =
      this.#unasked === undefined &&
      this.#verdict?.resume === isReused &&
      connection.protocolVersion === protocolVersion
    if (!isAgreed) {
      if (this.#verdict?.resume === true) connection.retractResumption()
      const session = isReused ? readSession(getSession?.()) : undefined
      session?.setSessionIdContext(connection.sessionIdContext)
      connection.resumeSession(decidedOffer(protocolVersion, session, this.#trust.isTicketing))
    }
    if (!connection.sessionReused && protocolVersion < TLS1_3_VERSION)
      connection.adoptSession(made ?? new SslSession())
    connection.serverHello()
    connection.finishHandshake()
  }

  /** The connection has gone. Node forgets no session because it ended without close_notify. */
  close(): void {
    const free = (): void => {
      this.#connection.setShutdown(true, true)
      this.#connection.free()
    }
    this.#der = undefined
    // A client that leaves while its new session is being looked at comes back all the same.
    if (isPromiseLike(this.#newSessionPolicy)) this.#newSessionPolicy.then(free)
    else free()
  }

  /**
   * After a HelloRetryRequest a client may name another server (RFC 8446 §4.1.2 forbids it), and libssl takes that name for
   * the connection, though certificate, authorities and session were chosen by the first.
   *
   * @param servername - of the finished connection
   * @returns whether the connection must not live; then nothing of it is kept
   */
  rejects(protocolVersion: number, servername: string | undefined): boolean {
    this.#isRejected =
      protocolVersion === TLS1_3_VERSION && this.#hello !== undefined && servername !== this.#hello.serverName
    return this.#isRejected
  }

  /** Its outcome is known: what only the handshake needed, secrets among it, goes. */
  release(): void {
    this.#der = undefined
    const clear = (): void => {
      this.#hello = undefined
      this.#verdict = undefined
      this.#candidate = undefined
      this.#origin = undefined
    }
    if (this.#kept === undefined) clear()
    else this.#kept.then(clear, clear)
  }

  /** @param getSession - that of the finished connection */
  reason(isReused: boolean, getSession: OptionalDer): HandshakeReason {
    const verdict = this.#verdict
    if (isReused && verdict?.resume === true) return verdict.source
    if (isReused) return this.#trust.isTicketing ? 'ticket' : 'external-psk'
    const objection = this.#unasked ?? this.#objection
    if (objection !== undefined) return objection
    if (verdict === undefined) return 'not-offered'
    return verdict.resume ? this.#whyNodeDisagreed(readSession(getSession())) : this.#refine(verdict.reason)
  }

  #whyNodeDisagreed(made: SslSession | undefined): HandshakeReason {
    if (made?.protocolVersion !== TLS1_3_VERSION) return 'node-disagreed'
    if (!isSameHash(made.cipherSuite, this.#candidate?.cipherSuite)) return 'cipher-hash-mismatch'
    return this.#hello?.keyShareGroups.includes(made.kexGroup) === false
      ? 'hello-retry-request'
      : 'node-disagreed'
  }

  /** What the model cannot know about its refusal. */
  #refine(reason: RefusalReason): HandshakeReason {
    if (reason === 'session-id-context-mismatch') return this.#refineMismatch()
    if (reason === 'expired') return this.#refineExpired()
    if (reason === 'not-found') return this.#refineNotFound()
    return isRenamed(reason) ? EDGE_NAMES[reason] : reason
  }

  #refineMismatch(): HandshakeReason {
    return this.#candidate !== undefined && this.#scope.bindSessions
      ? mismatchReason(this.#candidate, this.#binding)
      : 'session-id-context-mismatch'
  }

  /** What is kept expires with its authentication, so that the times alone do not tell which of them was too short. */
  #refineExpired(): HandshakeReason {
    const { context } = this.#scope
    const candidate = this.#candidate
    const ownEndMs = ((candidate?.timeSec ?? 0) + sessionTimeoutSec(context)) * 1000
    const isOld = isTooOld(this.#origin, context.now(), this.#scope)
    return isOld && ownEndMs >= context.now() ? 'authentication-too-old' : 'expired'
  }

  #refineNotFound(): HandshakeReason {
    const { context, usedIds } = this.#scope
    if ((context.getSessionCacheMode() & SessionCacheMode.SERVER) === 0) return 'mode-without-server'
    const identities = this.isTls13 ? (this.#hello?.pskIdentities ?? []) : []
    return identities.some(({ identity }) => usedIds.has(byteKey(identity))) ? 'already-used' : 'not-found'
  }

  #isPolicyUnknown(): boolean {
    const { requestCert, policies } = this.#trust
    return requestCert && this.#scope.policy === undefined && policies.of(this.#servername).isOpaque
  }

  #askPolicy(session: SslSession): Awaitable<string | undefined | false> {
    const { policy } = this.#scope
    if (policy === undefined) return undefined
    const failed = (error: unknown): false => {
      this.#scope.reportError(error)
      return false
    }
    const checked = (answer: unknown): string | false =>
      typeof answer === 'string' || answer === false
        ? answer
        : failed(new TypeError('policy must answer with a string or false'))
    try {
      const answer = this.#inArrivalContext(() => policy(this.#servername, session, this.#hello))
      return isPromiseLike(answer) ? Promise.resolve(answer).then(checked, failed) : checked(answer)
    } catch (error) {
      return failed(error)
    }
  }

  /** Before the owner's policy has answered. */
  get #initialPolicy(): string | undefined {
    return this.#scope.policy === undefined ? undefined : ''
  }

  #bind(ownPolicy: string | undefined): void {
    const binding = this.#bindingOf(ownPolicy)
    if (this.#isBound && isSameBinding(binding, this.#binding)) return
    this.#isBound = true
    this.#binding = binding
    this.#connection.setSessionIdContext(this.#contextOf(binding))
  }

  #contextOf(binding: Binding): Uint8Array {
    return this.#scope.bindSessions ? bindingContext(binding) : this.#ownContext
  }

  #bindingOf(ownPolicy: string | undefined): Binding {
    const { requestCert, rejectUnauthorized, policies } = this.#trust
    return {
      ownContext: this.#ownContext,
      servername: this.#servername,
      requestCert,
      rejectUnauthorized,
      policyDigest: policies.of(this.#servername).digest,
      ownPolicy,
    }
  }
}

/** What reasons of the model mean on a server that resumes by session ids alone. */
const EDGE_NAMES = {
  declined: 'policy-refused',
  abandoned: 'client-left',
  'ticket-undecryptable': 'stateless-ticket',
} as const

function isRenamed(reason: RefusalReason): reason is keyof typeof EDGE_NAMES {
  return reason in EDGE_NAMES
}

const HELLO_FAILURES: ReadonlySet<EdgeReason> = new Set([
  'not-tls',
  'oversized-hello',
  'unreadable-hello',
  'stalled-hello',
  'client-left',
])

/** Refusals that libssl will come to by itself when it sees the session, with the alert that the client is to get. */
const LIBSSL_ALERTS: ReadonlySet<RefusalReason> = new Set([
  'extended-master-secret-dropped',
  'cipher-not-offered',
  'compression',
])

function trustOf({ server, policies }: HandshakeScope): ServerTrust {
  return {
    requestCert: server.requestCert === true,
    rejectUnauthorized: server.rejectUnauthorized !== false,
    isTicketing: usesTickets(server),
    policies,
  }
}

function isSameHash(one: number | undefined, other: number | undefined): boolean {
  return cipherSuiteHash(one) === cipherSuiteHash(other)
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

function readSession(der: Uint8Array | undefined): SslSession | undefined {
  try {
    return der && SslSession.fromDer(der)
  } catch {
    return undefined
  }
}

function hasStatelessTicket(hello: ClientHello, version: number): boolean {
  return version < TLS1_3_VERSION ? (hello.sessionTicketLength ?? 0) > 0 : hello.pskIdentities.length > 0
}
