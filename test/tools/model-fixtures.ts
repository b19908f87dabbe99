import { createHash } from 'node:crypto'
import type { SslSessionFields } from '../../src/codec/ssl-session-der.ts'
import type { SslConnection } from '../../src/context/ssl-connection.ts'
import { SslContext, type SslContextOptions } from '../../src/context/ssl-context.ts'
import type { NegotiatedSession } from '../../src/context/tickets.ts'
import type { RemovalReason, SslContextEvent } from '../../src/session/contracts.ts'
import type { ResumptionOffer } from '../../src/session/offer.ts'
import { SslOption } from '../../src/session/ssl-constants.ts'
import { SslSession } from '../../src/session/ssl-session.ts'
import type { ResumptionVerdict } from '../../src/session/verdict.ts'
import { encode, MINIMAL } from './session-fields.ts'

export const START_SEC = 1_700_000_000
export const TLS12 = 0x0303
export const TLS13 = 0x0304
export const SUITE_12 = 0xc02c
export const SUITE_13 = 0x1302

/** A context whose time and random bytes the test decides, with everything it said. */
export interface TestContext {
  readonly context: SslContext
  readonly clock: { nowMs: number }
  /** Random bytes to come, one byte for each draw; else every draw is new. */
  readonly draws: number[]
  readonly removed: [SslSession, RemovalReason][]
  readonly created: SslSession[]
  readonly events: SslContextEvent[]
}

export function testContext(options: SslContextOptions = {}): TestContext {
  const clock = { nowMs: START_SEC * 1000 }
  const draws: number[] = []
  const removed: [SslSession, RemovalReason][] = []
  const created: SslSession[] = []
  const events: SslContextEvent[] = []
  let drawn = 0
  const context = new SslContext(
    {
      now: () => clock.nowMs,
      randomBytes(length) {
        const bytes = new Uint8Array(length).fill(draws.shift() ?? 0xff)
        if (bytes[0] === 0xff) new DataView(bytes.buffer).setUint32(1, ++drawn)
        return bytes
      },
      sha256: (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
    },
    {
      newSessionCallback: (_, session) => created.push(session),
      removeSessionCallback: (session, reason) => removed.push([session, reason]),
      ...options,
    },
  )
  context.subscribe((event) => events.push(event))
  return { context, clock, draws, removed, created, events }
}

/** A session of TLS 1.2 with an id of 32 equal bytes. */
export function makeSession(id: number, fields: Partial<SslSessionFields> = {}): SslSession {
  return SslSession.fromDer(
    encode({
      ...MINIMAL,
      cipherSuite: SUITE_12,
      sessionId: idOf(id),
      timeSec: START_SEC,
      timeoutSec: 100,
      ...fields,
    }),
  )
}

export function makeTls13Session(id: number, fields: Partial<SslSessionFields> = {}): SslSession {
  return makeSession(id, { protocolVersion: TLS13, cipherSuite: SUITE_13, ...fields })
}

export function idOf(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte)
}

export function offer12(sessionId: Uint8Array = new Uint8Array(0)): ResumptionOffer {
  return { protocolVersion: TLS12, sessionId }
}

export function offer13(...identities: Uint8Array[]): ResumptionOffer {
  return {
    protocolVersion: TLS13,
    sessionId: idOf(0xaa),
    selectedCipherSuite: SUITE_13,
    pskModeSupported: true,
    ...(identities.length === 0 ? {} : { pskIdentities: identities.map((identity) => ({ identity })) }),
  }
}

export function decide(connection: SslConnection, offer: ResumptionOffer): ResumptionVerdict {
  const verdict = connection.resumeSession(offer)
  if (!('resume' in verdict)) throw new Error('the verdict is a promise')
  return verdict
}

const OUTCOME: NegotiatedSession = { masterKey: new Uint8Array(48).fill(7) }

/** A whole handshake on the server; TLS 1.3 with all of its tickets. */
export function serve(
  fixture: TestContext,
  offer: ResumptionOffer,
  connection = fixture.context.newConnection(),
): SslConnection {
  connection.accept()
  const verdict = decide(connection, offer)
  if (!verdict.resume && verdict.alert !== undefined) return connection
  connection.serverHello()
  const cipherSuite = offer.protocolVersion === TLS13 ? SUITE_13 : SUITE_12
  connection.finishHandshake({ cipherSuite, ...OUTCOME })
  issueAll(connection)
  return connection
}

export function issueAll(connection: SslConnection): void {
  while (connection.isTicketDue)
    connection.issueTicket({ masterKey: new Uint8Array(48).fill(8), ticketAgeAdd: 1 })
}

/** A whole handshake on a client whose server resumes what it is offered, or does not. */
export function visit(
  fixture: TestContext,
  session: SslSession | undefined,
  version: number,
  resumes: boolean,
): SslConnection {
  const connection = fixture.context.newConnection()
  if (session !== undefined) connection.setSession(session)
  connection.connect()
  const offer = connection.clientHello({ minVersion: TLS12, maxVersion: version })
  connection.processServerHello({
    protocolVersion: version,
    sessionId: resumes || version === TLS13 ? offer.sessionId : idOf(0xee),
    cipherSuite: version === TLS13 ? SUITE_13 : SUITE_12,
    pskSelected: resumes && version === TLS13,
  })
  connection.finishHandshake({ cipherSuite: version === TLS13 ? SUITE_13 : SUITE_12, ...OUTCOME })
  return connection
}

/** Stateful sessions: TLS 1.2 by id, TLS 1.3 by stateful ticket. */
export const STATEFUL: SslContextOptions = { options: SslOption.NO_TICKET }
