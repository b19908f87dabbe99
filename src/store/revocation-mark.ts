import { nodeCrypto } from '../crypto.ts'
import { utf8 } from '../session/bytes.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import type { StoredMark } from '../session/session-store.ts'
import { byteKey } from './byte-key.ts'
import type { KeyRing } from './key-ring.ts'

/**
 * What a mark says:
 * - `anchor` without links: nothing of the set was lost since its moment; what was made before that is revoked
 * - `anchor` with links, a *tip*: these marks are there, and nobody has seen another one after them
 * - the others: whose sessions are revoked
 */
export const KINDS = { anchor: 0, all: 1, client: 2, 'server-name': 3 } as const
export type Kind = keyof typeof KINDS

const KIND_NAMES = Object.keys(KINDS) as Kind[]

/** No authentication counts for longer (RFC 9846 §4.7.1, RFC 8446 §4.6.1), so a mark that is older has nothing left to revoke. */
export const MARK_LIFE_MS: number = ONE_WEEK_SEC * 1000
/** The next mark makes a tip superfluous, so it need not stay; where nothing comes after it, it is renewed in time. */
export const TIP_LIFE_MS = 86_400_000

/** Another mark that must be there as well. */
export interface Link {
  readonly id: string
  /** Milliseconds since the epoch; it was written up to {@link LINK_UNIT_MS} before. */
  readonly writtenMs: number
}

/** A mark, verified or made here. */
export interface Mark {
  /** Tells marks apart. */
  readonly id: string
  /** The name of its subject: a later mark of the same name takes the place of an earlier one. */
  readonly name: string
  readonly kind: Kind
  /** Milliseconds since the epoch: what was authenticated before is revoked. */
  readonly madeBeforeMs: number
  /** Milliseconds since the epoch, not before that of a mark it links to. */
  readonly writtenMs: number
  readonly links: readonly Link[]
  readonly secretId: string
  readonly bytes: Uint8Array
}

/** What a mark is to say. */
export interface MarkContent {
  readonly kind: Kind
  readonly subject: Uint8Array
  readonly madeBeforeMs: number
}

/**
 * version(1), kind(1), secret id(4), made before(6), written(6), subject(12, a keyed hash), two links (id(6), age(3)), MAC over all
 * that(16). Times are in milliseconds, ages in {@link LINK_UNIT_MS}. Subject and MAC are keyed: who reads the store cannot tell whose
 * mark it is, who writes to it cannot make one.
 */
const VERSION = 2
const SECRET_AT = 2
const MADE_BEFORE_AT = 6
const WRITTEN_AT = 12
const SUBJECT_AT = 18
const LINKS_AT = 30
const LINK_LENGTH = 9
const ID_LENGTH = 6
const MAC_AT = 48
const LENGTH = 64
export const LINK_UNIT_MS = 50
const MAX_AGE = 2 ** 24 - 1
const NO_LINK = '\0'.repeat(ID_LENGTH)

/** @param after - at most two marks that must be there as well */
export function makeMark(
  keyRing: KeyRing,
  { kind, subject, madeBeforeMs }: MarkContent,
  nowMs: number,
  after: readonly Mark[] = [],
): Mark {
  const { secretId, mac } = keyRing.signMark(subjectData(kind, subject))
  const writtenMs = Math.max(nowMs, ...after.map((mark) => mark.writtenMs))
  const bytes = Buffer.alloc(LENGTH)
  bytes[0] = VERSION
  bytes[1] = KINDS[kind]
  bytes.set(secretId, SECRET_AT)
  bytes.writeUIntBE(madeBeforeMs, MADE_BEFORE_AT, 6)
  bytes.writeUIntBE(writtenMs, WRITTEN_AT, 6)
  bytes.set(mac.subarray(0, LINKS_AT - SUBJECT_AT), SUBJECT_AT)
  for (const [index, linked] of after.entries()) {
    const at = LINKS_AT + index * LINK_LENGTH
    const age = Math.min(Math.floor((writtenMs - linked.writtenMs) / LINK_UNIT_MS), MAX_AGE)
    bytes.write(linked.id, at, 'latin1')
    bytes.writeUIntBE(age, at + ID_LENGTH, 3)
  }
  bytes.set(keyRing.signMark(bytes.subarray(0, MAC_AT)).mac.subarray(0, LENGTH - MAC_AT), MAC_AT)
  return parse(kind, bytes)
}

/** @returns undefined when no secret of the ring has signed it */
export function readMark(keyRing: KeyRing, input: Uint8Array): Mark | undefined {
  const kind = KIND_NAMES.find((name) => KINDS[name] === input[1])
  if (input.length !== LENGTH || input[0] !== VERSION || kind === undefined) return undefined
  const bytes = Buffer.from(input)
  const mac = keyRing
    .markMac(bytes.subarray(SECRET_AT, MADE_BEFORE_AT), bytes.subarray(0, MAC_AT))
    ?.subarray(0, LENGTH - MAC_AT)
  if (mac === undefined || !nodeCrypto().timingSafeEqual(mac, bytes.subarray(MAC_AT))) return undefined
  return parse(kind, bytes)
}

function parse(kind: Kind, bytes: Buffer): Mark {
  const secretId = byteKey(bytes.subarray(SECRET_AT, MADE_BEFORE_AT))
  const writtenMs = bytes.readUIntBE(WRITTEN_AT, 6)
  const links = [LINKS_AT, LINKS_AT + LINK_LENGTH].flatMap((at) => {
    const id = byteKey(bytes.subarray(at, at + ID_LENGTH))
    return id === NO_LINK
      ? []
      : { id, writtenMs: writtenMs - bytes.readUIntBE(at + ID_LENGTH, 3) * LINK_UNIT_MS }
  })
  return {
    id: byteKey(bytes.subarray(MAC_AT, MAC_AT + ID_LENGTH)),
    name: `${kind}:${secretId}:${byteKey(bytes.subarray(SUBJECT_AT, LINKS_AT))}`,
    madeBeforeMs: bytes.readUIntBE(MADE_BEFORE_AT, 6),
    ...{ kind, writtenMs, links, secretId },
    bytes: new Uint8Array(bytes),
  }
}

export function isTip({ kind, links }: Mark): boolean {
  return kind === 'anchor' && links.length > 0
}

export function isRoot({ kind, links }: Mark): boolean {
  return kind === 'anchor' && links.length === 0
}

/** Milliseconds since the epoch; Infinity for what tells an empty set from a lost one. */
export function expiryOf(mark: Mark): number {
  if (isRoot(mark)) return Number.POSITIVE_INFINITY
  return mark.writtenMs + (isTip(mark) ? TIP_LIFE_MS : MARK_LIFE_MS)
}

export function storedMark(mark: Mark): StoredMark {
  return { mark: mark.bytes, expiresAtMs: expiryOf(mark) }
}

/** The name of a mark about this subject, by each secret of the ring: which one has signed it is not known. */
export function namesOf(keyRing: KeyRing, kind: Kind, subject: Uint8Array): string[] {
  const data = subjectData(kind, subject)
  return keyRing.secretIds.flatMap((secretId) => {
    const hash = keyRing.markMac(secretId, data)
    return hash ? `${kind}:${byteKey(secretId)}:${byteKey(hash.subarray(0, LINKS_AT - SUBJECT_AT))}` : []
  })
}

/** Never equal to what is signed as a mark, which begins with {@link VERSION}. */
function subjectData(kind: Kind, subject: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`subject ${kind}:`), subject])
}

/** Names are compared as in DNS, the dot of the root left out. A session without one is told from one for the empty name. */
export function nameSubject(servername: string | undefined): Uint8Array {
  return servername === undefined ? Uint8Array.of(0) : utf8(servername.toLowerCase().replace(/\.$/, ''))
}
