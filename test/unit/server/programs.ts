import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterTest, certificate } from '../../tools/node-servers.ts'
import { SECRET } from './engine.ts'
import { type ProgramSettings, SETTINGS } from './settings.ts'

/** A program that ends with the test. */
export async function startProgram(
  name: string,
  ...args: string[]
): Promise<{ readonly child: ChildProcess; readonly ports: number[] }> {
  const settings: ProgramSettings = { ...certificate, secret: Buffer.from(SECRET).toString('hex') }
  const child = fork(fileURLToPath(new URL(name, import.meta.url)), args, {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, [SETTINGS]: JSON.stringify(settings) },
  })
  afterTest(() => child.kill('SIGKILL'))
  const [ports] = (await once(child, 'message')) as [number[]]
  return { child, ports }
}
