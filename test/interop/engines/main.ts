import { parseArgs } from 'node:util'
import { makeCertificate } from '../../tools/certificate.ts'
import { type Engine, findEngines } from '../../tools/engine-binary.ts'
import { ScriptProcess } from '../../tools/server-process.ts'
import { SERVER_NAME } from './clients.ts'
import { tryOtherRuntimes } from './other-runtimes.ts'
import { type Pair, pairClients, runPairs } from './pairs.ts'
import type { FromProbe, StartProbe } from './probe.ts'
import { runSuite } from './suite.ts'

// npm run test:engines [-- --pairs]
const { values } = parseArgs({ options: { pairs: { type: 'boolean', default: false } } })

const engines = await findEngines()
const totals = { passed: 0, failed: 0 }
if (!values.pairs) {
  await runSuites()
  await printFeatures()
  await printOtherRuntimes()
}
const pairs = await runPairs(engines)
printPairs(pairs)
const resumed = pairs.filter(({ problems }) => problems.length === 0).length
const tests = values.pairs ? '' : `${totals.passed} tests passed, ${totals.failed} failed, `
console.log(
  `engines: ${engines.length} engines, ${tests}${resumed} of ${pairs.length} maker/resumer pairs resume`,
)
process.exitCode = totals.failed > 0 || resumed < pairs.length ? 1 : 0

async function runSuites(): Promise<void> {
  const rows: string[][] = []
  for (const { version, binary } of engines) {
    const { passed, failed, skipped, failures } = await runSuite(binary)
    totals.passed += passed
    for (const failure of failures) fail(`Node ${version}: ${failure}`)
    rows.push([`Node ${version}`, `${passed}`, `${failed}`, `${skipped}`])
  }
  printTable('the server tests', ['', 'passed', 'failed', 'skipped'], rows)
}

async function printFeatures(): Promise<void> {
  const certificate = await makeCertificate(SERVER_NAME)
  const found: FromProbe[] = []
  for (const { version, binary } of engines) {
    const process = new ScriptProcess<StartProbe, FromProbe>(
      new URL('./probe.ts', import.meta.url),
      `the probe on ${version}`,
      { binary },
    )
    process.send({ type: 'start', certificate })
    const features = await process.next('features')
    await process.letGo()
    found.push(features)
    for (const danger of features.dangers) fail(`Node ${version}: ${danger}`)
  }
  const names = Object.keys(found[0]?.features ?? {}) as (keyof FromProbe['features'])[]
  const rows = names.map((name) => [name, ...found.map(({ features }) => features[name])])
  printTable('what each Node does', ['', ...engines.map(({ version }) => version)], rows)
}

async function printOtherRuntimes(): Promise<void> {
  const tried = await tryOtherRuntimes()
  printTable(
    'attachServer elsewhere',
    ['', 'says'],
    tried.map(({ name, answer }) => [name, answer]),
  )
  for (const { name, answer, refuses } of tried) if (refuses === false) fail(`${name}: ${answer}`)
}

function printPairs(pairs: readonly Pair[]): void {
  const label = ({ version }: Engine): string => version
  for (const protocol of ['TLSv1.2', 'TLSv1.3']) {
    const rows = engines.map((maker) => [
      label(maker),
      ...pairs
        .filter((pair) => pair.maker === maker && pair.protocol === protocol)
        .map(({ problems }) => (problems.length === 0 ? 'resumes' : 'FAILS')),
    ])
    const clients = pairClients().map(({ name }) => name)
    printTable(
      `${protocol}: made by row, resumed by column; clients: ${clients.join(', ')}`,
      ['', ...engines.map(label)],
      rows,
    )
  }
  for (const { maker, resumer, protocol, problems } of pairs)
    for (const problem of problems)
      console.log(`FAILED ${protocol}, made by ${maker.version}, on ${resumer.version}: ${problem}`)
}

function fail(what: string): void {
  totals.failed++
  console.log(`FAILED ${what}`)
}

function printTable(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  console.log(`\n${title}`)
  for (const row of all)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
  console.log()
}
