import { checkMethods, checkOptions, hasMethod, type OptionRule } from '../session/arguments.ts'
import { BUCKETS, type Labels, type Metric, type MetricSystem, showMetrics } from './metrics.ts'
import { partsOf, type Subject } from './subject.ts'

export type {
  MeasuredAttachment,
  MeasuredContext,
  MeasuredParts,
  MeasuredSessions,
  MeasuredStore,
  Subject,
} from './subject.ts'

/** What is used of `prom-client`: hand over the module, `import * as promClient from 'prom-client'`. */
export interface PromClient {
  readonly Counter: new (configuration: MetricConfiguration<Incrementable>) => Incrementable
  readonly Gauge: new (configuration: MetricConfiguration<Incrementable>) => Incrementable
  readonly Histogram: new (
    configuration: MetricConfiguration<Observable> & { buckets: number[] },
  ) => Observable
}

interface MetricConfiguration<T> {
  name: string
  help: string
  labelNames: string[]
  registers?: never[]
  aggregator?: 'max' | 'min'
  collect?: (this: T) => void
}
interface Incrementable {
  inc(labels: Labels, value: number): void
  reset(): void
}
interface Observable {
  observe(labels: Labels, value: number): void
}

/** Where {@link prometheusMetrics} shows its figures. */
export interface PrometheusOptions {
  /** Registries, the default one by default. */
  readonly registers?: readonly object[] | undefined
}

/**
 * Metrics in a registry of `prom-client`: handshakes and calls of guarded stores of the whole process, and the figures of the
 * subject. No label is ever an id or a server name: their number is bounded.
 *
 * @param subject - a `ServerSessions`, what `attachServer` returned, or parts by name
 * @returns ends the counting; the metrics stay, and those of the subject go on being read
 * @throws `ArgumentError` for another subject
 */
export function prometheusMetrics(
  promClient: PromClient,
  subject: Subject = {},
  options: PrometheusOptions = {},
): () => void {
  const classes = ['Counter', 'Gauge', 'Histogram']
  checkMethods('the first argument of prometheusMetrics', promClient, classes, 'the module prom-client')
  checkOptions('prometheusMetrics', options, { registers: REGISTRIES })
  return showMetrics(systemOf(promClient, options.registers), partsOf('prometheusMetrics', subject))
}

const REGISTRIES: OptionRule = {
  kind: 'an array of Registries of prom-client',
  isGood: (value) => Array.isArray(value) && value.every((one) => hasMethod(one, 'registerMetric')),
}

function systemOf(
  { Counter, Gauge, Histogram }: PromClient,
  registers: readonly object[] | undefined,
): MetricSystem {
  const configure = (metric: Metric): Omit<MetricConfiguration<never>, 'collect'> => ({
    name: prometheusName(metric),
    help: metric.help,
    labelNames: [...metric.labels],
    // A cluster adds up what its workers have, unless it is told otherwise.
    ...(metric.worst && { aggregator: metric.worst }),
    ...(registers && { registers: registers as never[] }),
  })
  return {
    record(metric) {
      if (metric.kind === 'histogram') {
        const histogram = new Histogram({ ...configure(metric), buckets: [...BUCKETS] })
        return (value, labels) => histogram.observe(labels, value)
      }
      const counter = new Counter(configure(metric))
      return (value, labels) => counter.inc(labels, value)
    },
    observe(metric, read) {
      const Instrument = metric.kind === 'counter' ? Counter : Gauge
      new Instrument({
        ...configure(metric),
        collect() {
          this.reset()
          read((value, labels) => this.inc(labels, value))
        },
      })
      return () => undefined
    },
  }
}

function prometheusName({ name, unit, kind }: Metric): string {
  return [name.replaceAll('.', '_'), unit === 's' && 'seconds', kind === 'counter' && 'total']
    .filter(Boolean)
    .join('_')
}
