import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { peerTest } from '../peers.ts'
import { compare, describeDivergence, runRandomTraces } from './conformance.ts'
import { buildRunner } from './libssl.ts'
import { readRecordings } from './recording.ts'
import { switchesOf } from './switches.ts'

const LIVE_STEPS = 20_000

describe('the model says what libssl said in recorded traces', () => {
  test.each(readRecordings())('$name', ({ version, trace, observed }) => {
    const divergence = compare(version, trace, observed)
    expect(divergence === undefined ? 'no divergence' : describeDivergence(divergence)).toBe('no divergence')
    expect(trace.length).toBe(observed.length)
  })
})

describe('the harness', () => {
  test('finds a difference of a single digit', () => {
    const [recording] = readRecordings()
    if (recording === undefined) throw new Error('no recordings')
    const forged = recording.observed.map((lines) =>
      lines.map((line) => line.replace(/^(stats S \d+ \d+ \d+ \d+) (\d+)/, '$1 9$2')),
    )
    expect(compare(recording.version, recording.trace, forged)?.at).toBe(0)
  })

  test('tolerates the switches of 3.0 on 3.0 alone', () => {
    expect(switchesOf('3.0.22')).toEqual({ LISTFIX: false, OSSLTIME: false, BINDERALERT: false })
    expect(switchesOf('3.5.8')).toEqual({ LISTFIX: true, OSSLTIME: true, BINDERALERT: true })
  })
})

function compilerProblem(): string | undefined {
  try {
    execFileSync('cc', ['-E', '-x', 'c', '-'], {
      input: '#include <openssl/ssl.h>\n',
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    return undefined
  } catch {
    return 'cc with the headers of OpenSSL is not installed'
  }
}

describe('the model says what libssl says', () => {
  const seed = randomInt(2 ** 31)
  peerTest(
    `in ${LIVE_STEPS} random steps with seed ${seed}`,
    compilerProblem(),
    async () => {
      const runner = await buildRunner('system')
      const { steps, divergence } = await runRandomTraces(runner, LIVE_STEPS, seed)
      expect(divergence === undefined ? 'no divergence' : describeDivergence(divergence)).toBe(
        'no divergence',
      )
      expect(steps).toBeGreaterThanOrEqual(LIVE_STEPS)
      console.log(`conformance: ${steps} steps with seed ${seed}, 0 divergences, OpenSSL ${runner.version}`)
    },
    300_000,
  )
})
