import { checkMethods } from '../session/arguments.ts'
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

/** What is used of a meter of `@opentelemetry/api`: `metrics.getMeter('sslctx')`. */
export interface Meter {
  createCounter(
    name: string,
    options: InstrumentOptions,
  ): {
    add(value: number, attributes: Labels): void
  }
  createHistogram(
    name: string,
    options: InstrumentOptions & { advice: { explicitBucketBoundaries: number[] } },
  ): {
    record(value: number, attributes: Labels): void
  }
  createObservableCounter(name: string, options: InstrumentOptions): ObservableInstrument
  createObservableUpDownCounter(name: string, options: InstrumentOptions): ObservableInstrument
  createObservableGauge(name: string, options: InstrumentOptions): ObservableInstrument
}

interface InstrumentOptions {
  description: string
  unit?: string
}
type Callback = (result: { observe(value: number, attributes: Labels): void }) => void
interface ObservableInstrument {
  addCallback(callback: Callback): void
  removeCallback(callback: Callback): void
}

/**
 * The figures of `prometheusMetrics`, as instruments of a meter. Attributes are called `sslctx.reason` and so on; none is ever
 * an id or a server name: their number is bounded.
 *
 * @param subject - a `ServerSessions`, what `attachServer` returned, or parts by name
 * @returns ends it
 * @throws `ArgumentError` for another subject
 */
export function openTelemetryMetrics(meter: Meter, subject: Subject = {}): () => void {
  const methods = ['createCounter', 'createHistogram', ...Object.values(OBSERVABLES)]
  checkMethods('the meter of openTelemetryMetrics', meter, methods, 'what metrics.getMeter() returns')
  return showMetrics(systemOf(meter), partsOf('openTelemetryMetrics', subject))
}

const OBSERVABLES = {
  counter: 'createObservableCounter',
  amount: 'createObservableUpDownCounter',
  level: 'createObservableGauge',
} as const

function systemOf(meter: Meter): MetricSystem {
  return {
    record(metric) {
      const { name } = metric
      if (metric.kind === 'histogram') {
        const advice = { explicitBucketBoundaries: [...BUCKETS] }
        const histogram = meter.createHistogram(name, { ...optionsOf(metric), advice })
        return (value, labels) => histogram.record(value, attributesOf(labels))
      }
      const counter = meter.createCounter(name, optionsOf(metric))
      return (value, labels) => counter.add(value, attributesOf(labels))
    },
    observe(metric, read) {
      const instrument = meter[OBSERVABLES[metric.kind]](metric.name, optionsOf(metric))
      const callback: Callback = (result) =>
        read((value, labels) => result.observe(value, attributesOf(labels)))
      instrument.addCallback(callback)
      return () => instrument.removeCallback(callback)
    },
  }
}

function optionsOf({ help, unit }: Metric): InstrumentOptions {
  return { description: help, ...(unit && { unit }) }
}

function attributesOf(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).map(([label, value]) => [`sslctx.${label}`, value]))
}
