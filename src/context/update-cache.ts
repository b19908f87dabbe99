import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { SslOption, VerifyMode } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { ConnectionState } from './connection-state.ts'

/**
 * `ssl_update_cache`, R2: what a finished handshake (TLS 1.3: a ticket) stores, reports and flushes. A session that
 * cannot be resumed ends it at once, and with it the flush that would have been due (R2.7).
 */
export function updateCache(state: ConnectionState): void {
  const { context, session } = state
  if (session === undefined || !sessionInternals.hasId(session)) return
  if (!session.isResumable) return
  // R2.3: such a session would be a fatal error to the server that finds it.
  if (state.isServer && isUnboundClientAuthentication(state, session)) return
  const role = state.isServer ? SessionCacheMode.SERVER : SessionCacheMode.CLIENT
  // Read once: what a callback changes is for the next session.
  const { mode } = context
  if ((mode & role) === 0) return
  state.isUpdatingCache = true
  // R2.10: a resumed TLS 1.2 session is the one that was stored; a TLS 1.3 ticket always carries a new one.
  if (!state.hit || state.isTls13) storeAndReport(state, session, mode)
  state.isUpdatingCache = false
  if ((mode & SessionCacheMode.NO_AUTO_CLEAR) === 0) flushWhenDue(state)
}

function isUnboundClientAuthentication(state: ConnectionState, session: SslSession): boolean {
  return (
    (state.verifyMode & VerifyMode.PEER) !== 0 &&
    sessionInternals.traits(session).sessionIdContext.length === 0
  )
}

function storeAndReport(state: ConnectionState, session: SslSession, mode: number): void {
  const { context } = state
  if ((mode & SessionCacheMode.NO_INTERNAL_STORE) === 0 && isWorthCaching(state)) context.add(session)
  const { newSessionCallback } = context
  state.latestReport = true
  if (newSessionCallback !== undefined) {
    const taken = context.report('new', () => newSessionCallback(state.handle, session))
    state.latestReport = taken
    if (typeof taken !== 'boolean') state.reported = Promise.all([state.reported, taken])
  }
  if (context.isHeard('new-session')) context.emit({ type: 'new-session', connection: state.handle, session })
}

/** R2.4a: a stateless TLS 1.3 ticket needs no cache, unless replays are watched for or its removal is to be heard of. */
function isWorthCaching(state: ConnectionState): boolean {
  if (!state.isTls13 || !state.isServer) return true
  return (
    state.isAntiReplay ||
    state.context.removeSessionCallback !== undefined ||
    state.hasOption(SslOption.NO_TICKET)
  )
}

/** R2.5: by the role's counter as it stands, which TLS 1.3 has already advanced and TLS 1.2 has not (R2.6). */
function flushWhenDue(state: ConnectionState): void {
  const { context } = state
  if (context.clearingStep > 0) {
    context.flush(context.nowSec(), 'flush', context.clearingStep)
    return
  }
  const good = state.isServer ? context.counters.acceptGood : context.counters.connectGood
  if ((good & 0xff) === 0xff) context.flush(context.nowSec(), 'flush')
}
