import type { RefusalReason } from '../session/reasons.ts'
import { SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { ConnectionState } from './connection-state.ts'
import { DEFAULT_TIMEOUT_SEC } from './context-state.ts'
import { type GeneratedSessionId, generateSessionId } from './session-id.ts'

/**
 * `ssl_get_new_session` on a server: the connection's session becomes a fresh one, without a look at the old.
 *
 * @returns why it failed; the connection then has no session
 */
export function startServerSession(state: ConnectionState): RefusalReason | undefined {
  state.session = undefined
  // TLS 1.3 makes an id with each ticket (R8.3).
  const { sessionId, failure }: GeneratedSessionId = state.isTls13
    ? { sessionId: new Uint8Array(0) }
    : generateSessionId(state)
  if (failure !== undefined) return failure
  state.session = newSession(state, sessionId)
  return undefined
}

/** The same on a client, which will be told the server's id. */
export function startClientSession(state: ConnectionState): SslSession {
  state.session = newSession(state, new Uint8Array(0))
  return state.session
}

/** R6.2 and R9.3: with the timeout of the context and the session id context of the connection. */
function newSession(state: ConnectionState, sessionId: Uint8Array): SslSession {
  const session = new SslSession(state.context.ports.now())
  session.setTimeout(state.context.timeoutSec === 0 ? DEFAULT_TIMEOUT_SEC : state.context.timeoutSec)
  sessionInternals.update(session, {
    protocolVersion: state.protocolVersion,
    sessionId,
    sessionIdContext: state.sessionIdContext,
    verifyResult: 0,
    flags: state.extendedMasterSecret ? 1 : 0,
  })
  return session
}
