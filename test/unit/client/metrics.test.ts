import { format } from 'node:util'
import createDebug from 'debug'
import * as promClient from 'prom-client'
import { expect, test, vi } from 'vitest'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'
import { type StatusReport, statusHandler } from '../../../src/observability/status-handler.ts'
import { scrape } from '../../tools/scrape.ts'
import { afterTest, connect, make, startTls } from './harness.ts'

test('sslctx_client_handshakes_total counts what the handshakes of clients came to, by no host', async () => {
  const server = await startTls()
  const register = new promClient.Registry()
  const sessions = make()
  afterTest(prometheusMetrics(promClient, { clients: { shop: sessions } }, { registers: [register] }))
  for (let connection = 0; connection < 4; connection++) await connect(sessions, server.options)
  const samples = await scrape(register)
  const labels = { protocol: 'TLSv1.3' }
  expect(samples.filter(({ name }) => name === 'sslctx_client_handshakes_total')).toEqual([
    expect.objectContaining({
      labels: { ...labels, outcome: 'full', reason: 'nothing-to-offer' },
      value: 1,
    }),
    expect.objectContaining({ labels: { ...labels, outcome: 'resumed', reason: 'resumed' }, value: 2 }),
    expect.objectContaining({ labels: { ...labels, outcome: 'full', reason: 'used-up' }, value: 1 }),
  ])
  const kept = samples.filter(({ name }) => /^sslctx_client_(tickets|origins)$/.test(name))
  expect(kept).toEqual([
    expect.objectContaining({ name: 'sslctx_client_tickets', labels: { client: 'shop' }, value: 2 }),
    expect.objectContaining({ name: 'sslctx_client_origins', labels: { client: 'shop' }, value: 1 }),
  ])
})

test('DEBUG=sslctx:client has a line for each handshake', async () => {
  const server = await startTls()
  const lines: string[] = []
  createDebug.enable('sslctx:client')
  const log = vi
    .spyOn(createDebug, 'log')
    .mockImplementation((...parts: unknown[]) => void lines.push(format(...parts)))
  afterTest(() => {
    log.mockRestore()
    createDebug.disable()
  })
  const sessions = make()
  await connect(sessions, server.options)
  await connect(sessions, server.options)
  expect(lines).toEqual([
    expect.stringContaining(`TLSv1.3 "localhost:${server.port}": full (nothing-to-offer)`),
    expect.stringContaining(`TLSv1.3 "localhost:${server.port}": resumed (resumed, from memory)`),
  ])
})

function reportOf(handler: ReturnType<typeof statusHandler>): StatusReport {
  let body = ''
  const end = (text: string): void => {
    body = text
  }
  const response = { statusCode: 200, setHeader: () => undefined, end }
  handler({ method: 'GET', url: '/?format=json', headers: {} }, response)
  return JSON.parse(body) as StatusReport
}

test('the status page has a section for clients, with a verdict and no host', async () => {
  const server = await startTls()
  const sessions = make()
  const handler = statusHandler({ clients: { shop: sessions } })
  afterTest(() => handler.close())
  expect(reportOf(handler).clients['shop']?.verdict).toEqual({ state: 'idle', because: null, span: 'hour' })
  await connect(sessions, server.options)
  expect(reportOf(handler).clients['shop']?.verdict).toEqual({
    state: 'nothing-known',
    because: null,
    span: 'hour',
  })
  await connect(sessions, server.options)
  expect(reportOf(handler).clients['shop']?.verdict).toEqual({
    state: 'resuming',
    because: null,
    span: 'now',
  })
  await connect(sessions, server.options)
  await connect(sessions, server.options)
  const { shop } = reportOf(handler).clients
  const counts = {
    handshakes: { resumed: 2, full: 2, failed: 0 },
    protocols: { 'TLSv1.3': { resumed: 2, full: 2, failed: 0 } },
    reasons: { 'nothing-to-offer': 1, resumed: 2, 'used-up': 1 },
  }
  expect(shop).toMatchObject({
    verdict: { state: 'resuming-in-part', because: 'used-up', span: 'now' },
    now: { ...counts, rate: 0.5, known: 3 },
    hour: counts,
    total: counts,
    minutes: [{ ...counts, tickets: 2 }],
    ...{ origins: 1, tickets: 2, bytes: sessions.stats.bytes },
    counters: { connect: 4, connectGood: 4, hits: 2 },
  })
  expect(JSON.stringify(shop)).not.toContain('localhost')
})
