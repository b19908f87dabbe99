import { randomInt } from 'node:crypto'
import { SessionStoreError } from '../errors.ts'
import type { SessionStore, StoredMark, StoreEntry } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'

/** What is used of lmdb-js: what its `open()` returns. */
export interface LmdbEnvironment {
  readonly status?: string
  openDB(options: LmdbDatabaseOptions): LmdbDatabase | undefined
}

/** How the three databases are opened: bytes as they are, the index with versions. */
export interface LmdbDatabaseOptions {
  readonly name: string
  readonly encoding: 'binary'
  readonly keyEncoding: 'binary'
  readonly compression: false
  readonly useVersions: boolean
}

/** What is used of a database of lmdb-js. */
export interface LmdbDatabase {
  getBinary(key: Uint8Array): Uint8Array | undefined
  getRange(options: { readonly limit?: number; readonly versions: true }): Iterable<LmdbIndexEntry>
  put(key: Uint8Array, value: Uint8Array, version?: number): unknown
  remove(key: Uint8Array): unknown
  ifNoExists(key: Uint8Array, action: () => void): Promise<boolean>
  ifVersion(key: Uint8Array, version: number, action: () => void): Promise<boolean>
  transaction<T>(action: () => T): Promise<T>
  readonly committed?: PromiseLike<unknown>
  getStats(): LmdbStats
  resetReadTxn(): void
}

/** An entry that `getRange` comes to. */
export interface LmdbIndexEntry {
  readonly key: Uint8Array
  readonly version?: number
}

/** Pages that a database fills, by which its size is bounded. */
export interface LmdbStats {
  readonly pageSize?: number
  readonly treeBranchPageCount?: number
  readonly treeLeafPageCount?: number
  readonly overflowPages?: number
  readonly entryCount?: number
}

/** What {@link lmdbStore} may be told. */
export interface LmdbStoreOptions {
  /**
   * Bytes of the pages that sessions and their index may fill, over all processes; those that expire first go first. 256 MiB by
   * default: some 500,000 sessions without client certificates. Give all processes the same, and a `mapSize`, if any, twice that.
   */
  readonly maxBytes?: number
  /** Milliseconds since the epoch; the system's clock by default. */
  readonly now?: () => number
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
 * `get` and `getMarks` answer synchronously, from memory that all processes share; gets of one microtask from one snapshot.
 *
 * @param root - what lmdb's `open()` returned
 * @throws `SessionStoreError` when the databases cannot be opened; likewise whatever is called later
 */
export function lmdbStore(root: LmdbEnvironment, options: LmdbStoreOptions = {}): SessionStore {
  return new LmdbStore(root, options)
}

const DEFAULT_MAX_BYTES = 256 * 1024 * 1024
const MAX_KEY_LENGTH = 64
/** How many entries of the index may be looked at for each one that is written: whatever is behind catches up. */
const LOOKED_AT_PER_WRITE = 4
/** Looking costs as much as a write, so it is done for so many of them at once. */
const WRITES_PER_LOOK = 8
/** An event turn does no more than this for a bound that has been lowered, or whose pages empty slowly. */
const MAX_EVICTED_AT_ONCE = 1000
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
  readonly #marks: LmdbDatabase
  readonly #maxBytes: number
  readonly #now: () => number
  #debt = 0
  #isTidying = false
  #isWatchingCommit = false
  #isFresh = false

  constructor(root: LmdbEnvironment, { maxBytes = DEFAULT_MAX_BYTES, now = Date.now }: LmdbStoreOptions) {
    this.#root = root
    this.#maxBytes = maxBytes
    this.#now = now
    this.#sessions = openDatabase(root, 'sslctx-sessions', false)
    this.#index = openDatabase(root, 'sslctx-expiry', true)
    this.#marks = openDatabase(root, 'sslctx-marks', true)
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      const stored = this.#read(key)
      return stored && valueIn(stored)
    } catch (error) {
      throw failed('get', error)
    }
  }

  set(entries: readonly StoreEntry[]): Promise<void> {
    return this.#attempt('set', () => this.#write(entries))
  }

  take(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#attempt('take', async () => {
      const stored = this.#read(key)
      const isOurs = stored !== undefined && (await this.#removeIf(writeOf(key, stored)))
      return isOurs ? valueIn(stored) : undefined
    })
  }

  delete(key: Uint8Array): Promise<void> {
    return this.#attempt('delete', () => this.#replace(checked(key)))
  }

  getMarks(): readonly Uint8Array[] | undefined {
    try {
      this.#checkOpen()
      this.#marks.resetReadTxn()
      const marks = [...this.#marks.getRange({ versions: true })]
      const current = marks.filter(({ version = 0 }) => version >= this.#now())
      return current.length === 0 ? undefined : current.map(({ key }) => key)
    } catch (error) {
      throw failed('getMarks', error)
    }
  }

  addMarks(marks: readonly StoredMark[]): Promise<void> {
    return this.#attempt('addMarks', async () => {
      for (const { mark } of marks) checked(mark)
      await this.#marks.transaction(() => this.#mergeMarks(marks))
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
  #attempt<T>(operation: string, action: () => Promise<T>): Promise<T> {
    const fail = (error: unknown): Promise<never> => Promise.reject(failed(operation, error))
    try {
      this.#checkOpen()
      const answer = action()
      this.#watchCommit()
      return answer.catch(fail)
    } catch (error) {
      return fail(error)
    }
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
      this.#sessions.committed?.then(ignore, ignore)
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
    return Promise.all([tidied, ...entries.map((entry) => this.#put(entry))]).then(ignore)
  }

  #put({ key, value, expiresAtMs }: StoreEntry): Promise<void> {
    const session = { key, value, expiresAtMs: wholeMs(expiresAtMs), version: newVersion() }
    if (session.expiresAtMs < this.#now()) return this.#replace(key)
    return this.#sessions
      .ifNoExists(key, () => this.#insert(session))
      .then((isNew) => (isNew ? undefined : this.#replace(key, session)))
  }

  #insert(session: StoredSession): void {
    this.#sessions.put(session.key, encodeSession(session))
    this.#index.put(indexKey(session), EMPTY, session.version)
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
    this.#index.remove(indexKey(session))
    this.#sessions.remove(session.key)
  }

  async #tidyOnce(): Promise<void> {
    // Until this is committed, the index would show the same entries again.
    this.#isTidying = true
    try {
      await Promise.all(this.#tidy())
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

  #mergeMarks(marks: readonly StoredMark[]): void {
    const kept = new Map<string, number>()
    for (const { key, version = 0 } of this.#marks.getRange({ versions: true })) {
      if (version < this.#now()) this.#marks.remove(key)
      else kept.set(byteKey(key), version)
    }
    for (const { mark, expiresAtMs } of marks) {
      const expiresAt = Math.max(wholeMs(expiresAtMs), kept.get(byteKey(mark)) ?? 0)
      kept.set(byteKey(mark), expiresAt)
      this.#marks.put(mark, EMPTY, expiresAt)
    }
  }
}

/** One write of one session: what its index entry says. */
interface SessionWrite {
  readonly key: Uint8Array
  readonly expiresAtMs: number
  readonly version: number
}

interface StoredSession extends SessionWrite {
  readonly value: Uint8Array
}

const EXPIRY_LENGTH = 6
const VERSION_LENGTH = 6
const HEADER_LENGTH = EXPIRY_LENGTH + VERSION_LENGTH
/** What six bytes can hold: the year 10889 as an expiry, and never. */
const LARGEST = 2 ** 48 - 1

function encodeSession({ expiresAtMs, version, value }: StoredSession): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_LENGTH + value.length)
  bytes.writeUIntBE(expiresAtMs, 0, EXPIRY_LENGTH)
  bytes.writeUIntBE(version, EXPIRY_LENGTH, VERSION_LENGTH)
  bytes.set(value, HEADER_LENGTH)
  return bytes
}

function writeOf(key: Uint8Array, stored: Uint8Array): SessionWrite {
  return { key, expiresAtMs: uint48At(stored, 0), version: uint48At(stored, EXPIRY_LENGTH) }
}

function valueIn(stored: Uint8Array): Uint8Array {
  return stored.subarray(HEADER_LENGTH)
}

/** NaN where there are no six bytes, which is never: then it is nobody's session. */
function uint48At(bytes: Uint8Array, start: number): number {
  let value = 0
  for (let index = start; index < start + 6; index++) value = value * 0x100 + (bytes[index] ?? Number.NaN)
  return value
}

/** Big-endian, so that LMDB's order is that of expiry. */
function indexKey({ key, expiresAtMs }: SessionWrite): Uint8Array {
  const bytes = Buffer.allocUnsafe(EXPIRY_LENGTH + key.length)
  bytes.writeUIntBE(expiresAtMs, 0, EXPIRY_LENGTH)
  bytes.set(key, EXPIRY_LENGTH)
  return bytes
}

function sessionWriteOf({ key, version = 0 }: LmdbIndexEntry): SessionWrite {
  return { key: key.subarray(EXPIRY_LENGTH), expiresAtMs: uint48At(key, 0), version }
}

/** Never the same twice for one key and expiry, whichever process made it. */
function newVersion(): number {
  return randomInt(1, LARGEST)
}

/** Rounded down: a store may forget early, and must not late. */
function wholeMs(expiresAtMs: number): number {
  return Math.max(0, Math.min(Math.floor(expiresAtMs), LARGEST))
}

function bytesOf({
  pageSize = 0,
  treeBranchPageCount = 0,
  treeLeafPageCount = 0,
  overflowPages = 0,
}: LmdbStats): number {
  return pageSize * (treeBranchPageCount + treeLeafPageCount + overflowPages)
}

/** Before lmdb-js sees it: its own message would quote the key. */
function checked(key: Uint8Array): Uint8Array {
  if (key.length < 1 || key.length > MAX_KEY_LENGTH) throw new Error(`a key of ${key.length} bytes`)
  return key
}

function openDatabase(root: LmdbEnvironment, name: string, useVersions: boolean): LmdbDatabase {
  try {
    const database = root.openDB({
      name,
      encoding: 'binary',
      keyEncoding: 'binary',
      compression: false,
      useVersions,
    })
    if (database === undefined) throw new Error('it is not there, and the environment is read-only')
    return database
  } catch (error) {
    throw new SessionStoreError(`lmdb cannot open ${name}`, { cause: error })
  }
}

function ignore(): void {
  // What failed is told by the calls that failed, and of what was done nothing needs to be told.
}

function failed(operation: string, cause: unknown): SessionStoreError {
  // A promise of the engine's own error, which nobody need wait for.
  if (cause instanceof Error && 'commitError' in cause) Promise.resolve(cause.commitError).catch(ignore)
  return new SessionStoreError(`lmdb ${operation} failed`, { cause })
}
