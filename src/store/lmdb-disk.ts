import { chmodSync, readdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { SessionStoreError } from '../errors.ts'

/** Pages that a write replaces in the trees of three databases, and the list of free ones, generously. */
const HEADROOM_BYTES = 256 * 1024
/** A write of some bytes takes more in pages. */
const PAGES_PER_BYTE = 4
/** So much may be written before somebody looks again. */
const BYTES_PER_LOOK = 64 * 1024
const LOOK_EVERY_MS = 20
/** After a write that found no room nothing is written for so long. */
const PAUSE_MS = 1000

/** ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EPERM of errno(3); EIO, which LMDB makes of half a write; MDB_MAP_FULL of lmdb.h. */
const NO_ROOM = new Map<unknown, string>([
  [28, 'the disk is full'],
  [122, 'the quota of the disk is used up'],
  [27, 'the file may not grow'],
  [30, 'the file system is read-only'],
  [13, 'writing is not permitted'],
  [1, 'writing is not permitted'],
  [5, 'the disk took a part of a write only'],
  [-30792, 'the map of the environment is full'],
])

/**
 * Keeps an environment off a disk that is full. There lmdb-js (3.5) may corrupt the memory of the process while it reports
 * ENOSPC, so that the process aborts: no write may come that far, and none may follow one that did.
 */
export class LmdbDisk {
  readonly #path: string | undefined
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #bytesSinceLook = 0
  #freeBytes = Number.POSITIVE_INFINITY
  #pausedUntilMs = Number.NEGATIVE_INFINITY
  #why = ''

  /** @param path - of the environment; undefined when that is not known */
  constructor(path: string | undefined) {
    this.#path = path
  }

  /**
   * @param bytes - that are about to be written
   * @throws SessionStoreError `isRefusal` when there is no room for them
   */
  reserve(bytes: number): void {
    const nowMs = performance.now()
    if (nowMs < this.#pausedUntilMs) throw refused(this.#why)
    this.#bytesSinceLook += bytes
    if (nowMs - this.#lookedAtMs >= LOOK_EVERY_MS || this.#bytesSinceLook > BYTES_PER_LOOK)
      this.#look(nowMs, bytes)
    if (this.#freeBytes - this.#bytesSinceLook * PAGES_PER_BYTE < HEADROOM_BYTES)
      throw refused('the disk is full')
  }

  /** A write has failed, for whatever reason. */
  hear(error: unknown): void {
    const { code } = (error ?? {}) as { readonly code?: unknown }
    const why = NO_ROOM.get(code)
    if (why === undefined) return
    this.#why = why
    this.#pausedUntilMs = performance.now() + PAUSE_MS
  }

  get isPaused(): boolean {
    return performance.now() < this.#pausedUntilMs
  }

  #look(nowMs: number, bytes: number): void {
    this.#lookedAtMs = nowMs
    this.#bytesSinceLook = bytes
    if (this.#path === undefined) return
    try {
      const { bavail, bsize } = statfsSync(this.#path)
      this.#freeBytes = bavail * bsize
    } catch {
      // Somewhere without such figures the engine finds out.
      this.#freeBytes = Number.POSITIVE_INFINITY
    }
  }
}

function refused(why: string): SessionStoreError {
  return new SessionStoreError(`lmdb is not written to: ${why}`, { isRefusal: true })
}

const FILES = ['data.mdb', 'lock.mdb']

/** An environment that has just been made is for its user alone; one that has been there is as its owner wants it. */
export function makePrivate(path: string): void {
  const names = readdirSync(path)
  for (const name of FILES.filter((file) => names.includes(file))) chmodSync(join(path, name), 0o600)
  if (names.every((name) => FILES.includes(name))) chmodSync(path, 0o700)
}
