import { ArgumentError } from '../errors.ts'
import { checkOptions, type OptionRule } from '../session/arguments.ts'
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
  }
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

/** The parts, each by the name under which it is to be shown. A name is yours to choose, and there should be few. */
export interface MeasuredParts {
  readonly contexts?: Readonly<Record<string, MeasuredContext>> | undefined
  readonly stores?: Readonly<Record<string, MeasuredStore>> | undefined
  readonly attachments?: Readonly<Record<string, MeasuredAttachment>> | undefined
}

/** Whose figures are shown: a `ServerSessions`, what `attachServer` returned, or parts by name. */
export type Subject = MeasuredSessions | MeasuredAttachment | MeasuredParts

/** The parts of a subject at some moment. */
export type Parts = { readonly [Kind in keyof MeasuredParts]-?: NonNullable<MeasuredParts[Kind]> }

const AN_OBJECT: OptionRule = {
  kind: 'an object with a name for each',
  isGood: (value) => typeof value === 'object' && value !== null,
}
const PARTS: Readonly<Record<keyof MeasuredParts, OptionRule>> = {
  contexts: AN_OBJECT,
  stores: AN_OBJECT,
  attachments: AN_OBJECT,
}

/**
 * @param caller - for the message
 * @returns tells the parts of the moment: servers come and go
 * @throws {@link ArgumentError} for what is no subject
 */
export function partsOf(caller: string, subject: Subject): () => Parts {
  if (isA('sessions', subject)) return () => partsOfSessions(subject)
  if (isA('attachment', subject)) {
    const { name, context } = subject
    const parts = { contexts: { [name]: context }, stores: {}, attachments: { [name]: subject } }
    return () => parts
  }
  const what = `${caller}, which is about a ServerSessions, what attachServer returned, or parts by name,`
  checkOptions(what, subject, PARTS)
  const { contexts = {}, stores = {}, attachments = {} } = subject
  const names = Object.values(stores).map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined)
    throw new ArgumentError(
      `two stores of ${caller} are called ${twice}, and could not be told apart: give each guarded(store, { name })`,
    )
  return () => ({ contexts, stores, attachments })
}

type Marked = MeasuredSessions | MeasuredAttachment

function isA<Kind extends Marked['kind']>(
  kind: Kind,
  subject: unknown,
): subject is Extract<Marked, { readonly kind: Kind }> {
  return typeof subject === 'object' && subject !== null && Reflect.get(subject, 'kind') === kind
}

function partsOfSessions({ name, context, store, attachments }: MeasuredSessions): Parts {
  return {
    contexts: { [name]: context },
    stores: store === undefined ? {} : { [store.name]: store },
    attachments: Object.fromEntries(attachments.map((attachment) => [attachment.name, attachment])),
  }
}
