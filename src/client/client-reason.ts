import type { Outcome } from '../session/handshakes.ts'

/** What a client's handshake came to, and why. */
export type ClientReason =
  /** The server has resumed what was offered. */
  | 'resumed'
  /** The server has not resumed what was offered. */
  | 'refused'
  /** Nothing is known of the server yet, or it gave no ticket. */
  | 'nothing-to-offer'
  /** All tickets have been used, and the server gave no new one yet. */
  | 'used-up'
  /** What there was had come to the end of its life. */
  | 'expired'
  /** There are sessions of this host and port, but what they verified, or who the client was, differs. */
  | 'trust-differs'
  /** With an option of this connection nobody can say what is verified: nothing is kept, nothing offered. */
  | 'not-bindable'
  /** The caller gave a session by hand. */
  | 'own-session'

/** One finished handshake of a client of {@link ClientSessions}. */
export interface ClientHandshake {
  readonly outcome: Outcome
  readonly reason: ClientReason
  /** As `tlsSocket.getProtocol()`; undefined for a handshake that was not completed. */
  readonly protocol: string | undefined
  readonly host: string
  readonly port: number | undefined
  /** What the session came from: memory, or the store. */
  readonly source: 'memory' | 'store' | undefined
}
