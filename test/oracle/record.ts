import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { foundTraces } from './found-traces.ts'
import { generateTrace } from './generator.ts'
import { buildRunner, type Runner } from './libssl.ts'
import { splitObservations } from './observations.ts'
import { formatRecording, traceFolder } from './recording.ts'
import { switchesOf } from './switches.ts'

// npm run record: writes test/oracle/traces anew, with the answers of libssl 3.5 (in Node 24) and 3.0 (the system's).
const RANDOM_TRACES = { node24: 10, system: 4 } as const

async function record(runner: Runner, name: string, trace: readonly string[]): Promise<void> {
  const observed = splitObservations(await runner.run(`${trace.join('\n')}\n`))
  writeFileSync(join(traceFolder, `${name}.txt`), `${formatRecording(trace, observed)}\n`)
}

rmSync(traceFolder, { recursive: true, force: true })
mkdirSync(traceFolder, { recursive: true })
for (const [libssl, count] of Object.entries(RANDOM_TRACES)) {
  const runner = await buildRunner(libssl as keyof typeof RANDOM_TRACES)
  const line = runner.version.split('.').slice(0, 2).join('.')
  for (let seed = 1, made = 0; made < count; seed++) {
    const trace = generateTrace(seed, switchesOf(runner.version))
    // Hundreds of connections are for the live runs.
    if (trace.some((operation) => operation.startsWith('repeat'))) continue
    await record(runner, `random-${String(++made).padStart(2, '0')}-openssl-${line}`, trace)
  }
  for (const [title, trace] of Object.entries(foundTraces))
    await record(runner, `found-${title.replaceAll(/[ .]/g, '-').toLowerCase()}-openssl-${line}`, trace)
}
