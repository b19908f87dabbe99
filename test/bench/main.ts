/**
 * What the cache costs, next to what people would run instead.
 *
 *   npm run bench [-- <name> ...] [--rounds=<factor>] [--setting=<part of its name>]
 *
 * A setting is what handshakes are measured with, such as "Node 20.20.2, ECDSA".
 * Without names: everything, and RESULTS.md, HANDSHAKES.md and results.svg are written. `growth` is one name; so is `handshakes`, with
 * which HANDSHAKES.md is written.
 */
import { writeFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { versions } from 'node:process'
import { parseArgs } from 'node:util'
import { benchmarks, growth, type Peers } from './benchmarks.ts'
import { type Benchmark, type Comparison, compare } from './compare.ts'
import { build, buildLibssl } from './programs.ts'
import { benchLine, handshakesFile, resultsChart, resultsFile, summaryTable } from './report.ts'
import { findSettings } from './settings.ts'

/** What 10^7 sessions of libssl need, the larger of the two. */
const TEN_MILLION_BYTES = 12 * 2 ** 30

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '1' }, setting: { type: 'string', default: '' } },
})

await build()
const peers: Peers = { libssl: await buildLibssl(), settings: await findSettings(values.setting) }
const selected = select(positionals)
const missing = new Map(
  selected
    .flatMap(({ peers }) => peers.map(({ name, missing }) => [name, missing] as const))
    .filter(isMissing),
)
for (const [peer, reason] of missing) console.log(`missing: ${peer}: ${reason}`)
if (missing.size > 0 && process.env['SSLCTX_REQUIRE_PEERS'] === '1') process.exit(1)

const comparisons: Comparison[] = []
for (const benchmark of selected) {
  for (const comparison of await compare(benchmark, Number(values.rounds))) {
    comparisons.push(comparison)
    console.log(benchLine(comparison))
  }
}
console.log(`\n${summaryTable(comparisons)}`)
const isWhole = positionals.length === 0 && values.setting === ''
if (isWhole || positionals.join() === 'handshakes') {
  const run = {
    comparisons: comparisons.filter(({ benchmark }) => benchmark.isPaired !== true),
    handshakes: comparisons.filter(({ benchmark }) => benchmark.isPaired === true),
    rounds: Number(values.rounds),
    missing,
    versions: {
      Node: versions.node,
      V8: versions.v8,
      'libssl of Node': versions.openssl,
      peer: peers.libssl.version ?? '',
    },
  }
  writeFileSync(new URL('HANDSHAKES.md', import.meta.url), handshakesFile(run))
  if (isWhole) {
    writeFileSync(new URL('RESULTS.md', import.meta.url), resultsFile(run))
    writeFileSync(new URL('results.svg', import.meta.url), resultsChart(run))
  }
}

function select(names: readonly string[]): Benchmark[] {
  const largest = freemem() > TEN_MILLION_BYTES ? 10_000_000 : 1_000_000
  const all = benchmarks(peers)
  const growing = growth(peers, largest)
  if (names.length === 0) return [...all, ...growing]
  return names.flatMap((name) => {
    const found = [...all, ...growing].filter((one) => one.name === name || isOf(name, one))
    if (found.length > 0) return found
    const known = [...all.map((one) => one.name), 'growth', 'handshakes'].join(', ')
    throw new Error(`no benchmark is called ${name}; there are ${known}`)
  })
}

/** The names of several. */
function isOf(group: string, { name, isPaired }: Benchmark): boolean {
  return (group === 'growth' && name.startsWith('growth-')) || (group === 'handshakes' && isPaired === true)
}

function isMissing(entry: readonly [string, string | undefined]): entry is readonly [string, string] {
  return entry[1] !== undefined
}
