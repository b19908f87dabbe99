import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'
import { reportsAuthorizationTruly } from './engine.ts'
import type { EdgeReason, NotKeptReason } from './handshake-reason.ts'
import type { ServerPolicies } from './server-policy.ts'
import type { SessionOrigin } from './session-binding.ts'

/** The edge's own rules about sessions, beyond libssl's: N3 and N4 of the README, and what the server's trust demands. */
export interface SessionRules {
  /** Seconds. */
  readonly maxAuthenticationAge: number
  readonly bindSessions: boolean
  readonly requireExtendedMasterSecret: boolean
}

/** A server's settings about trust, at one moment. */
export interface ServerTrust {
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  /** It issues stateless tickets of Node's own. */
  readonly isTicketing: boolean
  readonly policies: ServerPolicies
}

/** May what was found be resumed? */
export function objectionToResuming(
  { session, origin }: { readonly session: SslSession; readonly origin: SessionOrigin | undefined },
  nowMs: number,
  rules: SessionRules,
  trust: ServerTrust,
): EdgeReason | undefined {
  if (isTooOld(origin, nowMs, rules)) return 'authentication-too-old'
  return objectionToSession(session, rules, trust)
}

/** May what a handshake has made be resumed one day? */
export function objectionToKeeping(
  session: SslSession,
  rules: SessionRules,
  trust: ServerTrust,
): NotKeptReason | undefined {
  const isTls13 = session.protocolVersion === TLS1_3_VERSION
  if (isTls13 && trust.isTicketing) return 'stateless-ticket'
  return objectionToSession(session, rules, trust)
}

/** What holds for sessions on their way in and out: the rules may have been others when a session was made. */
function objectionToSession(
  session: SslSession,
  { requireExtendedMasterSecret }: SessionRules,
  { requestCert, rejectUnauthorized }: ServerTrust,
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
  { authenticatedAtSec, chainEndSec }: Omit<SessionOrigin, 'policyTag'>,
  { maxAuthenticationAge }: SessionRules,
): number {
  return Math.min(authenticatedAtSec + maxAuthenticationAge, chainEndSec)
}

export function isTooOld(origin: SessionOrigin | undefined, nowMs: number, rules: SessionRules): boolean {
  return origin !== undefined && Math.floor(nowMs / 1000) > authenticationEndSec(origin, rules)
}
