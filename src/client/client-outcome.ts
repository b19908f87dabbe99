import type { ClientReason } from '../session/client-reasons.ts'
import type { Outcome } from '../session/handshakes.ts'

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
