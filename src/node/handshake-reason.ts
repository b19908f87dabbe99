import type { RefusalReason, SessionSource } from '../session/verdict.ts'

/**
 * Why a handshake of a Node server ended as it did, a closed union. A resumed one tells where the session came from, a full
 * or failed one has a reason of the model ({@link RefusalReason}) or of the edge.
 */
export type HandshakeReason =
  | SessionSource
  | Exclude<RefusalReason, 'declined' | 'abandoned' | 'ticket-undecryptable'>
  | EdgeReason

/** The reasons that the model does not know: rules of the edge, limits of Node, connections that came to nothing. */
export type EdgeReason =
  /** The client offers a stateless ticket, or another identity that is no session id: one from before, or of other servers. */
  | 'stateless-ticket'
  /** The mode lacks SERVER, so no session is ever stored, and this one was not found. */
  | 'mode-without-server'
  /** `singleUse`: this process has seen the ticket before. */
  | 'already-used'
  /** The session was made for another server name. */
  | 'server-name-mismatch'
  /** The session was made under another trust profile, or another answer of the owner's policy. */
  | 'trust-changed'
  /** By a mark of `revocations`. */
  | 'revoked'
  /** `revocations` has not been refreshed for too long: it may have been revoked. */
  | 'revocation-unknown'
  /** `policy` answered false, threw or rejected. */
  | 'policy-refused'
  /** Client certificates are requested, SNICallback chooses who verifies them, and no `policy` says what it chose. */
  | 'policy-unknown'
  /** `maxAuthenticationAgeSec` has passed since the first full handshake, or the client's certificate chain has expired. */
  | 'authentication-too-old'
  /** This Node would call the resumed connection authorized, though its client showed no certificate. */
  | 'authorization-not-preserved'
  /** TLS 1.2, and the session has no extended master secret. */
  | 'no-extended-master-secret'
  /** The client's certificate did not verify, and now it must. */
  | 'unauthorized'
  /** A session that this version cannot read: its origin is of another format, or missing. */
  | 'unknown-format'
  /** `lookupTimeoutMs` went by. */
  | 'lookup-timeout'
  /** The client was asked for another key share, and Node has given its session away with the first ClientHello. */
  | 'hello-retry-request'
  /** `readAheadMs` went by before the ClientHello was whole. */
  | 'stalled-hello'
  /** More than 128 KiB. */
  | 'oversized-hello'
  /** It begins like a ClientHello, and is none that can be read. */
  | 'unreadable-hello'
  /** The first bytes are not TLS. */
  | 'not-tls'
  /** Nothing was read ahead, since nothing could have been found: NO_INTERNAL_LOOKUP without a get callback. */
  | 'no-lookup'
  /** The connection is a stream of objects, or no Readable, which cannot be read ahead. */
  | 'unreadable-stream'
  /** `attachment.enabled` was false. */
  | 'disabled'
  /** The model would have resumed, Node did not; or Node negotiated what the model did not expect. */
  | 'node-disagreed'
  /** Failed: after a HelloRetryRequest the client named another server than before. */
  | 'server-name-changed'
  /** Failed: the client was gone before Node had its ClientHello. */
  | 'client-left'
  /** Failed: the handshake was not completed; `tlsClientError` has the cause. */
  | 'handshake-failed'

/** Why a session that a handshake made is not kept, a closed union. */
export type NotKeptReason =
  | 'disabled'
  /** It was born in a renegotiation (3SHAKE). */
  | 'renegotiation'
  /** TLS 1.2 without extended master secret, RFC 7627. */
  | 'no-extended-master-secret'
  /** TLS 1.3: the client knows no psk_dhe_ke, so it could never use it. */
  | 'psk-modes-unsupported'
  | 'policy-unknown'
  | 'policy-refused'
  | 'authorization-not-preserved'
  | 'authentication-too-old'
  | 'server-name-changed'
  /** Its client's certificate did not verify, so the connection is closed. */
  | 'unauthorized'
  /** Tickets are on: what was made in TLS 1.3 is in the ticket, and nobody would ever ask for it. */
  | 'stateless-ticket'
  /** `shouldStore` answered false, or threw. */
  | 'declined'
  /** Beyond Node's 10 KiB, so no newSession came: mostly a large client certificate. */
  | 'too-large'
  /** TLS 1.3, and the ClientHello was not read: for whom the session was made is not proved. */
  | 'unread-hello'
  /** The new callback threw or rejected: the external cache has not taken it. */
  | 'store-failed'
  /** The new callback has not answered within `lookupTimeoutMs`: the session may still be taken. */
  | 'store-timeout'
  /** Not the DER of an SSL_SESSION. */
  | 'unreadable'
