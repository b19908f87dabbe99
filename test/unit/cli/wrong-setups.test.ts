import { constants } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { Finding } from '../../../src/cli/findings.ts'
import { MemoryStore, type SessionStore, storeCallbacks } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { findingsOf } from '../../tools/doctor.ts'
import { boundBy } from '../../tools/doctor-peers.ts'
import { startNodeCluster, startStockProcess } from '../../tools/foreign-servers.ts'
import {
  certificate,
  greet,
  listen,
  NAME,
  NO_INTERNAL,
  reasons,
  start,
  startStock,
} from '../../tools/node-servers.ts'
import { type DoctorReport, doctor } from './run-command.ts'

const probe = (ports: readonly number[], ...args: string[]): Promise<DoctorReport> =>
  doctor(...ports.map((port) => `127.0.0.1:${port}`), '--servername', NAME, '--attempts', '3', ...args)

/** All that is said about it, reasons and remedies. */
function saidOf(report: DoctorReport, id: Finding['id']): string {
  return report.findings
    .filter((finding) => finding.id === id)
    .flatMap(({ what, reasons: likely, remedies }) => [what, ...likely, ...remedies])
    .join('\n')
}

describe('of ten servers set up wrongly, the cause is named', () => {
  test('1. workers that do not share their sessions', async () => {
    const report = await probe([await startNodeCluster()])
    expect(findingsOf(report)).toContain('problem not-shared tls12-id')
    expect(saidOf(report, 'not-shared')).toContain(
      'Several workers or pods are behind this address, and each has a session cache of its own.',
    )
  })

  test('2. pods with random ticket keys', async () => {
    const pods = [
      await startStock({ server: { secureOptions: 0 } }),
      await startStock({ server: { secureOptions: 0 } }),
    ]
    const report = await probe(pods.map(({ port }) => port))
    expect(findingsOf(report)).toContain('problem not-shared-between-endpoints tls13')
    expect(saidOf(report, 'not-shared-between-endpoints')).toContain(
      'Their ticket keys differ: each made its own random ones',
    )
  })

  test('3. a session id context from argv, under the same ticket keys', async () => {
    const report = await probe([await startStockProcess(), await startStockProcess()])
    expect(findingsOf(report)).toContain('problem not-shared-between-endpoints tls13')
    expect(saidOf(report, 'not-shared-between-endpoints')).toContain('Node makes its own from process.argv')
    // With sslctx it does not come to that.
    await expect(start({ server: { sessionIdContext: undefined } })).rejects.toMatchObject({
      problem: 'default-session-id-context',
    })
  })

  test('4. NO_TICKET and resumeSession, without read-ahead of the ClientHello', async () => {
    const sessions = new Map<string, Buffer>()
    const { port } = await startStock({
      make: (options) =>
        greet(options)
          .on('newSession', (id: Buffer, session: Buffer, done: () => void) => {
            sessions.set(id.toString('hex'), session)
            done()
          })
          .on('resumeSession', (id: Buffer, done: (error: null, session: Buffer | null) => void) =>
            done(null, sessions.get(id.toString('hex')) ?? null),
          ),
    })
    const report = await probe([port])
    expect(findingsOf(report)).toContain('problem never-resumes tls13')
    expect(findingsOf(report)).not.toContain('problem never-resumes tls12-id')
    expect(saidOf(report, 'never-resumes')).toContain('no read-ahead of the ClientHello')
  })

  test('5. a clock that is off', async () => {
    const store = new MemoryStore()
    const shared = { sessionIdContext: 'shop', sessionCacheMode: NO_INTERNAL, ...storeCallbacks(store) }
    const right = await start({ context: shared })
    const fast = await start({ context: { ...shared, now: () => Date.now() + 3 * 3600 * 1000 } })
    const report = await probe([right.port, fast.port])
    expect(findingsOf(report)).toContain('problem one-way-between-endpoints tls13')
    expect(saidOf(report, 'one-way-between-endpoints')).toContain(
      'The clocks differ: what one server makes looks expired',
    )
    // The session is new, and its server says:
    expect(reasons(fast)).toContain('expired')
    expect(reasons(right)).not.toContain('expired')
  })

  test('6. a cache that is too small', async () => {
    const harness = await start({ context: { sessionCacheSize: 3 } })
    const report = await probe([harness.port], '--attempts', '6')
    expect(findingsOf(report)).toContain('problem cache-too-small tls13')
    expect(findingsOf(report)).toContain('problem cache-too-small tls12-id')
    expect(harness.context.stats.cacheFull).toBeGreaterThan(0)
  })

  test('7. a store that is down', async () => {
    const down = (): never => {
      throw new Error('ECONNREFUSED')
    }
    const store: SessionStore = Object.assign(new MemoryStore(), { get: down, set: down, take: down })
    const harness = await start({ context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(store) } })
    const report = await probe([harness.port])
    expect(findingsOf(report)).toContain('problem never-resumes tls13')
    expect(saidOf(report, 'never-resumes')).toContain('The external cache is down')
    expect(reasons(harness)).toContain('callback-failed')
  })

  test('8. a name policy, for clients that take one session to all names', async () => {
    const harness = await start()
    const report = await probe([harness.port], '--other-servername', 'www.example')
    expect(findingsOf(report)).toContain('note bound-to-name')
    expect(saidOf(report, 'bound-to-name')).toContain('under a stale name does a full handshake')
    expect(reasons(harness)).toContain('server-name-mismatch')
  })

  test.skipIf(boundBy)(
    `8. no name policy, where names have certificates of their own${boundBy}`,
    async () => {
      const { server, port } = await startStock({ server: { secureOptions: 0 } })
      server.addContext('intern.example', await makeCertificate('intern.example'))
      const report = await probe([port], '--other-servername', 'intern.example')
      expect(findingsOf(report)).toContain('warning resumes-across-names')
    },
  )

  test('9. single use, for clients that offer a session of TLS 1.3 again', async () => {
    const harness = await start({ attach: { singleUse: true } })
    const report = await probe([harness.port])
    expect(findingsOf(report)).toContain('warning single-use tls13')
    expect(saidOf(report, 'single-use')).toContain('singleUse in sslctx')
    expect(reasons(harness)).toContain('already-used')
  })

  test.skipIf(boundBy)(`10. client certificates without a session id context${boundBy}`, async () => {
    // tls.createServer would set one; this is how TLS is put on sockets by hand.
    const secureContext = tls.createSecureContext({
      ...certificate,
      maxVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    })
    const port = await listen(
      net.createServer((socket) => {
        const options = { isServer: true, requestCert: true, rejectUnauthorized: false, secureContext }
        new tls.TLSSocket(socket, options).on('error', () => undefined).end('hello')
      }),
    )
    const report = await probe([port])
    expect(findingsOf(report)).toContain('problem offer-breaks-handshake tls12-ticket')
    expect(saidOf(report, 'offer-breaks-handshake')).toContain(
      'Client certificates are requested, and no session id context is set',
    )
  })
})
