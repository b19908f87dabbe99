import { ArgumentError } from '../errors.ts'
import {
  A_FUNCTION,
  CHECKED_LATER,
  checkBits,
  checkBytes,
  checkCallback,
  checkOptions,
  kindOf,
  type OptionRule,
} from '../session/arguments.ts'
import { copyBytes, utf8 } from '../session/bytes.ts'
import type {
  GenerateSessionId,
  GetSessionCallback,
  NewSessionCallback,
  NotResumableCallback,
  RemoveSessionCallback,
  SessionStats,
  SslContextListener,
  SslContextObserver,
  SslContextPorts,
} from '../session/contracts.ts'
import { checkIdLength, checkInteger, checkSeconds } from '../session/ranges.ts'
import type { SslSession } from '../session/ssl-session.ts'
import { ContextState } from './context-state.ts'
import { checkSession } from './model-arguments.ts'
import { SslConnection, type SslConnectionOptions } from './ssl-connection.ts'

/** Every one of these can also be set later, by the setter of the same name. */
export interface SslContextOptions {
  /** Bits of {@link SessionCacheMode}; SERVER by default. */
  readonly sessionCacheMode?: number | undefined
  /** Sessions; 0 is unlimited; 20480 by default. */
  readonly sessionCacheSize?: number | undefined
  /** Seconds; 0 is the default, 7200. */
  readonly sessionTimeout?: number | undefined
  readonly sessionIdContext?: Uint8Array | string | undefined
  readonly generateSessionId?: GenerateSessionId | undefined
  readonly newSessionCallback?: NewSessionCallback | undefined
  readonly getSessionCallback?: GetSessionCallback | undefined
  readonly removeSessionCallback?: RemoveSessionCallback | undefined
  readonly notResumableCallback?: NotResumableCallback | undefined
  /** Bits of `VerifyMode`, in `sslctx/model`. */
  readonly verifyMode?: number | undefined
  /** Bits of `SslOption`, in `sslctx/model`, added to the default, ENABLE_MIDDLEBOX_COMPAT. */
  readonly options?: number | undefined
  /** Tickets after a full TLS 1.3 handshake; 2 by default. */
  readonly numTickets?: number | undefined
  /** Bytes; 0, the default, means no early data. */
  readonly maxEarlyData?: number | undefined
  /**
   * Instead of all expired sessions every 255 connections, in one go (R2.5), each finished handshake clears at most so many,
   * so that a crowd that expires together stalls nobody. 0, the default, is libssl's way.
   */
  readonly clearingStep?: number | undefined
}

/** The figures of the internal cache. */
export interface SessionCacheStats {
  /** Sessions that it has taken in. */
  readonly stored: number
  /** Those of them whose version and id had been there, which another session had. */
  readonly replaced: number
  /**
   * Seconds, with milliseconds, until the session expires that would be evicted next; below 0 when that is over, and
   * undefined of an empty cache. Near the timeout, the cache is too small: sessions go long before their time.
   */
  readonly oldestTimeLeftSec: number | undefined
}

const MAX_UINT32 = 0xffff_ffff
const NO_OPTIONS: SslConnectionOptions = {}

/** The setters check the values; the ports of `SslContext` are among its options. */
const CONTEXT_RULES: Readonly<Record<keyof SslContextOptions | keyof SslContextPorts, OptionRule>> = {
  sessionCacheMode: CHECKED_LATER,
  sessionCacheSize: CHECKED_LATER,
  sessionTimeout: CHECKED_LATER,
  sessionIdContext: CHECKED_LATER,
  verifyMode: CHECKED_LATER,
  options: CHECKED_LATER,
  numTickets: CHECKED_LATER,
  maxEarlyData: CHECKED_LATER,
  clearingStep: CHECKED_LATER,
  generateSessionId: CHECKED_LATER,
  newSessionCallback: CHECKED_LATER,
  getSessionCallback: CHECKED_LATER,
  removeSessionCallback: CHECKED_LATER,
  notResumableCallback: CHECKED_LATER,
  now: A_FUNCTION,
  randomBytes: A_FUNCTION,
  sha256: A_FUNCTION,
  observer: { kind: 'an object', isGood: (value) => typeof value === 'object' && value !== null },
}

/**
 * `SSL_CTX` as far as the session cache goes: mode, internal cache, external cache through three callbacks, statistics.
 * No I/O and no timers: clock, random bytes and SHA-256 come in as ports.
 *
 * A rule is cited by its number (R4.5) where it is enforced; the departures from libssl are D1 to D9.
 */
export class SslContext {
  readonly #state: ContextState

  /** @param state - of the proof, which has contexts of other releases */
  constructor(ports: SslContextPorts, options: SslContextOptions = {}, state?: ContextState) {
    checkOptions('SslContext', options, CONTEXT_RULES)
    this.#state = state ?? new ContextState(ports)
    this.#configure(options)
    this.setGenerateSessionId(options.generateSessionId)
    this.setNewSessionCallback(options.newSessionCallback)
    this.setGetSessionCallback(options.getSessionCallback)
    this.setRemoveSessionCallback(options.removeSessionCallback)
    this.setNotResumableCallback(options.notResumableCallback)
  }

  #configure(options: SslContextOptions): void {
    if (options.sessionCacheMode !== undefined) this.setSessionCacheMode(options.sessionCacheMode)
    if (options.sessionCacheSize !== undefined) this.setSessionCacheSize(options.sessionCacheSize)
    if (options.sessionTimeout !== undefined) this.setSessionTimeout(options.sessionTimeout)
    if (options.sessionIdContext !== undefined) this.setSessionIdContext(options.sessionIdContext)
    if (options.verifyMode !== undefined) this.setVerifyMode(options.verifyMode)
    if (options.options !== undefined) this.setOptions(options.options)
    if (options.numTickets !== undefined) this.setNumTickets(options.numTickets)
    if (options.maxEarlyData !== undefined) this.setMaxEarlyData(options.maxEarlyData)
    if (options.clearingStep !== undefined) this.setClearingStep(options.clearingStep)
  }

  /**
   * `SSL_CTX_set_session_cache_mode(3)`. Replaces the whole mode; unknown bits are kept and mean nothing (R1.3). Takes
   * effect on connections that exist already (R1.4).
   *
   * @param mode - bits of {@link SessionCacheMode}: an integer, taken modulo 2^32
   * @returns the previous mode
   * @throws `SessionRangeError` for what is no such integer
   */
  setSessionCacheMode(mode: number): number {
    checkInteger('session cache mode', mode, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER)
    const previous = this.#state.mode
    this.#state.mode = mode >>> 0
    return previous
  }

  getSessionCacheMode(): number {
    return this.#state.mode
  }

  /**
   * `SSL_CTX_sess_set_cache_size(3)`. Evicts nothing by itself; the next new session does (R4.4). Exactly this many
   * sessions are kept (D1).
   *
   * @param sessions - 0 is unlimited; a negative number changes nothing and returns 0, as in libssl
   * @returns the previous size
   * @throws {@link SessionRangeError} when it is not an integer
   */
  setSessionCacheSize(sessions: number): number {
    if (typeof sessions === 'number' && sessions < 0) return 0
    const previous = this.#state.cacheSize
    this.#state.cacheSize = checkInteger('session cache size', sessions, Number.MAX_SAFE_INTEGER)
    return previous
  }

  getSessionCacheSize(): number {
    return this.#state.cacheSize
  }

  /**
   * No function of libssl: see the option.
   *
   * @param sessions - 0 to 4294967295
   * @returns the previous step
   */
  setClearingStep(sessions: number): number {
    const previous = this.#state.clearingStep
    this.#state.clearingStep = checkInteger('clearing step', sessions, MAX_UINT32)
    return previous
  }

  /**
   * `SSL_CTX_set_timeout(3)`: for sessions made from now on (R6.2).
   *
   * @param seconds - 0 to 18446744073; 0 is the default, 7200
   * @returns the previous value
   * @throws {@link SessionRangeError} when out of range (D5)
   */
  setSessionTimeout(seconds: number): number {
    const previous = this.#state.timeoutSec
    this.#state.timeoutSec = checkSeconds('session timeout', seconds)
    return previous
  }

  getSessionTimeout(): number {
    return this.#state.timeoutSec
  }

  /**
   * `SSL_CTX_set_session_id_context(3)`, for connections made from now on (R9.2).
   *
   * @param context - 0 to 32 bytes, copied; a string is taken as UTF-8
   * @throws {@link SessionRangeError} when longer, and nothing has changed (R9.1)
   */
  setSessionIdContext(context: Uint8Array | string): void {
    if (typeof context !== 'string') checkBytes('session id context, if it is no string,', context)
    const bytes = typeof context === 'string' ? utf8(context) : copyBytes(context)
    this.#state.sessionIdContext = checkIdLength('session id context', bytes)
  }

  /** A copy, 0 to 32 bytes. */
  getSessionIdContext(): Uint8Array {
    return copyBytes(this.#state.sessionIdContext)
  }

  /** R8.4. Without an argument: 32 random bytes. */
  setGenerateSessionId(callback?: GenerateSessionId): void {
    checkCallback('generateSessionId', callback)
    this.#state.generateSessionId = callback
  }

  getGenerateSessionId(): GenerateSessionId | undefined {
    return this.#state.generateSessionId
  }

  setNewSessionCallback(callback?: NewSessionCallback): void {
    checkCallback('newSessionCallback', callback)
    this.#state.newSessionCallback = callback
  }

  setGetSessionCallback(callback?: GetSessionCallback): void {
    checkCallback('getSessionCallback', callback)
    this.#state.getSessionCallback = callback
  }

  /** `SSL_CTX_sess_get_get_cb(3)`. */
  getGetSessionCallback(): GetSessionCallback | undefined {
    return this.#state.getSessionCallback
  }

  /** Its presence alone makes TLS 1.3 servers keep stateless sessions internally (R10.6). */
  setRemoveSessionCallback(callback?: RemoveSessionCallback): void {
    checkCallback('removeSessionCallback', callback)
    this.#state.removeSessionCallback = callback
  }

  setNotResumableCallback(callback?: NotResumableCallback): void {
    checkCallback('notResumableCallback', callback)
    this.#state.notResumableCallback = callback
  }

  /** For connections made from now on. */
  setVerifyMode(mode: number): void {
    this.#state.verifyMode = checkBits('verify mode', mode)
  }

  /** `SSL_CTX_get_verify_mode(3)`. */
  getVerifyMode(): number {
    return this.#state.verifyMode
  }

  /** `SSL_CTX_set_options(3)`: adds bits, for connections made from now on; returns all that are set. */
  setOptions(options: number): number {
    this.#state.options = (this.#state.options | checkBits('options', options)) >>> 0
    return this.#state.options
  }

  /** `SSL_CTX_clear_options(3)`. */
  clearOptions(options: number): number {
    this.#state.options = (this.#state.options & ~checkBits('options', options)) >>> 0
    return this.#state.options
  }

  /** `SSL_CTX_get_options(3)`. */
  getOptions(): number {
    return this.#state.options
  }

  /** `SSL_CTX_set_num_tickets(3)`, for connections made from now on. */
  setNumTickets(tickets: number): void {
    this.#state.numTickets = checkInteger('number of tickets', tickets, Number.MAX_SAFE_INTEGER)
  }

  /** `SSL_CTX_get_num_tickets(3)`. */
  getNumTickets(): number {
    return this.#state.numTickets
  }

  /**
   * `SSL_CTX_set_max_early_data(3)`, for connections made from now on. More than 0 makes TLS 1.3 tickets stateful and
   * single use, unless NO_ANTI_REPLAY (R10.1, R10.8).
   */
  setMaxEarlyData(bytes: number): void {
    this.#state.maxEarlyData = checkInteger('maximum early data', bytes, MAX_UINT32)
  }

  /** `SSL_CTX_get_max_early_data(3)`. */
  getMaxEarlyData(): number {
    return this.#state.maxEarlyData
  }

  /**
   * `SSL_CTX_add_session(3)`: no check but the id; the cache keeps the object itself (R4).
   *
   * @returns true when the key was absent or held another object, which is then replaced without a callback; false for
   *   an object that is cached already, and for a session with an empty id (D2)
   */
  addSession(session: SslSession): boolean {
    checkSession('the session of addSession', session)
    return this.#state.add(session)
  }

  /**
   * `SSL_CTX_remove_session(3)`: removes what is stored under the session's version and id, flags the argument (not what
   * was stored) as not resumable, and calls the remove callback with it, found or not (R5.1).
   *
   * @returns whether something was stored; false, and nothing else, for a session with an empty id
   */
  removeSession(session: SslSession): boolean {
    checkSession('the session of removeSession', session)
    return this.#state.remove(session, 'delete')
  }

  /**
   * `SSL_CTX_flush_sessions(3)`: removes what has expired before `nowSec`, earliest first. Counters stay (R5.3).
   *
   * @param nowSec - seconds since the epoch, now by default; 0 removes everything
   * @returns how many sessions went
   * @throws {@link SessionRangeError} unless it is an integer from 0 to 18446744073 (D5)
   */
  flushSessions(nowSec: number = this.#state.nowSec()): number {
    return this.#state.flush(checkSeconds('flush time', nowSec), 'flush')
  }

  /** The internal cache, latest expiry first: a snapshot, so it may be changed while being walked. */
  sessions(): IterableIterator<SslSession> {
    return this.#state.cache.sessions().values()
  }

  /** The clock of this context: milliseconds since the epoch. */
  now(): number {
    return this.#state.ports.now()
  }

  /** Who hears of everything besides those who {@link subscribe}; the edges tell it of their handshakes. */
  get observer(): SslContextObserver | undefined {
    return this.#state.ports.observer
  }

  /** A snapshot of the statistics (R7). */
  get stats(): SessionStats {
    return { number: this.#state.cache.size, ...this.#state.counters }
  }

  /** What libssl does not count, and Apache's mod_status shows. A snapshot. */
  get cacheStats(): SessionCacheStats {
    const { stored, replaced, earliest } = this.#state.cache
    const oldestTimeLeftSec = earliest && (earliest.expiresAtMs - this.now()) / 1000
    return { stored, replaced, oldestTimeLeftSec }
  }

  /** `SSL_new(3)`: inherits the settings of this moment; `options` override them. */
  newConnection(options: SslConnectionOptions = NO_OPTIONS): SslConnection {
    return new SslConnection(this.#state, options)
  }

  /** `SSL_CTX_free(3)`: the remove callback hears of every session that is left (R5.3). */
  free(): void {
    this.#state.flush(0, 'free')
  }

  /**
   * Subscribes to everything that happens; `diagnostics` and loggers live outside.
   *
   * @param listener - called synchronously; one that throws becomes an event for the others
   * @returns a function that unsubscribes
   */
  subscribe(listener: SslContextListener): () => void {
    if (typeof listener !== 'function')
      throw new ArgumentError(`the listener of subscribe must be a function, got ${kindOf(listener)}`)
    this.#state.listeners.add(listener)
    return () => this.#state.listeners.delete(listener)
  }

  /**
   * `SSL_set_SSL_CTX(3)`, as a servername callback does: the connection counts its success here from now on, and takes
   * over this context's session id context unless it has one of its own. Cache, callbacks, mode and timeout stay those
   * of the context it was made from (R2.8, R9.2).
   */
  adoptConnection(connection: SslConnection): void {
    SslConnection.switchContext(connection, this.#state)
  }
}
