import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { MemoryStore, ServerSessions } from '../../../src/index.ts'
import { engine } from './engine.ts'
import { readSettings } from './settings.ts'

/** A server whose store takes its time, and which ends as the documentation says when it gets SIGTERM. */
const { key, cert, secret } = readSettings()
const memory = new MemoryStore()
const store = engine(memory)
let stored = 0
const sessions = new ServerSessions({
  ...{ name: 'shop', secrets: [secret], tickets: false },
  store: {
    ...store,
    async set(entries) {
      await wait(50)
      await store.set(entries)
      stored += entries.length
    },
  },
})
let made = 0
sessions.context.subscribe((event) => {
  if (event.type === 'new-session') made++
})
const server = https.createServer({ key, cert, ...sessions.serverOptions() }, (_request, response) =>
  response.setHeader('Connection', 'close').end('hello'),
)
const attachment = sessions.attach(server)
async function end(): Promise<void> {
  server.close()
  const { dropped } = await sessions.close()
  const report = { dropped, made, stored, handshakes: attachment.stats.handshakes }
  process.send?.(report, () => process.disconnect())
}
process.once('SIGTERM', () => void end())
server.listen(0, '127.0.0.1', () => process.send?.([(server.address() as AddressInfo).port]))
