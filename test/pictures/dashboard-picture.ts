import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  type Dashboard,
  evaluate,
  type Panel,
  parse,
  readDashboard,
  type Scrape,
} from '../tools/dashboard.ts'
import { openEngineStore } from '../tools/engine-store.ts'
import { startRedis } from '../tools/redis-server.ts'
import { type Sample, scrape } from '../tools/scrape.ts'
import { type Client, openShop, ROBOT, type Shop } from '../tools/shop.ts'

/**
 * Draws the Grafana dashboard without Grafana: a server under load, whose Redis is killed for a while, is scraped each second,
 * and docs/grafana.svg shows what each panel's queries answer, where its gridPos puts it.
 */
const { values: options } = parseArgs({ options: { seconds: { type: 'string', default: '90' } } })
const SECONDS = Number(options.seconds)
const RATE_INTERVAL_SEC = 10
const WARM_UP_SEC = 20
const CLIENTS = 400
const LANES = 6

/** Most come back with their session; some are new, some are robots, some speak no TLS. In the last quarter fewer come. */
async function visitors(shop: Shop, second: () => number): Promise<void> {
  const newcomer = (): Client =>
    Math.random() < 0.3 ? { version: 'TLSv1.2' } : { version: 'TLSv1.3', atEdge: Math.random() < 0.3 }
  const clients = Array.from({ length: CLIENTS }, newcomer)
  const lane = async (): Promise<void> => {
    while (second() < SECONDS) {
      const place = Math.floor(Math.random() * CLIENTS)
      const chance = Math.random()
      if (chance < 0.02) await shop.scan()
      else if (chance < 0.06) await shop.visit({ ...newcomer(), servername: ROBOT })
      else {
        const client = chance < 0.12 ? newcomer() : (clients[place] ?? newcomer())
        clients[place] = newcomer()
        await shop.visit(client)
        clients[place] = client
      }
      await sleep(Math.random() * (second() < SECONDS * 0.75 ? 150 : 600))
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

async function run(): Promise<Scrape[]> {
  const redis = await startRedis()
  const engine = await openEngineStore({ engine: 'redis', port: redis.port })
  const shop = await openShop(engine.store, { sessionCacheSize: 500, sessionTimeout: 30 }, { hasEdge: true })
  const scrapes: Scrape[] = []
  const startMs = performance.now() + WARM_UP_SEC * 1000
  const now = (): number => (performance.now() - startMs) / 1000
  const loaded = visitors(shop, now)
  for (let second = -WARM_UP_SEC; second <= SECONDS; second++) {
    await sleep((second - now()) * 1000)
    if (second === Math.round(SECONDS * 0.35)) await redis.kill()
    if (second === Math.round(SECONDS * 0.55)) await redis.restart()
    scrapes.push({ atSec: now(), samples: await scrape(shop.register) })
  }
  await loaded
  await shop.close()
  await engine.close()
  await redis.close()
  return scrapes
}

/** A moment that is drawn, with the scrapes by which its rates are known. */
interface Moment {
  readonly atSec: number
  readonly scrapes: readonly Scrape[]
}

function momentsOf(scrapes: readonly Scrape[]): Moment[] {
  return scrapes
    .filter(({ atSec }) => atSec >= 0)
    .map(({ atSec }) => ({
      atSec,
      scrapes: scrapes.filter((one) => one.atSec <= atSec && one.atSec > atSec - RATE_INTERVAL_SEC - 0.5),
    }))
}

const CELL = { width: 50, height: 30 }
const GAP = 8
const HEADER = 34
const FOOTER = 26
const LEGEND_LINE = 15
const COLORS = [
  ...['#3274d9', '#e0752d', '#56a64b', '#c4162a', '#8f3bb8', '#e0b400'],
  ...['#37872d', '#1f78c1', '#ad0317', '#705da0', '#5195ce', '#967302'],
]

interface Series {
  readonly legend: string
  /** One a scrape; NaN where there is no answer. */
  readonly values: number[]
}

function seriesOf(panel: Panel, moments: readonly Moment[]): Series[] {
  const all = new Map<string, Series>()
  for (const { expr, legendFormat } of panel.targets) {
    const expression = parse(expr)
    for (const [index, { scrapes }] of moments.entries())
      for (const { labels, value } of evaluate(expression, scrapes)) {
        const legend = fill(legendFormat, labels)
        const series = all.get(legend) ?? { legend, values: moments.map(() => Number.NaN) }
        series.values[index] = value
        all.set(legend, series)
      }
  }
  return [...all.values()]
}

const fill = (legend: string, labels: Sample['labels']): string =>
  legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '')

/** Each upon those before it. */
function stacked(series: readonly Series[]): Series[] {
  const heights = series[0]?.values.map(() => 0) ?? []
  return series.map(({ legend, values }) => ({
    legend,
    values: values.map((value, index) => {
      heights[index] = (heights[index] ?? 0) + (Number.isNaN(value) ? 0 : value)
      return heights[index]
    }),
  }))
}

function draw({ title, panels }: Dashboard, moments: readonly Moment[]): string {
  const rows = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h))
  const [width, height] = [24 * CELL.width + GAP, HEADER + rows * CELL.height + FOOTER]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" fill="#24292e">`,
    `<rect width="${width}" height="${height}" fill="#f4f5f5"/>`,
    `<text x="${GAP}" y="22" font-size="16" font-weight="600">${escapeXml(title)}</text>`,
    ...panels.map((panel) => drawPanel(panel, moments)),
    `<text x="${GAP}" y="${height - 9}" fill="#6b7280">docs/grafana.json, drawn by test/pictures/dashboard-picture.ts (not by Grafana) from ${moments.length} scrapes of a server under load whose Redis is killed and restarted</text>`,
    '</svg>',
    '',
  ].join('\n')
}

function drawPanel(panel: Panel, moments: readonly Moment[]): string {
  const { gridPos, fieldConfig, title } = panel
  const { unit, max, custom } = fieldConfig.defaults
  const isStacked = custom.stacking.mode === 'normal'
  const found = seriesOf(panel, moments)
  const series = isStacked ? stacked(found) : found
  const [width, height] = [gridPos.w * CELL.width - GAP, gridPos.h * CELL.height - GAP]
  const legend = drawLegend(series, width)
  const plot = { left: 48, top: 30, width: width - 60, height: height - 58 - legend.lines * LEGEND_LINE }
  const top = max ?? roundUp(Math.max(0, ...series.flatMap(({ values }) => values.filter(Number.isFinite))))
  const lastSec = moments.at(-1)?.atSec ?? 1
  const x = (sec: number): number => Math.round(plot.left + (sec / lastSec) * plot.width)
  const y = (value: number): number => round(plot.top + (1 - value / top) * plot.height)
  const marks = [0, 0.5, 1].map((share) => {
    const at = y(top * share)
    return `<path d="M${plot.left} ${at}h${plot.width}" stroke="#e4e7e7"/><text x="${plot.left - 6}" y="${at + 4}" text-anchor="end" fill="#6b7280">${format(top * share, unit)}</text>`
  })
  const times = [0, 1 / 3, 2 / 3, 1].map((share) => {
    const sec = Math.round(lastSec * share)
    return `<text x="${x(sec)}" y="${plot.top + plot.height + 15}" text-anchor="middle" fill="#6b7280">${sec} s</text>`
  })
  const lines = series.map(({ values }, index) => {
    const points = values.map((value, at) =>
      Number.isNaN(value) ? undefined : `${x(moments[at]?.atSec ?? 0)} ${y(value)}`,
    )
    const color = COLORS[index % COLORS.length]
    const below = index === 0 ? undefined : series[index - 1]
    const area = isStacked ? areaOf(values, below?.values, (at) => x(moments[at]?.atSec ?? 0), y) : ''
    return `<path d="${area}" fill="${color}" fill-opacity="0.25"/><path d="${pathOf(points)}" fill="none" stroke="${color}" stroke-width="1.5"/>`
  })
  return [
    `<g transform="translate(${gridPos.x * CELL.width + GAP} ${HEADER + gridPos.y * CELL.height})">`,
    `<rect width="${width}" height="${height}" fill="#fff" stroke="#dcdfe0"/>`,
    `<text x="10" y="18" font-size="12" font-weight="600">${escapeXml(title)}</text>`,
    ...marks,
    ...times,
    ...lines,
    `<g transform="translate(10 ${height - legend.lines * LEGEND_LINE + 4})">${legend.text}</g>`,
    '</g>',
  ].join('\n')
}

/** Gaps stay gaps. */
function pathOf(points: readonly (string | undefined)[]): string {
  return points
    .map((point, at) => (point === undefined ? '' : `${points[at - 1] === undefined ? 'M' : 'L'}${point}`))
    .join('')
}

function areaOf(
  values: readonly number[],
  below: readonly number[] | undefined,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  const upper = values.map((value, at) => `${x(at)} ${y(value)}`)
  const lower = values.map((_, at) => `${x(at)} ${y(below?.[at] ?? 0)}`).reverse()
  return `M${[...upper, ...lower].join('L')}Z`
}

function drawLegend(series: readonly Series[], width: number): { lines: number; text: string } {
  let [left, lines] = [0, 1]
  const text = series.map(({ legend }, index) => {
    const needed = 24 + legend.length * 6.2
    if (left > 0 && left + needed > width - 20) [left, lines] = [0, lines + 1]
    const at = `translate(${Math.round(left)} ${(lines - 1) * LEGEND_LINE})`
    left += needed
    return `<g transform="${at}"><rect y="-2" width="10" height="3" fill="${COLORS[index % COLORS.length]}"/><text x="14" y="4">${escapeXml(legend)}</text></g>`
  })
  return { lines, text: text.join('') }
}

function format(value: number, unit: string): string {
  if (unit === 'percentunit') return `${Math.round(value * 100)} %`
  const text = (number: number): string => String(Number(number.toPrecision(3)))
  if (unit === 's' && value > 0 && value < 0.001) return `${text(value * 1e6)} µs`
  if (unit === 's' && value > 0 && value < 1) return `${text(value * 1000)} ms`
  return `${text(value)}${unit === 's' ? ' s' : unit === 'ops' ? '/s' : ''}`
}

/** To 1, 2 or 5 times a power of ten. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value || 1))
  return [1, 2, 5, 10].map((factor) => factor * power).find((bound) => bound >= value) ?? 10 * power
}

const round = (value: number): number => Math.round(value * 10) / 10
const escapeXml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

const moments = momentsOf(await run())
writeFileSync(new URL('../../docs/grafana.svg', import.meta.url), draw(readDashboard(), moments))
