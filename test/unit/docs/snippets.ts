import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import ts from 'typescript'
import type { Certificate } from '../../tools/certificate.ts'
import { type Fence, root } from '../../tools/markdown.ts'
import { programOf } from './snippet-program.ts'

/** What only the test can give to a snippet. */
export interface GivenByTest extends Certificate {
  /** That the certificate is for. */
  readonly servername: string
  readonly redisUrl: string
  readonly memcachedPort: number
}

const LANGUAGES: ReadonlySet<string> = new Set(['js', 'ts'])
const NOT_RUN = 'not run: '

/** A snippet of the documentation as a program that ends by itself. */
export interface Snippet {
  readonly place: string
  readonly fileName: string
  readonly program: string
  /** Why it is compiled only. */
  readonly whyNotRun: string | undefined
  readonly engine: 'redis' | 'memcached' | undefined
}

export function isSnippet({ language }: Fence): boolean {
  return LANGUAGES.has(language)
}

/** @param imported - names of `sslctx` that it may use without importing them */
export function snippetOf(
  { place, language, code, remark }: Fence,
  imported: readonly string[] = [],
): Snippet {
  return {
    place,
    fileName: `${place.replaceAll(/\W/g, '-')}.${language}`,
    program: programOf(code, remark, imported),
    whyNotRun: remark?.startsWith(NOT_RUN) === true ? remark.slice(NOT_RUN.length) : undefined,
    engine: engineOf(code),
  }
}

function engineOf(code: string): Snippet['engine'] {
  if (/from '(?:ioredis|iovalkey|redis)'/.test(code)) return 'redis'
  return code.includes("from 'sslctx/memcached'") ? 'memcached' : undefined
}

/** A directory in which snippets find the packages of this project and, as `sslctx`, its sources. */
export class SnippetPlace {
  readonly #directory: string = mkdtempSync(join(tmpdir(), 'sslctx-snippets-'))
  readonly #configPath: string = join(this.#directory, 'tsconfig.json')
  readonly #snippets: readonly Snippet[]

  constructor(snippets: readonly Snippet[]) {
    this.#snippets = snippets
    symlinkSync(join(root, 'node_modules'), join(this.#directory, 'node_modules'))
    const config = { extends: join(root, 'tsconfig.json'), compilerOptions: compilerOptions(), include: [] }
    writeFileSync(this.#configPath, JSON.stringify(config))
    writeFileSync(join(this.#directory, 'package.json'), '{ "type": "module" }')
    for (const snippet of snippets) writeFileSync(this.#pathOf(snippet), snippet.program)
  }

  #pathOf({ fileName }: Snippet): string {
    return join(this.#directory, fileName)
  }

  /** @returns what the compiler says, `docs/stores.md:12: …` */
  compile(): readonly string[] {
    const read = ts.readConfigFile(this.#configPath, (path) => readFileSync(path, 'utf8'))
    const { options } = ts.parseJsonConfigFileContent(read.config, ts.sys, this.#directory)
    const rootNames = this.#snippets.map((snippet) => this.#pathOf(snippet))
    const program = ts.createProgram({ rootNames, options })
    return this.#snippets.flatMap((snippet) =>
      ts
        .getPreEmitDiagnostics(program, program.getSourceFile(this.#pathOf(snippet)))
        .map(({ file, start = 0, messageText }) => {
          const line = file?.getLineAndCharacterOfPosition(start).line ?? 0
          return `${lineBelow(snippet.place, line - 1)}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
        }),
    )
  }

  /** @returns what the snippet says on stderr, and why it failed; empty when all is well */
  async run(snippet: Snippet, given: GivenByTest): Promise<string> {
    const cwd = mkdtempSync(join(this.#directory, 'run-'))
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), this.#pathOf(snippet)], {
      cwd,
      env: {
        ...process.env,
        TSX_TSCONFIG_PATH: this.#configPath,
        TLS_SECRET: randomBytes(32).toString('hex'),
        SSLCTX_SNIPPET_GIVEN: JSON.stringify(given),
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 25_000,
      killSignal: 'SIGKILL',
    })
    const [said, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    return code === 0 ? said : `${said}\nended with ${String(code ?? signal)}`
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true })
  }
}

/** `sslctx`, `sslctx/redis` and so on, each with its source below the root of the project. */
export function packageSources(): Readonly<Record<string, string>> {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, { import?: { default: string } }>
  }
  return Object.fromEntries(
    Object.entries(exports).flatMap(([name, entry]) =>
      entry.import === undefined
        ? []
        : [
            [
              join('sslctx', name),
              join('src', relative('dist', entry.import.default)).replace(/\.js$/, '.ts'),
            ],
          ],
    ),
  )
}

/** Those of the project, for JavaScript as well. */
function compilerOptions(): object {
  const sources = Object.entries(packageSources()).map(([name, file]) => [name, [join(root, file)]])
  return {
    noEmit: true,
    rootDir: '/',
    declaration: false,
    isolatedDeclarations: false,
    allowImportingTsExtensions: true,
    rewriteRelativeImportExtensions: false,
    allowJs: true,
    checkJs: true,
    noPropertyAccessFromIndexSignature: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    skipLibCheck: true,
    paths: Object.fromEntries(sources),
  }
}

function lineBelow(place: string, lines: number): string {
  return place.replace(/\d+$/, (line) => String(Number(line) + lines))
}
