import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { makeCertificate } from '../../tools/certificate.ts'
import { afterTest, certificate, connect, NAME } from '../../tools/node-servers.ts'
import { nextMessage } from '../../tools/server-process.ts'
import { type FleetOrder, launchFleet } from './tickets-fleet.ts'

const CLIENTS = 50
const CONNECTIONS = 1_000
/** Two groups of members, whose clocks differ. */
const OFFSETS_MS = [0, 0, 90_000, 90_000]
/** One after each third round. */
const ORDERS: readonly FleetOrder[] = ['rotate', 'renew', 'rotate', 'restart', 'rotate']

test.each([
  ['workers of node:cluster', 'cluster'],
  ['worker_threads', 'threads'],
  ['processes', 'processes'],
] as const)(
  'a fleet of 4 %s without a store resumes every offer, through three rotations, a certificate renewal and a rolling restart',
  async (_, kind) => {
    const renewed = await makeCertificate(NAME)
    const secret = randomBytes(32).toString('hex')
    const fleet = launchFleet({ kind, certificate, renewed, secret, offsetsMs: OFFSETS_MS })
    afterTest(() => fleet.disconnect())
    let ports = await nextMessage<number[]>(fleet)
    const ca = [certificate.cert, renewed.cert]
    const sessions: (Buffer | undefined)[] = Array.from({ length: CLIENTS })
    const members = new Set<string>()
    const tally = { connections: 0, offers: 0, resumed: 0 }
    const visit = async (client: number, round: number): Promise<void> => {
      const session = sessions[client]
      const port = ports[(client * 7 + round * 3 + (round >> 2)) % ports.length]!
      const result = await connect({ port }, session, { ca })
      members.add(result.received)
      tally.connections++
      if (session !== undefined) tally.offers++
      if (result.resumed) tally.resumed++
      sessions[client] = result.session ?? session
    }
    for (let round = 0; round < CONNECTIONS / CLIENTS; round++) {
      await Promise.all(sessions.map((_session, client) => visit(client, round)))
      const order = round % 3 === 2 ? ORDERS[(round - 2) / 3] : undefined
      if (order === undefined) continue
      fleet.send(order)
      ports = await nextMessage(fleet)
    }
    expect(tally).toEqual({
      connections: CONNECTIONS,
      offers: CONNECTIONS - CLIENTS,
      resumed: CONNECTIONS - CLIENTS,
    })
    // All of them served, those of before the restart and those of after it.
    expect(members.size).toBe(2 * OFFSETS_MS.length)
  },
  120_000,
)
