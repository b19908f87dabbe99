import { setTimeout as wait } from 'node:timers/promises'
import type tls from 'node:tls'
import { ArgumentError, RevocationUnavailableError, SessionStateError } from '../errors.ts'
import { ATTACH_OPTIONS, checkCloseOptions, checkSomeAttachOptions } from '../node/attach-options.ts'
import { attachServer } from '../node/attach-server.ts'
import type { AttachServerOptions, ServerAttachment } from '../node/server-attachment.ts'
import { sessionIdContextOf } from '../node/server-names.ts'
import { type ServerOptions, serverOptions } from '../node/server-setup.ts'
import { kindOf, warningOf } from '../session/arguments.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import type { SessionStore } from '../session/session-store.ts'
import { SslContext } from '../ssl-context.ts'
import { type GuardedStore, guarded, isGuarded } from '../store/guarded-store.ts'
import { KeyRing } from '../store/key-ring.ts'
import { Revocations, type RevokeOptions } from '../store/revocations.ts'
import { sealed } from '../store/sealed-store.ts'
import { readSecrets } from '../store/secret-text.ts'
import { storeCallbacks } from '../store/store-callbacks.ts'
import { type Plan, planOf, type ServerSessionsOptions } from './server-sessions-options.ts'

/** Decided for all servers, and no server's own. */
const COMMON = ['tickets', 'revocations', 'singleUse', 'waitForStore'] as const
/** What it alone may be told. */
const OWN_OPTIONS = ATTACH_OPTIONS.filter((name) => !COMMON.some((one) => one === name))
type OwnOptions = Omit<AttachServerOptions, (typeof COMMON)[number]>

/**
 * The sessions of a TLS server: in one process, or in all processes that have the same secrets, with or without a store. It puts
 * `SslContext`, `attachServer`, `KeyRing`, `guarded`, `sealed` and `Revocations` together; each can be had by itself.
 *
 * | given | TLS 1.3 resumes | TLS 1.2 resumes | revocation |
 * |---|---|---|---|
 * | neither | in this process | in this process | no |
 * | `secrets` | everywhere, by ticket | in this process | no |
 * | `secrets` and `store` | everywhere, by ticket; without tickets from the store | everywhere, from the store | yes |
 *
 * @example
 * ```ts
 * const sessions = new ServerSessions({ name: 'shop', secrets: [process.env['TLS_SECRET']] })
 * const server = https.createServer({ key, cert, ...sessions.serverOptions() }, handler)
 * sessions.attach(server)
 * ```
 */
export class ServerSessions {
  /** What it is, to those who show figures. */
  readonly kind: 'sessions' = 'sessions'
  readonly name: string
  /** Its settings may be changed: `context.setSessionCacheSize(…)`, and with tickets `context.setNumTickets(1)`. */
  readonly context: SslContext
  /** The guard around the store; undefined without one. Its `stats` tell how the store does. */
  readonly store: GuardedStore | undefined
  /** Undefined where nothing can be revoked. */
  readonly revocations: Revocations | undefined
  /**
   * The marks of revocations have been read, or cannot be read for the moment: until they are, nothing resumes that may have been
   * revoked. It never rejects; a store that is down is asked again. A server may listen before.
   */
  readonly ready: Promise<void>
  readonly #options: ServerSessionsOptions
  readonly #plan: Plan
  readonly #keyRing: KeyRing | undefined
  /** They live as long as their servers. */
  #attachments: readonly WeakRef<ServerAttachment>[] = []
  #closing: Promise<{ readonly dropped: number }> | undefined

  /**
   * @throws {@link ArgumentError} for an option that is unknown or of another kind, and for options that contradict each other
   * @throws {@link UnsealedStoreError} for a store without secrets
   * @throws {@link WeakKeyError} for a secret that is too short, follows a pattern, or is text of another kind
   */
  constructor(options: ServerSessionsOptions) {
    this.#plan = planOf(options)
    this.#options = options
    this.name = options.name
    const { secrets, isSealed, canRevoke } = this.#plan
    this.#keyRing = secrets && new KeyRing(secrets)
    this.store = options.store && guardOf(options.store, options)
    const store = this.store && isSealed ? this.#sealed(this.store) : this.store
    this.context = newContext(options, store)
    if (canRevoke && store !== undefined && this.#keyRing !== undefined)
      this.revocations = new Revocations(store, this.#keyRing, options.revocations || {})
    this.ready = this.revocations === undefined ? Promise.resolve() : readyOf(this.revocations)
  }

  /** One that is sealed already stays as it is. */
  #sealed(store: SessionStore): SessionStore {
    return store.confidentiality === 'sealed' || this.#keyRing === undefined
      ? store
      : sealed(store, this.#keyRing)
  }

  /**
   * What `createServer()` of tls, https and http2 needs, to be spread after your own options.
   *
   * @param own - `secureOptions`: SSL_OP_ bits of yours, which would otherwise be overwritten
   */
  serverOptions(own: { readonly secureOptions?: number | undefined } = {}): ServerOptions {
    return serverOptions(this.context, own)
  }

  /**
   * Puts the sessions to work in a `tls`, `https` or `http2` server, before it listens. Several servers may have them.
   *
   * @param server - made with {@link serverOptions}
   * @param own - what this server alone is told, before the options of the constructor
   * @throws {@link ServerSetupError} when the server is set up so that it would silently never resume
   * @throws {@link SessionStateError} after {@link close}
   */
  attach(
    server: tls.Server,
    own: Omit<AttachServerOptions, 'tickets' | 'revocations' | 'singleUse' | 'waitForStore'> = {},
  ): ServerAttachment {
    this.#checkOpen()
    const { singleUse, waitForStore, maxAuthenticationAgeSec, authenticatedAfterMs, policy, onHandshake } =
      this.#options
    const attachment = attachServer(server, this.context, {
      name: this.name,
      ...{ singleUse, waitForStore, maxAuthenticationAgeSec, authenticatedAfterMs, policy, onHandshake },
      ...checkedOwn(own),
      tickets: this.#plan.hasTickets && this.#keyRing ? { keyRing: this.#keyRing } : undefined,
      revocations: this.revocations,
    })
    this.#attachments = [...this.attachments, attachment].map((one) => new WeakRef(one))
    return attachment
  }

  /** Those that are attached now. */
  get attachments(): readonly ServerAttachment[] {
    return this.#attachments.flatMap((one) => {
      const attachment = one.deref()
      return attachment?.isAttached === true ? [attachment] : []
    })
  }

  /**
   * The next secrets of all processes, without a restart: `[old, next]` everywhere, then `[next, old]`, then, when what was made with
   * the old one has expired, `[next]`: with revocations, a week after the last one.
   *
   * @throws {@link ArgumentError} where there were none; {@link WeakKeyError}; {@link SessionStateError} after {@link close}
   */
  replaceSecrets(secrets: readonly (Uint8Array | string | undefined)[]): void {
    this.#checkOpen()
    const given = readSecrets('ServerSessions', secrets)
    if (this.#keyRing === undefined)
      throw new ArgumentError(
        'ServerSessions was made without secrets, so that there are none to replace: give them to the constructor',
      )
    this.#keyRing.replaceSecrets(given)
  }

  /**
   * Ends all sessions of a client certificate, in all processes.
   *
   * @param fingerprint256 - SHA-256 of its DER: 32 bytes, or as in `peerCertificate.fingerprint256`
   * @returns when the store has acknowledged it; on a rejection of the store's it holds here, and is tried again
   * @throws (rejects) {@link RevocationUnavailableError} without a store and secrets; {@link SessionStateError} after {@link close}
   */
  async revokeClient(fingerprint256: Uint8Array | string, options?: RevokeOptions): Promise<void> {
    await this.#revocationsOrThrow().revokeClient(fingerprint256, options)
  }

  /**
   * Likewise all sessions that were made for a server name.
   *
   * @param serverName - a whole name as clients send it, in any case, or in Unicode; `undefined` for sessions without SNI
   */
  async revokeServerName(serverName: string | undefined, options?: RevokeOptions): Promise<void> {
    await this.#revocationsOrThrow().revokeServerName(serverName, options)
  }

  /** Likewise all sessions of all clients. */
  async revokeAll(options?: RevokeOptions): Promise<void> {
    await this.#revocationsOrThrow().revokeAll(options)
  }

  /**
   * The end: detaches from all servers, waits for handshakes and writes that are under way, then ends the revocations and closes the
   * store. It closes no server, no client of the store, and no connection. It never rejects.
   *
   * @param options - `deadlineMs`: milliseconds that handshakes and writes may take, 5000 by default
   * @returns how many writes had not been acknowledged then, or were given up meanwhile; a second call waits for the first
   */
  async close(
    options: { readonly deadlineMs?: number | undefined } = {},
  ): Promise<{ readonly dropped: number }> {
    checkCloseOptions(options)
    this.#closing ??= this.#close(options)
    return await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(options: { readonly deadlineMs?: number | undefined }): Promise<{ readonly dropped: number }> {
    const givenUpBefore = this.#givenUp
    const ends = await Promise.all(this.attachments.map((attachment) => attachment.close(options)))
    for (const part of [this.revocations, this.store])
      try {
        await part?.close()
      } catch (error) {
        // A store that is down cannot be told that it is over; the process hears of it, and ends.
        process.emitWarning(warningOf(error))
      }
    const unacknowledged = ends.reduce((total, { dropped }) => total + dropped, 0)
    // What the guard gave up may be among those.
    return { dropped: Math.max(unacknowledged, this.#givenUp - givenUpBefore) }
  }

  get #givenUp(): number {
    return this.store?.stats.droppedWrites ?? 0
  }

  #revocationsOrThrow(): Revocations {
    this.#checkOpen()
    if (this.revocations !== undefined) return this.revocations
    throw new RevocationUnavailableError(
      this.#options.revocations === false
        ? 'revocations: false was given to ServerSessions: leave it out'
        : 'a revocation needs a store and secrets, or it would hold in this process only, and until it ends: give ' +
            'both, or end everything by replaceSecrets or authenticatedAfterMs',
    )
  }

  #checkOpen(): void {
    if (this.#closing !== undefined)
      throw new SessionStateError('these ServerSessions are closed: make new ones')
  }
}

function guardOf(store: SessionStore, { name, guard }: ServerSessionsOptions): GuardedStore {
  return isGuarded(store) ? store : guarded(store, { name, ...guard })
}

function newContext(
  { name, timeoutSec, plaintext }: ServerSessionsOptions,
  store: SessionStore | undefined,
): SslContext {
  return new SslContext({
    sessionIdContext: sessionIdContextOf(name),
    ...(timeoutSec !== undefined && { sessionTimeout: timeoutSec }),
    ...(store !== undefined && {
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      ...storeCallbacks(store, { plaintext: plaintext === true }),
    }),
  })
}

/** Milliseconds between the first attempts to read the marks: clients of stores connect while the server is being made. */
const FIRST_ATTEMPTS_MS: readonly number[] = [25, 75, 225]

/** Never rejects, and never waits for long. */
async function readyOf(revocations: Revocations): Promise<void> {
  await revocations.ready
  for (const delayMs of FIRST_ATTEMPTS_MS) {
    if (Number.isFinite(revocations.stats.staleMs)) return
    await wait(delayMs)
    await revocations.refresh().catch(() => undefined)
  }
}

/** Undefined is as if it were not there. */
function checkedOwn(own: OwnOptions): OwnOptions {
  if (typeof own !== 'object' || own === null || Array.isArray(own))
    throw new ArgumentError(`the options of attach must be an object, got ${kindOf(own)}`)
  // As wherever options are read, they may be a class's.
  const names = new Set([...Object.keys(own), ...ATTACH_OPTIONS.filter((name) => name in own)])
  const given = [...names]
    .map((name) => [name, Reflect.get(own, name)] as const)
    .filter(([, value]) => value !== undefined)
  const [common] = given.find(([name]) => COMMON.some((one) => one === name)) ?? []
  if (common !== undefined)
    throw new ArgumentError(`${common} is for all servers: give it to the constructor of ServerSessions`)
  const checked = Object.fromEntries(given)
  checkSomeAttachOptions('attach', checked, OWN_OPTIONS)
  return checked
}
