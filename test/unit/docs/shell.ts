import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { helpOf } from '../../tools/doctor.ts'
import { root } from '../../tools/markdown.ts'

/** What is wrong with a command line of the documentation; undefined when it can be typed as it is. */
export async function problemWith(line: string): Promise<string | undefined> {
  const [program = '', first = '', second = '', ...rest] = line.trim().split(/\s+/)
  if (program === 'npm') return problemWithNpm(first, second)
  if (program === 'npx' && first === 'sslctx') return problemWithCommand(second, rest)
  return `${program} ${first} is neither npm nor npx sslctx`
}

/** Lines of a fence, `a && b` as two, without comments and what `#` says about them. */
export function commandsOf(code: string): readonly string[] {
  return code
    .split('\n')
    .flatMap((line) => line.replace(/(^|\s)#.*/, '').split('&&'))
    .map((command) => command.trim())
    .filter((command) => command !== '')
}

function problemWithNpm(command: string, script: string): string | undefined {
  if (['install', 'ci', 'test'].includes(command)) return undefined
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
  return command === 'run' && Object.hasOwn(scripts, script)
    ? undefined
    : `npm ${command} ${script} is not there`
}

/** By what `--help` says, which is what people have. */
async function problemWithCommand(name: string, args: readonly string[]): Promise<string | undefined> {
  const commands = await helpOf()
  if (!commands.includes(`\n  sslctx ${name} `)) return `sslctx ${name} is not there`
  const help = await helpOf(name)
  const known = new Set(help.match(/--[a-z-]+/g))
  const unknown = args.filter((word) => word.startsWith('--') && !known.has(word))
  return unknown.length > 0 ? `sslctx ${name} has no ${unknown.join(', ')}` : undefined
}
