import type { SessionStore, StoreEntry } from '../../../src/session/session-store.ts'
import type { SessionBytes } from './formula.ts'

/** What `sealed` adds to a value: key id, nonce and tag. Its keys are as long as the ids that they hide. */
const SEAL_BYTES = 51

/** The length of a command and its reply in RESP, the protocol of Redis: arrays of strings, each with its length. */
function respBytes(parts: readonly number[], reply: number): number {
  return `*${parts.length}\r\n`.length + parts.reduce((sum, length) => sum + bulkBytes(length), 0) + reply
}

function bulkBytes(length: number): number {
  return `$${length}\r\n`.length + length + 2
}

const OK_BYTES = '+OK\r\n'.length
const NIL_BYTES = '$-1\r\n'.length

const setBytes = (key: number, value: number): number =>
  respBytes(['SET'.length, key, value, 'PXAT'.length, String(Date.UTC(2026, 0)).length], OK_BYTES)

const getBytes = (key: number, value: number | undefined): number =>
  respBytes(['GET'.length, key], value === undefined ? NIL_BYTES : bulkBytes(value))

/** What a session costs whose DER is so long, on average; lengths are not rounded, since they are averages. */
export function sessionBytes(derBytes: number): SessionBytes {
  const [whole, value] = [Math.round(derBytes) + SEAL_BYTES, derBytes + SEAL_BYTES]
  const fraction = value - whole
  return {
    stored: KEY_BYTES + value,
    set: setBytes(KEY_BYTES, whole) + fraction,
    found: getBytes(KEY_BYTES, whole) + fraction,
    missed: getBytes(KEY_BYTES, undefined),
  }
}

const KEY_BYTES = 32

interface Kept {
  /** One character a byte: a million of small arrays would need several times the memory. */
  readonly value: string
  readonly expiresAtMs: number
}

/** The store that a fleet shares. It forgets when the clock says so, not when it is asked, and counts as an engine would. */
export class FleetStore implements SessionStore {
  readonly confidentiality = 'in-process'
  readonly count: { gets: number; sets: number; networkBytes: number } = { gets: 0, sets: 0, networkBytes: 0 }
  readonly #now: () => number
  readonly #sessions = new Map<string, Kept>()
  /** Keys by the second of their expiry, which sessions have in whole seconds. */
  readonly #expiring = new Map<number, string[]>()
  #expiredUntilSec: number
  #bytes = 0

  constructor(now: () => number) {
    this.#now = now
    this.#expiredUntilSec = Math.floor(now() / 1000)
  }

  /** Alive now. */
  get live(): { readonly sessions: number; readonly bytes: number } {
    this.#expire()
    return { sessions: this.#sessions.size, bytes: this.#bytes }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#expire()
    const kept = this.#sessions.get(latin1(key))
    this.count.gets++
    this.count.networkBytes += getBytes(key.length, kept && kept.value.length + SEAL_BYTES)
    return kept && Buffer.from(kept.value, 'latin1')
  }

  set(entries: readonly StoreEntry[]): void {
    this.#expire()
    for (const { key, value, expiresAtMs } of entries) {
      const name = latin1(key)
      const second = Math.ceil(expiresAtMs / 1000)
      this.#sessions.set(name, { value: latin1(value), expiresAtMs })
      const others = this.#expiring.get(second)
      if (others === undefined) this.#expiring.set(second, [name])
      else others.push(name)
      this.#bytes += key.length + value.length + SEAL_BYTES
      this.count.sets++
      this.count.networkBytes += setBytes(key.length, value.length + SEAL_BYTES)
    }
  }

  take(key: Uint8Array): Uint8Array | undefined {
    const value = this.get(key)
    this.delete(key)
    return value
  }

  delete(key: Uint8Array): void {
    this.#drop(latin1(key))
  }

  getMarks(): undefined {
    return undefined
  }

  addMarks(): never {
    throw new Error('nothing is revoked in the simulation')
  }

  close(): void {
    this.#sessions.clear()
    this.#expiring.clear()
  }

  /** A session lives through the millisecond of its expiry. */
  #expire(): void {
    const dueSec = Math.ceil(this.#now() / 1000) - 1
    while (this.#expiredUntilSec < dueSec) {
      const second = ++this.#expiredUntilSec
      for (const name of this.#expiring.get(second) ?? []) this.#drop(name)
      this.#expiring.delete(second)
    }
  }

  #drop(name: string): void {
    const kept = this.#sessions.get(name)
    if (kept === undefined) return
    this.#sessions.delete(name)
    this.#bytes -= name.length + kept.value.length + SEAL_BYTES
  }
}

function latin1(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
}
