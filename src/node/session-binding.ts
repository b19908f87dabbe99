import { LRUCache } from 'lru-cache'
import { nodeCrypto } from '../crypto.ts'
import { equalBytes } from '../session/bytes.ts'
import type { SslSession } from '../session/ssl-session.ts'

/** What a session is made for, and only good for. */
export interface Binding {
  /** The session id context of the connection, as its owner set it. */
  readonly ownContext: Uint8Array
  /** As the client sent it. */
  readonly servername: string | undefined
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  readonly policyDigest: Uint8Array
  /** What the owner's `policy` answered; undefined when there is none, which is not the same as an empty answer. */
  readonly ownPolicy: string | undefined
}

/**
 * The session id context of a bound session: [4] of its DER. That it must equal the connection's is libssl's own rule
 * (R3.3 step 4), and thereby the isolation of names and policies.
 *
 * @returns 32 bytes
 */
export function bindingContext(binding: Binding): Uint8Array {
  return hashesOf(binding).context
}

interface BindingHashes {
  readonly binding: Binding
  readonly context: Uint8Array
  readonly tag: Uint8Array
}

/** The latest, since a server has few of them and hashing takes longer than a lookup. Names come from clients. */
const known = new LRUCache<string, BindingHashes>({ max: 1000 })

/** @returns not to be changed */
function hashesOf(binding: Binding): BindingHashes {
  const key = `${binding.servername ?? ''}:${binding.ownPolicy ?? ''}`
  const latest = known.get(key)
  if (latest !== undefined && isSameBinding(latest.binding, binding)) return latest
  const tag = hashPolicy(binding)
  const hashes = { binding, context: hashBinding(binding, tag), tag }
  known.set(key, hashes)
  return hashes
}

function hashBinding({ ownContext, servername }: Binding, tag: Uint8Array): Uint8Array {
  const hash = nodeCrypto().createHash('sha256').update('sslctx binding 1')
  for (const field of [ownContext, Buffer.from(servername ?? ''), tag])
    hash.update(`${field.length}:`).update(field)
  return new Uint8Array(hash.digest())
}

/** Without the cost of hashing both. */
export function isSameBinding(one: Binding, other: Binding): boolean {
  return (
    one.servername === other.servername &&
    one.requestCert === other.requestCert &&
    one.rejectUnauthorized === other.rejectUnauthorized &&
    one.ownPolicy === other.ownPolicy &&
    equalBytes(one.policyDigest, other.policyDigest) &&
    equalBytes(one.ownContext, other.ownContext)
  )
}

/** Tells a changed policy from another context, when a session does not fit: both change {@link bindingContext}. */
function policyTag(binding: Binding): Uint8Array {
  return hashesOf(binding).tag
}

function hashPolicy({ requestCert, rejectUnauthorized, policyDigest, ownPolicy }: Binding): Uint8Array {
  const hash = nodeCrypto()
    .createHash('sha256')
    .update(`${requestCert} ${rejectUnauthorized} ${ownPolicy !== undefined} `)
  hash.update(policyDigest).update(Buffer.from(ownPolicy ?? ''))
  return new Uint8Array(hash.digest().subarray(0, TAG_LENGTH))
}

/** What is carried from the first full handshake through every resumption, in [18] of the DER. */
export interface SessionOrigin {
  /** Of the full handshake, seconds since the epoch. */
  readonly authenticatedAtSec: number
  /** When the first certificate of the client's chain expires, seconds since the epoch; Infinity without one. */
  readonly chainEndSec: number
  readonly policyTag: Uint8Array
}

const FORMAT_VERSION = 1
const TAG_LENGTH = 16
/** version(1), authenticatedAtSec(6), chainEndSec(6), policyTag(16); Infinity is the largest number of six bytes. */
const LENGTH = 1 + 6 + 6 + TAG_LENGTH
const MAX_UINT48 = 2 ** 48 - 1

export function writeOrigin(
  session: SslSession,
  origin: Omit<SessionOrigin, 'policyTag'>,
  binding: Binding,
): void {
  const bytes = Buffer.alloc(LENGTH)
  bytes.writeUInt8(FORMAT_VERSION, 0)
  bytes.writeUIntBE(origin.authenticatedAtSec, 1, 6)
  bytes.writeUIntBE(Math.min(origin.chainEndSec, MAX_UINT48), 7, 6)
  bytes.set(policyTag(binding), 13)
  session.setTicketAppData(bytes)
}

/** @returns undefined for a session of another format, or of nobody's */
export function readOrigin(session: SslSession): SessionOrigin | undefined {
  const data = session.ticketAppData
  if (data === undefined || data.length !== LENGTH || data[0] !== FORMAT_VERSION) return undefined
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
  const chainEndSec = bytes.readUIntBE(7, 6)
  return {
    authenticatedAtSec: bytes.readUIntBE(1, 6),
    chainEndSec: chainEndSec === MAX_UINT48 ? Number.POSITIVE_INFINITY : chainEndSec,
    policyTag: bytes.subarray(13),
  }
}

/** Why a session of another {@link bindingContext} does not fit this one. */
export function mismatchReason(
  session: SslSession,
  binding: Binding,
): 'server-name-mismatch' | 'policy-changed' | 'session-id-context-mismatch' {
  if (session.hostname !== binding.servername) return 'server-name-mismatch'
  const origin = readOrigin(session)
  const isSamePolicy = origin !== undefined && Buffer.from(policyTag(binding)).equals(origin.policyTag)
  return isSamePolicy ? 'session-id-context-mismatch' : 'policy-changed'
}
