import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const src = join(root, 'src')

/** Who may import whom; a folder may always import itself. */
const mayImport: Record<string, readonly string[]> = {
  'errors.ts': [],
  'crypto.ts': ['node:*'],
  codec: ['errors.ts'],
  session: ['codec', 'errors.ts'],
  context: ['session', 'codec', 'errors.ts'],
  store: ['session', 'codec', 'errors.ts', 'crypto.ts', 'lru-cache', 'node:*'],
  observability: ['session', 'errors.ts', 'debug', 'node:*'],
  node: ['context', 'store', 'session', 'codec', 'errors.ts', 'crypto.ts', 'lru-cache', 'node:*'],
  cli: ['node', 'store', 'session', 'codec', 'errors.ts', 'node:*'],
  client: [
    'node',
    'context',
    'store',
    'observability',
    'session',
    'codec',
    'errors.ts',
    'crypto.ts',
    'lru-cache',
    'node:*',
  ],
  server: ['ssl-context.ts', 'node', 'store', 'session', 'errors.ts', 'crypto.ts', 'node:*'],
  testing: ['session', 'errors.ts'],
  'ssl-context.ts': ['context', 'observability', 'session', 'crypto.ts'],
  'model.ts': ['ssl-context.ts', 'client', 'node', 'context', 'store', 'session', 'codec', 'errors.ts'],
  'index.ts': [
    'ssl-context.ts',
    'server',
    'client',
    'node',
    'context',
    'store',
    'session',
    'codec',
    'errors.ts',
  ],
}
const tlsModules = ['node:tls', 'node:net', 'node:https', 'node:http2']
const mayUseTls = ['node', 'client', 'server', 'cli']

interface Import {
  readonly file: string
  readonly from: string
  readonly target: string
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .sort()
const imports = files.flatMap(importsOf)

function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8')
  // Finds import, import type, export from, and import().
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => ({
    file,
    from: roomOf(file),
    target: fileName.startsWith('.') ? roomOf(relative(src, join(src, dirname(file), fileName))) : fileName,
  }))
}

/** The folder, or for files at the top the file itself. */
function roomOf(file: string): string {
  return file.split('/')[0] ?? file
}

function isAllowed({ from, target }: Import): boolean {
  const allowed = mayImport[from] ?? []
  if (tlsModules.includes(target)) return mayUseTls.includes(from)
  return (
    target === from || allowed.includes(target) || (target.startsWith('node:') && allowed.includes('node:*'))
  )
}

describe('the import table', () => {
  test('has a line for everything in src', () => {
    expect([...new Set(files.map(roomOf))].filter((room) => !(room in mayImport))).toEqual([])
  })

  test('is kept, import type included', () => {
    expect(
      imports.filter((one) => !isAllowed(one)).map(({ file, target }) => `${file} imports ${target}`),
    ).toEqual([])
    expect(imports.length).toBeGreaterThan(50)
  })

  test.each([
    ['codec', 'session', false],
    ['session', 'context', false],
    ['context', 'node:crypto', false],
    ['context', 'debug', false],
    ['store', 'node:net', false],
    ['observability', 'context', false],
    ['index.ts', 'node:crypto', false],
    ['crypto.ts', 'node:crypto', true],
    ['store', 'node:tls', false],
    ['node', 'node:tls', true],
    ['client', 'node:tls', true],
    ['node', 'client', false],
    ['node', 'server', false],
    ['server', 'observability', false],
    ['codec', 'codec', true],
  ])('lets %s import %s: %s', (from, target, allowed) => {
    expect(isAllowed({ file: '', from, target })).toBe(allowed)
  })

  test('names every builtin with node:', () => {
    expect(imports.filter(({ target }) => builtinModules.includes(target))).toEqual([])
  })

  test('is that of src/README.md', () => {
    const map = readFileSync(join(src, 'README.md'), 'utf8')
    const rows = [...map.matchAll(/^\| `([a-z]+)\/`[^|]*\| ([^|]+) \|$/gm)].map(
      ([, folder = '', cell = '']) => [folder, cell.split(', ').sort()],
    )
    const table = Object.entries(mayImport)
      .filter(([room]) => !room.endsWith('.ts'))
      .map(([room, targets]) => [
        room,
        targets
          .filter((target) => target !== 'node:*')
          .map((target) => target.replace(/\.ts$/, ''))
          .sort(),
      ])
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(table))
  })

  test('of the tests has fast-check in one place, which fixes its seed', () => {
    const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    const users = tests.filter(
      (file) =>
        file.endsWith('.ts') && readFileSync(join(root, 'test', file), 'utf8').includes(`'fast-${''}check'`),
    )
    expect(users).toEqual(['tools/fast-check.ts'])
  })

  test('brings in no packages but lru-cache and debug', () => {
    const packages = imports
      .map(({ target }) => target)
      .filter((target) => !(target in mayImport) && !target.startsWith('node:'))
    expect([...new Set(packages)].sort()).toEqual(['debug', 'lru-cache'])
  })
})

describe('src/README.md', () => {
  const map = readFileSync(join(src, 'README.md'), 'utf8')

  test('names every file', () => {
    expect(files.filter((file) => !map.includes(`\`${file.split('/').at(-1)}\``))).toEqual([])
  })

  test('names no file that is not there', () => {
    const named = [...map.matchAll(/`([a-z0-9-]+\.ts)`/g)].map(([, file]) => file)
    const present = new Set(files.map((file) => file.split('/').at(-1)))
    expect(named.filter((file) => !present.has(file))).toEqual([])
  })

  test('leads from every rule to a file that cites it', () => {
    const rows = [...map.matchAll(/^\| (R\d+(?:\.\d+)?[^|]*)\|([^|]*)\|/gm)]
    expect(rows.length).toBeGreaterThan(20)
    for (const [, rules = '', cell = ''] of rows) {
      const text = [...cell.matchAll(/`([a-z0-9-]+\.ts)`/g)]
        .map(([, name]) =>
          readFileSync(join(src, files.find((file) => file.endsWith(`/${name}`)) ?? ''), 'utf8'),
        )
        .join('')
      const cited = [...rules.matchAll(/R\d+(?:\.\d+)?/g)].map(([rule]) => rule)
      expect(cited.filter((rule) => !new RegExp(`${rule.replace('.', '\\.')}(?!\\d)`).test(text))).toEqual([])
    }
  })
})

describe('the rules of src/rules.md', () => {
  const rules = [...readFileSync(join(src, 'rules.md'), 'utf8').matchAll(/^\| (R\d+\.\d+) \|/gm)].map(
    ([, rule = '']) => rule,
  )
  const textOf = (folder: string): string =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && file !== 'architecture.test.ts')
      .map((file) => readFileSync(join(folder, file), 'utf8'))
      .join('\n')
  const tests = textOf(join(root, 'test'))

  test('are cited, each, by a test or by the trace generator', () => {
    expect(rules.length).toBeGreaterThanOrEqual(90)
    expect(rules.filter((rule) => !isCited(rule, tests))).toEqual([])
  })

  test('are all that code and tests cite', () => {
    const cited = `${textOf(src)}${tests}`.matchAll(/\bR\d+\.\d+/g)
    expect([...new Set([...cited].map(([rule]) => rule))].filter((rule) => !rules.includes(rule))).toEqual([])
  })
})

describe('what comments cite', () => {
  const code = files.map((file) => readFileSync(join(src, file), 'utf8')).join('\n')
  const page = readFileSync(join(root, 'docs/libssl.md'), 'utf8')

  test.each(['D', 'N'])('is in docs/libssl.md, when it is a departure or an addition: %s', (letter) => {
    const cited = new Set([...code.matchAll(new RegExp(`\\b${letter}\\d+\\b`, 'g'))].map(([one]) => one))
    expect(cited.size).toBeGreaterThan(1)
    expect([...cited].filter((one) => !new RegExp(`\\| ${one} \\|`).test(page))).toEqual([])
  })

  test('has no numbers that are defined nowhere', () => {
    expect(code.match(/\bH\d+\b|\bstep \d/g) ?? []).toEqual([])
  })
})

function isCited(rule: string, text: string): boolean {
  const [chapter, number] = rule.split('.')
  if (new RegExp(`${chapter}\\.${number}(?!\\d)`).test(text)) return true
  // "R2.5 to R2.9"
  return [...text.matchAll(/(R\d+)\.(\d+) to \1\.(\d+)/g)].some(
    ([, from, first, last]) =>
      from === chapter && Number(first) <= Number(number) && Number(number) <= Number(last),
  )
}

describe('the map of the tests', () => {
  const map = readFileSync(join(root, 'test/README.md'), 'utf8')
  /** Paths from the root; `import()` and `import type` too. */
  const testImports = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.startsWith('packaging/projects/'))
    .flatMap((name) => {
      const file = join('test', name)
      const { importedFiles } = ts.preProcessFile(readFileSync(join(root, file), 'utf8'), true, true)
      return importedFiles
        .filter(({ fileName }) => fileName.startsWith('.'))
        .map(({ fileName }) => ({ file, target: join(dirname(file), fileName) }))
    })
  const entriesOf = (folder: string): string[] =>
    readdirSync(join(root, 'test', folder), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory()
        ? [`${folder}${entry.name}/`]
        : entry.name.endsWith('.ts')
          ? [`${folder}${entry.name}`]
          : [],
    )

  test('has a row for each folder, and for each file that is shared, and none for others', () => {
    const folders = ['unit/', 'proof/', 'interop/'].flatMap(entriesOf).filter((name) => name.endsWith('/'))
    const shown = map
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
    expect(shown.sort()).toEqual([...entriesOf(''), ...folders, ...entriesOf('tools/')].sort())
  })

  test('names commands that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Readonly<Record<string, string>>
    }
    const named = [...map.matchAll(/`npm run ([\w:]+)`/g)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
  })

  test('no file of tests has more than 500 lines', () => {
    const long = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.test.ts'))
      .filter((file) => readFileSync(join(root, 'test', file), 'utf8').split('\n').length > 501)
    expect(long).toEqual([])
  })

  test('nothing outside of unit/cli reaches into the command', () => {
    const outside = testImports.filter(({ file }) => !file.startsWith('test/unit/cli/'))
    expect(outside.filter(({ target }) => /^(src|test\/unit)\/cli\//.test(target))).toEqual([])
  })

  test('a folder imports from itself and from tools, which import from nobody', () => {
    const room = (path: string): string => /^test\/(?:unit\/)?[^/]+/.exec(path)?.[0] ?? path
    const rooms = testImports
      .filter(({ target }) => target.startsWith('test/') && target !== 'test/vitest.config.ts')
      .map(({ file, target }) => ({ file, from: room(file), to: room(target) }))
    expect(rooms.length).toBeGreaterThan(400)
    expect(rooms.filter(({ from, to }) => from !== to && to !== 'test/tools')).toEqual([])
  })
})
