import type tls from 'node:tls'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslContext } from '../context/ssl-context.ts'
import type { SetupProblem } from '../errors.ts'
import type { HandshakeMessage } from '../session/handshakes.ts'
import type { HandshakeReason } from '../session/reasons.ts'
import type { Revocations } from '../store/revocations.ts'
import type { AttachmentStats } from './attachment-ledger.ts'
import type { SessionPolicy } from './edge.ts'
import type { TicketOptions } from './judged-tickets.ts'

/** What became of one handshake. Node's own outcome, where it differs from the model's. */
export interface ServerHandshake extends HandshakeMessage {
  readonly reason: HandshakeReason
  /** Present when the handshake was completed. */
  readonly socket: tls.TLSSocket | undefined
}

/** What {@link attachServer} may be told; each has its default. */
export interface AttachServerOptions {
  /**
   * What the server is called in messages, metrics and on the status page; by default what its context has as session id context.
   * Another attached server of that name makes it `shop 2`.
   */
  readonly name?: string | undefined
  /** Milliseconds that caches and `policy` may take, 1000 by default; later answers mean nothing, and the handshake is full. */
  readonly lookupTimeoutMs?: number | undefined
  /**
   * Milliseconds in which the ClientHello must be whole, 10000 by default, and no more than Node's handshakeTimeout. After that Node
   * gets what there is, and what is left of its handshakeTimeout rules.
   */
  readonly readAheadMs?: number | undefined
  /**
   * Seconds for which a full handshake may be resumed, through whatever chain of tickets: 1 to 604800 (RFC 9846 §4.7.1,
   * before RFC 8446 §4.6.1), by default the session timeout.
   */
  readonly maxAuthenticationAgeSec?: number | undefined
  /**
   * Milliseconds since the epoch: what goes back to a full handshake of before is not resumed, as if all had been revoked then.
   * The same in all processes, it needs no store. 0 by default.
   */
  readonly authenticatedAfterMs?: number | undefined
  /** TLS 1.3 sessions are taken, not looked up: used once, by all processes. False by default, as in libssl. */
  readonly singleUse?: boolean | undefined
  /**
   * What a connection writes is held back until the sessions of its handshake are stored, or `lookupTimeoutMs` has passed. So a
   * client that comes back at once finds them everywhere. False by default: sessions are written behind the handshake.
   */
  readonly waitForStore?: boolean | undefined
  /** Sessions are good for the server name and the trust profile under which they were made; true by default. */
  readonly bindSessions?: boolean | undefined
  /** Sessions of TLS 1.2 without it are not kept (RFC 7627); true by default. */
  readonly requireExtendedMasterSecret?: boolean | undefined
  /** Whether the sessions of a client are to be kept; undefined when its ClientHello was not read ahead. */
  readonly shouldStore?: ((hello: ClientHello | undefined) => boolean) | undefined
  readonly policy?: SessionPolicy | undefined
  /**
   * Stateless tickets in TLS 1.3: sessions are in what the client keeps, and no store is asked. TLS 1.2 goes on with session ids.
   * Off by default.
   */
  readonly tickets?: TicketOptions | undefined
  /** What all processes have revoked; it is asked at each resumption. */
  readonly revocations?: Pick<Revocations, 'objectionTo'> | undefined
  /** Problems of the set-up that are known, and wanted. */
  readonly tolerate?: readonly SetupProblem[] | undefined
  /** Called once for each handshake. */
  readonly onHandshake?: ((handshake: ServerHandshake) => void) | undefined
}

/** A server and a context at work together. */
export interface ServerAttachment {
  /** What it is, to those who show figures. */
  readonly kind: 'attachment'
  /** What the server is called; no other one that is attached in this process is called so. */
  readonly name: string
  /** False once it is closed, or disposed of. */
  readonly isAttached: boolean
  /**
   * False: nothing is looked up and nothing is kept, as if there were no cache. May be changed at any time.
   *
   * @throws {@link ArgumentError} when it is set to anything but true and false
   */
  enabled: boolean
  /** The one that was attached. */
  readonly context: SslContext
  /** A snapshot. */
  readonly stats: AttachmentStats
  /**
   * Detaches: new connections are Node's alone; those whose handshake is under way are served, and what is being written is
   * waited for.
   *
   * @param options - `deadlineMs`: milliseconds that this may take, 5000 by default
   * @returns how many writes had not been acknowledged then; a second call waits for the first
   */
  close(options?: { readonly deadlineMs?: number | undefined }): Promise<{ readonly dropped: number }>
  /** Detaches at once: handshakes under way end as full ones, and their sessions are not kept. */
  [Symbol.dispose](): void
  /** {@link close} with its default deadline. */
  [Symbol.asyncDispose](): Promise<void>
}
