import { SslContext } from '../context/ssl-context.ts'
import { ArgumentError, type SetupProblem } from '../errors.ts'
import {
  A_BOOLEAN,
  A_FUNCTION,
  anInteger,
  CHECKED_LATER,
  checkOptions,
  kindOf,
  type OptionRule,
} from '../session/arguments.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import type { TicketOptions } from './judged-tickets.ts'
import type { AttachServerOptions } from './server-attachment.ts'
import type { TicketVersion } from './ticket-keys.ts'

/** What a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1

const TOLERABLE: Readonly<Record<SetupProblem, true>> = {
  'default-session-id-context': true,
  tickets: true,
  'resume-session-listener': true,
  'unsupported-setting': true,
  'already-attached': true,
  'not-a-tls-server': true,
  'wait-for-store': true,
  'contradicting-options': true,
}

const TICKET_VERSIONS: Readonly<Record<TicketVersion, true>> = { 'TLSv1.2': true, 'TLSv1.3': true }

const TICKET_RULES: Readonly<Record<keyof TicketOptions, OptionRule>> = {
  keyRing: {
    kind: 'an instance of KeyRing',
    isGood: (value) => typeof (value as { derive?: unknown } | null)?.derive === 'function',
  },
  periodMs: anInteger(60_000, 86_400_000),
  versions: {
    kind: `an array of one or more of ${Object.keys(TICKET_VERSIONS).join(', ')}`,
    isGood: (value) =>
      Array.isArray(value) && value.length > 0 && value.every((one) => Object.hasOwn(TICKET_VERSIONS, one)),
  },
}

const RULES: Readonly<Record<keyof AttachServerOptions, OptionRule>> = {
  name: { kind: 'a string that is not empty', isGood: (value) => typeof value === 'string' && value !== '' },
  lookupTimeoutMs: anInteger(1, MAX_TIMER_MS),
  readAheadMs: anInteger(1, MAX_TIMER_MS),
  maxAuthenticationAgeSec: anInteger(1, ONE_WEEK_SEC),
  authenticatedAfterMs: anInteger(0, Number.MAX_SAFE_INTEGER),
  singleUse: A_BOOLEAN,
  waitForStore: A_BOOLEAN,
  bindSessions: A_BOOLEAN,
  requireExtendedMasterSecret: A_BOOLEAN,
  shouldStore: A_FUNCTION,
  tickets: CHECKED_LATER,
  policy: A_FUNCTION,
  onHandshake: A_FUNCTION,
  revocations: {
    kind: 'an instance of Revocations',
    isGood: (value) => typeof (value as { objectionTo?: unknown } | null)?.objectionTo === 'function',
  },
  tolerate: {
    kind: `an array of ${Object.keys(TOLERABLE).join(', ')}`,
    isGood: (value) => Array.isArray(value) && value.every((one) => Object.hasOwn(TOLERABLE, one)),
  },
}

/** Their names. */
export const ATTACH_OPTIONS: readonly string[] = Object.keys(RULES)

/** @throws {@link ArgumentError} */
export function checkAttachOptions(options: unknown): void {
  checkOptions('attachServer', options, RULES)
  const { tickets } = options as AttachServerOptions
  if (tickets === undefined) return
  checkOptions('attachServer({ tickets })', tickets, TICKET_RULES)
  if (tickets.keyRing === undefined)
    throw new ArgumentError(
      'the option keyRing of attachServer({ tickets }) must be an instance of KeyRing, got undefined',
    )
}

/** As {@link checkAttachOptions}, where there are but these. @throws {@link ArgumentError} */
export function checkSomeAttachOptions(caller: string, options: object, names: readonly string[]): void {
  const rules = Object.entries(RULES).filter(([name]) => names.includes(name))
  checkOptions(caller, options, Object.fromEntries(rules))
}

/** @throws {@link ArgumentError} */
export function checkCloseOptions(options: unknown): void {
  checkOptions('close', options, { deadlineMs: anInteger(0, MAX_TIMER_MS) })
}

/** @throws {@link ArgumentError} */
export function checkContext(caller: string, context: unknown): asserts context is SslContext {
  if (!(context instanceof SslContext))
    throw new ArgumentError(`the context of ${caller} must be an SslContext, got ${kindOf(context)}`)
}
