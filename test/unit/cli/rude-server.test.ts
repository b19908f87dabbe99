import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { verdicts } from '../../tools/doctor.ts'
import { startRude } from '../../tools/foreign-servers.ts'
import { NAME } from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { doctor, run } from './run-command.ts'

const problem = missingCommand('cc', '--version')
const folder = mkdtempSync(join(tmpdir(), 'sslctx-rude-'))
const program = join(folder, 'rude-server')

beforeAll(() => {
  const source = fileURLToPath(new URL('./rude-server.c', import.meta.url))
  if (problem === undefined) execFileSync('cc', ['-o', program, source, '-lssl', '-lcrypto'])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const OPTIONS = ['--timeout', '1']

describe('a server that sends without end after the handshake', () => {
  for (const mode of ['tickets', 'many-tickets', 'key-updates'])
    peerTest(`${mode}: the doctor ends, and sees that sessions resume`, problem, async () => {
      const startedMs = performance.now()
      const report = await doctor(
        `127.0.0.1:${await startRude(program, mode)}`,
        '--attempts',
        '1',
        ...OPTIONS,
      )
      expect(verdicts(report).tls13).toBe('all')
      expect(performance.now() - startedMs).toBeLessThan(20_000)
    })

  peerTest('renegotiates: the doctor ends, and says what it has seen', problem, async () => {
    const port = await startRude(program, 'renegotiation')
    const report = await doctor(`127.0.0.1:${port}`, '--attempts', '1', ...OPTIONS)
    expect([0, 1]).toContain(report.exitCode)
    expect(report.endpoints[0]?.certificate?.subject).toBe(`CN=${NAME}`)
  })

  peerTest('tickets: so do bench and inspect', problem, async () => {
    const port = await startRude(program, 'tickets')
    const bench = [
      'bench',
      `127.0.0.1:${port}`,
      '--duration',
      '0.5',
      '--connections',
      '2',
      '--json',
      ...OPTIONS,
    ]
    const { stdout } = await run(bench)
    expect(JSON.parse(stdout).resumed.resumptionRate).toBe(1)
    const inspected = await run(['inspect', `127.0.0.1:${port}`, '--json', ...OPTIONS])
    expect(inspected.exitCode).toBe(0)
    expect(inspected.stdout.trim().split('\n').length).toBeLessThanOrEqual(16)
  })
})
