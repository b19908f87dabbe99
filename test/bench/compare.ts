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
  /**
   * Does a part of what has to be done before a side is measured. The sides take turns at it too, so that none has waited for long.
   *
   * @returns whether there is more to do
   */
  warmUp?(): Promise<boolean>
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
  /** In a round, 1 by default. The sides take turns, and a side's figure is the median of its own. */
  readonly turns?: number
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
 * turn, since whatever comes at intervals would fall on the same side again and again. The ratio is the median of the
 * rounds' ratios, which need not be that of the medians.
 */
export async function compare(benchmark: Benchmark, roundFactor = 1): Promise<Comparison[]> {
  const peers = benchmark.peers.filter(({ missing }) => missing === undefined)
  if (peers.length === 0) return []
  const rounds = Math.max(1, Math.round((benchmark.rounds ?? 5) * roundFactor))
  const [ours = [], ...theirs] = await sample([benchmark.ours, ...peers.map(({ measure }) => measure)], {
    rounds,
    turns: benchmark.turns ?? 1,
  })
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

interface Course {
  readonly rounds: number
  /** In each. */
  readonly turns: number
}

async function sample(sides: readonly Side[], { rounds, turns }: Course): Promise<Sample[][]> {
  const samples = sides.map((): Sample[] => [])
  const isLasting = sides.some((side) => typeof side !== 'function')
  const generations = isLasting ? Math.min(GENERATIONS, rounds) : 1
  for (let generation = 0; generation < generations; generation++)
    await sampleOnce(sides, { rounds: Math.round(rounds / generations), turns }, samples)
  return samples
}

/** The order of opening is drawn as well, and with it that of warming up. */
async function sampleOnce(
  sides: readonly Side[],
  { rounds, turns }: Course,
  samples: Sample[][],
): Promise<void> {
  const open = new Map<number, OpenSide>()
  const places = [...sides.keys()]
  try {
    for (const index of shuffled(places, Math.random)) {
      const side = sides[index]
      if (typeof side === 'function') open.set(index, { measure: side, close: async () => undefined })
      else if (side !== undefined) open.set(index, await side.open())
    }
    await warmUp([...open.values()])
    for (let round = 0; round < rounds; round++) {
      const drawn = sides.map((): Sample[] => [])
      for (let turn = 0; turn < turns; turn++)
        for (const index of shuffled(places, Math.random)) {
          const one = await open.get(index)?.measure()
          if (one !== undefined) drawn[index]?.push(one)
        }
      for (const [index, ofRound] of drawn.entries()) samples[index]?.push(medianSample(ofRound))
    }
  } finally {
    await Promise.all([...open.values()].map((side) => side.close()))
  }
}

async function warmUp(sides: readonly OpenSide[]): Promise<void> {
  const cold = new Set(sides)
  while (cold.size > 0) for (const side of cold) if ((await side.warmUp?.()) !== true) cold.delete(side)
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

function medianSample(samples: readonly Sample[]): Sample {
  return { value: spread(samples.map(({ value }) => value)).median, parts: medianParts(samples) }
}

function medianParts(samples: readonly Sample[]): Record<string, number> {
  const names = Object.keys(samples[0]?.parts ?? {})
  return Object.fromEntries(
    names.map((name) => [name, spread(samples.map(({ parts }) => parts?.[name] ?? 0)).median]),
  )
}
