import { nodeCrypto } from '../crypto.ts'
import { type Awaitable, andThen, isPromiseLike } from '../session/awaitable.ts'
import type { SessionStore } from '../session/session-store.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { SslSession } from '../session/ssl-session.ts'
import type { Ticket } from './ticket-cache.ts'

/** Tickets of one origin that a store holds at most. */
const SLOTS = 8
/** version(1), verifiedAtMs(6), chainEndMs(6), then the DER. */
const DER_AT = 13
const FORMAT = 1
const NEVER = 2 ** 48 - 1

/**
 * The tickets of all processes, in a store. A ticket is either here or in the memory of one process, and `take` decides who has
 * it. Each origin has some slots; a writer fills the one that it filled longest ago, a taker begins at any.
 */
export class SharedTickets {
  readonly #store: SessionStore
  readonly #isReused: boolean
  readonly #deadlineMs: number
  #nextSlot: number = nodeCrypto().randomInt(SLOTS)

  /**
   * @param store - sealed and guarded: each call settles in time
   * @param deadlineMs - of all calls for one connection together
   */
  constructor(store: SessionStore, isReused: boolean, deadlineMs: number) {
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
    const first = nodeCrypto().randomInt(SLOTS)
    const slots = Array.from({ length: SLOTS }, (_, index) => slotKey(name, (first + index) % SLOTS))
    const take = (key: Uint8Array) => (this.#isReused ? this.#store.get(key) : this.#store.take(key))
    const calls = slots.map((key) => () => take(key))
    // A session of TLS 1.2 stays there for all.
    calls.push(() => this.#store.get(reusedKey(name)))
    let isLate = false
    const found = firstOf(calls, (call) =>
      isLate ? undefined : andThen(call(), (bytes) => bytes && readTicket(bytes, nowMs)),
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

  put(name: string, ticket: Ticket): void {
    const { session, verifiedAtMs, chainEndMs } = ticket
    const head = Buffer.alloc(DER_AT)
    head[0] = FORMAT
    head.writeUIntBE(verifiedAtMs, 1, 6)
    head.writeUIntBE(Math.min(chainEndMs, NEVER), 7, 6)
    const value = Buffer.concat([head, session.toDer()])
    const key =
      session.protocolVersion === TLS1_3_VERSION ? slotKey(name, this.#nextSlot++ % SLOTS) : reusedKey(name)
    quietly(() => this.#store.set([{ key, value, expiresAtMs: session.expiresAtMs }]))
  }
}

/** In order, and no further than needed. */
function firstOf<T>(
  [first, ...rest]: readonly T[],
  ask: (one: T) => Awaitable<Ticket | undefined>,
): Awaitable<Ticket | undefined> {
  if (first === undefined) return undefined
  return andThen(
    quietly(() => ask(first)),
    (ticket) => ticket ?? firstOf(rest, ask),
  )
}

/** What fails is a miss; the guard has told of it. */
function quietly<T>(call: () => Awaitable<T>): Awaitable<T | undefined> {
  try {
    const answer = call()
    if (typeof answer !== 'object' || answer === null || !('then' in answer)) return answer
    return Promise.resolve(answer).catch(() => undefined)
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

function reusedKey(name: string): Uint8Array {
  return nodeCrypto().createHash('sha256').update(`${name}/reused`).digest()
}
