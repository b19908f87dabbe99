import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import type { EdgeReason } from '../session/reasons.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'
import { reportsAuthorizationTruly } from './runtime.ts'
import type { SessionOrigin } from './session-binding.ts'
import type { TrustProfile } from './trust-profile.ts'

/** The edge's own rules about sessions, beyond libssl's: N3 and N4 of docs/libssl.md. */
export interface SessionRules {
  /** Seconds. */
  readonly maxAuthenticationAgeSec: number
  readonly requireExtendedMasterSecret: boolean
}

/** What holds for sessions on their way in and out: the rules may have been others when a session was made. */
export function objectionToSession(
  session: SslSession,
  { requireExtendedMasterSecret }: SessionRules,
  { requestCert, rejectUnauthorized }: TrustProfile,
): (EdgeReason & NotKeptReason) | undefined {
  const isTls13 = session.protocolVersion === TLS1_3_VERSION
  // 3SHAKE: without it the master secret is not bound to the certificates of the handshake, RFC 7627 §1.
  if (requireExtendedMasterSecret && !isTls13 && !session.extendedMasterSecret)
    return 'no-extended-master-secret'
  if (isTls13 && requestCert && session.peerCertificate === undefined && !reportsAuthorizationTruly())
    return 'authorization-not-preserved'
  return requestCert && rejectUnauthorized && session.verifyResult !== 0 ? 'unauthorized' : undefined
}

/** The last second in which the authentication of a full handshake counts. */
export function authenticationEndSec(
  { authenticatedAtSec, chainEndSec }: SessionOrigin,
  { maxAuthenticationAgeSec }: SessionRules,
): number {
  return Math.min(authenticatedAtSec + maxAuthenticationAgeSec, chainEndSec)
}

/** Also by a clock that gives no number. */
export function isTooOld(origin: SessionOrigin | undefined, nowMs: number, rules: SessionRules): boolean {
  return origin !== undefined && !(Math.floor(nowMs / 1000) <= authenticationEndSec(origin, rules))
}
