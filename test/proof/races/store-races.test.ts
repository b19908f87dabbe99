import { expect } from 'vitest'
import { missingMemcached } from '../../tools/memcached-server.ts'
import { peerTest } from '../../tools/peers.ts'
import { redisProblem } from '../../tools/redis-server.ts'
import { raceEngines, raceTakes } from './store-races.ts'

const TIMEOUT_MS = 120_000

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
