import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { foundTraces } from './found-traces.ts'
import { generateTrace } from './generator.ts'
import { buildRunner, type Runner } from './libssl.ts'
import { findLibssl } from './libssl-names.ts'
import { splitObservations } from './observations.ts'
import { formatRecording, traceFolder } from './recording.ts'
import { switchesOf } from './switches.ts'

// npm run record: writes test/proof/oracle/traces anew, with the answers of releases on either side of every switch.
const RANDOM_TRACES = {
  '1.1.1w': 2,
  'node18.0': 0,
  'node20.9': 1,
  'node22.11': 0,
  '3.0.17': 1,
  '3.0.22': 3,
  node25: 1,
  '3.5.9': 6,
  '3.6.5': 1,
  '4.0.3': 1,
} as const

async function record(runner: Runner, name: string, trace: readonly string[]): Promise<void> {
  const observed = splitObservations(await runner.run(`${trace.join('\n')}\n`))
  writeFileSync(join(traceFolder, `${name}.txt`), `${formatRecording(trace, observed)}\n`)
}

rmSync(traceFolder, { recursive: true, force: true })
mkdirSync(traceFolder, { recursive: true })
for (const [libssl, count] of Object.entries(RANDOM_TRACES)) {
  const known = findLibssl(libssl)
  if (known === undefined) throw new Error(`${libssl} is no name of a libssl`)
  const runner = await buildRunner(known)
  const line = runner.version
  for (let seed = 1, made = 0; made < count; seed++) {
    const trace = generateTrace(seed, switchesOf(runner.version))
    // Hundreds of connections are for the live runs.
    if (trace.some((operation) => operation.startsWith('repeat'))) continue
    await record(runner, `random-${String(++made).padStart(2, '0')}-openssl-${line}`, trace)
  }
  for (const [title, trace] of Object.entries(foundTraces))
    await record(runner, `found-${title.replaceAll(/[ .]/g, '-').toLowerCase()}-openssl-${line}`, trace)
}
