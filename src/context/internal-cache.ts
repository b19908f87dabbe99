import { cacheKey } from '../session/cache-key.ts'
import { type ExpiryOrder, type SslSession, sessionInternals } from '../session/ssl-session.ts'

interface Entry {
  readonly key: string
  readonly session: SslSession
  earlier: Entry | undefined
  later: Entry | undefined
}

/**
 * The internal cache: a Map from version and id to sessions, and a list of the same sessions by expiry.
 *
 * The list is libssl's, place for place: new entries go in by a scan from the latest, in front of those that expire at
 * the same moment, so that among equals the oldest is evicted first (R4.3). It is not a priority queue, since an entry
 * whose expiry changed under it (UPDATE_TIME on a re-add) keeps its place, and that must be seen (LISTFIX).
 */
export class InternalCache implements ExpiryOrder {
  readonly #entries: Map<string, Entry> = new Map()
  #latest: Entry | undefined
  #earliest: Entry | undefined

  get size(): number {
    return this.#entries.size
  }

  find(protocolVersion: number, sessionId: Uint8Array): SslSession | undefined {
    return this.#entries.get(cacheKey(protocolVersion, sessionId))?.session
  }

  has(session: SslSession): boolean {
    return this.#entries.get(keyOf(session))?.session === session
  }

  /**
   * R4: a session of the same key is replaced without further ado; room is made before the new one is in the list.
   *
   * @param capacity - sessions; 0 is unlimited (R4.4)
   * @returns the evicted sessions, first to last
   */
  insert(session: SslSession, capacity: number): SslSession[] {
    const key = keyOf(session)
    const replaced = this.#entries.get(key)
    if (replaced !== undefined) this.#unlink(replaced)
    const entry: Entry = { key, session, earlier: undefined, later: undefined }
    this.#entries.set(key, entry)
    const evicted: SslSession[] = []
    while (capacity > 0 && this.#entries.size > capacity && this.#earliest !== undefined)
      evicted.push(this.#drop(this.#earliest))
    this.#link(entry)
    sessionInternals.addOrder(session, this)
    return evicted
  }

  /** Removes whatever is stored under the session's version and id, which may be another object (R5.1). */
  remove(session: SslSession): boolean {
    const entry = this.#entries.get(keyOf(session))
    if (entry === undefined) return false
    this.#drop(entry)
    return true
  }

  /** Removes from the earliest on, and stops at the first for which `isDue` does not hold (R5.3). */
  removeEarliestWhile(isDue: (session: SslSession) => boolean): SslSession[] {
    const removed: SslSession[] = []
    while (this.#earliest !== undefined && isDue(this.#earliest.session))
      removed.push(this.#drop(this.#earliest))
    return removed
  }

  /** R6.7: a session's time or timeout has changed. */
  reposition(session: SslSession): void {
    const entry = this.#entries.get(keyOf(session))
    /* v8 ignore next -- a session tells only the caches that hold it */
    if (entry === undefined) return
    this.#unlinkEntry(entry)
    this.#link(entry)
  }

  /** A snapshot, latest expiry first. */
  sessions(): SslSession[] {
    const sessions: SslSession[] = []
    for (let entry = this.#latest; entry !== undefined; entry = entry.earlier) sessions.push(entry.session)
    return sessions
  }

  #drop(entry: Entry): SslSession {
    this.#entries.delete(entry.key)
    this.#unlink(entry)
    return entry.session
  }

  #unlink(entry: Entry): void {
    this.#unlinkEntry(entry)
    sessionInternals.removeOrder(entry.session, this)
  }

  #unlinkEntry(entry: Entry): void {
    if (entry.later === undefined) this.#latest = entry.earlier
    else entry.later.earlier = entry.earlier
    if (entry.earlier === undefined) this.#earliest = entry.later
    else entry.earlier.later = entry.later
    entry.earlier = undefined
    entry.later = undefined
  }

  /** `SSL_SESSION_list_add`: the usual case first, a session that outlives all others. */
  #link(entry: Entry): void {
    const expiry = entry.session.expiresAtMs
    if (this.#latest === undefined || this.#earliest === undefined) {
      this.#latest = entry
      this.#earliest = entry
    } else if (expiry >= this.#latest.session.expiresAtMs) this.#insertBefore(entry, this.#latest)
    else if (expiry < this.#earliest.session.expiresAtMs) this.#append(entry, this.#earliest)
    else this.#insertBefore(entry, this.#firstNotLaterThan(expiry, this.#earliest))
  }

  #firstNotLaterThan(expiry: number, earliest: Entry): Entry {
    let next = this.#latest?.earlier
    while (next !== undefined && expiry < next.session.expiresAtMs) next = next.earlier
    /* v8 ignore next -- the earliest, which ends the list, is not later */
    return next ?? earliest
  }

  #insertBefore(entry: Entry, next: Entry): void {
    entry.earlier = next
    entry.later = next.later
    if (next.later === undefined) this.#latest = entry
    else next.later.earlier = entry
    next.later = entry
  }

  #append(entry: Entry, last: Entry): void {
    entry.later = last
    last.earlier = entry
    this.#earliest = entry
  }
}

function keyOf(session: SslSession): string {
  return cacheKey(session.protocolVersion, sessionInternals.content(session).sessionId)
}
