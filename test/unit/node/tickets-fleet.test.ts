import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { makeCertificate } from '../../tools/certificate.ts'
import { afterTest, certificate, connect, NAME } from '../../tools/node-servers.ts'
import { TicketsWorker } from './tickets-fleet.ts'

const CLIENTS = 50
const CONNECTIONS = 1_000
const HOUR_MS = 3_600_000
const secret = randomBytes(32).toString('hex')
/** Two groups of processes, whose clocks differ. */
const OFFSETS_MS = [0, 0, 90_000, 90_000]

test('a fleet of 4 processes without a store resumes every offer, through three rotations, a certificate renewal and a rolling restart', async () => {
  let elapsedMs = 0
  const launch = async (offsetMs: number): Promise<TicketsWorker> => {
    const worker = await TicketsWorker.start({ certificate, secret, offsetMs: offsetMs + elapsedMs })
    afterTest(() => worker.end())
    return worker
  }
  const workers = await Promise.all(OFFSETS_MS.map(launch))
  const renewed = await makeCertificate(NAME)
  const ca = [certificate.cert, renewed.cert]
  const rotate = async (): Promise<void> => {
    elapsedMs += HOUR_MS
    for (const worker of workers) await worker.tell({ advanceMs: HOUR_MS })
  }
  const renew = async (): Promise<void> => {
    for (const worker of workers) await worker.tell({ renewed })
  }
  const restart = async (): Promise<void> => {
    for (const [index, worker] of workers.entries()) {
      worker.end()
      workers[index] = await launch(OFFSETS_MS[index] ?? 0)
    }
  }
  const events = [rotate, renew, rotate, restart, rotate]
  const sessions: (Buffer | undefined)[] = Array.from({ length: CLIENTS })
  const tally = { connections: 0, offers: 0, resumed: 0 }
  const visit = async (client: number, round: number): Promise<void> => {
    const session = sessions[client]
    const { port } = workers[(client * 7 + round * 3 + (round >> 2)) % workers.length]!
    const result = await connect({ port }, session, { ca })
    tally.connections++
    if (session !== undefined) tally.offers++
    if (result.resumed) tally.resumed++
    sessions[client] = result.session ?? session
  }
  const rounds = CONNECTIONS / CLIENTS
  for (let round = 0; round < rounds; round++) {
    await Promise.all(sessions.map((_, client) => visit(client, round)))
    if (round % 3 === 2) await events[(round - 2) / 3]?.()
  }
  expect(tally).toEqual({
    connections: CONNECTIONS,
    offers: CONNECTIONS - CLIENTS,
    resumed: CONNECTIONS - CLIENTS,
  })
}, 120_000)
