import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** One line of testssl's JSON. */
export interface Finding {
  readonly id: string
  readonly severity: string
  readonly finding: string
}

export type Findings = ReadonlyMap<string, Finding>

export async function findCommand(): Promise<string> {
  for (const command of ['testssl', 'testssl.sh']) {
    const isThere = await promisify(execFile)('which', [command]).then(
      () => true,
      () => false,
    )
    if (isThere) return command
  }
  throw new Error('testssl.sh is not installed (Debian: apt-get install testssl.sh)')
}

/** @param probes - options that say what is looked at */
export async function probe(
  command: string,
  port: number,
  folder: string,
  probes: readonly string[],
): Promise<Findings> {
  const file = join(folder, `${port}.json`)
  const options = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'min', '--ip', 'one']
  // Its exit code is the number of its own remarks.
  const child = spawn(command, [...options, '--jsonfile', file, ...probes, `127.0.0.1:${port}`], {
    stdio: 'ignore',
  })
  await once(child, 'exit')
  const findings = JSON.parse(readFileSync(file, 'utf8')) as Finding[]
  return new Map(findings.map((finding) => [finding.id, finding]))
}
