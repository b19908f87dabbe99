/**
 * What a resumed handshake costs a server in code: instructions, and the lines of the processor's cache that they lie in. Both are counted
 * by valgrind, so that a busy machine does not change them; from run to run they differ by a few per cent. A handshake takes some 100 ns for a thousand instructions, and 17 for
 * each line, since between two handshakes the code leaves the caches.
 *
 *   npm run bench:code
 *   npm run bench:code -- "26.12.1, ECDSA"
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { missingCommand } from '../tools/peers.ts'
import { letGo, nextMessage } from '../tools/server-process.ts'
import { type CountedCode, countCode } from './callgrind.ts'
import { build, startSide } from './programs.ts'
import { findSettings } from './settings.ts'
import type { Load, LoadResult } from './sides/load-generator.ts'
import type { ServerKind } from './sides/tls-server.ts'
import { type FloorKind, nodeServer, WARM_UP } from './tls-load.ts'

const DUMPS = 11
/** Handshakes in a dump. The first is a full one. */
const PORTION = 50

const ROWS = [
  { name: 'tls12-resume', version: 'TLSv1.2', sides: ['attached', 'map', 'job'] },
  { name: 'tls13-resume', version: 'TLSv1.3', sides: ['attached', 'floor', 'job'] },
  { name: 'tls13-ticket', version: 'TLSv1.3', sides: ['ticketed', 'ticket-floor'] },
] as const satisfies readonly {
  readonly name: string
  readonly version: Load['version']
  readonly sides: readonly (ServerKind | FloorKind)[]
}[]

const missing = missingCommand('valgrind', '--version')
if (missing !== undefined) throw new Error(`valgrind is needed: ${missing}`)
await build()
const [setting] = await findSettings(process.argv[2] ?? 'ECDSA')
const folder = mkdtempSync(join(tmpdir(), 'sslctx-bench-code-'))
try {
  for (const { name, version, sides } of ROWS)
    for (const side of sides) {
      const { instructions, lines, compiledLines } = await count(side, version)
      console.log(
        `code: ${name} ${side}: ${instructions} instructions, ${lines} lines, ${compiledLines} of them JavaScript`,
      )
    }
} finally {
  rmSync(folder, { recursive: true })
}

async function count(side: ServerKind | FloorKind, version: Load['version']): Promise<CountedCode> {
  const file = join(folder, side)
  const options = ['--tool=callgrind', '--instr-atstart=no', '--dump-instr=yes', '--separate-threads=yes']
  const server = await nodeServer(side, setting, [
    'valgrind',
    '--quiet',
    '--smc-check=all-non-file',
    ...options,
    `--callgrind-out-file=${file}`,
    setting.binary,
  ])
  const generator = startSide('load-generator')
  const load = async (): Promise<void> => {
    const portion: Load = {
      port: server.port,
      version,
      resumes: true,
      connections: PORTION,
      lanes: 1,
      isFresh: true,
    }
    generator.send(portion)
    const { full, failed } = await nextMessage<LoadResult>(generator)
    if (full > 1 || failed > 0) throw new Error(`${full} full, ${failed} failed`)
  }
  const control = (...command: readonly string[]): void => {
    execFileSync('callgrind_control', [...command, String(server.pid)], { stdio: 'ignore' })
  }
  for (let left = WARM_UP.cpu; left > 0; left -= PORTION) await load()
  control('-i', 'on')
  const dumps: string[] = []
  while (dumps.length < DUMPS) {
    await load()
    control('-d')
    // The first thread is the one of JavaScript.
    dumps.push(`${file}.${dumps.length + 1}-01`)
  }
  await letGo(generator)
  await server.stop()
  return countCode(dumps, PORTION)
}
