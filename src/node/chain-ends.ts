import { LRUCache } from 'lru-cache'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import { endSec } from './keep-session.ts'
import type { PeerCertificate, TlsHandle } from './node-engine.ts'
import type { TrustProfile } from './trust-profile.ts'

/** Clients choose their certificates. */
const MAX_KNOWN_CHAINS = 1000
/** No handshake takes as long, milliseconds. */
const HANDSHAKE_MS = 3_600_000

/**
 * When the verified chains of clients end. Node makes an object of each certificate to tell, which for a chain of three costs as much as a
 * tenth of the handshake. So the end is remembered by the client's own certificate: under the same authorities its owner can show
 * the chain again that led to this end, whatever is shown now.
 */
export class ChainEnds {
  /** By trust and fingerprint: seconds since the epoch. */
  readonly #known = new LRUCache<string, number>({ max: MAX_KNOWN_CHAINS })

  /**
   * The end of the first certificate of the peer's chain to expire, seconds since the epoch.
   *
   * @param handle - whose chain is verified
   * @param profile - by which it was; undefined when nobody can say
   * @param nowMs - milliseconds since the epoch
   */
  of(handle: TlsHandle, profile: TrustProfile | undefined, nowMs: number): number {
    const name = profile?.isOpaque === false ? nameOf(handle, profile) : undefined
    const known = name === undefined ? undefined : this.#known.get(name)
    // A chain that ends soon may have been renewed.
    if (known !== undefined && known - ONE_WEEK_SEC > nowMs / 1000) return known
    // libssl has verified it by the system's clock.
    const end = firstEndSec(handle.getPeerCertificate(true), Date.now() - HANDSHAKE_MS)
    if (name !== undefined) this.#known.set(name, end)
    return end
  }
}

function nameOf(handle: TlsHandle, { digest }: TrustProfile): string | undefined {
  const fingerprint = handle.getPeerCertificate(false)?.fingerprint256
  return fingerprint === undefined ? undefined : `${digest.toString('latin1')}${fingerprint}`
}

/**
 * The end of the first certificate of a verified chain to expire, seconds since the epoch. What had ended before the handshake began
 * was shown, and has played no part in it: a cross-signed certificate that peers still send, beside an authority that is trusted itself.
 *
 * @param leaf - with those above it, as Node shows them
 * @param beganMs - milliseconds since the epoch
 */
export function firstEndSec(leaf: PeerCertificate | undefined, beganMs: number): number {
  let end = Number.POSITIVE_INFINITY
  const seen = new Set<object>()
  let certificate = leaf
  while (certificate !== undefined && !seen.has(certificate)) {
    seen.add(certificate)
    const ownEnd = certificate.valid_to === undefined ? end : endSec(certificate.valid_to)
    if (certificate === leaf || ownEnd * 1000 >= beganMs) end = Math.min(end, ownEnd)
    certificate = certificate.issuerCertificate
  }
  return end
}
