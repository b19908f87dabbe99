import * as promClient from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import {
  guarded,
  MemoryStore,
  SessionCacheMode,
  type SessionStore,
  storeCallbacks,
} from '../../../src/index.ts'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'
import { afterTest, connect, NAME, NO_INTERNAL, start, TLS13 } from '../../tools/node-servers.ts'
import { startTicketed } from '../../tools/ticket-servers.ts'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

/** The sample lines of a scrape whose name is one of those, without the buckets. */
async function scrape(register: promClient.Registry, ...names: string[]): Promise<string[]> {
  const text = await register.metrics()
  return text
    .split('\n')
    .filter((line) => names.some((name) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)))
}

async function serve(store: SessionStore) {
  const register = new promClient.Registry()
  const guard = guarded(store, { name: 'memory' })
  const harness = await start({
    ...TLS13,
    context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(guard) },
  })
  const parts = {
    contexts: { shop: harness.context },
    stores: { memory: guard },
    attachments: { shop: harness.attachment },
  }
  const end = prometheusMetrics(promClient, parts, { registers: [register] })
  ends.push(end)
  return { harness, register, end }
}

test('counts handshakes by outcome, reason and protocol, and nothing by id or server name', async () => {
  const { harness, register } = await serve(new MemoryStore())
  const { session } = await connect(harness)
  await connect(harness, session)
  expect(await scrape(register, 'sslctx_handshakes_total', 'sslctx_lookup_duration_seconds_count')).toEqual([
    'sslctx_handshakes_total{server="shop",outcome="full",reason="not-offered",protocol="TLSv1.3"} 1',
    'sslctx_handshakes_total{server="shop",outcome="resumed",reason="external",protocol="TLSv1.3"} 1',
    'sslctx_lookup_duration_seconds_count{server="shop",outcome="full"} 1',
    'sslctx_lookup_duration_seconds_count{server="shop",outcome="resumed"} 1',
  ])
  expect(await register.metrics()).not.toContain(NAME)
})

test("has OpenSSL's counters under their names, and the sessions that are held", async () => {
  const { harness, register } = await serve(new MemoryStore())
  const { session } = await connect(harness)
  await connect(harness, session)
  const names = ['sslctx_sess_accept_good_total', 'sslctx_sess_hits_total', 'sslctx_sess_cb_hits_total']
  for (let scrapes = 0; scrapes < 2; scrapes++)
    expect(await scrape(register, ...names, 'sslctx_session_cache_size')).toEqual([
      'sslctx_sess_accept_good_total{context="shop"} 2',
      'sslctx_sess_hits_total{context="shop"} 1',
      'sslctx_sess_cb_hits_total{context="shop"} 1',
      'sslctx_session_cache_size{context="shop"} 20480',
    ])
})

test('has the calls of a store by operation and outcome, and the state of its breaker', async () => {
  const memory = new MemoryStore()
  let isDown = false
  const { harness, register } = await serve({
    confidentiality: 'in-process',
    get: (key) => {
      if (isDown) throw new Error('down')
      return memory.get(key)
    },
    set: (entries) => {
      if (isDown) throw new Error('down')
      memory.set(entries)
    },
    take: (key) => memory.take(key),
    delete: (key) => memory.delete(key),
    getMarks: () => undefined,
    addMarks: () => undefined,
    close: () => undefined,
  })
  const { session } = await connect(harness)
  await connect(harness, session)
  isDown = true
  for (let attempt = 0; attempt < 5; attempt++) await connect(harness, session)
  expect(
    await scrape(register, 'sslctx_store_call_duration_seconds_count', 'sslctx_store_breaker_open'),
  ).toEqual([
    'sslctx_store_breaker_open{store="memory",calls="reads"} 1',
    'sslctx_store_breaker_open{store="memory",calls="writes"} 1',
    'sslctx_store_breaker_open{store="memory",calls="removals"} 0',
    'sslctx_store_call_duration_seconds_count{store="memory",operation="set",outcome="answered"} 2',
    'sslctx_store_call_duration_seconds_count{store="memory",operation="get",outcome="answered"} 1',
    'sslctx_store_call_duration_seconds_count{store="memory",operation="get",outcome="failed"} 5',
    'sslctx_store_call_duration_seconds_count{store="memory",operation="set",outcome="failed"} 5',
  ])
  expect(await scrape(register, 'sslctx_callback_errors_total')).toContain(
    'sslctx_callback_errors_total{context="shop",callback="get"} 5',
  )
})

test('stops when it is told to', async () => {
  const { harness, register, end } = await serve(new MemoryStore())
  end()
  await connect(harness)
  expect(await scrape(register, 'sslctx_handshakes_total')).toEqual([])
})

test('counts what leaves an internal cache, by why', async () => {
  const register = new promClient.Registry()
  const harness = await start(TLS13)
  ends.push(prometheusMetrics(promClient, { contexts: { shop: harness.context } }, { registers: [register] }))
  await connect(harness)
  expect(await scrape(register, 'sslctx_sessions', 'sslctx_sessions_new_total')).toEqual([
    'sslctx_sessions{context="shop"} 2',
    'sslctx_sessions_new_total{context="shop"} 2',
  ])
  harness.context.flushSessions(0)
  expect(await scrape(register, 'sslctx_sessions', 'sslctx_sessions_removed_total')).toEqual([
    'sslctx_sessions{context="shop"} 0',
    'sslctx_sessions_removed_total{context="shop",reason="flush"} 2',
  ])
  afterTest(() => register.clear())
})

test('levels of the workers of a cluster are those of the worst, not their sum', async () => {
  const workers = await Promise.all(
    [20_000, 10_000, 30_000].map(async (secondsLeft) => {
      const { harness, register } = await serve({
        ...{
          confidentiality: 'in-process',
          get: () => undefined,
          take: () => undefined,
          delete: () => undefined,
        },
        ...{ getMarks: () => undefined, addMarks: () => undefined, close: () => undefined },
        set: () => Promise.reject(new Error('OOM')),
      })
      for (let attempt = 0; attempt < 5; attempt++) await connect(harness)
      harness.context.setSessionCacheMode(SessionCacheMode.SERVER)
      harness.context.setSessionTimeout(secondsLeft)
      await connect(harness)
      return register.getMetricsAsJSON()
    }),
  )
  const cluster = promClient.AggregatorRegistry.aggregate(workers)
  expect(await scrape(cluster as promClient.Registry, 'sslctx_store_breaker_open')).toEqual([
    'sslctx_store_breaker_open{store="memory",calls="reads"} 0',
    'sslctx_store_breaker_open{store="memory",calls="writes"} 1',
    'sslctx_store_breaker_open{store="memory",calls="removals"} 0',
  ])
  const [left] = await scrape(cluster as promClient.Registry, 'sslctx_session_cache_oldest_time_left_seconds')
  expect(Number(left?.split(' ')[1])).toBeCloseTo(10_000, -1)
})

test('has stateless tickets, made and offered, and where their keys are in time; a server without them has none', async () => {
  const register = new promClient.Registry()
  const period = Math.floor(Date.now() / 3_600_000)
  const now = () => period * 3_600_000 + 600_000
  const harness = await startTicketed({ context: { now, sessionTimeout: 7200 } })
  const attachments = { shop: harness.attachment, other: (await start(TLS13)).attachment }
  ends.push(prometheusMetrics(promClient, { attachments }, { registers: [register] }))
  const { session } = await connect(harness)
  await connect(harness, session)
  const names = [
    ...['sslctx_tickets_sealed_total', 'sslctx_tickets_offered_total', 'sslctx_ticket_keys_current'],
    ...['sslctx_ticket_keys_time_left_seconds', 'sslctx_ticket_keys_open'],
  ]
  expect(await scrape(register, ...names)).toEqual([
    'sslctx_tickets_sealed_total{server="shop"} 3',
    'sslctx_tickets_offered_total{server="shop",outcome="opened"} 1',
    'sslctx_tickets_offered_total{server="shop",outcome="unknown-key"} 0',
    'sslctx_tickets_offered_total{server="shop",outcome="altered"} 0',
    'sslctx_tickets_offered_total{server="shop",outcome="unreadable"} 0',
    `sslctx_ticket_keys_current{server="shop"} ${period}`,
    'sslctx_ticket_keys_time_left_seconds{server="shop"} 3000',
    'sslctx_ticket_keys_open{server="shop"} 5',
  ])
})
