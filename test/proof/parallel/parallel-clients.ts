import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'
import { type Certificate, makeCertificate } from '../../tools/certificate.ts'

const NAME = 'server.example'
const CONNECTIONS = 60
const PARALLEL = 6

/** One request on a connection of its own: the agent offers the session that it keeps for the server. */
async function get(port: number, agent: https.Agent): Promise<boolean> {
  const request = https.get({ host: '127.0.0.1', port, servername: NAME, agent })
  const [socket] = (await once(request, 'socket')) as [TLSSocket]
  const closed = once(socket, 'close')
  await once(socket, 'secureConnect')
  const isResumed = socket.isSessionReused()
  const [response] = await once(request, 'response')
  response.resume()
  await closed
  return isResumed
}

/** @returns how many of them resumed */
type Traffic = (connect: () => Promise<boolean>) => Promise<number>

const countTrue = (values: readonly boolean[]): number => values.filter((value) => value).length

/** Each begins when one has ended, and so with the session that this one brought. */
const inLanes: Traffic = async (connect) => {
  const resumed: boolean[] = []
  let started = 0
  const lanes = Array.from({ length: PARALLEL }, async () => {
    while (started++ < CONNECTIONS) resumed.push(await connect())
  })
  await Promise.all(lanes)
  return countTrue(resumed)
}

/** They begin together, as those of a page or of a fan-out do, and so with the same session. */
const inBursts: Traffic = async (connect) => {
  let resumed = 0
  for (let started = 0; started < CONNECTIONS; started += PARALLEL)
    resumed += countTrue(await Promise.all(Array.from({ length: PARALLEL }, connect)))
  return resumed
}

/** Traffic of Node's own https.Agent, which keeps one session for a server. */
async function countResumed(certificate: Certificate, singleUse: boolean, traffic: Traffic): Promise<number> {
  const context = new SslContext({ sessionIdContext: 'parallel' })
  const server = https.createServer(
    { ...certificate, minVersion: 'TLSv1.3', ...serverOptions(context) },
    (_request, response) => response.end('hello'),
  )
  const attachment = attachServer(server, context, { singleUse })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new https.Agent({ keepAlive: false, ca: certificate.cert })
  const resumed = await traffic(() => get(port, agent))
  server.close()
  await attachment.close()
  if (attachment.stats.handshakes.resumed !== resumed) throw new Error('client and server disagree')
  return resumed
}

// The price of single use for clients that keep one session: npm run parallel
const certificate = await makeCertificate(NAME)
const figures: string[] = []
for (const [name, traffic] of Object.entries({ lanes: inLanes, bursts: inBursts })) {
  const usedAgain = await countResumed(certificate, false, traffic)
  const usedOnce = await countResumed(certificate, true, traffic)
  figures.push(`in ${name} of ${PARALLEL}: ${usedAgain} resumed, with singleUse ${usedOnce}`)
}
console.log(`parallel: ${CONNECTIONS} connections of an https.Agent, ${figures.join('; ')}`)
