import type { ChildProcess } from 'node:child_process'
import { afterTest, certificate } from '../../tools/node-servers.ts'
import { forkScript, nextMessage } from '../../tools/server-process.ts'
import { SECRET } from './engine.ts'
import { type ProgramSettings, SETTINGS } from './settings.ts'

/** A program that ends with the test. */
export async function startProgram(
  name: string,
  ...args: string[]
): Promise<{ readonly child: ChildProcess; readonly ports: number[] }> {
  const settings: ProgramSettings = { ...certificate, secret: Buffer.from(SECRET).toString('hex') }
  const child = forkScript(new URL(name, import.meta.url), {
    args,
    env: { [SETTINGS]: JSON.stringify(settings) },
  })
  afterTest(() => child.kill('SIGKILL'))
  return { child, ports: await nextMessage(child) }
}
