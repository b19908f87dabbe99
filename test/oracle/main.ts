import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { describeDivergence, runRandomTraces } from './conformance.ts'
import { buildRunner, type LibsslName, libsslNames } from './libssl.ts'

// npm run conformance -- --steps N --seed S --libssl system|node20|node22|node24|node26
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    libssl: { type: 'string', default: 'system' },
  },
})

const steps = Number(values.steps)
const seed = Number(values.seed)
const name = libsslNames.find((known) => known === values.libssl)
if (!Number.isSafeInteger(steps) || steps < 1 || !Number.isSafeInteger(seed) || name === undefined) {
  console.error(`usage: conformance [--steps N] [--seed S] [--libssl ${libsslNames.join('|')}]`)
  process.exit(2)
}
await check(name)

async function check(libssl: LibsslName): Promise<void> {
  const runner = await buildRunner(libssl)
  console.log(`conformance: libssl ${libssl} (OpenSSL ${runner.version}), seed ${seed}`)
  const result = await runRandomTraces(runner, steps, seed, (done) => {
    if (process.stdout.isTTY) process.stdout.write(`\r${done} steps`)
  })
  if (result.divergence !== undefined) console.log(describeDivergence(result.divergence))
  const count = result.divergence === undefined ? '0 divergences' : '1 DIVERGENCE'
  console.log(`conformance: ${result.steps} steps, ${count}, OpenSSL ${runner.version}`)
  process.exitCode = result.divergence === undefined ? 0 : 1
}
