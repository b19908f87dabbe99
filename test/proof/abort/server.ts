import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import tls from 'node:tls'
import v8 from 'node:v8'
import vm from 'node:vm'
import { countTimers, liveTimers } from '../../tools/counted-timers.ts'
import { Random } from '../../tools/random.ts'
import {
  type AbortReport,
  type Remains,
  type StartAbort,
  VARIANTS,
  type Variant,
  variantName,
} from './abort-case.ts'
import { Attack } from './attack.ts'
import { planAttack, planName } from './attack-plan.ts'
import { Sessions } from './sessions.ts'
import { Trail } from './trail.ts'
import { Witness } from './witness.ts'

/** A server and the clients that leave it, in one process: only so can a client leave in a certain turn of the server's. */

// Before the library is loaded, since it is the library's that are counted.
countTimers()
const { attachServer, SslContext, serverOptions } = await import('../../../src/index.ts')
type ServerAttachment = ReturnType<typeof attachServer>

const LANES = 64
/** As many attacks come between two good clients. */
const GOOD_EVERY = 50
/** Shorter than any client's. */
const PATIENCE = { handshakeTimeout: 500, readAheadMs: 250, lookupTimeoutMs: 250 }
const QUIET_DEADLINE_MS = 20_000
/** A connection goes on when its session is stored. */
const WAITING = { waitForStore: true } as const
const CIPHERS = 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256'

const uncaught: string[] = []
const note = (kind: string) => (error: unknown) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  // One of a kind is enough, and thousands are too many.
  if (uncaught.length < 20) uncaught.push(`${kind}: ${text}`)
}
process.on('uncaughtException', note('uncaughtException'))
process.on('unhandledRejection', note('unhandledRejection'))

function makeServer(start: StartAbort, options: tls.TlsOptions): tls.Server {
  if (start.server === 'tls')
    return tls.createServer(options, (socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('hello'),
    )
  const answer = (_request: unknown, response: { end(text: string): unknown }): void =>
    void response.end('hello')
  if (start.server === 'https') return https.createServer(options, answer)
  return http2.createSecureServer({ ...options, allowHTTP1: true }, answer)
}

class Siege {
  readonly #start: StartAbort
  readonly #random: Random
  readonly #trail: Trail
  readonly #witness: Witness
  readonly #sessions: Sessions
  readonly #server: tls.Server
  readonly #attachment: ServerAttachment | undefined
  readonly #variants: readonly Variant[]
  readonly #refused: string | undefined
  readonly #byPort = new Map<number, Attack>()
  readonly #connections: Record<string, number> = {}
  readonly #moments: Record<string, number> = {}
  readonly #missed: Record<string, number> = {}
  #accepted = 0
  #port = 0
  #visits = 0
  #served = 0

  constructor(start: StartAbort) {
    this.#start = start
    this.#random = new Random(start.seed)
    this.#trail = new Trail(start.trail)
    this.#witness = new Witness(this.#trail, start.measured > 0 ? 50 : 4)
    this.#sessions = new Sessions()
    const { server, attachment, refused } = this.#makeServer()
    this.#server = server
    this.#attachment = attachment
    this.#refused = refused
    this.#variants =
      refused === undefined ? VARIANTS : VARIANTS.filter(({ version }) => version === 'TLSv1.2')
  }

  #makeServer(): { server: tls.Server; attachment: ServerAttachment | undefined; refused?: string } {
    const refused = this.#refusal()
    if (refused === undefined) return this.#newServer({})
    return { ...this.#newServer({ maxVersion: 'TLSv1.2' }), refused: `TLS 1.3: ${refused}` }
  }

  /** Where waiting for a store would lose data, a stock server that waits as long loses it. */
  #refusal(): string | undefined {
    if (this.#start.store !== 'waiting') return undefined
    const context = new SslContext({ sessionIdContext: 'abort' })
    const server = tls.createServer({ ...this.#start.certificate, ...serverOptions(context) })
    try {
      attachServer(server, context, WAITING)[Symbol.dispose]()
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  #newServer(range: tls.TlsOptions): { server: tls.Server; attachment: ServerAttachment | undefined } {
    const { certificate, isAttached, server: kind, store } = this.#start
    const context = new SslContext({ sessionIdContext: 'abort', ...this.#sessions.callbacks(store) })
    const server = makeServer(this.#start, {
      ...certificate,
      ...serverOptions(context),
      ...range,
      ciphers: CIPHERS,
      handshakeTimeout: PATIENCE.handshakeTimeout,
    })
    this.#witness.watch(server, kind)
    server.on('connection', () => this.#accepted++)
    server.on('secureConnection', (socket) => {
      const attack = this.#byPort.get(socket.remotePort ?? 0)
      attack?.reach('when its server is done')
      setImmediate(() => attack?.reach('a turn after its server is done'))
    })
    if (!isAttached) {
      this.#sessions.listen(server, store)
      return { server, attachment: undefined }
    }
    const { readAheadMs, lookupTimeoutMs } = PATIENCE
    const attachment = attachServer(server, context, {
      readAheadMs,
      lookupTimeoutMs,
      ...(store === 'waiting' && WAITING),
    })
    if (store !== 'waiting') server.on('newSession', (_id, _der, done) => done())
    return { server, attachment }
  }

  async run(): Promise<AbortReport> {
    await once(this.#server.listen({ port: 0, host: '127.0.0.1', backlog: 1_000 }), 'listening')
    this.#port = (this.#server.address() as net.AddressInfo).port
    // For what is made once only.
    await this.#attackAll(this.#variants.flatMap((variant) => new Array<Variant>(25).fill(variant)))
    await this.#sayNothing()
    const before = await this.#remains()
    const { connections, measured } = this.#start
    await this.#attackAll(this.#variants.flatMap((variant) => new Array<Variant>(connections).fill(variant)))
    const memory = measured > 0 ? await this.#measure(measured) : undefined
    const after = await this.#remains()
    return this.#report([before, after], memory)
  }

  #report(remains: AbortReport['remains'], memory: AbortReport['memory']): AbortReport {
    const { handshakes } = this.#attachment?.stats ?? {}
    return {
      ...(this.#refused !== undefined && { refused: this.#refused }),
      connections: this.#connections,
      moments: this.#moments,
      missed: this.#missed,
      accepted: this.#accepted,
      heard: this.#witness.heard,
      outcomes: Object.values(handshakes ?? {}).reduce((sum, count) => sum + count, 0),
      answers: this.#witness.answers,
      good: { visits: this.#visits, served: this.#served },
      uncaught,
      remains,
      ...(memory !== undefined && { memory }),
    }
  }

  /** The first half warms up. */
  async #measure(connections: number): Promise<readonly [number, number]> {
    const half = Math.floor(connections / 2)
    const some = (): Variant[] => Array.from({ length: half }, () => this.#random.pick(this.#variants))
    await this.#attackAll(some())
    const first = await this.#memory()
    await this.#attackAll(some())
    return [first, await this.#memory()]
  }

  async #memory(): Promise<number> {
    await this.#quiet()
    this.#sessions.forget()
    for (let turn = 0; turn < 10; turn++) {
      await wait(5)
      collectGarbage()
    }
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }

  async #attackAll(variants: readonly Variant[]): Promise<void> {
    const waiting = shuffled(variants, this.#random)
    const lanes = Array.from({ length: LANES }, async () => {
      for (let variant = waiting.pop(); variant !== undefined; variant = waiting.pop()) {
        if (waiting.length % GOOD_EVERY === 0) await this.#visit(variant)
        await this.#attack(variant)
      }
    })
    await Promise.all(lanes)
  }

  async #attack(variant: Variant): Promise<void> {
    const plan = planAttack(variant, this.#random, this.#start.measured > 0 ? 1 : 8)
    const name = planName(plan)
    this.#trail.attacking(name)
    const attack = new Attack(plan, identity(this.#random), {
      port: this.#port,
      ca: this.#start.certificate.cert,
      known: this.#sessions.known(variant.version),
    })
    const dismiss = this.#sessions.expect(attack)
    let port = 0
    await attack.run(() => {
      port = attack.port
      this.#byPort.set(port, attack)
    })
    this.#byPort.delete(port)
    dismiss()
    count(this.#connections, variantName(variant))
    count(attack.isOnTime ? this.#moments : this.#missed, `${plan.moment}: ${plan.farewell}`)
  }

  /** As others do meanwhile, who get what they came for. */
  async #visit({ version }: Variant): Promise<void> {
    this.#visits++
    const { client: session } = this.#sessions.known(version)
    const socket = tls.connect({
      port: this.#port,
      host: '127.0.0.1',
      servername: 'server.example',
      ca: this.#start.certificate.cert,
      minVersion: version,
      maxVersion: version,
      ciphers: CIPHERS,
      ...(session && { session }),
    })
    socket.on('session', (made: Buffer) => this.#sessions.keep(version, made))
    socket.on('error', () => undefined)
    socket.write('GET / HTTP/1.1\r\nHost: server.example\r\nConnection: close\r\n\r\n')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    await new Promise((resolve) => socket.once('close', resolve))
    if (text.includes('hello')) this.#served++
  }

  /** Until the server has lost its patience: what such a socket answers must be known of both, whatever comes by chance. */
  async #sayNothing(): Promise<void> {
    const socket = net.connect({ port: this.#port, host: '127.0.0.1' }).resume()
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('close', resolve))
  }

  /** Nobody is connected any more, or long after nobody should be. */
  async #quiet(): Promise<void> {
    const deadline = Date.now() + QUIET_DEADLINE_MS
    while (Date.now() < deadline && (await this.#countSockets()) + liveTimers() > 0) await wait(20)
    await wait(50)
  }

  async #remains(): Promise<Remains> {
    await this.#quiet()
    const resources: Record<string, number> = {}
    for (const type of process.getActiveResourcesInfo()) if (type !== 'Immediate') count(resources, type)
    return {
      sockets: await this.#countSockets(),
      timers: liveTimers(),
      resources,
      pendingWrites: this.#attachment?.stats.pendingWrites ?? 0,
    }
  }

  #countSockets(): Promise<number> {
    return new Promise((resolve) => this.#server.getConnections((_error, sockets) => resolve(sockets ?? 0)))
  }
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}

function shuffled<T>(values: readonly T[], random: Random): T[] {
  const copy = [...values]
  for (let index = copy.length - 1; index > 0; index--) {
    const other = random.below(index + 1)
    ;[copy[index], copy[other]] = [copy[other] as T, copy[index] as T]
  }
  return copy
}

/** Nobody else's, also of a run with the same seed that shares a store. */
function identity(random: Random): Uint8Array {
  return Buffer.concat([Buffer.from(random.hex(16), 'hex'), randomBytes(16)])
}

v8.setFlagsFromString('--expose-gc')
const collectGarbage = vm.runInNewContext('gc') as () => void

async function besiege(start: StartAbort): Promise<void> {
  const report = await new Siege(start).run()
  process.send?.(report, () => process.exit())
}

process.once('message', (start: StartAbort) => {
  besiege(start).catch((error: Error) => {
    console.error(error)
    process.exit(1)
  })
})
