import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { isMainThread, parentPort, threadId, Worker } from 'node:worker_threads'
import { ServerSessions } from '../../../src/index.ts'
import { readSettings } from './settings.ts'

/** Two threads, each with a port; each says who it is. */
if (isMainThread) {
  // A thread does not have tsx from its process.
  const boot = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(import.meta.url)}) })`
  const threads = [1, 2].map(() => new Worker(boot, { eval: true }))
  process.send?.(
    await Promise.all(threads.map(async (thread) => (await once(thread, 'message'))[0] as number)),
  )
} else {
  const { key, cert, secret } = readSettings()
  const sessions = new ServerSessions({ name: 'shop', secrets: [secret] })
  const server = https.createServer({ key, cert, ...sessions.serverOptions() }, (_request, response) =>
    response.setHeader('Connection', 'close').end(String(threadId)),
  )
  sessions.attach(server)
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port))
}
