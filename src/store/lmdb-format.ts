import { randomInt } from 'node:crypto'
import type { LmdbIndexEntry, LmdbStats } from './lmdb-environment.ts'

/** One write of one session: what its index entry says. */
export interface SessionWrite {
  readonly key: Uint8Array
  readonly expiresAtMs: number
  readonly version: number
}

export interface StoredSession extends SessionWrite {
  readonly value: Uint8Array
}

const EXPIRY_LENGTH = 6
const VERSION_LENGTH = 6
const HEADER_LENGTH = EXPIRY_LENGTH + VERSION_LENGTH
/** What six bytes can hold: the year 10889 as an expiry, and never. */
const LARGEST = 2 ** 48 - 1

export function encodeSession({ expiresAtMs, version, value }: StoredSession): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_LENGTH + value.length)
  bytes.writeUIntBE(expiresAtMs, 0, EXPIRY_LENGTH)
  bytes.writeUIntBE(version, EXPIRY_LENGTH, VERSION_LENGTH)
  bytes.set(value, HEADER_LENGTH)
  return bytes
}

export function writeOf(key: Uint8Array, stored: Uint8Array): SessionWrite {
  return { key, expiresAtMs: uint48At(stored, 0), version: uint48At(stored, EXPIRY_LENGTH) }
}

export function valueIn(stored: Uint8Array): Uint8Array {
  return stored.subarray(HEADER_LENGTH)
}

/** NaN where there are no six bytes, which is never: then it is nobody's session. */
export function uint48At(bytes: Uint8Array, start: number): number {
  let value = 0
  for (let index = start; index < start + 6; index++) value = value * 0x100 + (bytes[index] ?? Number.NaN)
  return value
}

/** Big-endian, so that LMDB's order is that of expiry. */
export function indexKey({ key, expiresAtMs }: SessionWrite): Uint8Array {
  const bytes = Buffer.allocUnsafe(EXPIRY_LENGTH + key.length)
  bytes.writeUIntBE(expiresAtMs, 0, EXPIRY_LENGTH)
  bytes.set(key, EXPIRY_LENGTH)
  return bytes
}

export function sessionWriteOf({ key, version = 0 }: LmdbIndexEntry): SessionWrite {
  return { key: key.subarray(EXPIRY_LENGTH), expiresAtMs: uint48At(key, 0), version }
}

/** Never the same twice for one key and expiry, whichever process made it. */
export function newVersion(): number {
  return randomInt(1, LARGEST)
}

/** Rounded down: a store may forget early, and must not late. */
export function wholeMs(expiresAtMs: number): number {
  return Math.max(0, Math.min(Math.floor(expiresAtMs), LARGEST))
}

export function bytesOf({
  pageSize = 0,
  treeBranchPageCount = 0,
  treeLeafPageCount = 0,
  overflowPages = 0,
}: LmdbStats): number {
  return pageSize * (treeBranchPageCount + treeLeafPageCount + overflowPages)
}
