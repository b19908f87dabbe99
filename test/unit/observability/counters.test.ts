import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'

/** As `SslContext.stats`, all of whose counters are this number. */
const statsOf = (value: number): Record<string, number> =>
  Object.fromEntries(
    [
      ...[
        'number',
        'connect',
        'connectGood',
        'connectRenegotiate',
        'accept',
        'acceptGood',
        'acceptRenegotiate',
      ],
      ...['hits', 'cbHits', 'misses', 'timeouts', 'cacheFull'],
    ].map((name) => [name, value]),
  )

test('a counter of libssl that goes down, and down again, stands still in the metrics until it is past its highest', async () => {
  let value = 0
  const context = {
    get stats() {
      return statsOf(value) as never
    },
    cacheStats: { stored: 0, replaced: 0, oldestTimeLeftSec: undefined },
    getSessionCacheMode: () => 2,
    getSessionCacheSize: () => 0,
    getSessionTimeout: () => 300,
    subscribe: () => () => undefined,
  }
  const registry = new Registry()
  prometheusMetrics(
    { Counter, Gauge, Histogram } as never,
    { contexts: { shop: context } },
    {
      registers: [registry],
    },
  )
  const shown: (number | undefined)[] = []
  for (value of [5, 4, 3, 5, 6]) {
    const metric = await registry.getSingleMetric('sslctx_sess_hits_total')?.get()
    shown.push(metric?.values[0]?.value)
  }
  expect(shown).toEqual([5, 5, 5, 5, 6])
})
