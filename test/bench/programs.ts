import { type ChildProcess, execFile, fork } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { build as bundle, type Plugin } from 'esbuild'
import ts from 'typescript'
import type { Sample } from './compare.ts'

const exec = promisify(execFile)
const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const out = join(root, 'node_modules/.cache/sslctx-bench')
const libsslProgram = join(out, 'libssl-cache')

/** Room for 10^7 sessions. */
const NODE_OPTIONS = ['--expose-gc', '--max-old-space-size=20000']

/**
 * Builds dist, which is what is measured, and the sides: each to plain JavaScript that imports dist, so that no loader
 * stands between them and the engine.
 */
export async function build(): Promise<void> {
  try {
    await exec('npm', ['run', '--silent', 'build'], { cwd: root })
  } catch (error) {
    throw new Error(`npm run build fails: ${(error as { stdout?: string }).stdout ?? ''}`, { cause: error })
  }
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  // Not public, so that dist has no file of it.
  const codec = ['client-hello', 'client-hello-records'].map((name) => join(root, `src/codec/${name}.ts`))
  await exec('npx', ['esbuild', ...codec, '--bundle', '--format=esm', `--outdir=${join(out, 'codec')}`])
  const sides = join(here, 'sides')
  for (const file of readdirSync(sides))
    writeFileSync(sidePath(file.slice(0, -3)), transpile(join(sides, file)))
  await buildUnobserved()
}

/** What the library would be without its events and its counts of handshakes. */
const UNOBSERVED: Readonly<Record<string, string>> = {
  'channels.ts': `
    export const observer = undefined
    export const isHandshakeHeard = () => false
    export const publishHandshake = () => undefined`,
  'handshake-tally.ts': `
    export class HandshakeTally {
      counts = { reasons: {}, protocols: {} }
      count() {}
    }`,
}

const unobserve: Plugin = {
  name: 'unobserve',
  setup(bundler) {
    bundler.onLoad({ filter: /\/observability\/[^/]*$/ }, ({ path }) => {
      const contents = UNOBSERVED[basename(path)]
      return contents === undefined ? undefined : { contents }
    })
  },
}

async function buildUnobserved(): Promise<void> {
  const outfile = join(out, 'unobserved.mjs')
  await bundle({
    entryPoints: [join(root, 'src/index.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    plugins: [unobserve],
  })
  const server = readFileSync(sidePath('tls-server'), 'utf8')
  const observed = pathToFileURL(join(root, 'dist/index.js')).href
  writeFileSync(sidePath('tls-server-unobserved'), server.replace(observed, './unobserved.mjs'))
}

function transpile(file: string): string {
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), { compilerOptions: options })
  const dist = pathToFileURL(join(root, 'dist')).href
  return outputText
    .replaceAll(/(['"])\.\.\/\.\.\/\.\.\/src\/codec\/([^'"]*)\.ts\1/g, `'./codec/$2.js'`)
    .replaceAll(/(['"])\.\.\/\.\.\/\.\.\/src\/([^'"]*)\.ts\1/g, `'${dist}/$2.js'`)
    .replaceAll(/(['"])\.\/([^'"]*)\.ts\1/g, `'./$2.mjs'`)
}

function sidePath(side: string): string {
  return join(out, `${side}.mjs`)
}

/** @returns the version of libssl, or why there is none */
export async function buildLibssl(): Promise<{ readonly version?: string; readonly missing?: string }> {
  try {
    await exec('cc', ['-O2', join(here, 'libssl-cache.c'), '-o', libsslProgram, '-lssl', '-lcrypto'])
  } catch (error) {
    const stderr = (error as { stderr?: string }).stderr ?? String(error)
    return { missing: `cc and the headers of OpenSSL are needed: ${stderr.split('\n')[0]}` }
  }
  const { stdout } = await exec(libsslProgram, ['version'])
  return { version: stdout.trim().split(' ').slice(0, 2).join(' ') }
}

/** Runs a side in a process of its own. */
export async function runSide(side: string, ...args: readonly (string | number)[]): Promise<Sample> {
  const { stdout } = await exec(process.execPath, [...NODE_OPTIONS, sidePath(side), ...args.map(String)])
  return JSON.parse(stdout) as Sample
}

export async function runLibssl(...args: readonly (string | number)[]): Promise<Sample> {
  const { stdout } = await exec(libsslProgram, args.map(String))
  return JSON.parse(stdout) as Sample
}

/** Starts a side that goes on, and speaks by messages. */
export function startSide(side: string): ChildProcess {
  return fork(sidePath(side), [], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}
