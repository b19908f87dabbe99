import { andThen } from '../session/awaitable.ts'
import type { GetSessionCallback, NewSessionCallback, RemoveSessionCallback } from '../session/contracts.ts'
import type { SessionStore } from '../session/session-store.ts'
import { SslSession } from '../session/ssl-session.ts'

export interface StoreCallbacks {
  readonly newSessionCallback: NewSessionCallback
  readonly getSessionCallback: GetSessionCallback
  readonly removeSessionCallback: RemoveSessionCallback
}

/**
 * Turns a store into OpenSSL's three callbacks; spread it into the options of a context. The mode bits decide what the
 * internal cache sees besides.
 *
 * The store hears of a removal for reason `delete` only: eviction, flush and exit of one process must not empty the cache
 * of all others.
 *
 * @param store - gets the DER of sessions, master secrets included, under their ids
 */
export function storeCallbacks(store: SessionStore): StoreCallbacks {
  return {
    newSessionCallback: (_connection, session) =>
      store.set([{ key: session.sessionId, value: session.toDer(), expiresAtMs: session.expiresAtMs }]),
    getSessionCallback: (_connection, sessionId) =>
      andThen(store.get(sessionId), (der) => (der === undefined ? undefined : SslSession.fromDer(der))),
    removeSessionCallback: (session, reason) =>
      reason === 'delete' ? store.delete(session.sessionId) : undefined,
  }
}
