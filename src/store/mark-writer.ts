import { setImmediate } from 'node:timers/promises'
import type { StoredMark } from '../session/session-store.ts'
import type { KeyRing } from './key-ring.ts'
import { isTip, type Mark, type MarkContent, makeMark, storedMark } from './revocation-mark.ts'

/** Marks of one call, and made in one turn of the event loop. */
const MARKS_AT_ONCE = 100
/** Those of which no tip comes, which are there already. */
const MAX_AT_ONCE = 200

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
    for (const call of callsOf(marks)) await this.#options.add(call.map(storedMark))
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

/** Each call ends with a tip, if there is one: what is stored when the next call fails is whole. */
function callsOf(marks: readonly Mark[]): Mark[][] {
  const calls: Mark[][] = []
  let call: Mark[] = []
  for (const mark of marks) {
    call.push(mark)
    if (call.length < MAX_AT_ONCE && !(call.length > MARKS_AT_ONCE && isTip(mark))) continue
    calls.push(call)
    call = []
  }
  if (call.length > 0) calls.push(call)
  return calls
}
