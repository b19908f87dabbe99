import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { SessionStats, SslContextEvent } from '../session/contracts.ts'

/** What is used of `prom-client`: hand over the module, `import * as promClient from 'prom-client'`. */
export interface PromClient {
  readonly Counter: new (configuration: MetricConfiguration<Incrementable>) => Incrementable
  readonly Gauge: new (configuration: MetricConfiguration<Settable>) => Settable
  readonly Histogram: new (
    configuration: MetricConfiguration<Observable> & { buckets: number[] },
  ) => Observable
}

interface MetricConfiguration<T> {
  name: string
  help: string
  labelNames: string[]
  registers?: never[]
  collect?: (this: T) => void
}
type Labels = Record<string, string>
interface Incrementable {
  inc(labels: Labels, value?: number): void
  reset(): void
}
interface Settable {
  set(labels: Labels, value: number): void
}
interface Observable {
  observe(labels: Labels, value: number): void
}

/** A context, as far as its figures go. */
export interface MeasuredContext {
  readonly stats: SessionStats
  getSessionCacheSize(): number
}

/** What `guarded` returns, as far as its figures go. */
export interface MeasuredStore {
  readonly stats: {
    readonly droppedWrites: number
    readonly queuedWrites: number
    readonly breaker: 'closed' | 'half-open' | 'open'
  }
}

export interface PrometheusOptions {
  /** By the name that is to be their label; a name is yours to choose, and there should be few. */
  readonly contexts?: Readonly<Record<string, MeasuredContext>>
  readonly stores?: Readonly<Record<string, MeasuredStore>>
  /** Registries, the default one by default. */
  readonly registers?: readonly object[]
}

/** Seconds: from an internal hit to a store that is at its deadline. */
const BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/**
 * Metrics of all contexts, attachments and guarded stores of the process, in a registry of `prom-client`. No label is ever an
 * id or a server name: their number is bounded.
 *
 * @returns ends the counting; the metrics stay
 */
export function prometheusMetrics(promClient: PromClient, options: PrometheusOptions = {}): () => void {
  const { registers, contexts = {}, stores = {} } = options
  const shared = registers && { registers: registers as never[] }
  countSessions(promClient, contexts, shared)
  watchStores(promClient, stores, shared)
  const ends = [
    hearHandshakes(promClient, shared),
    hearCaches(promClient, shared),
    hearStores(promClient, shared),
  ]
  return () => {
    for (const end of ends) end()
  }
}

type Shared = { registers: never[] } | undefined

function listen<T>(name: string, hear: (message: T) => void): () => void {
  const listener = (message: unknown): void => hear(message as T)
  subscribe(name, listener)
  return () => void unsubscribe(name, listener)
}

interface HandshakeMessage {
  readonly outcome: string
  readonly reason: string
  readonly protocol: string | undefined
  readonly lookupMs: number
}

function hearHandshakes({ Counter, Histogram }: PromClient, shared: Shared): () => void {
  const handshakes = new Counter({
    name: 'sslctx_handshakes_total',
    help: 'Handshakes of attached servers, by their outcome and why it was that one.',
    labelNames: ['outcome', 'reason', 'protocol'],
    ...shared,
  })
  const lookups = new Histogram({
    name: 'sslctx_lookup_duration_seconds',
    help: 'From a whole ClientHello until Node gets it: the caches and the policy.',
    labelNames: ['outcome'],
    buckets: BUCKETS,
    ...shared,
  })
  return listen<HandshakeMessage>('sslctx:handshake', ({ outcome, reason, protocol = 'none', lookupMs }) => {
    handshakes.inc({ outcome, reason, protocol })
    lookups.observe({ outcome }, lookupMs / 1000)
  })
}

type EventOf<T extends SslContextEvent['type']> = Extract<SslContextEvent, { readonly type: T }>

function hearCaches({ Counter }: PromClient, shared: Shared): () => void {
  const made = new Counter({
    name: 'sslctx_sessions_new_total',
    help: 'Sessions that handshakes have made and reported.',
    labelNames: [],
    ...shared,
  })
  const removed = new Counter({
    name: 'sslctx_sessions_removed_total',
    help: 'Sessions that have left an internal cache, by why.',
    labelNames: ['reason'],
    ...shared,
  })
  const errors = new Counter({
    name: 'sslctx_callback_errors_total',
    help: 'Callbacks, those of stores among them, that threw, rejected or answered with the wrong thing.',
    labelNames: ['callback'],
    ...shared,
  })
  const ends = [
    listen('sslctx:new-session', () => made.inc({})),
    listen<EventOf<'session-removed'>>('sslctx:session-removed', ({ reason }) => removed.inc({ reason })),
    listen<EventOf<'callback-error'>>('sslctx:callback-error', ({ callback }) => errors.inc({ callback })),
  ]
  return () => {
    for (const end of ends) end()
  }
}

interface StoreCallMessage {
  readonly store: string
  readonly operation: string
  readonly durationMs: number
  readonly error: Error | undefined
}

function hearStores({ Histogram }: PromClient, shared: Shared): () => void {
  const calls = new Histogram({
    name: 'sslctx_store_call_duration_seconds',
    help: 'Calls of guarded stores, until their answer, error or deadline.',
    labelNames: ['store', 'operation', 'outcome'],
    buckets: BUCKETS,
    ...shared,
  })
  return listen<StoreCallMessage>('sslctx:store-call', ({ store, operation, durationMs, error }) =>
    calls.observe(
      { store, operation, outcome: error === undefined ? 'answered' : 'failed' },
      durationMs / 1000,
    ),
  )
}

/** OpenSSL's counters under OpenSSL's names, and what they leave open. */
function countSessions(
  { Counter, Gauge }: PromClient,
  contexts: Readonly<Record<string, MeasuredContext>>,
  shared: Shared,
): void {
  for (const name of COUNTERS)
    new Counter({
      name: `sslctx_sess_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`,
      help: `As SSL_CTX_sess_number(3) describes it: ${name}.`,
      labelNames: ['context'],
      ...shared,
      collect() {
        this.reset()
        for (const [context, { stats }] of Object.entries(contexts)) this.inc({ context }, stats[name])
      },
    })
  const gauge = (name: string, help: string, read: (context: MeasuredContext) => number): Settable =>
    new Gauge({
      name,
      help,
      labelNames: ['context'],
      ...shared,
      collect() {
        for (const [context, measured] of Object.entries(contexts)) this.set({ context }, read(measured))
      },
    })
  gauge('sslctx_sessions', 'Sessions in the internal cache.', ({ stats }) => stats.number)
  gauge('sslctx_session_cache_size', 'How many there may be; 0 is unlimited.', (context) =>
    context.getSessionCacheSize(),
  )
}

const COUNTERS = [
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

const BREAKER_STATES = { closed: 0, 'half-open': 0.5, open: 1 } as const

function watchStores(
  { Counter, Gauge }: PromClient,
  stores: Readonly<Record<string, MeasuredStore>>,
  shared: Shared,
): void {
  const eachStore = Object.entries(stores)
  new Counter({
    name: 'sslctx_store_writes_dropped_total',
    help: 'Writes that were never made.',
    labelNames: ['store'],
    ...shared,
    collect() {
      this.reset()
      for (const [store, { stats }] of eachStore) this.inc({ store }, stats.droppedWrites)
    },
  })
  const gauge = (name: string, help: string, read: (store: MeasuredStore) => number): Settable =>
    new Gauge({
      name,
      help,
      labelNames: ['store'],
      ...shared,
      collect() {
        for (const [store, measured] of eachStore) this.set({ store }, read(measured))
      },
    })
  gauge('sslctx_store_writes_queued', 'Writes that wait.', ({ stats }) => stats.queuedWrites)
  gauge(
    'sslctx_store_breaker_open',
    '1 when the store has failed and is not asked, 0.5 when a call finds out.',
    ({ stats }) => BREAKER_STATES[stats.breaker],
  )
}
