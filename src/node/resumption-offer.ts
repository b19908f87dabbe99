import type { ClientHello } from '../codec/client-hello.ts'
import type { ResumptionOffer } from '../session/offer.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'

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
