import net from 'node:net'
import { describe, expect, test } from 'vitest'
import { afterTest, listen } from '../../tools/node-servers.ts'
import { oddServers, rudeServers } from './odd-servers.ts'
import { type DoctorReport, doctor, run } from './run-command.ts'

/** Ends with the test, with all of its connections. */
async function serve(onConnection: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  afterTest(() => {
    for (const socket of sockets) socket.destroy()
  })
  return await listen(
    net.createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
      onConnection(socket)
    }),
  )
}

// Without a name, no session is offered under another one, which would take time and say nothing here.
const OPTIONS = ['--timeout', '0.4', '--attempts', '1']

const examine = (port: number, ...args: readonly string[]): Promise<DoctorReport> =>
  doctor(`127.0.0.1:${port}`, ...OPTIONS, ...args)

describe('of a server that lets no handshake succeed, sslctx doctor says why: one that', () => {
  for (const { name, serve: onConnection, finding, says, exitCode } of oddServers)
    test(name, async () => {
      const report = await examine(await serve(onConnection))
      const [first] = report.findings
      expect([first?.id, first?.severity, report.exitCode]).toEqual([finding, 'problem', exitCode])
      if (says)
        expect([first?.what, ...(first?.reasons ?? []), ...(first?.remedies ?? [])].join('\n')).toMatch(says)
    })
})

describe('a run ends within its time, and is no crash, with a server that', () => {
  for (const { name, serve: onConnection } of rudeServers)
    test(name, async () => {
      const report = await examine(await serve(onConnection), '--max-time', '8')
      expect([0, 1]).toContain(report.exitCode)
      expect(report.findings.map(({ id }) => id)).not.toContain('no-tls')
    }, 15_000)
})

test('what a server says in place of TLS writes nothing to the terminal', async () => {
  const port = await serve((socket) => void socket.end('\u001b[31m\u009b2J\u202ered'))
  for (const args of [[], ['--json']]) {
    const { stdout, stderr } = await run(['doctor', `127.0.0.1:${port}`, ...OPTIONS, ...args])
    expect(`${stdout}${stderr}`.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  }
})
