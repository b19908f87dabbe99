import { nodeCrypto } from '../crypto.ts'
import { SessionRangeError } from '../errors.ts'
import { type Awaitable, isPromiseLike } from '../session/awaitable.ts'
import { equalBytes, utf8 } from '../session/bytes.ts'
import { checkInteger, ONE_WEEK_SEC } from '../session/ranges.ts'
import type { SessionStore, StoredMark } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import { inTurns } from './in-turns.ts'
import type { KeyRing } from './key-ring.ts'
import { inTime } from './store-calls.ts'

/** How current the marks of {@link Revocations} must be. */
export interface RevocationsOptions {
  /**
   * Milliseconds that the marks of this process may lag behind those of the store: 10000 by default, 100 at least. Older than
   * that, nothing resumes.
   */
  readonly maxStaleMs?: number
  /** Milliseconds since the epoch; the system's clock by default. */
  readonly now?: () => number
  /** A refresh has failed; the next one comes by itself. */
  readonly onError?: (error: unknown) => void
}

/** Which of the sessions a mark ends. */
export interface RevokeOptions {
  /** Milliseconds since the epoch: what was authenticated before goes. Now, by default; not in the future. */
  readonly madeBeforeMs?: number
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
}

/** An anchor says that nothing of the set was lost since its moment; what was made before that is revoked. */
const KINDS = { anchor: 0, all: 1, client: 2, 'server-name': 3 } as const
type Kind = keyof typeof KINDS

/** No authentication counts for longer (RFC 8446 §4.6.1), so a mark that is older has nothing left to revoke. */
const MARK_LIFE_MS = ONE_WEEK_SEC * 1000
const REFRESHES_IN_MAX_STALE = 3

/**
 * Revokes sessions in all processes that share a store: by marks that each process holds and checks at each resumption.
 * Hand it to `attachServer`. {@link close} it at the end; it closes no store.
 *
 * A revocation is known here at once, and elsewhere with the next refresh, at most `maxStaleMs` after it was acknowledged;
 * an engine that pushes is faster. When the marks cannot be refreshed for `maxStaleMs`, nothing resumes. When the store has
 * lost its marks, nothing resumes that was made before that was found out.
 *
 * Times are compared with the clocks of the processes that made the sessions, which must agree within what is tolerable.
 */
export class Revocations {
  readonly #store: SessionStore
  readonly #keyRing: KeyRing
  readonly #maxStaleMs: number
  readonly #now: () => number
  readonly #onError: (error: unknown) => void
  /** The latest mark of each subject, by {@link nameOf}. */
  readonly #held: Map<string, Mark> = new Map()
  /** Held marks of each kind: what nobody has revoked need not be hashed. */
  readonly #counts: Record<Kind, number> = { anchor: 0, all: 0, client: 0, 'server-name': 0 }
  /** Of the latest mark for all, the anchor among them: there is always one. */
  #allBeforeMs = 0
  /** On the clock of `performance.now`, which nobody sets. */
  #freshSinceMs = Number.NEGATIVE_INFINITY
  #failedRefreshes = 0
  #unverified = 0
  #timer: NodeJS.Timeout | undefined
  #endWatching: (() => Awaitable<void>) | undefined
  #isClosed = false
  /** The first refresh, good or bad: wait for it before listening, so that the first clients resume. */
  readonly ready: Promise<void>

  constructor(
    store: SessionStore,
    keyRing: KeyRing,
    { maxStaleMs = 10_000, now = Date.now, onError = () => undefined }: RevocationsOptions = {},
  ) {
    this.#store = store
    this.#keyRing = keyRing
    this.#maxStaleMs = checkInteger('maxStaleMs', maxStaleMs, MARK_LIFE_MS, 100)
    this.#now = now
    this.#onError = onError
    this.ready = this.#refreshAndGoOn()
    this.#watch().catch((error: unknown) => this.#report(error))
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

  /** All sessions that were made for a server name; `undefined` for those without SNI. */
  revokeServerName(servername: string | undefined, options?: RevokeOptions): Promise<void> {
    return this.#revoke('server-name', nameSubject(servername), options)
  }

  /** All sessions of all clients. */
  revokeAll(options?: RevokeOptions): Promise<void> {
    return this.#revoke('all', new Uint8Array(0), options)
  }

  /** Reads the marks now. Rejects as the store does. */
  async refresh(): Promise<void> {
    const startedMs = performance.now()
    const stored = await this.#inTime(this.#store.getMarks())
    await this.#forgetExpired()
    const { anchors, present } = await this.#adoptAll(stored ?? [])
    if (anchors.length === 0) await this.#beginAnew()
    else await this.#complete(present, anchors)
    if (this.#isClosed) return
    this.#freshSinceMs = Math.max(this.#freshSinceMs, startedMs)
  }

  /**
   * @param session - the one to be resumed
   * @param authenticatedAtSec - of the full handshake that it goes back to, seconds since the epoch
   */
  objectionTo(session: RevocableSession, authenticatedAtSec: number): RevocationObjection | undefined {
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
      staleMs: performance.now() - this.#freshSinceMs,
      failedRefreshes: this.#failedRefreshes,
      unverified: this.#unverified,
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#freshSinceMs = Number.NEGATIVE_INFINITY
    await this.#endWatching?.()
  }

  async #revoke(
    kind: Kind,
    subject: Uint8Array,
    { madeBeforeMs = this.#now() }: RevokeOptions = {},
  ): Promise<void> {
    checkInteger('madeBeforeMs', madeBeforeMs, this.#now())
    const mark = makeMark(this.#keyRing, kind, subject, madeBeforeMs)
    this.#hold(mark)
    await this.#add([mark])
  }

  #isRevoked(kind: Kind, subject: Uint8Array, authenticatedAtMs: number): boolean {
    const data = subjectData(kind, subject)
    return this.#keyRing.secretIds.some((secretId) => {
      const hash = this.#keyRing.markMac(secretId, data)
      const mark = hash && this.#held.get(nameOf(kind, secretId, hash))
      return mark !== undefined && authenticatedAtMs < mark.madeBeforeMs
    })
  }

  /** The store has no anchor, and nobody knows what it had: what was made before now may have been revoked. */
  async #beginAnew(): Promise<void> {
    // Sessions know their second only: those of this one stay good, or a new store would refuse its first clients.
    const anchor = makeAnchor(this.#keyRing, Math.floor(this.#now() / 1000) * 1000)
    this.#hold(anchor)
    await this.#add([anchor, ...this.#revoking()])
  }

  async #add(marks: readonly Mark[]): Promise<void> {
    if (marks.length > 0) await this.#inTime(this.#store.addMarks(marks.map(storedMark)))
  }

  /** A store without a guard may never answer. */
  async #inTime<T>(answer: Awaitable<T>): Promise<T> {
    return isPromiseLike(answer)
      ? inTime(answer, { deadlineMs: this.#maxStaleMs, what: 'a call for the marks', holdsProcess: false })
      : answer
  }

  /** Held marks that somebody has made: an anchor is of one store, and never put back. */
  #revoking(): Mark[] {
    return [...this.#held.values()].filter(({ kind }) => kind !== 'anchor')
  }

  /** What is held here and missing there was never acknowledged, or lost: it is put there again. */
  async #complete(present: ReadonlySet<Mark>, anchors: readonly Mark[]): Promise<void> {
    const missing: Mark[] = []
    await inTurns(this.#held.values(), (mark) => {
      if (mark.kind !== 'anchor' && !present.has(mark)) missing.push(mark)
    })
    // One that the first secret has signed is there when the others are gone.
    const [secretId] = this.#keyRing.secretIds
    if (secretId !== undefined && !anchors.some(({ bytes }) => equalBytes(secretIdOf(bytes), secretId)))
      missing.push(makeAnchor(this.#keyRing, Math.max(...anchors.map(({ madeBeforeMs }) => madeBeforeMs))))
    await this.#add(missing)
  }

  /** @returns the anchors among them, and which of the held marks are there, byte for byte */
  async #adoptAll(stored: readonly Uint8Array[]): Promise<{ anchors: Mark[]; present: Set<Mark> }> {
    const anchors: Mark[] = []
    const present = new Set<Mark>()
    let unverified = 0
    await inTurns(stored, (bytes) => {
      const held = this.#heldAs(bytes)
      if (held !== undefined) present.add(held)
      const mark = held !== undefined && this.#isSignedByRing(bytes) ? held : this.#adopt(bytes)
      if (mark === undefined) unverified++
      else if (mark.kind === 'anchor') anchors.push(mark)
      else present.add(mark)
    })
    this.#unverified = unverified
    return { anchors, present }
  }

  /** A mark that was verified before, and has not changed since: each refresh brings all of them. */
  #heldAs(bytes: Uint8Array): Mark | undefined {
    const name = claimedName(bytes)
    const held = name === undefined ? undefined : this.#held.get(name)
    return held !== undefined && equalBytes(held.bytes, bytes) ? held : undefined
  }

  /** Of a mark that was verified: its secret may have left the ring since. */
  #isSignedByRing(bytes: Uint8Array): boolean {
    return this.#keyRing.secretIds.some((id) => equalBytes(id, secretIdOf(bytes)))
  }

  #adopt(bytes: Uint8Array): Mark | undefined {
    const mark = readMark(this.#keyRing, bytes)
    if (mark !== undefined && mark.madeBeforeMs >= this.#now() - MARK_LIFE_MS) this.#hold(mark)
    return mark
  }

  #hold(mark: Mark): void {
    if (mark.kind === 'all' || mark.kind === 'anchor')
      this.#allBeforeMs = Math.max(this.#allBeforeMs, mark.madeBeforeMs)
    const held = this.#held.get(mark.name)
    if (held !== undefined && held.madeBeforeMs >= mark.madeBeforeMs) return
    if (held === undefined) this.#counts[mark.kind]++
    this.#held.set(mark.name, mark)
  }

  #forgetExpired(): Promise<void> {
    const oldestMs = this.#now() - MARK_LIFE_MS
    return inTurns(this.#held, ([name, mark]) => {
      // Another one may have come under this name since.
      if (mark.madeBeforeMs >= oldestMs || this.#held.get(name) !== mark) return
      this.#held.delete(name)
      this.#counts[mark.kind]--
    })
  }

  async #watch(): Promise<void> {
    const end = await this.#store.watchMarks?.((bytes) => {
      if (this.#adopt(bytes) === undefined) this.#unverified++
    })
    if (this.#isClosed) await end?.()
    else this.#endWatching = end
  }

  async #refreshAndGoOn(): Promise<void> {
    try {
      await this.refresh()
    } catch (error) {
      this.#failedRefreshes++
      this.#report(error)
    }
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.#refreshAndGoOn(), this.#maxStaleMs / REFRESHES_IN_MAX_STALE)
    this.#timer.unref()
  }

  #report(error: unknown): void {
    try {
      this.#onError(error)
    } catch (thrown) {
      process.emitWarning(thrown instanceof Error ? thrown : String(thrown))
    }
  }
}

interface Mark {
  readonly name: string
  readonly kind: Kind
  readonly madeBeforeMs: number
  readonly bytes: Uint8Array
}

/**
 * version(1), kind(1), secret id(4), made before(6, milliseconds), subject(16, a keyed hash), MAC over all that(16). Both are
 * keyed: who reads the store cannot tell whose mark it is, who writes to it cannot make one.
 */
const VERSION = 1
const SUBJECT_AT = 12
const MAC_AT = 28
const LENGTH = 44

function makeMark(keyRing: KeyRing, kind: Kind, subject: Uint8Array, madeBeforeMs: number): Mark {
  const { secretId, mac } = keyRing.signMark(subjectData(kind, subject))
  const bytes = Buffer.alloc(LENGTH)
  bytes[0] = VERSION
  bytes[1] = KINDS[kind]
  bytes.set(secretId, 2)
  bytes.writeUIntBE(madeBeforeMs, 6, 6)
  bytes.set(mac.subarray(0, MAC_AT - SUBJECT_AT), SUBJECT_AT)
  bytes.set(keyRing.signMark(bytes.subarray(0, MAC_AT)).mac.subarray(0, LENGTH - MAC_AT), MAC_AT)
  return { name: nameOf(kind, secretId, mac), kind, madeBeforeMs, bytes: new Uint8Array(bytes) }
}

/** @returns undefined when no secret of the ring has signed it */
function readMark(keyRing: KeyRing, input: Uint8Array): Mark | undefined {
  const bytes = Buffer.from(input)
  const kind = claimedKind(bytes)
  if (kind === undefined) return undefined
  const secretId = secretIdOf(bytes)
  const mac = keyRing.markMac(secretId, bytes.subarray(0, MAC_AT))?.subarray(0, LENGTH - MAC_AT)
  if (mac === undefined || !nodeCrypto().timingSafeEqual(mac, bytes.subarray(MAC_AT))) return undefined
  const subject = bytes.subarray(SUBJECT_AT, MAC_AT)
  return { name: nameOf(kind, secretId, subject), kind, madeBeforeMs: bytes.readUIntBE(6, 6), bytes }
}

/** Whose mark the bytes claim to be, before anybody has verified it. */
function claimedName(bytes: Uint8Array): string | undefined {
  const kind = claimedKind(bytes)
  return kind && nameOf(kind, secretIdOf(bytes), bytes.subarray(SUBJECT_AT, MAC_AT))
}

function claimedKind(bytes: Uint8Array): Kind | undefined {
  if (bytes.length !== LENGTH || bytes[0] !== VERSION) return undefined
  return KIND_NAMES.find((name) => KINDS[name] === bytes[1])
}

function secretIdOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(2, 6)
}

const KIND_NAMES = Object.keys(KINDS) as Kind[]

function makeAnchor(keyRing: KeyRing, madeBeforeMs: number): Mark {
  return makeMark(keyRing, 'anchor', new Uint8Array(0), madeBeforeMs)
}

function storedMark({ bytes, kind, madeBeforeMs }: Mark): StoredMark {
  const expiresAtMs = kind === 'anchor' ? Number.POSITIVE_INFINITY : madeBeforeMs + MARK_LIFE_MS
  return { mark: bytes, expiresAtMs }
}

function nameOf(kind: Kind, secretId: Uint8Array, subject: Uint8Array): string {
  const hash = Buffer.from(subject.buffer, subject.byteOffset, MAC_AT - SUBJECT_AT)
  return `${kind}:${Buffer.from(secretId).toString('hex')}:${byteKey(hash)}`
}

/** Never equal to what is signed as a mark, which begins with {@link VERSION}. */
function subjectData(kind: Kind, subject: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`subject ${kind}:`), subject])
}

function subjectsOf({ peerCertificate, hostname }: RevocableSession): (readonly [Kind, () => Uint8Array])[] {
  return [
    ['server-name', () => nameSubject(hostname)],
    ...(peerCertificate === undefined
      ? []
      : [['client', () => nodeCrypto().createHash('sha256').update(peerCertificate).digest()] as const]),
  ]
}

/** Names are compared as in DNS. A session without one is told from one for the empty name. */
function nameSubject(servername: string | undefined): Uint8Array {
  return servername === undefined ? Uint8Array.of(0) : utf8(servername.toLowerCase())
}

function readFingerprint(fingerprint: Uint8Array | string): Uint8Array {
  const bytes =
    typeof fingerprint === 'string' ? Buffer.from(fingerprint.replaceAll(':', ''), 'hex') : fingerprint
  if (bytes.length !== 32)
    throw new SessionRangeError(`a SHA-256 fingerprint has 32 bytes, this one ${bytes.length}`)
  return bytes
}
