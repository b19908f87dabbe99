import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { makeCertificate } from '../../tools/certificate.ts'
import type { EngineName } from '../../tools/engine-store.ts'
import { ScriptProcess } from '../../tools/server-process.ts'
import { type Condition, conditions, type World } from './conditions.ts'
import { type Engine, startEngine } from './engines.ts'
import {
  type ClientPhase,
  type ClientReport,
  type FromClient,
  type FromServer,
  NAME,
  type ServerReport,
  type ServerSettings,
  type ToClient,
  type ToServer,
} from './messages.ts'

export const PHASES = ['before', 'trouble begins', 'in it', 'recovery', 'after'] as const
export type PhaseName = (typeof PHASES)[number]

export interface ChaosOptions {
  readonly engines: readonly EngineName[]
  readonly handshakesPerPhase: number
  /** All conditions by default. */
  readonly only?: (title: string) => boolean
  readonly onCondition: (report: ConditionReport) => void
}

/** One phase of all clients, and what the servers say of it. */
export interface PhaseReport {
  readonly phase: PhaseName
  readonly handshakes: number
  readonly failures: readonly string[]
  readonly cut: number
  /** Of those that had a session to offer, 0 to 1. */
  readonly resumptionRate: number
  /** Sorted. */
  readonly latenciesMs: readonly number[]
  /** Of the clients. */
  readonly maxStallMs: number
  readonly servers: readonly ServerReport[]
}

export interface ConditionReport {
  readonly engine: EngineName
  readonly title: string
  readonly phases: readonly PhaseReport[]
  /** By how much each server's memory grew, its garbage collected before and after. */
  readonly growth: readonly Growth[]
  /** What was promised and not kept, in sentences. */
  readonly problems: readonly string[]
}

export interface Growth {
  readonly rssBytes: number
  readonly heapBytes: number
}

export interface ChaosReport {
  readonly handshakes: number
  readonly failed: number
  readonly problems: readonly string[]
}

const CLIENTS = 10
export const DEADLINE_MS = 250
/** Of GuardOptions and StoreCalls. */
const MAX_QUEUED_WRITES = 1000
const MAX_PENDING_CALLS = 10_000
/**
 * Storing is write-behind, and a lookup that the machine holds up beyond the deadline is a miss: on a busy machine a client is
 * sometimes back at the other server too early. This much may differ by chance from what is so without any trouble.
 */
const RATE_TOLERANCE = 0.02
/** In a short run the same five handshakes are a larger share. */
const RATE_TOLERANCE_HANDSHAKES = 5

/**
 * From when the deadline is over until the handshake goes on: two turns of the event loop, each as late as the machine makes it,
 * since the guard lets answers that have arrived meanwhile come first.
 */
const LOOKUP_SLACK_MS = 25
const TURNS = 2
/** The breaker's second, and a write behind each of its probes. */
const RECOVERY_MS = 5000
const POLL_MS = 50
/** For the heap that they report. */
const GC = { execArgv: ['--expose-gc'] }
const MAX_HEAP_GROWTH_BYTES = 24 * 1024 * 1024

type Server = ScriptProcess<ToServer, FromServer>
type Client = ScriptProcess<ToClient, FromClient>

/** All conditions on all engines. */
export async function runChaos({
  engines,
  handshakesPerPhase,
  only = () => true,
  onCondition,
}: ChaosOptions): Promise<ChaosReport> {
  const certificate = await makeCertificate(NAME)
  const clients = Array.from({ length: CLIENTS }, (_, index) => startClient(certificate.cert, index))
  const reports: ConditionReport[] = []
  try {
    for (const name of engines) {
      const fleet = new Fleet(certificate, name)
      await fleet.start()
      try {
        for (const condition of conditions(name === 'lmdb').filter(({ title }) => only(title))) {
          const report = await new Run(fleet, clients, condition, handshakesPerPhase).report(reports)
          reports.push(report)
          onCondition(report)
        }
      } finally {
        await fleet.close()
      }
    }
  } finally {
    await Promise.all(clients.map((client) => client.kill()))
  }
  const phases = reports.flatMap((report) => report.phases)
  return {
    handshakes: sum(phases.map(({ handshakes }) => handshakes)),
    failed: sum(phases.map(({ failures }) => failures.length)),
    problems: reports.flatMap(({ engine, title, problems }) =>
      problems.map((problem) => `${engine}, ${title}: ${problem}`),
    ),
  }
}

function startClient(cert: string, index: number): Client {
  const client: Client = new ScriptProcess(new URL('./client.ts', import.meta.url), `client ${index}`, GC)
  client.send({ type: 'start', cert, version: index % 2 === 0 ? 'TLSv1.3' : 'TLSv1.2' })
  return client
}

/** Two server processes that share an engine. They live through all conditions. */
class Fleet {
  readonly #certificate: ServerSettings['certificate']
  readonly #name: EngineName
  readonly #secret = randomBytes(32).toString('hex')
  readonly #servers: Server[] = []
  #ports: [number, number] = [0, 0]
  #engine: Engine | undefined

  constructor(certificate: ServerSettings['certificate'], name: EngineName) {
    this.#certificate = certificate
    this.#name = name
  }

  get name(): EngineName {
    return this.#name
  }

  get ports(): readonly [number, number] {
    return this.#ports
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error('the engine is not there yet')
    return this.#engine
  }

  get areAlive(): boolean {
    return this.#servers.every(({ isAlive }) => isAlive)
  }

  async start(): Promise<void> {
    this.#engine = await startEngine(this.#name, {
      kill: async () => this.#servers[1]?.kill(),
      restart: () => this.#startServer(1),
      trouble: (trouble) => {
        for (const server of this.#servers) server.send({ type: 'trouble', trouble })
      },
    })
    await Promise.all([this.#startServer(0), this.#startServer(1)])
  }

  async #startServer(place: 0 | 1): Promise<void> {
    const server: Server = new ScriptProcess(new URL('./server.ts', import.meta.url), `server ${place}`, GC)
    this.#servers[place] = server
    const settings: ServerSettings = {
      certificate: this.#certificate,
      engine: this.engine.address,
      secret: this.#secret,
      port: this.#ports[place],
      deadlineMs: DEADLINE_MS,
      singleUse: false,
    }
    server.send({ type: 'start', settings })
    this.#ports[place] = (await server.next('listening')).port
  }

  reports(collect: boolean): Promise<ServerReport[]> {
    const living = this.#servers.filter(({ isAlive }) => isAlive)
    return Promise.all(
      living.map(async (server) => {
        server.send({ type: 'report', collect })
        return (await server.next('report')).report
      }),
    )
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()))
    await this.engine.close()
  }
}

/** One condition. */
class Run {
  readonly #fleet: Fleet
  readonly #clients: readonly Client[]
  readonly #condition: Condition
  readonly #handshakes: number
  readonly #world: World

  constructor(fleet: Fleet, clients: readonly Client[], condition: Condition, handshakes: number) {
    this.#fleet = fleet
    this.#clients = clients
    this.#condition = condition
    this.#handshakes = handshakes
    this.#world = {
      engine: fleet.engine,
      forge: (isOn) => {
        for (const client of clients) client.send({ type: 'forge', isOn })
      },
    }
  }

  async report(earlier: readonly ConditionReport[]): Promise<ConditionReport> {
    const fleet = this.#fleet
    await fleet.engine.flush()
    const atFirst = await fleet.reports(true)
    const phases: PhaseReport[] = []
    phases.push(await this.#phase('before', { isNew: true }))
    phases.push(await this.#phase('trouble begins', {}, () => this.#condition.begin(this.#world)))
    phases.push(await this.#phase('in it', {}))
    const ended = this.#condition.end(this.#world)
    const settings = { spreadMs: this.#condition.recoveryMs }
    phases.push(await this.#phase('recovery', settings, () => ended))
    await this.#recovered()
    phases.push(await this.#phase('after', {}))
    const growth = growthOf(atFirst, phases.at(-1)?.servers ?? [])
    const found = { engine: fleet.name, title: this.#condition.title, phases, growth }
    const normal = earlier.find(({ engine, title }) => engine === fleet.name && title === 'normal')
    const isRestarted = fleet.name === 'lmdb' && this.#condition.title.includes('SIGKILL')
    const problems = [
      ...(fleet.areAlive ? [] : ['a server is dead']),
      ...problemsOf(phases, this.#condition, normal?.phases ?? phases),
      ...(isRestarted ? cutProblems(phases) : growthProblems(growth)),
    ]
    return { ...found, problems }
  }

  /** What was made in the trouble is written now; a client that comes back for it should find it. */
  async #recovered(): Promise<void> {
    for (let attempt = 0; attempt < RECOVERY_MS / POLL_MS; attempt++) {
      const guards = (await this.#fleet.reports(false)).map(({ guard }) => guard)
      if (guards.every(({ breaker, queuedWrites }) => breaker === 'closed' && queuedWrites === 0)) return
      await setTimeout(POLL_MS)
    }
  }

  /** @param inTheMiddle - happens when half of the clients have done half of their handshakes */
  async #phase(
    phase: PhaseName,
    settings: Partial<ClientPhase>,
    inTheMiddle: () => Promise<void> = async () => undefined,
  ): Promise<PhaseReport> {
    const { ports } = this.#fleet
    const isKilling = this.#fleet.name === 'lmdb' && this.#condition.title.includes('SIGKILL')
    const task: ClientPhase = {
      ports,
      handshakes: this.#handshakes,
      spreadMs: 0,
      isNew: false,
      killedPort: isKilling ? ports[1] : undefined,
      ...settings,
    }
    for (const client of this.#clients) client.send({ type: 'phase', phase: task })
    const halves = this.#clients.map((client) => client.next('half'))
    // If a client has ended, the first to be told of it is enough.
    for (const half of halves) half.catch(() => undefined)
    await halfOf(halves)
    await inTheMiddle()
    await Promise.all(halves)
    const clients = await Promise.all(this.#clients.map(async (client) => (await client.next('done')).report))
    return phaseReport(phase, clients, await this.#fleet.reports(phase === 'after'))
  }
}

function halfOf(promises: readonly Promise<unknown>[]): Promise<void> {
  let left = Math.ceil(promises.length / 2)
  return new Promise((resolve, reject) => {
    for (const promise of promises)
      promise.then(() => {
        if (--left === 0) resolve()
      }, reject)
  })
}

function phaseReport(
  phase: PhaseName,
  clients: readonly ClientReport[],
  servers: readonly ServerReport[],
): PhaseReport {
  const offered = sum(clients.map((client) => client.offered))
  return {
    phase,
    handshakes: sum(clients.map(({ handshakes }) => handshakes)),
    failures: clients.flatMap(({ failures }) => failures),
    cut: sum(clients.map(({ cut }) => cut)),
    resumptionRate: sum(clients.map(({ resumed }) => resumed)) / Math.max(1, offered),
    latenciesMs: clients.flatMap(({ latenciesMs }) => latenciesMs).sort((a, b) => a - b),
    maxStallMs: Math.max(...clients.map(({ maxStallMs }) => maxStallMs)),
    servers,
  }
}

function problemsOf(
  phases: readonly PhaseReport[],
  { felt }: Condition,
  normal: readonly PhaseReport[],
): string[] {
  const rateOf = (name: PhaseName): number => phases.find(({ phase }) => phase === name)?.resumptionRate ?? 0
  const reasons = new Set(phases.flatMap(({ servers }) => servers.flatMap(reasonsOf)))
  const tolerance = RATE_TOLERANCE + RATE_TOLERANCE_HANDSHAKES / (phases[0]?.handshakes ?? 1)
  const usual = Math.min(rateOf('before'), ...normal.map(({ resumptionRate }) => resumptionRate))
  // What a handshake takes on this machine at the moment: the slowest of those that had no trouble.
  const handshakeMs = Math.max(...[...normal, phases[0]!].map(({ latenciesMs }) => latenciesMs.at(-1) ?? 0))
  return [
    ...phases.flatMap((phase) => phaseProblems(phase, handshakeMs)),
    ...(rateOf('after') >= usual - tolerance
      ? []
      : [`${percent(rateOf('after'))} resumed after, without trouble it is ${percent(usual)}`]),
    ...(felt.length === 0 || felt.some((reason) => reasons.has(reason))
      ? []
      : [`no handshake was ${felt.join(' or ')}: there was no trouble`]),
  ]
}

function phaseProblems(
  { phase, failures, latenciesMs, maxStallMs, servers }: PhaseReport,
  handshakeMs: number,
): string[] {
  const slowestMs = latenciesMs.at(-1) ?? 0
  const stallMs = Math.max(maxStallMs, ...servers.map((server) => server.maxStallMs))
  const limitMs = DEADLINE_MS + handshakeMs + TURNS * stallMs
  return [
    ...new Set(failures),
    ...(slowestMs <= limitMs ? [] : [`a handshake took ${ms(slowestMs)}, more than ${ms(limitMs)}`]),
    ...servers.flatMap(serverProblems),
  ].map((problem) => `${phase}: ${problem}`)
}

function serverProblems(report: ServerReport): string[] {
  const { maxLookupMs, maxStallMs, unhandled, maxQueuedWrites, maxPendingCalls, outcomes } = report
  const limitMs = DEADLINE_MS + LOOKUP_SLACK_MS + TURNS * maxStallMs
  return [
    ...(maxLookupMs <= limitMs ? [] : [`a lookup took ${ms(maxLookupMs)}, more than ${ms(limitMs)}`]),
    ...(outcomes.failed === 0 ? [] : [`${outcomes.failed} handshakes failed at a server`]),
    ...new Set(unhandled),
    ...(maxQueuedWrites <= MAX_QUEUED_WRITES ? [] : [`${maxQueuedWrites} writes waited`]),
    ...(maxPendingCalls <= MAX_PENDING_CALLS ? [] : [`${maxPendingCalls} calls were pending`]),
  ]
}

function growthOf(before: readonly ServerReport[], after: readonly ServerReport[]): Growth[] {
  return after.map(({ rssBytes, heapBytes }, place) => ({
    rssBytes: rssBytes - (before[place]?.rssBytes ?? 0),
    heapBytes: heapBytes - (before[place]?.heapBytes ?? 0),
  }))
}

function growthProblems(growth: readonly Growth[]): string[] {
  return growth.flatMap(({ heapBytes }) =>
    heapBytes <= MAX_HEAP_GROWTH_BYTES ? [] : [`the heap of a server grew by ${heapBytes} bytes`],
  )
}

function cutProblems(phases: readonly PhaseReport[]): string[] {
  return phases.some(({ cut }) => cut > 0) ? [] : ['no connection was cut: nobody was killed']
}

function reasonsOf({ reasons }: ServerReport): string[] {
  return Object.keys(reasons)
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

export function percent(rate: number): string {
  return `${(rate * 100).toFixed(1)} %`
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`
}
