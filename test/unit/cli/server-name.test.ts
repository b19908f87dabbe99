import { describe, expect, test } from 'vitest'
import { serverName } from '../../../src/cli/server-name.ts'
import { parseTarget } from '../../../src/cli/target.ts'
import { UsageError } from '../../../src/cli/usage.ts'
import { start } from '../../tools/node-servers.ts'
import { doctor } from './run-command.ts'

describe('a server name is put into the form of SNI (RFC 6066 §3)', () => {
  test.each([
    ['shop.example', 'shop.example'],
    ['SHOP.Example', 'shop.example'],
    ['shop.example.', 'shop.example'],
    ['münchen.example', 'xn--mnchen-3ya.example'],
    ['xn--mnchen-3ya.example', 'xn--mnchen-3ya.example'],
    ['例え.テスト', 'xn--r8jz45g.xn--zckzah'],
    ['ＡＢＣ.example', 'abc.example'],
    ['a_b.example', 'a_b.example'],
    ['localhost', 'localhost'],
    [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  ])('%s', (text, name) => {
    expect(serverName(text, '--servername')).toBe(name)
  })

  test.each([
    ['192.0.2.1', 'got the address'],
    ['2001:db8::1', 'got the address'],
    ['[2001:db8::1]', 'got the address'],
    ['0x7f.1', 'is the address 127.0.0.1'],
    ['1', 'is the address 0.0.0.1'],
    ['', 'is empty'],
    ['.', 'is empty'],
    ['a..b', 'empty label'],
    ['.a', 'empty label'],
    ['a b', 'characters'],
    ['a%2eb', 'characters'],
    ['a/b', 'characters'],
    ['a@b', 'characters'],
    ['*.example', 'characters'],
    ['\u202ea.b', 'IDNA'],
    [`${'a'.repeat(64)}.example`, 'a label of 64 characters'],
    [`${'a.'.repeat(127)}aa`, 'more than 253'],
  ])('%j cannot be one', (text, why) => {
    expect(() => serverName(text, '--servername')).toThrow(UsageError)
    expect(() => serverName(text, '--servername')).toThrow(why)
  })

  test('wherever one enters: HOST, --servername, --other-servername', async () => {
    const names = new Set<string | undefined>()
    const { port } = await start({ attach: { onHandshake: ({ serverName }) => void names.add(serverName) } })
    const address = ['--address', `127.0.0.1:${port}`, '--attempts', '1']
    await doctor('münchen.example.', ...address, '--other-servername', 'Zürich.example.')
    expect(names).toEqual(new Set(['xn--mnchen-3ya.example', 'xn--zrich-kva.example']))
    names.clear()
    await doctor('x.example', ...address, '--servername', 'Bücher.example.')
    expect(names).toEqual(new Set(['xn--bcher-kva.example', 'sslctx-doctor.invalid']))
  })
})

test.each([
  ['https://shop.example', 'shop.example', 443],
  ['https://shop.example:8443/path?query#fragment', 'shop.example', 8443],
  ['HTTPS://user:secret@shop.example/', 'shop.example', 443],
  ['https://[::1]:443', '::1', 443],
  ['https://[::1]/', '::1', 443],
  ['wss://shop.example/socket', 'shop.example', 443],
  ['rediss://cache.example', 'cache.example', 6379],
  ['imaps://mail.example', 'mail.example', 993],
  ['[::1]:443', '::1', 443],
  ['[fe80::1%eth0]:443', 'fe80::1%eth0', 443],
  ['münchen.example:444', 'xn--mnchen-3ya.example', 444],
])('%s is host %s, port %i', (text, host, port) => {
  expect(parseTarget(text)).toEqual({ host, port })
})

test.each(['http://shop.example', 'ftp://x', 'ssh://x'])('%s does not begin with TLS', (text) => {
  expect(() => parseTarget(text)).toThrow('does not begin with TLS')
})

test('what is wrong with a URL is said without its password', () => {
  expect(() => parseTarget('https://user:secret@shop.example:99999/')).toThrow(/^(?!.*secret)/)
})
