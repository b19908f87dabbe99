import { accessSync, constants } from 'node:fs'
import { SessionStoreError } from '../errors.ts'
import { makePrivate } from './lmdb-disk.ts'

/** What is used of lmdb-js: what its `open()` returns. */
export interface LmdbEnvironment {
  readonly status?: string
  readonly path?: string
  readonly readOnly?: boolean
  getStats?(): LmdbStats
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
  getRange(options: LmdbRange): Iterable<LmdbIndexEntry>
  put(key: Uint8Array, value: Uint8Array, version?: number): unknown
  remove(key: Uint8Array): unknown
  ifNoExists(key: Uint8Array, action: () => void): Promise<boolean>
  ifVersion(key: Uint8Array, version: number, action: () => void): Promise<boolean>
  transaction<T>(action: () => T): Promise<T>
  readonly committed?: PromiseLike<unknown>
  getStats(): LmdbStats
  resetReadTxn(): void
  /** One moment of the database, until it is done. */
  useReadTransaction(): LmdbTransaction
}

/** A read transaction of lmdb-js, which is done when it is said to be. */
export interface LmdbTransaction {
  /** Nothing is read in it any more. */
  done(): void
}

/** In the order of the keys. */
export interface LmdbRange {
  readonly start?: Uint8Array
  readonly limit?: number
  readonly versions: true
  readonly transaction?: LmdbTransaction
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

export const MAX_KEY_LENGTH = 64

/** Before lmdb-js sees it: its own message would quote the key. */
export function checked(key: Uint8Array): Uint8Array {
  if (key.length < 1 || key.length > MAX_KEY_LENGTH) throw new Error(`a key of ${key.length} bytes`)
  return key
}

/** Where nothing could ever be written, that is said now. */
export function prepare(root: LmdbEnvironment): void {
  const { path } = root
  if (path === undefined || root.readOnly === true) return
  try {
    accessSync(path, constants.W_OK)
    if (root.getStats?.().entryCount === 0) makePrivate(path)
  } catch (cause) {
    throw new SessionStoreError(`the environment in ${path} cannot be written to by this user`, {
      cause,
      isRefusal: true,
    })
  }
}

export function openDatabase(root: LmdbEnvironment, name: string, useVersions: boolean): LmdbDatabase {
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

/** How long the engine may take to say why a commit has failed. */
const EXPLANATION_MS = 100

/** A failed commit has the engine's own error as a promise, which nobody else holds. */
export async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error
  const explained = Promise.resolve(error.commitError).catch((cause: unknown) => cause)
  const waited = new Promise<unknown>((resolve) => {
    setTimeout(() => resolve(error), EXPLANATION_MS).unref()
  })
  return (await Promise.race([explained, waited])) ?? error
}

export function failed(operation: string, cause: unknown, isRefused = false): SessionStoreError {
  const isOurs = cause instanceof SessionStoreError
  return new SessionStoreError(`lmdb ${operation} failed`, {
    cause,
    ...(isOurs && { code: cause.code }),
    isRefusal: isRefused || (isOurs && cause.isRefusal),
  })
}
