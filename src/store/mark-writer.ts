import { setImmediate } from 'node:timers/promises'
import type { StoredMark } from '../session/session-store.ts'
import type { KeyRing } from './key-ring.ts'
import { type Mark, type MarkContent, makeMark, storedMark } from './revocation-mark.ts'

/** Marks of one call, and made in one turn of the event loop. */
const MARKS_AT_ONCE = 100
/** Those that are there already cost less. */
const KNOWN_AT_ONCE = 200

export interface MarkWriterOptions {
  readonly keyRing: KeyRing
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly add: (marks: readonly StoredMark[]) => Promise<void>
  /** At most two marks that the next one links to. */
  readonly newest: () => readonly Mark[]
  /** Marks that are on their way to the store, and stay to be put there if that fails. */
  readonly onMade: (marks: readonly Mark[]) => void
}

interface Draft {
  readonly content: MarkContent
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes marks, one call at a time: each links to the one before it, and the last has a tip. What has not been acknowledged goes
 * along with the next call, since the next mark links to it.
 */
export class MarkWriter {
  readonly #options: MarkWriterOptions
  #drafts: Draft[] = []
  #unacknowledged: readonly Mark[] = []
  #isWriting = false

  constructor(options: MarkWriterOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#drafts.length
  }

  /** Settles with the call that has it; what fails is put there by {@link add} later. */
  write(content: MarkContent): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#drafts.push({ content, resolve, reject })
      if (!this.#isWriting) void this.#writeAll()
    })
  }

  /** Marks that are made already. */
  async add(marks: readonly Mark[]): Promise<void> {
    for (let at = 0; at < marks.length; at += KNOWN_AT_ONCE)
      await this.#options.add(marks.slice(at, at + KNOWN_AT_ONCE).map(storedMark))
    const added = new Set(marks)
    this.#unacknowledged = this.#unacknowledged.filter((mark) => !added.has(mark))
  }

  /** New tips for these. */
  async name(marks: readonly Mark[]): Promise<void> {
    const tips: Mark[] = []
    for (let at = 0; at < marks.length && tips.length < MARKS_AT_ONCE; at += 2)
      tips.push(this.#tipOf(marks.slice(at, at + 2)))
    this.#options.onMade(tips)
    await this.add(tips)
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true
    while (this.#drafts.length > 0) {
      const drafts = this.#drafts.slice(0, MARKS_AT_ONCE)
      this.#drafts = this.#drafts.slice(MARKS_AT_ONCE)
      try {
        const made = this.#make(drafts)
        this.#unacknowledged = [...this.#unacknowledged, ...made]
        await this.add(this.#unacknowledged)
        for (const { resolve } of drafts) resolve()
      } catch (error) {
        for (const { reject } of drafts) reject(error)
      }
      if (this.#drafts.length > 0) await setImmediate()
    }
    this.#isWriting = false
  }

  #make(drafts: readonly Draft[]): Mark[] {
    const { keyRing, now, newest, onMade } = this.#options
    const made: Mark[] = []
    for (const { content } of drafts) {
      const last = made.at(-1)
      made.push(makeMark(keyRing, content, now(), last === undefined ? newest() : [last]))
    }
    made.push(this.#tipOf(made.slice(-1)))
    onMade(made)
    return made
  }

  #tipOf(marks: readonly Mark[]): Mark {
    const { keyRing, now } = this.#options
    const content = { kind: 'anchor', subject: new Uint8Array(0), madeBeforeMs: 0 } as const
    return makeMark(keyRing, content, now(), marks)
  }
}
