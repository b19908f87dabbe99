import type { LookupAddress } from 'node:dns'
import net from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import type { ErrorReport } from '../../../src/cli/usage.ts'
import { openssl } from '../../tools/doctor-peers.ts'
import { startOpenssl } from '../../tools/foreign-servers.ts'
import { afterTest, certificate, listen, start, startStock } from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'
import { freePort } from '../../tools/server-process.ts'
import { V1 } from '../../tools/session-fields.ts'
import { type Run, run } from './run-command.ts'

type Lookup = (host: string, options: { readonly all: true }) => Promise<LookupAddress[]>
const { lookup } = vi.hoisted(() => ({ lookup: vi.fn<Lookup>() }))
vi.mock('node:dns/promises', async (original) => {
  const real = await original<typeof import('node:dns/promises')>()
  lookup.mockImplementation((host, options) => real.lookup(host, options))
  return { ...real, lookup }
})

const errorOf = ({ stdout }: Run): ErrorReport => JSON.parse(stdout) as ErrorReport

/** Says so much to each connection, and waits. */
function startSaying(words: string): Promise<number> {
  const sockets = new Set<net.Socket>()
  afterTest(() => {
    for (const socket of sockets) socket.destroy()
  })
  return listen(
    net.createServer((socket) => {
      sockets.add(socket.on('error', () => undefined))
      if (words !== '') socket.write(words)
    }),
  )
}

const places: readonly (readonly [
  title: string,
  target: () => Promise<string>,
  code: ErrorReport['error']['code'],
  cause: RegExp,
])[] = [
  [
    'the connection is refused',
    async () => `127.0.0.1:${await freePort()}`,
    'endpoint-unreachable',
    /^ECONNREFUSED$/,
  ],
  ['the name has no address', async () => 'sslctx.invalid', 'no-address', /^(ENOTFOUND|EAI_AGAIN)$/],
  ['nothing comes in time', async () => `127.0.0.1:${await startSaying('')}`, 'silent', /^ERR_TIMEOUT$/],
  ['SSH is spoken', async () => `127.0.0.1:${await startSaying('SSH-2.0-x\r\n')}`, 'no-tls', /^ERR_SSL_/],
]

describe.each(['doctor', 'inspect', 'bench'])('sslctx %s --json', (command) => {
  for (const [title, target, code, cause] of places)
    test(`writes one document with a code where ${title}, and ends as without it`, async () => {
      const args = [command, await target(), '--timeout', '0.3']
      const result = await run([...args, '--json'])
      const { exitCode, error, time } = errorOf(result)
      expect(result.stdout.trimEnd().split('\n')).toHaveLength(1)
      expect([result.exitCode, exitCode, error.code]).toEqual([3, 3, code])
      expect(error.cause).toMatch(cause)
      expect(error.message).toMatch(/\w/)
      expect(Number.isNaN(Date.parse(time))).toBe(false)
      expect((await run(args)).exitCode).toBe(3)
    })

  test('writes one for wrong usage, too', async () => {
    const result = await run([command, 'x:1', '--timeout', 'soon', '--json'])
    expect([result.exitCode, errorOf(result)]).toMatchObject([2, { exitCode: 2, error: { code: 'usage' } }])
    expect(result.stderr).toContain(errorOf(result).error.message)
  })
})

describe('sslctx inspect and bench --json', () => {
  test.each(['inspect', 'bench'])(
    '%s: a TLS server that refuses has the code of its finding',
    async (command) => {
      const { port } = await startStock({
        server: { secureOptions: 0, requestCert: true, rejectUnauthorized: true, ca: certificate.cert },
      })
      const result = await run([command, `127.0.0.1:${port}`, '--json'])
      expect([result.exitCode, errorOf(result)]).toMatchObject([
        1,
        { exitCode: 1, error: { code: 'client-certificate-required' } },
      ])
    },
  )

  test.each([
    ['inspect', '1.2', 'TLSv1.3'],
    ['inspect', '1.3', 'TLSv1.2'],
    ['bench', '1.2', 'TLSv1.3'],
    ['bench', '1.3', 'TLSv1.2'],
  ] as const)(
    '%s --protocol %s: a server of the other version alone is said to speak that',
    async (command, asked, has) => {
      const { port } = await startStock({ server: { minVersion: has, maxVersion: has } })
      const result = await run([command, `127.0.0.1:${port}`, '--protocol', asked, '--json'])
      expect([result.exitCode, errorOf(result).error.code]).toEqual([1, 'version-refused'])
      expect(result.stderr).toContain(`does not speak TLS ${asked}`)
      expect(result.stderr).toContain(`--protocol ${has.slice(-3)}`)
    },
  )

  peerTest('inspect: so has one that gives no session', openssl, async () => {
    const port = await startOpenssl('-tls1_3', '-num_tickets', '0')
    const result = await run(['inspect', `127.0.0.1:${port}`, '--json'])
    expect([result.exitCode, errorOf(result).error.code]).toEqual([1, 'nothing-to-resume-with'])
  })

  test('inspect: what is no session is wrong usage, and is not quoted', async () => {
    async function* stdin(): AsyncGenerator<Uint8Array> {
      yield V1.subarray(0, 50)
    }
    const result = await run(['inspect', '-', '--json'], { stdin: stdin() })
    expect([result.exitCode, errorOf(result).error.code]).toEqual([2, 'usage'])
  })
})

test('without --json nothing is written to stdout where nobody answers', async () => {
  expect(await run(['inspect', `127.0.0.1:${await freePort()}`])).toMatchObject({ exitCode: 3, stdout: '' })
})

test('sslctx doctor --watch --json writes a line when the name has no address for once, and goes on', async () => {
  const { port } = await start()
  lookup.mockImplementationOnce(async () => [{ address: '127.0.0.1', family: 4 }])
  lookup.mockImplementationOnce(async () => {
    throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
  })
  lookup.mockImplementationOnce(async () => [{ address: '127.0.0.1', family: 4 }])
  const end = new AbortController()
  let lines = 0
  const { stdout, exitCode } = await run(
    ['doctor', `watched.example:${port}`, '--watch', '0.1', '--attempts', '1', '--json'],
    {
      interruption: end.signal,
      onWrite: (_text, stream) => {
        if (stream === 'stdout' && ++lines === 3) end.abort()
      },
    },
  )
  const documents = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Partial<ErrorReport>)
  expect(documents.map(({ error }) => error?.code)).toEqual([undefined, 'no-address', undefined])
  expect(exitCode).toBe(0)
})
