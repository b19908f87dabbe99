import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { knownVersions } from './libssl-names.ts'
import { releasesOf, switchNames } from './switches.ts'

const page = readFileSync(new URL('../../../docs/libssl.md', import.meta.url), 'utf8')

/** The cells of each row of a table, by the first of them. */
function rowsOf(text: string): Map<string, readonly string[]> {
  const rows = text.split('\n').filter((line) => line.startsWith('| '))
  return new Map(
    rows.map((line) => line.slice(2, -2).split(' | ')).map(([first = '', ...others]) => [first, others]),
  )
}

describe('docs/libssl.md', () => {
  const rows = rowsOf(page)

  test.each(switchNames)('has a row for %s, with its first releases', (name) => {
    expect(rows.get(name)?.[0]).toBe(releasesOf[name].join(', '))
  })

  test('has no other rows but those of the departures and of what a Node server adds', () => {
    const others = [...rows.keys()].filter((name) => !(switchNames as readonly string[]).includes(name))
    const numbered = (letter: string): string[] =>
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => `${letter}${number}`)
    expect(others).toEqual(['switch', '#', ...numbered('D'), ...numbered('N')])
  })

  test('says of each release that is run that it was', () => {
    for (const version of knownVersions) expect(page).toContain(version)
  })
})
