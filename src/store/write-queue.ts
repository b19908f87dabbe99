import { setImmediate as startImmediate } from 'node:timers'
import { setImmediate } from 'node:timers/promises'
import type { SessionStoreError } from '../errors.ts'
import type { Awaitable } from '../session/awaitable.ts'
import { copyBytes } from '../session/bytes.ts'
import type { SessionStore, StoreEntry } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import {
  CALL_KINDS,
  deletionDropped,
  MAX_UNANSWERED,
  type StoreCalls,
  timedOut,
  unavailable,
} from './store-calls.ts'

/** Entries in one call; a single one while the breaker finds out whether the store works again. */
const BATCH_ENTRIES = 64
const CALLS_PER_TURN = 64
/** Writes that one turn of the event loop gives up. */
const DROPPED_PER_TURN = 500
/** Deletions that wait; the next one is refused. They are small, and nobody may go without one unheard. */
export const MAX_QUEUED_DELETIONS = 10_000

export interface WriteQueueOptions {
  readonly deadlineMs: number
  readonly maxConcurrentWrites: number
  readonly maxQueuedSessions: number
  /** A write of this key has its result. */
  readonly onResult: (name: string) => void
}

/** What is to be under a key: an entry, or nothing. */
export interface Write {
  readonly name: string
  readonly key: Uint8Array
  readonly entry: StoreEntry | undefined
  /** Callers who wait for the result, shared with the write that replaces this one. */
  waiters: Set<(error?: Error) => void>
  hasResult: boolean
  /** It is in the place of a deletion, which is due again when this is not written. */
  replacesDeletion: boolean
}

/**
 * The writes of a store: each goes out at once if it can, and otherwise waits here. No two writes of one key are under way
 * at the same time, so that what was deleted is not brought back by an earlier write that is late.
 *
 * No set is made twice: another process may have taken what the first attempt wrote after all. A deletion that fails waits again,
 * since what was removed must not come back: it is made until the store has done it, or given up aloud.
 */
export class WriteQueue {
  readonly #store: SessionStore
  readonly #calls: StoreCalls
  readonly #options: WriteQueueOptions
  /** By key, the oldest first; no key is in both. */
  readonly #sets: Map<string, Write> = new Map()
  readonly #deletions: Map<string, Write> = new Map()
  /** By key: what the store has been given and not answered, be it after the deadline. */
  readonly #sent: Map<string, Write> = new Map()
  /** Calls within their deadline. */
  #callsUnderWay = 0
  #dropped = 0
  #droppedDeletions = 0
  #isDraining = false
  /** More have expired in the queue than one turn drops. */
  #hasMoreExpired = false
  #isClosed = false
  #retryTimer: NodeJS.Timeout | undefined
  #nextTurn: NodeJS.Immediate | undefined
  #onIdle: () => void = () => undefined

  constructor(store: SessionStore, calls: StoreCalls, options: WriteQueueOptions) {
    this.#store = store
    this.#calls = calls
    this.#options = options
  }

  get size(): number {
    return this.#sets.size + this.#deletions.size
  }

  get queuedDeletions(): number {
    return this.#deletions.size
  }

  /** Deletions included. */
  get dropped(): number {
    return this.#dropped + this.#droppedDeletions
  }

  get droppedDeletions(): number {
    return this.#droppedDeletions
  }

  set(entries: readonly StoreEntry[]): Awaitable<void> {
    const writes = entries.map(writeOf)
    return this.#write([...new Map(writes.map((write) => [write.name, write])).values()])
  }

  delete(key: Uint8Array): Awaitable<void> {
    return this.#write([deletionOf(key)])
  }

  /** What decides what is under the key, before the store does: a write that waits, or a deletion under way. */
  pending(name: string): Write | undefined {
    const sent = this.#sent.get(name)
    return this.#queued(name) ?? (sent?.entry === undefined ? sent : undefined)
  }

  /** Takes what waits; the store is told to delete what it may hold under the same key. */
  take(write: Write): Uint8Array | undefined {
    const value = pendingValue(write)
    // Nobody waits for that; who waits for the write waits for this now.
    if (write.entry !== undefined) this.#enqueue([deletionOf(write.key)]).catch(() => undefined)
    return value
  }

  /** Settles when the write that is under way has its result, whatever that is, or at the deadline; undefined when there is none. */
  written(name: string, deadlineMs: number): Promise<void> | undefined {
    const sent = this.#sent.get(name)
    if (sent === undefined || sent.hasResult) return undefined
    return this.#resultOf([sent], deadlineMs).catch(() => undefined)
  }

  /** The same of a set in the place of a deletion: until then the store may still have what was deleted. */
  replaced(name: string, deadlineMs: number): Promise<void> | undefined {
    return this.#sent.get(name)?.replacesDeletion === true ? this.written(name, deadlineMs) : undefined
  }

  /** Sends what can be sent. */
  drain(): void {
    if (this.#isDraining || this.#isClosed) return
    this.#isDraining = true
    this.#hasMoreExpired = false
    let calls = 0
    for (let batch = this.#nextBatch(); batch.length > 0; batch = this.#nextBatch()) {
      Promise.resolve(this.#send(batch)).catch(() => undefined)
      if (++calls === CALLS_PER_TURN || this.#hasMoreExpired) break
    }
    this.#isDraining = false
    if (calls === CALLS_PER_TURN || this.#hasMoreExpired) this.#drainNextTurn()
    this.#scheduleRetry()
    if (this.#isIdle) this.#onIdle()
  }

  /** An engine that answers at once would get all that waits in one turn of the event loop. */
  #drainNextTurn(): void {
    this.#nextTurn ??= startImmediate(() => {
      this.#nextTurn = undefined
      this.drain()
    })
  }

  /** Settles when nothing waits or is under way, or at the deadline; what waits then is dropped. */
  async close(): Promise<void> {
    if (!this.#isIdle) await this.#idleOrDeadline()
    this.#isClosed = true
    clearTimeout(this.#retryTimer)
    clearImmediate(this.#nextTurn)
    const why = 'the session store was closed before this could be written'
    await inParts([...this.#deletions.values()], (part) => this.#dropDeletions(part, why))
    await inParts([...this.#sets.values()], (part) => this.#dropSets(part, why))
  }

  get #isIdle(): boolean {
    return this.size === 0 && this.#callsUnderWay === 0
  }

  #idleOrDeadline(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.deadlineMs)
      this.#onIdle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #queued(name: string): Write | undefined {
    return this.#deletions.get(name) ?? this.#sets.get(name)
  }

  #write(writes: readonly Write[]): Awaitable<void> {
    const [first] = writes
    if (first === undefined) return undefined
    const isFree = ({ name }: Write): boolean => this.#queued(name) === undefined && !this.#sent.has(name)
    if (this.#canCall(kindOf(first)) && writes.every(isFree)) return this.#send(writes)
    return this.#enqueue(writes)
  }

  #canCall(kind: 'writes' | 'removals'): boolean {
    return (
      this.#callsUnderWay < this.#options.maxConcurrentWrites &&
      this.#sent.size < MAX_UNANSWERED &&
      this.#calls.isAvailable(kind)
    )
  }

  #send(writes: readonly Write[]): Awaitable<void> {
    this.#callsUnderWay++
    for (const write of writes) this.#sent.set(write.name, write)
    let isAnswered = false
    let hasResult = false
    // When both are there: a write that came later must not go out before a deletion that failed is due again.
    const forget = (): void => {
      if (isAnswered && hasResult) for (const { name } of writes) this.#sent.delete(name)
    }
    const onAnswer = (): void => {
      isAnswered = true
      forget()
      if (hasResult) this.drain()
    }
    const onResult = (error?: Error): void => {
      hasResult = true
      forget()
      this.#callsUnderWay--
      for (const write of writes) this.#settle(write, error)
      if (error !== undefined) for (const write of writes) this.#deleteLater(write)
      this.drain()
    }
    const entries = writes.flatMap(({ entry }) => entry ?? [])
    const [deletion] = writes.filter(({ entry }) => entry === undefined)
    return deletion === undefined
      ? this.#calls.ask('set', () => this.#store.set(entries), { onAnswer, onResult })
      : this.#calls.ask('delete', () => this.#store.delete(deletion.key), { onAnswer, onResult })
  }

  #settle(write: Write, error?: Error): void {
    write.hasResult = true
    this.#options.onResult(write.name)
    for (const waiter of write.waiters) waiter(error)
  }

  /** A deletion that has failed, or what took the place of one, is due (again): its caller has been told only that it is late. */
  #deleteLater(write: Write): void {
    if (write.entry !== undefined && !write.replacesDeletion) return
    const newer = this.#queued(write.name)
    if (newer !== undefined) newer.replacesDeletion ||= newer.entry !== undefined
    else {
      const deletion = deletionOf(write.key)
      this.#put(deletion)
      this.#refuseExcess([deletion])
    }
  }

  #enqueue(writes: readonly Write[]): Promise<void> {
    for (const write of writes) this.#put(write)
    const result = this.#resultOf(writes)
    this.#refuseExcess(writes)
    this.#dropOldestSets()
    this.drain()
    return result
  }

  /** The newest deletions go: their callers are still there to hear of it. */
  #refuseExcess(writes: readonly Write[]): void {
    const excess = this.#deletions.size - MAX_QUEUED_DELETIONS
    const why = this.#isClosed
      ? 'the session store is closed'
      : 'too many deletions wait for the session store'
    if (excess > 0 || this.#isClosed) this.#dropDeletions(writes.filter(isDeletion), why)
  }

  #dropOldestSets(): void {
    const excess = this.#sets.size - this.#options.maxQueuedSessions
    const oldest: Write[] = []
    for (const write of this.#sets.values()) {
      if (oldest.length >= excess) break
      oldest.push(write)
    }
    this.#dropSets(oldest, 'too many writes wait for the session store')
  }

  #put(write: Write): void {
    const replaced = this.#queued(write.name)
    const isOverDeletion = replaced !== undefined && (isDeletion(replaced) || replaced.replacesDeletion)
    if (replaced !== undefined) write.waiters = replaced.waiters
    if (!isDeletion(write)) write.replacesDeletion = isOverDeletion
    this.#forget(write)
    this.#mapOf(write).set(write.name, write)
  }

  #mapOf(write: Write): Map<string, Write> {
    return isDeletion(write) ? this.#deletions : this.#sets
  }

  #forget({ name }: Write): void {
    this.#sets.delete(name)
    this.#deletions.delete(name)
  }

  /** The first error of these, or none when all have been made; ERR_SESSION_STORE_TIMEOUT at the deadline. */
  #resultOf(writes: readonly Write[], deadlineMs: number = this.#options.deadlineMs): Promise<void> {
    return new Promise((resolve, reject) => {
      let left = writes.length
      const end = (error?: Error): void => {
        clearTimeout(timer)
        // Else callers would pile up at a write that cannot be made.
        for (const { waiters } of writes) waiters.delete(waiter)
        if (error === undefined) resolve()
        else reject(error)
      }
      const waiter = (error?: Error): void => {
        left--
        if (error !== undefined || left === 0) end(error)
      }
      const timer = setTimeout(() => end(timedOut('writing to the session store', deadlineMs)), deadlineMs)
      for (const { waiters } of writes) waiters.add(waiter)
    })
  }

  /** Takes the oldest writes that can be made in one call out of the queue: a deletion, or some entries. */
  #nextBatch(): readonly Write[] {
    // A set that has expired may leave a deletion behind, which is due then.
    for (const queued of [this.#deletions, this.#sets, this.#deletions]) {
      const batch = this.#oldest(queued, this.#limitOf(queued))
      for (const write of batch) this.#forget(write)
      if (batch.length > 0) return batch
    }
    return []
  }

  #limitOf(queued: ReadonlyMap<string, Write>): number {
    if (queued === this.#deletions) return this.#canCall('removals') ? 1 : 0
    if (!this.#canCall('writes')) return 0
    return this.#calls.breakerState('writes') === 'closed' ? BATCH_ENTRIES : 1
  }

  #oldest(queued: ReadonlyMap<string, Write>, limit: number): Write[] {
    const oldest: Write[] = []
    const expired: Write[] = []
    for (const write of queued.values()) {
      if (oldest.length >= limit) break
      if (expired.length >= DROPPED_PER_TURN) {
        this.#hasMoreExpired = true
        break
      }
      if (this.#sent.has(write.name)) continue
      if (isExpired(write)) expired.push(write)
      else oldest.push(write)
    }
    this.#dropSets(expired, 'the session expired before it could be written')
    return oldest
  }

  #dropSets(writes: readonly Write[], why: string): void {
    if (writes.length === 0) return
    const error: SessionStoreError = unavailable(why)
    this.#dropped += writes.length
    for (const write of writes) {
      this.#forget(write)
      this.#settle(write, error)
    }
    this.#calls.tell({ type: 'write-dropped', count: writes.length })
    for (const write of writes) this.#deleteLater(write)
  }

  #dropDeletions(writes: readonly Write[], why: string): void {
    if (writes.length === 0) return
    const error = deletionDropped(why)
    this.#droppedDeletions += writes.length
    for (const write of writes) {
      this.#forget(write)
      this.#settle(write, error)
    }
    this.#calls.tell({ type: 'deletion-dropped', count: writes.length })
  }

  /** Nobody else may come to find out whether the store works again, and a deletion must not wait for the next client. */
  #scheduleRetry(): void {
    if (this.#retryTimer !== undefined) return
    const waits = { reads: 0, writes: this.#sets.size, removals: this.#deletions.size }
    const opensInMs = CALL_KINDS.filter((kind) => waits[kind] > 0).flatMap(
      (kind) => this.#calls.breakerOpensInMs(kind) || [],
    )
    if (opensInMs.length === 0) return
    this.#retryTimer = setTimeout(
      () => {
        this.#retryTimer = undefined
        this.drain()
      },
      Math.min(...opensInMs),
    ).unref()
  }
}

async function inParts(writes: readonly Write[], drop: (part: readonly Write[]) => void): Promise<void> {
  for (let at = 0; at < writes.length; at += DROPPED_PER_TURN) {
    if (at > 0) await setImmediate()
    drop(writes.slice(at, at + DROPPED_PER_TURN))
  }
}

function kindOf(write: Write): 'writes' | 'removals' {
  return isDeletion(write) ? 'removals' : 'writes'
}

function isDeletion({ entry }: Write): boolean {
  return entry === undefined
}

function writeOf({ key, value, expiresAtMs }: StoreEntry): Write {
  const entry = { key: copyBytes(key), value: copyBytes(value), expiresAtMs }
  return newWrite(entry.key, entry)
}

function deletionOf(key: Uint8Array): Write {
  return newWrite(copyBytes(key), undefined)
}

function newWrite(key: Uint8Array, entry: StoreEntry | undefined): Write {
  return { name: byteKey(key), key, entry, waiters: new Set(), hasResult: false, replacesDeletion: false }
}

function isExpired({ entry }: Write): boolean {
  return entry !== undefined && entry.expiresAtMs < Date.now()
}

/** @returns a value that its owner may change */
export function pendingValue(write: Write): Uint8Array | undefined {
  return write.entry === undefined || isExpired(write) ? undefined : copyBytes(write.entry.value)
}
