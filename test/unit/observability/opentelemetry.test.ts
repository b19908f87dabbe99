import {
  AggregationTemporality,
  DataPointType,
  type HistogramMetricData,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MemoryStore } from '../../../src/index.ts'
import { openTelemetryMetrics } from '../../../src/observability/opentelemetry.ts'
import { type Sample, scrape } from '../../tools/scrape.ts'
import { openShop, ROBOT, type Shop } from '../../tools/shop.ts'

let shop: Shop
let provider: MeterProvider
let exporter: InMemoryMetricExporter
let end: () => void

beforeEach(async () => {
  shop = await openShop(new MemoryStore(), { sessionCacheSize: 3 })
  exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 })
  provider = new MeterProvider({ readers: [reader] })
  end = openTelemetryMetrics(provider.getMeter('sslctx'), shop.parts)
})
afterEach(async () => {
  end()
  await provider.shutdown()
  await shop.close()
})

/** Full, resumed and failed handshakes, some of whose sessions were replaced, evicted or never kept. */
async function makeTraffic(): Promise<void> {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = { version }
    await shop.visit(client)
    await shop.visit(client)
    await shop.visit({ version, servername: ROBOT })
  }
  await shop.scan()
}

async function metrics(): Promise<readonly MetricData[]> {
  exporter.reset()
  await provider.forceFlush()
  return exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
}

async function points(name: string): Promise<unknown[]> {
  const metric = (await metrics()).find(({ descriptor }) => descriptor.name === name)
  return (metric?.dataPoints ?? []).map(({ attributes, value }) => [
    Object.values(attributes).join(' '),
    value,
  ])
}

describe('openTelemetryMetrics', () => {
  test('counts full, resumed and failed handshakes by outcome, reason and protocol', async () => {
    await makeTraffic()
    expect(await points('sslctx.handshakes')).toEqual([
      ['shop full not-offered TLSv1.2', 2],
      ['shop resumed internal TLSv1.2', 1],
      ['shop full not-offered TLSv1.3', 2],
      ['shop resumed internal TLSv1.3', 1],
      ['shop failed not-tls none', 1],
    ])
  })

  test("reads OpenSSL's counters and the cache when it is asked", async () => {
    await makeTraffic()
    expect(await points('sslctx.sess.accept_good')).toEqual([['shop', 6]])
    expect(await points('sslctx.sess.hits')).toEqual([['shop', 2]])
    expect(await points('sslctx.sessions')).toEqual([['shop', 3]])
    shop.context.flushSessions(0)
    expect(await points('sslctx.sessions')).toEqual([['shop', 0]])
    expect(await points('sslctx.sessions_removed')).toEqual([
      ['shop evict', 1],
      ['shop flush', 3],
    ])
    expect(await points('sslctx.sessions_not_kept')).toEqual([['shop declined', 3]])
  })

  test('has the figures of prometheusMetrics, each under the name that Prometheus makes of this one', async () => {
    await makeTraffic()
    const told = (await metrics()).flatMap(samplesOf).map(lineOf)
    const scraped = (await scrape(shop.register)).filter(({ name }) => !name.endsWith('_bucket'))
    // Time goes by between the two.
    const still = (line: string): boolean => !line.startsWith('sslctx_session_cache_oldest_time_left_seconds')
    expect(told.filter(still).sort()).toEqual(scraped.map(lineOf).filter(still).sort())
    expect(told.length).toBeGreaterThan(30)
  })

  test('advises the buckets of prometheusMetrics', async () => {
    await makeTraffic()
    const scraped = (await scrape(shop.register)).filter(
      ({ name, labels }) => name === 'sslctx_lookup_duration_seconds_bucket' && labels['outcome'] === 'full',
    )
    const metric = (await metrics()).find(({ descriptor }) => descriptor.name === 'sslctx.lookup.duration')
    const { boundaries } = (metric as HistogramMetricData).dataPoints[0]!.value.buckets
    expect([...boundaries.map(String), '+Inf']).toEqual(scraped.map(({ labels }) => labels['le']))
  })

  test('calls its attributes sslctx.*, and has no id and no server name in them', async () => {
    await makeTraffic()
    const attributes = (await metrics()).flatMap(({ dataPoints }) =>
      dataPoints.map((point) => point.attributes),
    )
    expect([...new Set(attributes.flatMap((some) => Object.keys(some)))].sort()).toEqual(
      ['calls', 'context', 'operation', 'outcome', 'protocol', 'reason', 'server', 'store'].map(
        (label) => `sslctx.${label}`,
      ),
    )
    expect(JSON.stringify(attributes)).not.toMatch(/example|[0-9a-f]{16}/)
  })

  test('has units, and adds up what may be added up', async () => {
    await makeTraffic()
    const kinds = new Map((await metrics()).map((metric) => [metric.descriptor.name, metric]))
    const kindOf = (name: string): unknown => {
      const { descriptor, dataPointType, ...rest } = kinds.get(name)!
      return [descriptor.unit, DataPointType[dataPointType], 'isMonotonic' in rest && rest.isMonotonic]
    }
    expect(kindOf('sslctx.handshakes')).toEqual(['{handshake}', 'SUM', true])
    expect(kindOf('sslctx.lookup.duration')).toEqual(['s', 'HISTOGRAM', false])
    expect(kindOf('sslctx.sess.hits')).toEqual(['', 'SUM', true])
    expect(kindOf('sslctx.sessions')).toEqual(['{session}', 'SUM', false])
    expect(kindOf('sslctx.session_cache.oldest_time_left')).toEqual(['s', 'GAUGE', false])
  })

  test('ends when it is told to: nothing is counted and nothing read any more', async () => {
    await makeTraffic()
    const before = [await points('sslctx.handshakes'), await points('sslctx.sessions')]
    end()
    await shop.visit({ version: 'TLSv1.2' })
    shop.context.flushSessions(0)
    expect([await points('sslctx.handshakes'), await points('sslctx.sessions')]).toEqual(before)
    expect(before[1]).toEqual([['shop', 3]])
  })
})

/** The compatibility rules of the OpenTelemetry specification, Prometheus and OpenMetrics: dots, units, `_total`. */
function samplesOf({ descriptor, dataPointType, dataPoints, ...rest }: MetricData): Sample[] {
  const isCounter = 'isMonotonic' in rest && rest.isMonotonic
  const base = descriptor.name.replaceAll('.', '_') + (descriptor.unit === 's' ? '_seconds' : '')
  return dataPoints.flatMap(({ attributes, value }) => {
    const labels = Object.fromEntries(
      Object.entries(attributes).map(([name, text]) => [name.replace('sslctx.', ''), String(text)]),
    )
    if (typeof value === 'number') return [{ name: isCounter ? `${base}_total` : base, labels, value }]
    const { sum = 0, count } = value
    return [
      { name: `${base}_sum`, labels, value: sum },
      { name: `${base}_count`, labels, value: count },
    ]
  })
}

const lineOf = ({ name, labels, value }: Sample): string =>
  `${name} ${JSON.stringify(Object.entries(labels).sort())} ${value}`
