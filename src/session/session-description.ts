import { redactId, toHex } from './bytes.ts'
import type { SslSession } from './ssl-session.ts'

/** What may be shown of a session: no secret, and of its id only the beginning. */
export function describeSession(session: SslSession): Record<string, unknown> {
  const { cipherSuite, isResumable, hasTicket, timeSec, timeoutSec } = session
  return {
    protocolVersion: fourDigits(session.protocolVersion),
    cipherSuite: cipherSuite === undefined ? null : fourDigits(cipherSuite),
    sessionId: redactId(session.sessionId),
    sessionIdContext: toHex(session.sessionIdContext),
    timeSec,
    timeoutSec,
    isResumable,
    hasTicket,
  }
}

function fourDigits(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`
}
