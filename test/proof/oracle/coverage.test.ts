import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Coverage } from './coverage.ts'
import { readRecordings } from './recording.ts'
import { switchNames } from './switches.ts'
import { unseenSwitches, witnesses } from './witnesses.ts'

const rules = [
  ...readFileSync(new URL('../../../src/rules.md', import.meta.url), 'utf8').matchAll(
    /^\| \*{0,2}(R\d+(?:\.\d+[ab]?)?)\*{0,2} /gm,
  ),
].map(([, rule = '']) => rule)

describe('what random traces exercise', () => {
  test('each rule has a witness, or a reason why it can have none', () => {
    // R7 is a rule of its own; the other headings have none.
    const expected = rules.filter((rule) => rule.includes('.') || rule === 'R7')
    expect(Object.keys(witnesses)).toEqual(expected)
  })

  test('what has a reason is not counted', () => {
    expect(Object.keys(unseenSwitches).every((name) => switchNames.some((known) => known === name))).toBe(
      true,
    )
  })

  test('is counted by rule and by switch', () => {
    const coverage = new Coverage()
    for (const { version, trace, observed } of readRecordings())
      if (version === '3.5.9') coverage.add(version, trace, observed)
    const count = (rows: readonly { name: string; count: number }[], name: string): number =>
      rows.find((row) => row.name === name)?.count ?? 0
    expect(count(coverage.rules(), 'R7')).toBeGreaterThan(100)
    expect(count(coverage.rules(), 'R8.5')).toBeGreaterThan(0)
    // It has a reason instead.
    expect(count(coverage.rules(), 'R12.8')).toBe(0)
    expect(count(coverage.switches(), 'SNICOUNT')).toBeGreaterThan(0)
    expect(count(coverage.switches(), 'IDCHECK')).toBe(0)
  })
})
