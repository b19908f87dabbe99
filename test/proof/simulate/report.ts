import { carriers } from './engines.ts'
import {
  type Figures,
  type Fleet,
  internalWindowSec,
  predict,
  type SessionBytes,
  type Setup,
  setups,
} from './formula.ts'
import type { Observation } from './simulation.ts'

/** One fleet: what was seen in each set-up, and what the formula says. */
export interface Comparison {
  readonly fleet: Fleet
  readonly countedSec: number
  readonly observations: ReadonlyMap<Setup, Observation>
}

const LABELS: readonly (readonly [keyof Figures, string, (value: number) => string])[] = [
  ['resumption', 'resumed, %', (value) => (100 * value).toFixed(2)],
  ['getsPerSec', 'store: get/s', (value) => decimal(value)],
  ['cbHitsPerSec', '  of these found (cbHits)', (value) => decimal(value)],
  ['setsPerSec', 'store: set/s', (value) => decimal(value)],
  ['storedSessions', 'store: sessions', (value) => value.toFixed(0)],
  ['storedBytes', 'store: kB', (value) => decimal(value / 1000)],
  ['networkBytesPerSec', 'network: kB/s', (value) => decimal(value / 1000)],
  ['internalPerNode', 'internal cache of a node', (value) => value.toFixed(0)],
]

/** A figure that rests on so few events that chance alone moves it by 1 % is shown, but proves nothing. */
const FEWEST_EVENTS = 10_000

export interface Deviation {
  /** The largest of all figures that count, 0 to 1. */
  readonly largest: number
  readonly figures: number
  readonly left: number
}

export function largestDeviation(comparisons: readonly Comparison[], bytes: BytesOf): Deviation {
  let [largest, figures, left] = [0, 0, 0]
  for (const comparison of comparisons)
    for (const [setup, observation] of comparison.observations) {
      const predicted = predict(comparison.fleet, setup, bytes(comparison.fleet))
      for (const [name] of LABELS) {
        if (predicted[name] === 0 && observation.figures[name] === 0) continue
        if (!isCounted(comparison, observation, name)) {
          left++
          continue
        }
        figures++
        largest = Math.max(largest, Math.abs(observation.figures[name] / predicted[name] - 1))
      }
    }
  return { largest, figures, left }
}

export type BytesOf = (fleet: Fleet) => SessionBytes

function isCounted(
  { fleet, countedSec }: Comparison,
  observation: Observation,
  name: keyof Figures,
): boolean {
  return events(fleet, countedSec, observation, name) >= FEWEST_EVENTS
}

/** How many independent things make a figure. */
function events(
  fleet: Fleet,
  countedSec: number,
  { figures, resumed }: Observation,
  name: keyof Figures,
): number {
  if (name === 'resumption') return resumed
  const turnovers = 1 + countedSec / fleet.timeoutSec
  if (name === 'internalPerNode') return figures.internalPerNode * fleet.nodes * turnovers
  if (name === 'storedSessions' || name === 'storedBytes') return figures.storedSessions * turnovers
  const perSec = name === 'networkBytesPerSec' ? figures.setsPerSec : figures[name]
  return perSec * countedSec
}

/** Simulated, formula and deviation, side by side for the three set-ups. */
export function comparisonTable(comparison: Comparison, bytes: BytesOf): string {
  const { fleet, observations } = comparison
  const head = setups.map((setup) => setup.padStart(16).padEnd(COLUMN)).join('')
  const sub = setups
    .map(() => `${'simulated'.padStart(11)}${'formula'.padStart(11)}${''.padStart(9)}`)
    .join('')
  const rows = LABELS.map(([name, label, show]) => {
    const cells = setups.map((setup) => {
      const observation = observations.get(setup)
      const predicted = predict(fleet, setup, bytes(fleet))[name]
      if (observation === undefined || (predicted === 0 && observation.figures[name] === 0))
        return '-'.padStart(11).padEnd(COLUMN)
      const seen = observation.figures[name]
      const sign = isCounted(comparison, observation, name) ? '' : '~'
      const deviation = `${sign}${(100 * (seen / predicted - 1)).toFixed(2)} %`
      return `${show(seen).padStart(11)}${show(predicted).padStart(11)}${deviation.padStart(9)}`
    })
    return `  ${label.padEnd(26)}${cells.join('')}`
  })
  const blank = ''.padEnd(28)
  return [describeFleet(comparison), `${blank}${head}`, `${blank}${sub}`, ...rows].join('\n')
}

const COLUMN = 31

function describeFleet({ fleet, countedSec, observations }: Comparison): string {
  const handshakes = [...observations.values()].reduce((sum, observation) => sum + observation.handshakes, 0)
  const windowSec = internalWindowSec(fleet, 'both')
  const full = windowSec < fleet.timeoutSec ? `, caches full after ${windowSec.toFixed(0)} s` : ''
  return `${fleet.nodes} nodes, ${fleet.clients} clients, ${decimal(fleet.rate)} handshakes/s, timeout ${fleet.timeoutSec} s, ${fleet.protocol}${fleet.singleUse ? ', single use' : ''}: ${decimal(countedSec / 3600)} h, ${handshakes} handshakes counted${full}`
}

/** The same habits, from one node to ten thousand. */
export function scaleTable(fleet: Fleet, bytes: SessionBytes): string {
  const perClient = predict(fleet, 'store only', bytes).storedSessions / fleet.clients
  const lines = SCALES.map(([nodes, sessions]) => {
    const clients = Math.round(sessions / perClient)
    const scaled = { ...fleet, nodes, clients, rate: (fleet.rate / fleet.clients) * clients }
    const store = predict(scaled, 'store only', bytes)
    const internal = predict({ ...scaled, cacheSize: 0 }, 'internal only', bytes)
    const cells = [
      count(sessions),
      count(nodes),
      count(clients),
      decimal(scaled.rate),
      (100 * internal.resumption).toFixed(internal.resumption < 0.01 ? 3 : 1),
      (100 * store.resumption).toFixed(1),
      decimal(store.getsPerSec + store.setsPerSec),
      amount(store.storedBytes),
      `${amount(store.networkBytesPerSec)}/s`,
    ]
    return `${cells.map((cell) => cell.padStart(11)).join('')}  ${carriers(store, nodes, internal.resumption)}`
  })
  return [HEAD.map((title) => title.padStart(11)).join(''), ...lines].join('\n')
}

const HEAD = [
  'sessions',
  'nodes',
  'clients',
  'hs/s',
  'internal %',
  'store %',
  'store op/s',
  'bytes',
  'network',
]

const SCALES = [
  [1, 1e4],
  [10, 1e5],
  [100, 1e6],
  [1000, 1e7],
  [10_000, 1e8],
] as const

function decimal(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3)
}

function count(value: number): string {
  return value >= 1e6 ? `${decimal(value / 1e6)} M` : value.toFixed(0)
}

function amount(bytes: number): string {
  const [divisor, unit] = (
    [
      [1e9, 'GB'],
      [1e6, 'MB'],
    ] as const
  ).find(([size]) => bytes >= size) ?? [1e3, 'kB']
  return `${decimal(bytes / divisor)} ${unit}`
}
