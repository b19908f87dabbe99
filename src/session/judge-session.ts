import { equalBytes } from './bytes.ts'
import { Alert, VerifyMode } from './ssl-constants.ts'
import type { SslSession } from './ssl-session.ts'
import { sessionInternals } from './ssl-session.ts'
import type { Objection } from './verdict.ts'

/** What a candidate is held against. */
export interface ResumptionRequirements {
  readonly protocolVersion: number
  readonly sessionIdContext: Uint8Array
  readonly verifyMode: number
  /** The ClientHello offers it and the server does not refuse it; undefined where it is not to be compared. */
  readonly extendedMasterSecret: boolean | undefined
}

/**
 * May the candidate be resumed? `ssl_get_prev_session` of libssl, the checks of R3.3, in its order: each refusal has
 * other consequences for counters, caches and the peer.
 *
 * @returns undefined when nothing speaks against it
 */
export function judgeSession(
  candidate: SslSession,
  nowMs: number,
  required: ResumptionRequirements,
): Objection | undefined {
  if (candidate.protocolVersion !== required.protocolVersion) return { reason: 'version-mismatch' }
  // A session made under another context may have skipped this one's client-certificate check, so it is refused
  // before its age is looked at: SSL_CTX_set_session_id_context(3).
  if (!equalBytes(sessionInternals.traits(candidate).sessionIdContext, required.sessionIdContext))
    return { reason: 'session-id-context-mismatch' }
  if ((required.verifyMode & VerifyMode.PEER) !== 0 && required.sessionIdContext.length === 0)
    return { reason: 'session-id-context-uninitialized', alert: Alert.INTERNAL_ERROR }
  if (isExpired(candidate, nowMs)) return { reason: 'expired' }
  // RFC 7627 §5.3.
  if (
    required.extendedMasterSecret === undefined ||
    required.extendedMasterSecret === candidate.extendedMasterSecret
  )
    return undefined
  return candidate.extendedMasterSecret
    ? { reason: 'extended-master-secret-dropped', alert: Alert.HANDSHAKE_FAILURE }
    : { reason: 'extended-master-secret-added' }
}

/**
 * R3.3, the timeout: strictly after the expiry; a session whose age equals its timeout is valid. By a clock that gives no number,
 * nothing is.
 */
export function isExpired(session: SslSession, nowMs: number): boolean {
  return !(nowMs <= session.expiresAtMs)
}

/** AES-GCM and ChaCha20-Poly1305 of TLS 1.2, RFC 5288, RFC 5289 and RFC 7905, by the hash of their PRF. */
const TLS12_SHA256: readonly number[] = [0xc02b, 0xc02f, 0xcca8, 0xcca9, 0xccaa, 0x009c, 0x009e]
const TLS12_SHA384: readonly number[] = [0xc02c, 0xc030, 0x009d, 0x009f]

/**
 * The hash of a cipher suite: RFC 9846 §B.4, and the usual ones of TLS 1.2, since a client may send a ticket of TLS 1.2 in
 * place of one of TLS 1.3. Undefined for all others.
 */
export function cipherSuiteHash(cipherSuite: number | undefined): 'sha256' | 'sha384' | undefined {
  if (cipherSuite === undefined) return undefined
  if (cipherSuite === 0x1302) return 'sha384'
  if (cipherSuite >= 0x1301 && cipherSuite <= 0x1305) return 'sha256'
  if (TLS12_SHA384.includes(cipherSuite)) return 'sha384'
  return TLS12_SHA256.includes(cipherSuite) ? 'sha256' : undefined
}

/** R10.10: the clock of the client may run this much slower than ours. */
const TICKET_AGE_ALLOWANCE_MS = 10_000
/** Times lose up to a second when they are written into DER. */
const ROUNDING_MS = 1_000

/** R10.10: does the ticket age that the client reports agree with ours, and is the session not expired? */
export function isTicketAgeCredible(
  session: SslSession,
  obfuscatedTicketAge: number,
  nowMs: number,
): boolean {
  // Both subtractions stop at 0, as those of OSSL_TIME do.
  const clientAgeMs = Math.max(0, obfuscatedTicketAge - sessionInternals.content(session).ticketAgeAdd)
  const ageMs = Math.max(0, nowMs - sessionInternals.timeMs(session))
  const latestMs = ageMs + ROUNDING_MS
  return (
    ageMs <= session.timeoutSec * 1000 &&
    clientAgeMs <= latestMs &&
    clientAgeMs + TICKET_AGE_ALLOWANCE_MS >= latestMs
  )
}
