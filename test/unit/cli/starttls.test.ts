import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { StartTls } from '../../../src/cli/starttls.ts'
import { visibleBytes } from '../../../src/cli/wire.ts'
import { findingsOf, verdicts } from '../../tools/doctor.ts'
import { certificate, listen, NAME } from '../../tools/node-servers.ts'
import { doctor, run } from './run-command.ts'

/** What a server says first, and then to what it hears, in this order; the last answer is where TLS begins. */
interface Script {
  /** A client that does not wait for an answer sends TLS behind so many bytes. */
  readonly requestBytes?: number
  readonly greeting?: string | Buffer
  readonly turns: readonly (readonly [hears: RegExp, says: string | Buffer])[]
}

const hexOf = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const MYSQL_GREETING = Buffer.concat([
  hexOf('4a 00 00 00 0a'),
  Buffer.from('8.0.36\0'),
  hexOf('0b 00 00 00'),
  Buffer.from('saltsalt\0'),
  // The lower half of the capabilities, with CLIENT_SSL (0x0800).
  hexOf('ff ff'),
  Buffer.alloc(0x4a - (1 + 7 + 4 + 9 + 2)),
])

const scripts: Readonly<Record<StartTls, Script>> = {
  smtp: {
    greeting: '220-mail.example\r\n220 ESMTP\r\n',
    turns: [
      [/^EHLO \S+<0d><0a>$/, '250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n'],
      [/^STARTTLS<0d><0a>$/, '220 go ahead\r\n'],
    ],
  },
  imap: { greeting: '* OK ready\r\n', turns: [[/^a1 STARTTLS<0d><0a>$/, '* warming up\r\na1 OK begin\r\n']] },
  pop3: { greeting: '+OK ready\r\n', turns: [[/^STLS<0d><0a>$/, '+OK begin\r\n']] },
  ftp: { greeting: '220 ready\r\n', turns: [[/^AUTH TLS<0d><0a>$/, '234 begin\r\n']] },
  ldap: {
    turns: [[/1\.3\.6\.1\.4\.1\.1466\.20037/, hexOf('30 0c 02 01 01 78 07 0a 01 00 04 00 04 00')]],
  },
  xmpp: {
    turns: [
      [
        new RegExp(`<stream:stream to='${NAME}'`),
        "<?xml version='1.0'?><stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
      ],
      [/<starttls /, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"],
    ],
  },
  postgres: { turns: [[/^<00><00><00><08><04>Ò<16>\/$/, 'S']] },
  mysql: { requestBytes: 36, greeting: MYSQL_GREETING, turns: [[/^ <00><00><01>/, '']] },
}

/** @param last - in place of the last answer, after which no TLS begins */
function startScript({ greeting, turns, requestBytes }: Script, last?: string | Buffer): Promise<number> {
  const secureContext = tls.createSecureContext(certificate)
  return listen(
    net.createServer((socket) => {
      let turn = 0
      socket.on('error', () => undefined)
      if (greeting) socket.write(greeting)
      const onData = (chunk: Buffer): void => {
        const [hears, says = ''] = turns[turn++] ?? []
        if (hears?.test(visibleBytes(chunk.toString('latin1'))) !== true) return void socket.destroy()
        if (turn < turns.length) return void socket.write(says)
        if (last !== undefined) return void socket.end(last)
        socket.off('data', onData)
        socket.pause()
        socket.write(says)
        if (requestBytes !== undefined && chunk.length > requestBytes)
          socket.unshift(chunk.subarray(requestBytes))
        new tls.TLSSocket(socket, { isServer: true, secureContext }).on('error', () => undefined).resume()
      }
      socket.on('data', onData)
    }),
  )
}

const OPTIONS = ['--servername', NAME, '--attempts', '1', '--timeout', '2']

describe('sslctx doctor --starttls', () => {
  for (const [protocol, script] of Object.entries(scripts)) {
    test(`${protocol}: TLS begins after what the protocol wants`, async () => {
      const port = await startScript(script)
      const report = await doctor(`127.0.0.1:${port}`, '--starttls', protocol, ...OPTIONS)
      expect(verdicts(report)['tls13']).toBe('all')
      expect(report.client.startTls).toBe(protocol)
    })

    test(`${protocol}: a server that refuses is quoted, and ends the run with 3`, async () => {
      const port = await startScript(script, 'NO \u001b[31mway\r\n')
      const report = await doctor(`127.0.0.1:${port}`, '--starttls', protocol, ...OPTIONS)
      // MySQL has nothing to say to it: TLS begins at once.
      const expected = protocol === 'mysql' ? 'problem no-tls' : 'problem starttls-refused'
      expect([report.exitCode, ...findingsOf(report)]).toEqual([3, expected])
      const { stdout } = await run(['doctor', `127.0.0.1:${port}`, '--starttls', protocol, ...OPTIONS])
      expect(stdout).not.toContain('\u001b')
    })
  }

  test('a server of another protocol is named', async () => {
    const port = await startScript(scripts.pop3)
    const report = await doctor(`127.0.0.1:${port}`, '--starttls', 'smtp', ...OPTIONS, '--timeout', '0.3')
    expect([report.exitCode, ...findingsOf(report)]).toEqual([3, 'problem starttls-refused'])
    expect(report.findings[0]?.reasons.join()).toContain('sounds like POP3')
  })

  test('a server that greets, and does not answer, has said something', async () => {
    const port = await listen(
      net.createServer((socket) => void socket.on('error', () => undefined).write('220 hi\r\n')),
    )
    const report = await doctor(`127.0.0.1:${port}`, '--starttls', 'smtp', ...OPTIONS, '--timeout', '0.3')
    expect([report.exitCode, ...findingsOf(report)]).toEqual([3, 'problem silent'])
    expect(report.findings[0]?.what).toContain('says nothing that begins TLS by smtp')
    expect(report.findings[0]?.remedies.join()).not.toContain('say --starttls')
  })

  test('MySQL without TLS is told by its greeting', async () => {
    const greeting = Buffer.from(MYSQL_GREETING)
    greeting[5 + 7 + 4 + 9 + 1] = 0x00
    const port = await startScript({ greeting, turns: [] })
    const report = await doctor(`127.0.0.1:${port}`, '--starttls', 'mysql', ...OPTIONS)
    expect([report.exitCode, ...findingsOf(report)]).toEqual([3, 'problem starttls-refused'])
  })

  test('refuses a protocol that it does not know, with 2', async () => {
    const { exitCode, stderr } = await run(['doctor', 'x', '--starttls', 'gopher'])
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('--starttls must be smtp, imap,')])
  })
})
