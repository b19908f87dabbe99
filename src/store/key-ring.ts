import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { nodeCrypto } from '../crypto.ts'
import { ArgumentError, WeakKeyError } from '../errors.ts'
import { CHECKED_LATER, checkBytes, checkOptions, kindOf } from '../session/arguments.ts'
import { equalBytes } from '../session/bytes.ts'
import { checkInteger, checkMilliseconds, ONE_WEEK_SEC } from '../session/ranges.ts'
import { byteKey } from './byte-key.ts'

/** How long a key of {@link KeyRing} seals, and opens. */
export interface KeyRingOptions {
  /**
   * Milliseconds for which a sealing key is used; a day by default, an hour at least. The same in all processes, and for good:
   * what was sealed with another one does not open.
   */
  readonly periodMs?: number | undefined
  /** Milliseconds for which what was sealed can be opened: the life of the longest session, 7 days by default. */
  readonly openMs?: number | undefined
}

/** The key that seals at the moment. */
export interface SealingKey {
  /** 16 bytes, public: from which secret, in which period, by whom. */
  readonly id: Uint8Array
  readonly key: KeyObject
}

export const KEY_ID_LENGTH = 16

const HOUR_MS = 3_600_000
const MIN_SECRET_LENGTH = 32
const SECRET_ID_LENGTH = 4
const SALT_LENGTH = 8
/**
 * With random nonces of 96 bits, a key may seal 2^32 values: two equal nonces are then less likely than 2^-32 (NIST SP
 * 800-38D §8.3). No key of a ring belongs to two processes, so that each can count, and stops well before that.
 */
const MAX_SEALS = 2 ** 30
/** Keys of other processes and periods; one costs about 10 µs to make. */
const MAX_OPENING_KEYS = 10_000

/**
 * The keys of a fleet, from secrets that all its processes have. Each purpose has a key of its own (HKDF-SHA256, RFC 5869);
 * what seals is a key for one process and one period, so that nothing needs to be agreed upon when it changes.
 *
 * The first secret seals and names; all of them open. To replace one, give the new one as the second everywhere, then as
 * the first, and leave the old one out when its sessions have expired: `replaceSecrets` needs no restart.
 *
 * @example
 * ```ts
 * const keyRing = new KeyRing([previousSecret])
 * keyRing.replaceSecrets([previousSecret, secret]) // in all processes
 * keyRing.replaceSecrets([secret, previousSecret]) // in all processes
 * keyRing.replaceSecrets([secret]) // when the sessions of before have expired
 * ```
 */
export class KeyRing {
  readonly #periodMs: number
  readonly #openMs: number
  readonly #openingKeys: LRUCache<string, KeyObject> = new LRUCache({ max: MAX_OPENING_KEYS })
  #secrets: readonly Secret[]
  #sealing: { readonly period: number; readonly key: SealingKey; seals: number } | undefined
  readonly #derived: Map<string, readonly KeyObject[]> = new Map()

  /**
   * @param secrets - each at least 32 random bytes, copied: from a secret manager, never a password
   * @throws {@link WeakKeyError} for one that is too short, or follows a pattern
   */
  constructor(secrets: readonly Uint8Array[], options: KeyRingOptions = {}) {
    checkOptions('KeyRing', options, { periodMs: CHECKED_LATER, openMs: CHECKED_LATER })
    const { periodMs = 24 * HOUR_MS, openMs = ONE_WEEK_SEC * 1000 } = options
    this.#periodMs = checkInteger('periodMs', periodMs, Number.MAX_SAFE_INTEGER, HOUR_MS)
    this.#openMs = checkInteger('openMs', openMs, Number.MAX_SAFE_INTEGER, 1000)
    this.#secrets = readSecrets(secrets)
  }

  /** As in the constructor; takes effect with the next call. */
  replaceSecrets(secrets: readonly Uint8Array[]): void {
    this.#secrets = readSecrets(secrets)
    this.#sealing = undefined
    this.#openingKeys.clear()
    this.#derived.clear()
  }

  /**
   * Keys for another purpose, of 32 bytes: one from each secret, in their order. The first is to be used, all are to be
   * understood.
   *
   * @param purpose - one of few; no two uses have the same
   * @returns the same array until `replaceSecrets`
   * @throws {@link ArgumentError} for what is no text, or an empty one
   */
  derive(purpose: string): readonly KeyObject[] {
    if (typeof purpose !== 'string' || purpose === '')
      throw new ArgumentError(`the purpose of a key must be a string that names it, got ${kindOf(purpose)}`)
    const known = this.#derived.get(purpose)
    if (known !== undefined) return known
    const keys = this.#secrets.map(({ root }) => nodeCrypto().createSecretKey(derive(root, purpose, 32)))
    this.#derived.set(purpose, keys)
    return keys
  }

  /**
   * A new sealing key, when the period has changed or the key has sealed enough. `sealed` calls it before each value.
   *
   * @param nowMs - milliseconds since the epoch
   * @returns whether the key is a new one
   */
  rotate(nowMs: number): boolean {
    checkMilliseconds('nowMs', nowMs)
    const period = Math.floor(nowMs / this.#periodMs)
    if (this.#sealing?.period === period && this.#sealing.seals < MAX_SEALS) return false
    const id = new Uint8Array(KEY_ID_LENGTH)
    id.set(this.#first.id)
    new DataView(id.buffer).setUint32(SECRET_ID_LENGTH, period)
    id.set(nodeCrypto().randomBytes(SALT_LENGTH), KEY_ID_LENGTH - SALT_LENGTH)
    this.#sealing = { period, key: { id, key: deriveSealKey(this.#first, id) }, seals: 0 }
    return true
  }

  /** The current key, counted as used once. */
  sealingKey(nowMs: number): SealingKey {
    this.rotate(nowMs)
    const sealing = this.#sealing
    if (sealing === undefined) throw new TypeError('rotate has made a key')
    sealing.seals++
    return sealing.key
  }

  /**
   * @param id - of 16 bytes, untrusted
   * @returns undefined for another length, an unknown secret, or a period that is over or far from beginning
   */
  openingKey(id: Uint8Array, nowMs: number): KeyObject | undefined {
    checkBytes('id of a key', id)
    checkMilliseconds('nowMs', nowMs)
    if (id.length !== KEY_ID_LENGTH) return undefined
    const secret = this.#secretOf(id.subarray(0, SECRET_ID_LENGTH))
    if (secret === undefined || !this.#isOpen(periodOf(id), nowMs)) return undefined
    const name = byteKey(id)
    const known = this.#openingKeys.get(name)
    if (known !== undefined) return known
    const key = deriveSealKey(secret, id)
    this.#openingKeys.set(name, key)
    return key
  }

  /** Clocks differ: the next period has begun for others, perhaps. */
  #isOpen(period: number, nowMs: number): boolean {
    const endMs = (period + 1) * this.#periodMs
    return nowMs <= endMs + this.#openMs && nowMs >= endMs - 2 * this.#periodMs
  }

  /**
   * What a session id is called in a store: HMAC-SHA256, 32 bytes, by the first secret, then by the others. It does not
   * change with the period.
   */
  sessionNames(sessionId: Uint8Array): IterableIterator<Uint8Array> {
    checkBytes('session id', sessionId)
    return this.#sessionNames(sessionId)
  }

  *#sessionNames(sessionId: Uint8Array): IterableIterator<Uint8Array> {
    for (const { nameKey } of this.#secrets) yield hmac(nameKey, sessionId)
  }

  /** Authenticates what is not secret, by the first secret: HMAC-SHA256. */
  signMark(data: Uint8Array): { readonly secretId: Uint8Array; readonly mac: Uint8Array } {
    checkBytes('data of a mark', data)
    return { secretId: this.#first.id, mac: hmac(this.#first.markKey, data) }
  }

  /** The same by the secret of this id, untrusted; undefined for an unknown one. */
  markMac(secretId: Uint8Array, data: Uint8Array): Uint8Array | undefined {
    checkBytes('id of a secret', secretId)
    checkBytes('data of a mark', data)
    const secret = this.#secretOf(secretId)
    return secret && hmac(secret.markKey, data)
  }

  /** Public: the first is the one that signs and seals. */
  get secretIds(): readonly Uint8Array[] {
    return this.#secrets.map(({ id }) => id)
  }

  #secretOf(id: Uint8Array): Secret | undefined {
    return this.#secrets.find((one) => equalBytes(one.id, id))
  }

  get #first(): Secret {
    const [first] = this.#secrets
    if (first === undefined) throw new TypeError('a ring has a secret')
    return first
  }
}

interface Secret {
  /** Tells secrets apart, and nothing about them. */
  readonly id: Uint8Array
  readonly root: KeyObject
  readonly nameKey: KeyObject
  readonly markKey: KeyObject
}

function readSecrets(secrets: readonly Uint8Array[]): readonly Secret[] {
  if (!Array.isArray(secrets))
    throw new ArgumentError(
      `the secrets of a KeyRing must be an array of Uint8Arrays, got ${kindOf(secrets)}`,
    )
  if (secrets.length === 0) throw new WeakKeyError('a key ring needs a secret')
  return secrets.map((bytes, index) => {
    const weakness = weaknessOf(bytes)
    if (weakness !== undefined) throw new WeakKeyError(`secret ${index} ${weakness}`)
    const root = nodeCrypto().createSecretKey(bytes)
    return {
      id: derive(root, 'secret id', SECRET_ID_LENGTH),
      root,
      nameKey: nodeCrypto().createSecretKey(derive(root, 'session name', 32)),
      markKey: nodeCrypto().createSecretKey(derive(root, 'revocation mark', 32)),
    }
  })
}

/** No test finds every weak key; these are those that configurations are made of. */
function weaknessOf(bytes: unknown): string | undefined {
  if (!(bytes instanceof Uint8Array)) return 'is not a Uint8Array'
  if (bytes.length < MIN_SECRET_LENGTH) return `has ${bytes.length} bytes, at least 32 are needed`
  // 32 random bytes with fewer than 16 different ones are less likely than a guess of the key.
  if (new Set(bytes).size < 16) return 'is not random: it repeats few bytes'
  const isRepeated = [16, 24, 32].some(
    (length) => bytes.length > length && bytes.every((byte, index) => byte === bytes[index % length]),
  )
  if (isRepeated) return 'is not random: it is one part, repeated'
  const step = (bytes[1] ?? 0) - (bytes[0] ?? 0)
  const isCounted = bytes.every(
    (byte, index) => index === 0 || (byte - (bytes[index - 1] ?? 0) - step) % 256 === 0,
  )
  return isCounted ? 'is not random: it counts' : undefined
}

function derive(
  root: KeyObject,
  purpose: string,
  length: number,
  salt: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return new Uint8Array(nodeCrypto().hkdfSync('sha256', root, salt, `sslctx 1 ${purpose}`, length))
}

function deriveSealKey({ root }: Secret, id: Uint8Array): KeyObject {
  return nodeCrypto().createSecretKey(derive(root, 'seal', 32, id))
}

function periodOf(id: Uint8Array): number {
  return new DataView(id.buffer, id.byteOffset).getUint32(SECRET_ID_LENGTH)
}

function hmac(key: KeyObject, data: Uint8Array): Uint8Array {
  return new Uint8Array(nodeCrypto().createHmac('sha256', key).update(data).digest())
}
