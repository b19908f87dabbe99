import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { nextMessage } from '../server-process.ts'

const repository = new URL('../../..', import.meta.url).pathname
/** The scripts, and what they import. */
const sources = [
  'src/errors.ts',
  'src/session/arguments.ts',
  'src/session/awaitable.ts',
  'src/session/bytes.ts',
  'src/store/lmdb-disk.ts',
  'src/store/lmdb-environment.ts',
  'src/store/lmdb-format.ts',
  'src/store/lmdb-marks.ts',
  'src/store/lmdb-store.ts',
  'src/store/store-arguments.ts',
  'test/tools/lmdb/lmdb-inspection.ts',
  'test/tools/lmdb/lmdb-set-one.ts',
  'test/tools/lmdb/lmdb-trouble.ts',
  'test/tools/lmdb/lmdb-worker.ts',
  'test/tools/lmdb/lmdb-writer.ts',
]

let compiled: string | undefined

/** The path of a script of this folder as JavaScript, which starts in a third of the time: the tests start dozens of them. */
export function lmdbScript(name: 'lmdb-set-one' | 'lmdb-trouble' | 'lmdb-worker' | 'lmdb-writer'): string {
  compiled ??= compile()
  return join(compiled, 'test/tools/lmdb', `${name}.js`)
}

function compile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sslctx-lmdb-scripts-'))
  process.on('exit', removeLmdbScripts)
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  const compilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  }
  for (const source of sources) {
    const target = join(directory, source.replace(/ts$/, 'js'))
    mkdirSync(dirname(target), { recursive: true })
    const text = readFileSync(join(repository, source), 'utf8')
    writeFileSync(target, ts.transpileModule(text, { compilerOptions }).outputText)
  }
  return directory
}

/** For a test runner, whose processes may end without an `exit` event. */
export function removeLmdbScripts(): void {
  if (compiled !== undefined) rmSync(compiled, { recursive: true, force: true })
  compiled = undefined
}

/** Starts one; it has sent its first message, which says that it has the environment open. */
export async function startLmdbScript(
  name: 'lmdb-worker' | 'lmdb-writer',
  path: string,
): Promise<ChildProcess> {
  const child = fork(lmdbScript(name), [path], { execArgv: [], stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  await nextMessage(child)
  return child
}
