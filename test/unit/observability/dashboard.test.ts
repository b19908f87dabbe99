import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../src/index.ts'
import { type Expression, evaluate, parse, readDashboard } from '../../tools/dashboard.ts'
import { type Sample, scrape } from '../../tools/scrape.ts'
import { openShop, ROBOT, type Shop } from '../../tools/shop.ts'

/** Prometheus gives every series these; `le` is in buckets only. */
const OF_PROMETHEUS = ['job', 'instance']

const targets = readDashboard().panels.flatMap(({ title, targets }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat, expression: parse(expr) })),
)

/** Knows nothing while it is down. */
class FlakyStore extends MemoryStore {
  isDown = false

  override get(key: Uint8Array): Uint8Array | undefined {
    if (this.isDown) throw new Error('down')
    return super.get(key)
  }
}

let store: FlakyStore
let shop: Shop
let samples: readonly Sample[]

/** Something of everything: after that no metric is without a sample. */
beforeEach(async () => {
  store = new FlakyStore()
  shop = await openShop(store, { sessionCacheSize: 3 }, { hasEdge: true })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = { version }
    await shop.visit(client)
    await shop.visit(client)
    shop.context.flushSessions(0)
    await shop.visit(client)
    await shop.visit({ version, servername: ROBOT })
    shop.context.flushSessions(0)
    store.isDown = true
    await shop.visit(client)
    store.isDown = false
  }
  await shop.scan()
  samples = await scrape(shop.register)
})
afterEach(() => shop.close())

interface Selection {
  readonly name: string
  readonly labels: readonly string[]
}

/** The metrics of an expression, with the labels by which it selects and groups. */
function selections(expression: Expression): Selection[] {
  switch (expression.type) {
    case 'select':
    case 'rate':
      return [{ name: expression.name, labels: expression.matchers.map(({ label }) => label) }]
    case 'sum':
    case 'max':
    case 'min':
      return selections(expression.of).map(({ name, labels }) => ({
        name,
        labels: [...labels, ...expression.by],
      }))
    case 'quantile':
      return selections(expression.of).map(({ name, labels }) => ({ name, labels: [...labels, 'le'] }))
    case 'ratio':
      return [...selections(expression.dividend), ...selections(expression.divisor)]
  }
}

const placeholders = (legend: string): string[] =>
  [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)

describe('the Grafana dashboard', () => {
  test('asks for nothing that a scrape does not have: no other metric, and no other label of one', () => {
    const labelsOf = new Map<string, Set<string>>()
    for (const { name, labels } of samples)
      labelsOf.set(name, new Set([...(labelsOf.get(name) ?? OF_PROMETHEUS), ...Object.keys(labels)]))
    const unknown = targets.flatMap(({ title, expression, legendFormat }) =>
      selections(expression).flatMap(({ name, labels }) =>
        [...labels, ...placeholders(legendFormat)]
          .filter((label) => labelsOf.get(name)?.has(label) !== true)
          .map((label) => `${title}: ${name} has no ${label}`),
      ),
    )
    expect(unknown).toEqual([])
  })

  test('has a panel for every metric', () => {
    const family = (name: string): string => name.replace(/_(bucket|count|sum)$/, '')
    const shown = new Set(
      targets.flatMap(({ expression }) => selections(expression)).map(({ name }) => family(name)),
    )
    const scraped = new Set(samples.map(({ name }) => family(name)))
    expect(scraped.size).toBeGreaterThan(25)
    expect([...scraped].filter((name) => !shown.has(name))).toEqual([])
  })

  test('names in its legends what it has grouped by, and nothing else', () => {
    const grouping = (expression: Expression): readonly string[] => {
      if (expression.type === 'ratio') return grouping(expression.dividend)
      if (expression.type === 'quantile') return grouping(expression.of).filter((label) => label !== 'le')
      return 'by' in expression ? expression.by : []
    }
    for (const { legendFormat, expression } of targets)
      expect(placeholders(legendFormat)).toEqual(grouping(expression))
  })

  test('has an answer to every query', () => {
    const start = { atSec: 0, samples: samples.map((sample) => ({ ...sample, value: 0 })) }
    const answers = targets.map(({ expr, expression }) => [
      expr,
      evaluate(expression, [start, { atSec: 10, samples }]).filter(({ value }) => Number.isFinite(value)),
    ])
    expect(answers.filter(([, answer]) => answer?.length === 0)).toEqual([])
  })

  test('finds out how many handshakes of each protocol resume', () => {
    const target = targets.find(({ title }) => title === 'Resumption rate by protocol')
    const start = { atSec: 0, samples: samples.map((sample) => ({ ...sample, value: 0 })) }
    // Of five visits three were full: the first, the robot's, and the last, while the store was down.
    const answers = evaluate(target!.expression, [start, { atSec: 10, samples }])
    expect(answers.map(({ labels, value }) => [labels, value])).toEqual([
      [{ protocol: 'TLSv1.2' }, expect.closeTo(0.4)],
      [{ protocol: 'TLSv1.3' }, expect.closeTo(0.4)],
    ])
  })

  test('has panels that do not overlap, on a grid 24 wide', () => {
    const cells = readDashboard().panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(Math.max(...cells.map((cell) => Number.parseInt(cell, 10)))).toBeLessThan(24)
  })
})
