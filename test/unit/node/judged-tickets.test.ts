import { once } from 'node:events'
import tls from 'node:tls'
import { describe, expect, test, vi } from 'vitest'
import type { ClientHello } from '../../../src/codec/client-hello.ts'
import { KeyRing, SslContext, SslSession, serverOptions } from '../../../src/index.ts'
import { JudgedTickets, TicketHandshake } from '../../../src/node/judged-tickets.ts'
import type { TlsServer } from '../../../src/node/node-engine.ts'
import { TLS1_3_VERSION } from '../../../src/session/ssl-constants.ts'
import { afterTest, certificate, NAME } from '../../tools/node-servers.ts'
import { V2 as DER } from '../../tools/session-fields.ts'
import { SECRET, startTicketed } from '../../tools/ticket-servers.ts'

const origin = { authenticatedAtSec: 1_800_000_000, chainEndSec: Number.POSITIVE_INFINITY }
const session = SslSession.fromDer(DER)

function makeTickets(): JudgedTickets {
  const context = new SslContext()
  const server = tls.createServer({ ...certificate, ...serverOptions(context) })
  return new JudgedTickets(server as TlsServer, context, { keyRing: new KeyRing([SECRET]) })
}

/** A ClientHello with these tickets, of which one is accepted. */
function begin(
  tickets: JudgedTickets,
  offered: readonly Buffer[],
  accepted?: Buffer,
  objection: () => undefined = () => undefined,
): TicketHandshake {
  const pskIdentities = offered.map((identity) => ({ identity, obfuscatedTicketAge: 0 }))
  return tickets.begin({
    version: TLS1_3_VERSION,
    hello: { pskIdentities } as unknown as ClientHello,
    accepted: accepted && { ticket: accepted, session },
    objection,
  })
}

/** With keys that exist: only their head matters to libssl's question. */
function ticketOf(tickets: JudgedTickets, filler: number): Buffer {
  const handshake = begin(tickets, [])
  handshake.issue(origin)
  const { name, iv } = tickets.seal()!
  handshake.finish()
  return Buffer.concat([name, iv, Buffer.alloc(80, filler)])
}

const ask = (tickets: JudgedTickets, ticket: Buffer): boolean =>
  tickets.open(ticket.subarray(0, 16), ticket.subarray(16, 32)) !== undefined

describe('what libssl is told about a ticket', () => {
  test('is no, while nobody has judged it, and again when its connection is over', () => {
    const tickets = makeTickets()
    const ticket = ticketOf(tickets, 1)
    expect(ask(tickets, ticket)).toBe(false)
    const handshake = begin(tickets, [ticket], ticket)
    expect(ask(tickets, ticket)).toBe(true)
    handshake.end()
    expect(ask(tickets, ticket)).toBe(false)
  })

  test('is no for the others of a ClientHello of which one is accepted', () => {
    const tickets = makeTickets()
    const [first, second] = [ticketOf(tickets, 1), ticketOf(tickets, 2)]
    begin(tickets, [first, second], second)
    expect([ask(tickets, first), ask(tickets, second)]).toEqual([false, true])
  })

  test('is no for a ticket that one connection may resume, and another one merely offers', () => {
    const tickets = makeTickets()
    const [first, second] = [ticketOf(tickets, 1), ticketOf(tickets, 2)]
    const one = begin(tickets, [first], first)
    const other = begin(tickets, [first, second], second)
    expect(ask(tickets, first)).toBe(false)
    expect([one.refusal, other.refusal]).toEqual(['ticket-contested', undefined])
    expect(ask(tickets, second)).toBe(true)
  })
})

describe('a ticket that many connections hold', () => {
  /** Connections that have accepted it, and how often they were asked whether it is still good. */
  function hold(count: number): {
    readonly tickets: JudgedTickets
    readonly ticket: Buffer
    readonly held: readonly TicketHandshake[]
    readonly objection: ReturnType<typeof vi.fn<() => undefined>>
  } {
    const tickets = makeTickets()
    const ticket = ticketOf(tickets, 1)
    const objection = vi.fn(() => undefined)
    const held = Array.from({ length: count }, () => begin(tickets, [ticket], ticket, objection))
    return { tickets, ticket, held, objection }
  }

  test('is good for the one that libssl reads, and none of the others is asked', () => {
    const { tickets, ticket, held, objection } = hold(2000)
    held[7]!.beginReading()
    expect(ask(tickets, ticket)).toBe(true)
    held[7]!.endReading()
    expect(objection).toHaveBeenCalledTimes(1)
  })

  test('is refused to the one that libssl reads, while another connection merely offers it', () => {
    const { tickets, ticket, held, objection } = hold(2000)
    const offering = begin(tickets, [ticket])
    held[7]!.beginReading()
    expect(ask(tickets, ticket)).toBe(false)
    expect([held[6]!.refusal, held[7]!.refusal]).toEqual([undefined, 'ticket-contested'])
    offering.end()
    expect(ask(tickets, ticket)).toBe(true)
    expect(objection).toHaveBeenCalledTimes(2)
  })

  test('is refused where nothing tells for which of them it is, when they are more than 32', () => {
    const few = hold(32)
    expect(ask(few.tickets, few.ticket)).toBe(true)
    expect(few.objection).toHaveBeenCalledTimes(32)
    const many = hold(33)
    expect(ask(many.tickets, many.ticket)).toBe(false)
    expect(many.objection).not.toHaveBeenCalled()
    many.held[0]!.end()
    expect(ask(many.tickets, many.ticket)).toBe(true)
  })

  test('is asked about once, however often a connection names it that may not have it', () => {
    const { tickets, ticket, objection } = hold(32)
    begin(tickets, [ticket]).beginReading()
    for (let count = 0; count < 60; count++) expect(ask(tickets, ticket)).toBe(false)
    expect(objection).toHaveBeenCalledTimes(32)
  })
})

test('what libssl was told about a connection stays its reason, whatever is asked for others', () => {
  const tickets = makeTickets()
  const ticket = ticketOf(tickets, 1)
  const one = begin(tickets, [ticket], ticket)
  const refusing = begin(tickets, [ticket])
  expect(ask(tickets, ticket)).toBe(false)
  refusing.end()
  const other = begin(tickets, [ticket], ticket)
  expect(ask(tickets, ticket)).toBe(true)
  expect([one.refusal, other.refusal]).toEqual(['ticket-contested', undefined])
})

describe('a connection that has resumed', () => {
  const notAsked = (): never => {
    throw new Error('asked for the session')
  }

  test('has resumed what libssl opened while it read that connection, and nothing since', () => {
    const tickets = makeTickets()
    const ticket = ticketOf(tickets, 1)
    const handshake = begin(tickets, [ticket], ticket)
    handshake.beginReading()
    ask(tickets, ticket)
    handshake.endReading()
    expect(handshake.isJudged({ getSession: notAsked })).toBe(true)
  })

  test.each([
    ['its own ticket, at another time', 'own'],
    ['the ticket of another connection, which a second ClientHello may have offered', 'foreign'],
  ])('says by its session what it has resumed, when libssl has opened %s', (_what, opened) => {
    const tickets = makeTickets()
    const [ticket, foreign] = [ticketOf(tickets, 1), ticketOf(tickets, 2)]
    const handshake = begin(tickets, [ticket], ticket)
    begin(tickets, [foreign], foreign)
    handshake.beginReading()
    ask(tickets, ticket)
    handshake.endReading()
    ask(tickets, opened === 'own' ? ticket : foreign)
    expect(handshake.isJudged({ getSession: () => undefined })).toBe(false)
    expect(handshake.isJudged({ getSession: () => DER })).toBe(true)
  })

  test('says by its session what it has resumed, when libssl has opened something else for another one that it read', () => {
    const tickets = makeTickets()
    const [ticket, foreign] = [ticketOf(tickets, 1), ticketOf(tickets, 2)]
    const handshake = begin(tickets, [ticket], ticket)
    const other = begin(tickets, [foreign], foreign)
    handshake.beginReading()
    ask(tickets, ticket)
    handshake.endReading()
    other.beginReading()
    ask(tickets, foreign)
    other.endReading()
    expect([handshake.isJudged({ getSession: notAsked }), other.isJudged({ getSession: notAsked })]).toEqual([
      true,
      true,
    ])
    handshake.beginReading()
    ask(tickets, foreign)
    handshake.endReading()
    expect(handshake.isJudged({ getSession: () => undefined })).toBe(false)
  })

  test('has resumed what was judged for it, when it has the same secret', () => {
    const tickets = makeTickets()
    const ticket = ticketOf(tickets, 1)
    expect(begin(tickets, [ticket], ticket).isJudged({ getSession: () => DER })).toBe(true)
  })

  test('has not, when nothing was accepted, or another secret, or it cannot be read', () => {
    const tickets = makeTickets()
    const ticket = ticketOf(tickets, 1)
    const altered = Buffer.from(DER)
    const at = altered.indexOf(Buffer.from([0x04, 0x30]))
    expect(at).toBeGreaterThan(0)
    altered[at + 2]! ^= 1
    expect(begin(tickets, [ticket]).isJudged({ getSession: () => DER })).toBe(false)
    expect(begin(tickets, [ticket], ticket).isJudged({ getSession: () => altered })).toBe(false)
    expect(begin(tickets, [ticket], ticket).isJudged({ getSession: () => undefined })).toBe(false)
  })

  test('is closed when it has resumed what was not judged', async () => {
    const harness = await startTicketed()
    const isJudged = vi.spyOn(TicketHandshake.prototype, 'isJudged').mockReturnValue(false)
    afterTest(() => isJudged.mockRestore())
    const first = await visit(harness.port)
    await visit(harness.port, first.at(-1))
    expect(harness.handshakes.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['full', 'not-offered'],
      ['failed', 'ticket-unjudged'],
    ])
  })
})

describe('a ticket that is made', () => {
  test('is that of the connection which was finished last, and of no other', () => {
    const tickets = makeTickets()
    const [one, other] = [begin(tickets, []), begin(tickets, [])]
    one.issue(origin)
    other.issue(origin)
    tickets.seal()
    expect(one.isOwnTicket()).toBe(false)
    tickets.seal()
    expect(other.isOwnTicket()).toBe(true)
  })

  test('is none at all, when the connection that was finished last is to have none', () => {
    const tickets = makeTickets()
    const [one, other] = [begin(tickets, []), begin(tickets, [])]
    one.issue(origin)
    other.issue(undefined)
    expect(tickets.seal()).toBeUndefined()
  })

  test('is no longer due when the connection has gone, even if the server destroys it before its tickets are made', async () => {
    const harness = await startTicketed()
    const finished: boolean[] = []
    const { finish } = TicketHandshake.prototype
    const spy = vi.spyOn(TicketHandshake.prototype, 'finish').mockImplementation(function (
      this: TicketHandshake,
    ) {
      finish.call(this)
      finished.push(this.isTicketDue(false))
    })
    afterTest(() => spy.mockRestore())
    harness.server.once('secureConnection', (socket: tls.TLSSocket) => socket.destroy())
    await visit(harness.port)
    harness.server.on('secureConnection', (socket: tls.TLSSocket) => socket.end())
    await visit(harness.port)
    harness.server.close()
    await once(harness.server, 'close')
    expect(finished).toEqual([false, false])
  })

  test('for another connection does not reach its client, which is closed, and counted', async () => {
    const harness = await startTicketed()
    const isOwn = vi.spyOn(TicketHandshake.prototype, 'isOwnTicket').mockReturnValue(false)
    afterTest(() => isOwn.mockRestore())
    expect(await visit(harness.port)).toEqual([])
    expect(harness.attachment.stats.notKept['ticket-unproven']).toBeGreaterThan(0)
  })
})

/** @returns the sessions that came before the connection was closed, however that was */
async function visit(port: number, session?: Buffer): Promise<readonly Buffer[]> {
  const client = tls.connect({
    port,
    host: '127.0.0.1',
    servername: NAME,
    ca: certificate.cert,
    ...(session && { session }),
  })
  const sessions: Buffer[] = []
  client.on('session', (one: Buffer) => sessions.push(one))
  client.on('error', () => undefined).resume()
  await once(client, 'close')
  return sessions
}
