import { LRUCache } from 'lru-cache'
import type { SslContext } from '../context/ssl-context.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import type { SslSession } from '../session/ssl-session.ts'

/** A session of a client, with what was verified when it came into being. */
export interface Ticket {
  /** Its expiry is the least of its lifetimes, the end of the server's chain included. */
  readonly session: SslSession
  /** What it takes, about. */
  readonly bytes: number
  /** The time of the full handshake at its beginning, milliseconds since the epoch. */
  readonly verifiedAtMs: number
  /** When the first certificate of the server's chain ends, milliseconds since the epoch; Infinity for what was not verified. */
  readonly chainEndMs: number
  /** As the full handshake left them on the socket. */
  readonly authorized: boolean
  readonly authorizationError: unknown
}

/** Why there is no ticket for an origin. */
export type Emptiness = 'unknown' | 'used-up' | 'expired' | 'after-failure'

interface Origin {
  readonly tickets: readonly Ticket[]
  readonly emptiness: Emptiness
}

export interface TicketLimits {
  readonly maxOrigins: number
  readonly ticketsPerOrigin: number
  readonly maxBytes: number
  readonly reuse: boolean
}

/** What an origin takes without its tickets: its name, its place. */
const ORIGIN_BYTES = 400

/**
 * Several tickets an origin, the newest last. The sessions are those of the context, whose removals (flushed, deleted by an
 * alert) are followed; what is forgotten here leaves the context as well. The origins are in the order of their use.
 */
export class TicketCache {
  readonly #context: SslContext
  readonly #limits: TicketLimits
  readonly #origins: LRUCache<string, Origin>
  readonly #originOf = new WeakMap<SslSession, string>()
  #epoch = 0
  /** For the copy that a connection uses up, the session that stays. */
  readonly #reusedOf = new WeakMap<SslSession, SslSession>()

  constructor(context: SslContext, limits: TicketLimits) {
    this.#context = context
    this.#limits = limits
    this.#origins = new LRUCache({
      max: limits.maxOrigins,
      maxSize: limits.maxBytes,
      sizeCalculation: ({ tickets }) => bytesOf(tickets),
      noDisposeOnSet: true,
      dispose: ({ tickets }) => this.#leave(tickets),
    })
    context.setRemoveSessionCallback((session) => this.#forget(session))
  }

  /**
   * The newest one that is still good. In TLS 1.3 it is gone from here: RFC 8446 appendix C.4. Its session stays in the context
   * until its connection has used it, or {@link drop}. Where tickets are reused, the last one stays, and the connection gets a
   * copy to use up: a server that renews its tickets, or takes each once, then sees no ticket twice.
   */
  take(name: string): Ticket | Emptiness {
    const origin = this.#origins.get(name)
    if (origin === undefined) return 'unknown'
    const { fresh, old } = this.#sorted(origin.tickets)
    if (old.length > 0) this.#leave(old)
    const latest = fresh.at(-1)
    if (latest === undefined) return this.#tellEmpty(name, old.length > 0 ? 'expired' : origin.emptiness)
    if (isTls13(latest) && (fresh.length > 1 || !this.#limits.reuse)) {
      this.#originOf.delete(latest.session)
      this.#origins.set(name, { tickets: fresh.slice(0, -1), emptiness: 'used-up' })
      return latest
    }
    this.#origins.set(name, { ...origin, tickets: fresh })
    return isTls13(latest) ? this.#copyOf(latest) : latest
  }

  /** A failure is told once: if nothing comes then, the server gives nothing. */
  #tellEmpty(name: string, emptiness: Emptiness): Emptiness {
    this.#origins.set(name, {
      tickets: [],
      emptiness: emptiness === 'after-failure' ? 'unknown' : emptiness,
    })
    return emptiness
  }

  #copyOf(ticket: Ticket): Ticket {
    const session = ticket.session.dup()
    this.#reusedOf.set(session, ticket.session)
    return { ...ticket, session }
  }

  /**
   * A ticket that was taken is not to be used any more; for a copy, neither is the one that stayed.
   *
   * @returns false when others have let go of it before
   */
  drop({ session }: Ticket): boolean {
    return this.#context.removeSession(this.#reusedOf.get(session) ?? session)
  }

  /** Another one when tickets were let go that nobody is to have any more: those that connections have taken before among them. */
  get epoch(): number {
    return this.#epoch
  }

  /** All tickets of an origin are let go, since a connection has failed. */
  forget(name: string): void {
    this.#epoch++
    this.#leave(this.#origins.peek(name)?.tickets ?? [])
    this.#origins.set(name, { tickets: [], emptiness: 'after-failure' })
  }

  /** Others may have it as well, while a connection uses it. */
  isShared(ticket: Ticket): boolean {
    return !isTls13(ticket) || this.#reusedOf.has(ticket.session)
  }

  /** A session of TLS 1.2, or one that is reused, stays for others. @returns what a connection is to use of it */
  share(name: string, ticket: Ticket): Ticket {
    this.put(name, ticket)
    return isTls13(ticket) ? this.#copyOf(ticket) : ticket
  }

  /** After the model has removed one that is reused in spite of its rule R10.15. */
  restore(name: string): void {
    for (const { session } of this.#origins.peek(name)?.tickets ?? []) this.#context.addSession(session)
  }

  /** The session is in the context by now, or comes back to it. */
  put(name: string, ticket: Ticket): void {
    if (this.#reusedOf.has(ticket.session)) return
    const { tickets, emptiness } = this.#origins.get(name) ?? { tickets: [], emptiness: 'unknown' as const }
    const others = tickets.filter(({ session }) => session !== ticket.session)
    const staying = this.#staying(others, ticket)
    this.#leave(others.filter((one) => !staying.includes(one)))
    this.#originOf.set(ticket.session, name)
    this.#context.addSession(ticket.session)
    this.#origins.set(name, { tickets: [...staying, ticket], emptiness })
    // It may be larger than all that there is room for.
    if (!this.#origins.has(name)) this.#leave([ticket])
  }

  /** The newest of them that there is room for beside another one. */
  #staying(tickets: readonly Ticket[], other: Ticket): readonly Ticket[] {
    // A session of TLS 1.2 is as good as any number of them.
    if (!isTls13(other)) return []
    const { ticketsPerOrigin, maxBytes } = this.#limits
    const room = ticketsPerOrigin - 1
    const staying = room === 0 ? [] : tickets.filter(isTls13).slice(-room)
    while (staying.length > 0 && bytesOf([...staying, other]) > maxBytes) staying.shift()
    return staying
  }

  has(name: string): boolean {
    return (this.#origins.peek(name)?.tickets.length ?? 0) > 0
  }

  get size(): { readonly origins: number; readonly tickets: number; readonly bytes: number } {
    let tickets = 0
    for (const origin of this.#origins.values()) tickets += origin.tickets.length
    return { origins: this.#origins.size, tickets, bytes: this.#origins.calculatedSize }
  }

  clear(): void {
    this.#epoch++
    this.#origins.clear()
  }

  /** What is still good, by origin, the newest last. */
  *all(): IterableIterator<readonly [name: string, tickets: readonly Ticket[]]> {
    for (const [name, { tickets }] of this.#origins.entries()) yield [name, this.#sorted(tickets).fresh]
  }

  #sorted(tickets: readonly Ticket[]): { fresh: Ticket[]; old: Ticket[] } {
    const nowMs = this.#context.now()
    const fresh: Ticket[] = []
    const old: Ticket[] = []
    for (const ticket of tickets) {
      const isFresh = ticket.session.expiresAtMs > nowMs && ticket.session.isResumable
      ;(isFresh ? fresh : old).push(ticket)
    }
    return { fresh, old }
  }

  #leave(tickets: readonly Ticket[]): void {
    for (const { session } of tickets) {
      this.#originOf.delete(session)
      this.#context.removeSession(session)
    }
  }

  /** The context has let go of it. */
  #forget(session: SslSession): void {
    const name = this.#originOf.get(session)
    const origin = name === undefined ? undefined : this.#origins.peek(name)
    if (name === undefined || origin === undefined) return
    this.#originOf.delete(session)
    const tickets = origin.tickets.filter((ticket) => ticket.session !== session)
    this.#origins.set(name, { ...origin, tickets })
  }
}

function bytesOf(tickets: readonly Ticket[]): number {
  return tickets.reduce((sum, { bytes }) => sum + bytes, ORIGIN_BYTES)
}

function isTls13({ session }: Pick<Ticket, 'session'>): boolean {
  return session.protocolVersion === TLS1_3_VERSION
}
