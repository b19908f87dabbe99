import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { packagedBinary } from '../../tools/engine-binary.ts'

const built = new URL('../../../dist/index.js', import.meta.url)

const script = `
  const { default: tls } = await import('node:tls')
  const { attachServer, serverOptions, SslContext } = await import(${JSON.stringify(built.href)})
  const context = new SslContext({ sessionIdContext: 'elsewhere' })
  try {
    attachServer(tls.createServer(serverOptions(context)), context)
    console.log('attached')
  } catch (error) {
    console.log(error.code, error.message)
  }
`

const runtimes = [
  { name: 'Bun', specification: '@oven/bun-linux-x64@1', file: 'bin/bun', options: ['-e'] },
  {
    name: 'Deno',
    specification: '@deno/linux-x64-glibc@2',
    file: 'deno',
    options: ['eval', '--no-lock', '--cached-only'],
  },
] as const

export interface OtherRuntime {
  readonly name: string
  /** What the library says there, or why the runtime is missing. */
  readonly answer: string
  /** Undefined when the runtime is missing. */
  readonly refuses: boolean | undefined
}

/** attachServer on runtimes that have no session events: it must say so. */
export async function tryOtherRuntimes(): Promise<readonly OtherRuntime[]> {
  if (!existsSync(built)) throw new Error('dist is missing: npm run build')
  const tried: OtherRuntime[] = []
  for (const { name, specification, file, options } of runtimes) {
    let binary: string
    try {
      binary = await packagedBinary(specification, file)
    } catch (error) {
      tried.push({ name, answer: `missing: ${(error as Error).message}`, refuses: undefined })
      continue
    }
    const { stdout } = await promisify(execFile)(binary, [...options, script])
    const answer = stdout.trim()
    tried.push({ name, answer, refuses: answer.startsWith('ERR_RUNTIME_UNSUPPORTED ') })
  }
  return tried
}
