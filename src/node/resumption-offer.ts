import type { ClientHello } from '../codec/client-hello.ts'
import type { ResumptionOffer, TicketOffer } from '../session/offer.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'

const PSK_DHE_KE = 1

/**
 * The version that libssl will choose: the highest that both know, RFC 9846 §4.3.1 (RFC 8446 §4.2.1). A guess too low would hand a TLS 1.2
 * session to a TLS 1.3 handshake, so the server's versions must not be fewer than they are.
 *
 * @param versions - the server's, highest first
 */
export function negotiatedVersion(
  { legacyVersion, supportedVersions }: ClientHello,
  versions: readonly number[],
): number | undefined {
  for (const version of versions) {
    const isKnown =
      supportedVersions === undefined
        ? version <= legacyVersion && version < TLS1_3_VERSION
        : supportedVersions.includes(version)
    if (isKnown) return version
  }
  return undefined
}

export function supportsPsk({ pskKeyExchangeModes }: ClientHello): boolean {
  return pskKeyExchangeModes?.includes(PSK_DHE_KE) === true
}

/**
 * What a ClientHello offers to a server with SSL_OP_NO_TICKET. In TLS 1.3 that is one identity: libssl asks Node for the
 * first that is as long as a session id, and Node, which does not look at the id, would answer another with it as well.
 */
export function resumptionOffer(
  hello: ClientHello,
  protocolVersion: number,
  examine: NonNullable<ResumptionOffer['examine']>,
): ResumptionOffer {
  if (protocolVersion < TLS1_3_VERSION) {
    const { sessionId, extendedMasterSecret, cipherSuites } = hello
    return { protocolVersion, sessionId, extendedMasterSecret, cipherSuites, examine }
  }
  const [first] = hello.pskIdentities
  const psk = hello.pskIdentities.find(({ identity }) => identity.length === MAX_ID_LENGTH) ?? first
  return {
    protocolVersion,
    sessionId: hello.sessionId,
    pskModeSupported: supportsPsk(hello),
    pskIdentities: psk && [psk],
    examine,
  }
}

/** The stateless tickets that a ClientHello offers, or what may be one, in its order. */
export function offeredTickets(
  { pskIdentities, sessionTicket }: ClientHello,
  protocolVersion: number,
): readonly Uint8Array[] {
  if (protocolVersion === TLS1_3_VERSION) return pskIdentities.map(({ identity }) => identity)
  return sessionTicket === undefined || sessionTicket.length === 0 ? [] : [sessionTicket]
}

/** The session in one of the offered tickets. */
export interface OfferedSession {
  readonly ticket: Uint8Array
  readonly session: SslSession
}

/**
 * What a ClientHello offers to a server with stateless tickets.
 *
 * @param chosen - the ticket that libssl is to take, if it is good; all others it is to leave alone
 */
export function ticketOffer(
  hello: ClientHello,
  protocolVersion: number,
  chosen: OfferedSession | undefined,
  examine: NonNullable<ResumptionOffer['examine']>,
): ResumptionOffer {
  const verdictOn = (ticket: Uint8Array): TicketOffer =>
    ticket === chosen?.ticket
      ? { status: 'success-renew', session: chosen.session }
      : { status: 'no-decrypt' }
  const { sessionId, pskIdentities, sessionTicket, extendedMasterSecret, cipherSuites } = hello
  if (protocolVersion < TLS1_3_VERSION) {
    const ticket: TicketOffer =
      sessionTicket === undefined || sessionTicket.length === 0
        ? { status: 'empty' }
        : verdictOn(sessionTicket)
    return { protocolVersion, sessionId, ticket, extendedMasterSecret, cipherSuites, examine }
  }
  const offered = pskIdentities.map(({ identity, obfuscatedTicketAge }) => ({
    identity,
    obfuscatedTicketAge,
    ticket: verdictOn(identity),
  }))
  return {
    protocolVersion,
    sessionId,
    pskModeSupported: supportsPsk(hello),
    pskIdentities: offered.length > 0 ? offered : undefined,
    examine,
  }
}
