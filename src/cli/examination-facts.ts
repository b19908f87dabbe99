import type { Failure } from './failure.ts'
import type { ClientSettings, Method, PeerCertificate } from './probe.ts'

/** When and where a session is offered. */
export type TrialKind =
  /** At once, on the connection after the one that made it. */
  | 'next'
  /** The same session a second time, at once. */
  | 'again'
  /** After others were made, and out of their order. */
  | 'later'
  /** At another endpoint than the one that made it. */
  | 'elsewhere'
  /** Under another server name. */
  | 'other-name'
  | 'after-wait'

/** One session, offered once. Endpoints are their labels. */
export interface Trial {
  readonly method: Method
  readonly kind: TrialKind
  readonly from: string
  readonly to: string
  readonly name?: string
  /** How many sessions `from` has made since this one. */
  readonly age: number
  readonly outcome: 'resumed' | 'full' | 'failed'
  /** Why it failed, if it did. */
  readonly error?: string
}

/** What a server gives its clients to resume with. */
export interface TokenFacts {
  /** A TLS 1.3 ticket of 32 bytes is a session id: the state is with the server. Anything longer holds the state itself. */
  readonly kind: 'id' | 'ticket' | 'stateful-ticket' | 'stateless-ticket'
  readonly bytes: number
  /** As announced; 0 for none, as always with ids. */
  readonly lifetimeSec: number
  /** A word for each key that tickets were seen to name, in this order; undefined where they name none. */
  readonly keys?: readonly string[]
}

/** What one method is like at one endpoint. */
export interface MethodFacts {
  readonly method: Method
  readonly endpoint: string
  /** `none`: handshakes succeed, and give nothing to resume with. `failed`: no handshake. */
  readonly support: 'sessions' | 'none' | 'failed'
  readonly token?: TokenFacts
  /** What was negotiated, `TLSv1.2`. */
  readonly protocol?: string
  readonly error?: string
  readonly failure?: Failure
}

export interface EndpointFacts {
  readonly endpoint: string
  /** Why there is no connection at all. */
  readonly unreachable?: string
  readonly certificate?: PeerCertificate
  readonly verifyError?: string
  /** Where nothing succeeds: what comes of it with all versions and ciphers that this client has, whatever Node's defaults say. */
  readonly wide?: {
    readonly protocol?: string
    readonly cipher?: string
    readonly failure?: Failure
  }
  /** Where one version succeeds and another does not: why a client that offers both fails. */
  readonly both?: Failure
  /** The run was over before it was met in all ways. */
  readonly isCutOff?: true
}

/** How this client was set up, as far as findings depend on it. */
export interface ClientFacts {
  readonly servername: string | undefined
  readonly hasCertificate: boolean
  readonly isInsecure: boolean
  readonly alpn: readonly string[]
  readonly startTls?: string | undefined
}

export function clientFacts(settings: ClientSettings, servername: string | undefined): ClientFacts {
  const { cert, isInsecure, alpn, startTls } = settings
  return {
    servername,
    hasCertificate: cert !== undefined,
    isInsecure: isInsecure === true,
    alpn,
    startTls,
  }
}

/** What a server answers under another name. */
export interface OtherNameFacts {
  readonly name: string
  readonly certificate: 'same' | 'other' | 'refused'
}

/** All that was seen; from this alone the findings are made. */
export interface Examination {
  readonly servername: string | undefined
  readonly client: ClientFacts
  readonly attempts: number
  readonly waitSec: number
  /** The run was over before all was asked. What it has cut off is nowhere here. */
  readonly isCutShort: boolean
  /** Whoever started it has ended it. */
  readonly isInterrupted?: true
  readonly endpoints: readonly EndpointFacts[]
  readonly methods: readonly MethodFacts[]
  readonly otherNames: readonly OtherNameFacts[]
  readonly trials: readonly Trial[]
  /** Full handshakes that failed though one before had succeeded. */
  readonly failures: readonly { readonly method: Method; readonly endpoint: string; readonly error: string }[]
}
