import { writeBytes } from '../session/bytes.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import type { ExpiryOrder } from '../session/session-internals.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'

/**
 * The internal cache: a hash table from version and id (R3.1) to sessions, and a list of the same sessions by expiry.
 *
 * The list is libssl's, place for place: new entries go in by a scan from the latest, in front of those that expire at
 * the same moment, so that among equals the oldest is evicted first (R4.3). It is not a priority queue, since an entry
 * whose expiry changed under it (UPDATE_TIME on a re-add) keeps its place, and that must be seen (LISTFIX).
 *
 * Why not a Map of entries: with a million sessions, the collector has to visit each entry, and the string of each key, and
 * a Map that things come to and go from is built anew from time to time, at once. Here an entry is a number, the slot at
 * which each column has its part of it, and the columns are memory that the collector does not look into. With that many,
 * a lookup is little else than waiting for memory: so what is read together lies together, and what is read of entries that
 * only share a bucket is small, so that the processor's caches hold more of it.
 */
export class InternalCache implements ExpiryOrder {
  readonly alone: readonly ExpiryOrder[] = [this]
  readonly #probe: Probe
  #table: Table = new Table(MIN_SLOTS)
  #size = 0
  /** Slots are counted from 1; 0 is none. */
  #latest = 0
  #earliest = 0
  /** Given back, chained by `later`. */
  #free = 0
  /** Ever used. */
  #highest = 0
  /** Among those that expire at a whole second, the first slot from the latest, by that second; while the list is sorted. */
  readonly #heads: Map<number, number> = new Map()
  /** Entries that expire at no whole second; while the list is sorted. */
  #fractional = 0
  /** No entry has changed its expiry and kept its place. */
  #isSorted = true
  #stored = 0
  #replaced = 0

  /** @param hashKey - {@link HASH_KEY_LENGTH} bytes that nobody else knows; it decides nothing but speed */
  constructor(hashKey: Uint8Array) {
    this.#probe = new Probe(hashKey)
  }

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
    return this.#table.sessions[this.#earliest]
  }

  find(protocolVersion: number, sessionId: Uint8Array): SslSession | undefined {
    return this.#table.sessions[this.#slotOfId(protocolVersion, sessionId)]
  }

  hasId(protocolVersion: number, sessionId: Uint8Array): boolean {
    return this.#slotOfId(protocolVersion, sessionId) !== 0
  }

  /**
   * R4: a session of the same key is replaced without further ado; room is made before the new one is in the list.
   *
   * @param capacity - sessions; 0 is unlimited (R4.4)
   * @returns the evicted sessions, first to last; undefined, and nothing has changed, when this very object is there
   */
  insert(session: SslSession, capacity: number): readonly SslSession[] | undefined {
    const replaced = this.#slotOf(session)
    if (replaced !== 0 && this.#table.sessions[replaced] === session) return undefined
    this.#stored++
    if (replaced !== 0) {
      this.#replaced++
      this.#drop(replaced)
    }
    sessionInternals.compact(session)
    let evicted: SslSession[] | undefined
    while (capacity > 0 && this.#size >= capacity && this.#earliest !== 0) {
      evicted ??= []
      evicted.push(this.#expelEarliest())
    }
    // The probe still holds the session's key: those that left were found by their slots.
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
      removed.push(this.#expelEarliest())
    return removed
  }

  /** R4.6, R5.3: whoever still holds it cannot resume it any more. Done here, while the session is in the processor's cache. */
  #expelEarliest(): SslSession {
    const session = this.#drop(this.#earliest)
    sessionInternals.setNotResumable(session, true)
    return session
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
    if (this.#isSorted) this.#heads.clear()
    this.#isSorted = false
  }

  /** A snapshot, latest expiry first. */
  sessions(): SslSession[] {
    const sessions: SslSession[] = []
    // As many as there are, so that a fault in the list is an error, and no end of memory.
    for (let slot = this.#latest; sessions.length < this.#size; slot = this.#table.earlier(slot))
      sessions.push(this.#sessionAt(slot))
    return sessions
  }

  #sessionAt(slot: number): SslSession {
    const session = this.#table.sessions[slot]
    /* v8 ignore next -- a slot in the list is occupied */
    if (session === undefined) throw new TypeError(`slot ${slot} is free`)
    return session
  }

  #slotOfId(protocolVersion: number, sessionId: Uint8Array): number {
    if (sessionId.length > MAX_ID_LENGTH) return 0
    this.#probe.read(protocolVersion, sessionId)
    return this.#slotOfProbe()
  }

  #slotOf(session: SslSession): number {
    this.#probe.readSession(session)
    return this.#slotOfProbe()
  }

  #slotOfProbe(): number {
    const table = this.#table
    let slot = table.first(this.#probe.hash)
    while (slot !== 0 && !this.#probe.isAt(table, slot)) slot = table.next(slot)
    return slot
  }

  /** A slot for what the probe has read. */
  #occupy(session: SslSession): number {
    if (this.#free === 0 && this.#highest + 1 === this.#table.sessions.length)
      this.#table = this.#table.enlarged()
    const table = this.#table
    let slot = this.#free
    if (slot === 0) slot = ++this.#highest
    else this.#free = table.later(slot)
    // It was the chain of free slots, perhaps.
    table.setLater(slot, 0)
    this.#probe.writeTo(table, slot)
    table.sessions[slot] = session
    table.enter(slot, this.#probe.hash)
    this.#size++
    return slot
  }

  #drop(slot: number): SslSession {
    const session = this.#sessionAt(slot)
    const table = this.#table
    this.#unlink(slot)
    table.leave(slot)
    table.sessions[slot] = undefined
    table.setLater(slot, this.#free)
    this.#free = slot
    this.#size--
    sessionInternals.removeOrder(session, this)
    if (this.#size === 0) this.#reset()
    return session
  }

  /** What a crowd has needed is given back when all have gone. */
  #reset(): void {
    if (this.#table.sessions.length > MIN_SLOTS) this.#table = new Table(MIN_SLOTS)
    this.#free = 0
    this.#highest = 0
    this.#fractional = 0
    this.#isSorted = true
  }

  #unlink(slot: number): void {
    const table = this.#table
    const before = table.earlier(slot)
    const after = table.later(slot)
    if (after === 0) this.#latest = before
    else table.setEarlier(after, before)
    if (before === 0) this.#earliest = after
    else table.setLater(before, after)
    table.setEarlier(slot, 0)
    table.setLater(slot, 0)
    if (this.#isSorted) this.#leaveRun(slot, before, after)
  }

  /** Linked, it is in front of all that expire at the same moment. */
  #enterRun(slot: number, expiry: number): void {
    if (expiry % SECOND_MS === 0) this.#heads.set(expiry / SECOND_MS, slot)
    else this.#fractional++
  }

  /** @param after - its neighbour before it was unlinked, which is of another moment if it was the head */
  #leaveRun(slot: number, before: number, after: number): void {
    const table = this.#table
    const expiry = table.expiry(slot)
    if (expiry % SECOND_MS !== 0) this.#fractional--
    else if (after === 0 || table.expiry(after) !== expiry) {
      if (before !== 0 && table.expiry(before) === expiry) this.#heads.set(expiry / SECOND_MS, before)
      else this.#heads.delete(expiry / SECOND_MS)
    }
  }

  /** `SSL_SESSION_list_add`: the usual case first, a session that outlives all others. */
  #link(slot: number): void {
    const expiry = this.#expiryAt(slot)
    this.#place(slot, expiry)
    this.#table.expiries[slot] = expiry
    if (this.#isSorted) this.#enterRun(slot, expiry)
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
    let next = this.#table.earlier(this.#latest)
    while (next !== 0 && expiry < this.#expiryAt(next)) next = this.#table.earlier(next)
    /* v8 ignore next -- the earliest, which ends the list, is not later */
    return next === 0 ? this.#earliest : next
  }

  #headNotLaterThan(expiry: number): number | undefined {
    if (expiry % SECOND_MS !== 0) return undefined
    const second = expiry / SECOND_MS
    const head = this.#heads.get(second)
    if (head !== undefined || this.#fractional > 0) return head
    for (let step = 1; step <= MAX_STEPS; step++) {
      const lower = this.#heads.get(second - step)
      if (lower !== undefined) return lower
    }
    return undefined
  }

  #insertBefore(slot: number, next: number): void {
    const table = this.#table
    const after = table.later(next)
    table.setEarlier(slot, next)
    table.setLater(slot, after)
    if (after === 0) this.#latest = slot
    else table.setEarlier(after, slot)
    table.setLater(next, slot)
  }

  #append(slot: number): void {
    this.#table.setLater(slot, this.#earliest)
    this.#table.setEarlier(this.#earliest, slot)
    this.#earliest = slot
  }
}

const NOBODY: readonly SslSession[] = []
const SECOND_MS = 1000
/** Seconds to look back for one at which something expires, before all are scanned. */
const MAX_STEPS = 64
const MIN_SLOTS = 1024
/** How long a session id is, filled up with zeros: 8 words. */
const ID_WORDS = MAX_ID_LENGTH / 4

/** No slot, bucket or word is beyond its column. */
function at(column: Int32Array, index: number): number {
  /* v8 ignore next -- see above */
  return column[index] ?? 0
}

/** Each slot's part of an entry, and the chains of those that share a bucket; of a length that is a power of two. */
class Table {
  /** Version and length of the id. */
  readonly kinds: Int32Array
  readonly ids: Int32Array
  readonly sessions: (SslSession | undefined)[]
  /** Milliseconds, as they were when the slot was linked. */
  readonly expiries: Float64Array
  /** By slot: the one that expires before it, and the one that expires after it. */
  readonly #neighbours: Int32Array
  /** By slot: its hash, and the next slot of the same bucket. */
  readonly #chains: Int32Array
  /** The first slot of each chain. */
  readonly #buckets: Int32Array
  /** From a hash, to its bucket. */
  readonly #shift: number

  /** @param sessions - those of a smaller table, to go on with */
  constructor(slots: number, sessions: (SslSession | undefined)[] = []) {
    this.kinds = new Int32Array(slots)
    this.ids = new Int32Array(slots * ID_WORDS)
    this.sessions = sessions
    for (let slot = sessions.length; slot < slots; slot++) sessions.push(undefined)
    this.expiries = new Float64Array(slots)
    this.#neighbours = new Int32Array(slots * 2)
    this.#chains = new Int32Array(slots * 2)
    this.#buckets = new Int32Array(slots)
    this.#shift = 1 + Math.clz32(slots)
  }

  /** When no slot is free. */
  enlarged(): Table {
    const { length } = this.sessions
    const table = new Table(length * 2, this.sessions)
    table.kinds.set(this.kinds)
    table.ids.set(this.ids)
    table.expiries.set(this.expiries)
    table.#neighbours.set(this.#neighbours)
    for (let slot = 1; slot < length; slot++) table.enter(slot, this.hash(slot))
    return table
  }

  earlier(slot: number): number {
    return at(this.#neighbours, 2 * slot)
  }

  setEarlier(slot: number, earlier: number): void {
    this.#neighbours[2 * slot] = earlier
  }

  later(slot: number): number {
    return at(this.#neighbours, 2 * slot + 1)
  }

  setLater(slot: number, later: number): void {
    this.#neighbours[2 * slot + 1] = later
  }

  expiry(slot: number): number {
    /* v8 ignore next -- likewise */
    return this.expiries[slot] ?? 0
  }

  hash(slot: number): number {
    return at(this.#chains, 2 * slot)
  }

  /** The first slot of the bucket of a hash. */
  first(hash: number): number {
    return at(this.#buckets, hash >>> this.#shift)
  }

  next(slot: number): number {
    return at(this.#chains, 2 * slot + 1)
  }

  enter(slot: number, hash: number): void {
    const bucket = hash >>> this.#shift
    this.#chains[2 * slot] = hash
    this.#setNext(slot, at(this.#buckets, bucket))
    this.#buckets[bucket] = slot
  }

  leave(slot: number): void {
    const bucket = this.hash(slot) >>> this.#shift
    let before = at(this.#buckets, bucket)
    if (before === slot) {
      this.#buckets[bucket] = this.next(slot)
      return
    }
    while (this.next(before) !== slot) before = this.next(before)
    this.#setNext(before, this.next(slot))
  }

  #setNext(slot: number, next: number): void {
    this.#chains[2 * slot + 1] = next
  }
}

/** What is added to each half of a word, of the id's and of the one with version and length, and to all. */
const HASH_KEY_WORDS = 2 * (ID_WORDS + 1) + 1
export const HASH_KEY_LENGTH: number = 4 * HASH_KEY_WORDS

/** The key that is looked for, in words. */
class Probe {
  readonly #hashKey: Int32Array
  readonly #bytes: Uint8Array = new Uint8Array(MAX_ID_LENGTH)
  readonly #words: Int32Array = new Int32Array(this.#bytes.buffer)
  #kind = 0
  hash = 0

  constructor(hashKey: Uint8Array) {
    const bytes = new Uint8Array(HASH_KEY_LENGTH)
    bytes.set(hashKey.subarray(0, HASH_KEY_LENGTH))
    this.#hashKey = new Int32Array(bytes.buffer)
  }

  read(protocolVersion: number, sessionId: Uint8Array): void {
    writeBytes(this.#bytes, 0, sessionId)
    this.#finish(protocolVersion, sessionId.length)
  }

  readSession(session: SslSession): void {
    this.#finish(session.protocolVersion, sessionInternals.writeId(session, this.#bytes))
  }

  /**
   * A peer that makes the ids, as a server does for its clients, must not be able to make many that meet in a bucket, which
   * the upper bits choose. Of these, 17 are strongly universal, whatever the ids: pair-multiply-shift, in M. Thorup, High Speed
   * Hashing for Integers and Strings (2015). What a larger table needs beyond them is good for random ids.
   */
  #finish(protocolVersion: number, length: number): void {
    if (length < MAX_ID_LENGTH) this.#bytes.fill(0, length)
    this.#kind = (protocolVersion << 8) | length
    let hash = at(this.#hashKey, HASH_KEY_WORDS - 1) + this.#hashed(this.#kind, ID_WORDS)
    for (let index = 0; index < ID_WORDS; index++)
      hash = (hash + this.#hashed(at(this.#words, index), index)) | 0
    this.hash = hash
  }

  #hashed(word: number, index: number): number {
    const key = this.#hashKey
    return Math.imul(at(key, 2 * index) + (word & 0xffff), at(key, 2 * index + 1) + (word >>> 16))
  }

  isAt(table: Table, slot: number): boolean {
    if (table.hash(slot) !== this.hash || table.kinds[slot] !== this.#kind) return false
    const { ids } = table
    const words = this.#words
    const start = slot * ID_WORDS
    for (let index = 0; index < ID_WORDS; index++) if (ids[start + index] !== words[index]) return false
    return true
  }

  writeTo({ kinds, ids }: Table, slot: number): void {
    kinds[slot] = this.#kind
    const start = slot * ID_WORDS
    for (let index = 0; index < ID_WORDS; index++) ids[start + index] = at(this.#words, index)
  }
}
