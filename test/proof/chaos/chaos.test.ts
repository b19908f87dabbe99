import { expect } from 'vitest'
import { peerTest } from '../../tools/peers.ts'
import { redisProblem } from '../../tools/redis-server.ts'
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
