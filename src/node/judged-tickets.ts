import type tls from 'node:tls'
import type { ClientHello } from '../codec/client-hello.ts'
import type { SslContext } from '../context/ssl-context.ts'
import { isPart } from '../session/bytes.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import type { HandshakeReason } from '../session/reasons.ts'
import { SslOption, TLS1_2_VERSION, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import { byteKey } from '../store/byte-key.ts'
import type { KeyRing } from '../store/key-ring.ts'
import { isExternalPsk, type SessionHolder } from './keep-session.ts'
import {
  acceptUnder,
  answerTickets,
  secondContext,
  type TicketKeySource,
  type TicketSecrets,
  type TlsServer,
} from './node-engine.ts'
import { offeredTickets } from './resumption-offer.ts'
import { NODE_NUM_TICKETS, sessionTimeoutSec, usesTickets } from './server-setup.ts'
import { versionNumber } from './server-versions.ts'
import type { SessionOrigin } from './session-binding.ts'
import {
  makeOriginBlock,
  type OpenedTicket,
  readTicket,
  ticketHead,
  type UnopenedReason,
} from './stateless-ticket.ts'
import {
  DEFAULT_TICKET_VERSIONS,
  type TicketKeyPeriods,
  TicketKeyRing,
  type TicketVersion,
} from './ticket-keys.ts'

/** Stateless tickets, under keys that all processes derive from the same secrets. */
export interface TicketOptions {
  /** Its secrets are those of the tickets; `replaceSecrets` takes effect at once. */
  readonly keyRing: KeyRing
  /**
   * Milliseconds for which new tickets have the same keys: from a minute to a day, an hour by default. Clocks may differ by one
   * period. The same in all processes.
   */
  readonly periodMs?: number | undefined
  /**
   * The versions of TLS that have tickets, TLS 1.3 alone by default; the others have session ids. Whoever gets hold of a secret of
   * the `keyRing`, also years later, decrypts recorded connections of TLS 1.2 with tickets.
   */
  readonly versions?: readonly TicketVersion[] | undefined
}

/** What has become of the stateless tickets of a server. */
export interface TicketStats {
  /** Tickets that were made. */
  readonly sealed: number
  /** Tickets that clients have offered; what came of an opened one is the reason of its handshake. */
  readonly offered: Readonly<Record<'opened' | UnopenedReason, number>>
  /** Of the moment. */
  readonly keys: TicketKeyPeriods
}

const DEFAULT_PERIOD_MS = 3_600_000
/**
 * A hello that was judged for one version is not to lead to a lower one. A higher one must stay: by what a server could speak, libssl tells a client
 * that somebody has made it ask for less (RFC 9846 §4.2.3, before RFC 8446 §4.1.3; RFC 7507).
 */
const LOWER_VERSIONS = {
  tls13: 0x0400_0000 | 0x1000_0000 | 0x0800_0000,
  tls12: 0x0400_0000 | 0x1000_0000,
}

/** What a connection says of the tickets that its ClientHello offers. */
export interface TicketVerdicts {
  readonly version: number
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
  readonly #offers: Map<string, TicketOffers> = new Map()
  readonly #versions: readonly number[]
  #contexts: TicketContexts
  /** Whose tickets are due: those of the connection that was finished last. */
  #issuing: TicketHandshake | undefined
  #isOver = false
  #sealedFor: TicketHandshake | undefined
  #sealed = 0
  /** Whose ClientHello libssl is reading: the first of a connection, which was read ahead. */
  #reading: TicketHandshake | undefined
  #strays = 0
  readonly #offered = { opened: 0, 'unknown-key': 0, altered: 0, unreadable: 0 }

  constructor(
    server: TlsServer,
    context: SslContext,
    { keyRing, periodMs = DEFAULT_PERIOD_MS, versions = DEFAULT_TICKET_VERSIONS }: TicketOptions,
  ) {
    this.#server = server
    this.#context = context
    this.#keyRing = new TicketKeyRing(keyRing, context.getSessionIdContext(), () => ({
      periodMs,
      lifetimeMs: Math.min(sessionTimeoutSec(context), ONE_WEEK_SEC) * 1000,
    }))
    this.#versions = versions.map((version) => versionNumber(version) ?? 0)
    this.#contexts = this.#makeContexts()
  }

  /** @returns whether tickets are made, and taken, in this version */
  has(version: number): boolean {
    return this.#versions.includes(version)
  }

  /** For each full handshake, at most. */
  get numTickets(): number {
    return this.#context.getNumTickets()
  }

  /** After `setSecureContext`: handshakes under way keep the previous one. */
  renew(): void {
    this.#contexts = this.#makeContexts()
  }

  /** The server is attached no more: nobody judges tickets, or tells whose they are, so that none is made and none is taken. */
  end(): void {
    this.#isOver = true
    this.#issuing = undefined
  }

  #makeContexts(): TicketContexts {
    const server = this.#server
    const { secureOptions = 0 } = server
    const make = (source: TicketKeySource, lowerVersions: number): tls.SecureContext => {
      const made = secondContext(server, ((secureOptions & ~SslOption.NO_TICKET) | lowerVersions) >>> 0)
      answerTickets(made, source)
      return made
    }
    return {
      tls13: this.has(TLS1_3_VERSION) ? make(this, LOWER_VERSIONS.tls13) : undefined,
      tls12: this.has(TLS1_2_VERSION) ? make(this.#tls12, LOWER_VERSIONS.tls12) : undefined,
      none: usesTickets(server)
        ? secondContext(server, (secureOptions | SslOption.NO_TICKET) >>> 0)
        : undefined,
    }
  }

  /**
   * In TLS 1.2 a ticket is made before anything tells whose it is. Nothing has to: it says itself when its full handshake was,
   * through all renewals, and no client certificate ends it, since such servers have none in this version.
   */
  readonly #tls12: TicketKeySource = {
    open: (name, iv) => this.open(name, iv),
    seal: () => {
      if (this.#isOver) return undefined
      const nowMs = this.#context.now()
      const authenticatedAtSec = Math.floor(nowMs / 1000)
      return this.#sealing({ authenticatedAtSec, chainEndSec: Number.POSITIVE_INFINITY }, nowMs)
    },
  }

  /** @param ticket - untrusted. @param serverName - that the client names */
  openTicket(ticket: Uint8Array, serverName: string | undefined): OpenedTicket | undefined {
    const content = readTicket(ticket, this.#keyRing, this.#context.now(), serverName)
    const isOpened = typeof content !== 'string'
    this.#offered[isOpened ? 'opened' : content]++
    return isOpened ? content : undefined
  }

  /** A snapshot. */
  get stats(): TicketStats {
    return {
      sealed: this.#sealed,
      offered: { ...this.#offered },
      keys: this.#keyRing.periods(this.#context.now()),
    }
  }

  /** Until {@link TicketHandshake.end}, the verdicts are known to libssl. */
  begin(verdicts: TicketVerdicts): TicketHandshake {
    const handshake = new TicketHandshake(this, verdicts)
    handshake.isOpen = true
    for (const head of handshake.heads) {
      const others = this.#offers.get(head)
      const offers = others ?? new TicketOffers()
      if (others === undefined) this.#offers.set(head, offers)
      const hasAccepted = head === handshake.acceptedHead
      offers.add(handshake, hasAccepted)
      if (hasAccepted) handshake.rivals = offers
    }
    return handshake
  }

  forget(handshake: TicketHandshake): void {
    if (!handshake.isOpen) return
    handshake.isOpen = false
    handshake.rivals = undefined
    for (const head of handshake.heads) {
      const offers = this.#offers.get(head)
      if (offers?.remove(handshake, head === handshake.acceptedHead) === true) this.#offers.delete(head)
    }
  }

  /**
   * Runs Node's listener for a connection with tickets.
   *
   * @param version - that of its handshake
   * @param sessionIdContext - of the connection and its tickets: 32 ASCII characters
   */
  accept(version: number, sessionIdContext: string, accept: () => void): void {
    const secureContext = version === TLS1_3_VERSION ? this.#contexts.tls13 : this.#contexts.tls12
    if (secureContext === undefined) this.acceptWithout(accept)
    else acceptUnder(this.#server, secureContext, sessionIdContext, accept)
  }

  /** Runs Node's listener for a connection that is to have no tickets, not even those of Node. */
  acceptWithout(accept: () => void): void {
    const { none } = this.#contexts
    if (none === undefined) accept()
    else acceptUnder(this.#server, none, this.#server.sessionIdContext ?? '', accept)
  }

  /** Tickets that libssl has opened for somebody else than the connection that it was reading; after a HelloRetryRequest nothing tells for whom. */
  get strays(): number {
    return this.#strays
  }

  /** What libssl opens from now on is for this connection. */
  beginReading(handshake: TicketHandshake): void {
    this.#reading = handshake
  }

  endReading(): void {
    this.#reading = undefined
  }

  /** The tickets that libssl makes next are those of this connection. */
  issueTo(handshake: TicketHandshake): void {
    if (!this.#isOver) this.#issuing = handshake
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
    const origin = handshake?.nextOrigin()
    return origin && this.#sealing(origin, this.#context.now())
  }

  #sealing(origin: SessionOrigin, nowMs: number): TicketSecrets {
    this.#sealed++
    const keys = this.#keyRing.current(nowMs)
    return { mac: keys.mac, cipher: keys.cipher, name: keys.name, iv: makeOriginBlock(origin, keys) }
  }

  open(name: Buffer, iv: Buffer): Pick<TicketSecrets, 'mac' | 'cipher'> | undefined {
    if (this.#isOver) return undefined
    const asking = this.#reading?.hasAccepted(name, iv) === true ? this.#reading : undefined
    const offers = asking?.rivals ?? this.#offers.get(byteKey(name) + byteKey(iv))
    if (offers?.areAccepted(asking, name, iv) !== true) return undefined
    const keys = this.#keyRing.find(name, this.#context.now())
    // They have gone since it was judged.
    if (keys === undefined) offers.refuse(asking, name, iv, 'ticket-unopenable')
    else if (asking === undefined) this.#strays++
    else asking.hearOpened()
    return keys
  }
}

/** SecureContexts beside that of the server. */
interface TicketContexts {
  readonly tls13: tls.SecureContext | undefined
  readonly tls12: tls.SecureContext | undefined
  /** Undefined when the server itself has no tickets. */
  readonly none: tls.SecureContext | undefined
}

/** The tickets of one connection on their way in, judged, and on their way out. */
export class TicketHandshake {
  /** Those of all tickets that it offers, so that none of them is resumed by what was said to another connection. */
  readonly heads: Iterable<string>
  /** That of the one that was accepted, which is one of those that the ClientHello offers. */
  readonly acceptedHead: string | undefined = undefined
  /** All connections that offer the accepted one, itself among them, while the verdicts are known to libssl. */
  rivals: TicketOffers | undefined
  /** Its verdicts are known to libssl. */
  isOpen = false
  readonly #tickets: JudgedTickets
  readonly #verdicts: TicketVerdicts
  #refusal: HandshakeReason | undefined
  /** The strays of before libssl has opened what was accepted, while it read this connection. */
  #straysBefore: number | undefined
  #origin: SessionOrigin | undefined
  #sealed = 0

  constructor(tickets: JudgedTickets, verdicts: TicketVerdicts) {
    this.#tickets = tickets
    this.#verdicts = verdicts
    const { hello, version, accepted } = verdicts
    const heads: string[] = []
    for (const ticket of offeredTickets(hello, version)) {
      const head = headKey(ticket)
      if (head === undefined) continue
      heads.push(head)
      if (ticket === accepted?.ticket) this.acceptedHead = head
    }
    this.heads = heads.length > 1 ? new Set(heads) : heads
  }

  /** Why libssl was told to refuse the ticket that had been accepted. */
  get refusal(): HandshakeReason | undefined {
    return this.#refusal
  }

  /** @returns whether the ticket with this head was accepted, when its ClientHello was judged */
  hasAccepted(name: Uint8Array, iv: Uint8Array): boolean {
    const ticket = this.#verdicts.accepted?.ticket
    return ticket !== undefined && this.acceptedHead !== undefined && isHeadOf(ticket, name, iv)
  }

  /** @returns whether it is still good */
  accepts(name: Uint8Array, iv: Uint8Array): boolean {
    if (!this.hasAccepted(name, iv)) return false
    const objection = this.#verdicts.objection()
    // Others may be asked about, when libssl has long been told about this one.
    this.#refusal = objection ?? this.#refusal
    return objection === undefined
  }

  /** libssl has opened the accepted one while it read this connection. */
  hearOpened(): void {
    this.#straysBefore ??= this.#tickets.strays
  }

  beginReading(): void {
    this.#tickets.beginReading(this)
  }

  endReading(): void {
    this.#tickets.endReading()
  }

  /** libssl is told to refuse what was accepted. */
  hearRefusal(name: Uint8Array, iv: Uint8Array, reason: HandshakeReason): void {
    if (this.hasAccepted(name, iv)) this.#refusal ??= reason
  }

  /** The offers are decided. */
  end(): void {
    this.#tickets.forget(this)
  }

  /**
   * After a HelloRetryRequest a client may offer a ticket that was judged for another connection only. Where libssl has opened nothing
   * since it read the first ClientHello, it has resumed what that offered.
   *
   * @param socket - that has resumed
   */
  isJudged(socket: SessionHolder): boolean {
    if (this.#straysBefore === this.#tickets.strays) return true
    const der = socket.getSession()
    if (der === undefined) return false
    const { accepted } = this.#verdicts
    // The PSK of TLS 1.3, which a resumed connection has from its ticket until it makes a new one: 32 random bytes or more.
    if (accepted !== undefined && includes(der, sessionInternals.masterKey(accepted.session))) return true
    return isExternalPsk(der)
  }

  /** The handshake is over, and the tickets that follow at once come from this full handshake. @param origin - undefined: there are to be none */
  issue(origin: SessionOrigin | undefined): void {
    this.end()
    this.#origin = origin
    this.#tickets.issueTo(this)
  }

  /**
   * Node is going to show another ticket.
   *
   * @param isResumed - libssl makes one then, and {@link NODE_NUM_TICKETS} for a full handshake
   */
  isTicketDue(isResumed: boolean): boolean {
    const due = Math.min(this.#tickets.numTickets, isResumed ? 1 : NODE_NUM_TICKETS)
    return this.#origin !== undefined && this.#sealed < due
  }

  /** All tickets of the handshake have been made, or the connection has gone. */
  finish(): void {
    this.end()
    this.#origin = undefined
    this.#tickets.finishIssuing(this)
  }

  /** @returns undefined when no ticket is due any more */
  nextOrigin(): SessionOrigin | undefined {
    this.#sealed++
    return this.#sealed > this.#tickets.numTickets ? undefined : this.#origin
  }

  /** @returns false: the ticket that Node shows was made for somebody else, and must not reach the client */
  isOwnTicket(): boolean {
    return this.#tickets.isSealedFor(this)
  }
}

/** When nothing tells for which of the connections libssl asks, all are asked; of more than these, none gets the ticket. */
const MAX_ASKED = 32

/**
 * The connections that offer one ticket. There may be thousands, each of which may name it many times: what a question costs does not grow
 * with their number.
 */
class TicketOffers {
  readonly #accepting: TicketHandshake[] = []
  /** How many have not accepted it, whatever it is. */
  #refusing = 0
  /** All that accepted it know that it is refused. */
  #isContested = false

  add(handshake: TicketHandshake, hasAccepted: boolean): void {
    if (!hasAccepted) this.#refusing++
    else {
      this.#accepting.push(handshake)
      this.#isContested = false
    }
  }

  /** @returns whether it was the last */
  remove(handshake: TicketHandshake, hasAccepted: boolean): boolean {
    if (!hasAccepted) this.#refusing--
    else this.#accepting.splice(this.#accepting.indexOf(handshake), 1)
    return this.#refusing + this.#accepting.length === 0
  }

  /**
   * May libssl take it? Where one connection merely offers what another one accepted, no.
   *
   * @param asking - the one for which libssl asks; undefined when it may be any: then the strictest verdict holds
   */
  areAccepted(asking: TicketHandshake | undefined, name: Uint8Array, iv: Uint8Array): boolean {
    const asked = this.#asked(asking)
    if (asked === undefined || (asking === undefined && this.#isContested && this.#refusing > 0)) return false
    let isGood = this.#refusing === 0
    // Each is asked, and knows then why.
    for (const one of asked) if (!one.accepts(name, iv)) isGood = false
    if (!isGood) this.refuse(asking, name, iv, 'ticket-contested')
    if (asking === undefined) this.#isContested = this.#refusing > 0
    return isGood
  }

  refuse(
    asking: TicketHandshake | undefined,
    name: Uint8Array,
    iv: Uint8Array,
    reason: HandshakeReason,
  ): void {
    for (const one of this.#asked(asking) ?? []) one.hearRefusal(name, iv, reason)
  }

  /** @returns undefined for too many */
  #asked(asking: TicketHandshake | undefined): readonly TicketHandshake[] | undefined {
    if (asking !== undefined) return [asking]
    return this.#accepting.length > MAX_ASKED ? undefined : this.#accepting
  }
}

function isHeadOf(ticket: Uint8Array, name: Uint8Array, iv: Uint8Array): boolean {
  const end = name.length + iv.length
  return isPart(name, ticket, 0, name.length) && isPart(iv, ticket, name.length, end)
}

function headKey(ticket: Uint8Array): string | undefined {
  const head = ticketHead(ticket)
  return head && byteKey(head)
}

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  return part.length > 0 && asBuffer(bytes).includes(asBuffer(part))
}

function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}
