import { MAX_ID_LENGTH } from '../session/ranges.ts'
import type { RefusalReason } from '../session/reasons.ts'
import type { ConnectionState } from './connection-state.ts'

/** R8.5: MAX_SESS_ID_ATTEMPTS. */
const MAX_ATTEMPTS = 10

/** With a failure comes what the session's id was at that moment: a fatal alert removes what is cached under it. */
export interface GeneratedSessionId {
  readonly sessionId: Uint8Array
  readonly failure?: RefusalReason
}

/**
 * `ssl_generate_session_id`: an id for a new session, unique in the internal cache (R8). The external cache is not asked.
 * It is empty when a ticket will stand for the session (R8.2).
 */
export function generateSessionId(state: ConnectionState): GeneratedSessionId {
  if (state.ticketExpected) return { sessionId: new Uint8Array(0) }
  // R8.4: the connection's own, else whatever its context has now.
  const generate = state.generateSessionId ?? state.context.generateSessionId
  if (generate === undefined) return randomSessionId(state)
  let answer: unknown
  // What it answers with is reported as well: a promise, which comes too late, may reject.
  state.context.report('generate-session-id', () => {
    answer = generate(state.handle)
    return answer
  })
  return checkAnswer(state, answer)
}

/** R8.6 and R8.7: no second attempt for a callback. */
function checkAnswer(state: ConnectionState, answer: unknown): GeneratedSessionId {
  const buffer = new Uint8Array(MAX_ID_LENGTH)
  if (!(answer instanceof Uint8Array)) return { sessionId: buffer, failure: 'session-id-callback-failed' }
  buffer.set(answer.subarray(0, MAX_ID_LENGTH))
  if (answer.length === 0 || answer.length > MAX_ID_LENGTH)
    return { sessionId: buffer, failure: 'session-id-bad-length' }
  const sessionId = buffer.subarray(0, answer.length)
  return state.handle.hasMatchingSessionId(sessionId)
    ? { sessionId, failure: 'session-id-conflict' }
    : { sessionId }
}

function randomSessionId(state: ConnectionState): GeneratedSessionId {
  let sessionId = state.context.ports.randomBytes(MAX_ID_LENGTH)
  for (let attempt = 1; state.handle.hasMatchingSessionId(sessionId); attempt++) {
    if (attempt === MAX_ATTEMPTS) return { sessionId, failure: 'session-id-callback-failed' }
    sessionId = state.context.ports.randomBytes(MAX_ID_LENGTH)
  }
  return { sessionId }
}
