import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { peerTest } from '../../tools/peers.ts'
import { compare, describeDivergence, runRandomTraces } from './conformance.ts'
import { buildRunner } from './libssl.ts'
import { findLibssl, knownVersions } from './libssl-names.ts'
import { readRecordings } from './recording.ts'
import { switchesOf, switchNames } from './switches.ts'

const LIVE_STEPS = 20_000
/** The same for everybody: fresh ones are for `npm run conformance`. */
const LIVE_SEED = 1_721_035_317

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

  test('knows the switches of a release by its branch', () => {
    expect(switchesOf('1.1.1w')).toMatchObject({ SORT: false, NORES: false, LIFECAP: true })
    expect(switchesOf('3.0.22')).toMatchObject({ SORT: true, LISTFIX: false, REISSUE: true, OSSLTIME: false })
    expect(switchesOf('3.0.20').REISSUE).toBe(false)
    expect(switchesOf('3.5.5')).toMatchObject({ LISTFIX: false, EMSALERT: true, SRVCLEAR: true })
    expect(switchesOf('3.5.9')).toMatchObject({ LISTFIX: true, CBUNLOCK: false })
    expect(switchesOf('4.0.3')).toMatchObject({ CBUNLOCK: true, FATALREAD: true })
    expect(switchesOf('3.7.0').CBUNLOCK).toBe(false)
    expect(switchesOf('4.1.0').CBUNLOCK).toBe(true)
  })

  test.each(switchNames)('has a recorded trace for either side of %s', (name) => {
    const versions = readRecordings().map(({ version }) => version)
    const sides = new Set(versions.map((version) => switchesOf(version)[name]))
    expect(sides).toEqual(new Set([true, false]))
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
  peerTest(
    `in ${LIVE_STEPS} random steps with seed ${LIVE_SEED}`,
    compilerProblem(),
    async () => {
      const system = findLibssl('system')
      if (system === undefined) throw new Error('there is no name for the libssl of the system')
      const runner = await buildRunner(system)
      if (!knownVersions.has(runner.version)) {
        console.log(`conformance: not run, the proof does not know OpenSSL ${runner.version}`)
        return
      }
      const { steps, divergence } = await runRandomTraces(runner, LIVE_STEPS, LIVE_SEED)
      expect(divergence === undefined ? 'no divergence' : describeDivergence(divergence)).toBe(
        'no divergence',
      )
      expect(steps).toBeGreaterThanOrEqual(LIVE_STEPS)
      console.log(
        `conformance: ${steps} steps with seed ${LIVE_SEED}, 0 divergences, OpenSSL ${runner.version}`,
      )
    },
    300_000,
  )
})
