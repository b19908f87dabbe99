/**
 * Makes dist: JavaScript for `require` and for `import`, and its types.
 *
 * The implementation is CommonJS, once, below `dist/implementation`. Everything else leads to it: `X.cjs` and `X.js` of each
 * entry name its exports and hold nothing. So whoever requires and whoever imports has the same classes and the same state,
 * and both can be bundled.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import ts from 'typescript'

const root: string = import.meta.dirname
const source = (file: string): string => join(root, 'src', file)

/** What `sslctx` and `sslctx/model` are, in one file, since each takes a millisecond to load. */
const CORE_ENTRIES = ['index', 'model']
/** Each a file of its own. From the core they take what must be the same object for all: the classes of errors. */
const OTHER_ENTRIES = [
  'store/redis-store',
  'store/memcached-store',
  'store/lmdb-store',
  'testing/index',
  'observability/prometheus',
  'observability/opentelemetry',
  'observability/status-handler',
]

const OPTIONS: BuildOptions = {
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20.19',
  // Names and lines stay, for stack traces and profiles. A limit to the lines of what is minified would break strings, into which
  // rollup then puts tabs.
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
}

const COMMON_JS: BuildOptions = {
  ...OPTIONS,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  // The sources are ES modules, which are strict.
  banner: { js: `'use strict'` },
  // As one file has no two of a name, esbuild may have given another to a class.
  footer: {
    js: `for (const [name, value] of Object.entries(module.exports))
  if (typeof value === 'function') Object.defineProperty(value, 'name', { value: name })`,
  },
}

/** Node's own modules without `require`, which what a bundler makes of CommonJS may not have. */
const builtins: Plugin = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin' }))
    // Constants of the bundle: an export of CommonJS would be looked up at each use.
    onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => ({
      contents: `const builtin = process.getBuiltinModule(${JSON.stringify(path)})
        export default builtin
        export const { ${importedNames(path).join(', ')} } = builtin`,
    }))
  },
}

/** What the sources import of a module by name. */
function importedNames(module: string): readonly string[] {
  const imports = new RegExp(`^import (?:\\w+, )?\\{([^}]*)\\} from '${module}'`, 'gm')
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const lists = files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...readFileSync(source(file), 'utf8').matchAll(imports)].map(([, list]) => list))
  const names = lists
    .join(',')
    .split(',')
    .map((name) => name.trim())
  const values = names.filter((name) => name !== '' && !name.startsWith('type '))
  return [...new Set(values.map((name) => name.replace(/\s.*/, '')))]
}

/**
 * lru-cache and debug require modules of Node. In an ES module that esbuild bundles, `require` is that of the global object, if
 * there is one, so it has one while they load. `__filename` tells that there is a true `require`.
 */
const dependencies: Plugin = {
  name: 'dependencies',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:debug|lru-cache)$/ }, ({ path, namespace }) =>
      namespace === 'dependency' ? { path, external: true } : { path, namespace: 'dependency' },
    )
    onLoad({ filter: /^/, namespace: 'dependency' }, ({ path }) => ({
      contents: `
        const load = () => require(${JSON.stringify(path)})
        if (typeof __filename === 'string' || 'require' in globalThis) module.exports = load()
        else {
          globalThis.require = process.getBuiltinModule('node:module').createRequire(process.execPath)
          try { module.exports = load() } finally { delete globalThis.require }
        }`,
    }))
  },
}

/** The script of the status page, as a string. */
const statusScript: Plugin = {
  name: 'status script',
  setup({ onLoad }) {
    onLoad({ filter: /\/status-script-text\.ts$/ }, async () => {
      const { outputFiles } = await build({
        entryPoints: [source('observability/status-script.js')],
        bundle: true,
        write: false,
        format: 'iife',
        target: 'es2022',
        minifyWhitespace: true,
        minifySyntax: true,
      })
      const text = outputFiles[0]?.text
      return { contents: `export const STATUS_SCRIPT = ${JSON.stringify(text)}`, loader: 'ts' }
    })
  },
}

const errorsOfCore: Plugin = {
  name: 'errors of the core',
  setup({ onResolve }) {
    onResolve({ filter: /\/errors\.ts$/ }, () => ({ path: './sslctx.cjs', external: true }))
  },
}

/** Without the types, which take longer. */
export async function buildJavaScript(outdir: string): Promise<void> {
  const implementation = join(outdir, 'implementation')
  const core = [...CORE_ENTRIES, 'errors'].map((entry) => `export * from './src/${entry}.ts'`)
  await build({
    ...COMMON_JS,
    outfile: join(implementation, 'sslctx.cjs'),
    outExtension: {},
    stdin: { contents: core.join('\n'), resolveDir: root, sourcefile: 'sslctx.ts', loader: 'ts' },
    plugins: [builtins, dependencies],
  })
  await build({
    ...COMMON_JS,
    outdir: implementation,
    entryPoints: OTHER_ENTRIES.map((entry) => ({ in: source(`${entry}.ts`), out: nameOf(entry) })),
    plugins: [builtins, dependencies, errorsOfCore, statusScript],
  })
  for (const entry of CORE_ENTRIES) await writeEntry(outdir, entry, 'sslctx')
  for (const entry of OTHER_ENTRIES) await writeEntry(outdir, entry, nameOf(entry))
  // A program of its own, which nobody imports.
  await build({
    ...OPTIONS,
    format: 'esm',
    outfile: join(outdir, 'cli/main.js'),
    entryPoints: [source('cli/main.ts')],
  })
}

function nameOf(entry: string): string {
  return entry.replace(/\/index$/, '').replace(/^.*\//, '')
}

/** Names are written one by one, since that is how Node and bundlers know those of CommonJS without running it. */
async function writeEntry(outdir: string, entry: string, implementation: string): Promise<void> {
  const module = (await import(pathToFileURL(source(`${entry}.ts`)).href)) as object
  const names = Object.keys(module)
  const file = relative(dirname(entry), join('implementation', `${implementation}.cjs`))
  const path = file.startsWith('.') ? file : `./${file}`
  write(join(outdir, `${entry}.cjs`), [
    `'use strict'`,
    `Object.defineProperty(exports, '__esModule', { value: true })`,
    `const implementation = require('${path}')`,
    ...names.map((name) => `exports.${name} = implementation.${name}`),
  ])
  write(join(outdir, `${entry}.js`), [`export { ${names.join(', ')} } from './${posix.basename(entry)}.cjs'`])
}

/**
 * Types are those of CommonJS, once, and an ES module has them from there: two declarations of one class would be two classes to
 * the compiler. Only what the entries lead to is written.
 */
export function buildTypes(outdir: string): void {
  const entries = [...CORE_ENTRIES, ...OTHER_ENTRIES]
  const pending = entries.map((entry) => `${entry}.ts`)
  for (const file of pending) {
    const { text, imported } = declarationOf(file)
    write(join(outdir, file.replace(/\.ts$/, '.d.cts')), [withMergedDisposal(text).trimEnd()])
    pending.push(...imported.filter((other) => !pending.includes(other)))
  }
  for (const entry of entries)
    write(join(outdir, `${entry}.d.ts`), [`export * from './${posix.basename(entry)}.cjs'`])
}

const DISPOSAL = '    [Symbol.asyncDispose](): Promise<void>;\n'
/** What the compiler says in place of it, or besides it, of a name that it cannot look up in one file alone. */
const DISPOSAL_PROPERTY = '    [Symbol.asyncDispose]: () => Promise<void>;\n'

/**
 * What a class declares under a symbol that comes from `@types/node`, the compiler of a user with older libraries takes for a duplicate when
 * modules import each other in a circle. An interface of the same name may say it, once: twice is an error since TypeScript 7.
 */
function withMergedDisposal(text: string): string {
  const names = [...text.matchAll(/^export declare class (\w+)/gm)].map(([, name]) => name)
  const [name] = names
  if (name === undefined || !text.includes(DISPOSAL)) return text
  if (names.length > 1) throw new Error(`${names.join(' and ')}: which of them has Symbol.asyncDispose?`)
  const rest = text.replace(DISPOSAL, '').replace(DISPOSAL_PROPERTY, '')
  if (rest.includes('[Symbol.asyncDispose]')) throw new Error(`${name} still has Symbol.asyncDispose`)
  return `${rest}\nexport interface ${name} {\n${DISPOSAL}}\n`
}

/** A declaration, and which files of src it imports. */
function declarationOf(file: string): { readonly text: string; readonly imported: readonly string[] } {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
  const imported: string[] = []
  const rewritten: ts.TransformerFactory<ts.SourceFile | ts.Bundle> = (context) => (node) =>
    ts.isSourceFile(node)
      ? ts.visitEachChild(
          node,
          (statement) => commonJsStatement(statement, context.factory, imported),
          context,
        )
      : node
  const { outputText, diagnostics = [] } = ts.transpileDeclaration(readFileSync(source(file), 'utf8'), {
    fileName: source(file),
    compilerOptions: options,
    transformers: { afterDeclarations: [rewritten] },
    reportDiagnostics: true,
  })
  if (diagnostics.length > 0)
    throw new Error(ts.formatDiagnostics(diagnostics, ts.createCompilerHost(options)))
  return { text: outputText, imported: imported.map((path) => posix.join(posix.dirname(file), path)) }
}

/** The same for CommonJS: `./x.ts` is `./x.cjs`, and `import tls from` is `import * as tls from`, which needs no option. */
function commonJsStatement(statement: ts.Node, factory: ts.NodeFactory, imported: string[]): ts.Node {
  const isImport = ts.isImportDeclaration(statement)
  if (!isImport && !ts.isExportDeclaration(statement)) return statement
  const { moduleSpecifier, attributes } = statement
  if (moduleSpecifier === undefined || !ts.isStringLiteral(moduleSpecifier)) return statement
  const { text } = moduleSpecifier
  if (text.startsWith('.')) imported.push(text)
  const specifier = factory.createStringLiteral(text.replace(/^(\..*)\.ts$/, '$1.cjs'), true)
  if (isImport) {
    const clause = statement.importClause && namespaceClause(statement.importClause, factory)
    return factory.updateImportDeclaration(statement, statement.modifiers, clause, specifier, attributes)
  }
  const { modifiers, isTypeOnly, exportClause } = statement
  return factory.updateExportDeclaration(
    statement,
    modifiers,
    isTypeOnly,
    exportClause,
    specifier,
    attributes,
  )
}

function namespaceClause(clause: ts.ImportClause, factory: ts.NodeFactory): ts.ImportClause {
  if (clause.name === undefined) return clause
  if (clause.namedBindings !== undefined)
    throw new Error(`${clause.name.text}: a default import among others`)
  const { TypeKeyword } = ts.SyntaxKind
  return factory.updateImportClause(
    clause,
    TypeKeyword,
    undefined,
    factory.createNamespaceImport(clause.name),
  )
}

function write(path: string, lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${lines.join('\n')}\n`)
}

if (process.argv[1] === import.meta.filename) {
  const dist = join(root, 'dist')
  rmSync(dist, { recursive: true, force: true })
  await buildJavaScript(dist)
  buildTypes(dist)
}
