import { A_FUNCTION, anInteger, checkMethods, checkOptions } from '../session/arguments.ts'
import { type Awaitable, isPromiseLike } from '../session/awaitable.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../session/session-store.ts'
import { LmdbDisk } from './lmdb-disk.ts'
import {
  causeOf,
  checked,
  failed,
  type LmdbDatabase,
  type LmdbEnvironment,
  openDatabase,
  prepare,
} from './lmdb-environment.ts'
import {
  bytesOf,
  encodeSession,
  indexKey,
  newVersion,
  type SessionWrite,
  type StoredSession,
  sessionWriteOf,
  uint48At,
  valueIn,
  wholeMs,
  writeOf,
} from './lmdb-format.ts'
import { LmdbMarks } from './lmdb-marks.ts'
import { checkEntries, checkKey, checkMarks } from './store-arguments.ts'

export type {
  LmdbDatabase,
  LmdbDatabaseOptions,
  LmdbEnvironment,
  LmdbIndexEntry,
  LmdbRange,
  LmdbStats,
  LmdbTransaction,
} from './lmdb-environment.ts'

/** What {@link lmdbStore} may be told. */
export interface LmdbStoreOptions {
  /**
   * Bytes of the pages that sessions and their index may fill, over all processes; those that expire first go first. 256 MiB by
   * default: some 500,000 sessions without client certificates. Give all processes the same, and a `mapSize`, if any, twice that.
   */
  readonly maxBytes?: number | undefined
  /** Milliseconds since the epoch; the system's clock by default. */
  readonly now?: (() => number) | undefined
}

/**
 * A store in an LMDB environment, shared by all processes of a machine that open it, and by those that come after them.
 *
 * It adds three databases, `sslctx-sessions`, `sslctx-expiry` and `sslctx-marks`, to the environment: `maxDbs` must leave room for
 * them. The environment stays its owner's: `close` does nothing, and the owner closes it when nothing is under way.
 *
 * What `set` has resolved for is committed: all processes see it, and it survives a SIGKILL of any of them. It need not survive the
 * machine: by lmdb's default (`overlappingSync`) a commit reaches the disk shortly after, and a power loss takes what had not, whole
 * commits from the end, so that a session that was taken may be back. With `noSync` it may leave the whole environment unusable.
 *
 * `get` answers synchronously, from memory that all processes share; gets of one microtask from one snapshot. So does `getMarks`, while
 * there are no more than 1000.
 *
 * On a disk with less than 256 KiB left, and for a second after a write that found no room, nothing is written: each call rejects with
 * `isRefusal`, and `get` goes on. An environment in which there is nothing yet is made private: its files get the mode
 * 0600, and their folder 0700.
 *
 * @param root - what lmdb's `open()` returned
 * @throws `SessionStoreError` when the databases cannot be opened, or its place cannot be written to; likewise whatever is called later
 */
export function lmdbStore(root: LmdbEnvironment, options: LmdbStoreOptions = {}): SessionStore {
  checkMethods('the environment of lmdbStore', root, ['openDB'], "what lmdb's open() returns")
  checkOptions('lmdbStore', options, { maxBytes: anInteger(1, Number.MAX_SAFE_INTEGER), now: A_FUNCTION })
  return new LmdbStore(root, options)
}

const DEFAULT_MAX_BYTES = 256 * 1024 * 1024
/** How many entries of the index may be looked at for each one that is written: whatever is behind catches up. */
const LOOKED_AT_PER_WRITE = 4
/** Looking costs as much as a write, so it is done for so many of them at once. */
const WRITES_PER_LOOK = 8
/** An event turn does no more than this for a bound that has been lowered, or whose pages empty slowly. */
const MAX_EVICTED_AT_ONCE = 1000
/** What a write takes besides its value. */
const WRITE_BYTES = 1024
const EMPTY = new Uint8Array(0)

/**
 * Sessions are kept as `expiresAt | version | value`, and each has an index entry `expiresAt | key`, of that version: it names one
 * write of one session. Whoever removes a session does it under the condition that its index entry has that version, so that
 * reading it and removing it are as one; lmdb-js checks conditions in its own thread, where nobody waits for this process's
 * event loop with the lock of all processes in hand, as for the callback of a transaction.
 */
class LmdbStore implements SessionStore {
  readonly #root: LmdbEnvironment
  readonly #sessions: LmdbDatabase
  readonly #index: LmdbDatabase
  readonly #marks: LmdbMarks
  readonly #maxBytes: number
  readonly #now: () => number
  readonly #disk: LmdbDisk
  #debt = 0
  #isTidying = false
  #isWatchingCommit = false
  #isFresh = false

  constructor(root: LmdbEnvironment, { maxBytes = DEFAULT_MAX_BYTES, now = Date.now }: LmdbStoreOptions) {
    this.#root = root
    this.#maxBytes = maxBytes
    this.#now = now
    this.#disk = new LmdbDisk(root.path)
    prepare(root)
    this.#sessions = openDatabase(root, 'sslctx-sessions', false)
    this.#index = openDatabase(root, 'sslctx-expiry', true)
    this.#marks = new LmdbMarks(openDatabase(root, 'sslctx-marks', true), {
      now,
      check: () => this.#checkOpen(),
      hold: (answer) => this.#hold(answer),
    })
  }

  get(key: Uint8Array): Uint8Array | undefined {
    checkKey(key)
    try {
      const stored = this.#read(key)
      return stored && valueIn(stored)
    } catch (error) {
      throw failed('get', error)
    }
  }

  set(entries: readonly StoreEntry[]): Promise<void> {
    checkEntries(entries)
    const bytes = entries.reduce((sum, { value }) => sum + WRITE_BYTES + value.length, 0)
    return this.#attempt('set', bytes, () => this.#write(entries))
  }

  take(key: Uint8Array): Promise<Uint8Array | undefined> {
    checkKey(key)
    return this.#attempt('take', 0, async () => {
      const stored = this.#read(key)
      if (stored === undefined) return undefined
      this.#disk.reserve(WRITE_BYTES)
      return (await this.#removeIf(writeOf(key, stored))) ? valueIn(stored) : undefined
    })
  }

  delete(key: Uint8Array): Promise<void> {
    checkKey(key)
    return this.#attempt('delete', WRITE_BYTES, () => this.#replace(checked(key)))
  }

  getMarks(): Awaitable<readonly Uint8Array[] | undefined> {
    try {
      const marks = this.#marks.read()
      if (!isPromiseLike(marks)) return marks
      return marks.then(undefined, (error: unknown) => Promise.reject(failed('getMarks', error)))
    } catch (error) {
      throw failed('getMarks', error)
    }
  }

  addMarks(marks: readonly StoredMark[]): Promise<void> {
    checkMarks(marks)
    return this.#attempt('addMarks', WRITE_BYTES * marks.length, async () => {
      for (const { mark } of marks) checked(mark)
      await this.#marks.add(marks)
    })
  }

  close(): void {
    // The environment is its owner's.
  }

  /** In a closed environment lmdb-js would answer, or throw in a timer of its own. */
  #checkOpen(): void {
    if ((this.#root.status ?? 'open') !== 'open') throw new Error('the environment is closed')
  }

  /** Neither this nor what sets one session is an async function: each layer of those costs some percent of a write. */
  #attempt<T>(operation: string, bytes: number, action: () => Promise<T>): Promise<T> {
    const fail = (error: unknown): Promise<never> => this.#fail(operation, error)
    try {
      this.#checkOpen()
      if (bytes > 0) this.#disk.reserve(bytes)
      const answer = action()
      this.#watchCommit()
      return answer.catch(fail)
    } catch (error) {
      return fail(error)
    }
  }

  /** Says what has failed the commit, if that is what failed. */
  async #fail(operation: string, error: unknown): Promise<never> {
    const cause = await causeOf(error)
    this.#disk.hear(cause)
    throw failed(operation, cause, this.#disk.isPaused)
  }

  /** Nobody else waits for that: it must not be an unhandled rejection when it fails. */
  #hold(answer: unknown): void {
    const then = (answer as { then?: unknown } | null | undefined)?.then
    if (typeof then !== 'function') return
    Promise.resolve(answer).catch((error: unknown) => causeOf(error).then((cause) => this.#disk.hear(cause)))
  }

  /**
   * lmdb-js makes a promise of its own for what an event turn writes, and lets go of it: were the disk full, it would end the
   * process as an unhandled rejection. It is there when the immediate has run that lmdb-js starts with the first write.
   */
  #watchCommit(): void {
    if (this.#isWatchingCommit) return
    this.#isWatchingCommit = true
    setImmediate(() => {
      this.#isWatchingCommit = false
      this.#hold(this.#sessions.committed)
    })
  }

  /** What is stored of a session that has not expired. */
  #read(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen()
    this.#refresh()
    const stored = this.#sessions.getBinary(checked(key))
    return stored !== undefined && uint48At(stored, 0) >= this.#now() ? stored : undefined
  }

  /**
   * lmdb-js reads from one snapshot until a timer has run, which would hide what others have committed since. Reads of one
   * microtask may share one: nobody has been able to tell this process meanwhile.
   */
  #refresh(): void {
    if (this.#isFresh) return
    this.#isFresh = true
    this.#sessions.resetReadTxn()
    queueMicrotask(() => {
      this.#isFresh = false
    })
  }

  /** What is put here is queued before this returns, and committed together. */
  #write(entries: readonly StoreEntry[]): Promise<void> {
    for (const { key } of entries) checked(key)
    const tidied = this.#tidyWhenDue(entries.length)
    const [only] = entries
    if (tidied === undefined && only !== undefined && entries.length === 1) return this.#put(only)
    const writes = entries.map((entry) => this.#put(entry))
    for (const write of [tidied, ...writes]) this.#hold(write)
    return Promise.all([tidied, ...writes]).then(ignore)
  }

  #put({ key, value, expiresAtMs }: StoreEntry): Promise<void> {
    const session = { key, value, expiresAtMs: wholeMs(expiresAtMs), version: newVersion() }
    if (session.expiresAtMs < this.#now()) return this.#replace(key)
    return this.#sessions
      .ifNoExists(key, () => this.#insert(session))
      .then((isNew) => (isNew ? undefined : this.#replace(key, session)))
  }

  #insert(session: StoredSession): void {
    this.#hold(this.#sessions.put(session.key, encodeSession(session)))
    this.#hold(this.#index.put(indexKey(session), EMPTY, session.version))
  }

  /** In a transaction, since it must find what this process has not committed yet. */
  async #replace(key: Uint8Array, session?: StoredSession): Promise<void> {
    await this.#sessions.transaction(() => {
      const old = this.#sessions.getBinary(key)
      if (old !== undefined) this.#remove(writeOf(key, old))
      if (session !== undefined) this.#insert(session)
    })
  }

  /** @returns whether it was this write of the session that was removed, and by nobody else */
  #removeIf(session: SessionWrite): Promise<boolean> {
    return this.#index.ifVersion(indexKey(session), session.version, () => this.#remove(session))
  }

  #remove(session: SessionWrite): void {
    this.#hold(this.#index.remove(indexKey(session)))
    this.#hold(this.#sessions.remove(session.key))
  }

  async #tidyOnce(): Promise<void> {
    // Until this is committed, the index would show the same entries again.
    this.#isTidying = true
    try {
      const removals = this.#tidy()
      for (const removal of removals) this.#hold(removal)
      await Promise.all(removals)
    } finally {
      this.#isTidying = false
    }
  }

  /** Removes what has expired, and what is too much, from the front of the index. */
  #tidy(): Promise<boolean>[] {
    this.#index.resetReadTxn()
    const excess = Math.min(this.#countExcess(), MAX_EVICTED_AT_ONCE)
    const limit = Math.max(excess, Math.min(this.#debt, MAX_EVICTED_AT_ONCE))
    this.#debt = 0
    const nowMs = this.#now()
    const leaving: SessionWrite[] = []
    for (const entry of this.#index.getRange({ limit, versions: true })) {
      const session = sessionWriteOf(entry)
      if (leaving.length >= excess && session.expiresAtMs >= nowMs) break
      leaving.push(session)
    }
    return leaving.map((session) => this.#removeIf(session))
  }

  #tidyWhenDue(writes: number): Promise<void> | undefined {
    this.#debt += LOOKED_AT_PER_WRITE * writes
    return this.#isTidying || this.#debt < LOOKED_AT_PER_WRITE * WRITES_PER_LOOK
      ? undefined
      : this.#tidyOnce()
  }

  /** How many sessions are too many, by the average of the pages that one takes. */
  #countExcess(): number {
    const sessions = this.#sessions.getStats()
    const used = bytesOf(sessions) + bytesOf(this.#index.getStats())
    if (used <= this.#maxBytes) return 0
    const { entryCount = 0 } = sessions
    return Math.ceil((entryCount * (used - this.#maxBytes)) / used)
  }
}

function ignore(): void {
  // What failed is told by the calls that failed, and of what was done nothing needs to be told.
}
