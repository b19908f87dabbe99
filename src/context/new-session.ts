import { SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { RefusalReason } from '../session/verdict.ts'
import type { ConnectionState } from './connection-state.ts'
import { DEFAULT_TIMEOUT_SEC } from './context-state.ts'
import { type GeneratedSessionId, generateSessionId } from './session-id.ts'

/**
 * `ssl_get_new_session`: the connection's session becomes a fresh one, without a look at the old (R6.2, R9.3).
 *
 * @returns why it failed; the connection then has no session
 */
export function startNewSession(state: ConnectionState): RefusalReason | undefined {
  state.session = undefined
  // TLS 1.3 makes an id with each ticket (R8.3), a client is told the server's.
  const { sessionId, failure }: GeneratedSessionId =
    state.isServer && !state.isTls13 ? generateSessionId(state) : { sessionId: new Uint8Array(0) }
  if (failure !== undefined) return failure
  const session = new SslSession(state.context.ports.now())
  session.setTimeout(state.context.timeoutSec === 0 ? DEFAULT_TIMEOUT_SEC : state.context.timeoutSec)
  sessionInternals.update(session, {
    protocolVersion: state.protocolVersion,
    sessionId,
    sessionIdContext: state.sessionIdContext,
    verifyResult: 0,
    flags: state.extendedMasterSecret ? 1 : 0,
  })
  state.session = session
  return undefined
}
