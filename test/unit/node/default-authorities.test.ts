import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, describe, expect, test } from 'vitest'
import { MemoryStore, storeCallbacks } from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  certificate,
  connect,
  type Harness,
  reasons,
  start,
  type Version,
  versions,
} from '../../tools/node-servers.ts'
import { forkScript, nextMessage } from '../../tools/server-process.ts'
import { startStoreServer } from '../../tools/shared-store.ts'
import type { FromTrusting, StartTrusting } from './default-authorities-server.ts'

/** `requestCert` without `ca` means the authorities that Node trusts by default, whatever those are. */

const [authority, successor] = await Promise.all(
  ['authority', 'successor'].map((name) => makeCertificate(name, { isAuthority: true })),
)
const client = { ...(await makeCertificate('client', { ca: authority! })), rejectUnauthorized: false }

const folder = mkdtempSync(join(tmpdir(), 'sslctx-authorities-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = (name: string, content: string): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}
const AUTHORITY_FILE = file('authority.pem', authority!.cert)
const SUCCESSOR_FILE = file('successor.pem', successor!.cert)

type Environment = Readonly<Record<string, string>>

/** A server in a process of its own, since Node reads the environment once. */
async function startTrusting(
  environment: Environment,
  start: Omit<StartTrusting, 'certificate'>,
  execArgv: readonly string[] = [],
): Promise<{ readonly port: number; readonly child: ChildProcess }> {
  const child = forkScript(new URL('./default-authorities-server.ts', import.meta.url), {
    env: environment,
    execArgv,
    stdout: 'ignore',
  })
  afterTest(() => child.kill())
  child.send({ certificate, ...start } satisfies StartTrusting)
  const { port } = await nextMessage<FromTrusting>(child)
  return { port, child }
}

/** Whether what was made by one server resumes on the other. */
async function crosses(
  version: Version,
  first: readonly [environment: Environment, execArgv?: readonly string[]],
  second: readonly [environment: Environment, execArgv?: readonly string[]],
): Promise<boolean> {
  const store = await startStoreServer()
  afterTest(() => store.close())
  const settings = { storePort: store.port, version }
  const [maker, user] = [
    await startTrusting(first[0], settings, first[1]),
    await startTrusting(second[0], settings, second[1]),
  ]
  const { session } = await connect(maker, undefined, client)
  return (await connect(user, session, client)).resumed
}

describe.each(versions)(
  '%s: without ca, a session is good only where the same authorities are trusted by default',
  (version) => {
    const extra = (path: string): Environment => ({ NODE_EXTRA_CA_CERTS: path })

    test('in processes with the same environment', async () => {
      expect(await crosses(version, [extra(AUTHORITY_FILE)], [extra(AUTHORITY_FILE)])).toBe(true)
    })

    test('not in one without NODE_EXTRA_CA_CERTS', async () => {
      expect(await crosses(version, [extra(AUTHORITY_FILE)], [{}])).toBe(false)
    })

    test('not in one with other NODE_EXTRA_CA_CERTS', async () => {
      expect(await crosses(version, [extra(AUTHORITY_FILE)], [extra(SUCCESSOR_FILE)])).toBe(false)
    })

    test('in one whose NODE_EXTRA_CA_CERTS is another file with the same certificates', async () => {
      const copy = file('copy.pem', authority!.cert)
      expect(await crosses(version, [extra(AUTHORITY_FILE)], [extra(copy)])).toBe(true)
    })

    test('not in one that trusts what OpenSSL trusts', async () => {
      const openssl = { ...extra(AUTHORITY_FILE), SSL_CERT_FILE: SUCCESSOR_FILE, SSL_CERT_DIR: folder }
      expect(await crosses(version, [extra(AUTHORITY_FILE)], [openssl, ['--use-openssl-ca']])).toBe(false)
    })
  },
)

/** Later lines of Node have it. */
type LaterTls = typeof tls & {
  setDefaultCACertificates?(certificates: readonly string[]): void
  getCACertificates?(type: 'default'): readonly string[]
}
const { setDefaultCACertificates, getCACertificates } = tls as LaterTls

describe.each(versions)('%s: tls.setDefaultCACertificates', (version) => {
  const problem =
    setDefaultCACertificates === undefined ? `Node ${process.versions.node} does not have it` : undefined

  const trusting = (...authorities: readonly string[]): void => {
    const before = getCACertificates?.('default') ?? []
    afterTest(() => setDefaultCACertificates?.(before))
    setDefaultCACertificates?.(authorities)
  }

  const servers = (): Promise<readonly [Harness, () => Promise<Harness>]> => {
    const context = { sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) }
    const server = { minVersion: version, maxVersion: version, requestCert: true }
    const another = (): Promise<Harness> => start({ context, server })
    return another().then((first) => [first, another] as const)
  }

  // Not a peer, but just as absent: Node 20 has none.
  const whereItIs = (title: string, run: () => Promise<void>): void => {
    if (problem === undefined) test(title, run)
    else test.skip(`${title} (${problem})`, run)
  }

  whereItIs('ends what was made before, once the server is renewed', async () => {
    trusting(authority!.cert)
    const [harness] = await servers()
    const { session } = await connect(harness, undefined, client)
    expect((await connect(harness, session, client)).resumed).toBe(true)
    trusting(successor!.cert)
    harness.server.setSecureContext({ ...certificate, minVersion: version, maxVersion: version })
    const visit = await connect(harness, session, client).catch(() => undefined)
    expect(visit?.resumed ?? false).toBe(false)
    expect(harness.handshakes.map(({ outcome }) => outcome).slice(2)).not.toContain('resumed')
  })

  whereItIs('ends what was made before, for a server that is made after it', async () => {
    trusting(authority!.cert)
    const [first, another] = await servers()
    const { session } = await connect(first, undefined, client)
    trusting(successor!.cert)
    const second = await another()
    await connect(second, session, client).catch(() => undefined)
    expect(reasons(second)).not.toContain('external')
    expect(second.handshakes.map(({ outcome }) => outcome)).not.toContain('resumed')
  })

  whereItIs('leaves alone what was made under the same ones', async () => {
    trusting(authority!.cert, successor!.cert)
    const [first, another] = await servers()
    const { session } = await connect(first, undefined, client)
    trusting(successor!.cert, authority!.cert)
    expect((await connect(await another(), session, client)).resumed).toBe(true)
  })

  whereItIs('ends what a name of addContext has, without ca of its own', async () => {
    trusting(authority!.cert)
    const [first, another] = await servers()
    const name = { servername: 'other.example', ...client }
    const own = await makeCertificate('other.example')
    first.server.addContext('other.example', own)
    const { session } = await connect(first, undefined, name)
    trusting(successor!.cert)
    const second = await another()
    second.server.addContext('other.example', own)
    await connect(second, session, name).catch(() => undefined)
    expect(second.handshakes.map(({ outcome }) => outcome)).not.toContain('resumed')
  })
})
