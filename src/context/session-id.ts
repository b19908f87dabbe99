import { MAX_ID_LENGTH } from '../session/ranges.ts'
import type { RefusalReason } from '../session/verdict.ts'
import type { ConnectionState } from './connection-state.ts'

/** R8.5: MAX_SESS_ID_ATTEMPTS. */
const MAX_ATTEMPTS = 10

/**
 * `ssl_generate_session_id`: an id for a new session, unique in the internal cache (R8). The external cache is not asked.
 *
 * @returns the id; empty when a ticket will stand for the session (R8.2); or why there is none
 */
export function generateSessionId(state: ConnectionState): Uint8Array | RefusalReason {
  if (state.ticketExpected) return new Uint8Array(0)
  const id = callGenerator(state)
  if (id === undefined) return 'session-id-callback-failed'
  if (id.length === 0 || id.length > MAX_ID_LENGTH) return 'session-id-bad-length'
  return state.handle.hasMatchingSessionId(id) ? 'session-id-conflict' : id
}

function callGenerator(state: ConnectionState): Uint8Array | undefined {
  // R8.4: the connection's own, else whatever its context has now.
  const generate =
    state.generateSessionId ?? state.context.generateSessionId ?? (() => randomSessionId(state))
  let id: Uint8Array | undefined
  state.context.report('generate-session-id', () => {
    id = generate(state.handle)?.slice()
  })
  return id
}

function randomSessionId(state: ConnectionState): Uint8Array | undefined {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const id = state.context.ports.randomBytes(MAX_ID_LENGTH)
    if (!state.handle.hasMatchingSessionId(id)) return id
  }
  return undefined
}
