import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { type Duplex, PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import tls from 'node:tls'
import { parseArgs } from 'node:util'
import v8 from 'node:v8'
import vm from 'node:vm'
import {
  type AttachServerOptions,
  attachServer,
  KeyRing,
  type ServerAttachment,
  SessionCacheMode,
  SslContext,
  serverOptions,
} from '../../../src/index.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { bytes, clientHelloOfLength, records, resumingClientHello } from '../../tools/client-hello-builder.ts'
import { hello12, hello13 } from '../../tools/offering-hello.ts'
import { Random } from '../../tools/random.ts'
import { answersOf } from '../../tools/socket-answers.ts'
import { mutatedHello } from './hello-mutations.ts'
import { countLeft, type HostileReport } from './hostile-report.ts'

const NAME = 'server.example'
const LANES = 64
const HALF_OPEN = 1_000
const versions = ['TLSv1.2', 'TLSv1.3'] as const
const certificate = await makeCertificate(NAME)
const secureContexts = versions.map((version) => ({
  version,
  secureContext: tls.createSecureContext({ ca: certificate.cert, minVersion: version, maxVersion: version }),
}))

v8.setFlagsFromString('--expose-gc')
const collectGarbage = vm.runInNewContext('gc') as () => void

const uncaught: string[] = []
const note = (error: unknown): void => void uncaught.push(String(error))
process.on('uncaughtException', note).on('unhandledRejection', note).on('warning', note)

/** What others do with a connection of which they know nothing. */
const touches: readonly ((raw: Duplex) => unknown)[] = [
  (raw) => raw.on('data', () => undefined),
  (raw) => raw.on('readable', () => undefined),
  (raw) => raw.setEncoding('utf8'),
  (raw) => raw.pipe(new PassThrough().resume()),
  (raw) => process.nextTick(() => raw.resume()),
  (raw) => raw.pause(),
]

/** An https server with an attachment, and what is to be known about its connections. */
class Target {
  readonly server: https.Server
  readonly attachment: ServerAttachment
  connections = 0
  reported = 0
  #open = 0
  #wake: () => void = () => undefined

  constructor(
    context: SslContext,
    { handshakeTimeout, ...attach }: { handshakeTimeout?: number } & AttachServerOptions,
  ) {
    this.server = https.createServer(
      { ...certificate, ...serverOptions(context), ...(handshakeTimeout && { handshakeTimeout }) },
      (_request, response) => response.end('hello'),
    )
    this.attachment = attachServer(this.server, context, {
      ...attach,
      onHandshake: () => void this.reported++,
    })
    // Asks everything, as listeners may.
    this.server.on('clientError', (_error, socket) => {
      answersOf(socket)
      socket.destroy()
    })
    this.server.on('connection', (socket) => {
      if (++this.connections % 3 === 0) touches[(this.connections / 3) % touches.length]?.(socket)
      this.#open++
      socket.on('close', () => {
        if (--this.#open === 0) this.#wake()
      })
    })
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  async listen(): Promise<void> {
    this.server.listen({ port: 0, host: '127.0.0.1', backlog: 2 * HALF_OPEN })
    await once(this.server, 'listening')
  }

  /** Until the last connection has closed, or long after it should have. */
  async idle(): Promise<void> {
    if (this.#open === 0) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      setTimeout(resolve, 30_000).unref()
    })
  }

  countConnections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    )
  }

  async close(): Promise<void> {
    this.server.close()
    await this.attachment.close()
  }
}

/** Keeps its session, and offers it again. */
class GoodClient {
  readonly version: (typeof versions)[number]
  readonly #secureContext: tls.SecureContext
  session: Buffer | undefined
  visits = 0
  offers = 0
  resumed = 0

  constructor({ version, secureContext }: (typeof secureContexts)[number]) {
    this.version = version
    this.#secureContext = secureContext
  }

  async visit(port: number): Promise<boolean> {
    const { session } = this
    const socket = this.#connect(port)
    socket.on('session', (received: Buffer) => {
      this.session = received
    })
    const closed = once(socket, 'close')
    await once(socket, 'secureConnect')
    const isResumed = socket.isSessionReused()
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`)
    await closed
    if (!answer.startsWith('HTTP/1.1 200 ')) throw new Error(`a good client got ${JSON.stringify(answer)}`)
    this.visits++
    if (session !== undefined) this.offers++
    if (isResumed) this.resumed++
    return isResumed
  }

  #connect(port: number): tls.TLSSocket {
    return tls.connect({
      host: '127.0.0.1',
      port,
      servername: NAME,
      secureContext: this.#secureContext,
      ...(this.session && { session: this.session }),
    })
  }

  /** The ClientHello with which it would come back. */
  async hello(): Promise<Buffer> {
    const listener = net.createServer().listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const socket = this.#connect((listener.address() as AddressInfo).port)
    socket.on('error', () => undefined)
    const [received] = (await once(listener, 'connection')) as [net.Socket]
    const [hello] = (await once(received, 'data')) as [Buffer]
    received.destroy()
    socket.destroy()
    await once(listener.close(), 'close')
    return hello
  }
}

/** Good clients that come again and again, until `work` is done. */
async function whileServing(
  target: Target,
  good: readonly GoodClient[],
  work: Promise<unknown>,
): Promise<void> {
  let isDone = false
  const done = work.then(() => {
    isDone = true
  })
  const loops = good.map(async (client) => {
    while (!isDone) await client.visit(target.port)
  })
  await Promise.all([done, ...loops])
}

/** Sends the bytes, whole or in pieces, and leaves in one of several ways. */
async function attack(port: number, bytes: Buffer, random: Random): Promise<void> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.on('error', () => undefined)
  const pieceLength = random.chance(2) ? 1 : random.chance(20) ? 1 + random.below(200) : bytes.length
  await once(socket, 'connect').catch(() => undefined)
  for (let start = 0; start < bytes.length && !socket.destroyed; start += pieceLength) {
    if (start > 0) await setImmediate()
    socket.write(bytes.subarray(start, start + pieceLength))
  }
  // Staying is rare, since it takes as long as the server has patience.
  if (random.chance(1)) socket.on('data', () => socket.destroy())
  else random.pick(farewells)(socket)
  await closed
}

/** Read by libssl, and each in a way of its own by us. */
const strangeHellos: readonly Uint8Array[] = [
  records(hello13({ sessionId: new Uint8Array(0), identity: bytes(32, 0x31) })),
  records(hello13({ identity: bytes(200, 0x32), serverName: NAME })),
  records(hello13({ identity: bytes(32, 0x33), serverName: 'größe.example' })),
  records(hello13({ identity: bytes(32, 0x34), serverName: '' })),
  records(hello12({ serverName: NAME })),
  records(hello12({ sessionId: new Uint8Array(0) })),
  records(clientHelloOfLength(131_079)),
]

const farewells: readonly ((socket: net.Socket) => void)[] = [
  (socket) => socket.resume().end(),
  (socket) => socket.end(() => socket.destroy()),
  (socket) => socket.write('', () => socket.resetAndDestroy()),
]

/** So many connections, some at a time. */
async function attackTimes(
  count: number,
  targets: readonly Target[],
  hellos: readonly Buffer[],
  random: Random,
): Promise<void> {
  let started = 0
  const lanes = Array.from({ length: LANES }, async () => {
    while (started++ < count) await attack(random.pick(targets).port, mutatedHello(hellos, random), random)
  })
  await Promise.all(lanes)
}

/** Connections that say nothing, part of a ClientHello, or no more than that; and what becomes of them, is not awaited. */
async function openHalf(
  target: Target,
  hellos: readonly Buffer[],
  random: Random,
): Promise<readonly net.Socket[]> {
  const sockets = Array.from({ length: HALF_OPEN }, () =>
    net.connect(target.port, '127.0.0.1').on('error', () => undefined),
  )
  await Promise.all(
    sockets.map(async (socket, index) => {
      await once(socket, 'connect')
      const hello = random.pick(hellos)
      if (index % 3 === 1) socket.write(hello.subarray(0, 1 + random.below(hello.length - 1)))
      if (index % 3 === 2) socket.write(hello)
    }),
  )
  return sockets
}

/** The client's bytes one by one, each in a turn of the event loop of its own. */
async function visitByteByByte(target: Target, client: GoodClient): Promise<boolean> {
  const proxy = net.createServer((inward) => {
    const outward = net.connect({ port: target.port, host: '127.0.0.1', noDelay: true })
    inward.on('error', () => undefined)
    outward.on('error', () => undefined).pipe(inward)
    relayBytes(inward, outward).then(
      () => outward.end(),
      () => outward.destroy(),
    )
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const resumed = await client.visit((proxy.address() as AddressInfo).port)
  await once(proxy.close(), 'close')
  return resumed
}

async function relayBytes(inward: net.Socket, outward: net.Socket): Promise<void> {
  for await (const chunk of inward) {
    for (const byte of chunk as Buffer) {
      if (outward.destroyed) return
      outward.write(Buffer.of(byte))
      await setImmediate()
    }
  }
}

/** One attack after another on the same servers and clients. */
class Siege {
  readonly context = new SslContext({ sessionIdContext: 'hostile' })
  readonly hasty: Target
  readonly patient: Target
  readonly awaiting: Target
  readonly targets: readonly Target[]
  readonly good: readonly GoodClient[] = secureContexts.map((client) => new GoodClient(client))
  readonly #random: Random
  halfOpen = 0
  victimsResumed: readonly boolean[] = []

  /** @param attach - of all its servers */
  constructor(seed: number, attach: AttachServerOptions) {
    this.#random = new Random(seed)
    const hasty = { ...attach, readAheadMs: 500, handshakeTimeout: 2_000 }
    this.hasty = new Target(this.context, hasty)
    this.patient = new Target(this.context, attach)
    this.awaiting = new Target(this.#awaitingContext(), hasty)
    this.targets = [this.hasty, this.patient, this.awaiting]
  }

  /** Looks up what it never finds, a turn or two later. */
  #awaitingContext(): SslContext {
    return new SslContext({
      sessionIdContext: 'hostile',
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      newSessionCallback: () => undefined,
      getSessionCallback: async () => {
        for (let turns = this.#random.below(3); turns > 0; turns--) await setImmediate()
        return undefined
      },
    })
  }

  async attack(times: number): Promise<void> {
    const victims = secureContexts.map((client) => new GoodClient(client))
    const fresh = await Promise.all(victims.map((victim) => victim.hello()))
    for (const victim of victims) await victim.visit(this.patient.port)
    const real = [...fresh, ...(await Promise.all(victims.map((victim) => victim.hello())))]
    const made = [
      records(resumingClientHello()),
      records(resumingClientHello(), 100),
      records(clientHelloOfLength(20_000)),
      ...strangeHellos,
    ]
    const hellos = [...real, ...made.map((bytes) => Buffer.from(bytes))]
    await whileServing(
      this.hasty,
      this.good,
      attackTimes(times, [this.hasty, this.awaiting], hellos, this.#random),
    )
    await this.#openHalf(real)
    this.victimsResumed = await this.#visitAgain(victims)
    await Promise.all(this.targets.map((target) => target.idle()))
  }

  async #openHalf(hellos: readonly Buffer[]): Promise<void> {
    const sockets = await openHalf(this.patient, hellos, this.#random)
    for (let visits = 0; visits < 20; visits++)
      await Promise.all(this.good.map((client) => client.visit(this.patient.port)))
    this.halfOpen = await this.patient.countConnections()
    for (const socket of sockets) this.#random.pick(farewells)(socket)
  }

  async #visitAgain(victims: readonly GoodClient[]): Promise<readonly boolean[]> {
    const resumed: boolean[] = []
    for (const victim of victims) {
      const isResumed = await victim.visit(this.patient.port)
      // As in libssl, who has seen the id of a TLS 1.2 session can offer it so that a fatal alert deletes it (R5.2).
      if (victim.version === 'TLSv1.3') resumed.push(isResumed)
      resumed.push(await visitByteByByte(this.patient, victim))
    }
    return resumed
  }

  async heapUsed(): Promise<number> {
    // What good clients have left in the cache is no leak.
    this.context.flushSessions(0)
    for (const client of this.good) client.session = undefined
    for (let turn = 0; turn < 10; turn++) {
      await setImmediate()
      collectGarbage()
    }
    return process.memoryUsage().heapUsed
  }
}

async function countResources(): Promise<Readonly<Record<string, number>>> {
  await setImmediate()
  const counts: Record<string, number> = {}
  // A file of the process's own start may still be being read: no server and no client reads any.
  for (const type of process.getActiveResourcesInfo())
    if (type !== 'FSReqCallback') counts[type] = (counts[type] ?? 0) + 1
  return counts
}

function sum<T>(values: readonly T[], pick: (value: T) => number): number {
  return values.reduce((total, value) => total + pick(value), 0)
}

const totalOf = (counts: Readonly<Record<string, number>>): number =>
  sum(Object.values(counts), (count) => count)

async function run(count: number, seed: number, attach: AttachServerOptions): Promise<HostileReport> {
  const before = await countResources()
  const siege = new Siege(seed, attach)
  const { targets, good } = siege
  await Promise.all(targets.map((target) => target.listen()))
  // Once through all of it, for what is made once only.
  await siege.attack(Math.max(200, Math.floor(count / 10)))
  const heapBefore = await siege.heapUsed()
  await siege.attack(count)
  const heapAfter = await siege.heapUsed()
  const openSockets = await Promise.all(targets.map((target) => target.countConnections()))
  await Promise.all(targets.map((target) => target.close()))
  return {
    seed,
    connections: sum(targets, ({ connections }) => connections),
    reported: sum(targets, ({ reported }) => reported),
    outcomes: sum(targets, ({ attachment }) => totalOf(attachment.stats.handshakes)),
    reasons: sum(targets, ({ attachment }) => totalOf(attachment.stats.reasons)),
    failed: sum(targets, ({ attachment }) => attachment.stats.handshakes.failed),
    halfOpen: siege.halfOpen,
    good: {
      visits: sum(good, ({ visits }) => visits),
      offers: sum(good, ({ offers }) => offers),
      resumed: sum(good, ({ resumed }) => resumed),
    },
    victimsResumed: siege.victimsResumed,
    uncaught,
    openSockets: sum(openSockets, (open) => open),
    resources: [before, await countResources()],
    heapGrowthBytes: heapAfter - heapBefore,
  }
}

// npm run hostile -- --connections N --seed S --tickets
const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    tickets: { type: 'boolean', default: false },
  },
})
const tickets = { keyRing: new KeyRing([randomBytes(32)]), versions: ['TLSv1.2', 'TLSv1.3'] } as const
const report = await run(Number(values.connections), Number(values.seed), values.tickets ? { tickets } : {})
process.send?.(report)
console.log(JSON.stringify(report, undefined, 2))
const isServed =
  report.good.resumed === report.good.offers && report.victimsResumed.every((resumed) => resumed)
console.log(
  `good clients: ${report.good.visits} visits, ${isServed ? 'all' : 'NOT ALL'} that offered a session resumed`,
)
const left = countLeft(report)
console.log(`hostile: ${report.connections} connections, ${uncaught.length} uncaught, ${left} left`)
process.exitCode = isServed && uncaught.length + left === 0 ? 0 : 1
if (process.connected) process.disconnect()
