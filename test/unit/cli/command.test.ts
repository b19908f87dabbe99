import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parseTarget } from '../../../src/cli/target.ts'
import { wrap } from '../../../src/cli/terminal.ts'
import { ServerSessions } from '../../../src/index.ts'
import { folderWithCertificate } from '../../tools/foreign-servers.ts'
import { run } from './run-command.ts'

const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))

describe('sslctx', () => {
  test.each(['--help', '-h', 'doctor --help', 'inspect -h', 'bench x:1 --help'])(
    'helps with %s',
    async (line) => {
      const { exitCode, stdout, stderr } = await run(line.split(' '))
      expect([exitCode, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/^sslctx/)
      expect(stdout.split('\n').filter(({ length }) => length > 120)).toEqual([])
    },
  )

  test.each(['doctor', 'inspect', 'bench', 'secret'])(
    'takes every option that the help of %s names, and no other',
    async (command) => {
      const { stdout } = await run([command, '--help'])
      const named = new Set([...stdout.matchAll(/--([a-z-]+)/g)].map(([, name]) => name))
      named.delete('help')
      for (const name of named) expect((await run([command, `--${name}`])).stderr).not.toContain('Unknown')
      expect((await run([command, '--nonsense'])).stderr).toBe(
        `sslctx: Unknown option '--nonsense'. See 'sslctx ${command} --help'.\n`,
      )
    },
  )

  test.each([
    [[], /^sslctx: TLS session resumption/],
    [['dcotor'], "there is no command 'dcotor'"],
    [['doctor'], 'doctor needs a HOST'],
    [['doctor', 'http://shop.example/'], "'http://' does not begin with TLS"],
    [['doctor', 'https:///'], "'https://' is not HOST[:PORT]"],
    [['doctor', 'x:65536'], "'x:65536' is not HOST[:PORT]: a port is a number from 1 to 65535"],
    [['bench', '[::1]:123456'], 'a port is a number from 1 to 65535'],
    [['inspect', 'x:0'], 'a port is a number from 1 to 65535'],
    [['doctor', 'imaps://x', '--starttls', 'imap'], "'imaps://' begins with TLS: leave --starttls out"],
    [['inspect', 'https://x', '--starttls', 'smtp'], "'https://' begins with TLS"],
    [['bench', 'smtps://x', '--starttls', 'smtp'], "'smtps://' begins with TLS"],
    [['doctor', 'x:1', '--attempts', '0'], '--attempts must be a whole number from 1 to 1000'],
    [['doctor', 'x:1', '--attempts', '1.5'], '--attempts must be a whole number'],
    [['doctor', 'x:1', '--wait', 'soon'], '--wait must be a number'],
    [['doctor', 'x:1', '--servername'], "Option '--servername <value>' argument missing."],
    [['doctor', 'x:1', '--timeout', ''], '--timeout must be a number'],
    [['doctor', 'x:1', '--servername', '192.0.2.1'], '--servername must be a name'],
    [['doctor', 'x:1', '--other-servername', '2001:db8::1'], '--other-servername must be a name'],
    [['doctor', 'x:1', '--other-servername', 'X.'], '--other-servername must be another name than x'],
    [['doctor', '127.0.0.1:1', '--cert', 'a.pem'], '--cert and --key go together'],
    [['doctor', '127.0.0.1:1', '--ca', '/no/such/file'], "--ca: cannot read '/no/such/file' (ENOENT)"],
    [['inspect'], 'inspect needs one FILE'],
    [['inspect', 'a', 'b'], 'inspect needs one FILE'],
    [['inspect', '/no/such/file'], "cannot read '/no/such/file' (ENOENT)"],
    [['bench'], 'bench needs one HOST:PORT'],
    [['secret', '64'], 'secret takes no arguments'],
    [['bench', 'x:1', '--protocol', '1.1'], '--protocol must be 1.2 or 1.3'],
    [['bench', 'x:1', '--connections', '1e9'], '--connections must be a whole number from 1 to 1000'],
  ] as const)('ends with 2 and says what is wrong with %j', async (args, message) => {
    const { exitCode, stdout, stderr } = await run(args)
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(stderr).toEqual(
      typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
    )
  })

  test('prints a secret that ServerSessions takes, and another one each time', async () => {
    const [one, other] = [await run(['secret']), await run(['secret'])]
    expect(one).toEqual({ exitCode: 0, stderr: '', stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) })
    expect(one.stdout).not.toBe(other.stdout)
    const secrets = [one, other].map(({ stdout }) => stdout.trim())
    expect(() => new ServerSessions({ name: 'shop', secrets })).not.toThrow()
  })

  test('refuses a client certificate that is none, without quoting the file', async () => {
    const folder = folderWithCertificate()
    const files = ['--cert', `${folder}/key.pem`, '--key', `${folder}/key.pem`]
    const { exitCode, stderr } = await run(['doctor', '127.0.0.1:1', ...files])
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('must be PEM')])
    expect(stderr).not.toContain('PRIVATE')
  })

  test.each([
    ['the secret as a file', 'inspect', 'x:1', '--secret-file'],
    ['a key as a file', 'doctor', '127.0.0.1:1', '--cert', 'a.pem', '--key'],
    ['a session as a server', 'inspect'],
    ['a session as a name', 'doctor', 'x:1', '--servername'],
    ['a number', 'doctor', 'x:1', '--attempts'],
  ])('quotes nothing that may be a secret: %s', async (_title, ...args) => {
    const bytes = Buffer.from(Array.from({ length: 150 }, (_, index) => (index * 37 + 11) % 251))
    const pem = `-----BEGIN PRIVATE KEY-----\n${bytes.toString('base64')}\n`
    for (const secret of [
      pem,
      ...(['hex', 'base64', 'base64url'] as const).map((form) => bytes.toString(form)),
    ]) {
      const { exitCode, stderr } = await run([...args, secret])
      expect([exitCode, stderr]).toEqual([2, expect.not.stringContaining(secret.slice(30, 60))])
    }
  })

  test('quotes no password', async () => {
    const { exitCode, stderr } = await run(['doctor', 'user:hunter2@shop.example:x'])
    expect([exitCode, stderr]).toEqual([2, expect.not.stringContaining('hunter2')])
  })

  test('ends with 3 when the name has no address', async () => {
    const { exitCode, stderr } = await run(['doctor', 'sslctx.invalid'])
    expect([exitCode, stderr]).toEqual([3, 'sslctx: sslctx.invalid has no address\n'])
  })

  test('gives its exit code to the process', async () => {
    const node = (...args: string[]): Promise<unknown> =>
      promisify(execFile)(process.execPath, ['--import', 'tsx', main, ...args])
    await expect(node('--help')).resolves.toMatchObject({ stderr: '' })
    await expect(node('inspect', '/no/such/file')).rejects.toMatchObject({ code: 2, stdout: '' })
  })
})

test.each([
  ['shop.example', 'shop.example', 443],
  ['shop.example:8443', 'shop.example', 8443],
  ['192.0.2.1:1', '192.0.2.1', 1],
  ['2001:db8::1', '2001:db8::1', 443],
  ['[2001:db8::1]', '2001:db8::1', 443],
  ['[2001:db8::1]:8443', '2001:db8::1', 8443],
])('%s is host %s, port %i', (text, host, port) => {
  expect(parseTarget(text)).toEqual({ host, port })
})

test.each(['', ':443', 'a:0', 'a:65536', 'a:b', 'a b', 'https://', 'https://a:b', 'a/b', '[a', '::1]:1'])(
  '%j is no target',
  (text) => {
    expect(() => parseTarget(text)).toThrow(/is not HOST\[:PORT\]/)
  },
)

test('text is broken at spaces, before column 100', () => {
  const lines = wrap('word '.repeat(50).trim(), '  ').trimEnd().split('\n')
  expect(lines.map(({ length }) => length)).toEqual([96, 96, 61])
  expect(wrap('x'.repeat(120), '')).toBe(`${'x'.repeat(120)}\n`)
})
