import type { GuardStats } from '../../../src/store/guarded-store.ts'
import type { Certificate } from '../../tools/certificate.ts'
import type { EngineAddress } from '../../tools/engine-store.ts'

export const NAME = 'server.example'

/**
 * What an engine does to its servers. Those behind a port have `unreachable` and `slow` in a proxy, and Redis refuses by itself;
 * everything else is done in the server process, around the engine's store.
 */
export type Trouble = 'none' | 'unreachable' | 'slow' | 'refusing' | 'rejecting-late'

export interface ServerSettings {
  readonly certificate: Certificate
  readonly engine: EngineAddress
  /** Of the key ring, in hexadecimal. */
  readonly secret: string
  /** 0 for a free one. */
  readonly port: number
  readonly deadlineMs: number
  readonly singleUse: boolean
}

export type ToServer =
  | { readonly type: 'start'; readonly settings: ServerSettings }
  | { readonly type: 'trouble'; readonly trouble: Trouble }
  /** `collect`: the garbage first, which takes its time. */
  | { readonly type: 'report'; readonly collect: boolean }

export type FromServer =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'report'; readonly report: ServerReport }

/** What a server did since its last report. */
export interface ServerReport {
  readonly outcomes: Readonly<Record<'resumed' | 'full' | 'failed', number>>
  readonly reasons: Readonly<Record<string, number>>
  readonly maxLookupMs: number
  /** Milliseconds that its event loop was late at most: the machine's doing, or its own. */
  readonly maxStallMs: number
  readonly maxQueuedWrites: number
  readonly maxPendingCalls: number
  readonly rssBytes: number
  readonly heapBytes: number
  /** Rejections without a handler, errors that nobody caught, and warnings. */
  readonly unhandled: readonly string[]
  readonly guard: GuardStats
  readonly pendingWrites: number
}

export interface ClientPhase {
  /** Of both servers. */
  readonly ports: readonly [number, number]
  readonly handshakes: number
  /** Milliseconds over which they are spread, at least. */
  readonly spreadMs: number
  /** Begin without a session. */
  readonly isNew: boolean
  /** What kills this server's process is not the cache's doing: a connection that it cuts is tried at the other. */
  readonly killedPort: number | undefined
}

export type ToClient =
  | { readonly type: 'start'; readonly cert: string; readonly version: 'TLSv1.2' | 'TLSv1.3' }
  | { readonly type: 'phase'; readonly phase: ClientPhase }
  /** From now on it offers sessions with ids that nobody has issued, or stops doing so. */
  | { readonly type: 'forge'; readonly isOn: boolean }

export type FromClient = { readonly type: 'half' } | { readonly type: 'done'; readonly report: ClientReport }

export interface ClientReport {
  readonly handshakes: number
  /** With a session to resume, forged ones included. */
  readonly offered: number
  readonly resumed: number
  readonly failures: readonly string[]
  /** Connections that ended with the process of their server. */
  readonly cut: number
  /** From TCP connect to the end of the handshake. */
  readonly latenciesMs: readonly number[]
  readonly maxStallMs: number
}
