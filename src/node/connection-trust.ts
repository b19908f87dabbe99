import type { ClientHello } from '../codec/client-hello.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { Edge } from './edge.ts'
import type { HandshakeFacts } from './keep-session.ts'
import { beforeVerification, type TlsHandle, watchServerName } from './node-engine.ts'
import type { TrustProfile, TrustSnapshot } from './trust-profile.ts'

/** Whom the server trusts in one connection, for whom it has chosen its certificate, and how long the client's chain is good. */
export class ConnectionTrust {
  readonly #edge: Edge
  #hello: ClientHello | undefined
  /** What the server trusted when Node took the connection. */
  #profile: TrustProfile | undefined
  /** The same, while the server name is not known. */
  #snapshot: TrustSnapshot | undefined
  /** For whom libssl has chosen certificate and authorities, when the ClientHello was not read. */
  #certified: { readonly serverName: string | undefined } | undefined
  /** Seconds since the epoch; undefined until the chain was looked at. */
  #chainEndSec: number | undefined
  #isRejected = false

  constructor(edge: Edge) {
    this.#edge = edge
  }

  /** Node takes the connection now. @returns what the server trusts, if its name is known */
  begin(hello: ClientHello | undefined): TrustProfile | undefined {
    const { profiles } = this.#edge
    this.#hello = hello
    if (hello === undefined) this.#snapshot = profiles.snapshot()
    else this.#profile = profiles.of(hello.serverName)
    return this.#profile
  }

  /** Node has the connection, and has read nothing of it. */
  watch(handle: TlsHandle): void {
    const { server, enabled } = this.#edge
    if (server.requestCert !== true) return
    beforeVerification(handle, (isVerified) => {
      if (!handle.isSessionReused())
        this.#chainEndSec ??= isVerified ? this.#endOfChain(handle) : Number.POSITIVE_INFINITY
    })
    if (this.#hello === undefined && enabled)
      watchServerName(handle, (serverName) => {
        this.#certified ??= { serverName }
      })
  }

  #endOfChain(handle: TlsHandle): number {
    return this.#edge.chainEnds.of(handle, this.#profile, this.#edge.context.now())
  }

  /**
   * After a HelloRetryRequest a client may name another server (RFC 9846 §4.2.2, before RFC 8446 §4.1.2, forbids it), and libssl
   * takes that name for the connection, though certificate, authorities and session were chosen by the first.
   *
   * @param serverName - of the finished connection
   * @returns whether the connection must not live
   */
  hasChangedServerName(version: number, serverName: string | undefined): boolean {
    const first = this.#hello ?? this.#certified
    return version === TLS1_3_VERSION && first !== undefined && serverName !== first.serverName
  }

  /** The connection is closed, and nothing of it is kept. */
  reject(): void {
    this.#isRejected = true
  }

  /** What is known of the handshake that makes a session. */
  factsOf(handle: TlsHandle, serverName: string | undefined, sessionIdContext: string): HandshakeFacts {
    return {
      serverName,
      sessionIdContext,
      hello: this.#hello,
      profile: this.#profile ?? this.#snapshot?.of(serverName),
      isRejected: this.#isRejected,
      // In TLS 1.2 a session comes before Node looks at the chain, and says itself whether that was verified.
      chainEndSec: () => {
        this.#chainEndSec ??= this.#endOfChain(handle)
        return this.#chainEndSec
      },
    }
  }

  /** What only the handshake needed goes. */
  release(): void {
    this.#hello = undefined
  }
}
