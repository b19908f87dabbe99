/**
 * A stateless ticket as libssl makes it with the keys of its ticket key callback, RFC 5077 §4:
 *
 *   struct {
 *       opaque key_name[16];
 *       opaque iv[16];
 *       opaque encrypted_state<0..2^16-1>;      AES-128-CBC of the DER of SSL_SESSION, without a length in front
 *       opaque mac[32];                         HMAC-SHA256 of all before
 *   } ticket;
 *
 * The IV is ours to choose, and travels with the ticket under its MAC. It is one encrypted block, as unpredictable as a random
 * one, with what the session cannot say of itself:
 *
 *   struct {
 *       uint40 authenticated_at;                seconds since the epoch: the full handshake
 *       uint40 chain_end;                       seconds since the epoch, 2^40-1 for none
 *       opaque random[6];
 *   } origin;
 */
import { nodeCrypto } from '../crypto.ts'
import { TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { SessionOrigin } from './session-binding.ts'
import { BLOCK_LENGTH, KEY_NAME_LENGTH, type TicketKeyRing, type TicketKeys } from './ticket-keys.ts'

const MAC_LENGTH = 32
const HEAD_LENGTH = KEY_NAME_LENGTH + BLOCK_LENGTH
const MIN_LENGTH = HEAD_LENGTH + BLOCK_LENGTH + MAC_LENGTH
const TIME_LENGTH = 5
const MAX_UINT40 = 2 ** 40 - 1

/** What is in a ticket of ours. */
export interface OpenedTicket {
  readonly session: SslSession
  readonly origin: SessionOrigin
}

/** The part of a ticket that libssl names to the ticket key callback. @returns undefined for what is no ticket of this format */
export function ticketHead(ticket: Uint8Array): Uint8Array | undefined {
  return ticket.length < MIN_LENGTH ? undefined : ticket.subarray(0, HEAD_LENGTH)
}

/** Why a ticket does not open. `unknown-key`: it names no key that is still good. `unreadable`: made by another version of sslctx. */
export type UnopenedReason = 'unknown-key' | 'altered' | 'unreadable'

/**
 * @param ticket - untrusted
 * @param absentName - the server name, which older lines leave out; that it was this one follows from the session id context
 * @returns undefined for all but an unaltered ticket under keys that are still good
 */
export function openTicket(
  ticket: Uint8Array,
  keyRing: TicketKeyRing,
  nowMs: number,
  absentName?: string,
): OpenedTicket | undefined {
  const content = readTicket(ticket, keyRing, nowMs, absentName)
  return typeof content === 'string' ? undefined : content
}

/** As {@link openTicket}, for who wants to know why not. */
export function readTicket(
  ticket: Uint8Array,
  keyRing: TicketKeyRing,
  nowMs: number,
  absentName?: string,
): OpenedTicket | UnopenedReason {
  const keys =
    ticket.length < MIN_LENGTH ? undefined : keyRing.find(ticket.subarray(0, KEY_NAME_LENGTH), nowMs)
  if (keys === undefined) return 'unknown-key'
  const encryptedLength = ticket.length - HEAD_LENGTH - MAC_LENGTH
  if (encryptedLength % BLOCK_LENGTH !== 0 || !isAuthentic(ticket, keys)) return 'altered'
  const iv = ticket.subarray(KEY_NAME_LENGTH, HEAD_LENGTH)
  const der = keys.blocks.decryptChain(iv, ticket.subarray(HEAD_LENGTH, ticket.length - MAC_LENGTH))
  if (der === undefined) return 'unreadable'
  try {
    // The bytes are nobody else's.
    const session = sessionInternals.borrow(der, absentName)
    return { session, origin: originOf(session, iv, keys) }
  } catch {
    return 'unreadable'
  }
}

/** A renewed ticket of TLS 1.2 has the time of its full handshake; one of TLS 1.3 has its own. */
function originOf(session: SslSession, iv: Uint8Array, keys: TicketKeys): SessionOrigin {
  return session.protocolVersion < TLS1_3_VERSION
    ? { authenticatedAtSec: session.timeSec, chainEndSec: Number.POSITIVE_INFINITY }
    : readOriginBlock(iv, keys)
}

function isAuthentic(ticket: Uint8Array, { mac }: TicketKeys): boolean {
  const end = ticket.length - MAC_LENGTH
  const { createHmac, timingSafeEqual } = nodeCrypto()
  const expected = createHmac('sha256', mac).update(ticket.subarray(0, end)).digest()
  return timingSafeEqual(expected, ticket.subarray(end))
}

/** @returns the IV of a new ticket */
export function makeOriginBlock(
  { authenticatedAtSec, chainEndSec }: SessionOrigin,
  keys: TicketKeys,
): Buffer {
  const block = Buffer.allocUnsafe(BLOCK_LENGTH)
  block.set(randomPart(), RANDOM_START)
  block.writeUIntBE(authenticatedAtSec, 0, TIME_LENGTH)
  block.writeUIntBE(Math.min(chainEndSec, MAX_UINT40), TIME_LENGTH, TIME_LENGTH)
  return keys.origin.encrypt(block)
}

const RANDOM_START = 2 * TIME_LENGTH
const RANDOM_LENGTH = BLOCK_LENGTH - RANDOM_START
/** Random bytes for many tickets, since a call costs more than they do. */
const random = { bytes: new Uint8Array(0), at: 0 }

function randomPart(): Uint8Array {
  if (random.at + RANDOM_LENGTH > random.bytes.length) {
    random.bytes = nodeCrypto().randomBytes(1024 * RANDOM_LENGTH)
    random.at = 0
  }
  random.at += RANDOM_LENGTH
  return random.bytes.subarray(random.at - RANDOM_LENGTH, random.at)
}

function readOriginBlock(iv: Uint8Array, keys: TicketKeys): SessionOrigin {
  const block = keys.origin.decrypt(iv)
  const chainEndSec = block.readUIntBE(TIME_LENGTH, TIME_LENGTH)
  return {
    authenticatedAtSec: block.readUIntBE(0, TIME_LENGTH),
    chainEndSec: chainEndSec === MAX_UINT40 ? Number.POSITIVE_INFINITY : chainEndSec,
  }
}
