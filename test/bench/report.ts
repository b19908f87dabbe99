import { arch, cpus, release, totalmem, type } from 'node:os'
import { chart } from './chart.ts'
import type { Comparison, Interval, Spread } from './compare.ts'

export interface Run {
  readonly comparisons: readonly Comparison[]
  /** Those that are measured in pairs. */
  readonly handshakes: readonly Comparison[]
  /** The factor of their number. */
  readonly rounds: number
  /** Why, by the name of the peer. */
  readonly missing: ReadonlyMap<string, string>
  readonly versions: Readonly<Record<string, string>>
}

export function benchLine({ benchmark, peer, ratio, interval, ours, theirs }: Comparison): string {
  const { name, unit } = benchmark
  return `bench: ${name} ratio ${digits(ratio.median)} [${known(interval)}] ours ${digits(ours.median)} ${unit} peer ${digits(theirs.median)} ${unit} (${peer})`
}

/** Three significant digits, without an exponent. */
function digits(value: number): string {
  return Number(value.toPrecision(3)).toString()
}

function range({ least, most }: Spread): string {
  return `${digits(least)} to ${digits(most)}`
}

function known({ low, high }: Interval): string {
  return `${digits(low)} to ${digits(high)}`
}

/** A ratio that is known less well says nothing. */
const MAX_INTERVAL_WIDTH = 0.04

function verdict({ benchmark, target, ratio, interval }: Comparison): string {
  if (target === undefined) return ''
  if (benchmark.isPaired !== true) return ratio.median <= target ? 'yes' : 'no'
  if (interval.high - interval.low > MAX_INTERVAL_WIDTH * ratio.median) return 'not measured'
  return interval.low <= target ? 'yes' : 'no'
}

export function summaryTable(comparisons: readonly Comparison[]): string {
  const header = [
    'name',
    'what',
    'ours',
    'peer',
    'unit',
    'ratio',
    '95 %',
    'of rounds',
    'to reach',
    'reached',
    'against',
  ]
  const rows = comparisons.map((one) => [
    one.benchmark.name,
    one.benchmark.what,
    digits(one.ours.median),
    digits(one.theirs.median),
    one.benchmark.unit,
    digits(one.ratio.median),
    known(one.interval),
    range(one.ratio),
    one.target === undefined ? '' : `<= ${one.target}`,
    verdict(one),
    one.peer,
  ])
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

export function machine(): string {
  const [cpu] = cpus()
  const gib = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} cores of ${cpu?.model.trim() ?? 'unknown'}, ${gib} GiB, ${type()} ${release()}, ${arch()}`
}

export function resultsFile(run: Run): string {
  const versions = Object.entries(run.versions).map(([name, version]) => `- ${name} ${version}`)
  const missing = [...run.missing].map(([peer, reason]) => `- ${peer}: missing, ${reason}`)
  return `# How fast

Written by \`npm run bench\`. A ratio is ours / peer: below 1 is better. Both sides run in turn, each in a process of its own;
a figure is the median of the rounds, and the ratio the median of the rounds' ratios; the true median lies in the column "95 %" with
that probability. Times are of CPU, with all threads of the process, unless they say otherwise. Handshakes are in
[HANDSHAKES.md](HANDSHAKES.md).

![Ratios](results.svg)

${summaryTable(run.comparisons)}

What is not reached, and why: [LIMITS.md](LIMITS.md).

## What the figures are made of

${partsTable(run.comparisons)}

## Where

- ${machine()}
${[...versions, ...missing].join('\n')}
`
}

export function handshakesFile({ handshakes, rounds, missing, versions }: Run): string {
  const lines = Object.entries(versions).map(([name, version]) => `- ${name} ${version}`)
  const absent = [...missing].map(([peer, reason]) => `- ${peer}: missing, ${reason}`)
  return `# What a handshake costs

Written by \`npm run bench -- handshakes\`, with ${rounds} of its pairs. CPU of a server, with all threads of the process. A ratio is ours / peer: below 1 is
better. Servers and clients are on one processor (\`taskset\`): on two, a virtual machine would measure how long it takes to wake one up.
The sides take many short turns in drawn order, and a side's figure of a pair is the median of its turns. Here are the medians of all pairs, and that of their
ratios; the true one lies in the column "95 %" with that probability. A row is reached when the lower end of its interval is, and "not measured" when the interval is wider than 4 %.

${summaryTable(handshakes)}

What is not reached, and why: [LIMITS.md](LIMITS.md).

## Where

- ${machine()}
${[...lines, ...absent].join('\n')}
`
}

function partsTable(comparisons: readonly Comparison[]): string {
  const rows = comparisons.flatMap((one) =>
    [...new Set([...Object.keys(one.ourParts), ...Object.keys(one.theirParts)])].map((part) => {
      const cell = (parts: Readonly<Record<string, number>>): string =>
        parts[part] === undefined ? '' : digits(parts[part])
      return `| ${one.benchmark.name} | ${one.peer} | ${part} | ${cell(one.ourParts)} | ${cell(one.theirParts)} |`
    }),
  )
  return ['| name | against | part | ours | peer |', '|---|---|---|---|---|', ...rows].join('\n')
}

export function resultsChart(run: Run): string {
  return chart(run.comparisons)
}
