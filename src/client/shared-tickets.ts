import { LRUCache } from 'lru-cache'
import { nodeCrypto } from '../crypto.ts'
import { type Awaitable, andThen, isPromiseLike } from '../session/awaitable.ts'
import type { SessionStore } from '../session/session-store.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { SslSession } from '../session/ssl-session.ts'
import type { Ticket } from './ticket-cache.ts'

/** Tickets of one origin that a store holds at most. */
const SLOTS = 12
const ALL_SLOTS = Array.from({ length: SLOTS }, (_, slot) => slot)
/** How many of them one process fills. Its other tickets stay in its memory, where they are at once, and nobody writes over them. */
const OWN_SLOTS = 3
/** After this part of its life a ticket in the store is replaced by a new one. */
const STALE_AFTER = 1 / 4
/** Origins of which it is known what this process has written. */
const MAX_ORIGINS = 10_000
/** version(1), verifiedAtMs(6), chainEndMs(6), then the DER. */
const DER_AT = 13
const FORMAT = 1
const NEVER = 2 ** 48 - 1

/** A slot that this process has filled. */
interface OwnSlot {
  readonly slot: number
  readonly staleAtMs: number
}

export interface SharedTicketsOptions {
  readonly isReused: boolean
  /** Milliseconds, of all calls for one connection together. */
  readonly deadlineMs: number
}

/**
 * Tickets in a store, for other processes and for the next one. A ticket is either here or in the memory of one process, and
 * `take` decides who has it. Each process writes a few of each origin; the others take them when they have none themselves.
 */
export class SharedTickets {
  readonly #store: SessionStore
  readonly #isReused: boolean
  readonly #deadlineMs: number
  readonly #own = new LRUCache<string, OwnSlot[]>({ max: MAX_ORIGINS })
  #nextSlot: number = nodeCrypto().randomInt(SLOTS)

  /** @param store - sealed and guarded: each call settles in time */
  constructor(store: SessionStore, { isReused, deadlineMs }: SharedTicketsOptions) {
    this.#store = store
    this.#isReused = isReused
    this.#deadlineMs = deadlineMs
  }

  /**
   * Never fails: what cannot be had in time costs a full handshake.
   *
   * @param onLate - gets the ticket that was taken when the deadline had passed, since nobody else has it any more
   */
  take(name: string, nowMs: number, onLate: (ticket: Ticket) => void): Awaitable<Ticket | undefined> {
    let isLate = false
    const found = andThen(this.#look(name, nowMs), (places) =>
      this.#takeFirst(name, places, (place) => (isLate ? undefined : this.#takeAt(place, nowMs))),
    )
    if (!isPromiseLike(found)) return found
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        isLate = true
        resolve(undefined)
      }, this.#deadlineMs)
      void found.then((ticket) => {
        clearTimeout(timer)
        if (isLate && ticket !== undefined) onLate(ticket)
        resolve(ticket)
      })
    })
  }

  /** All slots at once: an engine over a network answers them together. From a random one on, so that takers do not meet. */
  #look(name: string, nowMs: number): Awaitable<readonly Place[]> {
    const first = nodeCrypto().randomInt(SLOTS)
    const slots = ALL_SLOTS.map((slot) => (first + slot) % SLOTS)
    const keys = keysOf(name, slots)
    const values = keys.map((key) => quietly(() => this.#store.get(key)))
    return andThen(allOf(values), (all) =>
      all.flatMap((value, index) => {
        const ticket = value && readTicket(value, nowMs)
        const { [index]: key } = keys
        return ticket === undefined || key === undefined ? [] : [{ key, slot: slots[index], ticket }]
      }),
    )
  }

  #takeFirst(
    name: string,
    [place, ...others]: readonly Place[],
    take: (place: Place) => Awaitable<Ticket | undefined>,
  ): Awaitable<Ticket | undefined> {
    if (place === undefined) return undefined
    this.#forgetSlot(name, place.slot)
    return andThen(
      quietly(() => take(place)),
      (ticket) => ticket ?? this.#takeFirst(name, others, take),
    )
  }

  /** A session of TLS 1.2, or one that is used again, stays there for all. */
  #takeAt({ key, slot, ticket }: Place, nowMs: number): Awaitable<Ticket | undefined> {
    if (this.#isReused || slot === undefined) return ticket
    return andThen(this.#store.take(key), (value) => value && readTicket(value, nowMs))
  }

  #forgetSlot(name: string, slot: number | undefined): void {
    const own = this.#own.get(name)
    if (own !== undefined)
      this.#own.set(
        name,
        own.filter((one) => one.slot !== slot),
      )
  }

  /**
   * @param isSpare - this process has another one in its memory
   * @returns whether the store has it now. The first one of an origin is for the next process, the second for this one
   */
  offer(name: string, ticket: Ticket, nowMs: number, isSpare: boolean): boolean {
    if (ticket.session.protocolVersion !== TLS1_3_VERSION) {
      this.#write(reusedKey(name), ticket)
      return true
    }
    const own = this.#own.get(name) ?? []
    const stale = own.find(({ staleAtMs }) => staleAtMs <= nowMs)
    const hasRoom = own.length === 0 || (isSpare && own.length < OWN_SLOTS)
    if (stale === undefined && !hasRoom) return false
    this.put(name, ticket, nowMs, stale?.slot)
    return true
  }

  /** @param slot - the one that was filled longest ago without it */
  put(name: string, ticket: Ticket, nowMs: number, slot: number = this.#nextSlot++ % SLOTS): void {
    const staleAtMs = nowMs + (ticket.session.expiresAtMs - nowMs) * STALE_AFTER
    const others = (this.#own.get(name) ?? []).filter((one) => one.slot !== slot)
    this.#own.set(name, [...others, { slot, staleAtMs }])
    this.#write(slotKey(name, slot), ticket)
  }

  /** What the store has of this origin is no good: nobody else is to have it. */
  forget(name: string): void {
    this.#own.delete(name)
    for (const key of keysOf(name)) quietly(() => this.#store.delete(key))
  }

  #write(key: Uint8Array, { session, verifiedAtMs, chainEndMs }: Ticket): void {
    const head = Buffer.alloc(DER_AT)
    head[0] = FORMAT
    head.writeUIntBE(verifiedAtMs, 1, 6)
    head.writeUIntBE(Math.min(chainEndMs, NEVER), 7, 6)
    const value = Buffer.concat([head, session.toDer()])
    quietly(() => this.#store.set([{ key, value, expiresAtMs: session.expiresAtMs }]))
  }

  /** Waits for what is being written, for no longer than the deadline. Never rejects. */
  async close(): Promise<void> {
    await quietly(() => this.#store.close())
  }
}

/** Where a ticket was seen. */
interface Place {
  readonly key: Uint8Array
  /** Undefined for a session of TLS 1.2. */
  readonly slot: number | undefined
  readonly ticket: Ticket
}

function allOf<T>(answers: readonly Awaitable<T>[]): Awaitable<readonly T[]> {
  const settled = answers.filter((one): one is T => !isPromiseLike(one))
  return settled.length === answers.length ? settled : Promise.all(answers)
}

/** What fails is a miss; the guard has told of it. */
function quietly<T>(call: () => Awaitable<T>): Awaitable<T | undefined> {
  try {
    const answer = call()
    return isPromiseLike(answer) ? Promise.resolve(answer).catch(() => undefined) : answer
  } catch {
    return undefined
  }
}

function readTicket(bytes: Uint8Array, nowMs: number): Ticket | undefined {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (value.length <= DER_AT || value[0] !== FORMAT) return undefined
  const chainEndMs = value.readUIntBE(7, 6)
  try {
    const session = SslSession.fromDer(value.subarray(DER_AT))
    if (session.expiresAtMs <= nowMs || chainEndMs <= nowMs) return undefined
    return {
      session,
      bytes: value.length,
      verifiedAtMs: value.readUIntBE(1, 6),
      chainEndMs: chainEndMs === NEVER ? Number.POSITIVE_INFINITY : chainEndMs,
      authorized: true,
      authorizationError: null,
    }
  } catch {
    return undefined
  }
}

/** @param name - a keyed hash already */
function slotKey(name: string, slot: number): Uint8Array {
  return nodeCrypto().createHash('sha256').update(`${name}/${slot}`).digest()
}

/** The one of TLS 1.2 last. */
function keysOf(name: string, slots: readonly number[] = ALL_SLOTS): readonly Uint8Array[] {
  return [...slots.map((slot) => slotKey(name, slot)), reusedKey(name)]
}

function reusedKey(name: string): Uint8Array {
  return nodeCrypto().createHash('sha256').update(`${name}/reused`).digest()
}
