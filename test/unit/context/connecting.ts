import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import type { SslSession } from '../../../src/session/ssl-session.ts'
import { makeTls13Session, type TestContext, TLS12, TLS13 } from '../../tools/model-fixtures.ts'

export const ANY = { minVersion: TLS12, maxVersion: TLS13 }
export const TICKET = Uint8Array.of(1, 2, 3)

export function connecting(fixture: TestContext, session?: SslSession): SslConnection {
  const connection = fixture.context.newConnection()
  connection.setSession(session)
  connection.connect()
  return connection
}

export function ticketed(fields: Parameters<typeof makeTls13Session>[1] = {}): SslSession {
  return makeTls13Session(1, { ticket: TICKET, ticketLifetimeHintSec: 100n, ticketAgeAdd: 7, ...fields })
}
