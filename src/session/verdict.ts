import type { SslSession } from './ssl-session.ts'

/**
 * Why a server does not resume. A closed union: every full handshake has exactly one of these.
 *
 * Those marked "fatal" end the handshake with the alert of the verdict; all others lead to a full handshake.
 */
export type RefusalReason =
  /** The ClientHello holds no session id, no ticket and no PSK that this server may use. */
  | 'not-offered'
  /** SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION. */
  | 'renegotiation'
  /** A ticket of another key, or damaged; a stateful TLS 1.3 ticket that is not 32 bytes long (R8.9). */
  | 'ticket-undecryptable'
  /** PSKs without a key exchange mode that both know. */
  | 'psk-modes-unsupported'
  /** Neither cache knows the id. */
  | 'not-found'
  /** The get callback threw or rejected. */
  | 'callback-failed'
  /** The get callback found something that is not a session of ours (`UnopenableSessionError`). */
  | 'unopenable'
  /** The get callback answered with a session of another id, or in TLS 1.3 of another version (D8). */
  | 'wrong-session'
  /** The get callback answered with a session that is flagged not resumable. */
  | 'not-resumable'
  /** Anti-replay: a ticket that may be used once was used before, or made elsewhere (R10.7). */
  | 'replayed'
  /** TLS 1.3: the hash of the session's suite is not that of the selected one. */
  | 'cipher-hash-mismatch'
  /** R3.3 step 3. */
  | 'version-mismatch'
  /** R3.3 step 4. */
  | 'session-id-context-mismatch'
  /** R3.3 step 6. */
  | 'expired'
  /** The session lacks the extended master secret that the ClientHello offers. */
  | 'extended-master-secret-added'
  /** The owner of the connection declined what was found, by {@link ResumptionOffer.examine}. */
  | 'declined'
  /** The connection ended while the get callback was being awaited. */
  | 'abandoned'
  /** Fatal: VERIFY_PEER without a session id context, R3.3 step 5. */
  | 'session-id-context-uninitialized'
  /** Fatal: the session has the extended master secret, the ClientHello does not offer it. */
  | 'extended-master-secret-dropped'
  /** Fatal: the client no longer offers the session's cipher suite (TLS 1.2). */
  | 'cipher-not-offered'
  /** Fatal: the session uses compression. */
  | 'compression'
  /** Fatal: an empty PSK identity. */
  | 'empty-psk-identity'
  /** Fatal: the binder of the PSK does not verify. */
  | 'binder-mismatch'
  /** Fatal: no id for the new session (R8.5, R8.6). */
  | 'session-id-callback-failed'
  /** Fatal: the id generator gave 0 or more than 32 bytes (R8.6). */
  | 'session-id-bad-length'
  /** Fatal: the generated id is in the internal cache (R8.7). */
  | 'session-id-conflict'

/** Where a resumed session came from. */
export type SessionSource = 'internal' | 'external' | 'ticket' | 'external-psk'

/** A server's decision about one ClientHello. */
export type ResumptionVerdict = Resumption | Refusal

/** The handshake resumes this session. */
export interface Resumption {
  readonly resume: true
  readonly session: SslSession
  readonly source: SessionSource
  /** TLS 1.3: index of the accepted identity. */
  readonly pskIdentity: number
  /** Early data may be accepted as far as the session is concerned (R10.10). */
  readonly earlyDataAllowed: boolean
}

/** The handshake is a full one, or has failed. */
export interface Refusal {
  readonly resume: false
  readonly reason: RefusalReason
  /** Present when the handshake has failed: the alert to put on the wire. The model has already accounted for it. */
  readonly alert?: number
}

/** A verdict before it has an effect: what the pure rules say about one candidate. */
export interface Objection {
  readonly reason: RefusalReason
  readonly alert?: number
}
