import type { KeyObject } from 'node:crypto'
import { nodeCrypto } from '../crypto.ts'
import { SessionStoreError, UnopenableSessionError } from '../errors.ts'
import { A_FUNCTION, checkOptions } from '../session/arguments.ts'
import { type Awaitable, andThen } from '../session/awaitable.ts'
import type { SessionStore, StoreEntry } from '../session/session-store.ts'
import { KEY_ID_LENGTH, type KeyRing } from './key-ring.ts'
import { checkEntries, checkKeyRing, checkMarks, checkStore, checkWatcher } from './store-arguments.ts'

/** What {@link sealed} may be told. */
export interface SealedOptions {
  /** Milliseconds since the epoch; the system's clock by default. */
  readonly now?: () => number
}

/**
 * A store whose engine learns nothing: values are sealed with AES-256-GCM (RFC 5116), keys are HMACs of the session ids. Who
 * reads the engine can neither resume nor tell whose session it is; who writes to it can delete sessions, or put back one
 * that was there before, until that expires.
 *
 * A value is bound to its key and carries its expiry. One that does not open is a miss, by an {@link UnopenableSessionError}.
 *
 * While the ring has several secrets, what is not found under the first costs another call for each of the others.
 *
 * @param store - gets 32-byte keys, and values that are 51 bytes longer
 *
 * @example
 * ```ts
 * const store = sealed(guarded(openMyStore('shop')), new KeyRing([secret]))
 * const context = new SslContext({ sessionIdContext: 'shop', ...storeCallbacks(store) })
 * ```
 */
export function sealed(store: SessionStore, keyRing: KeyRing, options: SealedOptions = {}): SessionStore {
  checkStore('sealed', store)
  checkKeyRing('sealed', keyRing)
  checkOptions('sealed', options, { now: A_FUNCTION })
  const { now = Date.now } = options
  const watchMarks = store.watchMarks?.bind(store)
  const open = (key: Uint8Array, call: (name: Uint8Array) => Awaitable<Uint8Array | undefined>) =>
    firstFound(keyRing.sessionNames(key), (name) =>
      andThen(call(name), (value) => value && unseal(keyRing, name, value, now())),
    )
  return {
    confidentiality: 'sealed',
    get: (key) => open(key, (name) => store.get(name)),
    take: (key) => open(key, (name) => store.take(name)),
    set(entries) {
      checkEntries(entries)
      return store.set(entries.map((entry) => seal(keyRing, entry, now())))
    },
    delete: (key) => deleteAll(store, keyRing.sessionNames(key)),
    getMarks: () => store.getMarks(),
    addMarks(marks) {
      checkMarks(marks)
      return store.addMarks(marks)
    },
    ...(watchMarks && {
      watchMarks(onMark) {
        checkWatcher(onMark)
        return watchMarks(onMark)
      },
    }),
    close: () => store.close(),
  }
}

/** In order, and no further than needed: one name is the rule. */
function firstFound(
  names: Iterator<Uint8Array>,
  call: (name: Uint8Array) => Awaitable<Uint8Array | undefined>,
): Awaitable<Uint8Array | undefined> {
  const { value: name, done } = names.next()
  if (done === true) return undefined
  return andThen(call(name), (value) => value ?? firstFound(names, call))
}

async function deleteAll(store: SessionStore, names: Iterable<Uint8Array>): Promise<void> {
  await Promise.all(Array.from(names, async (name) => store.delete(name)))
}

/**
 * format(1), key id(16), nonce(12), ciphertext, tag(16); the plaintext is expiresAtMs(6) and the value. All that is before
 * the nonce, and the key under which it is stored, is authenticated with it.
 */
const FORMAT = 1
const NONCE_AT = 1 + KEY_ID_LENGTH
const CIPHERTEXT_AT = NONCE_AT + 12
const TAG_LENGTH = 16
const EXPIRY_LENGTH = 6
/** Sessions are far shorter. Who writes to the store is not to have this process decrypt what takes long. */
const MAX_SEALED_LENGTH = 65_536
const NEVER = 2 ** 48 - 1

function seal(keyRing: KeyRing, { key, value, expiresAtMs }: StoreEntry, nowMs: number): StoreEntry {
  const [name] = keyRing.sessionNames(key)
  if (name === undefined) throw new SessionStoreError('the key ring is empty')
  const { id, key: sealKey } = keyRing.sealingKey(nowMs)
  const header = Buffer.alloc(CIPHERTEXT_AT + EXPIRY_LENGTH)
  header[0] = FORMAT
  header.set(id, 1)
  header.set(nodeCrypto().randomBytes(12), NONCE_AT)
  header.writeUIntBE(Math.min(Math.max(0, Math.ceil(expiresAtMs)), NEVER), CIPHERTEXT_AT, EXPIRY_LENGTH)
  const cipher = nodeCrypto().createCipheriv('aes-256-gcm', sealKey, header.subarray(NONCE_AT, CIPHERTEXT_AT))
  cipher.setAAD(Buffer.concat([header.subarray(0, NONCE_AT), name]))
  const sealedValue = Buffer.concat([
    header.subarray(0, CIPHERTEXT_AT),
    cipher.update(header.subarray(CIPHERTEXT_AT)),
    cipher.update(value),
    cipher.final(),
    cipher.getAuthTag(),
  ])
  return { key: name, value: sealedValue, expiresAtMs }
}

/** @returns undefined when it has expired */
function unseal(
  keyRing: KeyRing,
  name: Uint8Array,
  value: Uint8Array,
  nowMs: number,
): Uint8Array | undefined {
  const hasLength =
    value.length >= CIPHERTEXT_AT + EXPIRY_LENGTH + TAG_LENGTH && value.length <= MAX_SEALED_LENGTH
  if (!hasLength || value[0] !== FORMAT)
    throw new UnopenableSessionError('a stored value is not sealed, or in another format')
  const key = keyRing.openingKey(value.subarray(1, NONCE_AT), nowMs)
  if (key === undefined)
    throw new UnopenableSessionError(
      'a stored value is sealed with a key that this ring does not have (any more)',
    )
  const plaintext = decrypt(key, name, value)
  const expiresAtMs = plaintext.readUIntBE(0, EXPIRY_LENGTH)
  return expiresAtMs === NEVER || expiresAtMs >= nowMs ? plaintext.subarray(EXPIRY_LENGTH) : undefined
}

function decrypt(key: KeyObject, name: Uint8Array, value: Uint8Array): Buffer {
  const tagAt = value.length - TAG_LENGTH
  const nonce = value.subarray(NONCE_AT, CIPHERTEXT_AT)
  const decipher = nodeCrypto().createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_LENGTH })
  decipher.setAAD(Buffer.concat([value.subarray(0, NONCE_AT), name]))
  decipher.setAuthTag(value.subarray(tagAt))
  try {
    return Buffer.concat([decipher.update(value.subarray(CIPHERTEXT_AT, tagAt)), decipher.final()])
  } catch (cause) {
    throw new UnopenableSessionError('a stored value was altered, or moved to another key', { cause })
  }
}
