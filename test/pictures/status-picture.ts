import { once } from 'node:events'
import { mkdirSync, statSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { mock } from 'node:test'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import {
  attachServer,
  guarded,
  MemoryStore,
  type ServerAttachment,
  SslContext,
  serverOptions,
  storeCallbacks,
} from '../../src/index.ts'
import { statusHandler } from '../../src/observability/status-handler.ts'
import { launchChromium, openPage } from '../tools/browser.ts'
import { makeCertificate } from '../tools/certificate.ts'

/*
 * docs/status.png: an hour of real handshakes with two servers that share a store, which fails for a while. Only the clock is not
 * real: each minute is over when its handshakes are.
 */

const MINUTES = 57
const VISITS = 80
const CLIENTS = 300
const OUTAGE = [24, 33] as const
const PICTURE = fileURLToPath(new URL('../../docs/status.png', import.meta.url))
const NAME = 'shop.example'
const OTHER_NAME = 'api.example'

const certificate = await makeCertificate(NAME, { names: [NAME, OTHER_NAME] })
let seed = 7
/** 0 to 1, the same in each run. */
function random(): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
  return seed / 0x80000000
}

let isDown = false
const memory = new MemoryStore()
const failing = <T>(call: () => T): T => {
  if (isDown) throw new Error('the store is down')
  return call()
}
const store = guarded(
  {
    confidentiality: 'in-process',
    get: (key) => failing(() => memory.get(key)),
    set: (entries) => failing(() => memory.set(entries)),
    take: (key) => failing(() => memory.take(key)),
    delete: (key) => failing(() => memory.delete(key)),
    getMarks: () => undefined,
    addMarks: () => undefined,
    close: () => undefined,
  },
  { name: 'sessions' },
)

interface Served {
  readonly server: tls.Server
  readonly attachment: ServerAttachment
  readonly port: number
}

async function serve(): Promise<Served> {
  const context = new SslContext({ sessionCacheSize: 1500, ...storeCallbacks(store) })
  const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) =>
    socket.on('error', () => undefined).end('hello'),
  )
  const attachment = attachServer(server, context)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, attachment, port: (server.address() as AddressInfo).port }
}

interface Client {
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3'
  session?: Buffer
}

async function visit({ port }: Served, client: Client): Promise<void> {
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port, maxVersion: client.maxVersion, rejectUnauthorized: false },
    servername: random() < 0.04 ? OTHER_NAME : NAME,
    ...(client.session && { session: client.session }),
  })
  socket.on('session', (session: Buffer) => {
    client.session = session
  })
  socket.resume()
  await once(socket, 'close')
}

function newClient(): Client {
  return { maxVersion: random() < 0.4 ? 'TLSv1.2' : 'TLSv1.3' }
}

mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() })
const monotonic = performance.now.bind(performance)
let passedMs = 0
performance.now = () => monotonic() + passedMs

const servers = [await serve(), await serve()] as const
const handler = statusHandler({ attachments: { shop: servers[0].attachment }, stores: { sessions: store } })
const clients = Array.from({ length: CLIENTS }, newClient)
for (let minute = 0; minute < MINUTES; minute++) {
  isDown = minute >= OUTAGE[0] && minute < OUTAGE[1]
  for (let visits = 0; visits < VISITS * (0.7 + 0.6 * random()); visits++) {
    const index = Math.floor(random() * CLIENTS)
    // Some never come back, and somebody else comes in their place.
    const client = random() < 0.15 ? newClient() : (clients[index] ?? newClient())
    clients[index] = client
    await visit(servers[random() < 0.6 ? 0 : 1], client)
  }
  passedMs += 60_000
  mock.timers.tick(60_000)
}

const site = http.createServer(handler).listen(0, '127.0.0.1')
await once(site, 'listening')
const browser = await launchChromium('localhost')
const { page } = await openPage(browser, `http://127.0.0.1:${(site.address() as AddressInfo).port}/`)
await page.setViewportSize({ width: 860, height: 590 })
await page.reload()
await page.getByText('Healthy').waitFor()
mkdirSync(dirname(PICTURE), { recursive: true })
await page.screenshot({ path: PICTURE })
await browser.close()
site.close()
handler.close()
for (const { server } of servers) server.close()
console.log(`${PICTURE}: ${statSync(PICTURE).size} bytes`)
