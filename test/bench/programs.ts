import { type ChildProcess, execFile, fork } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import ts from 'typescript'
import { missingCommand } from '../tools/peers.ts'
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

/** Of what is measured on one processor: it is the last, since the system's own work goes to the first more often. */
const MEASURED_CPU = availableParallelism() - 1

/** Why nothing can be tied to a processor here. */
export const tasksetProblem: string | undefined = missingCommand('taskset', '--version')

/** @returns the command that starts a program on the processor of the measurement */
export function onMeasuredCpu(...command: readonly string[]): string[] {
  return ['taskset', '--cpu-list', String(MEASURED_CPU), ...command]
}

/**
 * What all threads of the processes have used. The kernel is asked, which counts in nanoseconds: a question to the processes would be
 * among what is measured.
 *
 * @returns microseconds
 */
export function cpuUsOf(pids: readonly number[]): number {
  const threads = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((id) => `/proc/${pid}/task/${id}`),
  )
  // proc(5): nanoseconds on a processor, nanoseconds of waiting for one, turns.
  const used = threads.map((thread) => Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0]))
  return used.reduce((sum, ns) => sum + ns, 0) / 1000
}

/**
 * Starts a side that goes on, and speaks by messages.
 *
 * @param binary - the Node that runs it
 * @param isPinned - it shares the processor of the measurement with all others that do
 */
export function startSide(side: string, binary: string = process.execPath, isPinned = false): ChildProcess {
  return startSideUnder(isPinned ? onMeasuredCpu(binary) : [binary], side)
}

/** @param command - that runs the script, a Node at its end */
export function startSideUnder(command: readonly string[], side: string): ChildProcess {
  const [execPath = process.execPath, ...execArgv] = command
  return fork(sidePath(side), [], { execPath, execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}
