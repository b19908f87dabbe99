import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { knownVersions } from './libssl-names.ts'
import { releasesOf, switchNames } from './switches.ts'

const page = readFileSync(new URL('../../docs/libssl.md', import.meta.url), 'utf8')
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

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

  test('has no other rows but those of the departures', () => {
    const others = [...rows.keys()].filter((name) => !(switchNames as readonly string[]).includes(name))
    expect(others).toEqual(['switch', '#', 'D1', 'D2', 'D3', 'D4', 'D5', 'D6', 'D7', 'D8', 'D9'])
  })

  test('says of each release that is run that it was', () => {
    for (const version of knownVersions) expect(page).toContain(version)
  })

  test('has the departures that the README has', () => {
    const listed = [...rowsOf(readme).keys()].filter((name) => /^D\d$/.test(name))
    expect([...rows.keys()].filter((name) => /^D\d$/.test(name))).toEqual(listed)
  })
})
