import type { Cipher, Decipher, KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { octetAt } from '../codec/der.ts'
import { nodeCrypto } from '../crypto.ts'
import { equalBytes } from '../session/bytes.ts'
import { byteKey } from '../store/byte-key.ts'
import type { KeyRing } from '../store/key-ring.ts'

/**
 * AES-128 of single blocks. Node's objects for it are kept, since one costs more than its blocks, and nothing of a block stays in
 * them.
 */
export class BlockCipher {
  readonly #encryption: Cipher
  readonly #decryption: Decipher

  constructor(key: Buffer) {
    const { createCipheriv, createDecipheriv } = nodeCrypto()
    this.#encryption = createCipheriv(BLOCK, key, null).setAutoPadding(false)
    this.#decryption = createDecipheriv(BLOCK, key, null).setAutoPadding(false)
  }

  /** @param block - 16 bytes */
  encrypt(block: Uint8Array): Buffer {
    checkBlock(block)
    return this.#encryption.update(block)
  }

  /** @param block - 16 bytes */
  decrypt(block: Uint8Array): Buffer {
    checkBlock(block)
    return this.#decryption.update(block)
  }

  /**
   * CBC, NIST SP 800-38A §6.2: what each block decrypts to, and the block before it.
   *
   * @param iv - the block before the first
   * @param blocks - at least one, and authentic: who may alter them learns from the answer what is in them
   * @returns what was encrypted, without its padding (RFC 5652 §6.3); undefined for what has none
   */
  decryptChain(iv: Uint8Array, blocks: Uint8Array): Buffer | undefined {
    if (blocks.length === 0 || blocks.length % BLOCK_LENGTH !== 0)
      throw new TypeError(`blocks have ${BLOCK_LENGTH} bytes each, got ${blocks.length}`)
    const plain = this.#decryption.update(blocks)
    for (let index = 0; index < plain.length; index++)
      plain[index] =
        octetAt(plain, index) ^
        (index < BLOCK_LENGTH ? octetAt(iv, index) : octetAt(blocks, index - BLOCK_LENGTH))
    const padding = octetAt(plain, plain.length - 1)
    const end = plain.length - padding
    if (padding === 0 || padding > BLOCK_LENGTH) return undefined
    for (let index = end; index < plain.length; index++) if (plain[index] !== padding) return undefined
    return plain.subarray(0, end)
  }
}

/** A part of a block would stay, and be the beginning of the next. */
function checkBlock({ length }: Uint8Array): void {
  if (length !== BLOCK_LENGTH) throw new TypeError(`a block has ${BLOCK_LENGTH} bytes, got ${length}`)
}

/** All keys of one secret, one server context and one period: none is used for two purposes. */
export interface TicketKeys {
  /** 16 bytes, public: says which keys these are to those who have the secret, and nothing to anybody else. */
  readonly name: Buffer
  /** 32 bytes: HMAC-SHA256 of the whole ticket. */
  readonly mac: Buffer
  /** 16 bytes: AES-128-CBC of the session in it. */
  readonly cipher: Buffer
  /** AES-128 under {@link cipher}, to read tickets with. */
  readonly blocks: BlockCipher
  /** AES-128 of the one block that is the IV, which holds the origin of the session. */
  readonly origin: BlockCipher
}

/** A version of TLS, as Node names it, that can have tickets. */
export type TicketVersion = 'TLSv1.2' | 'TLSv1.3'

export const DEFAULT_TICKET_VERSIONS: readonly TicketVersion[] = ['TLSv1.3']

/** Which tickets can be opened. */
export interface TicketKeyRules {
  /** Milliseconds for which new tickets get the same keys. The same in all processes. */
  readonly periodMs: number
  /** Milliseconds that a ticket may live. */
  readonly lifetimeMs: number
}

/** Where keys are in time. */
export interface TicketKeyPeriods {
  /** The period whose keys new tickets get, counted since the epoch: the same in all processes. */
  readonly current: number
  /** Seconds until the next one begins. */
  readonly timeLeftSec: number
  /** Periods whose tickets open: the next one, the current one, and those of which a ticket may still live. */
  readonly open: number
}

export const KEY_NAME_LENGTH = 16
/** What info of HKDF begins with: other keys for another format. */
const FORMAT = 'sslctx ticket 1'
const BLOCK = 'aes-128-ecb'
export const BLOCK_LENGTH = 16
/** Four bytes of it are the period, the others are zero. */
const PERIOD_LENGTH = 4
const NO_SALT = new Uint8Array(0)
/** A week of periods of an hour, for some secrets. */
const MAX_KNOWN_KEYS = 1000

/**
 * The keys of tickets, which all processes derive from the same secret without a word to each other: HKDF-SHA256 (RFC 5869) for
 * each purpose, server context and period. Tickets open that have keys of the next period, since clocks differ, of the current
 * one, and of as many before as a ticket may live.
 */
export class TicketKeyRing {
  readonly #keyRing: Pick<KeyRing, 'derive'>
  readonly #purpose: string
  readonly #rules: () => TicketKeyRules
  #roots: readonly Root[] = []
  /** What the roots were made of: another array after `replaceSecrets`. */
  #secrets: readonly KeyObject[] | undefined
  /** By name; names come from clients, so that only those are kept that are ours. */
  readonly #known: LRUCache<string, DatedKeys> = new LRUCache({ max: MAX_KNOWN_KEYS })
  #current: DatedKeys | undefined

  /**
   * @param serverContext - tickets of one server context do not open in another
   * @param rules - asked each time
   */
  constructor(keyRing: Pick<KeyRing, 'derive'>, serverContext: Uint8Array, rules: () => TicketKeyRules) {
    this.#keyRing = keyRing
    this.#purpose = `${FORMAT} of ${Buffer.from(serverContext).toString('hex')}`
    this.#rules = rules
  }

  /** Those for new tickets, of the first secret. */
  current(nowMs: number): TicketKeys {
    const roots = this.#renewedRoots()
    const period = Math.floor(nowMs / this.#rules().periodMs)
    if (this.#current?.period !== period) this.#current = this.#derive(roots[0] as Root, period)
    return this.#current.keys
  }

  /**
   * @param name - of 16 bytes, untrusted
   * @returns undefined for another name, or when its period is over or far from beginning
   */
  find(name: Uint8Array, nowMs: number): TicketKeys | undefined {
    const roots = this.#renewedRoots()
    const known = this.#knownBy(name)
    if (known !== undefined) return this.#isOpen(known.period, nowMs) ? known.keys : undefined
    for (const root of roots) {
      const period = periodOf(root, name)
      // A forged name ends here, before anything is derived for it.
      if (period !== undefined && this.#isOpen(period, nowMs)) return this.#derive(root, period).keys
    }
    return undefined
  }

  #knownBy(name: Uint8Array): DatedKeys | undefined {
    const current = this.#current
    // As most tickets have.
    if (current !== undefined && equalBytes(current.keys.name, name)) return current
    return this.#known.get(byteKey(name))
  }

  periods(nowMs: number): TicketKeyPeriods {
    const { periodMs, lifetimeMs } = this.#rules()
    const current = Math.floor(nowMs / periodMs)
    // As #isOpen.
    const oldest = Math.ceil((nowMs - lifetimeMs) / periodMs) - 2
    return {
      current,
      timeLeftSec: ((current + 1) * periodMs - nowMs) / 1000,
      open: current + 1 - oldest + 1,
    }
  }

  #isOpen(period: number, nowMs: number): boolean {
    const { periodMs, lifetimeMs } = this.#rules()
    const beginMs = period * periodMs
    // One period for clocks that differ, at both ends.
    return nowMs >= beginMs - periodMs && nowMs <= beginMs + periodMs + lifetimeMs + periodMs
  }

  #renewedRoots(): readonly Root[] {
    const secrets = this.#keyRing.derive(this.#purpose)
    if (secrets !== this.#secrets) {
      this.#secrets = secrets
      this.#roots = secrets.map((key) => ({
        key,
        names: new BlockCipher(derive(key, 'name', BLOCK_LENGTH)),
      }))
      this.#known.clear()
      this.#current = undefined
    }
    return this.#roots
  }

  #derive(root: Root, period: number): DatedKeys {
    const name = nameOf(root, period)
    const purposes = `of period ${period}`
    const cipher = derive(root.key, `cipher ${purposes}`, BLOCK_LENGTH)
    const keys: TicketKeys = {
      name,
      mac: derive(root.key, `mac ${purposes}`, 32),
      cipher,
      blocks: new BlockCipher(cipher),
      origin: new BlockCipher(derive(root.key, `origin ${purposes}`, BLOCK_LENGTH)),
    }
    const dated = { period, keys }
    this.#known.set(byteKey(name), dated)
    return dated
  }
}

interface DatedKeys {
  readonly period: number
  readonly keys: TicketKeys
}

interface Root {
  readonly key: KeyObject
  /** Makes and reads the names of keys. */
  readonly names: BlockCipher
}

function derive(key: KeyObject, purpose: string, length: number): Buffer {
  return Buffer.from(nodeCrypto().hkdfSync('sha256', key, NO_SALT, `${FORMAT} ${purpose}`, length))
}

/** One block of the cipher: whoever does not have its key learns nothing of the period, and can make no name. */
function nameOf({ names }: Root, period: number): Buffer {
  const block = Buffer.alloc(KEY_NAME_LENGTH)
  block.writeUInt32BE(period)
  return names.encrypt(block)
}

function periodOf({ names }: Root, name: Uint8Array): number | undefined {
  const block = names.decrypt(name)
  return block.subarray(PERIOD_LENGTH).every((byte) => byte === 0) ? block.readUInt32BE() : undefined
}
