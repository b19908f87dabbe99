import { HandshakeError } from './failure.ts'
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
  shakeHands(session: Uint8Array | undefined): Promise<Handshake>
  nowMs(): number
  /** Microseconds of processor time of this process. */
  cpuMicros(): number
  /** Told after every handshake. */
  onProgress(tally: LoadTally): void
}

/**
 * Handshakes in lanes, in each of which one begins when the one before is over. A lane offers its newest session, as a
 * client does; those that it has made itself do not count, unless nothing is offered.
 */
export async function generateLoad(plan: LoadPlan, ports: LoadPorts): Promise<LoadReport> {
  const sessions = await Promise.all(
    Array.from({ length: plan.connections }, async () =>
      plan.offersSessions ? firstSession(ports) : undefined,
    ),
  )
  const tally = new LoadTally(ports.nowMs())
  const cpuMicros = ports.cpuMicros()
  await Promise.all(sessions.map((session) => runLane(session, plan, ports, tally)))
  return tally.report(ports.nowMs(), ports.cpuMicros() - cpuMicros)
}

/** A lane whose first handshake fails begins without a session, and takes the next one that it is given. */
async function firstSession(ports: LoadPorts): Promise<Uint8Array | undefined> {
  try {
    return (await ports.shakeHands(undefined)).sessions.at(-1)
  } catch (error) {
    if (error instanceof HandshakeError) return undefined
    throw error
  }
}

async function runLane(
  first: Uint8Array | undefined,
  { durationMs, offersSessions, maxHandshakes = Number.POSITIVE_INFINITY }: LoadPlan,
  ports: LoadPorts,
  tally: LoadTally,
): Promise<void> {
  let session = first
  while (ports.nowMs() < tally.startedMs + durationMs && tally.begin(maxHandshakes)) {
    try {
      const handshake = await ports.shakeHands(session)
      tally.add(handshake, ports.nowMs())
      if (offersSessions) session = handshake.sessions.at(-1) ?? session
    } catch (error) {
      if (!(error instanceof HandshakeError)) throw error
      tally.fail(error.code, ports.nowMs())
      // What fails at once would otherwise be repeated without end.
      await new Promise((resolve) => setTimeout(resolve, FAILURE_PAUSE_MS))
    }
    ports.onProgress(tally)
  }
}

const FAILURE_PAUSE_MS = 20

/** Counts a phase. */
export class LoadTally {
  readonly startedMs: number
  readonly #latencies: number[] = []
  #begun = 0
  readonly #seconds: { full: number; resumed: number; failed: number }[] = []
  readonly #errors: Map<string, number> = new Map()

  constructor(startedMs: number) {
    this.startedMs = startedMs
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
      handshakesPerSec: ratio(handshakes * 1000, durationMs),
      resumptionRate: ratio(sum('resumed'), handshakes),
      latencyMs: percentiles(this.#latencies),
      bySecond: this.#seconds.map((second) => ({ ...second })),
      clientCpu: ratio(cpuMicros / 1000, durationMs),
      errors: Object.fromEntries(this.#errors),
    }
  }

  #second(nowMs: number): { full: number; resumed: number; failed: number } {
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
