import { type HandshakeCounts, resumptionRate } from '../session/handshakes.ts'
import { type ClientsSpan, type ClientsStatus, judgeClients } from './status-clients.ts'
import {
  judge,
  type Minute,
  type ServerStatus,
  type Span,
  type StatusReport,
  type StoreStatus,
} from './status-report.ts'

/**
 * The reports of several processes as one: what is counted is added up, what is a level is that of the worst.
 *
 * @param reports - at least one
 */
export function mergeReports(reports: readonly [StatusReport, ...StatusReport[]]): StatusReport {
  const [own] = reports
  return {
    time: own.time,
    process: { ...own.process, processes: reports.length },
    servers: mergeByName(
      reports.map(({ servers }) => servers),
      mergeServers,
    ),
    clients: mergeByName(
      reports.map(({ clients }) => clients),
      mergeClients,
    ),
    stores: mergeByName(
      reports.map(({ stores }) => stores),
      mergeStores,
    ),
  }
}

type Some<T> = readonly [T, ...T[]]

function mergeByName<T>(
  records: readonly Readonly<Record<string, T>>[],
  merge: (some: Some<T>) => T,
): Record<string, T> {
  const groups = new Map<string, [T, ...T[]]>()
  for (const record of records)
    for (const [name, value] of Object.entries(record)) {
      const group = groups.get(name)
      if (group === undefined) groups.set(name, [value])
      else group.push(value)
    }
  return Object.fromEntries([...groups].map(([name, group]) => [name, merge(group)]))
}

function mergeServers(some: Some<ServerStatus>): ServerStatus {
  const now = mergeSpans(some.map((one) => one.now))
  const hour = mergeSpans(some.map((one) => one.hour))
  const isEnabled = some.some(({ verdict }) => verdict.state !== 'disabled')
  const notKept = defined(some.map((one) => one.notKept))
  const pendingWrites = defined(some.map((one) => one.pendingWrites))
  return {
    verdict: judge(now, hour, isEnabled),
    now,
    hour,
    total: mergeCounts(some.map(({ total }) => total)),
    minutes: byMinute(some.map(({ minutes }) => minutes)).map(mergeMinutes),
    cache: mergeCaches(defined(some.map(({ cache }) => cache))),
    counters: addUp(some.map(({ counters }) => counters)),
    notKept: notKept.length === 0 ? null : addUp(notKept),
    pendingWrites: pendingWrites.length === 0 ? null : sum(pendingWrites),
    tickets: mergeTickets(defined(some.map(({ tickets }) => tickets))),
  }
}

type Tickets = NonNullable<ServerStatus['tickets']>

function mergeTickets(some: readonly Tickets[]): Tickets | null {
  if (some.length === 0) return null
  const lowest = (name: keyof Tickets['keys']): number => Math.min(...some.map(({ keys }) => keys[name]))
  return {
    sealed: sum(some.map(({ sealed }) => sealed)),
    offered: addUp(some.map(({ offered }) => offered)),
    keys: { current: lowest('current'), timeLeftSec: lowest('timeLeftSec'), open: lowest('open') },
  }
}

function mergeCounts(some: readonly HandshakeCounts[]): HandshakeCounts {
  const protocols = mergeByName(
    some.map((one) => one.protocols),
    addUp,
  )
  return {
    handshakes: addUp(some.map((one) => one.handshakes)),
    reasons: addUp(some.map((one) => one.reasons)),
    protocols,
  }
}

function mergeSpans(some: readonly Span[]): Span {
  return {
    ...mergeTimes(some),
    offered: sum(some.map(({ offered }) => offered)),
    unstored: sum(some.map(({ unstored }) => unstored)),
  }
}

/** What all spans have. */
function mergeTimes(some: readonly (HandshakeCounts & { readonly seconds: number })[]) {
  const counts = mergeCounts(some)
  return {
    ...counts,
    seconds: Math.max(...some.map(({ seconds }) => seconds)),
    rate: resumptionRate(counts.handshakes),
  }
}

function mergeMinutes(some: Some<Minute>): Minute {
  const sessions = sum(some.map((one) => one.sessions))
  return { time: some[0].time, ...mergeSpans(some), sessions }
}

/** Processes have begun at different moments: the running minute of one goes with that of the others. */
function byMinute<T>(lists: readonly (readonly T[])[]): Some<T>[] {
  const length = Math.max(...lists.map((list) => list.length))
  return Array.from({ length }, (_, index) =>
    lists.flatMap((list) => {
      const minute = list[list.length - length + index]
      return minute === undefined ? [] : [minute]
    }),
  ) as unknown as Some<T>[]
}

type Cache = NonNullable<ServerStatus['cache']>

function mergeCaches(some: readonly Cache[]): Cache | null {
  const [first] = some
  if (first === undefined) return null
  const left = defined(some.map(({ oldestTimeLeftSec }) => oldestTimeLeftSec))
  return {
    sessions: sum(some.map(({ sessions }) => sessions)),
    // 0 is unlimited.
    size: some.some(({ size }) => size === 0) ? 0 : sum(some.map(({ size }) => size)),
    timeoutSec: first.timeoutSec,
    oldestTimeLeftSec: left.length === 0 ? null : Math.min(...left),
  }
}

function mergeClients(some: Some<ClientsStatus>): ClientsStatus {
  const now = mergeClientsSpans(some.map((one) => one.now))
  const hour = mergeClientsSpans(some.map((one) => one.hour))
  const levels = some.map(({ origins, tickets, bytes }) => ({ origins, tickets, bytes }))
  return {
    verdict: judgeClients(now, hour),
    now,
    hour,
    total: mergeCounts(some.map(({ total }) => total)),
    minutes: byMinute(some.map(({ minutes }) => minutes)).map((minutes) => ({
      ...{ time: minutes[0].time, ...mergeClientsSpans(minutes) },
      tickets: sum(minutes.map(({ tickets }) => tickets)),
    })),
    ...addUp(levels),
    counters: addUp(some.map(({ counters }) => counters)),
  }
}

function mergeClientsSpans(some: readonly ClientsSpan[]): ClientsSpan {
  return { ...mergeTimes(some), known: sum(some.map(({ known }) => known)) }
}

const BREAKERS = ['open', 'half-open', 'closed'] as const

function worst(states: readonly StoreStatus['breaker'][]): StoreStatus['breaker'] {
  return BREAKERS.find((state) => states.includes(state)) ?? 'closed'
}

function mergeStores(some: Some<StoreStatus>): StoreStatus {
  const numbers = some.map(({ breaker, breakers, lastFailure, minutes, ...counted }) => counted)
  const failures = defined(some.map(({ lastFailure }) => lastFailure))
  return {
    ...addUp(numbers),
    breaker: worst(some.map(({ breaker }) => breaker)),
    breakers: {
      reads: worst(some.map(({ breakers }) => breakers.reads)),
      writes: worst(some.map(({ breakers }) => breakers.writes)),
      removals: worst(some.map(({ breakers }) => breakers.removals)),
    },
    lastFailure: failures.sort((one, other) => (one.time < other.time ? 1 : -1))[0] ?? null,
    minutes: byMinute(some.map(({ minutes }) => minutes)).map((minutes) => ({
      ...addUp(minutes.map(({ time, ...counted }) => counted)),
      time: minutes[0].time,
    })),
  }
}

/** By name, the numbers together. */
function addUp<T extends { readonly [Name in keyof T]: number | undefined }>(some: readonly T[]): T {
  const total: Record<string, number> = {}
  for (const one of some)
    for (const [name, count] of Object.entries<number | undefined>(one))
      total[name] = (total[name] ?? 0) + (count ?? 0)
  return total as T
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

function defined<T>(values: readonly (T | null)[]): T[] {
  return values.filter((value) => value !== null)
}
