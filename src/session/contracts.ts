import type { Awaitable } from './awaitable.ts'
import type { AttachedMessage, HandshakeMessage } from './handshakes.ts'
import type { SslSession } from './ssl-session.ts'
import type { ResumptionVerdict } from './verdict.ts'

/** What callbacks and listeners see of a connection, `SSL`. */
export interface SessionConnection {
  /** Whatever its owner attached: `SSL_get_app_data(3)`. */
  readonly appData: unknown
  readonly isServer: boolean
  /** The negotiated version; TLS 1.3 before there is one. */
  readonly protocolVersion: number
  readonly session: SslSession | undefined
  /** `SSL_session_reused(3)`. */
  readonly sessionReused: boolean
  /** TLS 1.3 servers: another ticket of this handshake follows at once. */
  readonly isTicketDue: boolean
  /** What the get callback answers with must be gone afterwards, for all who share the external cache: a take. */
  readonly isSingleUse: boolean
  /** Whether the internal cache holds the id at the connection's version. */
  hasMatchingSessionId(sessionId: Uint8Array): boolean
}

/**
 * `SSL_CTX_sess_set_new_cb(3)`: a session came into being. The answer is ignored; a rejection becomes an event.
 * Sessions with secrets in them: seal what you store.
 */
export type NewSessionCallback = (connection: SessionConnection, session: SslSession) => unknown

/**
 * `SSL_CTX_sess_set_get_cb(3)`: the external cache's lookup.
 *
 * @param connection - one that {@link SessionConnection.isSingleUse} needs get and delete as one
 * @param sessionId - 1 to 32 bytes from the network, a copy: an untrusted key that may never have been issued
 * @returns the session stored under exactly this id; throwing or rejecting is a miss and an event
 */
export type GetSessionCallback = (
  connection: SessionConnection,
  sessionId: Uint8Array,
) => Awaitable<SslSession | undefined>

/**
 * Why a session left the cache:
 * - `evict`: the cache was full, and this one would have expired first (counted in cacheFull)
 * - `expire`: a lookup found it too old (counted in timeouts)
 * - `flush`: `flushSessions`, by hand or every 255 connections
 * - `free`: the context was freed
 * - `delete`: `removeSession`, single use, a fatal alert or an unclean shutdown
 */
export type RemovalReason = 'evict' | 'expire' | 'flush' | 'free' | 'delete'

/**
 * `SSL_CTX_sess_set_remove_cb(3)`, called after the change (D4) and also for a session that the internal cache never
 * held (R5). Throwing or rejecting becomes an event.
 */
export type RemoveSessionCallback = (session: SslSession, reason: RemovalReason) => unknown

/**
 * `SSL_CTX_set_generate_session_id(3)`.
 *
 * @returns 1 to 32 unpredictable bytes that are copied; undefined, throwing, another length or an id that is in the
 *   internal cache fail the handshake. TLS 1.3 needs exactly 32 (R8.9).
 */
export type GenerateSessionId = (connection: SessionConnection) => Uint8Array | undefined

/**
 * `SSL_CTX_set_not_resumable_session_callback(3)`.
 *
 * @param isForwardSecure - the key exchange is ephemeral; false in TLS 1.3, whose suites name no key exchange
 * @returns true when the session of this full handshake must not be resumed; throwing counts as true
 */
export type NotResumableCallback = (connection: SessionConnection, isForwardSecure: boolean) => boolean

/** Who threw or rejected, in the event `callback-error`. */
export type CallbackName =
  | 'new'
  | 'get'
  | 'remove'
  | 'generate-session-id'
  | 'not-resumable'
  | 'examine'
  | 'listener'

/** Everything that observers may learn, without secrets beyond the session objects themselves. */
export type SslContextEvent =
  | {
      readonly type: 'resumption'
      readonly connection: SessionConnection
      readonly verdict: ResumptionVerdict
    }
  | { readonly type: 'new-session'; readonly connection: SessionConnection; readonly session: SslSession }
  | { readonly type: 'session-removed'; readonly session: SslSession; readonly reason: RemovalReason }
  | { readonly type: 'callback-error'; readonly callback: CallbackName; readonly error: unknown }

/** Hears every event of a context; what it throws becomes an event of the callback `listener`. */
export type SslContextListener = (event: SslContextEvent) => void

/** A listener that is not always interested: what nobody listens for is not even built. */
export interface SslContextObserver {
  isListening(type: SslContextEvent['type'] | 'handshake'): boolean
  readonly hear: SslContextListener
  /** What became of a handshake, of those who make real ones with the context. */
  readonly hearHandshake?: (handshake: HandshakeMessage) => void
  /** They have begun to. */
  readonly hearAttached?: (attached: AttachedMessage) => void
}

/** What the model needs from outside. */
export interface SslContextPorts {
  /** Milliseconds since the epoch, an integer. */
  readonly now: () => number
  /** Cryptographically strong. */
  readonly randomBytes: (length: number) => Uint8Array
  readonly sha256: (bytes: Uint8Array) => Uint8Array
  /** Hears the events of the context, besides those who subscribe. */
  readonly observer?: SslContextObserver
}

/** `SSL_CTX_sess_number(3)` and its family (R7); `number` is the live size. The others grow, but for a hit that is retracted and an accept that moves to another context. */
export interface SessionStats {
  readonly number: number
  readonly connect: number
  readonly connectGood: number
  readonly connectRenegotiate: number
  readonly accept: number
  readonly acceptGood: number
  readonly acceptRenegotiate: number
  readonly hits: number
  readonly cbHits: number
  readonly misses: number
  readonly timeouts: number
  readonly cacheFull: number
}
