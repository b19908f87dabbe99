import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildJavaScript } from '../../build.ts'
import * as library from '../../src/index.ts'
import * as model from '../../src/model.ts'
import { linksOf, readPage, readPages } from '../tools/markdown.ts'
import { missingCommand, peerTest } from '../tools/peers.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, never>

function topLevel(): string[] {
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  return [...new Set(names.split('\n').map((name) => name.split('/')[0] ?? ''))].filter(
    (name) => name !== '' && !name.startsWith('.'),
  )
}

/** Values and types that a file exports; all are named in it. */
function exportedNames(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const { statements } = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext)
  return statements
    .flatMap((statement) => {
      if (!ts.isExportDeclaration(statement)) throw new Error(`${file} has more than exports`)
      if (!statement.exportClause || !ts.isNamedExports(statement.exportClause))
        throw new Error(`${file} exports what it does not name`)
      return statement.exportClause.elements.map(({ name }) => name.text)
    })
    .sort()
}

describe('the package', () => {
  test('is for Node 20.19 and up, without side effects', () => {
    expect(manifest).toMatchObject({
      name: 'sslctx',
      type: 'module',
      engines: { node: '>=20.19' },
      sideEffects: false,
      license: 'MIT',
    })
  })

  test('depends on lru-cache and debug, and on nothing else', () => {
    expect(Object.keys(manifest['dependencies'] ?? {}).sort()).toEqual(['debug', 'lru-cache'])
  })

  test('leaves every client of a store to its user: optional, and imported by nothing', () => {
    const peers = Object.keys(manifest['peerDependencies'] ?? {})
    expect(peers).toEqual(['@opentelemetry/api', 'ioredis', 'iovalkey', 'lmdb', 'prom-client', 'redis'])
    expect(Object.keys(manifest['peerDependenciesMeta'] ?? {}).sort()).toEqual(peers)
    for (const meta of Object.values(manifest['peerDependenciesMeta'] ?? {}))
      expect(meta).toEqual({ optional: true })
  })

  test('has each export for import and for require, with the types of each', () => {
    const exported: Record<string, object | string> = manifest['exports'] ?? {}
    expect(Object.keys(exported)).toEqual([
      '.',
      './model',
      './redis',
      './memcached',
      './lmdb',
      './testing',
      './prometheus',
      './opentelemetry',
      './status',
      './package.json',
    ])
    for (const entry of Object.values(exported)) {
      if (typeof entry === 'string') continue
      const { import: imported } = entry as Record<string, Record<string, string>>
      const file = imported?.['default']?.replace(/\.js$/, '') ?? ''
      // The order matters: the compiler takes the first condition that it knows.
      expect(JSON.stringify(entry)).toBe(
        JSON.stringify({
          import: { types: `${file}.d.ts`, default: `${file}.js` },
          require: { types: `${file}.d.cts`, default: `${file}.cjs` },
        }),
      )
    }
  })

  test('tells old resolution, which knows no exports, where each is', () => {
    const exported: Record<string, { require?: { types: string; default: string } }> =
      manifest['exports'] ?? {}
    const { '.': main, './package.json': _, ...others } = exported
    expect(manifest).toMatchObject({ main: main?.require?.default, types: main?.require?.types })
    const subpaths = Object.entries(others).map(([name, { require }]) => [name.slice(2), [require?.types]])
    expect(manifest['typesVersions']).toEqual({ '*': Object.fromEntries(subpaths) })
  })

  describe('packs', () => {
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as { files: { path: string }[] }[]
    const paths = packed?.files.map(({ path }) => path) ?? []

    test('the library, its sources and its papers, and no test or configuration', () => {
      const folders = new Set(paths.map((path) => path.split('/')[0]))
      folders.delete('dist')
      expect([...folders].sort()).toEqual(['LICENSE', 'README.md', 'docs', 'package.json', 'src'])
    })

    test('whatever these link to', () => {
      const pages = [...readPages(), readPage('src/README.md')]
      const targets = pages.flatMap(({ file, text }) =>
        linksOf(text)
          .filter((link) => !link.startsWith('#'))
          .map((link) => join(dirname(file), link.replace(/#.*/, ''))),
      )
      expect(targets.length).toBeGreaterThan(20)
      expect(targets.filter((target) => !paths.includes(target))).toEqual([])
    })
  })

  peerTest(
    'has at its top level what the card asks for, and dotfiles',
    missingCommand('git', 'rev-parse'),
    () => {
      expect(topLevel().sort()).toEqual([
        'LICENSE',
        'README.md',
        'build.ts',
        'docs',
        'package-lock.json',
        'package.json',
        'src',
        'test',
        'tsconfig.json',
      ])
    },
  )

  test('exports few names, types included: those of servers and clients', () => {
    const names = exportedNames('src/index.ts')
    expect(names).toContain('SslContextOptions')
    expect(names.length).toBeLessThanOrEqual(50)
  })

  test('exports all others from sslctx/model, with what the model is used by', () => {
    const names = exportedNames('src/index.ts')
    const shared = exportedNames('src/model.ts').filter((name) => names.includes(name))
    expect(shared).toEqual([
      ...['ArgumentError', 'SessionCacheMode', 'SessionDerError', 'SessionRangeError', 'SessionStateError'],
      ...['SslContext', 'SslContextOptions', 'SslSession'],
    ])
    expect(Object.keys(model).sort()).toEqual([
      'Alert',
      'ArgumentError',
      'SessionCacheMode',
      'SessionDerError',
      'SessionRangeError',
      'SessionStateError',
      'SslConnection',
      'SslContext',
      'SslOption',
      'SslSession',
      'VerifyMode',
    ])
  })

  test('exports these values, and no others', () => {
    expect(Object.keys(library).sort()).toEqual([
      'ArgumentError',
      'ClientSessions',
      'ClientSetupError',
      'KeyRing',
      'MemoryStore',
      'RevocationUnavailableError',
      'Revocations',
      'ServerSessions',
      'ServerSetupError',
      'SessionCacheError',
      'SessionCacheMode',
      'SessionDerError',
      'SessionRangeError',
      'SessionStateError',
      'SessionStoreError',
      'SslContext',
      'SslSession',
      'UnopenableSessionError',
      'UnsealedStoreError',
      'UnsupportedRuntimeError',
      'WeakKeyError',
      'attachServer',
      'guarded',
      'keyFile',
      'sealed',
      'serverOptions',
      'storeCallbacks',
    ])
  })
})

describe('what is built', () => {
  const built = join(root, 'node_modules/.cache/sslctx-built')
  const run = (program: string): unknown =>
    JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' }),
    )
  const url = (file: string): string => JSON.stringify(pathToFileURL(join(built, file)).href)

  beforeAll(() => buildJavaScript(built))

  test('loads neither node:tls nor node:crypto before they are needed', () => {
    const loaded = run(`
      await import(${url('index.js')})
      console.log(JSON.stringify(process.moduleLoadList))
    `)
    expect(loaded).toContain('NativeModule diagnostics_channel')
    expect(loaded).not.toContain('NativeModule tls')
    expect(loaded).not.toContain('NativeModule crypto')
  })

  test('throws the errors of the main entry from the others', () => {
    const thrown = run(`
      import { SessionRangeError } from ${url('index.js')}
      import { memcachedStore } from ${url('store/memcached-store.js')}
      try {
        memcachedStore({ connect: () => undefined, prefix: 'x'.repeat(101) })
      } catch (error) {
        console.log(JSON.stringify(error instanceof SessionRangeError))
      }
    `)
    expect(thrown).toBe(true)
  })
})
