import { type Awaitable, callListener, isPromiseLike } from '../session/awaitable.ts'
import { copyBytes, equalBytes } from '../session/bytes.ts'
import type {
  CallbackName,
  GenerateSessionId,
  GetSessionCallback,
  NewSessionCallback,
  NotResumableCallback,
  RemovalReason,
  RemoveSessionCallback,
  SessionStats,
  SslContextEvent,
  SslContextListener,
  SslContextPorts,
} from '../session/contracts.ts'
import { isExpired } from '../session/judge-session.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { SslOption, VerifyMode } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import { HASH_KEY_LENGTH, InternalCache } from './internal-cache.ts'

export type Counters = { -readonly [name in Exclude<keyof SessionStats, 'number'>]: number }

/** R6.1: the method's default, not the 300 of the manual page. */
export const DEFAULT_TIMEOUT_SEC = 7_200

/**
 * What an `SSL_CTX` holds, and the few operations on it that both the public class and the connections need. Settings
 * are plain fields, checked by the setters of the public class.
 */
export class ContextState {
  mode: number = SessionCacheMode.SERVER
  cacheSize = 20_480
  /** Seconds; 0 stands for the default (R6.2). */
  timeoutSec: number = DEFAULT_TIMEOUT_SEC
  sessionIdContext: Uint8Array = new Uint8Array(0)
  verifyMode: number = VerifyMode.NONE
  options: number = SslOption.ENABLE_MIDDLEBOX_COMPAT
  numTickets = 2
  /** Expired sessions that a handshake may clear; 0 is libssl's way (R2.5). */
  clearingStep = 0
  maxEarlyData = 0
  newSessionCallback: NewSessionCallback | undefined
  getSessionCallback: GetSessionCallback | undefined
  removeSessionCallback: RemoveSessionCallback | undefined
  notResumableCallback: NotResumableCallback | undefined
  generateSessionId: GenerateSessionId | undefined

  readonly ports: SslContextPorts
  readonly cache: InternalCache
  readonly counters: Counters = {
    connect: 0,
    connectGood: 0,
    connectRenegotiate: 0,
    accept: 0,
    acceptGood: 0,
    acceptRenegotiate: 0,
    hits: 0,
    cbHits: 0,
    misses: 0,
    timeouts: 0,
    cacheFull: 0,
  }
  readonly listeners: Set<SslContextListener> = new Set()
  #latestCopy: Uint8Array = new Uint8Array(0)

  constructor(
    ports: SslContextPorts,
    cache: InternalCache = new InternalCache(ports.randomBytes(HASH_KEY_LENGTH)),
  ) {
    this.ports = ports
    this.cache = cache
  }

  /** A connection's own; most have the same, and share a copy. @returns what must not be changed */
  copyOfSessionIdContext(bytes: Uint8Array): Uint8Array {
    if (!equalBytes(bytes, this.#latestCopy)) this.#latestCopy = copyBytes(bytes)
    return this.#latestCopy
  }

  hasMode(bits: number): boolean {
    return (this.mode & bits) !== 0
  }

  nowSec(): number {
    return Math.floor(this.ports.now() / 1000)
  }

  /** `SSL_CTX_add_session`, R4. */
  add(session: SslSession): boolean {
    if (!sessionInternals.hasId(session)) return false
    // LISTFIX: an object that is cached already keeps its place in this cache even though its expiry moves (R4.3).
    if (this.hasMode(SessionCacheMode.UPDATE_TIME))
      sessionInternals.setTimeMs(session, this.ports.now(), this.cache)
    const evicted = this.cache.insert(session, this.cacheSize)
    if (evicted === undefined) return false
    this.counters.cacheFull += evicted.length
    this.#reportRemoved(evicted, 'evict')
    return true
  }

  /** `SSL_CTX_remove_session`, R5.1, with the reason that the remove callback hears. */
  remove(session: SslSession, reason: RemovalReason): boolean {
    if (!sessionInternals.hasId(session)) return false
    const found = this.cache.remove(session)
    sessionInternals.setNotResumable(session, true)
    this.#reportRemoved([session], reason)
    return found
  }

  /** `SSL_CTX_flush_sessions`, R5.3. */
  flush(nowSec: number, reason: RemovalReason, limit: number = Number.POSITIVE_INFINITY): number {
    const removed = this.cache.removeEarliestWhile(
      (session) => nowSec === 0 || isExpired(session, nowSec * 1000),
      limit,
    )
    this.#reportRemoved(removed, reason)
    return removed.length
  }

  /** Whether an event need be built. */
  isHeard(type: SslContextEvent['type']): boolean {
    return this.listeners.size > 0 || this.ports.observer?.isListening(type) === true
  }

  emit(event: SslContextEvent): void {
    const { observer } = this.ports
    for (const listener of this.listeners) this.#tell(listener, event)
    if (observer?.isListening(event.type) === true) this.#tell(observer.hear, event)
  }

  #tell(listener: SslContextListener, event: SslContextEvent): void {
    callListener(
      () => listener(event),
      (error) => {
        // A listener that fails on the report of a failure is left alone, or this would never end.
        if (event.type !== 'callback-error')
          this.emit({ type: 'callback-error', callback: 'listener', error })
      },
    )
  }

  /**
   * A callback that throws or rejects breaks no handshake: it becomes an event.
   *
   * @returns whether the callback did neither; a promise, which never rejects, when the callback gave one
   */
  report(callback: CallbackName, call: () => unknown): Awaitable<boolean> {
    const failed = (error: unknown): false => {
      this.emit({ type: 'callback-error', callback, error })
      return false
    }
    try {
      const answer = call()
      return isPromiseLike(answer) ? Promise.resolve(answer).then(() => true, failed) : true
    } catch (error) {
      return failed(error)
    }
  }

  /** D4: all that leave at once are flagged as not resumable before the callback hears of the first. */
  #reportRemoved(sessions: readonly SslSession[], reason: RemovalReason): void {
    for (const session of sessions) {
      const { removeSessionCallback } = this
      if (removeSessionCallback !== undefined)
        this.report('remove', () => removeSessionCallback(session, reason))
      if (this.isHeard('session-removed')) this.emit({ type: 'session-removed', session, reason })
    }
  }
}
