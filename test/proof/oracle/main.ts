import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { describeDivergence, runRandomTraces } from './conformance.ts'
import { Coverage, type CoverageRow } from './coverage.ts'
import { buildRunner } from './libssl.ts'
import { everyLibssl, findLibssl, type KnownLibssl, knownVersions } from './libssl-names.ts'

// npm run conformance -- --steps N --seed S --libssl NAME|all --rare --coverage
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    libssl: { type: 'string', default: 'system' },
    rare: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
  },
})

const steps = Number(values.steps)
const seed = Number(values.seed)
const found =
  values.libssl === 'all' ? everyLibssl : [findLibssl(values.libssl)].filter((known) => known !== undefined)
if (!Number.isSafeInteger(steps) || steps < 1 || !Number.isSafeInteger(seed) || found.length === 0) {
  console.error(`usage: conformance [--steps N] [--seed S] [--libssl all|system|NAME] [--rare] [--coverage]
--rare aims at rules that random operations seldom meet; --coverage counts what the traces exercise
NAME is one of ${everyLibssl.map(({ name }) => name).join(' ')}, or node and a version`)
  process.exit(2)
}
const coverage = values.coverage ? new Coverage() : undefined
const rows: string[][] = []
for (const libssl of found) {
  const row = await check(libssl)
  if (row !== undefined) rows.push(row)
}
if (rows.length > 1) printTable([['libssl', 'OpenSSL', 'steps', 'divergences'], ...rows])
if (coverage !== undefined) printCoverage(coverage)

/** @returns its row of the table; undefined when it was not run */
async function check({ name, version, source }: KnownLibssl): Promise<string[] | undefined> {
  const runner = await buildRunner({ name, version, source }).catch((error: unknown) => {
    // Without a compiler and the headers, the machine's own cannot be run. CI insists on it.
    if (source.kind !== 'system' || process.env['SSLCTX_REQUIRE_PEERS'] === '1') throw error
    console.log(`conformance: not run, ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  })
  if (runner === undefined) return undefined
  if (source.kind === 'system' && !knownVersions.has(runner.version)) {
    console.log(`conformance: not run, the proof does not know OpenSSL ${runner.version}`)
    return undefined
  }
  const moved = version === undefined || version === runner.version ? '' : ` (${version} is gone from there)`
  console.log(`conformance: libssl ${name} (OpenSSL ${runner.version}), seed ${seed}`)
  const result = await runRandomTraces(runner, steps, seedOf(name), {
    aim: values.rare ? 'rare' : 'all',
    progress: (done) => {
      if (process.stdout.isTTY) process.stdout.write(`\r${done} steps`)
    },
    coverage,
  })
  if (result.divergence !== undefined) console.log(describeDivergence(result.divergence))
  const divergences = result.divergence === undefined ? '0' : '1'
  const count = result.divergence === undefined ? '0 divergences' : '1 DIVERGENCE'
  console.log(`conformance: ${result.steps} steps, ${count}, OpenSSL ${runner.version}`)
  if (result.divergence !== undefined) process.exitCode = 1
  return [name, `${runner.version}${moved}`, String(result.steps), divergences]
}

/** Each has traces of its own, so that all of them see so many times more. */
function seedOf(name: string): number {
  let own = seed
  for (const letter of name) own = Math.imul(own ^ letter.charCodeAt(0), 0x01000193)
  return own
}

/** No row may stay at zero without a reason. */
function printCoverage(counted: Coverage): void {
  const cells = ({ name, count, reason }: CoverageRow): string[] => [
    name,
    reason === undefined ? String(count) : `- ${reason}`,
  ]
  printTable([['rule', 'operations that show it'], ...counted.rules().map(cells)])
  printTable([['switch', 'traces that show it'], ...counted.switches().map(cells)])
  const missed = [...counted.rules(), ...counted.switches()].filter(
    ({ count, reason }) => count === 0 && reason === undefined,
  )
  if (missed.length === 0) return
  console.log(`not exercised: ${missed.map(({ name }) => name).join(', ')}`)
  process.exitCode = 1
}

function printTable(lines: readonly (readonly string[])[]): void {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
}
