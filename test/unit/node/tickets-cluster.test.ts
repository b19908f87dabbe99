import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { afterTest, certificate, connect } from '../../tools/node-servers.ts'

const CLIENTS = 10
const ROUNDS = 12
const WORKERS = 3

function launch(kind: 'cluster' | 'threads'): ChildProcess {
  const settings = { kind, certificate, secret: randomBytes(32).toString('hex'), workers: WORKERS }
  const child = fork(fileURLToPath(new URL('./tickets-cluster.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, SSLCTX_TEST_CLUSTER: JSON.stringify(settings) },
  })
  afterTest(() => child.disconnect())
  return child
}

test.each(['cluster', 'threads'] as const)(
  'a fleet of node:%s resumes every offer, through a renewal and a rolling restart',
  async (kind) => {
    const child = launch(kind)
    let [ports] = (await once(child, 'message')) as [number[]]
    const order = async (what: 'renew' | 'restart'): Promise<void> => {
      child.send(what)
      ;[ports] = (await once(child, 'message')) as [number[]]
    }
    const sessions: (Buffer | undefined)[] = Array.from({ length: CLIENTS })
    let resumed = 0
    for (let round = 0; round < ROUNDS; round++) {
      const visits = sessions.map(async (session, client) => {
        const visit = await connect({ port: ports[(client + round) % ports.length]! }, session)
        if (visit.resumed) resumed++
        sessions[client] = visit.session
      })
      await Promise.all(visits)
      if (round === 3) await order('renew')
      if (round === 6) await order('restart')
    }
    expect(resumed).toBe(CLIENTS * (ROUNDS - 1))
  },
  60_000,
)
