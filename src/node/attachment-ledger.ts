import { setImmediate } from 'node:timers/promises'
import { type HandshakeCounts, HandshakeTally, type Outcome } from '../observability/handshake-tally.ts'
import type { HandshakeReason, NotKeptReason } from './handshake-reason.ts'

/** How often each thing has happened since the server was attached. */
export interface AttachmentStats extends HandshakeCounts {
  readonly reasons: Readonly<Partial<Record<HandshakeReason, number>>>
  /** Sessions that were made and not kept. */
  readonly notKept: Readonly<Partial<Record<NotKeptReason, number>>>
  /** Handshakes whose new sessions an external cache has not acknowledged yet. */
  readonly pendingWrites: number
}

/** Milliseconds for which the end waits for connections that have said nothing: some clients open them in advance. */
const SILENCE_MS = 1_000

/** What an attachment has done, and what it still has to do. */
export class AttachmentLedger {
  readonly #tally: HandshakeTally = new HandshakeTally()
  readonly #notKept: Partial<Record<NotKeptReason, number>> = {}
  /** Handshakes without an outcome. */
  readonly #pending: Set<object> = new Set()
  /** Those of them that have said nothing yet. */
  readonly #silent: Set<object> = new Set()
  /** The last write of each handshake that has one under way. */
  readonly #writes: Map<object, PromiseLike<unknown>> = new Map()
  #wake: () => void = () => undefined

  get stats(): AttachmentStats {
    return {
      ...this.#tally.counts,
      notKept: { ...this.#notKept },
      pendingWrites: this.#writes.size,
    }
  }

  countNotKept(reason: NotKeptReason): void {
    this.#notKept[reason] = (this.#notKept[reason] ?? 0) + 1
  }

  /** A connection without a byte yet. */
  begin(handshake: object): void {
    this.#pending.add(handshake)
    this.#silent.add(handshake)
  }

  hear(handshake: object): void {
    this.#silent.delete(handshake)
  }

  /** @returns false, and nothing is counted, when the handshake has its outcome already, or is forgotten */
  end(
    handshake: object,
    outcome: Outcome,
    { reason, protocol }: { readonly reason: HandshakeReason; readonly protocol: string | undefined },
  ): boolean {
    this.#silent.delete(handshake)
    if (!this.#pending.delete(handshake)) return false
    this.#tally.count(outcome, reason, protocol)
    this.#wake()
    return true
  }

  /** @param written - settles with all that the handshake has written so far */
  watchWrites(handshake: object, written: PromiseLike<unknown>): void {
    this.#writes.set(handshake, written)
    const settled = (): void => {
      if (this.#writes.get(handshake) === written) this.#writes.delete(handshake)
      this.#wake()
    }
    written.then(settled, settled)
  }

  /** What is under way is nobody's any more. */
  forgetHandshakes(): void {
    this.#pending.clear()
    this.#silent.clear()
    this.#wake()
  }

  /** Settles when nothing is under way, or at the deadline. */
  async settled(deadlineMs: number): Promise<void> {
    let isOver = false
    const timer = setTimeout(() => {
      isOver = true
      this.#wake()
    }, deadlineMs)
    let isGraceOver = false
    const grace = setTimeout(() => {
      isGraceOver = true
      this.#wake()
    }, SILENCE_MS)
    const isBusy = (): boolean =>
      this.#pending.size - (isGraceOver ? this.#silent.size : 0) + this.#writes.size > 0
    // The tickets of TLS 1.3 come after their handshake's outcome, in the same turn of the event loop.
    await setImmediate()
    while (!isOver && isBusy()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await setImmediate()
    }
    clearTimeout(timer)
    clearTimeout(grace)
  }
}
