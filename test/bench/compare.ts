/** One figure of one side; less is better. */
export interface Sample {
  readonly value: number
  /** What it is made of. */
  readonly parts?: Readonly<Record<string, number>>
}

export type Measure = () => Promise<Sample>

export interface Peer {
  readonly name: string
  /** Why it cannot be measured here. */
  readonly missing?: string | undefined
  readonly measure: Measure
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
  readonly ours: Measure
  readonly peers: readonly Peer[]
}

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

export interface Comparison {
  readonly benchmark: Benchmark
  readonly peer: string
  readonly target: number | undefined
  readonly ratio: Spread
  readonly ours: Spread
  readonly theirs: Spread
  /** Medians. */
  readonly ourParts: Readonly<Record<string, number>>
  readonly theirParts: Readonly<Record<string, number>>
}

/**
 * Measures both sides in turn, round by round: what disturbs the machine for a while disturbs both. The ratio is the median
 * of the rounds' ratios, which need not be that of the medians.
 */
export async function compare(benchmark: Benchmark, roundFactor = 1): Promise<Comparison[]> {
  const peers = benchmark.peers.filter(({ missing }) => missing === undefined)
  if (peers.length === 0) return []
  const ours: Sample[] = []
  const theirs = peers.map((): Sample[] => [])
  const rounds = Math.max(1, Math.round((benchmark.rounds ?? 5) * roundFactor))
  for (let round = 0; round < rounds; round++) {
    ours.push(await benchmark.ours())
    for (const [index, peer] of peers.entries()) theirs[index]?.push(await peer.measure())
  }
  return peers.map((peer, index) => {
    const samples = theirs[index] ?? []
    return {
      benchmark,
      peer: peer.name,
      target: peer.target === null ? undefined : (peer.target ?? benchmark.target),
      ratio: spread(ours.map(({ value }, round) => value / (samples[round]?.value ?? Number.NaN))),
      ours: spread(ours.map(({ value }) => value)),
      theirs: spread(samples.map(({ value }) => value)),
      ourParts: medianParts(ours),
      theirParts: medianParts(samples),
    }
  })
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

function medianParts(samples: readonly Sample[]): Record<string, number> {
  const names = Object.keys(samples[0]?.parts ?? {})
  return Object.fromEntries(
    names.map((name) => [name, spread(samples.map(({ parts }) => parts?.[name] ?? 0)).median]),
  )
}
