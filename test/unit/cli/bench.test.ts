import { describe, expect, test } from 'vitest'
import { benchText, type PhaseReport } from '../../../src/cli/bench-report.ts'
import { HandshakeError } from '../../../src/cli/failure.ts'
import { generateLoad, LoadTally, percentiles } from '../../../src/cli/load.ts'
import { NAME, reasons, start, startStock, TLS12, TLS13 } from '../../tools/node-servers.ts'
import { freePort } from '../../tools/server-process.ts'
import { run } from './run-command.ts'

const SHORT = ['--duration', '0.3', '--connections', '2', '--servername', NAME]

describe('sslctx bench', () => {
  test.each([
    ['1.2', TLS12],
    ['1.3', TLS13],
  ])(
    'measures full and resumed handshakes of TLS %s, as the server counts them',
    async (protocol, options) => {
      const harness = await start(options)
      const { exitCode, stdout } = await run([
        'bench',
        `127.0.0.1:${harness.port}`,
        '--protocol',
        protocol,
        '--json',
        ...SHORT,
      ])
      const { full, resumed } = JSON.parse(stdout)
      expect(exitCode).toBe(0)
      expect(full).toMatchObject({ resumed: 0, failed: 0, resumptionRate: 0 })
      expect(resumed).toMatchObject({ failed: 0, resumptionRate: 1 })
      expect(resumed.handshakes).toBeGreaterThan(0)
      const served = reasons(harness)
      expect(served.filter((reason) => reason === 'internal').length).toBe(resumed.resumed)
      // Those counted, one to see that the server is there, and one to begin each lane with.
      expect(served.filter((reason) => reason === 'not-offered').length).toBe(full.handshakes + 3)
    },
  )

  test('offers the newest session, so that single use costs nothing', async () => {
    const { port } = await start({ ...TLS13, attach: { singleUse: true } })
    const { stdout } = await run(['bench', `127.0.0.1:${port}`, '--json', ...SHORT])
    expect(JSON.parse(stdout).resumed.resumptionRate).toBe(1)
  })

  test('makes full handshakes only with --full', async () => {
    const { port } = await start(TLS13)
    const { exitCode, stdout } = await run(['bench', `127.0.0.1:${port}`, '--full', '--json', ...SHORT])
    expect([exitCode, JSON.parse(stdout).resumed]).toEqual([0, undefined])
  })

  test('ends with 1 when nothing resumes, and shows both phases for people', async () => {
    const { port } = await startStock(TLS13)
    const { exitCode, stdout } = await run(['bench', `127.0.0.1:${port}`, ...SHORT])
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/ +full +session offered\n +handshakes per second +\d/)
    expect(stdout).toContain('resumed, second by second: 0 %')
  })

  test('compares with a second server, in columns and in a sentence', async () => {
    const [{ port }, { port: other }] = [
      await start(TLS13),
      await startStock({ server: { secureOptions: 0 } }),
    ]
    const args = ['bench', `127.0.0.1:${port}`, '--vs', `127.0.0.1:${other}`, ...SHORT]
    const { exitCode, stdout } = await run(args)
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(
      new RegExp(`full handshakes: 127\\.0\\.0\\.1:${port} makes \\d+\\.\\d\\d times as many as`),
    )
    const json = JSON.parse((await run([...args, '--json'])).stdout)
    expect([json.endpoint, json.vs.endpoint]).toEqual([`127.0.0.1:${port}`, `127.0.0.1:${other}`])
    expect([json.resumed.resumptionRate, json.vs.resumed.resumptionRate]).toEqual([1, 1])
  })

  test('makes no more handshakes than it may', async () => {
    const { port } = await start(TLS13)
    const { stdout } = await run([
      'bench',
      `127.0.0.1:${port}`,
      '--handshakes',
      '7',
      '--json',
      ...SHORT,
      '--duration',
      '30',
    ])
    const { full, resumed } = JSON.parse(stdout)
    expect([full.handshakes, resumed.handshakes]).toEqual([7, 7])
  })

  test('draws its progress ten times a second at most', async () => {
    const { port } = await start(TLS13)
    const { stderr } = await run(['bench', `127.0.0.1:${port}`, ...SHORT, '--duration', '1'], {
      isTerminal: true,
    })
    const draws = stderr.split('\r').length
    // Two phases, the end of each, and the first of each.
    expect(draws).toBeLessThan(2 * 10 + 6)
    expect(draws).toBeGreaterThan(6)
  })

  test('ends with 1 and the reason when a TLS server refuses', async () => {
    const { port } = await startStock({ server: { secureOptions: 0, maxVersion: 'TLSv1.2' } })
    const { exitCode, stderr } = await run(['bench', `127.0.0.1:${port}`, ...SHORT])
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('protocol_version')])
  })

  test('ends with 3 when nobody answers', async () => {
    const { exitCode, stderr } = await run(['bench', `127.0.0.1:${await freePort()}`, ...SHORT])
    expect([exitCode, stderr]).toEqual([3, expect.stringContaining('ECONNREFUSED')])
  })
})

describe('the load', () => {
  test('is counted second by second, with its errors', () => {
    const tally = new LoadTally(1000)
    tally.add({ resumed: true, latencyMs: 2 }, 1100)
    tally.add({ resumed: false, latencyMs: 4 }, 1999)
    tally.add({ resumed: true, latencyMs: 6 }, 3000)
    tally.fail('ECONNRESET', 3100)
    expect(tally.report(3500, 1_250_000)).toEqual({
      durationSec: 2.5,
      handshakes: 3,
      resumed: 2,
      failed: 1,
      cutOff: 0,
      handshakesPerSec: 1.2,
      resumptionRate: 2 / 3,
      latencyMs: { p50: 4, p90: 6, p99: 6, max: 6 },
      bySecond: [
        { full: 1, resumed: 1, failed: 0 },
        { full: 0, resumed: 0, failed: 0 },
        { full: 0, resumed: 1, failed: 1 },
      ],
      clientCpu: 0.5,
      errors: { ECONNRESET: 1 },
    })
  })

  test('goes on after a handshake that failed', async () => {
    let calls = 0
    let nowMs = 0
    const report = await generateLoad(
      { connections: 1, durationMs: 1000, offersSessions: false },
      {
        shakeHands: async () => {
          nowMs += 250
          if (++calls === 2) throw new HandshakeError('ECONNRESET', 'reset')
          return { resumed: false, latencyMs: 250, sessions: [] }
        },
        nowMs: () => nowMs,
        cpuMicros: () => 0,
        onProgress: () => undefined,
      },
    )
    expect([report.handshakes, report.failed]).toEqual([3, 1])
  })
})

describe('the report for people', () => {
  const phase = { ...new LoadTally(0).report(1000, 0), clientLoop: 0.5 }
  const plan = { protocol: '1.3', connections: 1 }
  const textOf = (full: PhaseReport): string =>
    benchText([{ endpoint: 'a:1', servername: undefined, full }], plan, (text) => text)

  test.each([40, 60, 80])('has no line that a terminal of %i columns would break', (columns) => {
    const tally = new LoadTally(0)
    for (let at = 0; at < 40_000; at += 500) tally.add({ resumed: true, latencyMs: 1 }, at)
    const resumed = { ...tally.report(40_000, 0), clientLoop: 0.95 }
    const reports = ['192.0.2.1:18443', '192.0.2.2:18443'].map((endpoint) => ({
      endpoint,
      servername: undefined,
      full: resumed,
      resumed,
    }))
    const text = benchText(reports, plan, (one) => one, { isTTY: true, columns, write: () => undefined })
    expect(text.split('\n').filter(({ length }) => length > columns)).toEqual([])
    expect(text).toContain('192.0.2.1:18443 session offered: 2.0')
  })

  test('counts one connection as one', () => {
    expect(textOf(phase)).toContain('1 connection at a time')
  })

  test('says when the client was the limit, by its processor or by its thread', () => {
    expect(textOf(phase)).not.toContain('This client was the limit')
    expect(textOf({ ...phase, clientCpu: 0.95 })).toContain('This client was the limit')
    expect(textOf({ ...phase, clientLoop: 0.95 })).toContain('This client was the limit')
  })
})

test('percentiles are of the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  expect(percentiles(hundred)).toEqual({ p50: 50, p90: 90, p99: 99, max: 100 })
  expect(percentiles([])).toEqual({ p50: 0, p90: 0, p99: 0, max: 0 })
})
