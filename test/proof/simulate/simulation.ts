import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import { SessionCacheMode, SslContext, SslSession, storeCallbacks } from '../../../src/index.ts'
import { SslOption } from '../../../src/model.ts'
import {
  type Binding,
  bindingContext,
  readOrigin,
  type SessionOrigin,
  stamp,
} from '../../../src/node/session-binding.ts'
import { authenticationEndSec } from '../../../src/node/session-rules.ts'
import { sessionInternals } from '../../../src/session/ssl-session.ts'
import { ManualClock } from '../../../src/testing/index.ts'
import { Random } from '../../tools/random.ts'
import { encode, MINIMAL } from '../../tools/session-fields.ts'
import { FleetStore } from './fleet-store.ts'
import {
  chain,
  decay,
  type Figures,
  type Fleet,
  internalWindowSec,
  type Setup,
  visitRate,
} from './formula.ts'

const TLS12 = 0x0303
const TLS13 = 0x0304
const SERVERNAME = 'shop.example'

const BINDING: Binding = {
  ownContext: Buffer.from('shop'),
  serverName: SERVERNAME,
  profile: { requestCert: false, rejectUnauthorized: true, digest: Buffer.alloc(32), isOpaque: false },
  ownPolicy: undefined,
}

const RULES = { requireExtendedMasterSecret: true }

const SESSION_ID_CONTEXT = bindingContext(BINDING)

/** What a simulation saw after its caches had filled, and how much of it: the smaller, the more it owes to chance. */
export interface Observation {
  readonly figures: Figures
  readonly handshakes: number
  readonly resumed: number
}

export interface Span {
  /** Of which everything is counted; the time in which the caches fill is not, and comes before. */
  readonly countedSec: number
  readonly seed: number
}

/** One fleet on the real model: contexts, connections, callbacks and timeouts, with clients that come back. */
export async function simulate(fleet: Fleet, setup: Setup, span: Span): Promise<Observation> {
  const simulation = new Simulation(fleet, setup, span.seed)
  const warmUpSec = warmUp(fleet, setup)
  await simulation.runUntil(warmUpSec)
  const before = simulation.totals()
  const levels = new Levels()
  const step = span.countedSec / LEVEL_SAMPLES
  for (let sample = 1; sample <= LEVEL_SAMPLES; sample++) {
    await simulation.runUntil(warmUpSec + sample * step)
    levels.add(simulation.levels())
  }
  const after = simulation.totals()
  const [full, resumed] = [after.full - before.full, after.resumed - before.resumed]
  // By handshake: how many of them came in the time is chance, and not what is looked at.
  const perSec = (name: 'gets' | 'sets' | 'cbHits' | 'networkBytes'): number =>
    ((after[name] - before[name]) / (full + resumed)) * fleet.rate
  return {
    handshakes: full + resumed,
    resumed,
    figures: {
      resumption: resumed / (full + resumed),
      getsPerSec: perSec('gets'),
      setsPerSec: perSec('sets'),
      cbHitsPerSec: perSec('cbHits'),
      networkBytesPerSec: perSec('networkBytes'),
      ...levels.mean(),
    },
  }
}

/** The fleet begins in equilibrium, but with empty caches: until the oldest session in them is as old as it gets. */
function warmUp(fleet: Fleet, setup: Setup): number {
  return setup === 'internal only'
    ? Math.min(fleet.timeoutSec, 2 * internalWindowSec(fleet, setup))
    : fleet.timeoutSec
}

const LEVEL_SAMPLES = 1000

type LevelFigures = Pick<Figures, 'storedSessions' | 'storedBytes' | 'internalPerNode'>

class Levels {
  readonly #samples: LevelFigures[] = []

  add(sample: LevelFigures): void {
    this.#samples.push(sample)
  }

  mean(): LevelFigures {
    const mean = (name: keyof LevelFigures): number =>
      this.#samples.reduce((sum, sample) => sum + sample[name], 0) / this.#samples.length
    return {
      storedSessions: mean('storedSessions'),
      storedBytes: mean('storedBytes'),
      internalPerNode: mean('internalPerNode'),
    }
  }
}

interface Totals {
  readonly full: number
  readonly resumed: number
  readonly gets: number
  readonly sets: number
  readonly cbHits: number
  readonly networkBytes: number
}

class Simulation {
  readonly #fleet: Fleet
  readonly #random: Random
  readonly #clock = new ManualClock()
  readonly #startMs = this.#clock.now()
  readonly #store: FleetStore | undefined
  readonly #nodes: SslContext[] = []
  readonly #clients: Clients
  readonly #server: ServerSide
  #full = 0
  #resumed = 0
  #visits = 0
  #nextVisitSec: number

  constructor(fleet: Fleet, setup: Setup, seed: number) {
    this.#fleet = fleet
    this.#random = new Random(seed)
    this.#store = setup === 'internal only' ? undefined : new FleetStore(this.#clock.now)
    for (let node = 0; node < fleet.nodes; node++) this.#nodes.push(this.#makeContext(setup))
    this.#clients = new Clients(fleet, setup, this.#random, this.#startMs)
    this.#server = new ServerSide(fleet, this.#clock.now, this.#random)
    this.#nextVisitSec = exponential(this.#random, fleet.rate)
  }

  #makeContext(setup: Setup): SslContext {
    return new SslContext({
      now: this.#clock.now,
      sessionCacheMode: SessionCacheMode.SERVER | (setup === 'store only' ? SessionCacheMode.NO_INTERNAL : 0),
      sessionCacheSize: this.#fleet.cacheSize,
      sessionTimeout: this.#fleet.timeoutSec,
      sessionIdContext: SESSION_ID_CONTEXT,
      options: SslOption.NO_TICKET,
      ...(this.#store === undefined ? {} : storeCallbacks(this.#store)),
    })
  }

  async runUntil(sec: number): Promise<void> {
    for (;;) {
      const { firstVisitSec } = this.#clients
      const atSec = Math.min(firstVisitSec, this.#nextVisitSec)
      if (atSec > sec) break
      this.#moveClockTo(atSec)
      if (atSec === firstVisitSec) this.#visit(this.#clients.begin())
      else {
        this.#nextVisitSec += exponential(this.#random, this.#fleet.rate)
        const client = this.#random.below(this.#fleet.clients)
        if (this.#clients.isActive(client, atSec)) this.#visit(client)
      }
      // The write-behind of the store callbacks leaves work for the end of the turn.
      if ((++this.#visits & 0xfff) === 0) await endOfTurn()
    }
    this.#moveClockTo(sec)
    await endOfTurn()
  }

  #moveClockTo(sec: number): void {
    this.#clock.advance(this.#startMs + Math.floor(sec * 1000) - this.#clock.now())
  }

  #visit(client: number): void {
    const context = this.#random.pick(this.#nodes)
    const offered = this.#clients.offer(client, this.#clock.now())
    const { isResumed, sessionId } = this.#server.handshake(context, offered)
    if (isResumed) this.#resumed++
    else this.#full++
    if (sessionId !== undefined) this.#clients.keep(client, sessionId, this.#clock.now())
  }

  totals(): Totals {
    const store = this.#store?.count ?? { gets: 0, sets: 0, networkBytes: 0 }
    const cbHits = this.#nodes.reduce((sum, { stats }) => sum + stats.cbHits, 0)
    return { full: this.#full, resumed: this.#resumed, cbHits, ...store }
  }

  levels(): LevelFigures {
    const live = this.#store?.live ?? { sessions: 0, bytes: 0 }
    const internal = this.#nodes.reduce((sum, { stats }) => sum + stats.number, 0)
    return {
      storedSessions: live.sessions,
      storedBytes: live.bytes,
      internalPerNode: internal / this.#nodes.length,
    }
  }
}

/** Who comes when, and with which session: the latest. */
class Clients {
  readonly #fleet: Fleet
  readonly #random: Random
  readonly #startMs: number
  readonly #activeFromSec: Float64Array
  /** Clients by the time of their first visit, which is a full handshake. */
  readonly #beginners: Uint32Array
  #begun = 0
  readonly #sessionIds: (Uint8Array | undefined)[]
  readonly #keptAtMs: Float64Array

  constructor(fleet: Fleet, setup: Setup, random: Random, startMs: number) {
    this.#fleet = fleet
    this.#random = random
    this.#startMs = startMs
    this.#sessionIds = new Array(fleet.clients)
    this.#keptAtMs = new Float64Array(fleet.clients)
    this.#activeFromSec = new Float64Array(fleet.clients)
    const windowSec = setup === 'internal only' ? internalWindowSec(fleet, setup) : fleet.timeoutSec
    const firsts: number[] = []
    for (let client = 0; client < fleet.clients; client++) {
      const first = nextFullHandshakeSec(fleet, setup, windowSec, random)
      this.#activeFromSec[client] = first ?? windowSec
      if (first !== undefined) firsts.push(client)
      else this.#rememberEarlierVisit(client, windowSec - exponential(random, visitRate(fleet)))
    }
    this.#beginners = new Uint32Array(firsts).sort((a, b) => this.#activeFrom(a) - this.#activeFrom(b))
  }

  /** A client whose window has ended before the first one of the simulation: its ticket may yet be offered, in vain. */
  #rememberEarlierVisit(client: number, windowEndSec: number): void {
    const beforeEndSec = exponential(this.#random, visitRate(this.#fleet))
    const visitSec = windowEndSec - Math.min(beforeEndSec, this.#fleet.timeoutSec)
    this.keep(client, randomId(this.#random), this.#startMs + visitSec * 1000)
  }

  get firstVisitSec(): number {
    const client = this.#beginners[this.#begun]
    return client === undefined ? Number.POSITIVE_INFINITY : this.#activeFrom(client)
  }

  begin(): number {
    return this.#beginners[this.#begun++] ?? 0
  }

  #activeFrom(client: number): number {
    return this.#activeFromSec[client] ?? 0
  }

  isActive(client: number, nowSec: number): boolean {
    return nowSec > this.#activeFrom(client)
  }

  keep(client: number, sessionId: Uint8Array, nowMs: number): void {
    this.#sessionIds[client] = sessionId
    this.#keptAtMs[client] = nowMs
  }

  /**
   * RFC 9846 §4.7.1 (RFC 8446 §4.6.1): a ticket is not offered beyond the lifetime that came with it. In TLS 1.2 nothing says how long an id is
   * good; those who come for the first time in the simulation have one from before.
   */
  offer(client: number, nowMs: number): Uint8Array | undefined {
    const sessionId = this.#sessionIds[client]
    if (this.#fleet.protocol === 'TLSv1.2') return sessionId ?? randomId(this.#random)
    const ageMs = nowMs - (this.#keptAtMs[client] ?? 0)
    return ageMs <= this.#fleet.timeoutSec * 1000 ? sessionId : undefined
  }
}

/**
 * The fleet begins in equilibrium: the time from a random moment to a client's next full handshake, whose density is
 * proportional to the probability that none has come since the last one (the residual life of a renewal process).
 *
 * @returns undefined when its window is over and it comes at random from then on
 */
function nextFullHandshakeSec(
  fleet: Fleet,
  setup: Setup,
  windowSec: number,
  random: Random,
): number | undefined {
  const { strays } = chain(fleet, setup)
  const within = decay(strays, windowSec)
  const beyond = Math.exp(-strays * windowSec) / visitRate(fleet)
  const chosen = uniform(random) * (within + beyond)
  if (chosen >= within) return undefined
  return strays === 0 ? chosen : -Math.log1p(-strays * chosen) / strays
}

/** The part of Node and its libssl: makes the sessions, as `attachServer` keeps them. */
class ServerSide {
  readonly #fleet: Fleet
  readonly #now: () => number
  readonly #random: Random
  readonly #protocolVersion: number
  readonly #template: SslSession

  constructor(fleet: Fleet, now: () => number, random: Random) {
    this.#fleet = fleet
    this.#now = now
    this.#random = random
    this.#protocolVersion = fleet.protocol === 'TLSv1.3' ? TLS13 : TLS12
    this.#template = makeTemplate(fleet)
  }

  /** @returns the session that the client keeps, if it got a new one */
  handshake(
    context: SslContext,
    offered: Uint8Array | undefined,
  ): { readonly isResumed: boolean; readonly sessionId: Uint8Array | undefined } {
    const connection = context.newConnection({ singleUse: this.#fleet.singleUse })
    connection.accept()
    connection.resumeSession(this.#offer(offered))
    const isResumed = connection.sessionReused
    const sessionId =
      this.#protocolVersion === TLS13 ? this.#issueTickets(connection) : this.#finishTls12(connection)
    connection.setShutdown(true, true)
    connection.free()
    return { isResumed, sessionId }
  }

  #offer(offered: Uint8Array | undefined): Parameters<SslConnection['resumeSession']>[0] {
    const sessionId = offered ?? new Uint8Array(0)
    if (this.#protocolVersion === TLS12) return { protocolVersion: TLS12, sessionId }
    return {
      protocolVersion: TLS13,
      sessionId: new Uint8Array(0),
      pskModeSupported: true,
      ...(offered === undefined ? {} : { pskIdentities: [{ identity: offered }] }),
    }
  }

  #issueTickets(connection: SslConnection): Uint8Array | undefined {
    connection.serverHello()
    connection.finishHandshake()
    const resumed = connection.sessionReused ? connection.session : undefined
    let latest: SslSession | undefined
    while (connection.isTicketDue) {
      const session = this.#makeSession(resumed)
      if (session === undefined) break
      connection.adoptTicket(session)
      latest = session
    }
    return latest?.sessionId
  }

  #finishTls12(connection: SslConnection): Uint8Array | undefined {
    const made = connection.sessionReused ? undefined : this.#makeSession(undefined)
    if (made !== undefined) connection.adoptSession(made)
    connection.serverHello()
    connection.finishHandshake()
    return made?.sessionId
  }

  /**
   * A new session, or the heir of the one that was resumed. N3: it ends with the authentication that it inherits.
   *
   * @returns undefined when that is now
   */
  #makeSession(resumed: SslSession | undefined): SslSession | undefined {
    const { timeoutSec } = this.#fleet
    const nowSec = Math.floor(this.#now() / 1000)
    const session = sessionInternals.duplicateWithoutTicket(resumed ?? this.#ancestor(nowSec))
    const endSec = authenticationEndSec(originOf(session), { ...RULES, maxAuthenticationAgeSec: timeoutSec })
    const remainingSec = Math.min(timeoutSec, endSec - nowSec)
    if (remainingSec <= 0) return undefined
    sessionInternals.update(session, { sessionId: randomId(this.#random) })
    session.setTime(nowSec)
    session.setTimeout(remainingSec)
    return session
  }

  /** All that full handshakes of the same second have in common. */
  #ancestor(nowSec: number): SslSession {
    if (this.#template.timeSec === nowSec) return this.#template
    this.#template.setTime(nowSec)
    stamp(this.#template, { authenticatedAtSec: nowSec, chainEndSec: Number.POSITIVE_INFINITY }, BINDING)
    return this.#template
  }
}

function originOf(session: SslSession): SessionOrigin {
  const origin = readOrigin(session)
  if (origin === undefined) throw new Error('a session was resumed that no node has made')
  return origin
}

/** A session of a client without certificate, as Node hands it out. */
function makeTemplate({ protocol, timeoutSec }: Fleet): SslSession {
  const der = encode({
    ...MINIMAL,
    ...(protocol === 'TLSv1.3'
      ? { protocolVersion: TLS13, cipherSuite: 0x1302, ticketAgeAdd: 0x7f3a_1c55 }
      : { protocolVersion: TLS12, cipherSuite: 0xc030, flags: 1 }),
    timeoutSec,
    sessionIdContext: SESSION_ID_CONTEXT,
    hostname: Buffer.from(SERVERNAME),
    kexGroup: 0x1d,
  })
  return SslSession.fromDer(der)
}

/** The bytes of the DER that goes into the store. */
export function storedDerBytes(fleet: Fleet): number {
  const session = makeTemplate(fleet)
  stamp(session, { authenticatedAtSec: session.timeSec, chainEndSec: Number.POSITIVE_INFINITY }, BINDING)
  return session.toDer().length
}

function randomId(random: Random): Uint8Array {
  const words = new Uint32Array(8)
  for (let index = 0; index < words.length; index++) words[index] = random.next()
  return new Uint8Array(words.buffer)
}

/** Greater than 0 and less than 1. */
function uniform(random: Random): number {
  return (random.next() + 0.5) / 2 ** 32
}

function exponential(random: Random, rate: number): number {
  return -Math.log(uniform(random)) / rate
}
