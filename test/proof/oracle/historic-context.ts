import { ContextState } from '../../../src/context/context-state.ts'
import { HASH_KEY_LENGTH, InternalCache } from '../../../src/context/internal-cache.ts'
import type { SslContextPorts } from '../../../src/session/contracts.ts'
import { SessionCacheMode } from '../../../src/session/session-cache-mode.ts'
import { type SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import type { Switches } from './switches.ts'

/** The model's context with the cache of another release; with all switches on it is the model's own. */
export class HistoricContext extends ContextState {
  readonly #switches: Switches

  constructor(ports: SslContextPorts, switches: Switches) {
    const hashKey = ports.randomBytes(HASH_KEY_LENGTH)
    super(ports, isOfModel(switches) ? new InternalCache(hashKey) : new HistoricCache(hashKey, switches))
    this.#switches = switches
  }

  /** SORT: before it UPDATE_TIME is a bit without a meaning. */
  override hasMode(bits: number): boolean {
    return super.hasMode(this.#switches.SORT ? bits : bits & ~SessionCacheMode.UPDATE_TIME)
  }

  /** LISTFIX: before it, what is added again goes in front of its peers. */
  override add(session: SslSession): boolean {
    const isMoved = !this.#switches.LISTFIX && isIn(this.cache, session)
    const isNew = super.add(session)
    if (isMoved) this.cache.reposition(session)
    return isNew
  }
}

function isIn(cache: InternalCache, session: SslSession): boolean {
  return cache.find(session.protocolVersion, session.sessionId) === session
}

function isOfModel(switches: Switches): boolean {
  return switches.SORT && switches['EVICT-FIRST'] && switches.NORES && !switches.CBUNLOCK
}

/** What differs is added to the model's cache, so that all else of it is proved on every release. */
class HistoricCache extends InternalCache {
  readonly #switches: Switches
  /** Before SORT: in the order in which they came. */
  readonly #arrivals: Set<SslSession> = new Set()

  constructor(hashKey: Uint8Array, switches: Switches) {
    super(hashKey)
    this.#switches = switches
  }

  /** NORES: before it, a session may have lost its id, and is not found. */
  override find(protocolVersion: number, sessionId: Uint8Array): SslSession | undefined {
    const found = super.find(protocolVersion, sessionId)
    return found !== undefined && sessionInternals.hasId(found) ? found : undefined
  }

  override hasId(protocolVersion: number, sessionId: Uint8Array): boolean {
    return this.find(protocolVersion, sessionId) !== undefined
  }

  override insert(session: SslSession, capacity: number): readonly SslSession[] | undefined {
    const evicted = isIn(this, session) ? undefined : this.#insert(session, capacity)
    // CBUNLOCK: they are kept on a stack until the lock has been released.
    return this.#switches.CBUNLOCK ? evicted?.toReversed() : evicted
  }

  /**
   * EVICT-FIRST: before it, room was made when the new one was in its place, and it might go itself. NORES: before it, the
   * handshake that is under way may have lost the id of a session in the cache, at which evicting ends.
   */
  #insert(session: SslSession, capacity: number): readonly SslSession[] | undefined {
    const isFirst = this.#switches['EVICT-FIRST']
    if (isFirst && this.#switches.NORES) return super.insert(session, capacity)
    this.remove(session)
    if (!isFirst) this.#place(session)
    const surplus = capacity === 0 ? 0 : Math.max(0, this.size + Number(isFirst) - capacity)
    const evicted = this.#evict(surplus)
    if (isFirst) this.#place(session)
    return evicted
  }

  #place(session: SslSession): void {
    super.insert(session, 0)
    this.#arrivals.add(session)
  }

  #evict(count: number): SslSession[] {
    if (this.#switches.SORT) return super.removeEarliestWhile(sessionInternals.hasId, count)
    const first = [...this.#arrivals].slice(0, count)
    const nameless = first.findIndex((session) => !sessionInternals.hasId(session))
    return this.#expel(nameless < 0 ? first : first.slice(0, nameless))
  }

  /** Another object of the same id, as that of a client in a shared context, does not find it either. */
  override remove(session: SslSession): boolean {
    const stored = this.find(session.protocolVersion, session.sessionId)
    if (stored === undefined) return false
    this.#arrivals.delete(stored)
    return super.remove(session)
  }

  override removeEarliestWhile(isDue: (session: SslSession) => boolean, limit: number): SslSession[] {
    // Before SORT, the whole table is looked at.
    if (!this.#switches.SORT) return this.#expel([...this.#arrivals].filter(isDue))
    const removed = super.removeEarliestWhile(isDue, limit)
    return this.#switches.CBUNLOCK ? removed.reverse() : removed
  }

  #expel(sessions: SslSession[]): SslSession[] {
    for (const session of sessions) {
      this.remove(session)
      sessionInternals.setNotResumable(session, true)
    }
    return sessions
  }
}
