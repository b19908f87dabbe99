import type tls from 'node:tls'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslContext } from '../context/ssl-context.ts'
import { equalBytes } from '../session/bytes.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import type { HandshakeReason } from '../session/reasons.ts'
import { SslOption } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import { byteKey } from '../store/byte-key.ts'
import type { KeyRing } from '../store/key-ring.ts'
import {
  acceptUnder,
  type TicketKeySource,
  type TicketSecrets,
  type TlsServer,
  ticketContext,
} from './node-engine.ts'
import { sessionTimeoutSec } from './server-setup.ts'
import type { SessionOrigin } from './session-binding.ts'
import { makeOriginBlock, type OpenedTicket, openTicket, ticketHead } from './stateless-ticket.ts'
import { TicketKeyRing } from './ticket-keys.ts'

/** Stateless tickets of TLS 1.3, under keys that all processes derive from the same secrets. */
export interface TicketOptions {
  /** Its secrets are those of the tickets; `replaceSecrets` takes effect at once. */
  readonly keyRing: KeyRing
  /**
   * Milliseconds for which new tickets have the same keys: from a minute to a day, an hour by default. Clocks may differ by one
   * period. The same in all processes.
   */
  readonly periodMs?: number | undefined
}

const DEFAULT_PERIOD_MS = 3_600_000
/** Without these, whatever becomes of a hello is TLS 1.3, the only version in which newSession proves whose ticket was made. */
const NO_TLS_BELOW_1_3 = 0x0400_0000 | 0x1000_0000 | 0x0800_0000

/** What a connection says of the tickets that its ClientHello offers. */
export interface TicketVerdicts {
  readonly hello: ClientHello
  /** The one that it may resume, if its ticket is one of these. */
  readonly accepted: { readonly ticket: Uint8Array | undefined; readonly session: SslSession } | undefined
  /** Asked whenever libssl asks, since marks change. @returns why {@link accepted} is no more good */
  objection(): HandshakeReason | undefined
}

/**
 * The tickets of an attached server. A ticket that nobody has judged is refused; what was judged holds for a connection, not for
 * a ticket. libssl does not say which connection asks, so that of several with the same ticket the strictest verdict holds.
 */
export class JudgedTickets implements TicketKeySource {
  readonly #server: TlsServer
  readonly #context: SslContext
  readonly #keyRing: TicketKeyRing
  /** By the head of each offered ticket. */
  readonly #offers: Map<string, Set<TicketHandshake>> = new Map()
  #secureContext: tls.SecureContext
  /** Whose tickets are due: those of the connection that was finished last. */
  #issuing: TicketHandshake | undefined
  #sealedFor: TicketHandshake | undefined

  constructor(
    server: TlsServer,
    context: SslContext,
    { keyRing, periodMs = DEFAULT_PERIOD_MS }: TicketOptions,
  ) {
    this.#server = server
    this.#context = context
    this.#keyRing = new TicketKeyRing(keyRing, context.getSessionIdContext(), () => ({
      periodMs,
      lifetimeMs: Math.min(sessionTimeoutSec(context), ONE_WEEK_SEC) * 1000,
    }))
    this.#secureContext = this.#makeSecureContext()
  }

  /** After `setSecureContext`: handshakes under way keep the previous one. */
  renew(): void {
    this.#secureContext = this.#makeSecureContext()
  }

  #makeSecureContext(): tls.SecureContext {
    const { secureOptions = 0 } = this.#server
    return ticketContext(
      this.#server,
      ((secureOptions & ~SslOption.NO_TICKET) | NO_TLS_BELOW_1_3) >>> 0,
      this,
    )
  }

  /** @param ticket - untrusted */
  openTicket(ticket: Uint8Array): OpenedTicket | undefined {
    return openTicket(ticket, this.#keyRing, this.#context.now())
  }

  /** Until {@link TicketHandshake.end}, the verdicts are known to libssl. */
  begin(verdicts: TicketVerdicts): TicketHandshake {
    const handshake = new TicketHandshake(this, verdicts)
    for (const head of handshake.heads) {
      const others = this.#offers.get(head)
      if (others === undefined) this.#offers.set(head, new Set([handshake]))
      else others.add(handshake)
    }
    return handshake
  }

  forget(handshake: TicketHandshake): void {
    for (const head of handshake.heads) {
      const offers = this.#offers.get(head)
      if (offers?.delete(handshake) === true && offers.size === 0) this.#offers.delete(head)
    }
  }

  /** @param sessionIdContext - of the connection and its tickets: 32 ASCII characters */
  accept(sessionIdContext: string, accept: () => void): void {
    acceptUnder(this.#server, this.#secureContext, sessionIdContext, accept)
  }

  /** The tickets that libssl makes next are those of this connection. */
  issueTo(handshake: TicketHandshake): void {
    this.#issuing = handshake
  }

  finishIssuing(handshake: TicketHandshake): void {
    if (this.#issuing === handshake) this.#issuing = undefined
  }

  /** Node shows the session of a ticket right after it was made. @returns whether the ticket was made for this connection */
  isSealedFor(handshake: TicketHandshake): boolean {
    const isOwn = this.#sealedFor === handshake
    this.#sealedFor = undefined
    return isOwn
  }

  seal(): TicketSecrets | undefined {
    const handshake = this.#issuing
    this.#sealedFor = handshake
    const origin = handshake?.nextOrigin(this.#context.getNumTickets())
    if (origin === undefined) return undefined
    const keys = this.#keyRing.current(this.#context.now())
    return { mac: keys.mac, cipher: keys.cipher, name: keys.name, iv: makeOriginBlock(origin, keys) }
  }

  open(name: Buffer, iv: Buffer): Pick<TicketSecrets, 'mac' | 'cipher'> | undefined {
    const head = byteKey(name) + byteKey(iv)
    const offers = [...(this.#offers.get(head) ?? [])]
    const isRefused = offers.length === 0 || offers.filter((one) => !one.accepts(head)).length > 0
    if (!isRefused) return this.#keyRing.find(name, this.#context.now())
    for (const one of offers) one.hearRefusal(head)
    return undefined
  }
}

/** The tickets of one connection on their way in, judged, and on their way out. */
export class TicketHandshake {
  /** Of all tickets that it offers, so that none of them is resumed by what was said to another connection. */
  readonly heads: ReadonlySet<string>
  readonly #tickets: JudgedTickets
  readonly #verdicts: TicketVerdicts
  readonly #accepted: string | undefined
  #refusal: HandshakeReason | undefined
  #origin: SessionOrigin | undefined
  #sealed = 0

  constructor(tickets: JudgedTickets, verdicts: TicketVerdicts) {
    this.#tickets = tickets
    this.#verdicts = verdicts
    this.heads = new Set(verdicts.hello.pskIdentities.flatMap(({ identity }) => headKey(identity) ?? []))
    const ticket = verdicts.accepted?.ticket
    this.#accepted = ticket && headKey(ticket)
  }

  /** Why libssl was told to refuse the ticket that had been accepted. */
  get refusal(): HandshakeReason | undefined {
    return this.#refusal
  }

  accepts(head: string): boolean {
    if (head !== this.#accepted) return false
    this.#refusal = this.#verdicts.objection()
    return this.#refusal === undefined
  }

  /** Another connection with the same ticket is refused at the same time. */
  hearRefusal(head: string): void {
    if (head === this.#accepted) this.#refusal ??= 'ticket-contested'
  }

  /** The offers are decided, or the connection has gone. */
  end(): void {
    this.#tickets.forget(this)
  }

  /**
   * After a HelloRetryRequest a client may offer a ticket that was judged for another connection only.
   *
   * @param resumed - what the connection has resumed
   */
  isJudged(resumed: SslSession | undefined): boolean {
    if (resumed === undefined) return false
    // An external PSK; each session in a ticket has an id.
    if (resumed.sessionId.length === 0) return true
    const { accepted } = this.#verdicts
    return accepted !== undefined && hasSameSecret(resumed, accepted.session)
  }

  /** The handshake is over, and the tickets that follow at once come from this full handshake. @param origin - undefined: there are to be none */
  issue(origin: SessionOrigin | undefined): void {
    this.end()
    this.#origin = origin
    this.#tickets.issueTo(this)
  }

  /** All tickets of the handshake have been made. */
  finish(): void {
    this.#origin = undefined
    this.#tickets.finishIssuing(this)
  }

  /** @returns undefined when no ticket is due any more */
  nextOrigin(numTickets: number): SessionOrigin | undefined {
    this.#sealed++
    return this.#sealed > numTickets ? undefined : this.#origin
  }

  /** @returns false: the ticket that Node shows was made for somebody else, and must not reach the client */
  isOwnTicket(): boolean {
    return this.#tickets.isSealedFor(this)
  }
}

function headKey(ticket: Uint8Array): string | undefined {
  const head = ticketHead(ticket)
  return head && byteKey(head)
}

/** The PSK of TLS 1.3, which a resumed connection has from its ticket until it makes a new one. */
function hasSameSecret(one: SslSession, other: SslSession): boolean {
  return equalBytes(sessionInternals.content(one).masterKey, sessionInternals.content(other).masterKey)
}
