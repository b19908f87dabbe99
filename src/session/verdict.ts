import type { RefusalReason, SessionSource } from './reasons.ts'
import type { SslSession } from './ssl-session.ts'

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
