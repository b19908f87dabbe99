import { describe, expect, test } from 'vitest'
import type { Explanation } from './explanations.ts'
import { CHANCES, judge, type Pair } from './pair.ts'

const pair: Pair = {
  client: 'a client',
  version: 'TLSv1.2',
  setup: { keyKind: 'rsa', clientCertificate: false, layout: 'one' },
}
const all = { offered: CHANCES, resumed: CHANCES }
const none = { offered: 0, resumed: 0 }
const explanation: Explanation = {
  client: 'a client',
  version: 'TLSv1.2',
  layouts: ['one'],
  ...none,
  reason: 'it never offers',
}

describe('a client and a server', () => {
  test('are resumed when every chance is taken', () => {
    expect(judge(pair, all, [], []).state).toBe('resumed')
  })

  test.each([
    ['one offer is not resumed', { offered: CHANCES, resumed: CHANCES - 1 }],
    ['one chance is not offered', { offered: CHANCES - 1, resumed: CHANCES - 1 }],
  ])('are unexplained when %s', (_, counts) => {
    expect(judge(pair, counts, [], []).state).toBe('unexplained')
  })

  test('are unexplained when every chance is taken and something else is wrong', () => {
    expect(judge(pair, all, ['the client says full'], [])).toEqual({
      state: 'unexplained',
      problems: ['the client says full'],
    })
  })

  test('are explained when there is a reason for just these counts', () => {
    expect(judge(pair, none, [], [explanation])).toEqual({ state: 'explained', reason: 'it never offers' })
  })

  test.each([
    ['resumed after all', all],
    ['offered after all', { offered: 1, resumed: 0 }],
  ])('are unexplained when there is a reason why not, and they are %s', (_, counts) => {
    const verdict = judge(pair, counts, [], [explanation])
    expect(verdict.state === 'unexplained' && verdict.problems.join()).toMatch(/other than explained/)
  })

  test.each([
    ['another client', { client: 'another client' }],
    ['another version', { version: 'TLSv1.3' as const }],
    ['another layout', { setup: { ...pair.setup, layout: 'tickets' as const } }],
  ])('are unexplained when the reason is that of %s', (_, other) => {
    expect(judge({ ...pair, ...other }, none, [], [explanation]).state).toBe('unexplained')
  })
})
