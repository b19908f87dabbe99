import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { SslContextEvent } from '../session/contracts.ts'
import type {
  MeasuredAttachment,
  MeasuredClients,
  MeasuredContext,
  MeasuredStore,
  MeasuredTickets,
  Parts,
} from './subject.ts'

/** One metric, in whatever system. No label is ever an id or a server name: their number is bounded. */
export interface Metric<Kind extends RecordedKind | ObservedKind = RecordedKind | ObservedKind> {
  /** That of OpenTelemetry; its Prometheus compatibility rules make the other one of it. */
  readonly name: string
  readonly kind: Kind
  /** UCUM, with what is counted in braces. */
  readonly unit?: 's' | `{${string}}`
  readonly help: string
  readonly labels: readonly string[]
  /** What a level of several processes is: that of the worst. */
  readonly worst?: 'max' | 'min'
}

/** A histogram is of seconds. */
export type RecordedKind = 'counter' | 'histogram'
/** A counter only grows; amounts of several processes may be added up, levels not. */
export type ObservedKind = 'counter' | 'amount' | 'level'
export type Labels = Readonly<Record<string, string>>
export type Tell = (value: number, labels: Labels) => void

/** A system of metrics, as far as this library uses one. */
export interface MetricSystem {
  /** Makes a counter or histogram, and tells it what happens. */
  record(metric: Metric<RecordedKind>): Tell
  /**
   * Makes a metric that is read when somebody looks at it.
   *
   * @returns ends that
   */
  observe(metric: Metric<ObservedKind>, read: (tell: Tell) => void): () => void
}

/** Seconds: from an internal hit to a store that is at its deadline. */
export const BUCKETS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
]

/**
 * Shows what the process publishes on its channels, and the figures of the parts, in a system of metrics.
 *
 * @param parts - asked at each look
 * @returns ends it
 */
export function showMetrics(system: MetricSystem, parts: () => Parts): () => void {
  const ends = [
    ...CONTEXT_METRICS.map((metric) => read(system, metric, 'context', () => parts().contexts)),
    ...STORE_METRICS.map((metric) => read(system, metric, 'store', () => parts().stores)),
    ...ATTACHMENT_METRICS.map((metric) => read(system, metric, 'server', () => parts().attachments)),
    ...CLIENT_METRICS.map((metric) => read(system, metric, 'client', () => parts().clients)),
    ...HEARD.map((metric) => hear(system, metric, parts)),
    ...CONTEXT_EVENTS.map((metric) => hearContexts(system, metric, parts().contexts)),
  ]
  return () => {
    for (const end of ends) end()
  }
}

interface HeardMetric extends Metric<RecordedKind> {
  readonly channel: string
  readonly tell: (tell: Tell, message: unknown, parts: () => Parts) => void
}

function hear(
  system: MetricSystem,
  { channel, tell, ...metric }: HeardMetric,
  parts: () => Parts,
): () => void {
  const record = system.record(metric)
  const listener = (message: unknown): void => tell(record, message, parts)
  subscribe(channel, listener)
  return () => void unsubscribe(channel, listener)
}

/** @returns the name under which a part is shown that calls itself `own` */
function shownName(parts: Readonly<Record<string, { readonly name: string }>>, own: string): string {
  for (const [name, part] of Object.entries(parts)) if (part.name === own) return name
  return own
}

interface EventMetric extends Metric<'counter'> {
  readonly type: SslContextEvent['type']
  readonly labelsOf: (event: SslContextEvent) => Labels
}

function hearContexts(
  system: MetricSystem,
  { type, labelsOf, ...metric }: EventMetric,
  contexts: Readonly<Record<string, MeasuredContext>>,
): () => void {
  const record = system.record({ ...metric, labels: ['context', ...metric.labels] })
  const ends = Object.entries(contexts).map(([context, source]) =>
    source.subscribe((event) => {
      if (event.type === type) record(1, { context, ...labelsOf(event) })
    }),
  )
  return () => {
    for (const end of ends) end()
  }
}

interface ReadMetric<Source> extends Omit<Metric<ObservedKind>, 'labels'> {
  /** Besides the name of the source. */
  readonly labels?: readonly string[]
  readonly tell: (tell: (value: number, labels?: Labels) => void, source: Source) => void
}

function read<Source>(
  system: MetricSystem,
  { tell, labels = [], ...metric }: ReadMetric<Source>,
  label: string,
  sources: () => Readonly<Record<string, Source>>,
): () => void {
  return system.observe({ ...metric, labels: [label, ...labels] }, (observe) => {
    for (const [name, source] of Object.entries(sources()))
      tell((value, more) => observe(value, { [label]: name, ...more }), source)
  })
}

interface HandshakeMessage {
  readonly server: string
  readonly outcome: string
  readonly reason: string
  readonly protocol: string | undefined
  readonly lookupMs: number
}

type ClientHandshakeMessage = Omit<HandshakeMessage, 'lookupMs' | 'server'>

interface StoreCallMessage {
  readonly store: string
  readonly operation: string
  readonly durationMs: number
  readonly error: Error | undefined
}

/** What a channel carries is known where it is published. */
function heard<Message>(
  channel: string,
  metric: Metric<RecordedKind>,
  tell: (tell: Tell, message: Message, parts: () => Parts) => void,
): HeardMetric {
  return { ...metric, channel, tell: (record, message, parts) => tell(record, message as Message, parts) }
}

const HEARD: readonly HeardMetric[] = [
  heard<HandshakeMessage>(
    'sslctx:handshake',
    {
      name: 'sslctx.handshakes',
      kind: 'counter',
      unit: '{handshake}',
      help: 'Handshakes of attached servers, by their outcome and why it was that one.',
      labels: ['server', 'outcome', 'reason', 'protocol'],
    },
    (tell, { server, outcome, reason, protocol = 'none' }, parts) =>
      tell(1, { server: shownName(parts().attachments, server), outcome, reason, protocol }),
  ),
  heard<HandshakeMessage>(
    'sslctx:handshake',
    {
      name: 'sslctx.lookup.duration',
      kind: 'histogram',
      unit: 's',
      help: 'From a whole ClientHello until Node gets it: the caches and the policy.',
      labels: ['server', 'outcome'],
    },
    (tell, { server, outcome, lookupMs }, parts) =>
      tell(lookupMs / 1000, { server: shownName(parts().attachments, server), outcome }),
  ),
  heard<ClientHandshakeMessage>(
    'sslctx:client',
    {
      name: 'sslctx.client.handshakes',
      kind: 'counter',
      unit: '{handshake}',
      help: 'Handshakes of ClientSessions, by their outcome and why it was that one.',
      labels: ['outcome', 'reason', 'protocol'],
    },
    (tell, { outcome, reason, protocol = 'none' }) => tell(1, { outcome, reason, protocol }),
  ),
  heard<StoreCallMessage>(
    'sslctx:store-call',
    {
      name: 'sslctx.store.call.duration',
      kind: 'histogram',
      unit: 's',
      help: 'Calls of guarded stores, until their answer, error or deadline.',
      labels: ['store', 'operation', 'outcome'],
    },
    (tell, { store, operation, durationMs, error }, parts) =>
      tell(durationMs / 1000, {
        store: shownName(parts().stores, store),
        operation,
        outcome: error === undefined ? 'answered' : 'failed',
      }),
  ),
]

/** Events of the contexts that are shown; their channels say nothing of whose they are. */
const CONTEXT_EVENTS: readonly EventMetric[] = [
  {
    type: 'new-session',
    name: 'sslctx.sessions_new',
    kind: 'counter',
    unit: '{session}',
    help: 'Sessions that handshakes have made and reported.',
    labels: [],
    labelsOf: () => ({}),
  },
  {
    type: 'session-removed',
    name: 'sslctx.sessions_removed',
    kind: 'counter',
    unit: '{session}',
    help: 'Sessions that have left an internal cache, by why.',
    labels: ['reason'],
    labelsOf: (event) => ('reason' in event ? { reason: event.reason } : {}),
  },
  {
    type: 'callback-error',
    name: 'sslctx.callback.errors',
    kind: 'counter',
    unit: '{error}',
    help: 'Callbacks, those of stores among them, that threw, rejected or answered with the wrong thing.',
    labels: ['callback'],
    labelsOf: (event) => ('callback' in event ? { callback: event.callback } : {}),
  },
]

/** All of `SessionStats` but the number of sessions. */
const OPENSSL_COUNTERS = [
  'accept',
  'acceptGood',
  'acceptRenegotiate',
  'connect',
  'connectGood',
  'connectRenegotiate',
  'hits',
  'cbHits',
  'misses',
  'timeouts',
  'cacheFull',
] as const

/**
 * Some counters of libssl go down: a hit that Node has not resumed is retracted. A counter that falls would be taken for one
 * that has begun anew.
 */
function highest(read: (context: MeasuredContext) => number): (context: MeasuredContext) => number {
  const seen = new WeakMap<MeasuredContext, number>()
  return (context) => {
    const value = Math.max(read(context), seen.get(context) ?? 0)
    seen.set(context, value)
    return value
  }
}

const CONTEXT_METRICS: readonly ReadMetric<MeasuredContext>[] = [
  ...OPENSSL_COUNTERS.map((counter): ReadMetric<MeasuredContext> => {
    const read = highest(({ stats }) => stats[counter])
    return {
      name: `sslctx.sess.${counter.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`,
      kind: 'counter',
      help: `As SSL_CTX_sess_number(3) describes it: ${counter}.`,
      tell: (tell, context) => tell(read(context)),
    }
  }),
  {
    name: 'sslctx.sessions',
    kind: 'amount',
    unit: '{session}',
    help: 'Sessions in the internal cache.',
    tell: (tell, { stats }) => tell(stats.number),
  },
  {
    name: 'sslctx.session_cache.size',
    kind: 'amount',
    unit: '{session}',
    help: 'How many there may be; 0 is unlimited.',
    tell: (tell, context) => tell(context.getSessionCacheSize()),
  },
  {
    name: 'sslctx.session_cache.stored',
    kind: 'counter',
    unit: '{session}',
    help: 'Sessions that the internal cache has taken in.',
    tell: (tell, { cacheStats }) => tell(cacheStats.stored),
  },
  {
    name: 'sslctx.session_cache.replaced',
    kind: 'counter',
    unit: '{session}',
    help: 'Those whose id had been there, which another session had.',
    tell: (tell, { cacheStats }) => tell(cacheStats.replaced),
  },
  {
    name: 'sslctx.session_cache.oldest_time_left',
    kind: 'level',
    worst: 'min',
    unit: 's',
    help: 'Until the session expires that would be evicted next; below 0 when that is over; none of an empty cache.',
    tell: (tell, { cacheStats: { oldestTimeLeftSec } }) => {
      if (oldestTimeLeftSec !== undefined) tell(oldestTimeLeftSec)
    },
  },
]

const BREAKER_STATES = { closed: 0, 'half-open': 0.5, open: 1 } as const

const STORE_METRICS: readonly ReadMetric<MeasuredStore>[] = [
  {
    name: 'sslctx.store.writes.dropped',
    kind: 'counter',
    unit: '{write}',
    help: 'Writes that were never made.',
    tell: (tell, { stats }) => tell(stats.droppedWrites),
  },
  {
    name: 'sslctx.store.deletions.dropped',
    kind: 'counter',
    unit: '{deletion}',
    help: 'Deletions among them: what was removed may be found again.',
    tell: (tell, { stats }) => tell(stats.droppedDeletions),
  },
  {
    name: 'sslctx.store.writes.queued',
    kind: 'amount',
    unit: '{write}',
    help: 'Writes that wait.',
    tell: (tell, { stats }) => tell(stats.queuedWrites),
  },
  {
    name: 'sslctx.store.breaker.open',
    kind: 'level',
    worst: 'max',
    help: '1 when reads, writes or removals have failed and are not tried, 0.5 when a call finds out.',
    labels: ['calls'],
    tell(tell, { stats }) {
      for (const [calls, state] of Object.entries(stats.breakers)) tell(BREAKER_STATES[state], { calls })
    },
  },
]

const ATTACHMENT_METRICS: readonly ReadMetric<MeasuredAttachment>[] = [
  {
    name: 'sslctx.sessions_not_kept',
    kind: 'counter',
    unit: '{session}',
    help: 'Sessions that handshakes have made and no cache got, by why.',
    labels: ['reason'],
    tell: (tell, { stats: { notKept } }) => {
      for (const [reason, count = 0] of Object.entries(notKept)) tell(count, { reason })
    },
  },
  ofTickets(
    {
      name: 'sslctx.tickets_sealed',
      kind: 'counter',
      unit: '{ticket}',
      help: 'Stateless tickets that were made.',
    },
    (tell, { sealed }) => tell(sealed),
  ),
  ofTickets(
    {
      name: 'sslctx.tickets_offered',
      kind: 'counter',
      unit: '{ticket}',
      help: 'Stateless tickets that clients have offered: opened, or why not.',
      labels: ['outcome'],
    },
    (tell, { offered }) => {
      for (const [outcome, count] of Object.entries(offered)) tell(count, { outcome })
    },
  ),
  ofTickets(
    {
      name: 'sslctx.ticket_keys.current',
      kind: 'level',
      worst: 'min',
      help: 'The period whose keys new tickets get, counted since the epoch: the same in all processes.',
    },
    (tell, { keys }) => tell(keys.current),
  ),
  ofTickets(
    {
      name: 'sslctx.ticket_keys.time_left',
      kind: 'level',
      worst: 'min',
      unit: 's',
      help: 'Until new tickets get the keys of the next period.',
    },
    (tell, { keys }) => tell(keys.timeLeftSec),
  ),
  ofTickets(
    {
      name: 'sslctx.ticket_keys.open',
      kind: 'level',
      worst: 'min',
      unit: '{period}',
      help: 'Periods whose tickets open.',
    },
    (tell, { keys }) => tell(keys.open),
  ),
]

/** A server without stateless tickets has none of it. */
function ofTickets(
  metric: Omit<ReadMetric<MeasuredAttachment>, 'tell'>,
  tell: ReadMetric<MeasuredTickets>['tell'],
): ReadMetric<MeasuredAttachment> {
  return {
    ...metric,
    tell(told, { stats: { tickets } }) {
      if (tickets !== undefined) tell(told, tickets)
    },
  }
}

const CLIENT_METRICS: readonly ReadMetric<MeasuredClients>[] = [
  {
    name: 'sslctx.client.tickets',
    kind: 'amount',
    unit: '{ticket}',
    help: 'Tickets and sessions that ClientSessions keeps in memory.',
    tell: (tell, { stats }) => tell(stats.tickets),
  },
  {
    name: 'sslctx.client.origins',
    kind: 'amount',
    unit: '{origin}',
    help: 'Servers, each with its options, that it knows.',
    tell: (tell, { stats }) => tell(stats.origins),
  },
]
