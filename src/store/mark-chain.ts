import { inTurns } from './in-turns.ts'
import { isTip, LINK_UNIT_MS, MARK_LIFE_MS, type Mark, TIP_LIFE_MS } from './revocation-mark.ts'

/** Clocks of those who write marks and of those who let them expire may differ by so much. */
const CLOCK_SKEW_MS = 60_000

/** What is wrong with a set of marks, and what is to be done about it before long. */
export interface ChainReport {
  /** Marks are missing that must be there, or that nothing says to be all. */
  readonly isBroken: boolean
  /** Marks that soon no tip names any more. */
  readonly unnamed: readonly Mark[]
}

/**
 * The marks of a store, by what they say of each other. Each mark links to the newest that its writer knew, and comes with a tip
 * that links to it. So who can write to the store, and not make marks, cannot take a single one away: its tip or its successor
 * names it; a tip that is gone leaves a mark that none names. Writers that do not know of each other each leave a newest mark.
 * The next one links to two of those.
 *
 * Taking all of the newest marks away with all their tips gives the set of before. That cannot be told by it alone.
 */
export class MarkChain {
  readonly #marks: Map<string, Mark> = new Map()
  /** Those that no other mark links to. */
  readonly #heads: Map<string, Mark> = new Map()

  get size(): number {
    return this.#marks.size
  }

  add(mark: Mark): void {
    if (this.#marks.has(mark.id)) return
    this.#marks.set(mark.id, mark)
    if (mark.kind === 'anchor') return
    for (const { id } of mark.links) this.#heads.delete(id)
    this.#heads.set(mark.id, mark)
  }

  async forgetExpired(nowMs: number): Promise<void> {
    await inTurns(this.#marks, ([id, mark]) => {
      if (mark.writtenMs + (isTip(mark) ? TIP_LIFE_MS : MARK_LIFE_MS) >= nowMs) return
      this.#marks.delete(id)
      this.#heads.delete(id)
    })
  }

  /** Newest marks, for the next one to link to. */
  newest(allBeforeMs: number): Mark[] {
    const newest: Mark[] = []
    for (const head of this.#heads.values()) {
      if (head.madeBeforeMs > allBeforeMs) newest.push(head)
      if (newest.length === 2) break
    }
    return newest
  }

  /**
   * @param allBeforeMs - milliseconds since the epoch: all that was authenticated before is revoked, so marks of before may be missing
   */
  async examine(nowMs: number, allBeforeMs: number): Promise<ChainReport> {
    const marks = [...this.#marks.values()]
    const linked = new Set<string>()
    /** Until when a tip names a mark. */
    const named = new Map<string, number>()
    let isBroken = false
    const isDue = ({ writtenMs }: { readonly writtenMs: number }): boolean =>
      writtenMs > allBeforeMs && writtenMs - LINK_UNIT_MS > nowMs - MARK_LIFE_MS + CLOCK_SKEW_MS
    await inTurns(marks, (mark) => {
      for (const link of mark.links) {
        if (isTip(mark)) named.set(link.id, Math.max(named.get(link.id) ?? 0, mark.writtenMs + TIP_LIFE_MS))
        else linked.add(link.id)
        if (!this.#marks.has(link.id) && isDue(link)) isBroken = true
      }
    })
    const unnamed: Mark[] = []
    this.#heads.clear()
    await inTurns(marks, (mark) => {
      if (mark.kind === 'anchor' || linked.has(mark.id)) return
      this.#heads.set(mark.id, mark)
      if (mark.madeBeforeMs <= allBeforeMs || !isDue(mark)) return
      const untilMs = named.get(mark.id)
      if (untilMs === undefined) isBroken = true
      else if (untilMs < nowMs + TIP_LIFE_MS / 2) unnamed.push(mark)
    })
    return { isBroken, unnamed }
  }

  /** Those that a store lacks, which had them or was to have them. Roots are of one store, and never put back. */
  async missing(isStored: (mark: Mark) => boolean): Promise<Mark[]> {
    const missing: Mark[] = []
    await inTurns([...this.#marks.values()], (mark) => {
      if (!isStored(mark)) missing.push(mark)
    })
    return missing
  }
}
