import { setImmediate } from 'node:timers/promises'
import type { Awaitable } from '../session/awaitable.ts'
import { equalBytes } from '../session/bytes.ts'
import type { StoredMark } from '../session/session-store.ts'
import type { LmdbDatabase, LmdbIndexEntry, LmdbTransaction } from './lmdb-environment.ts'
import { wholeMs } from './lmdb-format.ts'

/** What an event turn reads, and what a transaction looks at beyond its own marks. */
const MARKS_AT_ONCE = 1000
const PRUNED_AT_ONCE = 200
const EMPTY = new Uint8Array(0)

export interface LmdbMarksOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Called before each part that is read; throws when the environment is closed. */
  readonly check: () => void
  /** Gets what a write answers with, which nobody else waits for. */
  readonly hold: (answer: unknown) => void
}

/** The marks: keys with their expiry as their version. Their number is for others to decide, so they are read in parts. */
export class LmdbMarks {
  readonly #marks: LmdbDatabase
  readonly #options: LmdbMarksOptions
  #pruneFrom: Uint8Array | undefined

  constructor(marks: LmdbDatabase, options: LmdbMarksOptions) {
    this.#marks = marks
    this.#options = options
  }

  /** All of one moment: marks name each other. */
  read(): Awaitable<readonly Uint8Array[] | undefined> {
    this.#options.check()
    this.#marks.resetReadTxn()
    const transaction = this.#marks.useReadTransaction()
    let hasMore = false
    try {
      const first = this.#readPart(transaction)
      hasMore = first.length === MARKS_AT_ONCE
      return hasMore ? this.#readOn(first, transaction) : orUndefined(this.#current(first))
    } finally {
      if (!hasMore) transaction.done()
    }
  }

  async add(marks: readonly StoredMark[]): Promise<void> {
    await this.#marks.transaction(() => this.#merge(marks))
  }

  #merge(marks: readonly StoredMark[]): void {
    for (const { mark, expiresAtMs } of marks) {
      const [entry] = this.#marks.getRange({ start: mark, limit: 1, versions: true })
      const { version = 0 } = entry !== undefined && equalBytes(entry.key, mark) ? entry : {}
      this.#options.hold(this.#marks.put(mark, EMPTY, Math.max(wholeMs(expiresAtMs), version)))
    }
    this.#prune()
  }

  /** Some at a time: every process of the machine waits for this transaction. */
  #prune(): void {
    const start = this.#pruneFrom
    const looked = [
      ...this.#marks.getRange({ ...(start && { start }), limit: PRUNED_AT_ONCE, versions: true }),
    ]
    for (const { key, version = 0 } of looked)
      if (version < this.#options.now()) this.#options.hold(this.#marks.remove(key))
    this.#pruneFrom = looked.length < PRUNED_AT_ONCE ? undefined : looked.at(-1)?.key.slice()
  }

  #readPart(transaction: LmdbTransaction, start?: Uint8Array): LmdbIndexEntry[] {
    const from = start && { start }
    return [...this.#marks.getRange({ ...from, transaction, limit: MARKS_AT_ONCE, versions: true })]
  }

  /** Each part begins with the last of the part before it. */
  async #readOn(
    first: LmdbIndexEntry[],
    transaction: LmdbTransaction,
  ): Promise<readonly Uint8Array[] | undefined> {
    try {
      const marks = this.#current(first)
      for (let part = first; part.length === MARKS_AT_ONCE; ) {
        await setImmediate()
        this.#options.check()
        part = this.#readPart(transaction, part.at(-1)?.key)
        marks.push(...this.#current(part.slice(1)))
      }
      return orUndefined(marks)
    } finally {
      transaction.done()
    }
  }

  #current(part: readonly LmdbIndexEntry[]): Uint8Array[] {
    const nowMs = this.#options.now()
    return part.filter(({ version = 0 }) => version >= nowMs).map(({ key }) => key)
  }
}

function orUndefined(marks: readonly Uint8Array[]): readonly Uint8Array[] | undefined {
  return marks.length === 0 ? undefined : marks
}
