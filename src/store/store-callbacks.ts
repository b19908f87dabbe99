import { setImmediate } from 'node:timers/promises'
import { type Awaitable, andThen } from '../session/awaitable.ts'
import type {
  GetSessionCallback,
  NewSessionCallback,
  RemoveSessionCallback,
  SessionConnection,
} from '../session/contracts.ts'
import type { SessionStore, StoreEntry } from '../session/session-store.ts'
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
    newSessionCallback: batchedByConnection((entries) => store.set(entries)),
    getSessionCallback: (connection, sessionId) =>
      andThen(connection.isSingleUse ? store.take(sessionId) : store.get(sessionId), (der) =>
        der === undefined ? undefined : SslSession.fromDer(der),
      ),
    removeSessionCallback: (session, reason) =>
      reason === 'delete' ? store.delete(session.sessionId) : undefined,
  }
}

/**
 * The tickets of one TLS 1.3 handshake are made in one turn of the event loop, with microtasks in between: they go out in
 * one call at its end.
 */
function batchedByConnection(
  write: (entries: readonly StoreEntry[]) => Awaitable<void>,
): (connection: SessionConnection, session: SslSession) => Promise<void> {
  const batches = new Map<
    SessionConnection,
    { readonly entries: StoreEntry[]; readonly written: Promise<void> }
  >()
  const open = (connection: SessionConnection): { entries: StoreEntry[]; written: Promise<void> } => {
    const entries: StoreEntry[] = []
    const written = setImmediate().then(() => {
      batches.delete(connection)
      return write(entries)
    })
    const batch = { entries, written }
    batches.set(connection, batch)
    return batch
  }
  return (connection, session) => {
    const { entries, written } = batches.get(connection) ?? open(connection)
    entries.push({ key: session.sessionId, value: session.toDer(), expiresAtMs: session.expiresAtMs })
    return written
  }
}
