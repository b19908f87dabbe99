import { ArgumentError, WeakKeyError } from '../errors.ts'
import { kindOf } from '../session/arguments.ts'

/** Digits of 32 bytes. */
const MIN_HEX_DIGITS = 64

/**
 * The bytes of a secret that came as text. What has hexadecimal digits alone is hexadecimal: an even number of them, 64 or more. All else
 * must be base64 or base64url as an encoder writes it.
 *
 * @returns undefined for what is neither
 */
export function bytesOfSecret(text: string): Uint8Array | undefined {
  // One digit that is lost would make other bytes of it, by base64.
  if (/^[0-9a-f]+$/i.test(text)) {
    const isWhole = text.length >= MIN_HEX_DIGITS && text.length % 2 === 0
    return isWhole ? Buffer.from(text, 'hex') : undefined
  }
  const bytes = Buffer.from(text, 'base64')
  const url = bytes.toString('base64url')
  // Some write base64url with padding, others without.
  const padded = url + '='.repeat((4 - (url.length % 4)) % 4)
  return [bytes.toString('base64'), url, padded].includes(text) ? bytes : undefined
}

/**
 * Secrets as bytes, whether they came as bytes or as text.
 *
 * @param owner - who has them, for messages
 * @param without - what else there is, for who has none
 * @throws {@link ArgumentError} where one was forgotten: then a process would be alone with its sessions, and nobody would notice
 * @throws {@link WeakKeyError} for text that is no encoding of bytes
 */
export function readSecrets(owner: string, secrets: unknown, without = ''): readonly Uint8Array[] {
  if (!Array.isArray(secrets))
    throw new ArgumentError(
      `the secrets of ${owner} must be an array of strings or Uint8Arrays, got ${kindOf(secrets)}${without && `: ${without}`}`,
    )
  if (secrets.length === 0)
    throw new ArgumentError(
      `the secrets of ${owner} are empty: give one, which \`npx sslctx secret\` prints${without && `, or ${without}`}`,
    )
  return Array.from(secrets, (secret, index) => readSecret(owner, secret, index))
}

function readSecret(owner: string, secret: unknown, index: number): Uint8Array {
  if (secret instanceof Uint8Array) return secret
  if (typeof secret !== 'string')
    throw new ArgumentError(
      `secret ${index} of ${owner} must be a string or a Uint8Array, got ${kindOf(secret)}` +
        (secret === undefined ? ': is its environment variable set?' : ''),
    )
  const bytes = bytesOfSecret(secret)
  if (bytes === undefined)
    throw new WeakKeyError(
      `secret ${index} is text, but not 64 or more hexadecimal digits, nor base64: \`npx sslctx secret\` prints a good one` +
        (secret.trim() === secret ? '' : '. There is white space around it'),
    )
  return bytes
}
