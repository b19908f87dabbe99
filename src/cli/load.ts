import { within } from './connection.ts'
import { CutOffError, HandshakeError } from './failure.ts'
import type { Handshake } from './probe.ts'

/** One second of a phase, counted from its beginning; the last one may be shorter. */
export interface Second {
  readonly full: number
  readonly resumed: number
  readonly failed: number
}

/** What a phase of handshakes was like. */
export interface LoadReport {
  readonly durationSec: number
  readonly handshakes: number
  readonly resumed: number
  readonly failed: number
  /** Under way when the phase was over, and given no more time: neither handshakes nor failures. */
  readonly cutOff: number
  readonly handshakesPerSec: number
  /** As a part of the handshakes that ended well, 0 to 1. */
  readonly resumptionRate: number
  readonly latencyMs: Percentiles
  readonly bySecond: readonly Second[]
  /** Share of one processor that this client used, 0 to 1 and beyond: near 1, the client is what was measured. */
  readonly clientCpu: number
  /** How often which error came. */
  readonly errors: Readonly<Record<string, number>>
}

export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

export interface LoadPlan {
  /** Connections at the same time. */
  readonly connections: number
  readonly durationMs: number
  /** The phase ends earlier when there were so many; each leaves a port in TIME_WAIT. */
  readonly maxHandshakes?: number
  readonly offersSessions: boolean
}

export interface LoadPorts {
  /** Rejects with {@link CutOffError} when the signal ends it. */
  shakeHands(session: Uint8Array | undefined, signal: AbortSignal): Promise<Handshake>
  nowMs(): number
  /** Microseconds of processor time of this process. */
  cpuMicros(): number
  /** Told after every handshake. */
  onProgress(tally: LoadTally): void
}

/**
 * Handshakes in lanes, in each of which one begins when the one before is over. A lane offers its newest session, as a
 * client does; those that it has made itself do not count, unless nothing is offered.
 *
 * Whatever the server does, it is over `GRACE_MS` after its duration, and what comes before it takes no longer than it does.
 */
export async function generateLoad(plan: LoadPlan, ports: LoadPorts): Promise<LoadReport> {
  const { durationMs, connections, offersSessions } = plan
  const lanes = Array.from({ length: connections }, (_, index) => index)
  const sessions = await within(Math.max(durationMs, MIN_PREPARATION_MS), undefined, (signal) =>
    Promise.all(lanes.map(async () => (offersSessions ? firstSession(ports, signal) : undefined))),
  )
  const tally = new LoadTally(ports.nowMs())
  const cpuMicros = ports.cpuMicros()
  await within(durationMs + GRACE_MS, undefined, (signal) =>
    Promise.all(sessions.map((session) => runLane(session, plan, { ...ports, signal }, tally))),
  )
  // Lanes that had done while others were waited for have not idled for want of speed.
  const endMs = tally.cutOff > 0 ? Math.max(tally.lastMs, tally.startedMs + durationMs) : ports.nowMs()
  return tally.report(endMs, ports.cpuMicros() - cpuMicros)
}

/** For handshakes that are under way at the end of the phase. */
const GRACE_MS = 1000
/** For the sessions that lanes begin with, when the phase is shorter. */
const MIN_PREPARATION_MS = 2000
const FAILURE_PAUSE_MS = 20

/** A lane whose first handshake fails begins without a session, and takes the next one that it is given. */
async function firstSession(ports: LoadPorts, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return (await ports.shakeHands(undefined, signal)).sessions.at(-1)
  } catch (error) {
    if (error instanceof HandshakeError || error instanceof CutOffError) return undefined
    throw error
  }
}

type LanePorts = LoadPorts & { readonly signal: AbortSignal }

async function runLane(
  first: Uint8Array | undefined,
  { durationMs, offersSessions, maxHandshakes = Number.POSITIVE_INFINITY }: LoadPlan,
  ports: LanePorts,
  tally: LoadTally,
): Promise<void> {
  let session = first
  while (ports.nowMs() < tally.startedMs + durationMs && tally.begin(maxHandshakes)) {
    const made = await countHandshake(session, ports, tally)
    if (offersSessions) session = made ?? session
    ports.onProgress(tally)
  }
}

/** @returns the newest session that it has brought */
async function countHandshake(
  session: Uint8Array | undefined,
  { shakeHands, nowMs, signal }: LanePorts,
  tally: LoadTally,
): Promise<Uint8Array | undefined> {
  try {
    const handshake = await shakeHands(session, signal)
    tally.add(handshake, nowMs())
    return handshake.sessions.at(-1)
  } catch (error) {
    if (error instanceof CutOffError) tally.cut()
    else if (error instanceof HandshakeError) {
      tally.fail(error.code, nowMs())
      // What fails at once would otherwise be repeated without end.
      await new Promise((resolve) => setTimeout(resolve, FAILURE_PAUSE_MS))
    } else throw error
    return undefined
  }
}

/** Counts a phase. */
export class LoadTally {
  readonly startedMs: number
  readonly #latencies: number[] = []
  #begun = 0
  #cutOff = 0
  #lastMs: number
  readonly #seconds: { full: number; resumed: number; failed: number }[] = []
  readonly #errors: Map<string, number> = new Map()

  constructor(startedMs: number) {
    this.startedMs = startedMs
    this.#lastMs = startedMs
  }

  /** @returns whether there may be one more */
  begin(max: number): boolean {
    if (this.#begun >= max) return false
    this.#begun++
    return true
  }

  get handshakes(): number {
    return this.#latencies.length
  }

  get cutOff(): number {
    return this.#cutOff
  }

  /** When the last one of those that count has ended. */
  get lastMs(): number {
    return this.#lastMs
  }

  cut(): void {
    this.#cutOff++
  }

  add({ resumed, latencyMs }: Pick<Handshake, 'resumed' | 'latencyMs'>, nowMs: number): void {
    this.#latencies.push(latencyMs)
    this.#second(nowMs)[resumed ? 'resumed' : 'full']++
  }

  fail(code: string, nowMs: number): void {
    this.#second(nowMs).failed++
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
  }

  report(nowMs: number, cpuMicros: number): LoadReport {
    const durationMs = nowMs - this.startedMs
    const sum = (kind: keyof Second): number =>
      this.#seconds.reduce((total, second) => total + second[kind], 0)
    const { handshakes } = this
    return {
      durationSec: durationMs / 1000,
      handshakes,
      resumed: sum('resumed'),
      failed: sum('failed'),
      cutOff: this.#cutOff,
      handshakesPerSec: ratio(handshakes * 1000, durationMs),
      resumptionRate: ratio(sum('resumed'), handshakes),
      latencyMs: percentiles(this.#latencies),
      bySecond: this.#seconds.map((second) => ({ ...second })),
      clientCpu: ratio(cpuMicros / 1000, durationMs),
      errors: Object.fromEntries(this.#errors),
    }
  }

  #second(nowMs: number): { full: number; resumed: number; failed: number } {
    this.#lastMs = nowMs
    const index = Math.floor((nowMs - this.startedMs) / 1000)
    while (this.#seconds.length <= index) this.#seconds.push({ full: 0, resumed: 0, failed: 0 })
    const second = this.#seconds[index]
    if (second === undefined) throw new RangeError('a second before the first')
    return second
  }
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0
}

/** Nearest rank: the smallest value that so many of the values do not exceed. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort()
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
}
