import { describe, expect } from 'vitest'
import { doctorInProcess, verdicts } from '../../tools/doctor.ts'
import { peers } from '../../tools/doctor-peers.ts'
import { folderWithCertificate } from '../../tools/foreign-servers.ts'
import type { Method } from '../../tools/methods.ts'
import { NAME } from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { findCommand, probe } from './run-testssl.ts'

/** testssl.sh takes most of a minute for a server. */
const TIMEOUT_MS = 300_000

const testssl = missingCommand('testssl', '--version') && missingCommand('testssl.sh', '--version')

/** What testssl calls resumption, and by what the doctor knows it. With TLS 1.3, ids are those of stateful tickets. */
const RESUMPTIONS: Readonly<Record<string, readonly Method[]>> = {
  sessionresumption_ticket: ['tls12-ticket', 'tls13'],
  sessionresumption_ID: ['tls12-id', 'tls13'],
}

// In TLS 1.3 testssl may end its client before the tickets have come, and with some servers it says that its check has failed:
// only that something is supported can be relied upon.
describe('what testssl.sh calls supported, sslctx doctor sees resume', () => {
  for (const peer of peers)
    peerTest(
      `on ${peer.name}`,
      peer.problem ?? testssl,
      async () => {
        const port = await peer.start()
        const findings = await probe(await findCommand(), port, folderWithCertificate(), ['-S'])
        const seen = verdicts(
          await doctorInProcess(`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '3'),
        )
        const claimed = Object.keys(RESUMPTIONS).filter((id) =>
          findings.get(id)?.finding.startsWith('supported'),
        )
        const resumes = (id: string): boolean =>
          RESUMPTIONS[id]?.some((method) => seen[method] === 'all') === true
        console.log(`${peer.name}: testssl ${claimed.join(', ') || 'none'}; doctor ${JSON.stringify(seen)}`)
        expect(claimed.filter((id) => !resumes(id))).toEqual([])
      },
      TIMEOUT_MS,
    )
})
