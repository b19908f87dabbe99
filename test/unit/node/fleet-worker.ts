import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import tls from 'node:tls'
import { attachServer, SslContext, serverOptions, storeCallbacks } from '../../../src/index.ts'
import type { CallbackStore } from '../../../src/model.ts'
import { connectStore } from '../../tools/shared-store.ts'
import { SETTINGS, type WorkerReport, type WorkerSettings } from './fleet.ts'

const settings = JSON.parse(process.env[SETTINGS] ?? '') as WorkerSettings
const { certificate, sessionCacheMode, version, waitForStore, storeDistanceMs } = settings
const sessions = await connectStore(settings.storePort)
const distant: CallbackStore = {
  ...sessions,
  async set(entries) {
    await setTimeout(storeDistanceMs)
    await sessions.set(entries)
  },
}
const context = new SslContext({
  sessionIdContext: 'fleet',
  sessionCacheMode,
  ...storeCallbacks(storeDistanceMs > 0 ? distant : sessions, { plaintext: true }),
})
const server = tls.createServer(
  { ...certificate, minVersion: version, maxVersion: version, ...serverOptions(context) },
  (socket) => socket.on('error', () => undefined).end('hello'),
)
// A machine that is slow for a while must not look like a session that was lost.
const attachment = attachServer(server, context, { waitForStore, lookupTimeoutMs: 10_000 })

async function shutDown(): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  const { dropped } = await attachment.close()
  await closed
  await sessions.close()
  const report: WorkerReport = { stats: attachment.stats, dropped }
  process.send?.(report, () => process.disconnect())
}

process.once('SIGTERM', () => void shutDown())
server.listen(0, '127.0.0.1')
