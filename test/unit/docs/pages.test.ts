import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as promClient from 'prom-client'
import { afterAll, describe, expect, test } from 'vitest'
import * as library from '../../../src/index.ts'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'
import { HANDSHAKE_REASONS } from '../../../src/session/reasons.ts'
import { helpOf } from '../../tools/doctor.ts'
import { fencesOf, readPage, readPages, root, sectionsOf } from '../../tools/markdown.ts'
import { unionIn } from '../../tools/source-unions.ts'

// Where a reader looks for something, it is.

const pages = readPages()
const readme = readPage('README.md').text

/** The first cells of all rows of the tables of a text. */
function rowsOf(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(/^\| (.+?) \|/gm)].map(([, cell = '']) => cell))
}

describe('README.md', () => {
  test('is read in a few minutes', () => {
    expect(Buffer.byteLength(readme)).toBeGreaterThan(9_000)
    expect(Buffer.byteLength(readme)).toBeLessThanOrEqual(10_240)
  })

  test('names only what the library exports', () => {
    const imported = [...readme.matchAll(/import \{([^}]*)\} from 'sslctx'/g)].flatMap(([, names = '']) =>
      names.split(',').map((name) => name.trim()),
    )
    expect(imported.length).toBeGreaterThan(5)
    expect(imported.filter((name) => !(name in library))).toEqual([])
  })

  test('has the commands that set up a checkout', () => {
    const commands = fencesOf(readPage('README.md')).flatMap(({ code }) => code.split('\n'))
    for (const command of ['npm ci && npm run demo', 'npm ci && npm test'])
      expect(commands.some((line) => line.startsWith(command))).toBe(true)
  })

  test.each([
    ['Does `fetch` resume?', 'clients.md#does-fetch-resume'],
    ['Which mode do I use?', 'concepts.md#which-mode-do-i-use'],
    ['Sessions or tickets?', 'concepts.md#sessions-or-tickets'],
    ['What must `name` be?', 'servers.md#what-must-name-be'],
    ['How do I rotate?', 'servers.md#how-do-i-rotate'],
    ['How do I alert?', 'observability.md#how-do-i-alert'],
    ['What if Redis is full?', 'stores.md#what-if-redis-is-full'],
    ['Behind a proxy?', 'servers.md#behind-a-proxy'],
    ['What does it cost?', 'capacity.md#what-does-it-cost'],
    ['What does a stolen secret open?', 'security.md#what-a-stolen-secret-opens'],
  ])('answers in one step: %s', (question, target) => {
    expect(readme).toContain(`| ${question} |`)
    const [row] = readme.split('\n').filter((line) => line.startsWith(`| ${question} |`))
    expect(row).toContain(`](docs/${target})`)
  })

  test('leads to each page', () => {
    const files = pages.map(({ file }) => file).filter((file) => file !== 'README.md')
    expect(files.filter((file) => !readme.includes(`](${file}`))).toEqual([])
  })
})

describe('each page of docs/', () => {
  const docs = pages.filter(({ file }) => file !== 'README.md')

  test('says first whom it is for', () => {
    // Written by `npm run interop`.
    const others = docs.filter(({ file }) => file !== 'docs/interop.md')
    expect(others.filter(({ text }) => !/^# .+\n\n(For|This page is for) /.test(text))).toEqual([])
  })

  test('has no sentence that starts with "Of", nor has README.md', () => {
    const found = pages.flatMap(({ file, text }) =>
      [...text.matchAll(/(?:^|[.:] |^[-*] )Of [^\n]*/gm)].map(([sentence]) => `${file}: ${sentence}`),
    )
    expect(found).toEqual([])
  })
})

describe('docs/libssl.md', () => {
  const rows = rowsOf(readPage('docs/libssl.md').text)

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'has a line for each departure and each addition of the number %i',
    (number) => {
      expect(rows).toContain(`D${number}`)
      expect(rows).toContain(`N${number}`)
    },
  )
})

describe('docs/concepts.md', () => {
  const { text } = readPage('docs/concepts.md')

  test('has a line for every session cache mode, with its value', () => {
    for (const [name, value] of Object.entries(library.SessionCacheMode))
      expect(text).toContain(`| \`${name}\` | 0x${value.toString(16).padStart(3, '0')} |`)
  })

  test('explains the words that the other pages use', () => {
    const words = rowsOf(sectionsOf(text, 2).get('Glossary') ?? '')
    for (const word of [
      'session id context',
      'PSK',
      'extended master secret',
      'ticket',
      'judged ticket',
      'seal',
    ])
      expect([...words].some((cell) => cell.startsWith(`**${word}**`))).toBe(true)
  })
})

describe('docs/servers.md', () => {
  const { text } = readPage('docs/servers.md')

  test('has every problem of a set-up', () => {
    const problems = unionIn('errors.ts', 'SetupProblem')
    expect(problems.length).toBeGreaterThan(5)
    expect(problems.filter((name) => !text.includes(`\`${name}\``))).toEqual([])
  })

  test('has every option of ServerSessions', () => {
    const source = readFileSync(join(root, 'src/server/server-sessions-options.ts'), 'utf8')
    const [, options = ''] = /export interface ServerSessionsOptions \{([\s\S]*?)^\}/m.exec(source) ?? []
    const names = [...options.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name = '']) => name)
    expect(names).toContain('secrets')
    expect(names.filter((name) => !text.includes(name))).toEqual([])
  })

  test('shows for each framework the lines that its test runs', () => {
    const source = readFileSync(join(root, 'test/unit/node/frameworks.test.ts'), 'utf8')
    const snippets = [...source.matchAll(/ {2}\/\/ docs \w+\n([\s\S]*?) {2}\/\/ docs end/g)]
    expect(snippets).toHaveLength(3)
    // The test keeps Nest quiet.
    const lines = snippets.flatMap(([, part = '']) => part.replace(', logger', '').trimEnd().split('\n'))
    expect(lines.filter((line) => !text.includes(line.trim()))).toEqual([])
  })
})

describe('docs/doctor.md', () => {
  const { text } = readPage('docs/doctor.md')

  test.each(['doctor', 'inspect', 'bench', 'secret'])('has every option of %s', async (command) => {
    const help = await helpOf(command)
    const options = [...new Set(help.match(/(?<=^ *(?:.*, )?)--[a-z-]+/gm))]
    expect(options).toContain('--help')
    expect(options.filter((option) => !text.includes(`\`${option}`))).toEqual([])
  })
})

describe('docs/observability.md', () => {
  const { text } = readPage('docs/observability.md')
  const sessions = new library.ServerSessions({
    name: 'shop',
    secrets: [crypto.getRandomValues(new Uint8Array(32))],
    store: new library.MemoryStore(),
  })
  afterAll(() => sessions.close())

  test('names metrics that are there', () => {
    const registry = promClient.register
    registry.clear()
    prometheusMetrics(promClient, sessions)
    const known = registry.getMetricsAsArray().map(({ name }) => name)
    const everywhere = pages.flatMap(({ text }) => text.match(/\bsslctx_\w+/g) ?? [])
    const named = everywhere.map((name) => name.replace(/_(count|sum|bucket)$/, ''))
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter((name) => !known.includes(name))).toEqual([])
  })

  test('alerts on reasons that are there', () => {
    const [alerts] = fencesOf({ file: 'docs/observability.md', text }).filter(
      ({ language }) => language === 'yaml',
    )
    const named = [...(alerts?.code.matchAll(/reason(?:=~|!?=)"([^"]+)"/g) ?? [])].flatMap(([, names = '']) =>
      names.split('|'),
    )
    expect(named.length).toBeGreaterThan(4)
    expect(named.filter((name) => !Object.hasOwn(HANDSHAKE_REASONS, name))).toEqual([])
  })
})
