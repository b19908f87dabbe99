import { readFileSync } from 'node:fs'
import type { Sample } from './scrape.ts'

export interface Panel {
  readonly title: string
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number }
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string
      readonly max?: number
      readonly custom: { readonly stacking: { readonly mode: 'none' | 'normal' } }
    }
  }
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
}

export interface Dashboard {
  readonly title: string
  readonly panels: readonly Panel[]
}

export function readDashboard(): Dashboard {
  const text = readFileSync(new URL('../../docs/grafana.json', import.meta.url), 'utf8')
  return JSON.parse(text) as Dashboard
}

/** As much of PromQL as the dashboard speaks. */
export type Expression =
  | { readonly type: 'select' | 'rate'; readonly name: string; readonly matchers: readonly Matcher[] }
  | { readonly type: 'sum' | 'max' | 'min'; readonly by: readonly string[]; readonly of: Expression }
  | { readonly type: 'quantile'; readonly quantile: number; readonly of: Expression }
  | { readonly type: 'ratio'; readonly dividend: Expression; readonly divisor: Expression }

interface Matcher {
  readonly label: string
  readonly operator: string
  readonly value: string
}

const TOKEN = /\s*([a-zA-Z_$]\w*|"[^"]*"|=~|!=|[0-9.]+|[(){}[\],=/])/y

/** @throws for what is not of the language */
export function parse(text: string): Expression {
  const tokens = tokensOf(text)
  const take = (wanted?: string): string => {
    const token = tokens.shift() ?? 'the end'
    if (wanted !== undefined && token !== wanted) throw new Error(`${text}: ${token} in place of ${wanted}`)
    return token
  }
  const list = (item: () => void, end: string): void => {
    while (tokens[0] !== end) {
      item()
      if (tokens[0] !== end) take(',')
    }
    take(end)
  }
  const select = (type: 'select' | 'rate', name: string): Expression => {
    const matchers: Matcher[] = []
    take('{')
    list(() => matchers.push({ label: take(), operator: take(), value: JSON.parse(take()) as string }), '}')
    return { type, name, matchers }
  }
  const call = (name: string): Expression => {
    if (name === 'rate') {
      take('(')
      const rate = select('rate', take())
      for (const token of ['[', '$__rate_interval', ']', ')']) take(token)
      return rate
    }
    if (name === 'histogram_quantile') {
      take('(')
      const quantile = Number(take())
      take(',')
      const of = factor()
      take(')')
      return { type: 'quantile', quantile, of }
    }
    if (name !== 'sum' && name !== 'max' && name !== 'min') return select('select', name)
    const by: string[] = []
    if (tokens[0] === 'by') {
      take('by')
      take('(')
      list(() => by.push(take()), ')')
    }
    take('(')
    const of = factor()
    take(')')
    return { type: name, by, of }
  }
  const factor = (): Expression => call(take())
  const first = factor()
  if (tokens.length === 0) return first
  take('/')
  const ratio = { type: 'ratio', dividend: first, divisor: factor() } as const
  if (tokens.length > 0) take('the end')
  return ratio
}

function tokensOf(text: string): string[] {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex
    const [, token] = TOKEN.exec(text) ?? []
    if (token === undefined) throw new Error(`${text}: unknown at ${at}`)
    tokens.push(token)
  }
  return tokens
}

/** Of one moment, after those before it. */
export interface Scrape {
  readonly atSec: number
  readonly samples: readonly Sample[]
}

/**
 * What Prometheus answers at the moment of the last scrape, or nearly so: rates are of the first and the last scrape, without
 * extrapolation.
 *
 * @param scrapes - of the interval of the rates; counters do not start again in it
 */
export function evaluate(expression: Expression, scrapes: readonly Scrape[]): readonly Sample[] {
  switch (expression.type) {
    case 'select':
      return selected(expression, scrapes.at(-1))
    case 'rate':
      return rates(expression, scrapes)
    case 'sum':
    case 'max':
    case 'min':
      return grouped(evaluate(expression.of, scrapes), expression.by).map(({ labels, samples }) => {
        const value = COMBINE[expression.type](samples.map((sample) => sample.value))
        return { name: '', labels, value }
      })
    case 'quantile': {
      const samples = evaluate(expression.of, scrapes)
      const by = Object.keys(samples[0]?.labels ?? {}).filter((label) => label !== 'le')
      return grouped(samples, by).map((group) => ({
        name: '',
        labels: group.labels,
        value: quantileOf(expression.quantile, group.samples),
      }))
    }
    case 'ratio': {
      const divisors = evaluate(expression.divisor, scrapes)
      return evaluate(expression.dividend, scrapes).flatMap((sample) => {
        const divisor = divisors.find(({ labels }) => keyOf(labels) === keyOf(sample.labels))
        return divisor ? [{ ...sample, value: sample.value / divisor.value }] : []
      })
    }
  }
}

const COMBINE = {
  sum: (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0),
  max: (values: readonly number[]): number => Math.max(...values),
  min: (values: readonly number[]): number => Math.min(...values),
}

const keyOf = (labels: Sample['labels']): string => JSON.stringify(Object.entries(labels).sort())

interface Selector {
  readonly name: string
  readonly matchers: readonly Matcher[]
}

function selected({ name, matchers }: Selector, scrape: Scrape | undefined): readonly Sample[] {
  const fits = ({ labels }: Sample): boolean =>
    matchers.every(({ label, operator, value }) => {
      if (value.startsWith('$')) return true
      const isEqual =
        operator === '=~' ? value.split('|').includes(labels[label] ?? '') : labels[label] === value
      return isEqual === (operator !== '!=')
    })
  return (scrape?.samples ?? []).filter((sample) => sample.name === name && fits(sample))
}

function rates(selector: Selector, scrapes: readonly Scrape[]): readonly Sample[] {
  const seen = new Map<string, { atSec: number; value: number }>()
  for (const scrape of scrapes)
    for (const { labels, value } of selected(selector, scrape))
      if (!seen.has(keyOf(labels))) seen.set(keyOf(labels), { atSec: scrape.atSec, value })
  const last = scrapes.at(-1)
  return selected(selector, last).flatMap((sample) => {
    const first = seen.get(keyOf(sample.labels))
    const seconds = (last?.atSec ?? 0) - (first?.atSec ?? 0)
    return first && seconds > 0 ? [{ ...sample, value: (sample.value - first.value) / seconds }] : []
  })
}

function grouped(
  samples: readonly Sample[],
  by: readonly string[],
): { labels: Record<string, string>; samples: Sample[] }[] {
  const groups = new Map<string, { labels: Record<string, string>; samples: Sample[] }>()
  for (const sample of samples) {
    const labels = Object.fromEntries(by.map((label) => [label, sample.labels[label] ?? '']))
    const group = groups.get(keyOf(labels)) ?? { labels, samples: [] }
    group.samples.push(sample)
    groups.set(keyOf(labels), group)
  }
  return [...groups.values()]
}

/** Within its bucket a value may be anywhere alike; NaN without any. */
function quantileOf(quantile: number, buckets: readonly Sample[]): number {
  const rank = quantile * Math.max(...buckets.map(({ value }) => value))
  let [from, before] = [0, 0]
  for (const { labels, value } of buckets) {
    const to = Number(labels['le']?.replace('+Inf', 'Infinity'))
    if (value >= rank && value > before)
      return to === Number.POSITIVE_INFINITY
        ? from
        : from + ((to - from) * (rank - before)) / (value - before)
    from = to
    before = value
  }
  return Number.NaN
}
