import type { Certificate } from '../../tools/certificate.ts'

export const SERVER_KINDS = ['tls', 'https', 'http2'] as const
export const STORE_KINDS = ['internal', 'asynchronous', 'waiting'] as const

export type ServerKind = (typeof SERVER_KINDS)[number]
/** Where sessions are looked up and kept: inside, by a promise, or by one for which Node waits before it goes on. */
export type StoreKind = (typeof STORE_KINDS)[number]

/** One server, and what is done to it. */
export interface AbortCase {
  readonly server: ServerKind
  readonly store: StoreKind
  /** False: Node alone, whose listener of `resumeSession` answers as late as the store would. */
  readonly isAttached: boolean
  readonly seed: number
  /** Of each variant; in all of them as many. */
  readonly connections: number
  /** Until the second measurement of memory, after half of which there is the first; 0 measures none. */
  readonly measured: number
}

export interface StartAbort extends AbortCase {
  readonly certificate: Certificate
  /** A file in which the process leaves what it is doing. */
  readonly trail: string
}

/** What a client speaks, as the variants of a case are counted. */
export interface Variant {
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly hasSessionId: boolean
}

export const VARIANTS: readonly Variant[] = [
  { version: 'TLSv1.2', hasSessionId: true },
  { version: 'TLSv1.2', hasSessionId: false },
  { version: 'TLSv1.3', hasSessionId: true },
  { version: 'TLSv1.3', hasSessionId: false },
]

export const variantName = ({ version, hasSessionId }: Variant): string =>
  `${version}, ${hasSessionId ? 'with' : 'without'} session id`

/** What is left when nobody is connected. */
export interface Remains {
  readonly sockets: number
  /** Of JavaScript that has run since the start, whether they keep the process alive or not. */
  readonly timers: number
  readonly resources: Readonly<Record<string, number>>
  /** Handshakes whose writes are under way. */
  readonly pendingWrites: number
}

export interface AbortReport {
  /** This Node cannot do what the case asks for, and the library says so. */
  readonly refused?: string
  /** By variant. */
  readonly connections: Readonly<Record<string, number>>
  /** By moment and farewell: what has been tried, and what has been meant and was too late. */
  readonly moments: Readonly<Record<string, number>>
  readonly missed: Readonly<Record<string, number>>
  /** All that the server has accepted, with those of good clients. */
  readonly accepted: number
  /** Outcomes that listeners heard of: secureConnection, tlsClientError. */
  readonly heard: Readonly<Record<string, number>>
  /** Outcomes by `attachment.stats`; 0 for a stock server. */
  readonly outcomes: number
  /** Of listeners: the answers that each question had, by event. */
  readonly answers: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
  /** Good clients among the others, and how many of them were served. */
  readonly good: { readonly visits: number; readonly served: number }
  readonly uncaught: readonly string[]
  readonly remains: readonly [before: Remains, after: Remains]
  /** Bytes of heap and external memory after a collection, at half of the measured connections and at their end. */
  readonly memory?: readonly [half: number, end: number]
}
