import { nodeCrypto } from '../crypto.ts'
import { ArgumentError, RevocationUnavailableError, SessionRangeError, SessionStoreError } from '../errors.ts'
import {
  A_FUNCTION,
  CHECKED_LATER,
  checkBytes,
  checkOptions,
  kindOf,
  warningOf,
} from '../session/arguments.ts'
import { type Awaitable, callListener, isPromiseLike } from '../session/awaitable.ts'
import { checkInteger } from '../session/ranges.ts'
import type { SessionStore } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import { inTurns } from './in-turns.ts'
import type { KeyRing } from './key-ring.ts'
import { MarkChain } from './mark-chain.ts'
import { MarkWriter } from './mark-writer.ts'
import {
  isRoot,
  isTip,
  type Kind,
  MARK_LIFE_MS,
  type Mark,
  type MarkContent,
  makeMark,
  nameSubject,
  namesOf,
  readMark,
} from './revocation-mark.ts'
import { checkKeyRing, checkStore, readServerName } from './store-arguments.ts'
import { inTime } from './store-calls.ts'

/** How current the marks of {@link Revocations} must be. */
export interface RevocationsOptions {
  /**
   * Milliseconds that the marks of this process may lag behind those of the store: 10000 by default, 100 at least. Older than
   * that, nothing resumes.
   */
  readonly maxStaleMs?: number | undefined
  /** Milliseconds since the epoch; the system's clock by default. */
  readonly now?: (() => number) | undefined
  /** A refresh has failed; the next one comes by itself. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/** Which of the sessions a mark ends. */
export interface RevokeOptions {
  /** Milliseconds since the epoch: what was authenticated before goes. Now, by default; not in the future. */
  readonly madeBeforeMs?: number | undefined
}

/** What decides whether a session is revoked. */
export interface RevocableSession {
  /** DER of the client's certificate. */
  readonly peerCertificate: Uint8Array | undefined
  readonly hostname: string | undefined
}

/** A mark ends the session; or the marks are too old to tell. */
export type RevocationObjection = 'revoked' | 'revocation-unknown'

/** A moment's view; `failedRefreshes` only grows. */
export interface RevocationStats {
  /** Marks that this process holds. */
  readonly marks: number
  /** Milliseconds since the marks were those of the store; Infinity before the first time. */
  readonly staleMs: number
  readonly failedRefreshes: number
  /** Marks in the store that no secret of the ring has signed. */
  readonly unverified: number
  /** How often single marks were missing from the store, so that nothing of before resumes. */
  readonly broken: number
}

const REFRESHES_IN_MAX_STALE = 3
/** Marks of a store, and of this process: all processes hold them all. */
export const MAX_MARKS = 100_000
/** From here on no more revocations are taken: marks come with tips, are renewed, and come from several processes at once. */
const MAX_REVOCATIONS = 95_000
/** What is read all the same: what is there too much says nothing against the others. */
const MAX_READ = 2 * MAX_MARKS
/** Steps of {@link inTurns} that the MAC of a mark costs. */
const VERIFYING = 40
const EMPTY = new Uint8Array(0)

/**
 * Revokes sessions in all processes that share a store: by marks that each process holds and checks at each resumption.
 * Hand it to `attachServer`. {@link close} it at the end; it closes no store.
 *
 * A revocation is known here at once, and elsewhere with the next refresh, at most `maxStaleMs` after it was acknowledged;
 * an engine that pushes is faster. When the marks cannot be refreshed for `maxStaleMs`, nothing resumes. When the store has
 * lost its marks, or a single one of them, nothing resumes that was made before that was found out: each mark is named by another.
 * A process that starts cannot tell the marks of now from those of an earlier moment, if somebody has put all of those back.
 *
 * Times are compared with the clocks of the processes that made the sessions, which must agree within what is tolerable.
 *
 * @example
 * ```ts
 * const keyRing = new KeyRing([secret])
 * const revocations = new Revocations(sealed(guarded(openMyStore('shop')), keyRing), keyRing)
 * await revocations.ready
 * await revocations.revokeServerName('old.shop.example')
 * ```
 */
export class Revocations {
  readonly #store: SessionStore | undefined
  readonly #keyRing: KeyRing
  readonly #maxStaleMs: number
  readonly #now: () => number
  readonly #onError: (error: unknown) => void
  readonly #chain: MarkChain = new MarkChain()
  readonly #writer: MarkWriter
  /** The latest mark of each subject, by its name; those that are being written are among them. */
  readonly #held: Map<string, HeldMark> = new Map()
  /** Held marks of each kind: what nobody has revoked need not be hashed. */
  readonly #counts: Record<Kind, number> = { anchor: 0, all: 0, client: 0, 'server-name': 0 }
  /** What the store had at the last refresh, so that no mark is verified twice; undefined for what is none. */
  #known: Map<string, Mark | undefined> = new Map()
  /** The moment of the latest mark for all, the anchor among them: there is always one. */
  #allBeforeMs = 0
  /** On the clock of `performance.now`, which nobody sets. */
  #freshSinceMs = Number.NEGATIVE_INFINITY
  #failedRefreshes = 0
  #unverified = 0
  #broken = 0
  #timer: NodeJS.Timeout | undefined
  /** Of a store that had none, until it has taken this one. */
  #root: Mark | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #endWatching: (() => Awaitable<void>) | undefined
  /** Or about to. */
  #isWatching = false
  #isClosed = false
  /** The first refresh, good or bad: wait for it before listening, so that the first clients resume. */
  readonly ready: Promise<void>

  /**
   * @param store - may hold other things as well; without one nothing is revoked, and what would revoke is rejected with
   * `ERR_REVOCATION_UNAVAILABLE`
   */
  constructor(store: SessionStore | undefined, keyRing: KeyRing, options: RevocationsOptions = {}) {
    if (store !== undefined) checkStore('Revocations', store)
    checkKeyRing('Revocations', keyRing)
    checkOptions('Revocations', options, { maxStaleMs: CHECKED_LATER, now: A_FUNCTION, onError: A_FUNCTION })
    const { maxStaleMs = 10_000, now = Date.now, onError = () => undefined } = options
    this.#store = store
    this.#keyRing = keyRing
    this.#maxStaleMs = checkInteger('maxStaleMs', maxStaleMs, MARK_LIFE_MS, 100)
    this.#now = now
    this.#onError = onError
    this.#writer = new MarkWriter({
      keyRing,
      now,
      add: (marks) => this.#inTime(store?.addMarks(marks)),
      newest: () => this.#chain.newest(this.#allBeforeMs),
      onMade: (marks) => {
        for (const mark of marks) this.#adopt(mark)
      },
    })
    if (store === undefined) {
      this.#freshSinceMs = Number.POSITIVE_INFINITY
      this.ready = Promise.resolve()
      return
    }
    this.ready = this.#refreshAndGoOn()
    this.#watchIfNeeded()
  }

  /**
   * All sessions of a client certificate.
   *
   * @param fingerprint256 - SHA-256 of its DER: 32 bytes, or as in `peerCertificate.fingerprint256`
   * @returns when the store has acknowledged it; on a rejection it holds here, and is tried again with each refresh
   */
  async revokeClient(fingerprint256: Uint8Array | string, options?: RevokeOptions): Promise<void> {
    await this.#revoke('client', readFingerprint(fingerprint256), options)
  }

  /**
   * All sessions that were made for a server name.
   *
   * @param serverName - a whole name as clients send it, in any case, or in Unicode; `undefined` for sessions without SNI
   * @throws (rejects) {@link ArgumentError} for what no client sends: a URL, a port, a wildcard
   */
  async revokeServerName(serverName: string | undefined, options?: RevokeOptions): Promise<void> {
    return this.#revoke('server-name', nameSubject(readServerName(serverName)), options)
  }

  /** All sessions of all clients. */
  revokeAll(options?: RevokeOptions): Promise<void> {
    return this.#revoke('all', EMPTY, options)
  }

  /** Reads the marks now. Rejects as the store does. */
  refresh(): Promise<void> {
    if (this.#store === undefined) return Promise.resolve()
    if (this.#running === undefined) {
      this.#running = this.#refresh().finally(() => {
        this.#running = undefined
      })
      return this.#running
    }
    // The one under way may have read what was before; all who come meanwhile share the next one.
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined
        return this.refresh()
      })
    return this.#next
  }

  /**
   * @param session - the one to be resumed
   * @param authenticatedAtSec - of the full handshake that it goes back to, seconds since the epoch
   * @throws {@link ArgumentError} for anything else: it must not pass for a session that nobody has revoked
   */
  objectionTo(session: RevocableSession, authenticatedAtSec: number): RevocationObjection | undefined {
    checkRevocable(session, authenticatedAtSec)
    if (performance.now() - this.#freshSinceMs > this.#maxStaleMs) return 'revocation-unknown'
    const authenticatedAtMs = authenticatedAtSec * 1000
    if (authenticatedAtMs < this.#allBeforeMs) return 'revoked'
    for (const [kind, subject] of subjectsOf(session))
      if (this.#counts[kind] > 0 && this.#isRevoked(kind, subject(), authenticatedAtMs)) return 'revoked'
    return undefined
  }

  get stats(): RevocationStats {
    return {
      marks: this.#held.size,
      staleMs: Math.max(0, performance.now() - this.#freshSinceMs),
      failedRefreshes: this.#failedRefreshes,
      unverified: this.#unverified,
      broken: this.#broken,
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#freshSinceMs = Number.NEGATIVE_INFINITY
    await this.#endWatching?.()
  }

  async #revoke(kind: Kind, subject: Uint8Array, options: RevokeOptions = {}): Promise<void> {
    checkOptions('revoke', options, { madeBeforeMs: CHECKED_LATER })
    const nowMs = Math.floor(this.#now())
    const { madeBeforeMs = nowMs } = options
    checkInteger('madeBeforeMs', madeBeforeMs, nowMs)
    if (this.#store === undefined)
      throw new RevocationUnavailableError(
        'there is no store for the mark, so that it would hold in this process alone, until it restarts: give Revocations ' +
          'a store, or end tickets by replaceSecrets of their key ring, or by authenticatedAfterMs in all processes',
      )
    if (this.#chain.size + this.#writer.waiting >= MAX_REVOCATIONS) throw tooManyMarks(MAX_REVOCATIONS)
    await this.#holdAndWrite({ kind, subject, madeBeforeMs })
  }

  /** It holds here at once, whatever becomes of the writing. */
  #holdAndWrite(content: MarkContent): Promise<void> {
    const { kind, subject, madeBeforeMs } = content
    const [name = ''] = namesOf(this.#keyRing, kind, subject)
    this.#hold({ name, kind, madeBeforeMs })
    return this.#writer.write(content)
  }

  #isRevoked(kind: Kind, subject: Uint8Array, authenticatedAtMs: number): boolean {
    return namesOf(this.#keyRing, kind, subject).some((name) => {
      const mark = this.#held.get(name)
      return mark !== undefined && authenticatedAtMs < mark.madeBeforeMs
    })
  }

  async #refresh(): Promise<void> {
    const startedMs = performance.now()
    await this.#forgetExpired()
    let roots = await this.#read()
    if (roots.length === 0) {
      const written = this.#beginAnew()
      this.#confirm(startedMs)
      await written
      return
    }
    let report = await this.#examine()
    if (report.isBroken) {
      // An engine may show what is added together one after the other; what is missing stays missing.
      roots = await this.#read()
      report = await this.#examine()
    }
    const written = report.isBroken ? this.#distrust() : undefined
    this.#confirm(startedMs)
    await written
    this.#root = undefined
    await this.#complete(roots)
    await this.#writer.name(report.unnamed)
  }

  /** What the store has is known here. That it takes nothing more, since it is full or read-only, says nothing against that. */
  #confirm(startedMs: number): void {
    if (!this.#isClosed) this.#freshSinceMs = Math.max(this.#freshSinceMs, startedMs)
  }

  #examine(): ReturnType<MarkChain['examine']> {
    return this.#chain.examine(this.#now(), this.#allBeforeMs)
  }

  /** @returns the roots among the marks of the store */
  async #read(): Promise<Mark[]> {
    const stored = (await this.#inTime(this.#store?.getMarks())) ?? []
    if (stored.length > MAX_READ) throw tooManyMarks(MAX_READ)
    const known = new Map<string, Mark | undefined>()
    const roots: Mark[] = []
    let unverified = 0
    await inTurns(stored, (bytes) => {
      const key = byteKey(bytes)
      const isNew = !this.#known.has(key)
      const mark = isNew ? readMark(this.#keyRing, bytes) : this.#known.get(key)
      known.set(key, mark)
      if (mark === undefined) unverified++
      else this.#adopt(mark)
      if (mark !== undefined && isRoot(mark)) roots.push(mark)
      return isNew ? VERIFYING : 1
    })
    this.#known = known
    this.#unverified = unverified
    return roots
  }

  /** The store has no anchor, and nobody knows what it had: what was made before now may have been revoked. That holds here at once. */
  async #beginAnew(): Promise<void> {
    // Sessions know their second only: those of this one stay good, or a new store would refuse its first clients.
    this.#root ??= this.#newRoot(Math.floor(this.#now() / 1000) * 1000)
    const root = this.#root
    this.#adopt(root)
    await this.#writer.add([root, ...(await this.#chain.missing(() => false))])
    this.#root = undefined
  }

  /** Somebody has taken single marks away: what they revoked is not known. That holds here at once. */
  async #distrust(): Promise<void> {
    this.#broken++
    this.#report(
      new SessionStoreError('single revocation marks are missing from the store: nothing of before resumes', {
        code: 'ERR_SESSION_STORE_MARKS_MISSING',
      }),
    )
    await this.#holdAndWrite({ kind: 'all', subject: EMPTY, madeBeforeMs: Math.floor(this.#now()) })
  }

  /** What is held here and missing there was never acknowledged, or lost: it is put there again. */
  async #complete(roots: readonly Mark[]): Promise<void> {
    const missing = await this.#chain.missing(({ bytes }) => this.#known.has(byteKey(bytes)))
    // One that the first secret has signed is there when the others are gone.
    const [first] = this.#keyRing.secretIds
    if (first !== undefined && !roots.some(({ secretId }) => secretId === byteKey(first)))
      missing.push(this.#newRoot(Math.max(...roots.map(({ madeBeforeMs }) => madeBeforeMs))))
    await this.#writer.add(missing)
  }

  #newRoot(madeBeforeMs: number): Mark {
    return makeMark(this.#keyRing, { kind: 'anchor', subject: EMPTY, madeBeforeMs }, this.#now())
  }

  /** A store without a guard may never answer. */
  async #inTime<T>(answer: Awaitable<T>): Promise<T> {
    return isPromiseLike(answer)
      ? inTime(answer, { deadlineMs: this.#maxStaleMs, what: 'a call for the marks', holdsProcess: false })
      : answer
  }

  #adopt(mark: Mark): void {
    if (!isRoot(mark)) this.#chain.add(mark)
    if (!isTip(mark) && mark.madeBeforeMs >= this.#now() - MARK_LIFE_MS) this.#hold(mark)
  }

  #hold(mark: HeldMark): void {
    if (mark.kind === 'all' || mark.kind === 'anchor')
      this.#allBeforeMs = Math.max(this.#allBeforeMs, mark.madeBeforeMs)
    const held = this.#held.get(mark.name)
    if (held !== undefined && held.madeBeforeMs >= mark.madeBeforeMs) return
    if (held === undefined) this.#counts[mark.kind]++
    const { name, kind, madeBeforeMs } = mark
    this.#held.set(name, { name, kind, madeBeforeMs })
  }

  async #forgetExpired(): Promise<void> {
    const nowMs = this.#now()
    await this.#chain.forgetExpired(nowMs)
    await inTurns(this.#held, ([name, { kind, madeBeforeMs }]) => {
      if (madeBeforeMs >= nowMs - MARK_LIFE_MS) return
      this.#held.delete(name)
      this.#counts[kind]--
    })
  }

  /** An engine that could not be watched, since it was not there yet, is asked again when it answers. */
  #watchIfNeeded(): void {
    if (this.#isWatching || this.#isClosed) return
    this.#isWatching = true
    this.#watch().catch((error: unknown) => {
      this.#isWatching = false
      this.#report(error)
    })
  }

  /** Pushed marks come one by one: they revoke at once, and are examined when they are read with the others. */
  async #watch(): Promise<void> {
    const end = await this.#store?.watchMarks?.((bytes) => {
      const mark = this.#held.size < MAX_MARKS ? readMark(this.#keyRing, bytes) : undefined
      if (mark !== undefined && !isTip(mark) && mark.madeBeforeMs >= this.#now() - MARK_LIFE_MS)
        this.#hold(mark)
    })
    if (this.#isClosed) await end?.()
    else this.#endWatching = end
  }

  async #refreshAndGoOn(): Promise<void> {
    try {
      await this.refresh()
      this.#watchIfNeeded()
    } catch (error) {
      this.#failedRefreshes++
      this.#report(error)
    }
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.#refreshAndGoOn(), this.#maxStaleMs / REFRESHES_IN_MAX_STALE)
    this.#timer.unref()
  }

  #report(error: unknown): void {
    callListener(
      () => this.#onError(error),
      (thrown) => process.emitWarning(warningOf(thrown)),
    )
  }
}

type HeldMark = Pick<Mark, 'name' | 'kind' | 'madeBeforeMs'>

function tooManyMarks(bound: number): SessionStoreError {
  return new SessionStoreError(`there are more than ${bound} revocation marks`, {
    code: 'ERR_SESSION_STORE_UNAVAILABLE',
  })
}

function subjectsOf({ peerCertificate, hostname }: RevocableSession): (readonly [Kind, () => Uint8Array])[] {
  return [
    ['server-name', () => nameSubject(hostname)],
    ...(peerCertificate === undefined
      ? []
      : [['client', () => nodeCrypto().createHash('sha256').update(peerCertificate).digest()] as const]),
  ]
}

function checkRevocable(session: RevocableSession, authenticatedAtSec: number): void {
  if (typeof session !== 'object' || session === null)
    throw new ArgumentError(`the session of objectionTo must be an SslSession, got ${kindOf(session)}`)
  const { hostname, peerCertificate } = session
  if (peerCertificate !== undefined) checkBytes('peerCertificate of the session', peerCertificate)
  if (hostname !== undefined && typeof hostname !== 'string')
    throw new ArgumentError(`the hostname of the session must be a string, got ${kindOf(hostname)}`)
  if (!Number.isFinite(authenticatedAtSec))
    throw new ArgumentError(
      `authenticatedAtSec must be a number of seconds, got ${kindOf(authenticatedAtSec)}`,
    )
}

function readFingerprint(fingerprint: Uint8Array | string): Uint8Array {
  if (typeof fingerprint !== 'string') checkBytes('fingerprint, if it is no string,', fingerprint)
  const bytes =
    typeof fingerprint === 'string' ? Buffer.from(fingerprint.replaceAll(':', ''), 'hex') : fingerprint
  if (bytes.length !== 32)
    throw new SessionRangeError(`a SHA-256 fingerprint has 32 bytes, this one ${bytes.length}`)
  return bytes
}
