import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { afterTest, start } from '../../tools/node-servers.ts'
import { run } from './run-command.ts'

const MAIN = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))

/** The command as a process of its own. */
function launch(args: readonly string[], stdout: 'pipe' | number = 'pipe', preload?: string): ChildProcess {
  const imports = ['--import', 'tsx', ...(preload === undefined ? [] : ['--import', preload])]
  const child = spawn(process.execPath, [...imports, MAIN, ...args], { stdio: ['ignore', stdout, 'pipe'] })
  afterTest(() => child.kill('SIGKILL'))
  return child
}

async function ended(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stderr }
}

const doctorArgs = async (...more: string[]): Promise<string[]> => [
  'doctor',
  `127.0.0.1:${(await start()).port}`,
  '--attempts',
  '1',
  ...more,
]

describe('the process around sslctx', () => {
  test('ends with 4 when its output cannot be written', async () => {
    const { code, stderr } = await ended(launch(await doctorArgs(), openSync('/dev/full', 'w')))
    expect([code, stderr]).toEqual([4, 'sslctx: the output cannot be written (ENOSPC)\n'])
  })

  test('ends with its own exit code when nobody reads to the end', async () => {
    const child = launch(await doctorArgs('--json'))
    child.stdout?.destroy()
    expect(await ended(child)).toEqual({ code: 0, stderr: '' })
  })

  test('ends with 4, in one line, when there is a fault in it', async () => {
    // As soon as the command listens for it.
    const fault = `data:text/javascript,process.on('newListener', (event) => {
      if (event === 'uncaughtException') setImmediate(() => { throw new TypeError('a\\u001b[31m') })
    })`
    const late = launch(await doctorArgs('--watch', '60'), 'pipe', fault)
    expect(await ended(late)).toEqual({
      code: 4,
      stderr: 'sslctx: this is a fault of sslctx itself, please report it: TypeError: a?[31m\n',
    })
  })

  test('with --watch and --json writes a line for each examination, until it is interrupted', async () => {
    const child = launch(await doctorArgs('--watch', '0.1', '--json'))
    const lines: string[] = []
    if (child.stdout === null) throw new Error('no output')
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line)
      if (lines.length === 3) child.kill('SIGINT')
    }
    const [code] = child.exitCode === null ? ((await once(child, 'exit')) as [number]) : [child.exitCode]
    expect(code).toBe(0)
    const reports = lines.map((line) => JSON.parse(line) as { exitCode: number; time: string })
    expect(reports.length).toBeGreaterThanOrEqual(3)
    expect(reports.every(({ exitCode, time }) => exitCode === 0 && !Number.isNaN(Date.parse(time)))).toBe(
      true,
    )
  })

  test('with --watch ends when nobody reads any more', async () => {
    const child = launch(await doctorArgs('--watch', '0.1'))
    child.stdout?.once('data', () => child.stdout?.destroy())
    expect((await ended(child)).code).toBe(0)
  })
})

test('--version names the package, Node and OpenSSL', async () => {
  const { exitCode, stdout } = await run(['--version'])
  expect([exitCode, stdout]).toEqual([
    0,
    expect.stringMatching(/^sslctx \d+\.\d+\.\d+ \(Node \S+, OpenSSL \S+\)\n$/),
  ])
})

test.each([40, 60, 80, 132])(
  'at a terminal of %i columns no line is broken by the terminal',
  async (columns) => {
    const { stdout } = await run(await doctorArgs(), { isTerminal: true, columns, env: { NO_COLOR: '1' } })
    const long = stdout.split('\n').filter((line) => line.length > columns)
    expect(long).toEqual([])
    expect(stdout).toContain('on the next connection')
  },
)

test('where nobody says how wide the terminal is, the table is whole', async () => {
  const { stdout } = await run(await doctorArgs())
  expect(stdout).toMatch(/^ +TLS 1\.2 by session id +TLS 1\.2 by ticket +TLS 1\.3$/m)
})
