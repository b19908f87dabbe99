/** What people write by hand: a Map from the id in hex to the DER and its expiry; the oldest leave first. */
interface Kept {
  readonly der: Buffer
  readonly expiresAtMs: number
}

export class HandWrittenCache {
  readonly #sessions = new Map<string, Kept>()
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get(id: Buffer): Buffer | undefined {
    const key = id.toString('hex')
    const kept = this.#sessions.get(key)
    if (kept === undefined) return undefined
    if (kept.expiresAtMs >= Date.now()) return kept.der
    this.#sessions.delete(key)
    return undefined
  }

  set(id: Buffer, der: Buffer, expiresAtMs: number): void {
    this.#sessions.set(id.toString('hex'), { der, expiresAtMs })
    if (this.#sessions.size <= this.#capacity) return
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest)
      return
    }
  }

  delete(id: Buffer): void {
    this.#sessions.delete(id.toString('hex'))
  }

  flush(nowMs: number): void {
    for (const [key, { expiresAtMs }] of this.#sessions) {
      if (expiresAtMs >= nowMs) return
      this.#sessions.delete(key)
    }
  }
}
