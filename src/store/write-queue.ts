import { SessionStoreError } from '../errors.ts'
import type { Awaitable } from '../session/awaitable.ts'
import { copyBytes } from '../session/bytes.ts'
import type { SessionStore, StoreEntry } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import { MAX_UNANSWERED, type StoreCalls, timedOut, unavailable } from './store-calls.ts'

/** Entries in one call; a single one while the breaker finds out whether the store works again. */
const BATCH_ENTRIES = 64

/** Deletions that wait, apart from the sessions that do: what was removed must not come back since others were made. */
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
}

/**
 * The writes of a store: each goes out at once if it can, and otherwise waits here. No two writes of one key are under way
 * at the same time, so that what was deleted is not brought back by an earlier write that is late.
 *
 * No write is made twice: another process may have taken what the first attempt wrote after all.
 */
export class WriteQueue {
  readonly #store: SessionStore
  readonly #calls: StoreCalls
  readonly #options: WriteQueueOptions
  /** By key; the oldest first. */
  readonly #queued: Map<string, Write> = new Map()
  /** The names of those that wait, the oldest first: sessions, and deletions. */
  readonly #queuedSets: Set<string> = new Set()
  readonly #queuedDeletions: Set<string> = new Set()
  /** By key: what the store has been given and not answered, be it after the deadline. */
  readonly #sent: Map<string, Write> = new Map()
  /** Calls within their deadline. */
  #callsUnderWay = 0
  #dropped = 0
  #droppedDeletions = 0
  #isDraining = false
  #retryTimer: NodeJS.Timeout | undefined
  #onIdle: () => void = () => undefined

  constructor(store: SessionStore, calls: StoreCalls, options: WriteQueueOptions) {
    this.#store = store
    this.#calls = calls
    this.#options = options
  }

  get size(): number {
    return this.#queued.size
  }

  /** How many of these are deletions. */
  get deletions(): number {
    return this.#queuedDeletions.size
  }

  get dropped(): number {
    return this.#dropped
  }

  /** How many of {@link dropped} were deletions. */
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
    return this.#queued.get(name) ?? (sent?.entry === undefined ? sent : undefined)
  }

  /** Takes what waits; the store is told to delete what it may hold under the same key. */
  take(write: Write): Uint8Array | undefined {
    const value = pendingValue(write)
    // Nobody waits for that; who waits for the write waits for this now.
    if (write.entry !== undefined) this.#enqueue([deletionOf(write.key)]).catch(() => undefined)
    return value
  }

  /** Settles when the write that is under way has its result, whatever that is; undefined when there is none. */
  written(name: string): Promise<void> | undefined {
    const sent = this.#sent.get(name)
    return sent === undefined || sent.hasResult ? undefined : this.#resultOf([sent]).catch(() => undefined)
  }

  /** Sends what can be sent. */
  drain(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    while (this.#canCall()) {
      const batch = this.#nextBatch()
      if (batch.length === 0) break
      Promise.resolve(this.#send(batch)).catch(() => undefined)
    }
    this.#isDraining = false
    this.#scheduleRetry()
    if (this.#isIdle) this.#onIdle()
  }

  /** Settles when nothing waits or is under way, or at the deadline; what waits then is dropped. */
  async close(): Promise<void> {
    if (!this.#isIdle) await this.#idleOrDeadline()
    this.#drop([...this.#queued.values()], 'the session store was closed before this could be written')
    clearTimeout(this.#retryTimer)
  }

  get #isIdle(): boolean {
    return this.#queued.size === 0 && this.#callsUnderWay === 0
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

  #write(writes: readonly Write[]): Awaitable<void> {
    const [first] = writes
    if (first === undefined) return undefined
    const isFree = ({ name }: Write): boolean => !this.#queued.has(name) && !this.#sent.has(name)
    if (this.#canCall() && writes.every(isFree)) return this.#send(writes)
    return this.#enqueue(writes)
  }

  #canCall(): boolean {
    return (
      this.#callsUnderWay < this.#options.maxConcurrentWrites &&
      this.#sent.size < MAX_UNANSWERED &&
      this.#calls.isAvailable
    )
  }

  #send(writes: readonly Write[]): Awaitable<void> {
    this.#callsUnderWay++
    for (const write of writes) this.#sent.set(write.name, write)
    const onAnswer = (): void => {
      for (const { name } of writes) this.#sent.delete(name)
      this.drain()
    }
    const onResult = (error?: Error): void => {
      this.#callsUnderWay--
      for (const write of writes) this.#settle(write, error)
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

  #enqueue(writes: readonly Write[]): Promise<void> {
    for (const write of writes) this.#put(write)
    const result = this.#resultOf(writes)
    this.#dropExcess()
    this.drain()
    return result
  }

  /** Each kind has a bound of its own, so that no number of new sessions drops a deletion. */
  #dropExcess(): void {
    this.#dropOldest(this.#queuedSets, this.#options.maxQueuedSessions)
    this.#dropOldest(this.#queuedDeletions, MAX_QUEUED_DELETIONS)
  }

  #dropOldest(names: ReadonlySet<string>, bound: number): void {
    const excess = names.size - bound
    const oldest: Write[] = []
    for (const name of names) {
      if (oldest.length >= excess) break
      const write = this.#queued.get(name)
      if (write !== undefined) oldest.push(write)
    }
    this.#drop(oldest, 'too many writes wait for the session store')
  }

  #put(write: Write): void {
    const replaced = this.#queued.get(write.name)
    if (replaced !== undefined) write.waiters = replaced.waiters
    this.#unqueue(write.name)
    this.#queued.set(write.name, write)
    const names = write.entry === undefined ? this.#queuedDeletions : this.#queuedSets
    names.add(write.name)
  }

  #unqueue(name: string): void {
    this.#queued.delete(name)
    this.#queuedSets.delete(name)
    this.#queuedDeletions.delete(name)
  }

  /** The first error of these, or none when all have been made; ERR_SESSION_STORE_TIMEOUT at the deadline. */
  #resultOf(writes: readonly Write[]): Promise<void> {
    const { deadlineMs } = this.#options
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
    const expired: Write[] = []
    const batch: Write[] = []
    for (const write of this.#sendable()) {
      if (isExpired(write)) expired.push(write)
      else if (batch.length === 0 || write.entry !== undefined) batch.push(write)
      if (batch.length === this.#limitOf(batch)) break
    }
    for (const { name } of batch) this.#unqueue(name)
    this.#drop(expired, 'the session expired before it could be written')
    return batch
  }

  *#sendable(): Generator<Write> {
    for (const write of this.#queued.values()) if (!this.#sent.has(write.name)) yield write
  }

  #limitOf([oldest]: readonly Write[]): number {
    return oldest?.entry !== undefined && this.#calls.breakerState === 'closed' ? BATCH_ENTRIES : 1
  }

  #drop(writes: readonly Write[], why: string): void {
    if (writes.length === 0) return
    const deletions = writes.filter(({ entry }) => entry === undefined).length
    this.#dropped += writes.length
    this.#droppedDeletions += deletions
    const error = unavailable(why)
    const notDeleted = deletionDropped(why)
    for (const write of writes) {
      this.#unqueue(write.name)
      this.#settle(write, write.entry === undefined ? notDeleted : error)
    }
    if (writes.length > deletions)
      this.#calls.tell({ type: 'write-dropped', count: writes.length - deletions })
    if (deletions > 0) this.#calls.tell({ type: 'deletion-dropped', count: deletions })
  }

  /** Nobody else may come to find out whether the store works again, and a deletion must not wait for the next client. */
  #scheduleRetry(): void {
    const opensInMs = this.#calls.breakerOpensInMs
    if (this.#queued.size === 0 || this.#retryTimer !== undefined || !opensInMs) return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.drain()
    }, opensInMs).unref()
  }
}

function writeOf({ key, value, expiresAtMs }: StoreEntry): Write {
  const entry = { key: copyBytes(key), value: copyBytes(value), expiresAtMs }
  return { name: byteKey(key), key: entry.key, entry, waiters: new Set(), hasResult: false }
}

function deletionOf(key: Uint8Array): Write {
  return { name: byteKey(key), key: copyBytes(key), entry: undefined, waiters: new Set(), hasResult: false }
}

function deletionDropped(why: string): SessionStoreError {
  return new SessionStoreError(`${why}: what was to be deleted may still be in it`, {
    code: 'ERR_SESSION_STORE_DELETION_DROPPED',
  })
}

function isExpired({ entry }: Write): boolean {
  return entry !== undefined && entry.expiresAtMs < Date.now()
}

/** @returns a value that its owner may change */
export function pendingValue(write: Write): Uint8Array | undefined {
  return write.entry === undefined || isExpired(write) ? undefined : copyBytes(write.entry.value)
}
