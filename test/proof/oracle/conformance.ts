import { createContext, Script } from 'node:vm'
import type { Coverage } from './coverage.ts'
import { type Aim, generateTrace } from './generator.ts'
import type { Runner } from './libssl.ts'
import { type Observation, sortRemovals, splitObservations } from './observations.ts'
import { type Switches, switchesOf } from './switches.ts'
import { BeyondDriver, TraceModel } from './trace-model.ts'

/** The first operation of a trace after which the model and libssl do not say the same. */
export interface Divergence {
  readonly trace: readonly string[]
  readonly at: number
  readonly libssl: Observation
  readonly model: Observation
}

const TRACES_PER_RUN = 200

/**
 * Compares one trace with what libssl observed.
 *
 * @param switches - those of the version, unless the question is what another side would have said
 */
export function compare(
  version: string,
  trace: readonly string[],
  observed: readonly Observation[],
  switches: Switches = switchesOf(version),
): Divergence | undefined {
  const model = new TraceModel(version, switches)
  const inOrder = switches.SORT ? (lines: Observation) => lines : sortRemovals
  let at = -1
  let divergence: Divergence | undefined
  const isOver = hasEnd(() => {
    while (divergence === undefined && ++at < trace.length) {
      const libssl = inOrder(observed[at] ?? ['(nothing)'])
      const executed = execute(model, trace[at] ?? '', libssl)
      if (executed === undefined) return
      const lines = inOrder(executed)
      if (lines.length !== libssl.length || lines.some((line, index) => line !== libssl[index]))
        divergence = { trace, at, libssl, model: lines }
    }
  })
  return isOver ? divergence : { trace, at, libssl: inOrder(observed[at] ?? []), model: [NO_END] }
}

/** A fault of the model may be a loop without an end. What is right takes no minute, on the slowest machine. */
const MAX_TRACE_MS = 60_000
const NO_END = '(the model does not come to an end)'
/** V8 ends what a script calls, when its time is over. */
const script = new Script('call()')

function hasEnd(call: () => void): boolean {
  try {
    script.runInContext(createContext({ call }), { timeout: MAX_TRACE_MS })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      return false
    throw error
  }
}

/** @returns undefined where the trace is not followed further */
function execute(model: TraceModel, operation: string, libssl: Observation): Observation | undefined {
  try {
    return model.execute(operation, libssl)
  } catch (error) {
    if (error instanceof BeyondDriver) return undefined
    return [`(the model throws) ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`]
  }
}

/** What else a run is to do. */
export interface RunOptions {
  readonly aim?: Aim
  /** After each batch, with the operations so far. */
  readonly progress?: (steps: number) => void
  readonly coverage?: Pick<Coverage, 'add'> | undefined
}

/**
 * Runs random traces of at least `steps` operations in all.
 *
 * @returns how many operations there were, and the first divergence, reduced
 */
export async function runRandomTraces(
  runner: Runner,
  steps: number,
  seed: number,
  { aim = 'all', progress = () => undefined, coverage }: RunOptions = {},
): Promise<{ readonly steps: number; readonly divergence: Divergence | undefined }> {
  let done = 0
  let next = 0
  let pending = startBatch()
  for (;;) {
    const { traces, observed } = await pending
    // libssl goes on with the next batch while the model works on this one.
    if (done + countSteps(traces) < steps) pending = startBatch()
    for (const trace of traces) {
      const said = observed.splice(0, trace.length)
      const divergence = compare(runner.version, trace, said)
      coverage?.add(runner.version, trace, said)
      if (divergence !== undefined) return { steps: done, divergence: await reduce(runner, divergence) }
      done += trace.length
    }
    progress(done)
    if (done >= steps) return { steps: done, divergence: undefined }
  }

  async function startBatch(): Promise<{ traces: string[][]; observed: Observation[] }> {
    const traces = Array.from({ length: TRACES_PER_RUN }, () =>
      generateTrace(Math.imul(seed, 0x01000193) + next++, switchesOf(runner.version), aim, runner.isComplete),
    )
    return { traces, observed: splitObservations(await runner.run(`${traces.flat().join('\n')}\n`)) }
  }
}

function countSteps(traces: readonly (readonly string[])[]): number {
  return traces.reduce((sum, trace) => sum + trace.length, 0)
}

/** Leaves out what the divergence does not need, halves first, until nothing more can go. */
async function reduce(runner: Runner, divergence: Divergence): Promise<Divergence> {
  let best = { ...divergence, trace: divergence.trace.slice(0, divergence.at + 1) }
  // Each attempt would take its whole time.
  if (divergence.model[0] === NO_END) return best
  for (let size = Math.ceil(best.trace.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 1; start < best.trace.length; ) {
      const shorter = await stillDiverges(runner, [
        ...best.trace.slice(0, start),
        ...best.trace.slice(start + size),
      ])
      if (shorter === undefined) start += size
      else best = { ...shorter, trace: shorter.trace.slice(0, shorter.at + 1) }
    }
  }
  return best
}

async function stillDiverges(runner: Runner, trace: readonly string[]): Promise<Divergence | undefined> {
  try {
    return compare(runner.version, trace, splitObservations(await runner.run(`${trace.join('\n')}\n`)))
  } catch {
    return undefined
  }
}

const LINES_BEFORE = 3
const LINES_AFTER = 8

/** Side by side: the trace, then what each says about its last operation, from where they part. */
export function describeDivergence({ trace, at, libssl, model }: Divergence): string {
  const length = Math.max(libssl.length, model.length)
  const parting =
    Array.from({ length }, (_, index) => index).find((index) => libssl[index] !== model[index]) ?? 0
  const excerpt = (lines: Observation): string[] =>
    lines
      .slice(Math.max(0, parting - LINES_BEFORE), parting + LINES_AFTER)
      .map((line) => (libssl.includes(line) && model.includes(line) ? `    ${line}` : `  ! ${line}`))
  return [
    `the shortest trace that shows it (${at + 1} operations):`,
    ...trace.slice(0, at + 1).map((operation) => `  ${operation}`),
    'libssl:',
    ...excerpt(libssl),
    'model:',
    ...excerpt(model),
  ].join('\n')
}
