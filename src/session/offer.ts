import type { Answer } from './awaitable.ts'
import type { SslSession } from './ssl-session.ts'

/** RFC 5077 §3.4, with the status numbers' names of `SSL_CTX_set_session_ticket_cb(3)`; absent means none. */
export type TicketStatus = 'empty' | 'no-decrypt' | 'success' | 'success-renew' | 'ignored'

/** What became of a stateless ticket; the model holds no ticket keys. */
export interface TicketOffer {
  readonly status: TicketStatus
  /** With `success` and `success-renew`, otherwise not looked at: decoded for this handshake alone, the model may change it. */
  readonly session?: SslSession
}

/** One identity of the pre_shared_key extension, RFC 9846 §4.3.11 (RFC 8446 §4.2.11). */
export interface PskIdentity {
  readonly identity: Uint8Array
  readonly obfuscatedTicketAge?: number
  /** When the identity is a stateless ticket: what became of it. */
  readonly ticket?: TicketOffer
  /** When the identity names a PSK made outside TLS. */
  readonly externalPsk?: SslSession
  /** Verifies the binder with the found session's secret, at once; all but true refuses. Absent means that someone else does. */
  readonly verifyBinder?: (session: SslSession) => boolean
}

/** What a ClientHello says about resumption, once version (and in TLS 1.3 the suite) are negotiated. */
export interface ResumptionOffer {
  readonly protocolVersion: number
  /** legacy_session_id, 0 to 32 bytes. */
  readonly sessionId: Uint8Array
  /** The extended_master_secret extension is present (TLS 1.2); absent means that someone else compares. */
  readonly extendedMasterSecret?: boolean
  /** The session_ticket extension (TLS 1.2). */
  readonly ticket?: TicketOffer
  /**
   * Whether psk_key_exchange_modes names a mode that the server supports; undefined without the extension, which with identities is a
   * fatal error.
   */
  readonly pskModeSupported?: boolean
  /** pre_shared_key (TLS 1.3). */
  readonly pskIdentities?: readonly PskIdentity[] | undefined
  /** The suite that the server selected (TLS 1.3); absent means that someone else compares its hash. */
  readonly selectedCipherSuite?: number
  /** The suites that the client offers (TLS 1.2); absent means that someone else compares. */
  readonly cipherSuites?: readonly number[]
  /**
   * The owner's own rules about the session that was found, asked before those of libssl. Throwing or rejecting declines it.
   */
  readonly examine?: (session: SslSession) => Answer<Examination>
}

/** Declined, or the session id context that R3.3, the session id context is to hold the session against. */
export type Examination =
  | { readonly isDeclined: true }
  | { readonly isDeclined: false; readonly sessionIdContext: Uint8Array }
