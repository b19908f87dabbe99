import * as promClient from 'prom-client'
import { expect, test } from 'vitest'
import { prometheusMetrics } from '../../src/observability/prometheus.ts'
import { scrape } from '../observability/scrape.ts'
import { afterTest, connect, make, startTls } from './harness.ts'

test('sslctx_client_handshakes_total counts what the handshakes of clients came to, by no host', async () => {
  const server = await startTls()
  const register = new promClient.Registry()
  afterTest(prometheusMetrics(promClient, {}, { registers: [register] }))
  const sessions = make()
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
})
