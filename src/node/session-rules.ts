import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'
import { reportsAuthorizationTruly } from './engine.ts'
import type { EdgeReason, NotKeptReason } from './handshake-reason.ts'
import type { TlsServer } from './server-policy.ts'
import { usesTickets } from './server-setup.ts'
import { readOrigin, type SessionOrigin } from './session-binding.ts'

/** The edge's own rules about sessions, beyond libssl's: N1 to N8 of the README. */
export interface SessionRules {
  /** Seconds. */
  readonly maxAuthenticationAge: number
  readonly bindSessions: boolean
  readonly requireExtendedMasterSecret: boolean
}

/** May what was found be resumed? */
export function objectionToResuming(
  session: SslSession,
  nowMs: number,
  rules: SessionRules,
  server: TlsServer,
): EdgeReason | undefined {
  if (isTooOld(session, nowMs, rules)) return 'authentication-too-old'
  return isAuthorizationLost(session, server) ? 'authorization-not-preserved' : undefined
}

/** May what a handshake has made be resumed one day? */
export function objectionToKeeping(
  session: SslSession,
  rules: SessionRules,
  server: TlsServer,
): NotKeptReason | undefined {
  const isTls13 = session.protocolVersion === TLS1_3_VERSION
  if (isTls13 && usesTickets(server)) return 'stateless-ticket'
  // 3SHAKE: without it the master secret is not bound to the certificates of the handshake, RFC 7627 §1.
  if (rules.requireExtendedMasterSecret && !isTls13 && !session.extendedMasterSecret)
    return 'no-extended-master-secret'
  if (isAuthorizationLost(session, server)) return 'authorization-not-preserved'
  const mustVerify = server.requestCert === true && server.rejectUnauthorized !== false
  return mustVerify && session.verifyResult !== 0 ? 'unauthorized' : undefined
}

/** The last second in which the authentication of a full handshake counts. */
export function authenticationEndSec(
  { authenticatedAtSec, chainEndSec }: Omit<SessionOrigin, 'policyTag'>,
  { maxAuthenticationAge }: SessionRules,
): number {
  return Math.min(authenticatedAtSec + maxAuthenticationAge, chainEndSec)
}

export function isTooOld(session: SslSession, nowMs: number, rules: SessionRules): boolean {
  const origin = readOrigin(session)
  return origin !== undefined && Math.floor(nowMs / 1000) > authenticationEndSec(origin, rules)
}

function isAuthorizationLost(session: SslSession, server: TlsServer): boolean {
  return (
    session.protocolVersion === TLS1_3_VERSION &&
    server.requestCert === true &&
    session.peerCertificate === undefined &&
    !reportsAuthorizationTruly()
  )
}
