import cluster from 'node:cluster'
import { hostname } from 'node:os'
import type { SessionStats } from '../session/contracts.ts'
import { type HandshakeCounts, NO_HANDSHAKES, resumptionRate } from '../session/handshakes.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { type ClientsFigures, type ClientsStatus, NO_CLIENTS, reportClients } from './status-clients.ts'
import {
  between,
  countDecisions,
  type HandshakeCounter,
  History,
  type HistoryView,
  type Interval,
  viewOf,
} from './status-history.ts'
import { isRefusal } from './status-page.ts'
import type {
  MeasuredAttachment,
  MeasuredContext,
  MeasuredServer,
  MeasuredStore,
  MeasuredTickets,
  Parts,
} from './subject.ts'

/** The JSON. Numbers of handshakes, unless said otherwise. */
export interface StatusReport {
  /** ISO 8601. */
  readonly time: string
  /** Whose figures these are. */
  readonly process: {
    readonly host: string
    readonly pid: number
    /** The number of the worker in a cluster; null elsewhere. */
    readonly worker: number | null
    /** How many are added up here; null for a worker that does not know of others. */
    readonly processes: number | null
  }
  readonly servers: Readonly<Record<string, ServerStatus>>
  readonly clients: Readonly<Record<string, ClientsStatus>>
  readonly stores: Readonly<Record<string, StoreStatus>>
}

/** The figures of one attachment, or of one context. */
export interface ServerStatus {
  readonly verdict: StatusVerdict
  /** The last whole minute and the running one, or since the handler was made. */
  readonly now: Span
  /** The last 59 minutes and the running one, or since the handler was made. */
  readonly hour: Span
  /** Since the server was attached; of a context alone, since the handler was made. */
  readonly total: HandshakeCounts
  /** What `hour` consists of, oldest first; the last one is still running. */
  readonly minutes: readonly Minute[]
  /** The internal cache; null where sessions are in the store alone. */
  readonly cache: {
    readonly sessions: number
    /** How many there may be; 0 is unlimited. */
    readonly size: number
    /** Seconds. */
    readonly timeoutSec: number
    /** Seconds until the session expires that would be evicted next; null when nothing is cached. */
    readonly oldestTimeLeftSec: number | null
  } | null
  /** OpenSSL's. */
  readonly counters: SessionStats
  /** Sessions that were made and not kept; null of a context alone. */
  readonly notKept: Readonly<Partial<Record<string, number>>> | null
  /** Null of a context alone. */
  readonly pendingWrites: number | null
  /** Stateless tickets since the server was attached, and their keys now; null without them. */
  readonly tickets: MeasuredTickets | null
}

/** Is it resuming, and if not, why not? */
export interface StatusVerdict {
  /**
   * By the clients that offered a session: `resuming` 90 % or more, `not-resuming` none, else `resuming-in-part`.
   * `disabled` is the kill switch, `idle` no completed handshake within the hour.
   */
  readonly state: 'resuming' | 'resuming-in-part' | 'not-resuming' | 'nothing-offered' | 'idle' | 'disabled'
  /** Why most of those who did not resume did not. `store-failed`: their sessions had not been kept in the first place. */
  readonly because: string | null
  /** What was judged: `hour` when nobody has offered anything just now. */
  readonly span: 'now' | 'hour'
}

export interface Span extends HandshakeCounts {
  readonly seconds: number
  /** Resumed of all that were completed, 0 to 1; null when there were none. */
  readonly rate: number | null
  /** Those whose client offered a session; the others had nothing to resume. */
  readonly offered: number
  /** Sessions that were made and that the external cache failed to keep; 0 of a context alone. */
  readonly unstored: number
}

export interface Minute extends Span {
  /** When it began, ISO 8601. */
  readonly time: string
  /** In the internal cache, at its end. */
  readonly sessions: number
}

/** The figures of one guarded store. */
export interface StoreStatus {
  /** Reads, sets and removals are judged apart: that which is worst off. */
  readonly breaker: 'closed' | 'half-open' | 'open'
  readonly breakers: Readonly<Record<'reads' | 'writes' | 'removals', 'closed' | 'half-open' | 'open'>>
  /** Writes that wait. */
  readonly queuedWrites: number
  /** Writes that were never made. */
  readonly droppedWrites: number
  /** Deletions among them: what was removed may be found again. */
  readonly droppedDeletions: number
  /** Calls without an answer so far. */
  readonly pendingCalls: number
  readonly calls: number
  /** Calls that threw, rejected or had no answer in time. */
  readonly failedCalls: number
  /** Sets, deletions and marks among them: what they were to keep or remove. */
  readonly failedWrites: number
  /** The last call that failed, and why: a code such as ECONNREFUSED, the first word of Redis such as OOM, or what the error says. */
  readonly lastFailure: { readonly operation: string; readonly cause: string; readonly time: string } | null
  /** Oldest first, the last one is still running. */
  readonly minutes: readonly {
    readonly time: string
    readonly queuedWrites: number
    readonly droppedWrites: number
    readonly failedCalls: number
    readonly failedWrites: number
  }[]
}

/** What is read of a server when a sample is taken; no handshake is any slower. */
interface ServerFigures {
  readonly counts: HandshakeCounts
  readonly sessions: number
  readonly unstored: number
}

type StoreFigures = Omit<StoreStatus, 'minutes'>

/** The figures of all that was shown at a moment. */
interface Sampled {
  readonly servers: ReadonlyMap<object, ServerFigures>
  readonly stores: ReadonlyMap<object, StoreFigures>
  readonly clients: ReadonlyMap<object, ClientsFigures>
}

const NOTHING: ServerFigures = {
  counts: { handshakes: NO_HANDSHAKES, reasons: {}, protocols: {} },
  sessions: 0,
  unstored: 0,
}
const NO_CALLS: StoreFigures = {
  breaker: 'closed',
  breakers: { reads: 'closed', writes: 'closed', removals: 'closed' },
  ...{ queuedWrites: 0, droppedWrites: 0, droppedDeletions: 0, pendingCalls: 0 },
  ...{ calls: 0, failedCalls: 0, failedWrites: 0, lastFailure: null },
}

/** The figures of whatever is there, now and in each minute of the last hour. */
export class Figures {
  readonly #parts: () => Parts
  readonly #decisions: Map<MeasuredContext, HandshakeCounter> = new Map()
  readonly #history: History<Sampled>

  constructor(parts: () => Parts) {
    this.#parts = parts
    for (const shown of Object.values(parts().servers))
      if (!isAttachment(shown)) this.#decisions.set(shown, countDecisions(shown))
    this.#history = new History(() => this.#sample())
  }

  close(): void {
    this.#history.close()
    for (const { end } of this.#decisions.values()) end()
  }

  report(): StatusReport {
    const view = this.#history.look()
    const parts = this.#parts()
    return {
      time: new Date().toISOString(),
      process: {
        host: hostname(),
        pid: process.pid,
        worker: cluster.worker?.id ?? null,
        processes: cluster.isWorker ? null : 1,
      },
      servers: mapValues(parts.servers, (shown) =>
        reportServer(
          shown,
          viewOf(view, ({ servers }) => servers.get(shown) ?? NOTHING),
        ),
      ),
      clients: mapValues(parts.clients, (one) =>
        reportClients(viewOf(view, ({ clients }) => clients.get(one) ?? NO_CLIENTS)),
      ),
      stores: mapValues(parts.stores, (store) =>
        reportStore(viewOf(view, ({ stores }) => stores.get(store) ?? NO_CALLS)),
      ),
    }
  }

  #sample(): Sampled {
    const parts = this.#parts()
    return {
      servers: new Map(
        Object.values(parts.servers).map((shown) => [shown, this.#serverFigures(shown)] as const),
      ),
      stores: new Map(Object.values(parts.stores).map((store) => [store, storeFigures(store)] as const)),
      clients: new Map(Object.values(parts.clients).map((one) => [one, one.stats] as const)),
    }
  }

  #serverFigures(shown: MeasuredServer): ServerFigures {
    if (!isAttachment(shown))
      return {
        counts: this.#decisions.get(shown)?.counts() ?? NOTHING.counts,
        sessions: shown.stats.number,
        unstored: 0,
      }
    const { handshakes, protocols, reasons, notKept } = shown.stats
    return {
      counts: { handshakes, protocols, reasons },
      sessions: shown.context.stats.number,
      unstored: STORE_REASONS.reduce((total, reason) => total + (notKept[reason] ?? 0), 0),
    }
  }
}

function isAttachment(shown: MeasuredServer): shown is MeasuredAttachment {
  return 'kind' in shown
}

const STORE_REASONS = ['store-failed', 'store-timeout']

function reportServer(shown: MeasuredServer, view: HistoryView<ServerFigures>): ServerStatus {
  const attachment = isAttachment(shown) ? shown : undefined
  const context = isAttachment(shown) ? shown.context : shown
  const now = spanOf(view.last(1))
  const hour = spanOf(view.last(59))
  return {
    verdict: judge(now, hour, attachment?.enabled !== false),
    now,
    hour,
    total: view.figures.counts,
    minutes: view.minutes.map((minute) => ({
      time: new Date(minute.from.atMs).toISOString(),
      ...spanOf(minute),
      sessions: minute.to.figures.sessions,
    })),
    cache: isInternalCacheUsed(context)
      ? {
          sessions: view.figures.sessions,
          size: context.getSessionCacheSize(),
          timeoutSec: context.getSessionTimeout(),
          oldestTimeLeftSec: context.cacheStats.oldestTimeLeftSec ?? null,
        }
      : null,
    counters: context.stats,
    notKept: attachment?.stats.notKept ?? null,
    pendingWrites: attachment?.stats.pendingWrites ?? null,
    tickets: attachment?.stats.tickets ?? null,
  }
}

function spanOf({
  from,
  to,
}: Interval<{ readonly counts: HandshakeCounts; readonly unstored: number }>): Span {
  const counts = between(from.figures.counts, to.figures.counts)
  const { resumed } = counts.handshakes
  return {
    ...counts,
    seconds: Math.round((to.clockMs - from.clockMs) / 1000),
    rate: resumptionRate(counts.handshakes),
    unstored: to.figures.unstored - from.figures.unstored,
    offered:
      resumed +
      sum(Object.fromEntries(Object.entries(counts.reasons).filter(([reason]) => isRefusal(reason)))),
  }
}

const GOOD_RATE = 0.9

export function judge(now: Span, hour: Span, isEnabled: boolean): StatusVerdict {
  const [span, name] = now.offered > 0 ? ([now, 'now'] as const) : ([hour, 'hour'] as const)
  const verdict = (state: StatusVerdict['state'], because: string | null = null): StatusVerdict => ({
    state,
    because,
    span: name,
  })
  const { resumed } = span.handshakes
  if (!isEnabled) return verdict('disabled')
  if (span.rate === null) return verdict('idle')
  if (span.offered === 0) return verdict('nothing-offered')
  if (resumed >= GOOD_RATE * span.offered) return verdict('resuming')
  return verdict(resumed > 0 ? 'resuming-in-part' : 'not-resuming', commonestRefusal(span))
}

function commonestRefusal({ reasons, unstored }: Span): string | null {
  const [commonest] = Object.entries(reasons)
    .filter(([reason]) => isRefusal(reason))
    .sort(([, left], [, right]) => right - left)
  const [reason = null, count = 0] = commonest ?? []
  // What is not found has been lost, or was never there.
  return reason === 'not-found' && unstored >= count / 2 ? 'store-failed' : reason
}

function isInternalCacheUsed(context: MeasuredContext): boolean {
  return (context.getSessionCacheMode() & SessionCacheMode.NO_INTERNAL_STORE) === 0
}

function reportStore({ figures, minutes }: HistoryView<StoreFigures>): StoreStatus {
  return {
    ...figures,
    minutes: minutes.map(({ from, to }) => ({
      time: new Date(from.atMs).toISOString(),
      queuedWrites: to.figures.queuedWrites,
      droppedWrites: to.figures.droppedWrites - from.figures.droppedWrites,
      failedCalls: to.figures.failedCalls - from.figures.failedCalls,
      failedWrites: to.figures.failedWrites - from.figures.failedWrites,
    })),
  }
}

const WRITES = ['set', 'delete', 'addMarks']

function storeFigures({ stats }: MeasuredStore): StoreFigures {
  const { breaker, breakers, queuedWrites, droppedWrites, droppedDeletions, pendingCalls } = stats
  const { calls, failures, timeouts, lastFailure } = stats
  const failedWrites = WRITES.reduce(
    (total, name) => total + (failures[name] ?? 0) + (timeouts[name] ?? 0),
    0,
  )
  return {
    ...{ breaker, breakers, queuedWrites, droppedWrites, droppedDeletions, pendingCalls },
    calls: sum(calls),
    failedCalls: sum(failures) + sum(timeouts),
    failedWrites,
    lastFailure: lastFailure ? failureOf(lastFailure) : null,
  }
}

function failureOf({ operation, error, atMs }: Failure): StoreStatus['lastFailure'] {
  return { operation, cause: causeOf(error), time: new Date(atMs).toISOString() }
}

type Failure = NonNullable<MeasuredStore['stats']['lastFailure']>

const MAX_CAUSE = 120

/** The innermost error that has a word for it. */
function causeOf(error: Error): string {
  const errors: Error[] = []
  for (let one: unknown = error; one instanceof Error && errors.length < 5; one = one.cause) errors.push(one)
  const innermost = errors.reverse()
  for (const one of innermost) {
    const { code } = one as { code?: unknown }
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code
    const [word] = /^[A-Z]{3,}(?=\s|$)/.exec(one.message) ?? []
    if (word !== undefined) return word
  }
  const [{ message } = error] = innermost
  return message.length > MAX_CAUSE ? `${message.slice(0, MAX_CAUSE)}…` : message
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))
}
