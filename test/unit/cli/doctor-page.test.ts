import { describe, expect, test } from 'vitest'
import { ExitCode } from '../../../src/cli/usage.ts'
import { readPage, sectionsOf } from '../../tools/markdown.ts'
import { unionIn } from '../../tools/source-unions.ts'
import { run } from './run-command.ts'

const { text } = readPage('docs/doctor.md')
const sections = sectionsOf(text, 2)

/** The names in the first column of the tables of a section. */
function firstColumn(section: string): string[] {
  const rows = (sections.get(section) ?? '').match(/^\|[^|]+\|/gm) ?? []
  return rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
}

const optionsIn = (words: readonly string[]): string[] => [
  ...new Set(words.flatMap((word) => word.match(/--[a-z-]+/g) ?? [])),
]

describe('docs/doctor.md', () => {
  test('has every finding, and no other', () => {
    expect(firstColumn('Findings').sort()).toEqual([...unionIn('cli/findings.ts', 'FindingId')].sort())
  })

  test('has every option that a help names, and no other', async () => {
    const helps = await Promise.all(['doctor', 'inspect', 'bench'].map((name) => run([name, '--help'])))
    const named = optionsIn(helps.map(({ stdout }) => stdout))
    expect(optionsIn(firstColumn('Options')).sort()).toEqual(named.sort())
  })

  test('has every exit code, and so has the help of each command', async () => {
    const codes = Object.values(ExitCode)
    expect((sections.get('Exit codes') ?? '').match(/^\| \d/gm)).toEqual(codes.map((code) => `| ${code}`))
    for (const name of ['doctor', 'inspect', 'bench']) {
      const { stdout } = await run([name, '--help'])
      const [, listed = ''] = stdout.split('Exit code:')
      expect((listed.match(/(?<=[ \n])\d(?= )/g) ?? []).map(Number)).toEqual(codes)
    }
  })
})
