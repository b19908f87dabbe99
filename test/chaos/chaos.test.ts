import { expect } from 'vitest'
import { raceEngines, raceTakes } from '../load/store-races.ts'
import { peerTest } from '../peers.ts'
import { missingMemcached } from '../store/memcached-server.ts'
import { redisProblem } from '../store/redis-server.ts'
import { type ConditionReport, runChaos } from './run.ts'

const TIMEOUT_MS = 120_000

peerTest(
  'ten client processes connect without a failure while Redis is killed, started again, and full of garbage',
  redisProblem,
  async () => {
    const reports: ConditionReport[] = []
    const { handshakes, failed } = await runChaos({
      engines: ['redis'],
      handshakesPerPhase: 6,
      only: (title) => /SIGKILL|garbage/.test(title),
      onCondition: (report) => void reports.push(report),
    })
    expect({ handshakes, failed }).toEqual({ handshakes: 2 * 5 * 10 * 6, failed: 0 })
    const servers = reports.map(({ phases }) => phases.flatMap((phase) => phase.servers))
    expect(servers.flat().flatMap(({ unhandled }) => unhandled)).toEqual([])
    const [killed, spoiled] = servers.map(
      (all) => new Set(all.flatMap(({ reasons }) => Object.keys(reasons))),
    )
    expect([...(killed ?? [])]).toContain('callback-failed')
    expect([...(spoiled ?? [])]).toContain('unopenable')
  },
  TIMEOUT_MS,
)

for (const engine of raceEngines) {
  peerTest(
    `${engine.name}: of two processes that take a session through sealed and guarded stores, exactly one gets it`,
    { redis: redisProblem, memcached: missingMemcached, lmdb: undefined }[
      engine.name.split(',')[0] as 'lmdb'
    ],
    async () => {
      const { wins, withTwoWinners, withoutWinner } = await raceTakes(engine, 200)
      expect({ withTwoWinners, withoutWinner, won: wins[0] + wins[1] }).toEqual({
        withTwoWinners: 0,
        withoutWinner: 0,
        won: 200,
      })
    },
    TIMEOUT_MS,
  )
}
