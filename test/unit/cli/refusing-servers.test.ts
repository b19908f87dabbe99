import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import type { FindingId } from '../../../src/cli/findings.ts'
import { findingsOf } from '../../tools/doctor.ts'
import { go, haproxy, nginx, openssl } from '../../tools/doctor-peers.ts'
import {
  folderWithCertificate,
  handshakeByHand,
  startGo,
  startHaproxy,
  startNginx,
  startOpenssl,
} from '../../tools/foreign-servers.ts'
import { certificate, NAME, startStock } from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'
import { doctor, run } from './run-command.ts'

/** A server that lets no handshake succeed, as its makers set it up. */
interface RefusingServer {
  readonly name: string
  readonly problem?: string | undefined
  readonly start: () => Promise<number>
  readonly finding: FindingId
  /** Whether `--insecure` makes handshakes succeed. */
  readonly isInsecureEnough?: true
  /** What `openssl s_client` shows. */
  readonly byHand: RegExp
}

/** A certificate of the test, as a file that servers take for an authority. */
const authority = (): string => join(folderWithCertificate(), 'cert.pem')
const SECLEVEL = 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'

const servers: readonly RefusingServer[] = [
  {
    name: 'openssl s_server -tls1',
    problem: openssl,
    start: () => startOpenssl('-tls1', '-cipher', SECLEVEL),
    finding: 'old-versions-only',
    isInsecureEnough: true,
    byHand: /protocol version|unsupported protocol|legacy sigalg/,
  },
  {
    name: 'openssl s_server -tls1_1',
    problem: openssl,
    start: () => startOpenssl('-tls1_1', '-cipher', SECLEVEL),
    finding: 'old-versions-only',
    isInsecureEnough: true,
    byHand: /protocol version|unsupported protocol|legacy sigalg/,
  },
  {
    name: 'openssl s_server -Verify',
    problem: openssl,
    start: () => startOpenssl('-Verify', '1'),
    finding: 'client-certificate-required',
    byHand: /handshake failure|certificate required/,
  },
  {
    name: 'openssl s_server -Verify -tls1_2',
    problem: openssl,
    start: () => startOpenssl('-Verify', '1', '-tls1_2'),
    finding: 'client-certificate-required',
    byHand: /handshake failure/,
  },
  {
    name: 'openssl s_server with Camellia only',
    problem: openssl,
    start: () => startOpenssl('-tls1_2', '-cipher', 'CAMELLIA256:@SECLEVEL=0'),
    finding: 'node-defaults',
    isInsecureEnough: true,
    byHand: /handshake failure/,
  },
  {
    name: 'openssl s_server without encryption',
    problem: openssl,
    start: () => startOpenssl('-tls1_2', '-cipher', 'NULL:@SECLEVEL=0'),
    finding: 'node-defaults',
    isInsecureEnough: true,
    byHand: /handshake failure/,
  },
  {
    name: 'openssl s_server with CCM only',
    problem: openssl,
    start: () => startOpenssl('-tls1_3', '-ciphersuites', 'TLS_AES_128_CCM_8_SHA256'),
    finding: 'node-defaults',
    isInsecureEnough: true,
    byHand: /handshake failure/,
  },
  {
    name: 'openssl s_server with a pre-shared key only',
    problem: openssl,
    start: () => startOpenssl('-psk', '1a2b', '-nocert'),
    finding: 'nothing-in-common',
    byHand: /handshake failure/,
  },
  {
    name: 'openssl s_server -servername_fatal',
    problem: openssl,
    start: () => {
      const folder = folderWithCertificate()
      const files = ['-cert2', join(folder, 'cert.pem'), '-key2', join(folder, 'key.pem')]
      return startOpenssl('-servername', 'other.example', '-servername_fatal', ...files)
    },
    finding: 'name-refused',
    byHand: /unrecognized name/,
  },
  {
    name: 'haproxy with verify required',
    problem: haproxy,
    start: () => startHaproxy(`ca-file ${authority()} verify required`),
    finding: 'client-certificate-required',
    byHand: /handshake failure|certificate required/,
  },
  {
    name: 'haproxy with strict-sni',
    problem: haproxy,
    start: () => {
      const file = join(folderWithCertificate(), 'list')
      writeFileSync(file, `${join(folderWithCertificate(), 'both.pem')} intern.example\n`)
      return startHaproxy(`crt-list ${file} strict-sni`, '', '')
    },
    finding: 'name-refused',
    byHand: /unrecognized name|handshake failure/,
  },
  {
    name: 'nginx with ssl_reject_handshake',
    problem: nginx,
    start: () => startNginx('listen $PORT ssl; ssl_reject_handshake on;'),
    finding: 'name-refused',
    byHand: /unrecognized name/,
  },
  {
    name: 'a Go server with RequireAnyClientCert',
    problem: go,
    start: () => startGo('on', 'require-certificate'),
    finding: 'client-certificate-required',
    byHand: /bad certificate|certificate required/,
  },
  {
    name: 'a Go server that speaks TLS 1.1',
    problem: go,
    start: () => startGo('on', 'old'),
    finding: 'old-versions-only',
    isInsecureEnough: true,
    byHand: /protocol version|unsupported protocol|legacy sigalg|internal error/,
  },
  {
    name: 'a Go server whose GetConfigForClient fails',
    problem: go,
    start: () => startGo('on', 'fail'),
    finding: 'handshake-refused',
    byHand: /internal error/,
  },
]

describe('a TLS server that refuses is one: sslctx doctor names the cause, ends with 1, and s_client fails too, on', () => {
  for (const { name, problem, start, finding, isInsecureEnough, byHand } of servers)
    peerTest(name, problem, async () => {
      const port = await start()
      const args = [`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '1']
      const report = await doctor(...args)
      expect([report.exitCode, ...findingsOf(report)]).toEqual([1, `problem ${finding}`])
      const text = (await run(['doctor', ...args])).stdout
      expect(text.split('\n')[0]).toBe(`${NAME}: A TLS server answers, and no handshake succeeds. 1 problem`)
      expect(text.includes('--insecure')).toBe(isInsecureEnough === true)
      expect(await handshakeByHand(port)).toMatch(byHand)
      const insecure = await doctor(...args, '--insecure')
      expect(insecure.methods.some(({ support }) => support !== 'failed')).toBe(isInsecureEnough === true)
    })

  peerTest('a Go server, of the client certificate that it does not trust', go, async () => {
    const folder = folderWithCertificate()
    const own = ['--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem')]
    const port = await startGo('on', 'trust-nobody')
    const report = await doctor(`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '1', ...own)
    // In TLS 1.3 its alert comes when the handshake is over for the client, and then it resets.
    expect([report.exitCode, ...findingsOf(report)]).toEqual([1, 'problem client-certificate-refused'])
  })

  peerTest('openssl s_server, of the client certificate that it does not trust', openssl, async () => {
    const folder = folderWithCertificate()
    const files = ['-keyout', join(folder, 'k.pem'), '-out', join(folder, 'c.pem')]
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=x', ...files], {
      stdio: 'ignore',
    })
    const port = await startOpenssl('-Verify', '1', '-CAfile', authority(), '-verify_return_error')
    const own = ['--cert', join(folder, 'c.pem'), '--key', join(folder, 'k.pem')]
    const report = await doctor(`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '1', ...own)
    expect([report.exitCode, ...findingsOf(report)]).toEqual([1, 'problem client-certificate-refused'])
  })

  for (const count of [1, 4, 10])
    peerTest(`openssl s_server -naccept ${count}, which ends then`, openssl, async () => {
      // The test itself has looked whether it listens.
      const port = await startOpenssl('-naccept', String(count + 1))
      const report = await doctor(`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '2')
      const hasResumed = report.trials.some(({ outcome }) => outcome === 'resumed')
      const severity = hasResumed ? 'warning' : 'problem'
      expect(findingsOf(report)).toContain(`${severity} handshakes-fail`)
      expect(report.exitCode).toBe(hasResumed ? 0 : 1)
    })

  peerTest(
    'a server that speaks one version to clients that offer it alone, and fails with those that offer both',
    openssl,
    async () => {
      const { privateKey, cert } = shortKey()
      const { port } = await startStock({
        server: { secureOptions: 0, key: privateKey, cert, ciphers: 'ALL:@SECLEVEL=0', ca: certificate.cert },
      })
      const report = await doctor(`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '1')
      expect(findingsOf(report)[0]).toBe('problem both-versions-refused')
      expect(report.exitCode).toBe(1)
    },
  )
})

/** Of 512 bits, which is too short for the signatures of TLS 1.3. */
function shortKey(): { readonly privateKey: string; readonly cert: string } {
  const folder = folderWithCertificate()
  const [key, cert] = [join(folder, 'k.pem'), join(folder, 'c.pem')]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:512', '-nodes', '-subj', '/CN=x', '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  )
  return { privateKey: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}
