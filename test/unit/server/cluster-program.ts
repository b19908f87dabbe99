import cluster from 'node:cluster'
import { once } from 'node:events'
import https from 'node:https'
import { ServerSessions } from '../../../src/index.ts'
import { relayStatus, statusHandler } from '../../../src/observability/status-handler.ts'
import { readSettings } from './settings.ts'

/** Two workers at one port; each says who it is, and what its status is. */
if (cluster.isPrimary) {
  if (process.argv.includes('relay')) relayStatus()
  const workers = [cluster.fork(), cluster.fork()]
  const ports = await Promise.all(
    workers.map(async (worker) => (await once(worker, 'listening'))[0].port as number),
  )
  process.send?.([ports[0]])
} else {
  const { key, cert, secret } = readSettings()
  const sessions = new ServerSessions({ name: 'shop', secrets: [secret] })
  const status = statusHandler(sessions)
  const server = https.createServer({ key, cert, ...sessions.serverOptions() }, (request, response) => {
    response.setHeader('Connection', 'close')
    if (request.url?.startsWith('/status')) status(request, response)
    else response.end(String(cluster.worker?.id))
  })
  sessions.attach(server)
  server.listen(0, '127.0.0.1')
}
