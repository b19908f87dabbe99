import type { Awaitable } from './awaitable.ts'

/** One session on its way into a store. */
export interface StoreEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** Milliseconds since the epoch, after which the store may forget it; Infinity for never. */
  readonly expiresAtMs: number
}

/**
 * An external cache. Keys that are set are random, keys that are asked for come from the network and are untrusted;
 * values hold master secrets. Forgetting is allowed at any time. A call that fails must throw or reject: it must not
 * look like a miss. Keys and values are bytes that belong to the caller; a store copies what it keeps.
 */
export interface SessionStore {
  get(key: Uint8Array): Awaitable<Uint8Array | undefined>
  /** All entries, or an error; an entry of the same key is replaced. */
  set(entries: readonly StoreEntry[]): Awaitable<void>
  /** Gets and deletes as one: of two takers at most one gets the value, for ever. */
  take(key: Uint8Array): Awaitable<Uint8Array | undefined>
  /** Deleting what is not there is no error. */
  delete(key: Uint8Array): Awaitable<void>
  close(): Awaitable<void>
}
