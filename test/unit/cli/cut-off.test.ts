import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CutOffError } from '../../../src/cli/failure.ts'
import { generateLoad } from '../../../src/cli/load.ts'
import { afterTest, certificate, listen, NAME } from '../../tools/node-servers.ts'
import { type DoctorReport, doctor, run } from './run-command.ts'

const MAIN = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))
/** Longer than a test may take: whatever waits for it fails. */
const LONG = ['--timeout', '3600']

interface Hanging {
  readonly port: number
  readonly server: net.Server
  /** From now on, connections are accepted and nothing is said. */
  hang(): void
}

/**
 * A TLS server that hangs.
 *
 * @param served - how many connections it answers before
 */
async function startHanging(served: number, serve = greetOn): Promise<Hanging> {
  let left = served
  const sockets = new Set<net.Socket>()
  afterTest(() => {
    for (const socket of sockets) socket.destroy()
  })
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => undefined))
    if (left-- > 0) serve(socket)
    else server.emit('hung')
  })
  return {
    port: await listen(server),
    server,
    hang: () => {
      left = 0
    },
  }
}

const secureServer = tls.createServer(certificate, (socket) =>
  socket.on('error', () => undefined).end('hello'),
)

function greetOn(socket: net.Socket): void {
  secureServer.emit('connection', socket)
}

/** protocol_version, RFC 9846 §6.2. */
function refuse(socket: net.Socket): void {
  socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 70])))
}

const problemsOf = ({ findings }: DoctorReport): string[] =>
  findings
    .filter(({ severity }) => severity === 'problem' || severity === 'warning')
    .map(({ id, severity }) => `${severity} ${id}`)

describe('a handshake that --max-time cuts off', () => {
  test('is no failure, and nothing is said of it', async () => {
    const { port } = await startHanging(4)
    const report = await doctor(`127.0.0.1:${port}`, '--attempts', '1', '--max-time', '2', ...LONG)
    expect(report).toMatchObject({ isCutShort: true, failures: [], exitCode: 0 })
    expect(report.trials.filter(({ outcome }) => outcome === 'failed')).toEqual([])
    expect(problemsOf(report)).toEqual(['warning cut-short'])
  })

  test('is a problem, and its server not called silent, when nothing else was seen', async () => {
    const { port } = await startHanging(0)
    const args = [`127.0.0.1:${port}`, '--max-time', '1', ...LONG]
    const report = await doctor(...args)
    expect(report).toMatchObject({ methods: [], exitCode: 3, error: { code: 'cut-short' } })
    expect(report.endpoints).toEqual([{ endpoint: `127.0.0.1:${port}`, isCutOff: true }])
    expect(problemsOf(report)).toEqual(['problem cut-short'])
    const { stdout } = await run(['doctor', ...args])
    expect(stdout).toContain('Nothing was seen before the run was over.')
    expect(stdout).toContain('not looked at: the run was over')
    expect(stdout).not.toContain('No TLS server answers')
  })

  test('leaves it open whether that version would have succeeded', async () => {
    const { port } = await startHanging(2, refuse)
    const report = await doctor(`127.0.0.1:${port}`, '--max-time', '1', ...LONG)
    expect(report.methods.map(({ method, support }) => `${method} ${support}`)).toEqual([
      'tls12-id failed',
      'tls12-ticket failed',
    ])
    expect([report.exitCode, ...problemsOf(report)]).toEqual([1, 'problem cut-short'])
  })

  test('is cut off in the words before TLS, too', async () => {
    const { port } = await startHanging(1, (socket) => void socket.write('220-mail.example\r\n'))
    const report = await doctor(`127.0.0.1:${port}`, '--starttls', 'smtp', '--max-time', '1', ...LONG)
    expect(problemsOf(report)).toEqual(['problem cut-short'])
  })
})

describe('sslctx doctor --watch ends at once', () => {
  function launch(...args: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    afterTest(() => child.kill('SIGKILL'))
    return child
  }

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'on one %s, in the middle of a handshake',
    async (signal) => {
      const { port, server } = await startHanging(0)
      const child = launch('doctor', `127.0.0.1:${port}`, '--watch', '60', '--json', ...LONG)
      await once(server, 'hung')
      let stdout = ''
      child.stdout?.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
      })
      child.kill(signal)
      expect(await once(child, 'close')).toEqual([3, null])
      const [first] = (JSON.parse(stdout) as DoctorReport).findings
      expect([first?.id, first?.what]).toEqual(['cut-short', expect.stringContaining('was interrupted')])
    },
    20_000,
  )

  test('with the exit code of the last examination, of which the one that is cut off is none', async () => {
    const hanging = await startHanging(Number.POSITIVE_INFINITY)
    const end = new AbortController()
    hanging.server.once('hung', () => end.abort())
    const { exitCode, stdout } = await run(
      ['doctor', `127.0.0.1:${hanging.port}`, '--watch', '0.1', '--attempts', '1', '--json', ...LONG],
      { interruption: end.signal, onWrite: hanging.hang },
    )
    expect([exitCode, stdout.trimEnd().split('\n').length]).toEqual([0, 1])
  })

  test('also while it waits for --wait, and tells what it has seen', async () => {
    const { port } = await startHanging(Number.POSITIVE_INFINITY)
    const end = new AbortController()
    const { exitCode, stdout } = await run(
      ['doctor', `127.0.0.1:${port}`, '--watch', '60', '--wait', '3600', '--attempts', '1'],
      {
        isTerminal: true,
        interruption: end.signal,
        onWrite: (text) => {
          if (text.includes('waiting 3600 s')) end.abort()
        },
      },
    )
    expect(exitCode).toBe(0)
    expect(stdout).toContain('The run was interrupted')
    expect(stdout).toMatch(/TLS 1\.3 resumes at/)
  })
})

describe('sslctx bench does not go on for longer than its phases', () => {
  const BENCH = ['--duration', '0.2', '--connections', '2', '--servername', NAME, ...LONG]

  test('when the server hangs: what it cuts off is counted as neither done nor failed', async () => {
    // One to see that the server is there.
    const { port } = await startHanging(3)
    const args = ['bench', `127.0.0.1:${port}`, '--full', ...BENCH]
    const { exitCode, stdout } = await run([...args, '--json'])
    const { full } = JSON.parse(stdout)
    expect([exitCode, full.handshakes, full.failed, full.cutOff]).toEqual([0, 2, 0, 2])
    expect(full.durationSec).toBeGreaterThanOrEqual(0.2)
  })

  test('and ends with 1 when not one handshake was measured', async () => {
    const { port } = await startHanging(1)
    const { exitCode, stdout } = await run(['bench', `127.0.0.1:${port}`, '--full', ...BENCH])
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^ +latency p50 +-$/m)
    expect(stdout).toMatch(/^ +cut off at the end +2$/m)
  })

  test('when it hangs while lanes take the sessions that they begin with', async () => {
    let offered = 0
    const report = await generateLoad(
      { connections: 2, durationMs: 50, offersSessions: true, maxHandshakes: 1 },
      {
        shakeHands: async (session, signal) => {
          if (signal.aborted || session === undefined) offered++
          if (offered <= 2) await once(signal, 'abort')
          if (signal.aborted) throw new CutOffError()
          return { resumed: false, latencyMs: 1, sessions: [] }
        },
        nowMs: () => performance.now(),
        cpuMicros: () => 0,
        onProgress: () => undefined,
      },
    )
    expect([report.handshakes, report.cutOff]).toEqual([1, 0])
  })
})
