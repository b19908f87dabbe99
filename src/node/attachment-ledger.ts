import { setImmediate } from 'node:timers/promises'
import { type HandshakeCounts, HandshakeTally, type Outcome } from '../session/handshakes.ts'
import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import type { HandshakeReason } from '../session/reasons.ts'
import type { TicketStats } from './judged-tickets.ts'

/** How often each thing has happened since the server was attached. */
export interface AttachmentStats extends HandshakeCounts {
  readonly reasons: Readonly<Partial<Record<HandshakeReason, number>>>
  /** Sessions that were made and not kept. */
  readonly notKept: Readonly<Partial<Record<NotKeptReason, number>>>
  /** Handshakes whose new sessions an external cache has not acknowledged yet. */
  readonly pendingWrites: number
  /** Undefined without the option `tickets`. */
  readonly tickets: TicketStats | undefined
}

/** Milliseconds for which the end waits for connections that have said nothing: some clients open them in advance. */
const SILENCE_MS = 1_000

/** A handshake, as far as its ledger has followed it: without a byte yet, without an outcome, or over. */
export interface FollowedHandshake {
  state: 'silent' | 'pending' | 'over'
  /** That of the ledger that counts it; when that has forgotten its handshakes, it is another. */
  readonly epoch: number
  /** From 1. */
  readonly number: number
  /** Where the client is; undefined when nobody wants to know. */
  readonly peer: Peer | undefined
}

/** The end of a connection that is not ours. */
export interface Peer {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}

/** What an attachment has done, and what it still has to do. */
export class AttachmentLedger {
  readonly #tally: HandshakeTally = new HandshakeTally()
  readonly #notKept: Partial<Record<NotKeptReason, number>> = {}
  /** Handshakes without an outcome. */
  #pending = 0
  /** Those of them that have said nothing yet. */
  #silent = 0
  #epoch = 0
  #begun = 0
  /** Writes under way, by handshake. */
  readonly #writes: Map<object, number> = new Map()
  /** Writes that have taken too long; their handshakes are forgotten, so that an engine which never answers holds none. */
  #lateWrites = 0
  #wake: () => void = () => undefined

  get stats(): Omit<AttachmentStats, 'tickets'> {
    return {
      ...this.#tally.counts,
      notKept: { ...this.#notKept },
      pendingWrites: this.#writes.size,
    }
  }

  /** Writes that nobody has acknowledged. */
  get unacknowledged(): number {
    return this.#writes.size + this.#lateWrites
  }

  countNotKept(reason: NotKeptReason): void {
    this.#notKept[reason] = (this.#notKept[reason] ?? 0) + 1
  }

  /** A connection without a byte yet. */
  begin(peer: Peer | undefined): FollowedHandshake {
    this.#pending++
    this.#silent++
    this.#begun++
    return { state: 'silent', epoch: this.#epoch, number: this.#begun, peer }
  }

  /** It has said something. */
  hear(handshake: FollowedHandshake): void {
    if (handshake.state !== 'silent' || handshake.epoch !== this.#epoch) return
    handshake.state = 'pending'
    this.#silent--
  }

  /** @returns false, and nothing is counted, when the handshake has its outcome already, or is forgotten */
  end(
    handshake: FollowedHandshake,
    {
      outcome,
      reason,
      protocol,
    }: { outcome: Outcome; reason: HandshakeReason; protocol: string | undefined },
  ): boolean {
    if (handshake.state === 'over' || handshake.epoch !== this.#epoch) return false
    if (handshake.state === 'silent') this.#silent--
    handshake.state = 'over'
    this.#pending--
    this.#tally.count(outcome, reason, protocol)
    this.#wake()
    return true
  }

  /**
   * A session of a handshake is being written.
   *
   * @param kept - why it is not kept after all; it never rejects, but may never settle
   * @param timeoutMs - after which the write counts as late
   * @returns a promise that settles with `kept`, or when the write is late
   */
  watchWrite(
    handshake: object,
    kept: PromiseLike<NotKeptReason | undefined>,
    timeoutMs: number,
  ): Promise<void> {
    return new Promise((resolve) => {
      this.#writes.set(handshake, (this.#writes.get(handshake) ?? 0) + 1)
      // The promise is its engine's, and may live for ever: what hangs on it lets go of everything when it is late.
      const write: Write = { handshake, resolve }
      const timer = setTimeout(() => {
        this.#lateWrites++
        this.countNotKept('store-timeout')
        this.#leave(write)
      }, timeoutMs)
      timer.unref()
      kept.then((reason) => {
        clearTimeout(timer)
        if (write.handshake === undefined) this.#lateWrites--
        else if (reason !== undefined) this.countNotKept(reason)
        this.#leave(write)
        this.#wake()
      })
    })
  }

  #leave(write: Write): void {
    const { handshake, resolve } = write
    if (handshake === undefined) return
    write.handshake = undefined
    write.resolve = undefined
    const left = (this.#writes.get(handshake) ?? 1) - 1
    if (left > 0) this.#writes.set(handshake, left)
    else this.#writes.delete(handshake)
    resolve?.()
  }

  /** What is under way is nobody's any more. */
  forgetHandshakes(): void {
    this.#pending = 0
    this.#silent = 0
    this.#epoch++
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
    const isBusy = (): boolean => this.#pending - (isGraceOver ? this.#silent : 0) + this.unacknowledged > 0
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

/** Both undefined once the write has settled, or is late. */
interface Write {
  handshake: object | undefined
  resolve: (() => void) | undefined
}
