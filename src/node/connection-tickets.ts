import type { ClientHello } from '../codec/client-hello.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type Edge, isPolicyUnknown } from './edge.ts'
import type { JudgedTickets, TicketHandshake } from './judged-tickets.ts'
import { bindingOf, confirmed, type Decision, isVersionOf, ticketVersionOf } from './look-up.ts'
import { ticketContextOf } from './session-binding.ts'
import type { TrustProfile } from './trust-profile.ts'

/** The stateless tickets of one connection: in which version it may have them, and under which session id context. */
export class ConnectionTickets {
  readonly #edge: Edge
  readonly #tickets: JudgedTickets
  #version: number | undefined
  #sessionIdContext: string | undefined
  #handshake: TicketHandshake | undefined

  constructor(edge: Edge, tickets: JudgedTickets) {
    this.#edge = edge
    this.#tickets = tickets
  }

  /** The version of TLS in which the connection may have tickets; undefined for none. */
  get version(): number | undefined {
    return this.#version
  }

  /** That of the connection and of all its tickets; undefined for a connection without. */
  get sessionIdContext(): string | undefined {
    return this.#sessionIdContext
  }

  /** Present once Node has the connection, if that has tickets. */
  get handshake(): TicketHandshake | undefined {
    return this.#handshake
  }

  /** Node has the connection, and makes tickets of TLS 1.3 for it. */
  get hasTls13(): boolean {
    return this.#handshake !== undefined && this.#version === TLS1_3_VERSION
  }

  /** @returns {@link version} of a connection with this ClientHello */
  choose(hello: ClientHello, isDeclined: () => boolean): number | undefined {
    this.#version = ticketVersionOf(this.#edge, hello, isDeclined)
    return this.#version
  }

  /** @returns `accept`, Node's listener, under the SecureContext that has tickets where the connection may have them */
  handOver(
    accept: () => void,
    hello: ClientHello | undefined,
    decision: Decision,
    profile: TrustProfile | undefined,
  ): () => void {
    const tickets = this.#tickets
    const version = this.#version
    const context = profile && this.#contextUnder(profile, hello?.serverName, decision)
    const isUsable = hello !== undefined && version !== undefined && context !== undefined
    if (!isUsable || !isVersionOf(this.#edge, hello, version))
      return tickets.acceptWithout.bind(tickets, accept)
    this.#sessionIdContext = context
    this.#handshake = tickets.begin({
      version,
      hello,
      // One that libssl is to refuse itself, with its alert, is among them.
      accepted: decision.found,
      objection: () => {
        const latest = confirmed(this.#edge, decision)
        return latest.resume || latest.found !== undefined ? undefined : latest.reason
      },
    })
    return tickets.accept.bind(tickets, version, context, accept)
  }

  #contextUnder(
    profile: TrustProfile,
    serverName: string | undefined,
    { ticketPolicy }: Decision,
  ): string | undefined {
    const edge = this.#edge
    const version = this.#version
    if (version === undefined || isPolicyUnknown(edge, profile)) return undefined
    const ownPolicy = typeof ticketPolicy === 'string' ? ticketPolicy : undefined
    // In TLS 1.3 libssl can be told later that there is to be no ticket, which is counted then.
    if (edge.policy !== undefined && ownPolicy === undefined && version < TLS1_3_VERSION) return undefined
    return ticketContextOf(bindingOf(edge, serverName, profile, ownPolicy))
  }
}
