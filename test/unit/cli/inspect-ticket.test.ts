import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { KeyRing, ServerSessions } from '../../../src/index.ts'
import { folderWithCertificate } from '../../tools/foreign-servers.ts'
import { certificate, connect, greet, listen } from '../../tools/node-servers.ts'
import { V1, V3 } from '../../tools/session-fields.ts'
import { startTicketed } from '../../tools/ticket-servers.ts'
import { type Run, run } from './run-command.ts'

const secret = randomBytes(32)
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folderWithCertificate(), name)
  writeFileSync(path, content)
  return path
}

async function sessionOf(sessionIdContext?: string): Promise<Buffer> {
  const harness = await startTicketed(
    { context: { ...(sessionIdContext && { sessionIdContext }) } },
    new KeyRing([secret]),
  )
  return (await connect(harness)).session!
}

function inspect(session: Uint8Array, ...args: string[]): Promise<Run> {
  async function* stdin(): AsyncGenerator<Uint8Array> {
    yield session
  }
  return run(['inspect', '-', ...args], { stdin: stdin() })
}

const hex = secret.toString('hex')
const base64 = secret.toString('base64')

describe('sslctx inspect --secret-file has the rule of ServerSessions for text', () => {
  test.each([
    ['hexadecimal that lost a digit', hex.slice(1)],
    ['hexadecimal that lost two', hex.slice(2)],
    ['hexadecimal that lost its end', hex.slice(0, 48)],
    ['hexadecimal that lost a digit, of 64 bytes', `${hex}${hex}`.slice(1)],
    ['base64 that lost a character of its beginning', base64.slice(1)],
    ['base64 that lost its end', base64.slice(0, -2)],
    ['base64 with bits that no encoder sets', `${base64.slice(0, -2)}B=`],
  ])('and refuses %s in the same words, without quoting it', async (_title, text) => {
    let expected = ''
    try {
      new ServerSessions({ name: 'shop', secrets: [text] })
    } catch (error) {
      expected = (error as Error).message.replace('secret 0', 'the secret')
    }
    expect(expected).not.toBe('')
    const { exitCode, stderr } = await inspect(V3, '--secret-file', file('lost', `${text}\n`))
    expect([exitCode, stderr]).toEqual([
      2,
      `sslctx: --secret-file: ${expected}. See 'sslctx inspect --help'.\n`,
    ])
    expect(stderr).not.toContain(text.slice(10, 40))
  })

  test.each([
    ['hexadecimal in capitals', hex.toUpperCase()],
    ['base64url', secret.toString('base64url')],
    ['base64url with padding', `${secret.toString('base64url')}=`],
  ])('and takes %s', async (_title, text) => {
    expect(() => new ServerSessions({ name: 'shop', secrets: [text] })).not.toThrow()
    const { stdout } = await inspect(await sessionOf(), '--secret-file', file('good', text))
    expect(stdout).toContain('In its ticket, as the server finds it:')
  })
})

describe('sslctx inspect --secret-file opens a ticket of attachServer({ tickets })', () => {
  test.each([
    ['bytes', secret],
    ['hexadecimal digits', `${secret.toString('hex')}\n`],
    ['base64', `${secret.toString('base64')}\n`],
    ['digits behind a byte order mark', `\ufeff${secret.toString('hex')}\r\n`],
    ['digits in UTF-16', Buffer.from(`\ufeff${secret.toString('hex')}\r\n`, 'utf16le')],
  ])('with a secret as %s', async (form, content) => {
    const session = await sessionOf()
    const path = file(form.replaceAll(' ', '-'), content)
    const { stdout, exitCode } = await inspect(session, '--secret-file', path)
    expect(stdout).toContain('In its ticket, as the server finds it:')
    expect(stdout).toMatch(/Full handshake: \d{4}-\d\d-\d\dT/)
    expect(stdout).toContain("Client's chain ends: never, it has none")
    expect(stdout.match(/Resumption PSK: \(48 bytes; --secrets shows them\)/g)).toHaveLength(2)
    expect(exitCode).toBe(0)
  })

  test('of a server with a session id context, with its name, and with no other', async () => {
    const session = await sessionOf('shop')
    const path = file('secret', secret)
    const named = await inspect(session, '--secret-file', path, '--name', 'shop', '--json')
    expect(JSON.parse(named.stdout)).toMatchObject({
      inTicket: {
        isOpened: true,
        authenticatedAtSec: expect.any(Number),
        chainEndSec: null,
        protocol: 'TLSv1.3',
        masterKey: { bytes: 48 },
      },
    })
    for (const args of [[], ['--name', 'bank']]) {
      const { stdout, exitCode } = await inspect(session, '--secret-file', path, ...args)
      expect(stdout).toContain('Its ticket: does not open with this secret and name')
      expect(exitCode).toBe(1)
    }
    expect(JSON.parse((await inspect(session, '--secret-file', path, '--json')).stdout)).toMatchObject({
      inTicket: { isOpened: false },
    })
  })

  test('of ServerSessions with a name that is longer than a session id context', async () => {
    const name = 'a-service-name-of-more-than-thirty-two-bytes'
    const sessions = new ServerSessions({ name, secrets: [secret] })
    const server = greet({ ...certificate, ...sessions.serverOptions() })
    sessions.attach(server)
    const { session } = await connect({ port: await listen(server) })
    const { stdout } = await inspect(session!, '--secret-file', file('secret', secret), '--name', name)
    expect(stdout).toContain('In its ticket, as the server finds it:')
  })

  test('and says that there is none, or that the secret is wrong', async () => {
    const path = file('secret', secret)
    expect((await inspect(V1, '--secret-file', path)).stdout).toContain('Its ticket: it has none')
    expect(JSON.parse((await inspect(V1, '--secret-file', path, '--json')).stdout)).toMatchObject({
      inTicket: null,
    })
    const other = await inspect(await sessionOf(), '--secret-file', file('other', randomBytes(32)))
    expect([other.exitCode, other.stdout.includes('does not open')]).toEqual([1, true])
  })

  test.each([
    ['a weak secret', () => ['--secret-file', file('weak', Buffer.alloc(32))], '--secret-file: '],
    ['no file', () => ['--secret-file', 'no-such-file'], '--secret-file: cannot read'],
    ['an empty file', () => ['--secret-file', file('empty', '')], '--secret-file: the file is empty'],
    [
      'the secret itself',
      () => ['--secret-file', secret.toString('hex')],
      '--secret-file: cannot read what was given',
    ],
    ['a name alone', () => ['--name', 'shop'], '--name needs --secret-file'],
  ])('and refuses %s', async (_title, args, message) => {
    const { stderr, exitCode } = await inspect(V3, ...args())
    expect([stderr.includes(message), exitCode]).toEqual([true, 2])
    expect(stderr).not.toContain(secret.toString('hex'))
  })
})
