import type { OctetsReader } from '../codec/compact-session.ts'
import type { SessionContent, SessionEdits } from './session-content.ts'
import type { SessionTraits } from './session-traits.ts'
import type { SslSession } from './ssl-session.ts'

/** An internal cache that holds the session and orders it by expiry. */
export interface ExpiryOrder {
  /** The list of this one order, which most sessions are in. */
  readonly alone: readonly ExpiryOrder[]
  reposition(session: SslSession): void
  /** Its expiry has changed, and it stays where it is. */
  keepPlace(session: SslSession): void
}

/** What only the model itself may do with a session: see {@link sessionInternals}. */
export interface SessionInternals {
  /** The live content, not to be changed by the reader. Of a compact session it is read anew, unless it was the last. */
  content(session: SslSession): SessionContent
  traits(session: SslSession): SessionTraits
  /** The creation time with its milliseconds. */
  timeMs(session: SslSession): number
  /** Writes fields of a session that no cache holds under the old ones. */
  update(session: SslSession, part: Partial<SessionContent>): void
  /** As the public setters do it, all at once; a hostname is without a NUL. Nothing is copied where nothing changes. */
  edit(session: SslSession, edits: SessionEdits): void
  /** Sets the creation time with its milliseconds; every order but `except` is put right. */
  setTimeMs(session: SslSession, timeMs: number, except?: ExpiryOrder): void
  setNotResumable(session: SslSession, notResumable: boolean): void
  /** R10.4: a copy without ticket data, resumable again. */
  duplicateWithoutTicket(session: SslSession): SslSession
  /**
   * As `SslSession.fromDer`, without a copy: the bytes must not change until the session is edited, or put into a cache.
   *
   * @param absentHostname - the hostname of a session that has none in its DER, a UTF-16 unit for each byte
   * @throws {@link SessionDerError}
   */
  borrow(der: Uint8Array, absentHostname?: string): SslSession
  /** For caches: the session takes as little memory as it can. What it holds stays the same. */
  compact(session: SslSession): void
  /**
   * As `toDer`, without a copy: `read` gets the bytes for as long as it runs, and makes no other DER. The timeout in it may be the one
   * before {@link limitTimeout}.
   */
  lendDer(session: SslSession, sessionIdContext: Uint8Array, read: (der: Uint8Array) => void): void
  /** What `read` makes of the ticket's application data where it lies, for as long as it runs; undefined without. */
  lendTicketAppData<T>(session: SslSession, read: OctetsReader<T>): T | undefined
  /** A shorter timeout, for whoever asks the session; it stays good for libssl as long as it was. */
  limitTimeout(session: SslSession, seconds: number): void
  /** A copy. */
  masterKey(session: SslSession): Uint8Array
  hasId(session: SslSession): boolean
  /** Its `hostname` is this one, without a copy. @param hostname - null for none */
  isFor(session: SslSession, hostname: Uint8Array | null): boolean
  isId(session: SslSession, sessionId: Uint8Array): boolean
  /** @returns the length of the id, whose bytes are now the first of `target` */
  writeId(session: SslSession, target: Uint8Array): number
  addOrder(session: SslSession, order: ExpiryOrder): void
  removeOrder(session: SslSession, order: ExpiryOrder): void
}
