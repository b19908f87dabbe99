import { ArgumentError, UnsealedStoreError } from '../errors.ts'
import type { SessionPolicy } from '../node/edge.ts'
import type { ServerHandshake } from '../node/server-attachment.ts'
import {
  A_BOOLEAN,
  A_FUNCTION,
  anInteger,
  CHECKED_LATER,
  checkOptions,
  type OptionRule,
} from '../session/arguments.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import type { SessionStore } from '../session/session-store.ts'
import { type GuardOptions, isGuarded } from '../store/guarded-store.ts'
import type { RevocationsOptions } from '../store/revocations.ts'
import { readSecrets } from '../store/secret-text.ts'
import { checkStore } from '../store/store-arguments.ts'

/** What a server's sessions are to be. */
export interface ServerSessionsOptions {
  /**
   * What the service is called, in 1 to 255 characters: sessions are good at servers of the same name only, so that all processes of a
   * service have one, and no two services with the same secrets.
   */
  readonly name: string
  /**
   * The secrets of all processes that resume each other's sessions: 32 random bytes or more, or their text in hexadecimal or base64, as
   * `npx sslctx secret` prints it. The first one is used, all are understood. Never a password: no test finds one that looks like
   * base64. Given and undefined, as for a variable that is not set, is an error.
   */
  readonly secrets?: readonly (Uint8Array | string | undefined)[] | undefined
  /**
   * An external cache. It is guarded, its content is sealed with `secrets`, and it holds what is revoked. It belongs to the
   * `ServerSessions`, which closes it.
   */
  readonly store?: SessionStore | undefined
  /**
   * Stateless tickets in TLS 1.3. On where there are `secrets`, unless `singleUse` or `waitForStore` is; without `secrets` there are
   * none.
   */
  readonly tickets?: boolean | undefined
  /** Seconds for which a session may be resumed, 1 to 604800; 7200 by default, as in libssl. */
  readonly timeoutSec?: number | undefined
  /** Seconds for which a full handshake may be resumed, through all renewals: 1 to 604800, by default the timeout. */
  readonly maxAuthenticationAgeSec?: number | undefined
  /** Milliseconds since the epoch: what goes back to a full handshake of before is not resumed. The same in all processes. */
  readonly authenticatedAfterMs?: number | undefined
  /** Sessions of TLS 1.3 are used once. With `secrets` it needs a `store`; there are no tickets then. False by default. */
  readonly singleUse?: boolean | undefined
  /** A client waits until its sessions are stored; there are no tickets then. False by default. */
  readonly waitForStore?: boolean | undefined
  /** Names the trust under which clients are verified, and refuses sessions. */
  readonly policy?: SessionPolicy | undefined
  /** Called once for each handshake. */
  readonly onHandshake?: ((handshake: ServerHandshake) => void) | undefined
  /** Limits of the guard around the store; its `name` is that of the sessions by default. */
  readonly guard?: GuardOptions | undefined
  /** How current revocations are; false for none, which spares the store a call every few seconds. */
  readonly revocations?: RevocationsOptions | false | undefined
  /** True: whoever reads the store's engine gets master secrets, and this is known. The store is not sealed then. */
  readonly plaintext?: boolean | undefined
}

const MAX_NAME_LENGTH = 255

const RULES: Readonly<Record<keyof ServerSessionsOptions, OptionRule>> = {
  name: {
    kind: `what the service is called, a string of 1 to ${MAX_NAME_LENGTH} characters`,
    isGood: (value) => typeof value === 'string' && value.length >= 1 && value.length <= MAX_NAME_LENGTH,
  },
  secrets: CHECKED_LATER,
  store: CHECKED_LATER,
  tickets: A_BOOLEAN,
  timeoutSec: anInteger(1, ONE_WEEK_SEC),
  maxAuthenticationAgeSec: anInteger(1, ONE_WEEK_SEC),
  authenticatedAfterMs: anInteger(0, Number.MAX_SAFE_INTEGER),
  singleUse: A_BOOLEAN,
  waitForStore: A_BOOLEAN,
  policy: A_FUNCTION,
  onHandshake: A_FUNCTION,
  guard: { kind: 'options of guarded', isGood: isObject },
  revocations: {
    kind: 'false, or options of Revocations',
    isGood: (value) => value === false || isObject(value),
  },
  plaintext: A_BOOLEAN,
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

/** What the options come to. */
export interface Plan {
  readonly secrets: readonly Uint8Array[] | undefined
  readonly hasTickets: boolean
  readonly isSealed: boolean
  readonly canRevoke: boolean
}

const MEMORY_ALONE = 'leave the option out for the memory of this process alone'

/**
 * @throws {@link ArgumentError} for an option that is unknown or of another kind, and for options that contradict each other
 * @throws {@link UnsealedStoreError} for a store without secrets
 */
export function planOf(options: ServerSessionsOptions): Plan {
  checkOptions('ServerSessions', options, RULES)
  if (options.name === undefined)
    throw new ArgumentError(
      "ServerSessions needs a name: what your service is called, the same in all processes, as in { name: 'shop' }",
    )
  const secrets =
    'secrets' in options ? readSecrets('ServerSessions', options.secrets, MEMORY_ALONE) : undefined
  const { store, plaintext = false, singleUse = false, waitForStore = false } = options
  if (store !== undefined) checkStore('ServerSessions', store)
  checkTogether(options, secrets !== undefined)
  if (store !== undefined && secrets === undefined && !plaintext)
    throw new UnsealedStoreError(
      'ServerSessions with a store needs secrets, with which sessions are sealed: as in { secrets: [process.env.TLS_SECRET] }. ' +
        'With plaintext: true, whoever reads the store can pose as the server',
    )
  return {
    secrets,
    hasTickets: secrets !== undefined && (options.tickets ?? !(singleUse || waitForStore)),
    isSealed: store !== undefined && !plaintext,
    canRevoke: store !== undefined && secrets !== undefined && options.revocations !== false,
  }
}

interface Given extends ServerSessionsOptions {
  readonly hasSecrets: boolean
  readonly hasStore: boolean
}

/** What cannot be, and what to write instead. */
const CONTRADICTIONS: readonly (readonly [string, (given: Given) => boolean])[] = [
  [
    'plaintext: true is about a store, and there is none: leave it out, or give a store',
    ({ plaintext, hasStore }) => plaintext === true && !hasStore,
  ],
  [
    'guard is about a store, and there is none: leave it out, or give a store',
    ({ guard, hasStore }) => guard !== undefined && !hasStore,
  ],
  [
    'guard cannot apply, since the store is guarded already: leave out one of them',
    ({ guard, store }) => guard !== undefined && store !== undefined && isGuarded(store),
  ],
  [
    'waitForStore is about a store, and there is none: leave it out, or give a store',
    ({ waitForStore, hasStore }) => waitForStore === true && !hasStore,
  ],
  [
    'revocations need a store, and secrets with which they are signed: leave the option out, or give both',
    ({ revocations, hasStore, hasSecrets }) => typeof revocations === 'object' && !(hasStore && hasSecrets),
  ],
  [
    'tickets: true needs secrets, from which the keys of the tickets are made: as in { secrets: [process.env.TLS_SECRET] }',
    ({ tickets, hasSecrets }) => tickets === true && !hasSecrets,
  ],
  [
    'singleUse does not go with tickets: true, since nobody can tell that a ticket was used before: leave one of them out',
    ({ tickets, singleUse }) => tickets === true && singleUse === true,
  ],
  [
    'waitForStore does not go with tickets: true, since no ticket is stored: leave one of them out',
    ({ tickets, waitForStore }) => tickets === true && waitForStore === true,
  ],
  [
    'singleUse in several processes needs a store: give one, or leave out the secrets for the memory of this process alone',
    ({ singleUse, hasSecrets, hasStore }) => singleUse === true && hasSecrets && !hasStore,
  ],
  [
    'secrets without a store are those of the tickets: leave out tickets: false, or the secrets, or give a store',
    ({ tickets, hasSecrets, hasStore }) => tickets === false && hasSecrets && !hasStore,
  ],
]

/** @throws {@link ArgumentError} with what to write instead */
function checkTogether(options: ServerSessionsOptions, hasSecrets: boolean): void {
  const given = { ...options, hasSecrets, hasStore: options.store !== undefined }
  const [message] = CONTRADICTIONS.find(([, isThere]) => isThere(given)) ?? []
  if (message !== undefined) throw new ArgumentError(`ServerSessions: ${message}`)
}
