import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import type { TicketMaterial } from '../../../src/context/tickets.ts'
import type { PskIdentity, TicketOffer } from '../../../src/session/offer.ts'
import { SslSession } from '../../../src/session/ssl-session.ts'
import { decide, SUITE_12, SUITE_13, type TestContext, TLS13 } from '../../tools/model-fixtures.ts'

/** A server and a client of the model, joined as by memory BIOs; tickets are sealed by a table. */
export class Joined {
  readonly server: SslConnection
  readonly client: SslConnection
  readonly #sealed: Map<string, Uint8Array>
  readonly #version: number

  constructor(server: TestContext, client: TestContext, version: number, sealed: Map<string, Uint8Array>) {
    this.server = server.context.newConnection()
    this.client = client.context.newConnection()
    this.#version = version
    this.#sealed = sealed
  }

  handshake(): void {
    this.client.connect()
    const offer = this.client.clientHello({ minVersion: this.#version, maxVersion: this.#version })
    this.server.accept()
    const isTls13 = this.#version === TLS13
    const verdict = decide(this.server, {
      protocolVersion: this.#version,
      sessionId: offer.sessionId,
      selectedCipherSuite: SUITE_13,
      pskModeSupported: true,
      ...(offer.ticket === undefined ? {} : { ticket: this.#unseal(offer.ticket) }),
      ...(offer.psk === undefined ? {} : { pskIdentities: [this.#identity(offer.psk.identity)] }),
    })
    const { sessionId, ticketExpected } = this.server.serverHello()
    const cipherSuite = isTls13 ? SUITE_13 : SUITE_12
    this.client.processServerHello({
      protocolVersion: this.#version,
      sessionId: isTls13 ? offer.sessionId : sessionId,
      cipherSuite,
      pskSelected: isTls13 && verdict.resume,
    })
    const outcome = verdict.resume ? {} : { cipherSuite, masterKey: new Uint8Array(48).fill(1) }
    if (!isTls13 && ticketExpected) this.sendTicket(outcome)
    this.client.finishHandshake(outcome)
    this.server.finishHandshake(outcome)
    this.sendTickets()
  }

  sendTickets(): void {
    while (this.server.isTicketDue)
      this.sendTicket({ masterKey: new Uint8Array(48).fill(2), ticketAgeAdd: 3 })
  }

  sendTicket(material: TicketMaterial): void {
    const issued = this.server.issueTicket(material)
    if ('alert' in issued) throw new Error(issued.reason)
    const { session, lifetimeHintSec, stateful } = issued
    const ticket = stateful
      ? session.sessionId
      : Uint8Array.of(9, this.#sealed.size >> 8, this.#sealed.size & 255)
    if (!stateful) this.#sealed.set(String(ticket), session.toDer())
    this.client.receiveTicket({ lifetimeHintSec, ticket, ...(this.#version === TLS13 ? material : {}) })
  }

  shutdown(): void {
    this.server.shutdown()
    this.client.shutdown()
    this.server.free()
    this.client.free()
  }

  #unseal(ticket: Uint8Array): TicketOffer {
    if (ticket.length === 0) return { status: 'empty' }
    const der = this.#sealed.get(String(ticket))
    if (der === undefined) return { status: 'no-decrypt' }
    return { status: this.#version === TLS13 ? 'success-renew' : 'success', session: SslSession.fromDer(der) }
  }

  #identity(identity: Uint8Array): PskIdentity {
    return { identity, ticket: this.#unseal(identity) }
  }
}
