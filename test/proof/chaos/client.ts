import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import tls from 'node:tls'
import { derOf } from '../../../src/client/session-format.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { type ClientPhase, type ClientReport, type FromClient, NAME, type ToClient } from './messages.ts'

// One client process: it carries its session from handshake to handshake, from server to server.

const GIVE_UP_MS = 20_000

let cert = ''
let version: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3'
let session: Buffer | undefined
let isForging = false
let turn = 0
const stalls = monitorEventLoopDelay({ resolution: 20 })

interface Visit {
  readonly isResumed: boolean
  readonly latencyMs: number
}

async function visit(port: number, offer: Buffer | undefined): Promise<Visit> {
  const signal = AbortSignal.timeout(GIVE_UP_MS)
  const begin = performance.now()
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername: NAME,
    ca: cert,
    minVersion: version,
    maxVersion: version,
    ...(offer && { session: offer }),
  })
  let latest: Buffer | undefined
  let said = ''
  socket.on('session', (received: Buffer) => {
    latest = received
  })
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  try {
    await once(socket, 'secureConnect', { signal })
    const seen = { isResumed: socket.isSessionReused(), latencyMs: performance.now() - begin }
    if (!socket.closed) await once(socket, 'close', { signal })
    if (said !== 'hello') throw new Error(`the server said '${said}'`)
    session = latest ?? session
    return seen
  } finally {
    socket.on('error', () => undefined).destroy()
  }
}

/** The same session under an id that nobody has issued; in TLS 1.3 the ticket is the id. */
function forged(der: Buffer): Buffer {
  const { ticket, sessionId } = decodeSslSession(derOf(der))
  const id = ticket ?? sessionId
  const forgery = Buffer.from(der)
  forgery.set(randomBytes(id.length), forgery.indexOf(id))
  return forgery
}

async function run({ ports, handshakes, spreadMs, isNew, killedPort }: ClientPhase): Promise<ClientReport> {
  if (isNew) session = undefined
  const failures: string[] = []
  const latenciesMs: number[] = []
  let [offered, resumed, cut] = [0, 0, 0]
  stalls.enable()
  stalls.reset()
  const begin = performance.now()

  const attempt = async (port: number, offer: Buffer | undefined): Promise<void> => {
    try {
      const { isResumed, latencyMs } = await visit(port, offer)
      latenciesMs.push(latencyMs)
      if (isResumed) resumed++
    } catch (error) {
      if (port === killedPort) {
        cut++
        await attempt(ports[0] === port ? ports[1] : ports[0], offer)
      } else failures.push(String(error))
    }
  }

  for (let count = 0; count < handshakes; count++) {
    if (count === Math.floor(handshakes / 2)) send({ type: 'half' })
    const offer = session && isForging ? forged(session) : session
    if (offer !== undefined) offered++
    await attempt(turn++ % 2 === 0 ? ports[0] : ports[1], offer)
    const aheadMs = begin + (spreadMs * (count + 1)) / handshakes - performance.now()
    if (aheadMs > 0) await setTimeout(aheadMs)
  }
  const maxStallMs = stalls.max / 1e6
  return { handshakes, offered, resumed, failures, cut, latenciesMs, maxStallMs }
}

function send(message: FromClient): void {
  process.send?.(message)
}

process.on('message', (message: ToClient) => {
  if (message.type === 'start') ({ cert, version } = message)
  else if (message.type === 'forge') isForging = message.isOn
  else void run(message.phase).then((report) => send({ type: 'done', report }))
})
process.on('disconnect', () => process.exit())
