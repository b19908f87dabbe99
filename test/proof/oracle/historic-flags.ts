import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { equalBytes } from '../../../src/session/bytes.ts'
import { type SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'

const EMPTY = new Uint8Array(0)

/**
 * NORES: what "not resumable" did before it. Such a session was stored and reported all the same, an external one was
 * accepted, its copies were not resumable either, and its id was blanked when a ServerHello was built, even in the cache.
 *
 * While the model works on such a session, its flag is taken away.
 */
export class HistoricFlags {
  readonly #isOld: boolean
  readonly #hidden: Set<SslSession> = new Set()
  /** D2: a session must not stay in the cache without its id; the runner puts it back, too. */
  readonly #blanked: Map<SslSession, Uint8Array> = new Map()

  constructor(isOld: boolean) {
    this.#isOld = isOld
  }

  /** The model will not see that it is not resumable. */
  hide(session: SslSession | undefined): void {
    if (!this.#isOld || session === undefined || !this.isFlagged(session)) return
    this.#hidden.add(session)
    sessionInternals.setNotResumable(session, false)
  }

  isFlagged(session: SslSession): boolean {
    if (this.#hidden.has(session)) return true
    const copy = session.dup()
    sessionInternals.update(copy, { sessionId: new Uint8Array(32) })
    return !copy.isResumable
  }

  /** A ServerHello is built. */
  blank(session: SslSession | undefined): boolean {
    if (!this.#isOld || session === undefined || !this.isFlagged(session)) return false
    if (!this.#blanked.has(session)) this.#blanked.set(session, session.sessionId)
    sessionInternals.update(session, { sessionId: EMPTY })
    return true
  }

  /** What the call makes of the connection's session by copying is as resumable as that was. */
  copying<T>(connection: SslConnection, call: () => T): T {
    const { session } = connection
    if (!this.#isOld || session === undefined || !this.isFlagged(session)) return call()
    this.hide(session)
    const result = call()
    this.unhide()
    if (connection.session !== undefined && connection.session !== session)
      sessionInternals.setNotResumable(connection.session, true)
    return result
  }

  /** At the end of a call. */
  unhide(): void {
    for (const session of this.#hidden) sessionInternals.setNotResumable(session, true)
    this.#hidden.clear()
  }

  /** libssl gets a session of this id, and would have both in its list. */
  unblankId(id: Uint8Array, isKnown: (session: SslSession) => boolean): void {
    for (const [session, sessionId] of this.#blanked)
      if (equalBytes(sessionId, id) && isKnown(session)) {
        sessionInternals.update(session, { sessionId })
        this.#blanked.delete(session)
      }
  }

  /** At the end of an operation. */
  unblank(isKnown: (session: SslSession) => boolean): void {
    for (const [session, sessionId] of this.#blanked)
      if (sessionId.length > 0 && isKnown(session)) sessionInternals.update(session, { sessionId })
    this.#blanked.clear()
  }
}
