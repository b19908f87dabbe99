import { LRUCache } from 'lru-cache'
import { nodeCrypto } from '../crypto.ts'
import { copyBytes, equalBytes, writeBytes } from '../session/bytes.ts'
import type { SslSession } from '../session/ssl-session.ts'
import { sessionInternals } from '../session/ssl-session.ts'
import { isSameProfile, type TrustProfile } from './trust-profile.ts'

/** What a session is made for, and only good for. */
export interface Binding {
  /** The session id context of the connection, as its owner set it. */
  readonly ownContext: Uint8Array
  /** As the client sent it, a UTF-16 unit for each byte; undefined without the extension. */
  readonly serverName: string | undefined
  readonly profile: TrustProfile
  /** What the owner's `policy` answered; undefined when there is none, which is not the same as an empty answer. */
  readonly ownPolicy: string | undefined
}

/**
 * The session id context of a bound session: [4] of its DER. That it must equal the connection's is libssl's own rule
 * (R3.3, the session id context), and thereby the isolation of names and trust profiles.
 *
 * @returns 32 bytes, not to be changed
 */
export function bindingContext(binding: Binding): Uint8Array {
  return hashesOf(binding).context
}

/** The server name that a bound session has, in bytes, not to be changed; null for none. */
export function bindingHostname(binding: Binding): Uint8Array | null {
  return hashesOf(binding).hostname
}

/** The length of the binding's hash; the rest of the 24 bytes, which 32 characters are in base64url, only tells why it differs. */
const TICKET_BINDING_LENGTH = 20
const TICKET_CONTEXT_LENGTH = 24

/**
 * The same of a connection with stateless tickets: Node takes it before it makes the SSL, and then it is in every ticket.
 *
 * @returns 32 ASCII characters, since Node takes nothing else
 */
export function ticketContextOf(binding: Binding): string {
  return hashesOf(binding).ticketContext
}

/** Why a ticket with another {@link ticketContextOf} does not fit. */
export function ticketMismatchReason(
  { hostname, sessionIdContext }: SslSession,
  binding: Binding,
): 'trust-changed' | 'server-name-mismatch' {
  const made = Buffer.from(sessionIdContext).toString('latin1')
  // Where Node makes a hash of it, libssl writes the name into the session.
  const isHash = !/^[\w-]{32}$/.test(made)
  const isSameName =
    hostname === binding.serverName && (isHash || nameIn(made).equals(nameIn(ticketContextOf(binding))))
  return isSameName ? 'trust-changed' : 'server-name-mismatch'
}

function nameIn(ticketContext: string): Buffer {
  return Buffer.from(ticketContext, 'base64url').subarray(TICKET_BINDING_LENGTH)
}

interface BindingHashes {
  readonly binding: Binding
  readonly context: Uint8Array
  readonly tag: Uint8Array
  readonly ticketContext: string
  /** The server name in bytes; null without one. */
  readonly hostname: Uint8Array | null
}

/** Without an answer of `policy`: a profile is that of one server name. Hashing takes longer than a lookup. */
const ofProfiles = new WeakMap<TrustProfile, BindingHashes>()
/** With one: the latest. Names and answers are bounded. */
const known = new LRUCache<string, BindingHashes>({ max: 1000 })
/** Longer answers of `policy` are hashed each time. */
const MAX_KNOWN_LENGTH = 512

/** Those of the latest {@link knownBinding}: a connection asks for them several times in a row. */
let latestHashes: BindingHashes | undefined

/** @returns the same object for the same binding, when it is without an answer of `policy` */
export function knownBinding(binding: Binding): Binding {
  if (binding.ownPolicy !== undefined) return binding
  latestHashes = hashesOf(binding)
  return latestHashes.binding
}

function hashesOf(binding: Binding): BindingHashes {
  if (latestHashes?.binding === binding) return latestHashes
  const { profile, serverName, ownPolicy } = binding
  const key =
    ownPolicy === undefined ? undefined : `${serverName === undefined ? '' : `=${serverName}`}:${ownPolicy}`
  const latest = key === undefined ? ofProfiles.get(profile) : known.get(key)
  if (latest !== undefined && isSameBinding(latest.binding, binding)) return latest
  const hashes = hash(binding)
  if (key === undefined) ofProfiles.set(profile, hashes)
  else if (key.length <= MAX_KNOWN_LENGTH) known.set(key, hashes)
  return hashes
}

function hash(binding: Binding): BindingHashes {
  const { serverName } = binding
  const tag = hashTrust(binding)
  const context = hashBinding(binding, tag)
  const hostname = serverName === undefined ? null : Buffer.from(serverName, 'latin1')
  return { binding, context, tag, ticketContext: ticketText(context, binding), hostname }
}

function ticketText(context: Uint8Array, { serverName }: Binding): string {
  const name = nodeCrypto()
    .createHash('sha256')
    .update(serverName === undefined ? '' : `=${serverName}`)
  const parts = [context.subarray(0, TICKET_BINDING_LENGTH), name.digest()]
  return Buffer.concat(parts, TICKET_CONTEXT_LENGTH).toString('base64url')
}

function hashBinding({ ownContext, serverName }: Binding, tag: Uint8Array): Uint8Array {
  const hash = nodeCrypto().createHash('sha256').update('sslctx binding 2')
  // A name that is there and empty is another than none.
  const name = serverName === undefined ? [] : [Buffer.from(serverName, 'latin1')]
  hash.update(`${name.length}:`)
  for (const field of [ownContext, ...name, tag]) hash.update(`${field.length}:`).update(field)
  return new Uint8Array(hash.digest())
}

/** Without the cost of hashing both. */
export function isSameBinding(one: Binding, other: Binding): boolean {
  return (
    one.serverName === other.serverName &&
    one.ownPolicy === other.ownPolicy &&
    isSameProfile(one.profile, other.profile) &&
    equalBytes(one.ownContext, other.ownContext)
  )
}

function hashTrust({ profile, ownPolicy }: Binding): Uint8Array {
  const hash = nodeCrypto()
    .createHash('sha256')
    .update(`${profile.requestCert} ${profile.rejectUnauthorized} ${ownPolicy !== undefined} `)
  hash.update(profile.digest).update(Buffer.from(ownPolicy ?? ''))
  return new Uint8Array(hash.digest().subarray(0, TAG_LENGTH))
}

/** What is carried from the first full handshake through every resumption, in [18] of the DER. */
export interface SessionOrigin {
  /** When the full handshake was, seconds since the epoch. */
  readonly authenticatedAtSec: number
  /** When the first certificate of the client's chain expires, seconds since the epoch; Infinity without one. */
  readonly chainEndSec: number
}

const FORMAT_VERSION = 1
const TAG_LENGTH = 16
/** version(1), authenticatedAtSec(6), chainEndSec(6), trustTag(16); Infinity is the largest number of six bytes. */
const AUTHENTICATED_AT = 1
const CHAIN_END_AT = AUTHENTICATED_AT + 6
const TAG_AT = CHAIN_END_AT + 6
const LENGTH = TAG_AT + TAG_LENGTH
const MAX_UINT48 = 2 ** 48 - 1

/**
 * Makes a session good for the binding alone, and tells where it comes from: [4], [6] and [18] of its DER, at once.
 *
 * @param sessionIdContext - without it, [4] stays as it is
 */
export function stamp(
  session: SslSession,
  origin: SessionOrigin,
  binding: Binding,
  sessionIdContext?: Uint8Array,
): void {
  const { hostname, tag } = hashesOf(binding)
  STAMP[0] = FORMAT_VERSION
  writeUint48(AUTHENTICATED_AT, origin.authenticatedAtSec)
  writeUint48(CHAIN_END_AT, Math.min(origin.chainEndSec, MAX_UINT48))
  writeBytes(STAMP, TAG_AT, tag)
  sessionInternals.edit(session, { sessionIdContext, hostname, ticketAppData: STAMP })
}

/** Where a stamp is written, to be copied. */
const STAMP = new Uint8Array(LENGTH)
const STAMP_VIEW = new DataView(STAMP.buffer)

/** @returns undefined for a session of another format, or of nobody's */
export function readOrigin(session: SslSession): SessionOrigin | undefined {
  return sessionInternals.lendTicketAppData(session, originIn)
}

/** In [18], where it lies. */
function originIn(bytes: Uint8Array, start: number, end: number): SessionOrigin | undefined {
  if (!isStamp(bytes, start, end)) return undefined
  const chainEndSec = readUint48(bytes, start + CHAIN_END_AT)
  return {
    authenticatedAtSec: readUint48(bytes, start + AUTHENTICATED_AT),
    chainEndSec: chainEndSec === MAX_UINT48 ? Number.POSITIVE_INFINITY : chainEndSec,
  }
}

function tagIn(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
  return isStamp(bytes, start, end) ? copyBytes(bytes.subarray(start + TAG_AT, end)) : undefined
}

/** In our format. */
function isStamp(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start === LENGTH && bytes[start] === FORMAT_VERSION
}

/** Six bytes, big endian: more than the operators on integers take. */
function readUint48(bytes: Uint8Array, offset: number): number {
  let value = 0
  for (let index = 0; index < 6; index++) value = value * 0x100 + (bytes[offset + index] ?? 0)
  return value
}

/** Into the stamp. */
function writeUint48(offset: number, value: number): void {
  STAMP_VIEW.setUint16(offset, Math.floor(value / 2 ** 32))
  STAMP_VIEW.setUint32(offset + 2, value >>> 0)
}

/**
 * Why a session for the same server name, but of another {@link bindingContext}, does not fit this one: the trust under which it was
 * made, which is in its stamp, tells a changed profile from another context.
 */
export function mismatchReason(
  session: SslSession,
  binding: Binding,
): 'trust-changed' | 'session-id-context-mismatch' {
  const tag = sessionInternals.lendTicketAppData(session, tagIn)
  return tag !== undefined && equalBytes(tag, hashesOf(binding).tag)
    ? 'session-id-context-mismatch'
    : 'trust-changed'
}
