/** Resumed, full, or not completed. */
export type Outcome = 'resumed' | 'full' | 'failed'

/** What became of one handshake of a server. */
export interface HandshakeMessage {
  readonly outcome: Outcome
  /** One of `HandshakeReason`. */
  readonly reason: string
  /** As `tlsSocket.getProtocol()`: `TLSv1.2`, `TLSv1.3`; undefined for a handshake that was not completed. */
  readonly protocol: string | undefined
  /** As the client sent it, a UTF-16 unit for each byte; undefined when it sent none. */
  readonly serverName: string | undefined
  /** The attached server: `attachment.name`. */
  readonly server: string
  /** The connections of an attached server are counted from 1. */
  readonly connection: number
  /** The address of the client; undefined where its connection is no socket. */
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  /** Milliseconds from the connection's arrival until its ClientHello was whole. */
  readonly readAheadMs: number
  /** Milliseconds from there until Node got the connection: the caches and the owner's policy. */
  readonly lookupMs: number
}

/** A server and a context are at work together from now on. */
export interface AttachedMessage {
  readonly server: string
  /** As `tlsSocket.getProtocol()`. */
  readonly protocols: readonly string[]
  /** How TLS 1.3 resumes. */
  readonly tls13: 'stateless tickets' | 'stateful tickets'
  /** Bits of `SessionCacheMode`. */
  readonly sessionCacheMode: number
  readonly hasStore: boolean
  readonly isSingleUse: boolean
  readonly hasRevocations: boolean
}

/** Numbers of handshakes. */
export type OutcomeCounts = Readonly<Record<Outcome, number>>

/** Handshakes, counted since some beginning. */
export interface HandshakeCounts {
  readonly handshakes: OutcomeCounts
  readonly reasons: Readonly<Record<string, number>>
  /** Handshakes by their protocol, as `tlsSocket.getProtocol()`; without those that failed before they had one. */
  readonly protocols: Readonly<Record<string, OutcomeCounts>>
}

export const NO_HANDSHAKES: OutcomeCounts = { resumed: 0, full: 0, failed: 0 }

/** @returns how many of the completed handshakes have resumed, 0 to 1; null of none */
export function resumptionRate({ resumed, full }: OutcomeCounts): number | null {
  return resumed + full === 0 ? null : resumed / (resumed + full)
}

/** Counts handshakes by outcome, reason and protocol. */
export class HandshakeTally {
  readonly #handshakes: Record<Outcome, number> = { ...NO_HANDSHAKES }
  readonly #reasons: Record<string, number> = {}
  readonly #protocols: Record<string, Record<Outcome, number>> = {}

  count(outcome: Outcome, reason: string, protocol: string | undefined): void {
    this.#handshakes[outcome]++
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1
    if (protocol === undefined) return
    this.#protocols[protocol] ??= { ...NO_HANDSHAKES }
    this.#protocols[protocol][outcome]++
  }

  /** A snapshot. */
  get counts(): HandshakeCounts {
    const protocols = Object.entries(this.#protocols).map(([name, counts]) => [name, { ...counts }] as const)
    return {
      handshakes: { ...this.#handshakes },
      reasons: { ...this.#reasons },
      protocols: Object.fromEntries(protocols),
    }
  }
}
