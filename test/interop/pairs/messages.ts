import type { ServerHandshake } from '../../../src/index.ts'
import type { Certificates } from '../certificates.ts'
import type { KeyKind, Setup, Version } from '../setups.ts'

/** The runner to a server process, and a cluster's primary to its workers. */
export interface Start {
  readonly servers: readonly { readonly version: Version; readonly setup: Setup }[]
  readonly certificates: Readonly<Record<KeyKind, Certificates>>
  readonly storePort: number
  /** Of stateless tickets, hexadecimal. */
  readonly secret: string
}

/** A server process to the runner, and a worker to its cluster's primary. */
export type FromServer =
  /** A worker of a cluster loses what it is sent before it listens. */
  | { readonly type: 'ready' }
  | { readonly type: 'listening'; readonly server: string; readonly port: number }
  | { readonly type: 'issued'; readonly sessionId: string }
  | ({ readonly type: 'visit'; readonly path: string } & Visit)
  | { readonly type: 'failed'; readonly server: string; readonly reason: string }

/** A request, and what the handshake of its connection was. */
export interface Visit extends Pick<ServerHandshake, 'outcome' | 'reason' | 'protocol' | 'serverName'> {
  /** The common name in the certificate of a client that is authorized. */
  readonly clientName: string | undefined
  /** The id that was looked up and not found. */
  readonly missedId: string | undefined
}
