import type { Answer } from '../session/awaitable.ts'
import { copyBytes } from '../session/bytes.ts'
import {
  cipherSuiteHash,
  isTicketAgeCredible,
  judgeSession,
  type ResumptionRequirements,
} from '../session/judge-session.ts'
import type { Examination, PskIdentity, ResumptionOffer, TicketOffer } from '../session/offer.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import type { RefusalReason, SessionSource } from '../session/reasons.ts'
import { Alert, SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { Refusal, Resumption, ResumptionVerdict } from '../session/verdict.ts'
import type { ConnectionState } from './connection-state.ts'
import { type Candidate, found, lookUpSession } from './look-up-session.ts'
import { startServerSession } from './new-session.ts'

/**
 * What a server does with a ClientHello: `ssl_get_prev_session`, and `ssl_get_new_session` when it resumes nothing.
 * Afterwards the connection has a session, or has failed.
 */
export function resumeSession(state: ConnectionState, offer: ResumptionOffer): Answer<ResumptionVerdict> {
  // An earlier lookup that is still being awaited no longer matters.
  state.generation++
  state.hit = false
  state.protocolVersion = offer.protocolVersion
  state.isVersionNegotiated = true
  const hadExtendedMasterSecret = state.extendedMasterSecret
  state.extendedMasterSecret =
    !state.isTls13 &&
    (offer.extendedMasterSecret ?? hadExtendedMasterSecret) &&
    !state.hasOption(SslOption.NO_EXTENDED_MASTER_SECRET)
  const candidate = findCandidate(state, offer)
  return candidate.then === undefined
    ? examineAndDecide(state, offer, hadExtendedMasterSecret, candidate)
    : Promise.resolve(candidate).then((one) => examineAndDecide(state, offer, hadExtendedMasterSecret, one))
}

// What is known at once is passed on from function to function: closures would be made for each ClientHello.

function examineAndDecide(
  state: ConnectionState,
  offer: ResumptionOffer,
  hadExtendedMasterSecret: boolean,
  candidate: Candidate,
): Answer<ResumptionVerdict> {
  const examined = examine(state, offer, candidate)
  return examined.then === undefined
    ? conclude(state, offer, hadExtendedMasterSecret, examined)
    : Promise.resolve(examined).then((one) => conclude(state, offer, hadExtendedMasterSecret, one))
}

function conclude(
  state: ConnectionState,
  offer: ResumptionOffer,
  hadExtendedMasterSecret: boolean,
  candidate: Candidate,
): ResumptionVerdict {
  if (!candidate.resume && candidate.reason === 'abandoned') return candidate
  const verdict = decide(state, offer, candidate)
  // RFC 7627 §5.4: a renegotiation may not drop it.
  if (state.phase !== 'failed' && hadExtendedMasterSecret && !state.extendedMasterSecret)
    return state.fail('extended-master-secret-dropped', Alert.HANDSHAKE_FAILURE)
  if (state.phase !== 'failed') state.countInCurrentContext()
  return verdict
}

/** Before anything is counted or forgotten: what the owner declines is as if it had not been found. */
function examine(state: ConnectionState, offer: ResumptionOffer, candidate: Candidate): Answer<Candidate> {
  if (offer.examine === undefined || !candidate.resume) return candidate
  const question: Question = {
    candidate,
    generation: state.generation,
    wasResumable: candidate.session.isResumable,
  }
  try {
    const answer = offer.examine(candidate.session)
    if (answer.then === undefined) return hearExamination(state, question, answer)
    return Promise.resolve(answer).then(
      (examination) => hearExamination(state, question, examination),
      (error: unknown) => hearFailure(state, question, error),
    )
  } catch (error) {
    return hearFailure(state, question, error)
  }
}

/** What was true when the owner was asked. */
interface Question {
  readonly candidate: Resumption
  readonly generation: number
  readonly wasResumable: boolean
}

function hearExamination(
  state: ConnectionState,
  { candidate, generation, wasResumable }: Question,
  examination: Examination,
): Candidate {
  if (generation !== state.generation) return { resume: false, reason: 'abandoned' }
  // Removed meanwhile.
  if (wasResumable && !candidate.session.isResumable) return { resume: false, reason: 'not-found' }
  if (examination.isDeclined) return { resume: false, reason: 'declined' }
  state.setSessionIdContext(examination.sessionIdContext)
  return candidate
}

function hearFailure(state: ConnectionState, question: Question, error: unknown): Candidate {
  state.context.emit({ type: 'callback-error', callback: 'examine', error })
  return hearExamination(state, question, { isDeclined: true })
}

function findCandidate(state: ConnectionState, offer: ResumptionOffer): Answer<Candidate> {
  if (state.wantsNewSession && state.hasOption(SslOption.NO_SESSION_RESUMPTION_ON_RENEGOTIATION))
    return { resume: false, reason: 'renegotiation' }
  return offer.protocolVersion === TLS1_3_VERSION ? findByPsk(state, offer) : findByTicketOrId(state, offer)
}

function decide(state: ConnectionState, offer: ResumptionOffer, candidate: Candidate): ResumptionVerdict {
  if (!candidate.resume)
    return candidate.alert === undefined
      ? refuse(state, candidate.reason)
      : state.fail(candidate.reason, candidate.alert)
  const refusal = judgeCandidate(state, offer, candidate)
  if (refusal !== undefined) return refusal.alert === undefined ? refuse(state, refusal.reason) : refusal
  state.session = candidate.session
  state.hit = true
  state.context.counters.hits++
  return checkSuite(state, offer, candidate.session) ?? candidate
}

/** R3.3 steps 3 to 7 and what each refusal leads to. */
function judgeCandidate(
  state: ConnectionState,
  offer: ResumptionOffer,
  { session, source }: Resumption,
): Refusal | undefined {
  // The PSK has become the connection's session before it is judged, so that a fatal alert is its end.
  if (state.isTls13) state.session = session
  const objection = judgeSession(session, state.context.ports.now(), requirements(state, offer))
  if (objection === undefined) return undefined
  const isCached = source === 'internal' || source === 'external'
  const isGone = state.isTls13 && isUsedUp(state, source)
  if (objection.reason === 'expired') forgetExpired(state, session, isCached && !isGone)
  const refusal: Refusal =
    objection.alert === undefined
      ? { resume: false, ...objection }
      : state.fail(objection.reason, objection.alert)
  if (state.isTls13) state.session = undefined
  // A client whose ticket was refused gets a new one.
  if (!isCached || state.isTls13) state.ticketExpected = true
  return refusal
}

/** D6: stateful TLS 1.3 sessions are removed like those of TLS 1.2. */
function forgetExpired(state: ConnectionState, session: SslSession, isStillCached: boolean): void {
  state.context.counters.timeouts++
  if (isStillCached) state.context.remove(session, 'expire')
}

function requirements(state: ConnectionState, offer: ResumptionOffer): ResumptionRequirements {
  return {
    protocolVersion: state.protocolVersion,
    sessionIdContext: state.sessionIdContext,
    verifyMode: state.verifyMode,
    // In TLS 1.3 nobody has it, and a session that claims to is in error.
    extendedMasterSecret:
      !state.isTls13 && offer.extendedMasterSecret === undefined ? undefined : state.extendedMasterSecret,
  }
}

/** A full handshake: `ssl_get_new_session`. */
function refuse(state: ConnectionState, reason: RefusalReason): Refusal {
  const failure = startServerSession(state)
  return failure === undefined ? { resume: false, reason } : state.fail(failure, Alert.INTERNAL_ERROR)
}

/** What TLS 1.2 checks after the hit was counted: a client that no longer offers what the session uses is in error. */
function checkSuite(
  state: ConnectionState,
  offer: ResumptionOffer,
  session: SslSession,
): Refusal | undefined {
  if (state.isTls13) return undefined
  const { cipherSuite, compressionId } = sessionInternals.traits(session)
  if (cipherSuite !== undefined && offer.cipherSuites?.includes(cipherSuite) === false)
    return state.fail('cipher-not-offered', Alert.ILLEGAL_PARAMETER)
  if (compressionId === 0) return undefined
  // libssl looks at it after all extensions, and so after it has counted.
  state.countInCurrentContext()
  return state.fail('compression', Alert.HANDSHAKE_FAILURE)
}

/** Up to TLS 1.2, R3.3: the ticket first; a ticket that is no good keeps the session id from being tried. */
function findByTicketOrId(state: ConnectionState, offer: ResumptionOffer): Answer<Candidate> {
  const ticket = state.hasOption(SslOption.NO_TICKET) ? undefined : offer.ticket
  state.ticketExpected = isTicketWanted(ticket)
  if (ticket?.status === 'no-decrypt') return { resume: false, reason: 'ticket-undecryptable' }
  const session = sessionIn(ticket)
  if (session !== undefined) {
    // The client recognises an accepted ticket by its own id in the ServerHello, RFC 5077 §3.4.
    if (offer.sessionId.length > 0)
      sessionInternals.update(session, { sessionId: copyBytes(offer.sessionId) })
    return found(session, 'ticket')
  }
  if (offer.sessionId.length === 0) return { resume: false, reason: 'not-offered' }
  return lookUpSession(state, offer.sessionId)
}

/** `tls_decrypt_ticket`: whether a new ticket is due, by what became of the old one. */
function isTicketWanted(ticket: TicketOffer | undefined): boolean {
  return ticket?.status === 'empty' || ticket?.status === 'no-decrypt' || ticket?.status === 'success-renew'
}

/** Whatever came out of a ticket, only a success lets it be resumed: the owner may have said that it is to be ignored. */
function sessionIn(ticket: TicketOffer | undefined): SslSession | undefined {
  return ticket?.status === 'success' || ticket?.status === 'success-renew' ? ticket.session : undefined
}

/** TLS 1.3, R10.7: the identities in their order, until one is accepted. */
function findByPsk(state: ConnectionState, offer: ResumptionOffer): Answer<Candidate> {
  state.session = undefined
  state.ticketExpected = true
  if (offer.pskIdentities === undefined) return { resume: false, reason: 'not-offered' }
  // RFC 9846 §4.3.9 (RFC 8446 §4.2.9): identities without modes are an error.
  if (offer.pskModeSupported === undefined)
    return { resume: false, reason: 'psk-modes-unsupported', alert: Alert.MISSING_EXTENSION }
  if (!offer.pskModeSupported) return { resume: false, reason: 'psk-modes-unsupported' }
  state.ticketExpected = false
  return tryIdentities(state, offer, offer.pskIdentities, 0, 'not-offered')
}

function tryIdentities(
  state: ConnectionState,
  offer: ResumptionOffer,
  identities: readonly PskIdentity[],
  first: number,
  previousReason: RefusalReason,
): Answer<Candidate> {
  let reason = previousReason
  for (let index = first; index < identities.length; index++) {
    const psk = identities[index] as PskIdentity
    if (psk.identity.length === 0)
      return { resume: false, reason: 'empty-psk-identity', alert: Alert.DECODE_ERROR }
    const lookup = findPsk(state, psk)
    if (lookup.then !== undefined)
      return Promise.resolve(lookup).then((one) => {
        const candidate = acceptPsk(state, offer, psk, index, one)
        const refusal = refusalOfOne(candidate)
        return refusal === undefined ? candidate : tryIdentities(state, offer, identities, index + 1, refusal)
      })
    const candidate = acceptPsk(state, offer, psk, index, lookup)
    const refusal = refusalOfOne(candidate)
    if (refusal === undefined) return candidate
    reason = refusal
  }
  return { resume: false, reason }
}

/** Why one identity is no good, when another may be; undefined when the answer is final. */
function refusalOfOne(candidate: Candidate): RefusalReason | undefined {
  if (candidate.resume || candidate.alert !== undefined || candidate.reason === 'abandoned') return undefined
  return candidate.reason
}

function findPsk(state: ConnectionState, psk: PskIdentity): Answer<Candidate> {
  if (psk.externalPsk !== undefined) return adoptExternalPsk(state, psk.externalPsk)
  if (!state.hasStatefulTickets) {
    if (isTicketWanted(psk.ticket)) state.ticketExpected = true
    const session = sessionIn(psk.ticket)
    return session === undefined
      ? { resume: false, reason: 'ticket-undecryptable' }
      : found(session, 'ticket')
  }
  state.ticketExpected = true
  return psk.identity.length === MAX_ID_LENGTH
    ? lookUpSession(state, psk.identity)
    : { resume: false, reason: 'ticket-undecryptable' }
}

/** A PSK made outside TLS is by definition meant for this context: it is copied and stamped. */
function adoptExternalPsk(state: ConnectionState, externalPsk: SslSession): Candidate {
  const session = sessionInternals.duplicateWithoutTicket(externalPsk)
  session.setSessionIdContext(state.sessionIdContext)
  state.ticketExpected = true
  return found(session, 'external-psk')
}

/** Anti-replay, hash and binder, in libssl's order: `tls_parse_ctos_psk`. */
function acceptPsk(
  state: ConnectionState,
  offer: ResumptionOffer,
  psk: PskIdentity,
  index: number,
  lookup: Candidate,
): Candidate {
  if (!lookup.resume) return lookup
  const { session, source } = lookup
  // Without an internal copy there is nothing to delete, so nothing proves that this is the first use.
  if (isUsedUp(state, source) && !state.context.remove(session, 'delete'))
    return { resume: false, reason: 'replayed' }
  if (isHashMismatch(session, offer)) {
    state.ticketExpected = true
    return { resume: false, reason: 'cipher-hash-mismatch' }
  }
  if (psk.verifyBinder !== undefined && psk.verifyBinder(session) !== true)
    return { resume: false, reason: 'binder-mismatch', alert: Alert.DECRYPT_ERROR }
  const earlyDataAllowed = isEarlyDataAllowed(state, psk, index, session, source === 'external-psk')
  return { resume: true, session, source, pskIdentity: index, earlyDataAllowed }
}

/** TLS 1.3: what an external cache has given for a single use is gone from there; the internal copy is ours to delete. */
function isUsedUp(state: ConnectionState, source: SessionSource): boolean {
  return source !== 'external-psk' && (state.isAntiReplay || (state.isSingleUse && source === 'internal'))
}

function isHashMismatch({ cipherSuite }: SslSession, { selectedCipherSuite }: ResumptionOffer): boolean {
  return (
    selectedCipherSuite !== undefined && cipherSuiteHash(cipherSuite) !== cipherSuiteHash(selectedCipherSuite)
  )
}

/** R10.10. */
function isEarlyDataAllowed(
  state: ConnectionState,
  psk: PskIdentity,
  index: number,
  session: SslSession,
  isExternal: boolean,
): boolean {
  if (index !== 0 || state.maxEarlyData === 0 || state.isHelloRetry) return false
  return isExternal || isTicketAgeCredible(session, psk.obfuscatedTicketAge ?? 0, state.context.ports.now())
}
