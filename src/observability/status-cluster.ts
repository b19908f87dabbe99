import cluster, { type Worker } from 'node:cluster'
import { SessionStateError } from '../errors.ts'
import { mergeReports } from './status-merge.ts'
import type { StatusReport } from './status-report.ts'

/** Milliseconds that the primary waits for its workers: some may be busy, or show no status. */
const COLLECT_MS = 500
/** Milliseconds that a worker waits for the primary. */
const ANSWER_MS = 1000
/** Milliseconds until a primary that did not answer is asked again. */
const ASK_AGAIN_MS = 30_000

/** Between the processes of a cluster. */
type Message =
  /** A worker to the primary, for the reports of all. */
  | { readonly sslctx: 'status-ask'; readonly id: number; readonly subject: string }
  /** The primary to each worker, for its own. */
  | { readonly sslctx: 'status-report'; readonly round: number; readonly subject: string }
  | { readonly sslctx: 'status-reported'; readonly round: number; readonly report: StatusReport }
  | { readonly sslctx: 'status-all'; readonly id: number; readonly reports: readonly StatusReport[] }

function isMessage(value: unknown): value is Message {
  return (
    typeof value === 'object' && value !== null && String(Reflect.get(value, 'sslctx')).startsWith('status-')
  )
}

interface Round {
  readonly reports: StatusReport[]
  readonly missing: Set<number>
  finish(): void
}

/**
 * Lets the workers of a cluster show the status of all of them: call it once in the primary process. Each `statusHandler` of a worker
 * adds up what all workers tell then.
 *
 * @returns ends it
 * @throws `SessionStateError` elsewhere than in the primary process
 */
export function relayStatus(): () => void {
  if (!cluster.isPrimary) throw new SessionStateError('relayStatus is for the primary process of a cluster')
  const rounds = new Map<number, Round>()
  let latest = 0
  const collect = (asker: Worker, id: number, subject: string): void => {
    const round = ++latest
    const workers = Object.values(cluster.workers ?? {}).flatMap((worker) =>
      worker?.isConnected() ? [worker] : [],
    )
    const reports: StatusReport[] = []
    const finish = (): void => {
      clearTimeout(timer)
      if (rounds.delete(round)) tell(asker, { sslctx: 'status-all', id, reports })
    }
    const timer = setTimeout(finish, COLLECT_MS)
    rounds.set(round, { reports, missing: new Set(workers.map((worker) => worker.id)), finish })
    for (const worker of workers) tell(worker, { sslctx: 'status-report', round, subject })
  }
  const onMessage = (worker: Worker, message: unknown): void => {
    if (!isMessage(message)) return
    if (message.sslctx === 'status-ask') collect(worker, message.id, message.subject)
    if (message.sslctx !== 'status-reported') return
    const round = rounds.get(message.round)
    if (!round?.missing.delete(worker.id)) return
    round.reports.push(message.report)
    if (round.missing.size === 0) round.finish()
  }
  cluster.on('message', onMessage)
  return () => void cluster.off('message', onMessage)
}

/** A worker may be gone meanwhile. */
function tell(worker: Worker, message: Message): void {
  if (worker.isConnected()) worker.send(message, () => undefined)
}

/** A process may show several pages. */
let latestId = 0

/** A worker of a cluster, among the others. */
export class ClusterStatus {
  readonly #own: () => StatusReport
  readonly #subject: string
  readonly #waiting: Map<number, (reports: readonly StatusReport[]) => void> = new Map()
  #askAgainAtMs = 0
  readonly #onMessage = (message: unknown): void => {
    if (!isMessage(message)) return
    if (message.sslctx === 'status-report' && message.subject === this.#subject)
      send({ sslctx: 'status-reported', round: message.round, report: this.#own() })
    if (message.sslctx === 'status-all') this.#waiting.get(message.id)?.(message.reports)
  }

  /** @param subject - what the page is about: the same in all workers, and another one for another page */
  constructor(subject: string, own: () => StatusReport) {
    this.#subject = subject
    this.#own = own
    process.on('message', this.#onMessage)
  }

  /** The report of all workers; that of this one alone when the primary does not relay. */
  async report(): Promise<StatusReport> {
    if (performance.now() < this.#askAgainAtMs) return this.#own()
    const [first, ...others] = await this.#ask()
    if (first !== undefined) return this.#merged([first, ...others])
    this.#askAgainAtMs = performance.now() + ASK_AGAIN_MS
    return this.#own()
  }

  /** While versions change in a fleet, another worker may tell what this one does not understand. */
  #merged(reports: readonly [StatusReport, ...StatusReport[]]): StatusReport {
    try {
      return mergeReports(reports)
    } catch {
      return this.#own()
    }
  }

  close(): void {
    process.off('message', this.#onMessage)
  }

  #ask(): Promise<readonly StatusReport[]> {
    const id = ++latestId
    return new Promise((resolve) => {
      const finish = (reports: readonly StatusReport[]): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(reports)
      }
      const timer = setTimeout(finish, ANSWER_MS, [])
      this.#waiting.set(id, finish)
      send({ sslctx: 'status-ask', id, subject: this.#subject })
    })
  }
}

function send(message: Message): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}
