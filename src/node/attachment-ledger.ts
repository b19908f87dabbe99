import { setImmediate } from 'node:timers/promises'
import type { HandshakeReason, NotKeptReason } from './handshake-reason.ts'

export type Outcome = 'resumed' | 'full' | 'failed'

/** How often each thing has happened since the server was attached. */
export interface AttachmentStats {
  readonly handshakes: Readonly<Record<Outcome, number>>
  readonly reasons: Readonly<Partial<Record<HandshakeReason, number>>>
  /** Sessions that were made and not kept. */
  readonly notKept: Readonly<Partial<Record<NotKeptReason, number>>>
  /** New sessions that an external cache has not acknowledged yet. */
  readonly pendingWrites: number
}

/** What an attachment has done, and what it still has to do. */
export class AttachmentLedger {
  readonly #handshakes = { resumed: 0, full: 0, failed: 0 }
  readonly #reasons: Partial<Record<HandshakeReason, number>> = {}
  readonly #notKept: Partial<Record<NotKeptReason, number>> = {}
  /** Handshakes without an outcome. */
  readonly #pending: Set<object> = new Set()
  readonly #writes: Set<PromiseLike<unknown>> = new Set()
  #wake: () => void = () => undefined

  get stats(): AttachmentStats {
    return {
      handshakes: { ...this.#handshakes },
      reasons: { ...this.#reasons },
      notKept: { ...this.#notKept },
      pendingWrites: this.#writes.size,
    }
  }

  countNotKept(reason: NotKeptReason): void {
    this.#notKept[reason] = (this.#notKept[reason] ?? 0) + 1
  }

  begin(handshake: object): void {
    this.#pending.add(handshake)
  }

  /** @returns false, and nothing is counted, when the handshake has its outcome already, or is forgotten */
  end(handshake: object, outcome: Outcome, reason: HandshakeReason): boolean {
    if (!this.#pending.delete(handshake)) return false
    this.#handshakes[outcome]++
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1
    this.#wake()
    return true
  }

  /** @param written - never rejects */
  watchWrite(written: PromiseLike<unknown>): void {
    this.#writes.add(written)
    written.then(() => {
      this.#writes.delete(written)
      this.#wake()
    })
  }

  /** What is under way is nobody's any more. */
  forgetHandshakes(): void {
    this.#pending.clear()
    this.#wake()
  }

  /** Settles when nothing is under way, or at the deadline. */
  async settled(deadlineMs: number): Promise<void> {
    let isOver = false
    const timer = setTimeout(() => {
      isOver = true
      this.#wake()
    }, deadlineMs)
    // The tickets of TLS 1.3 come after their handshake's outcome, in the same turn of the event loop.
    await setImmediate()
    while (!isOver && this.#pending.size + this.#writes.size > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await setImmediate()
    }
    clearTimeout(timer)
  }
}
