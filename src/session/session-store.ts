import type { Awaitable } from './awaitable.ts'

/** One session on its way into a store. */
export interface StoreEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** Milliseconds since the epoch, after which the store may forget it; Infinity for never. */
  readonly expiresAtMs: number
}

/** One revocation mark on its way into a store: opaque bytes, at most 64 of them. */
export interface StoredMark {
  readonly mark: Uint8Array
  /** Milliseconds since the epoch, after which the store may forget it; Infinity for never. */
  readonly expiresAtMs: number
}

/**
 * An external cache. `storeConformance` of `sslctx/testing` is this text as tests.
 *
 * - **Keys that are set are random; keys that are asked for come from the network and are untrusted**: 1 to 64 bytes of any
 *   value, most of them never set.
 * - **Values are secret**: whoever reads one can impersonate the server. They are up to 11 KiB long.
 * - **Forgetting a session is allowed**, at any time. Forgetting a single mark is not: a store loses all its marks or none.
 * - **A take is final**: of all takers of a key, in all processes, at most one gets the value, for ever.
 * - **A call that fails throws or rejects**; it must not look like a miss. What an engine cannot do at the moment, it has
 *   failed to do; a take that is not certain has failed.
 * - Bytes that are handed over belong to the caller, who leaves them as they are until the call has settled; bytes that are
 *   handed out belong to the caller too.
 */
export interface SessionStore {
  /**
   * Who can read the values: `in-process`, this process alone; `sealed`, who has the keys. Without it, whoever can read the
   * engine, and `storeCallbacks` wants to be told that this is known.
   */
  readonly confidentiality?: 'in-process' | 'sealed'

  get(key: Uint8Array): Awaitable<Uint8Array | undefined>

  /** All entries, or an error; an entry of the same key is replaced. What has expired already is not kept. */
  set(entries: readonly StoreEntry[]): Awaitable<void>

  /** Gets and deletes as one. */
  take(key: Uint8Array): Awaitable<Uint8Array | undefined>

  /** Deleting what is not there is no error. */
  delete(key: Uint8Array): Awaitable<void>

  /**
   * All revocation marks, each once, in any order.
   *
   * @returns undefined when the store has none: it never had, or it has lost them. An expired one may be among them
   */
  getMarks(): Awaitable<readonly Uint8Array[] | undefined>

  /** Adds to the marks, whoever else adds at the same time. A mark that is there already is no error, and has the same expiry. */
  addMarks(marks: readonly StoredMark[]): Awaitable<void>

  /**
   * An engine that can push tells of every mark that any process adds. It may miss some; `getMarks` is the truth.
   *
   * @param onMark - may be called at once, and must not throw
   * @returns ends it
   */
  watchMarks?(onMark: (mark: Uint8Array) => void): Awaitable<() => Awaitable<void>>

  /** Lets go of what the store holds itself. A client that the owner made stays the owner's to close. */
  close(): Awaitable<void>
}
