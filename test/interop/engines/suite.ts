import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const serverTests = ['test/unit/node/', 'test/unit/store/', 'test/proof/hostile/', 'test/proof/kill/']

export interface SuiteResult {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Each with the first line of its reason. */
  readonly failures: readonly string[]
}

/** The part of vitest's JSON report that is read here. */
interface Report {
  readonly numPassedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

/** The tests of the Node servers and their stores, under a Node of choice. */
export async function runSuite(binary: string): Promise<SuiteResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sslctx-engines-'))
  const file = join(folder, 'report.json')
  try {
    const child = spawn(
      binary,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--config=test/vitest.config.ts',
        '--reporter=json',
        `--outputFile=${file}`,
        ...serverTests,
      ],
      { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString()
    })
    const [code] = (await once(child, 'close')) as [number | null]
    if (!existsSync(file)) throw new Error(`vitest wrote no report: ${errors.slice(-2000)}`)
    return summarize(JSON.parse(readFileSync(file, 'utf8')) as Report, code)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function summarize(
  { numPassedTests, numPendingTests, numTodoTests, testResults }: Report,
  exitCode: number | null,
): SuiteResult {
  const failures = testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((fixture) => fixture.status === 'failed')
    // A file that cannot be loaded, or whose hooks fail, has no failed test.
    if (status === 'failed' && failed.length === 0) return [`${name}: ${firstLine(message)}`]
    return failed.map(({ fullName, failureMessages = [] }) => `${fullName}: ${firstLine(failureMessages[0])}`)
  })
  // An error that belongs to no test.
  if (exitCode !== 0 && failures.length === 0) failures.push(`vitest ended with ${exitCode}`)
  return {
    passed: numPassedTests,
    failed: failures.length,
    skipped: numPendingTests + numTodoTests,
    failures,
  }
}

function firstLine(text = ''): string {
  return text.split('\n', 1)[0] ?? ''
}
