import * as promClient from 'prom-client'
import { expect, test } from 'vitest'
import { guarded, MemoryStore, SslContext } from '../../../src/index.ts'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'

/** What one process of a cluster hands to the one that adds up. */
async function metricsOf(breaker: 'closed' | 'open'): Promise<unknown> {
  const registry = new promClient.Registry()
  const breakers = { reads: 'closed', writes: breaker, removals: 'closed' } as const
  const store = guarded(new MemoryStore())
  const stats = { ...store.stats, droppedWrites: 1, queuedWrites: 2, breakers }
  const parts = { stores: { shop: { name: 'store', stats } }, contexts: { shop: new SslContext() } }
  const end = prometheusMetrics(promClient, parts, { registers: [registry] })
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
