import { ArgumentError } from '../errors.ts'
import { checkOptions, hasMethod, kindOf, type OptionRule } from '../session/arguments.ts'
import type { SessionStats, SslContextListener } from '../session/contracts.ts'
import type { HandshakeCounts } from '../session/handshakes.ts'

/** An `SslContext`, as far as its figures go. */
export interface MeasuredContext {
  readonly stats: SessionStats
  readonly cacheStats: {
    readonly stored: number
    readonly replaced: number
    readonly oldestTimeLeftSec: number | undefined
  }
  getSessionCacheSize(): number
  getSessionCacheMode(): number
  getSessionTimeout(): number
  subscribe(listener: SslContextListener): () => void
}

/** What `guarded` returns, as far as its figures go. */
export interface MeasuredStore {
  readonly name: string
  readonly stats: {
    readonly droppedWrites: number
    readonly droppedDeletions: number
    readonly queuedWrites: number
    readonly breaker: 'closed' | 'half-open' | 'open'
    readonly breakers: Readonly<Record<'reads' | 'writes' | 'removals', 'closed' | 'half-open' | 'open'>>
    readonly pendingCalls: number
    readonly calls: Readonly<Record<string, number>>
    readonly failures: Readonly<Record<string, number>>
    readonly timeouts: Readonly<Record<string, number>>
    readonly lastFailure:
      | { readonly operation: string; readonly error: Error; readonly atMs: number }
      | undefined
  }
}

/** What `attachServer` returns, as far as its figures go. */
export interface MeasuredAttachment {
  readonly kind: 'attachment'
  readonly name: string
  readonly enabled: boolean
  readonly context: MeasuredContext
  readonly stats: HandshakeCounts & {
    readonly notKept: Readonly<Partial<Record<string, number>>>
    readonly pendingWrites: number
    /** None without the option `tickets`. */
    readonly tickets?: MeasuredTickets | undefined
  }
}

/** What has become of stateless tickets. */
export interface MeasuredTickets {
  readonly sealed: number
  readonly offered: Readonly<Record<string, number>>
  readonly keys: { readonly current: number; readonly timeLeftSec: number; readonly open: number }
}

/** A `ServerSessions`, as far as its figures go. */
export interface MeasuredSessions {
  readonly kind: 'sessions'
  readonly name: string
  readonly context: MeasuredContext
  readonly store: MeasuredStore | undefined
  /** Those of the moment. */
  readonly attachments: readonly MeasuredAttachment[]
}

/** `ClientSessions`, as far as its figures go. */
export interface MeasuredClients {
  readonly stats: HandshakeCounts & {
    readonly sessions: SessionStats
    readonly origins: number
    readonly tickets: number
    readonly bytes: number
  }
}

/** The parts, each by the name under which it is to be shown. A name is yours to choose, and there should be few. */
export interface MeasuredParts {
  readonly contexts?: Readonly<Record<string, MeasuredContext>> | undefined
  readonly stores?: Readonly<Record<string, MeasuredStore>> | undefined
  readonly attachments?: Readonly<Record<string, MeasuredAttachment>> | undefined
  readonly clients?: Readonly<Record<string, MeasuredClients>> | undefined
}

/** Whose figures are shown: a `ServerSessions`, what `attachServer` returned, or parts by name. */
export type Subject = MeasuredSessions | MeasuredAttachment | MeasuredParts

/** An attached server, or a context that is shown without one. */
export type MeasuredServer = MeasuredAttachment | MeasuredContext

/** The parts of a subject at some moment. */
export interface Parts {
  readonly contexts: Readonly<Record<string, MeasuredContext>>
  readonly stores: Readonly<Record<string, MeasuredStore>>
  readonly attachments: Readonly<Record<string, MeasuredAttachment>>
  readonly clients: Readonly<Record<string, MeasuredClients>>
  /** What is shown as a server each. */
  readonly servers: Readonly<Record<string, MeasuredServer>>
}

/** Recognised by what is read of them: those of another copy of the library will do as well. */
const PARTS: Readonly<Record<keyof MeasuredParts, OptionRule>> = {
  contexts: aRecordOf('SslContexts', isContext),
  stores: aRecordOf('what guarded returned', (value) => hasFigures(value, 'breakers')),
  attachments: aRecordOf('what attachServer returned', (value) => hasFigures(value, 'notKept')),
  clients: aRecordOf('ClientSessions', (value) => hasFigures(value, 'origins')),
}

function aRecordOf(what: string, isGood: (value: unknown) => boolean): OptionRule {
  return {
    kind: `an object with a name for each, and ${what}`,
    isGood: (value) => isPlain(value) && Object.values(value as object).every(isGood),
  }
}

function isContext(value: unknown): boolean {
  return hasMethod(value, 'getSessionCacheSize') && hasMethod(value, 'subscribe')
}

function hasFigures(value: unknown, name: string): boolean {
  const stats: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'stats') : undefined
  return typeof stats === 'object' && stats !== null && name in stats
}

/**
 * @param caller - for the message
 * @returns tells the parts of the moment: servers come and go
 * @throws `ArgumentError` for what is no subject
 */
export function partsOf(caller: string, subject: Subject): () => Parts {
  if (isA('sessions', subject)) return () => partsOfSessions(subject)
  if (isA('attachment', subject)) {
    const { name, context } = subject
    const attachments = { [name]: subject }
    const parts = {
      contexts: { [name]: context },
      stores: {},
      attachments,
      clients: {},
      servers: attachments,
    }
    return () => parts
  }
  if (!isPlain(subject))
    throw new ArgumentError(
      `${caller} is about a ServerSessions, what attachServer returned, or parts as in { contexts, stores, attachments, clients }, ` +
        `got ${kindOf(subject)}`,
    )
  checkOptions(`${caller}, given parts by name,`, subject, PARTS)
  const { contexts = {}, stores = {}, attachments = {}, clients = {} } = subject
  const names = Object.values(stores).map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined)
    throw new ArgumentError(
      `two stores of ${caller} are called ${twice}, and could not be told apart: give each guarded(store, { name })`,
    )
  const parts = { contexts, stores, attachments, clients, servers: serversOf(contexts, attachments) }
  return () => parts
}

/** An instance of a class has no parts; one without properties would pass for an object without any. */
function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** A context that serves an attached server is shown with that. */
function serversOf(contexts: Parts['contexts'], attachments: Parts['attachments']): Parts['servers'] {
  const attached = new Set(Object.values(attachments).map(({ context }) => context))
  const alone = Object.entries(contexts).filter(([, context]) => !attached.has(context))
  return { ...Object.fromEntries(alone), ...attachments }
}

type Marked = MeasuredSessions | MeasuredAttachment

function isA<Kind extends Marked['kind']>(
  kind: Kind,
  subject: unknown,
): subject is Extract<Marked, { readonly kind: Kind }> {
  return typeof subject === 'object' && subject !== null && Reflect.get(subject, 'kind') === kind
}

function partsOfSessions({ name, context, store, attachments }: MeasuredSessions): Parts {
  const servers = Object.fromEntries(attachments.map((attachment) => [attachment.name, attachment]))
  return {
    contexts: { [name]: context },
    stores: store === undefined ? {} : { [store.name]: store },
    attachments: servers,
    clients: {},
    servers,
  }
}
