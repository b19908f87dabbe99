import { LRUCache } from 'lru-cache'
import { SessionStoreError } from '../errors.ts'
import { A_FUNCTION, anInteger, checkOptions } from '../session/arguments.ts'
import type { Awaitable } from '../session/awaitable.ts'
import { copyBytes } from '../session/bytes.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import { inTurns } from './in-turns.ts'
import { checkEntries, checkKey, checkMarks, checkWatcher } from './store-arguments.ts'

/** The bound of {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /** Sessions; the least recently used goes first. 20480 by default, as in libssl. */
  readonly maxSessions?: number | undefined
  /** Milliseconds since the epoch; the system's clock by default. */
  readonly now?: (() => number) | undefined
}

const DEFAULT_MAX_SESSIONS = 20_480
/** Beyond it, more are refused: a store may not forget a single one. */
const MAX_MARKS = 100_000
const MAX_SESSIONS = 2 ** 32 - 1
const MARKS_AT_ONCE = 1000
/** Steps of {@link inTurns} that a mark costs. */
const READING = 2

interface Kept {
  readonly value: Uint8Array
  readonly expiresAtMs: number
}

/**
 * A store in this process's memory: the reference for all others, and enough for one process.
 *
 * @example
 * ```ts
 * const store = new MemoryStore({ maxSessions: 1000 })
 * const context = new SslContext({ sessionIdContext: 'shop', ...storeCallbacks(store) })
 * ```
 */
export class MemoryStore implements SessionStore {
  readonly confidentiality = 'in-process'
  readonly #sessions: LRUCache<string, Kept>
  readonly #marks: Map<string, StoredMark> = new Map()
  readonly #watchers: Set<(mark: Uint8Array) => void> = new Set()
  readonly #now: () => number

  constructor(options: MemoryStoreOptions = {}) {
    checkOptions('MemoryStore', options, { maxSessions: anInteger(1, MAX_SESSIONS), now: A_FUNCTION })
    const { maxSessions = DEFAULT_MAX_SESSIONS, now = Date.now } = options
    this.#sessions = new LRUCache({ max: maxSessions })
    this.#now = now
  }

  get(key: Uint8Array): Uint8Array | undefined {
    checkKey(key)
    const name = byteKey(key)
    const kept = this.#sessions.get(name)
    if (kept === undefined || kept.expiresAtMs >= this.#now()) return kept?.value.slice()
    this.#sessions.delete(name)
    return undefined
  }

  set(entries: readonly StoreEntry[]): void {
    checkEntries(entries)
    for (const { key, value, expiresAtMs } of entries) {
      if (expiresAtMs < this.#now()) this.delete(key)
      else this.#sessions.set(byteKey(key), { value: copyBytes(value), expiresAtMs })
    }
  }

  take(key: Uint8Array): Uint8Array | undefined {
    const value = this.get(key)
    this.delete(key)
    return value
  }

  delete(key: Uint8Array): void {
    checkKey(key)
    this.#sessions.delete(byteKey(key))
  }

  /** At once, while there are no more than 1000. */
  getMarks(): Awaitable<readonly Uint8Array[] | undefined> {
    const nowMs = this.#now()
    const marks: Uint8Array[] = []
    const read = ([name, { mark, expiresAtMs }]: readonly [string, StoredMark]): number => {
      if (expiresAtMs < nowMs) this.#marks.delete(name)
      else marks.push(mark.slice())
      return READING
    }
    const found = (): readonly Uint8Array[] | undefined => (marks.length === 0 ? undefined : marks)
    if (this.#marks.size > MARKS_AT_ONCE) return inTurns(this.#marks, read).then(found)
    for (const entry of this.#marks) read(entry)
    return found()
  }

  addMarks(marks: readonly StoredMark[]): void {
    checkMarks(marks)
    for (const { mark, expiresAtMs } of marks) {
      const name = byteKey(mark)
      if (this.#marks.size >= MAX_MARKS && !this.#marks.has(name))
        throw new SessionStoreError(`the store has ${MAX_MARKS} marks already`)
      this.#marks.set(name, { mark: copyBytes(mark), expiresAtMs })
      for (const onMark of this.#watchers) onMark(copyBytes(mark))
    }
  }

  watchMarks(onMark: (mark: Uint8Array) => void): () => void {
    checkWatcher(onMark)
    const watcher = (mark: Uint8Array): void => onMark(mark)
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  close(): void {
    this.#sessions.clear()
    this.#marks.clear()
    this.#watchers.clear()
  }
}
