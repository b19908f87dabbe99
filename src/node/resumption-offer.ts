import type { ClientHello } from '../codec/client-hello.ts'
import type { PskIdentity, ResumptionOffer } from '../session/offer.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'

const PSK_DHE_KE = 1

/**
 * The version that libssl will choose: the highest that both know, RFC 8446 §4.2.1. A guess too low would hand a TLS 1.2
 * session to a TLS 1.3 handshake, so the server's versions must not be fewer than they are.
 *
 * @param versions - the server's, highest first
 */
export function negotiatedVersion(
  { legacyVersion, supportedVersions }: ClientHello,
  versions: readonly number[],
): number | undefined {
  return versions.find((version) =>
    supportedVersions === undefined
      ? version <= legacyVersion && version < TLS1_3_VERSION
      : supportedVersions.includes(version),
  )
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
    ...(psk !== undefined && { pskIdentities: [psk] }),
    examine,
  }
}

/** What each offer may cost: clients have one ticket, some have two. */
const MAX_OPENED = 4

/**
 * The same to a server with stateless tickets of TLS 1.3: the first that can be opened is the one that counts.
 *
 * @param open - of a ticket
 */
export function ticketOffer(
  hello: ClientHello,
  open: (ticket: Uint8Array) => SslSession | undefined,
  examine: NonNullable<ResumptionOffer['examine']>,
): ResumptionOffer {
  let session: SslSession | undefined
  const pskIdentities = hello.pskIdentities.slice(0, MAX_OPENED).map((psk): PskIdentity => {
    if (session !== undefined) return { ...psk, ticket: { status: 'no-decrypt' } }
    session = open(psk.identity)
    return session === undefined
      ? { ...psk, ticket: { status: 'no-decrypt' } }
      : { ...psk, ticket: { status: 'success-renew', session } }
  })
  return {
    protocolVersion: TLS1_3_VERSION,
    sessionId: hello.sessionId,
    pskModeSupported: supportsPsk(hello),
    ...(pskIdentities.length > 0 && { pskIdentities }),
    examine,
  }
}
