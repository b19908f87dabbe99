import { SessionDerError, UnopenableSessionError, UnsealedStoreError } from '../errors.ts'
import { A_BOOLEAN, checkOptions } from '../session/arguments.ts'
import { type Awaitable, andThen } from '../session/awaitable.ts'
import type {
  GetSessionCallback,
  NewSessionCallback,
  RemoveSessionCallback,
  SessionConnection,
} from '../session/contracts.ts'
import type { SessionStore, StoreEntry } from '../session/session-store.ts'
import { SslSession } from '../session/ssl-session.ts'
import { checkCallbackStore } from './store-arguments.ts'

/** A store as OpenSSL's three callbacks, under the names of the options of a context. */
export interface StoreCallbacks {
  readonly newSessionCallback: NewSessionCallback
  readonly getSessionCallback: GetSessionCallback
  readonly removeSessionCallback: RemoveSessionCallback
}

/** What the callbacks need of a store. */
export type CallbackStore = Pick<SessionStore, 'confidentiality' | 'get' | 'set' | 'take' | 'delete'>

/** What {@link storeCallbacks} must be told about a store that is not sealed. */
export interface StoreCallbacksOptions {
  /**
   * True: whoever can read the store's engine gets master secrets, can decrypt what was sent and impersonate the server, and
   * this is known. Not needed for a store that is `sealed`, or in this process alone.
   */
  readonly plaintext?: boolean | undefined
}

/**
 * Turns a store into OpenSSL's three callbacks; spread it into the options of a context. The mode bits decide what the
 * internal cache sees besides.
 *
 * The store hears of a removal for reason `delete` only: eviction, flush and exit of one process must not empty the cache
 * of all others.
 *
 * @param store - gets the DER of sessions, master secrets included, under their ids
 * @throws {@link UnsealedStoreError} for a store outside this process that is not sealed
 *
 * @example
 * ```ts
 * const context = new SslContext({ sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) })
 * ```
 */
export function storeCallbacks(store: CallbackStore, options: StoreCallbacksOptions = {}): StoreCallbacks {
  checkCallbackStore('storeCallbacks', store)
  checkOptions('storeCallbacks', options, { plaintext: A_BOOLEAN })
  const { plaintext = false } = options
  if (!plaintext && store.confidentiality === undefined)
    throw new UnsealedStoreError(
      'sessions would leave this process in plaintext: wrap the store in sealed(), or set plaintext: true',
    )
  return {
    newSessionCallback: batchedByConnection((entries) => store.set(entries)),
    getSessionCallback: (connection, sessionId) =>
      andThen(connection.isSingleUse ? store.take(sessionId) : store.get(sessionId), (der) =>
        der === undefined ? undefined : readSession(der),
      ),
    removeSessionCallback: (session, reason) =>
      reason === 'delete' ? store.delete(session.sessionId) : undefined,
  }
}

function readSession(der: Uint8Array): SslSession {
  try {
    return SslSession.fromDer(der)
  } catch (cause) {
    if (!(cause instanceof SessionDerError)) throw cause
    throw new UnopenableSessionError('a stored value is not an SSL_SESSION', { cause })
  }
}

type Write = (entries: readonly StoreEntry[]) => Awaitable<void>

/** The tickets of a TLS 1.3 handshake, until the last one has come. */
interface Batch {
  readonly entries: StoreEntry[]
  readonly written: Promise<void>
  write(): void
}

/**
 * The tickets of one TLS 1.3 handshake go out in one call, and with the last of them: before the TLS stack sends them, since
 * a client may come back with one at once.
 */
function batchedByConnection(
  write: Write,
): (connection: SessionConnection, session: SslSession) => Awaitable<void> {
  const batches = new Map<SessionConnection, Batch>()
  return (connection, session) => {
    const entry = { key: session.sessionId, value: session.toDer(), expiresAtMs: session.expiresAtMs }
    const isLast = !connection.isTicketDue
    const batch = batches.get(connection) ?? (isLast ? undefined : openBatch(batches, connection, write))
    if (batch === undefined) return write([entry])
    batch.entries.push(entry)
    if (isLast) batch.write()
    return batch.written
  }
}

/** A ticket that is due may yet be declined: what came then goes out at the end of the turn of the event loop. */
function openBatch(
  batches: Map<SessionConnection, Batch>,
  connection: SessionConnection,
  write: Write,
): Batch {
  const entries: StoreEntry[] = []
  let settle: (result: Awaitable<void>) => void = () => undefined
  const written = new Promise<void>((resolve) => {
    settle = resolve
  })
  const writeNow = (): void => {
    batches.delete(connection)
    clearImmediate(immediate)
    try {
      settle(write(entries))
    } catch (error) {
      settle(Promise.reject(error))
    }
  }
  const immediate = setImmediate(writeNow)
  const batch: Batch = { entries, written, write: writeNow }
  batches.set(connection, batch)
  return batch
}
