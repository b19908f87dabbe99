import { MAX_ID_LENGTH } from '../session/ranges.ts'
import { type ExpiryOrder, type SslSession, sessionInternals } from '../session/ssl-session.ts'

/**
 * The internal cache: a hash table from version and id (R3.1) to sessions, and a list of the same sessions by expiry.
 *
 * The list is libssl's, place for place: new entries go in by a scan from the latest, in front of those that expire at
 * the same moment, so that among equals the oldest is evicted first (R4.3). It is not a priority queue, since an entry
 * whose expiry changed under it (UPDATE_TIME on a re-add) keeps its place, and that must be seen (LISTFIX).
 *
 * Why not a Map of entries: with a million sessions, the collector has to visit each entry, and the string of each key, and
 * a Map that things come to and go from is built anew from time to time, at once. Here an entry is a number, the slot at
 * which each column has its part of it, and the columns are memory that the collector does not look into.
 */
export class InternalCache implements ExpiryOrder {
  readonly alone: readonly ExpiryOrder[] = [this]
  readonly #probe: Probe = new Probe()
  #columns: Columns = new Columns(MIN_SLOTS)
  #size = 0
  /** Slots are counted from 1; 0 is none. */
  #latest = 0
  #earliest = 0
  /** Given back, chained by `later`. */
  #free = 0
  /** Ever used. */
  #highest = 0
  /** Of those that expire at a whole second, the first slot from the latest, by that second. */
  readonly #heads: Map<number, number> = new Map()
  /** Entries that expire at no whole second. */
  #fractional = 0
  /** No entry has changed its expiry and kept its place. */
  #isSorted = true
  #stored = 0
  #replaced = 0

  get size(): number {
    return this.#size
  }

  /** Insertions. */
  get stored(): number {
    return this.#stored
  }

  /** Those of them whose key was there. */
  get replaced(): number {
    return this.#replaced
  }

  /** The one that is evicted first. */
  get earliest(): SslSession | undefined {
    return this.#columns.sessions[this.#earliest]
  }

  find(protocolVersion: number, sessionId: Uint8Array): SslSession | undefined {
    if (sessionId.length > MAX_ID_LENGTH) return undefined
    this.#probe.read(protocolVersion, sessionId)
    return this.#columns.sessions[this.#slotOfProbe()]
  }

  has(session: SslSession): boolean {
    return this.#columns.sessions[this.#slotOf(session)] === session
  }

  /**
   * R4: a session of the same key is replaced without further ado; room is made before the new one is in the list.
   *
   * @param capacity - sessions; 0 is unlimited (R4.4)
   * @returns the evicted sessions, first to last
   */
  insert(session: SslSession, capacity: number): readonly SslSession[] {
    const replaced = this.#slotOf(session)
    this.#stored++
    if (replaced !== 0) {
      this.#replaced++
      this.#drop(replaced)
    }
    sessionInternals.compact(session)
    let evicted: SslSession[] | undefined
    while (capacity > 0 && this.#size >= capacity && this.#earliest !== 0) {
      evicted ??= []
      evicted.push(this.#drop(this.#earliest))
    }
    this.#probe.readSession(session)
    this.#link(this.#occupy(session))
    sessionInternals.addOrder(session, this)
    return evicted ?? NOBODY
  }

  /** Removes whatever is stored under the session's version and id, which may be another object (R5.1). */
  remove(session: SslSession): boolean {
    const slot = this.#slotOf(session)
    if (slot === 0) return false
    this.#drop(slot)
    return true
  }

  /**
   * Removes from the earliest on, and stops at the first for which `isDue` does not hold (R5.3).
   *
   * @param limit - removes no more than that
   */
  removeEarliestWhile(isDue: (session: SslSession) => boolean, limit: number): SslSession[] {
    const removed: SslSession[] = []
    while (this.#earliest !== 0 && removed.length < limit && isDue(this.#sessionAt(this.#earliest)))
      removed.push(this.#drop(this.#earliest))
    return removed
  }

  /** R6.7: a session's time or timeout has changed. */
  reposition(session: SslSession): void {
    const slot = this.#slotOf(session)
    /* v8 ignore next -- a session tells only the caches that hold it */
    if (slot === 0) return
    this.#unlink(slot)
    this.#link(slot)
  }

  keepPlace(): void {
    this.#isSorted = false
  }

  /** A snapshot, latest expiry first. */
  sessions(): SslSession[] {
    const sessions: SslSession[] = []
    for (let slot = this.#latest; slot !== 0; slot = at(this.#columns.earlier, slot))
      sessions.push(this.#sessionAt(slot))
    return sessions
  }

  #sessionAt(slot: number): SslSession {
    const session = this.#columns.sessions[slot]
    /* v8 ignore next -- a slot in the list is occupied */
    if (session === undefined) throw new TypeError(`slot ${slot} is free`)
    return session
  }

  #slotOf(session: SslSession): number {
    this.#probe.readSession(session)
    return this.#slotOfProbe()
  }

  #slotOfProbe(): number {
    const { buckets, chain } = this.#columns
    let slot = at(buckets, this.#probe.hash & (buckets.length - 1))
    while (slot !== 0 && !this.#probe.isAt(this.#columns, slot)) slot = at(chain, slot)
    return slot
  }

  /** A slot for what the probe has read. */
  #occupy(session: SslSession): number {
    if (this.#free === 0 && this.#highest + 1 === this.#columns.sessions.length) this.#grow()
    const columns = this.#columns
    let slot = this.#free
    if (slot === 0) slot = ++this.#highest
    else this.#free = at(columns.later, slot)
    // It was the chain of free slots, perhaps.
    columns.later[slot] = 0
    this.#probe.writeTo(columns, slot)
    columns.sessions[slot] = session
    columns.enter(slot, this.#probe.hash)
    this.#size++
    return slot
  }

  #drop(slot: number): SslSession {
    const session = this.#sessionAt(slot)
    const columns = this.#columns
    this.#unlink(slot)
    columns.leave(slot)
    columns.sessions[slot] = undefined
    columns.later[slot] = this.#free
    this.#free = slot
    this.#size--
    sessionInternals.removeOrder(session, this)
    if (this.#size === 0) this.#reset()
    return session
  }

  #grow(): void {
    this.#columns = this.#columns.enlarged()
  }

  /** What a crowd has needed is given back when all have gone. */
  #reset(): void {
    if (this.#columns.sessions.length > MIN_SLOTS) this.#columns = new Columns(MIN_SLOTS)
    this.#free = 0
    this.#highest = 0
    this.#isSorted = true
  }

  #unlink(slot: number): void {
    const { earlier, later } = this.#columns
    const before = at(earlier, slot)
    const after = at(later, slot)
    if (after === 0) this.#latest = before
    else earlier[after] = before
    if (before === 0) this.#earliest = after
    else later[before] = after
    earlier[slot] = 0
    later[slot] = 0
    this.#leaveRun(slot, before)
  }

  /** Linked, it is in front of all that expire at the same moment. */
  #enterRun(slot: number, expiry: number): void {
    this.#columns.expiries[slot] = expiry
    if (expiry % SECOND_MS === 0) this.#heads.set(expiry, slot)
    else this.#fractional++
  }

  #leaveRun(slot: number, before: number): void {
    const { expiries } = this.#columns
    const expiry = momentAt(expiries, slot)
    if (expiry % SECOND_MS !== 0) this.#fractional--
    else if (this.#heads.get(expiry) === slot) {
      if (before !== 0 && expiries[before] === expiry) this.#heads.set(expiry, before)
      else this.#heads.delete(expiry)
    }
  }

  /** `SSL_SESSION_list_add`: the usual case first, a session that outlives all others. */
  #link(slot: number): void {
    const expiry = this.#expiryAt(slot)
    this.#place(slot, expiry)
    this.#enterRun(slot, expiry)
  }

  #place(slot: number, expiry: number): void {
    if (this.#latest === 0) {
      this.#latest = slot
      this.#earliest = slot
    } else if (expiry >= this.#expiryAt(this.#latest)) this.#insertBefore(slot, this.#latest)
    else if (expiry < this.#expiryAt(this.#earliest)) this.#append(slot)
    else this.#insertBefore(slot, this.#firstNotLaterThan(expiry))
  }

  #expiryAt(slot: number): number {
    return this.#sessionAt(slot).expiresAtMs
  }

  /**
   * A scan in libssl, and short there. Here it would often be one of half the list: tickets of resumed connections inherit
   * the end of their authentication, which is that of their parent.
   */
  #firstNotLaterThan(expiry: number): number {
    const head = this.#isSorted ? this.#headNotLaterThan(expiry) : undefined
    if (head !== undefined) return head
    const { earlier } = this.#columns
    let next = at(earlier, this.#latest)
    while (next !== 0 && expiry < this.#expiryAt(next)) next = at(earlier, next)
    /* v8 ignore next -- the earliest, which ends the list, is not later */
    return next === 0 ? this.#earliest : next
  }

  #headNotLaterThan(expiry: number): number | undefined {
    const head = this.#heads.get(expiry)
    if (head !== undefined || this.#fractional > 0 || expiry % SECOND_MS !== 0) return head
    for (let step = 1; step <= MAX_STEPS; step++) {
      const lower = this.#heads.get(expiry - step * SECOND_MS)
      if (lower !== undefined) return lower
    }
    return undefined
  }

  #insertBefore(slot: number, next: number): void {
    const { earlier, later } = this.#columns
    const after = at(later, next)
    earlier[slot] = next
    later[slot] = after
    if (after === 0) this.#latest = slot
    else earlier[after] = slot
    later[next] = slot
  }

  #append(slot: number): void {
    const { earlier, later } = this.#columns
    later[slot] = this.#earliest
    earlier[this.#earliest] = slot
    this.#earliest = slot
  }
}

const NOBODY: readonly SslSession[] = []
const SECOND_MS = 1000
/** Seconds to look back for one at which something expires, before all are scanned. */
const MAX_STEPS = 64
const MIN_SLOTS = 1024
/** Of a session id, filled up with zeros: 8 words. */
const ID_WORDS = MAX_ID_LENGTH / 4

/** No slot, bucket or word is beyond the columns. */
function at(column: Int32Array, index: number): number {
  /* v8 ignore next -- see above */
  return column[index] ?? 0
}

function momentAt(column: Float64Array, index: number): number {
  /* v8 ignore next -- likewise */
  return column[index] ?? 0
}

function wordAt(words: Uint32Array, index: number): number {
  /* v8 ignore next -- likewise */
  return words[index] ?? 0
}

/** Each slot's part of an entry; all of a length that is a power of two. */
class Columns {
  /** The first slot of each chain. */
  readonly buckets: Int32Array
  /** The next slot of the same bucket. */
  readonly chain: Int32Array
  readonly earlier: Int32Array
  readonly later: Int32Array
  readonly hashes: Int32Array
  /** Milliseconds, as they were when the slot was linked. */
  readonly expiries: Float64Array
  /** Version and length of the id. */
  readonly kinds: Int32Array
  readonly ids: Uint32Array
  readonly sessions: (SslSession | undefined)[]

  constructor(slots: number, previous?: Columns) {
    const column = (old: Int32Array | undefined): Int32Array => {
      const values = new Int32Array(slots)
      if (old !== undefined) values.set(old)
      return values
    }
    this.buckets = new Int32Array(slots)
    this.chain = new Int32Array(slots)
    this.earlier = column(previous?.earlier)
    this.later = column(previous?.later)
    this.hashes = column(previous?.hashes)
    this.kinds = column(previous?.kinds)
    this.expiries = new Float64Array(slots)
    if (previous !== undefined) this.expiries.set(previous.expiries)
    this.ids = new Uint32Array(slots * ID_WORDS)
    if (previous !== undefined) this.ids.set(previous.ids)
    this.sessions = previous?.sessions ?? []
    for (let slot = this.sessions.length; slot < slots; slot++) this.sessions.push(undefined)
  }

  /** When no slot is free. */
  enlarged(): Columns {
    const { length } = this.sessions
    const columns = new Columns(length * 2, this)
    for (let slot = 1; slot < length; slot++) columns.enter(slot, at(columns.hashes, slot))
    return columns
  }

  enter(slot: number, hash: number): void {
    const bucket = hash & (this.buckets.length - 1)
    this.hashes[slot] = hash
    this.chain[slot] = at(this.buckets, bucket)
    this.buckets[bucket] = slot
  }

  leave(slot: number): void {
    const { buckets, chain } = this
    const bucket = at(this.hashes, slot) & (buckets.length - 1)
    let before = at(buckets, bucket)
    if (before === slot) {
      buckets[bucket] = at(chain, slot)
      return
    }
    while (chain[before] !== slot) before = at(chain, before)
    chain[before] = at(chain, slot)
  }
}

/** The key that is looked for, in words. */
class Probe {
  /** Others must not be able to make ids that meet in one bucket. */
  readonly #seed: number = Math.floor(Math.random() * 2 ** 32) | 1
  readonly #bytes: Uint8Array = new Uint8Array(MAX_ID_LENGTH)
  readonly #words: Uint32Array = new Uint32Array(this.#bytes.buffer)
  #kind = 0
  hash = 0

  read(protocolVersion: number, sessionId: Uint8Array): void {
    const bytes = this.#bytes
    const { length } = sessionId
    bytes.set(sessionId)
    this.#finish(protocolVersion, length)
  }

  readSession(session: SslSession): void {
    this.#finish(session.protocolVersion, sessionInternals.writeId(session, this.#bytes))
  }

  #finish(protocolVersion: number, length: number): void {
    if (length < this.#bytes.length) this.#bytes.fill(0, length)
    this.#kind = (protocolVersion << 8) | length
    let hash = this.#seed ^ this.#kind
    for (let index = 0; index < ID_WORDS; index++) {
      hash = Math.imul(hash ^ wordAt(this.#words, index), 0x9e3779b1)
      hash ^= hash >>> 15
    }
    this.hash = hash
  }

  isAt({ kinds, ids }: Columns, slot: number): boolean {
    if (kinds[slot] !== this.#kind) return false
    const words = this.#words
    const start = slot * ID_WORDS
    for (let index = 0; index < ID_WORDS; index++) if (ids[start + index] !== words[index]) return false
    return true
  }

  writeTo({ kinds, ids }: Columns, slot: number): void {
    kinds[slot] = this.#kind
    const start = slot * ID_WORDS
    for (let index = 0; index < ID_WORDS; index++) ids[start + index] = wordAt(this.#words, index)
  }
}
