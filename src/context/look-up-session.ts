import { UnopenableSessionError } from '../errors.ts'
import { type Answer, isPromiseLike } from '../session/awaitable.ts'
import { copyBytes } from '../session/bytes.ts'
import type { SessionSource } from '../session/reasons.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { ResumptionVerdict } from '../session/verdict.ts'
import type { ConnectionState } from './connection-state.ts'

/** A session to be judged, or why there is none: a verdict on which nobody has acted yet. */
export type Candidate = ResumptionVerdict

export function found(session: SslSession, source: SessionSource): Candidate {
  return { resume: true, session, source, pskIdentity: 0, earlyDataAllowed: false }
}

/** `lookup_sess_in_cache`, R3.2: the internal cache, then the get callback. Synchronous unless that callback is not. */
export function lookUpSession(state: ConnectionState, sessionId: Uint8Array): Answer<Candidate> {
  const { context } = state
  // An internal copy does not prove that another process has not used the session.
  const isExternalAlone = state.isSingleUse && context.getSessionCallback !== undefined
  if (!context.hasMode(SessionCacheMode.NO_INTERNAL_LOOKUP) && !isExternalAlone) {
    const session = context.cache.find(state.protocolVersion, sessionId)
    if (session !== undefined) return found(session, 'internal')
    context.counters.misses++
  }
  return context.getSessionCallback === undefined
    ? { resume: false, reason: 'not-found' }
    : askExternal(state, sessionId)
}

function askExternal(state: ConnectionState, sessionId: Uint8Array): Answer<Candidate> {
  const { context, generation } = state
  const failed = (error: unknown): Candidate => {
    context.emit({ type: 'callback-error', callback: 'get', error })
    return {
      resume: false,
      reason: error instanceof UnopenableSessionError ? 'unopenable' : 'callback-failed',
    }
  }
  const answered = (answer: unknown): Candidate => {
    // An answer that comes after the connection has gone must not touch counters or cache.
    if (generation !== state.generation) return { resume: false, reason: 'abandoned' }
    if (answer === undefined || answer === null) return { resume: false, reason: 'not-found' }
    if (answer instanceof SslSession) return acceptExternal(state, sessionId, answer)
    return failed(new TypeError('the get callback must answer with an SslSession or undefined'))
  }
  try {
    const answer = context.getSessionCallback?.(state.handle, copyBytes(sessionId))
    return isPromiseLike(answer) ? Promise.resolve(answer).then(answered, failed) : answered(answer)
  } catch (error) {
    return failed(error)
  }
}

function acceptExternal(state: ConnectionState, sessionId: Uint8Array, session: SslSession): Candidate {
  const { context } = state
  // D8: before it is counted or copied. An answer under a wrong id would break the handshake at the client, one of
  // another version the binder of a TLS 1.3 handshake.
  if (!sessionInternals.isId(session, sessionId) || isForeignToTls13(state, session))
    return { resume: false, reason: 'wrong-session' }
  if (!session.isResumable) return { resume: false, reason: 'not-resumable' }
  context.counters.cbHits++
  if (!context.hasMode(SessionCacheMode.NO_INTERNAL_STORE) && !state.isSingleUse) context.add(session)
  return found(session, 'external')
}

function isForeignToTls13(state: ConnectionState, session: SslSession): boolean {
  return state.isTls13 && session.protocolVersion !== state.protocolVersion
}
