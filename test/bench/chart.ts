import type { Comparison } from './compare.ts'

const ROW = 26
const LEFT = 330
const WIDTH = 980
const TOP = 70
const RIGHT = 130
/** The axis is logarithmic: half as much is as far to the left as twice as much to the right. */
const DECADES = { least: -2, most: 2 }

const COLORS = {
  good: '#2a7f62',
  bad: '#b3432b',
  neutral: '#6b7280',
  grid: '#d1d5db',
  text: '#111827',
  target: '#111827',
}

/** Each ratio as a bar from 1: to the left where we are cheaper, to the right where the peer is; a tick is what is to be reached. */
export function chart(comparisons: readonly Comparison[]): string {
  const height = TOP + comparisons.length * ROW + 30
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="${COLORS.text}">`,
    '<title>Cost of sslctx against its peers, ours / peer, a bar for each figure</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    '<text x="16" y="26" font-size="17" font-weight="600">Cost of sslctx against its peers (ours / peer)</text>',
    '<text x="16" y="45">Bars to the left: ours costs less. The black tick is the ratio to reach.</text>',
    ...grid(height),
    ...comparisons.map(bar),
    '</svg>',
    '',
  ].join('\n')
}

function x(ratio: number): number {
  const log = Math.min(DECADES.most, Math.max(DECADES.least, Math.log10(ratio)))
  const share = (log - DECADES.least) / (DECADES.most - DECADES.least)
  return Math.round(LEFT + share * (WIDTH - LEFT - RIGHT))
}

function grid(height: number): string[] {
  return [0.01, 0.1, 1, 10, 100].map((ratio) => {
    const at = x(ratio)
    const width = ratio === 1 ? 2 : 1
    return `<line x1="${at}" y1="${TOP - 8}" x2="${at}" y2="${height - 24}" stroke="${COLORS.grid}" stroke-width="${width}"/><text x="${at}" y="${height - 8}" text-anchor="middle" fill="${COLORS.neutral}">${ratio}</text>`
  })
}

function bar({ benchmark, peer, target, ratio }: Comparison, index: number): string {
  const y = TOP + index * ROW
  const [from, to] = [x(Math.min(1, ratio.median)), x(Math.max(1, ratio.median))]
  const reached = target === undefined ? undefined : ratio.median <= target
  const color = reached === undefined ? COLORS.neutral : reached ? COLORS.good : COLORS.bad
  const tick =
    target === undefined
      ? ''
      : `<line x1="${x(target)}" y1="${y - 1}" x2="${x(target)}" y2="${y + 19}" stroke="${COLORS.target}" stroke-width="2"/>`
  return [
    `<text x="${LEFT - 12}" y="${y + 13}" text-anchor="end">${escapeXml(benchmark.name)} <tspan fill="${COLORS.neutral}" font-size="11">${escapeXml(shorten(peer))}</tspan></text>`,
    `<rect x="${from}" y="${y + 1}" width="${Math.max(2, to - from)}" height="16" fill="${color}"/>`,
    tick,
    `<text x="${WIDTH - RIGHT + 12}" y="${y + 14}" fill="${color}">${Number(ratio.median.toPrecision(3))}</text>`,
  ].join('')
}

function shorten(text: string): string {
  return text.length > 36 ? `${text.slice(0, 35)}…` : text
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
