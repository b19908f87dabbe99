import { shuffled } from '../tools/shuffled.ts'

/** One figure of one side; less is better. */
export interface Sample {
  readonly value: number
  /** What it is made of. */
  readonly parts?: Readonly<Record<string, number>>
}

export type Measure = () => Promise<Sample>

/** What is measured in a process that lives for many rounds, so that they may be short. */
export interface Lasting {
  open(): Promise<OpenSide>
}

export interface OpenSide {
  readonly measure: Measure
  close(): Promise<void>
}

export type Side = Measure | Lasting

/** Of processes: one may be a tenth faster than the next, for all its life. */
const GENERATIONS = 3

export interface Peer {
  readonly name: string
  /** Why it cannot be measured here. */
  readonly missing?: string | undefined
  readonly measure: Side
  /** The ratio to reach, when it is another than that of the benchmark; null for none. */
  readonly target?: number | null
}

export interface Benchmark {
  readonly name: string
  readonly what: string
  readonly unit: 'ns' | 'us' | 'ms' | 'bytes'
  /** The ratio to reach, ours / peer. */
  readonly target?: number
  /** 5 by default. */
  readonly rounds?: number
  /** The sides are measured in pairs on one processor, so that a ratio is known to a few per cent, or not at all. */
  readonly isPaired?: boolean
  readonly ours: Side
  readonly peers: readonly Peer[]
}

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** Where the median of what the rounds were drawn from lies, with 95 per cent. */
export interface Interval {
  readonly low: number
  readonly high: number
}

export interface Comparison {
  readonly benchmark: Benchmark
  readonly peer: string
  readonly target: number | undefined
  readonly ratio: Spread
  readonly interval: Interval
  readonly ours: Spread
  readonly theirs: Spread
  /** Medians. */
  readonly ourParts: Readonly<Record<string, number>>
  readonly theirParts: Readonly<Record<string, number>>
}

/**
 * Measures the sides in turn, round by round: what disturbs the machine for a while disturbs all. Their order is drawn for each
 * round, since whatever comes at intervals would fall on the same side again and again. The ratio is the median of the
 * rounds' ratios, which need not be that of the medians.
 */
export async function compare(benchmark: Benchmark, roundFactor = 1): Promise<Comparison[]> {
  const peers = benchmark.peers.filter(({ missing }) => missing === undefined)
  if (peers.length === 0) return []
  const rounds = Math.max(1, Math.round((benchmark.rounds ?? 5) * roundFactor))
  const [ours = [], ...theirs] = await sample(
    [benchmark.ours, ...peers.map(({ measure }) => measure)],
    rounds,
  )
  return peers.map((peer, index) => {
    const samples = theirs[index] ?? []
    const ratios = ours.map(({ value }, round) => value / (samples[round]?.value ?? Number.NaN))
    return {
      benchmark,
      peer: peer.name,
      target: peer.target === null ? undefined : (peer.target ?? benchmark.target),
      ratio: spread(ratios),
      interval: intervalOfMedian(ratios),
      ours: spread(ours.map(({ value }) => value)),
      theirs: spread(samples.map(({ value }) => value)),
      ourParts: medianParts(ours),
      theirParts: medianParts(samples),
    }
  })
}

async function sample(sides: readonly Side[], rounds: number): Promise<Sample[][]> {
  const samples = sides.map((): Sample[] => [])
  const isLasting = sides.some((side) => typeof side !== 'function')
  const generations = isLasting ? Math.min(GENERATIONS, rounds) : 1
  for (let generation = 0; generation < generations; generation++)
    await sampleOnce(sides, Math.round(rounds / generations), samples)
  return samples
}

/** The order of opening is drawn as well: the first has been idle for longest when it is measured. */
async function sampleOnce(sides: readonly Side[], rounds: number, samples: Sample[][]): Promise<void> {
  const open = new Map<number, OpenSide>()
  const places = [...sides.keys()]
  try {
    for (const index of shuffled(places, Math.random)) {
      const side = sides[index]
      if (typeof side === 'function') open.set(index, { measure: side, close: async () => undefined })
      else if (side !== undefined) open.set(index, await side.open())
    }
    for (let round = 0; round < rounds; round++)
      for (const index of shuffled(places, Math.random)) {
        const drawn = await open.get(index)?.measure()
        if (drawn !== undefined) samples[index]?.push(drawn)
      }
  } finally {
    await Promise.all([...open.values()].map((side) => side.close()))
  }
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = (sorted.length - 1) / 2
  const at = (index: number): number => sorted[index] ?? Number.NaN
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    least: at(0),
    most: at(sorted.length - 1),
  }
}

/** How many of the values are below the median is a coin tossed for each: so its place among them is known, whatever they are. */
export function intervalOfMedian(values: readonly number[]): Interval {
  const sorted = values.toSorted((left, right) => left - right)
  const { length } = sorted
  // The largest number of values that may be left out at each end.
  let outside = 0
  for (let tail = 0.5 ** length, chance = tail; chance <= 0.025; outside++) {
    tail *= (length - outside) / (outside + 1)
    chance += tail
  }
  const low = sorted[Math.max(0, outside - 1)] ?? Number.NaN
  const high = sorted[Math.min(length - 1, length - outside)] ?? Number.NaN
  return { low, high }
}

function medianParts(samples: readonly Sample[]): Record<string, number> {
  const names = Object.keys(samples[0]?.parts ?? {})
  return Object.fromEntries(
    names.map((name) => [name, spread(samples.map(({ parts }) => parts?.[name] ?? 0)).median]),
  )
}
