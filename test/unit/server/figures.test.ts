import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import * as promClient from 'prom-client'
import { describe, expect, test } from 'vitest'
import { guarded, MemoryStore, ServerSessions } from '../../../src/index.ts'
import { openTelemetryMetrics } from '../../../src/observability/opentelemetry.ts'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'
import { type StatusReport, statusHandler } from '../../../src/observability/status-handler.ts'
import type { Subject } from '../../../src/observability/subject.ts'
import { afterTest, certificate, connect, greet, listen, TLS13 } from '../../tools/node-servers.ts'
import { type Sample, scrape } from '../../tools/scrape.ts'
import { engine, SECRET } from './engine.ts'

/** Two servers, one after the other, the second one attached after the figures have been asked for. */
async function shop(): Promise<{
  readonly sessions: ServerSessions
  readonly attach: () => Promise<number>
}> {
  const sessions = new ServerSessions({ name: 'shop', secrets: [SECRET], tickets: false, store: engine() })
  afterTest(() => void sessions.close())
  await sessions.ready
  return {
    sessions,
    async attach() {
      const server = greet({ ...certificate, ...sessions.serverOptions(), ...TLS13.server })
      sessions.attach(server)
      return listen(server)
    },
  }
}

const only = (samples: readonly Sample[], name: string): unknown[] =>
  samples.filter((sample) => sample.name === name).map(({ labels, value }) => ({ ...labels, value }))

function prometheus(subject: Subject): promClient.Registry {
  const register = new promClient.Registry()
  afterTest(prometheusMetrics(promClient, subject, { registers: [register] }))
  return register
}

describe('prometheusMetrics', () => {
  test('takes a ServerSessions, and tells its servers apart, those too that come later', async () => {
    const { sessions, attach } = await shop()
    const first = await attach()
    const register = prometheus(sessions)
    const second = await attach()
    const { session } = await connect({ port: first })
    await connect({ port: first }, session)
    await connect({ port: second }, session)
    const [one, two] = sessions.attachments.map(({ name }) => name)
    const samples = await scrape(register)
    const protocol = 'TLSv1.3'
    expect(only(samples, 'sslctx_handshakes_total')).toEqual([
      { server: one, outcome: 'full', reason: 'not-offered', protocol, value: 1 },
      { server: one, outcome: 'resumed', reason: 'external', protocol, value: 1 },
      { server: two, outcome: 'resumed', reason: 'external', protocol, value: 1 },
    ])
    expect(only(samples, 'sslctx_lookup_duration_seconds_count')).toContainEqual({
      ...{ server: two, outcome: 'resumed', value: 1 },
    })
    expect(only(samples, 'sslctx_sess_hits_total')).toEqual([{ context: 'shop', value: 2 }])
    const stores = samples.filter(({ labels }) => 'store' in labels).map(({ labels }) => labels['store'])
    expect(new Set(stores)).toEqual(new Set(['shop']))
    expect(stores.length).toBeGreaterThan(5)
  })

  test('takes what attachServer returned', async () => {
    const { sessions, attach } = await shop()
    const port = await attach()
    const [attachment] = sessions.attachments
    const register = prometheus(attachment!)
    await connect({ port })
    const samples = await scrape(register)
    expect(only(samples, 'sslctx_handshakes_total')).toMatchObject([{ server: attachment?.name, value: 1 }])
    expect(only(samples, 'sslctx_sess_accept_good_total')).toEqual([{ context: attachment?.name, value: 1 }])
  })

  test('takes parts, under the names that they are given, in all metrics', async () => {
    const { sessions, attach } = await shop()
    const port = await attach()
    const [attachment] = sessions.attachments
    const register = prometheus({
      contexts: { c: sessions.context },
      stores: { s: sessions.store! },
      attachments: { a: attachment! },
    })
    await connect({ port })
    const samples = await scrape(register)
    for (const [label, name] of [
      ['context', 'c'],
      ['store', 's'],
      ['server', 'a'],
    ] as const) {
      const values = samples.flatMap(({ labels }) => labels[label] ?? [])
      expect([label, ...new Set(values)]).toEqual([label, name])
    }
  })

  test('does not merge two services of a process', async () => {
    const [one, other] = [await shop(), await shop()]
    const ports = [await one.attach(), await other.attach()]
    const register = prometheus({})
    for (const port of ports) await connect({ port })
    const counted = only(await scrape(register), 'sslctx_handshakes_total') as {
      server: string
      value: number
    }[]
    const names = [one, other].flatMap(({ sessions }) => sessions.attachments.map(({ name }) => name))
    expect(counted.map(({ server, value }) => [server, value])).toEqual(names.map((name) => [name, 1]))
  })
})

test('openTelemetryMetrics takes a ServerSessions, and has the same labels', async () => {
  const { sessions, attach } = await shop()
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const provider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1_000_000 })],
  })
  afterTest(openTelemetryMetrics(provider.getMeter('sslctx'), sessions))
  const port = await attach()
  await connect({ port })
  await provider.forceFlush()
  const metrics = exporter
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  const attributes = (name: string): unknown =>
    metrics.find(({ descriptor }) => descriptor.name === name)?.dataPoints[0]?.attributes
  expect(attributes('sslctx.handshakes')).toMatchObject({ 'sslctx.server': sessions.attachments[0]?.name })
  expect(attributes('sslctx.store.call.duration')).toMatchObject({ 'sslctx.store': 'shop' })
  expect(attributes('sslctx.store.breaker.open')).toMatchObject({ 'sslctx.store': 'shop' })
  await provider.shutdown()
})

describe('statusHandler', () => {
  async function ask(subject: Subject): Promise<() => Promise<StatusReport>> {
    const handler = statusHandler(subject)
    afterTest(handler.close)
    const port = await listen(http.createServer(handler))
    return async () => {
      const [response] = (await once(
        http.get({ host: '127.0.0.1', port, path: '/?format=json' }),
        'response',
      )) as [IncomingMessage]
      return (await json(response)) as StatusReport
    }
  }

  test('takes a ServerSessions before it has a server, and counts all that its servers do then', async () => {
    const { sessions, attach } = await shop()
    const report = await ask(sessions)
    expect((await report()).servers).toEqual({})
    const ports = [await attach(), await attach()]
    for (const port of ports) await connect({ port })
    const { servers, stores } = await report()
    expect(Object.keys(servers)).toEqual(sessions.attachments.map(({ name }) => name))
    for (const { now, total } of Object.values(servers))
      expect([now.handshakes.full, total.handshakes.full]).toEqual([1, 1])
    expect(Object.keys(stores)).toEqual(['shop'])
    await sessions.attachments[0]?.close()
    expect(Object.keys((await report()).servers)).toEqual([sessions.attachments[0]?.name])
  })

  test('takes what attachServer returned', async () => {
    const { sessions, attach } = await shop()
    await attach()
    const [attachment] = sessions.attachments
    expect(Object.keys((await (await ask(attachment!))()).servers)).toEqual([attachment?.name])
  })
})

describe('what is no subject is refused, and nothing is guessed:', () => {
  const sessions = new ServerSessions({ name: 'shop' })
  const store = guarded(new MemoryStore())
  test.each<[string, unknown]>([
    ['a context', sessions.context],
    ['attachments without their kind', { shop: {} }],
    ['null', null],
    ['a function', () => undefined],
    ['an array', [sessions]],
    ['stores that are none', { stores: 5 }],
    ['registers among the parts', { registers: [] }],
    ['two stores of one name', { stores: { one: store, other: guarded(new MemoryStore()) } }],
  ])('%s', (_, subject) => {
    const code = expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' })
    expect(() => statusHandler(subject as Subject)).toThrow(code)
    expect(() => prometheusMetrics(promClient, subject as Subject)).toThrow(code)
    const provider = new MeterProvider()
    expect(() => openTelemetryMetrics(provider.getMeter('sslctx'), subject as Subject)).toThrow(code)
  })
})
