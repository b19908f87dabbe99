import {
  type HandshakeCounts,
  HandshakeTally,
  NO_HANDSHAKES,
  type Outcome,
  type OutcomeCounts,
} from '../session/handshakes.ts'
import type { ResumptionVerdict } from '../session/verdict.ts'
import type { MeasuredContext } from './subject.ts'

interface Sample<T> {
  /** Milliseconds since the epoch, for people. */
  readonly atMs: number
  /** Monotonic milliseconds, for rates. */
  readonly clockMs: number
  readonly figures: T
}

export interface Interval<T> {
  readonly from: Sample<T>
  readonly to: Sample<T>
}

/** The figures of one moment, at which the figures were read once. */
export interface HistoryView<T> {
  readonly figures: T
  /** Oldest first; the last one is still running. */
  readonly minutes: readonly Interval<T>[]
  /** The last whole minutes and the running one, or as many as there are. */
  last(wholeMinutes: number): Interval<T>
}

/** The same of one of several whose figures are read together. @param pick - its figures, at any moment */
export function viewOf<T, U>(
  { figures, minutes, last }: HistoryView<T>,
  pick: (figures: T) => U,
): HistoryView<U> {
  const picked = ({ from, to }: Interval<T>): Interval<U> => ({
    from: { ...from, figures: pick(from.figures) },
    to: { ...to, figures: pick(to.figures) },
  })
  return {
    figures: pick(figures),
    minutes: minutes.map(picked),
    last: (wholeMinutes) => picked(last(wholeMinutes)),
  }
}

const SAMPLE_MS = 60_000
const MAX_SAMPLES = 60

/** Figures of each minute of the last hour, in a ring that does not keep the process alive. */
export class History<T> {
  readonly #read: () => T
  readonly #samples: Sample<T>[]
  readonly #timer: NodeJS.Timeout

  constructor(read: () => T) {
    this.#read = read
    this.#samples = [this.#take()]
    this.#timer = setInterval(() => this.#add(), SAMPLE_MS).unref()
  }

  look(): HistoryView<T> {
    const to = this.#take()
    const samples = [...this.#samples]
    const [oldest = to] = samples
    return {
      figures: to.figures,
      minutes: samples.map((from, index) => ({ from, to: samples[index + 1] ?? to })),
      last: (wholeMinutes) => ({ from: samples.at(-wholeMinutes - 1) ?? oldest, to }),
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #add(): void {
    this.#samples.push(this.#take())
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift()
  }

  #take(): Sample<T> {
    return { atMs: Date.now(), clockMs: performance.now(), figures: this.#read() }
  }
}

/** As `tlsSocket.getProtocol()` names them. */
const PROTOCOLS: Readonly<Record<number, string>> = {
  769: 'TLSv1',
  770: 'TLSv1.1',
  771: 'TLSv1.2',
  772: 'TLSv1.3',
}

export interface HandshakeCounter {
  counts(): HandshakeCounts
  end(): void
}

/** What a context decides, for one that is shown without its server. */
export function countDecisions(context: MeasuredContext): HandshakeCounter {
  const tally = new HandshakeTally()
  const end = context.subscribe((event) => {
    if (event.type !== 'resumption') return
    const { verdict, connection } = event
    tally.count(...decisionOf(verdict), PROTOCOLS[connection.protocolVersion] ?? 'unknown')
  })
  return { counts: () => tally.counts, end }
}

function decisionOf(verdict: ResumptionVerdict): readonly [Outcome, string] {
  if (verdict.resume) return ['resumed', verdict.source]
  return [verdict.alert === undefined ? 'full' : 'failed', verdict.reason]
}

/** What happened between two moments; what did not happen is left out. */
export function between(earlier: HandshakeCounts, later: HandshakeCounts): HandshakeCounts {
  const protocols = Object.entries(later.protocols).map(
    ([protocol, counts]) =>
      [protocol, subtract(counts, earlier.protocols[protocol] ?? NO_HANDSHAKES)] as const,
  )
  const reasons = Object.entries(later.reasons).map(
    ([reason, count]) => [reason, count - (earlier.reasons[reason] ?? 0)] as const,
  )
  return {
    handshakes: subtract(later.handshakes, earlier.handshakes),
    protocols: Object.fromEntries(
      protocols.filter(([, { resumed, full, failed }]) => resumed + full + failed > 0),
    ),
    reasons: Object.fromEntries(reasons.filter(([, count]) => count > 0)),
  }
}

function subtract(left: OutcomeCounts, right: OutcomeCounts): OutcomeCounts {
  return {
    resumed: left.resumed - right.resumed,
    full: left.full - right.full,
    failed: left.failed - right.failed,
  }
}
