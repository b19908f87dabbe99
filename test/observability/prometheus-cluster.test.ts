import * as promClient from 'prom-client'
import { expect, test } from 'vitest'
import { SslContext } from '../../src/index.ts'
import { prometheusMetrics } from '../../src/observability/prometheus.ts'

/** What one process of a cluster hands to the one that adds up. */
async function metricsOf(breaker: 'closed' | 'open'): Promise<unknown> {
  const registry = new promClient.Registry()
  const breakers = { reads: 'closed', writes: breaker, removals: 'closed' } as const
  const stats = { droppedWrites: 1, droppedDeletions: 0, queuedWrites: 2, breakers }
  const end = prometheusMetrics(promClient, {
    registers: [registry],
    stores: { shop: { stats } },
    contexts: { shop: new SslContext() },
  })
  end()
  return registry.getMetricsAsJSON()
}

test('levels of several processes are not added up: one open breaker of three is 1, and so are three', async () => {
  for (const breakers of [
    ['closed', 'open', 'closed'],
    ['open', 'open', 'open'],
  ] as const) {
    const all = promClient.AggregatorRegistry.aggregate(
      (await Promise.all(breakers.map(metricsOf))) as object[],
    )
    const text = await all.metrics()
    expect(text).toContain('sslctx_store_breaker_open{store="shop",calls="writes"} 1\n')
    expect(text).toContain('sslctx_store_writes_queued{store="shop"} 6\n')
  }
})
