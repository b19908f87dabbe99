import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { describeDivergence, runRandomTraces } from './conformance.ts'
import { buildRunner } from './libssl.ts'
import { everyLibssl, findLibssl, type KnownLibssl } from './libssl-names.ts'

// npm run conformance -- --steps N --seed S --libssl NAME|all
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    libssl: { type: 'string', default: 'system' },
  },
})

const steps = Number(values.steps)
const seed = Number(values.seed)
const found = values.libssl === 'all' ? everyLibssl : [findLibssl(values.libssl)]
if (!Number.isSafeInteger(steps) || steps < 1 || !Number.isSafeInteger(seed) || found.includes(undefined)) {
  console.error(`usage: conformance [--steps N] [--seed S] [--libssl all|system|NAME]
  ${everyLibssl.map(({ name }) => name).join(' ')}, or node and a version`)
  process.exit(2)
}
for (const libssl of found) if (libssl !== undefined) await check(libssl)

async function check(libssl: KnownLibssl): Promise<void> {
  const runner = await buildRunner(libssl)
  console.log(`conformance: libssl ${libssl.name} (OpenSSL ${runner.version}), seed ${seed}`)
  const result = await runRandomTraces(runner, steps, seed, (done) => {
    if (process.stdout.isTTY) process.stdout.write(`\r${done} steps`)
  })
  if (result.divergence !== undefined) console.log(describeDivergence(result.divergence))
  const count = result.divergence === undefined ? '0 divergences' : '1 DIVERGENCE'
  console.log(`conformance: ${result.steps} steps, ${count}, OpenSSL ${runner.version}`)
  if (result.divergence !== undefined) process.exitCode = 1
}
