import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KeyRing } from '../../../src/index.ts'
import { findingsOf, verdicts } from '../../tools/doctor.ts'
import { nothing } from '../../tools/doctor-peers.ts'
import { certificate, type Harness, NAME, type StartOptions, start } from '../../tools/node-servers.ts'
import { startTicketed } from '../../tools/ticket-servers.ts'
import { type DoctorReport, doctor } from './run-command.ts'

const BOUND = 'note bound-to-name'
const NO_OLD_TICKETS = 'note no-tickets tls12-ticket'
const HOUR_MS = 3_600_000

const probe = (servers: readonly Harness[], ...args: string[]): Promise<DoctorReport> =>
  doctor(...servers.map(({ port }) => `127.0.0.1:${port}`), '--servername', NAME, '--attempts', '2', ...args)

/** The finding of that name, as people read it. */
function said({ findings }: DoctorReport, id: string): string {
  const { what = '', reasons = [] } = findings.find((finding) => finding.id === id) ?? {}
  return [what, ...reasons].join('\n')
}

const keysAt = ({ methods }: DoctorReport, server: Harness): readonly string[] | undefined =>
  methods.find(({ method, endpoint }) => method === 'tls13' && endpoint === `127.0.0.1:${server.port}`)?.token
    ?.keys

describe('sslctx doctor, at a server with judged tickets,', () => {
  test('sees TLS 1.3 resume by ticket, TLS 1.2 by id, and neither at another name', async () => {
    const server = await startTicketed()
    const report = await probe([server])
    expect(verdicts(report)).toEqual({ 'tls12-id': 'all', 'tls12-ticket': nothing, tls13: 'all' })
    expect(findingsOf(report)).toEqual([NO_OLD_TICKETS, BOUND])
    expect(report.methods.at(-1)?.token).toMatchObject({ kind: 'stateless-ticket', lifetimeSec: 7200 })
    expect(report.trials.filter(({ kind }) => kind === 'other-name').map(({ outcome }) => outcome)).toEqual(
      Array(4).fill('full'),
    )
    expect(said(report, 'bound-to-name')).toContain(`Sessions of ${NAME} do not resume under`)
    expect(keysAt(report, server)).toEqual([expect.stringMatching(/^[0-9a-f]{8}$/)])
    expect(report.exitCode).toBe(0)
  })

  test('sees TLS 1.2 resume by ticket where it has some', async () => {
    const versions = ['TLSv1.3', 'TLSv1.2'] as const
    const server = await start({ attach: { tickets: { keyRing: new KeyRing([randomBytes(32)]), versions } } })
    const report = await probe([server])
    expect(verdicts(report)).toEqual({ 'tls12-id': 'all', 'tls12-ticket': 'all', tls13: 'all' })
    expect(findingsOf(report)).toEqual([BOUND])
  })

  test('sees that addresses share a secret: each resumes what the others have made', async () => {
    const servers = [await startTicketed(), await startTicketed()]
    const report = await probe(servers)
    const elsewhere = report.trials.filter(({ kind, method }) => kind === 'elsewhere' && method === 'tls13')
    expect(elsewhere.map(({ outcome }) => outcome)).toEqual(Array(4).fill('resumed'))
    expect(findingsOf(report)).not.toContain('problem not-shared-between-endpoints tls13')
    expect(keysAt(report, servers[0]!)).toEqual(keysAt(report, servers[1]!))
  })

  test.each<[string, StartOptions, KeyRing | undefined, string]>([
    ['secrets', {}, new KeyRing([randomBytes(32)]), 'name different keys'],
    [
      'names of ServerSessions',
      { context: { sessionIdContext: Buffer.from('other') } },
      undefined,
      'the names of ServerSessions, of which keys are made as well',
    ],
    [
      'trust',
      { server: { ...certificate, ALPNProtocols: ['h2'] } },
      undefined,
      'name the same key, so that the ticket keys are the same, and the tickets are refused',
    ],
  ])('sees that addresses do not: other %s', async (_what, options, keyRing, reason) => {
    const report = await probe([await startTicketed(), await startTicketed(options, keyRing)])
    expect(findingsOf(report)).toContain('problem not-shared-between-endpoints tls13')
    expect(said(report, 'not-shared-between-endpoints')).toContain('resume at')
    const ofTickets = report.findings.find(
      ({ id, method }) => id === 'not-shared-between-endpoints' && method === 'tls13',
    )
    expect(ofTickets?.reasons.join('\n')).toContain(reason)
    expect(report.exitCode).toBe(1)
  })

  test('sees keys change, and that tickets of before resume', async () => {
    let nowMs = Date.now()
    let made = 0
    const server = await startTicketed({
      context: { now: () => nowMs },
      attach: {
        onHandshake() {
          if (++made === 12) nowMs += HOUR_MS
        },
      },
    })
    const report = await probe([server])
    expect(verdicts(report).tls13).toBe('all')
    expect(findingsOf(report)).toEqual([NO_OLD_TICKETS, 'note ticket-keys-changed tls13', BOUND])
    expect(said(report, 'ticket-keys-changed')).toContain('name 2 keys, and those of each resume')
    expect(keysAt(report, server)).toHaveLength(2)
    expect(report.exitCode).toBe(0)
  })
})
