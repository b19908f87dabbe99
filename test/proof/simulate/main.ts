import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { forkScript, nextMessage } from '../../tools/server-process.ts'
import { planningAssumptions } from './engines.ts'
import { sessionBytes } from './fleet-store.ts'
import { type Fleet, predict, type Setup, setups } from './formula.ts'
import { type BytesOf, type Comparison, comparisonTable, largestDeviation, scaleTable } from './report.ts'
import { type Observation, storedDerBytes } from './simulation.ts'
import type { Job } from './worker.ts'

// npm run simulate -- --nodes N --clients M --rate R: a fleet on the real model, and the formula of its cache beside it
const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '4' },
    clients: { type: 'string', default: '10000' },
    rate: { type: 'string', default: '2' },
    timeout: { type: 'string', default: '7200' },
    hours: { type: 'string', default: '24' },
    'cache-size': { type: 'string', default: '8192' },
    tls: { type: 'string', default: '1.3' },
    'single-use': { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
  },
})

const USAGE =
  'usage: simulate [--nodes N] [--clients M] [--rate HANDSHAKES_PER_SEC] [--timeout SEC] [--hours H] [--cache-size SESSIONS] [--tls 1.2|1.3] [--single-use] [--seed S] [--quick]'

const fleet: Fleet = {
  nodes: whole(values.nodes, 1),
  clients: whole(values.clients, 1),
  rate: positive(values.rate),
  timeoutSec: whole(values.timeout, 1),
  cacheSize: whole(values['cache-size'], 0),
  protocol: values.tls === '1.2' ? 'TLSv1.2' : 'TLSv1.3',
  singleUse: values['single-use'],
}
const seed = whole(values.seed, 0)
const hours = positive(values.hours)
if (!['1.2', '1.3'].includes(values.tls) || (values.tls === '1.2' && fleet.singleUse)) refuse()

/** More sessions than this are left to the formula. */
const MOST_SESSIONS = 1_200_000
const SIZES = values.quick ? [1e4] : [1e4, 1e5, 1e6]
const HANDSHAKES = values.quick ? 50_000 : 120_000
const bytesOf: BytesOf = (of) => sessionBytes(storedDerBytes(of))

await run()

async function run(): Promise<void> {
  const bytes = bytesOf(fleet)
  const own = predict(fleet, 'store only', bytes)
  const comparisons = await compareAll(plan(own.storedSessions))
  for (const comparison of comparisons) console.log(`${comparisonTable(comparison, bytesOf)}\n`)
  console.log(
    `By the formula, with the same habits (${((fleet.rate / fleet.clients) * fleet.timeoutSec).toPrecision(3)} visits of a client per timeout):`,
  )
  console.log(`${scaleTable(fleet, bytes)}\n${planningAssumptions}\n`)
  const { largest, figures, left } = largestDeviation(comparisons, bytesOf)
  const few = left === 0 ? '' : `; ${left} (~) that rest on fewer than 10,000 events are not`
  console.log(`${figures} figures are compared${few}`)
  const seen = comparisons.find((comparison) => comparison.fleet === fleet)?.observations.get('both')
  const resumption = (seen?.figures ?? own).resumption
  console.log(`simulate: resumption ${percent(resumption)} %, formula within ${percent(largest, 2)} %`)
}

interface Plan {
  readonly fleet: Fleet
  readonly countedSec: number
}

/** The fleet as given, unless it is too large, and fleets of the same habits that have so many sessions. */
function plan(ownSessions: number): Plan[] {
  const sized = SIZES.map((sessions) => {
    const clients = Math.round((fleet.clients * sessions) / ownSessions)
    const rate = (fleet.rate / fleet.clients) * clients
    return { fleet: { ...fleet, clients, rate }, countedSec: HANDSHAKES / rate }
  })
  if (ownSessions > MOST_SESSIONS) {
    console.log(`${ownSessions.toFixed(0)} sessions are left to the formula\n`)
    return sized
  }
  return [{ fleet, countedSec: hours * 3600 }, ...sized]
}

/** All simulations, several at a time, the largest first. */
async function compareAll(plans: readonly Plan[]): Promise<Comparison[]> {
  const comparisons = plans.map(({ fleet: of, countedSec }) => ({
    fleet: of,
    countedSec,
    observations: new Map<Setup, Observation>(),
  }))
  const jobs = comparisons
    .flatMap((comparison) => setups.map((setup) => ({ comparison, setup })))
    .sort((a, b) => work(b.comparison) - work(a.comparison))
  const lanes = Array.from({ length: Math.min(availableParallelism(), 4) }, async () => {
    for (let next = jobs.shift(); next !== undefined; next = jobs.shift()) {
      const { comparison, setup } = next
      const { fleet: of, countedSec } = comparison
      comparison.observations.set(setup, await inProcess({ fleet: of, setup, span: { countedSec, seed } }))
    }
  })
  await Promise.all(lanes)
  return comparisons
}

function work({ fleet: { rate, timeoutSec }, countedSec }: Plan): number {
  return rate * (timeoutSec + countedSec)
}

async function inProcess(job: Job): Promise<Observation> {
  const worker = forkScript(new URL('./worker.ts', import.meta.url))
  worker.send(job)
  return nextMessage(worker)
}

function percent(value: number, digits = 1): string {
  return (100 * value).toFixed(digits)
}

function whole(text: string, least: number): number {
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= least ? value : refuse()
}

function positive(text: string): number {
  const value = Number(text)
  return Number.isFinite(value) && value > 0 ? value : refuse()
}

function refuse(): never {
  console.error(USAGE)
  process.exit(2)
}
