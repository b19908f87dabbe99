import { parseArgs } from 'node:util'
import { ENGINES, type EngineName } from '../../tools/engine-store.ts'
import { type ConditionReport, type Growth, type PhaseReport, percent, runChaos, sum } from './run.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, engine: { type: 'string', multiple: true } },
})
const engines = values.engine === undefined ? ENGINES : values.engine.map(engineOf)

function engineOf(name: string): EngineName {
  const engine = ENGINES.find((one) => one === name)
  if (engine === undefined) throw new Error(`--engine must be one of ${ENGINES.join(', ')}`)
  return engine
}

function print({ engine, title, phases, growth, problems }: ConditionReport): void {
  console.log(`\n${engine}: ${title}`)
  for (const phase of phases) console.log(`  ${phaseLine(phase)}`)
  console.log(`  ${serverLine(phases, growth)}`)
  for (const problem of problems) console.log(`  NOT AS PROMISED: ${problem}`)
}

function phaseLine({ phase, failures, cut, resumptionRate, latenciesMs, servers }: PhaseReport): string {
  const at = (share: number): string =>
    (latenciesMs[Math.ceil(latenciesMs.length * share) - 1] ?? 0).toFixed(0).padStart(3)
  const lookupMs = Math.max(...servers.map(({ maxLookupMs }) => maxLookupMs))
  const stallMs = Math.max(...servers.map(({ maxStallMs }) => maxStallMs))
  return [
    `${phase.padEnd(14)} ${percent(resumptionRate).padStart(7)} resumed, ${failures.length} failed`,
    `p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms`,
    `lookup max ${lookupMs.toFixed(0).padStart(3)} ms (stall ${stallMs.toFixed(0)})`,
    ...reasonCounts(servers),
    ...(cut > 0 ? [`${cut} connections cut with their server`] : []),
  ].join(', ')
}

function reasonCounts(servers: PhaseReport['servers']): string[] {
  const counts = new Map<string, number>()
  for (const { reasons } of servers)
    for (const [reason, count] of Object.entries(reasons))
      if (reason !== 'external') counts.set(reason, (counts.get(reason) ?? 0) + count)
  return [...counts].map(([reason, count]) => `${reason} ${count}`)
}

function serverLine(phases: readonly PhaseReport[], growth: readonly Growth[]): string {
  const last = phases.at(-1)?.servers ?? []
  const mega = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`
  const grown = (of: keyof Growth): string => growth.map((server) => mega(server[of])).join(' and ')
  const all = phases.flatMap(({ servers }) => servers)
  const total = (counts: Readonly<Record<string, number>>): number => sum(Object.values(counts))
  return [
    `servers: rss grew by ${grown('rssBytes')}, heap by ${grown('heapBytes')}`,
    `writes waiting at most ${Math.max(...all.map(({ maxQueuedWrites }) => maxQueuedWrites))}`,
    `calls pending at most ${Math.max(...all.map(({ maxPendingCalls }) => maxPendingCalls))}`,
    `since they began: ${sum(last.map(({ guard }) => guard.droppedWrites))} writes dropped`,
    `${sum(last.map(({ guard }) => total(guard.timeouts)))} calls timed out`,
    `${sum(last.map(({ guard }) => total(guard.failures)))} failed`,
  ].join(', ')
}

const { handshakes, failed, problems } = await runChaos({
  engines,
  handshakesPerPhase: values.quick ? 10 : 100,
  onCondition: print,
})
console.log('')
for (const problem of problems) console.log(`NOT AS PROMISED: ${problem}`)
console.log(`chaos: ${handshakes} handshakes, ${failed} failed`)
process.exitCode = problems.length === 0 && failed === 0 ? 0 : 1
