import { ClientSetupError } from '../errors.ts'
import type { UndiciConnector, UndiciOptions } from './undici-connector.ts'

/** An Agent of the undici that is built into Node. */
export interface Dispatcher {
  close(): Promise<void>
  destroy(error?: Error): Promise<void>
  dispatch(...args: readonly unknown[]): boolean
}

/** Options of that Agent, such as `keepAliveTimeout` and `connections`. */
export interface DispatcherOptions {
  readonly connect?: UndiciOptions
  readonly [option: string]: unknown
}

type DispatcherClass = new (options: object) => Dispatcher

/** Under which undici has its global dispatcher, the newest first. */
const GLOBAL_DISPATCHERS = [Symbol.for('undici.globalDispatcher.2'), Symbol.for('undici.globalDispatcher.1')]

/** @throws {@link ClientSetupError} where another class than undici's Agent is found, or none */
export function fetchDispatcher(
  { connect = {}, ...options }: DispatcherOptions,
  connector: (options: UndiciOptions) => UndiciConnector,
): Dispatcher {
  const { allowH2 } = options as { readonly allowH2?: boolean }
  const wish = allowH2 === undefined ? connect : { allowH2, ...connect }
  // Without a word of the owner the connection speaks HTTP/1.1, and so does the Agent.
  return new (agentClass())({ allowH2: wish.allowH2 === true, ...options, connect: connector(wish) })
}

function agentClass(): DispatcherClass {
  // What is built in is loaded with the first of its globals.
  void globalThis.Headers
  const found = GLOBAL_DISPATCHERS.map(
    (symbol) => (globalThis as Readonly<Record<symbol, unknown>>)[symbol],
  ).find((dispatcher) => typeof dispatcher === 'object' && dispatcher !== null)
  const made = (found as { readonly constructor: unknown } | undefined)?.constructor
  if (typeof made !== 'function' || made.name !== 'Agent')
    throw new ClientSetupError(
      "the class of fetch's dispatcher cannot be told: the global dispatcher is not undici's Agent. Make one yourself, with connect: sessions.undici()",
    )
  return made as DispatcherClass
}
