import { ArgumentError, WeakKeyError } from '../errors.ts'
import { kindOf } from '../session/arguments.ts'

/** Digits of 32 bytes. */
const MIN_HEX_DIGITS = 64

/**
 * Secrets as bytes, whether they came as bytes or as text.
 *
 * @throws {@link ArgumentError} where one was forgotten: then a process would be alone with its sessions, and nobody would notice
 * @throws {@link WeakKeyError} for text that is no encoding of bytes
 */
export function readSecrets(secrets: unknown): readonly Uint8Array[] {
  if (!Array.isArray(secrets))
    throw new ArgumentError(
      `the secrets of ServerSessions must be an array of strings or Uint8Arrays, got ${kindOf(secrets)}: ` +
        'leave the option out for the memory of this process alone',
    )
  if (secrets.length === 0)
    throw new ArgumentError(
      'the secrets of ServerSessions are empty: give one, which `npx sslctx secret` prints, or leave the option out',
    )
  return Array.from(secrets, readSecret)
}

function readSecret(secret: unknown, index: number): Uint8Array {
  if (secret instanceof Uint8Array) return secret
  if (typeof secret !== 'string')
    throw new ArgumentError(
      `secret ${index} of ServerSessions must be a string or a Uint8Array, got ${kindOf(secret)}: ` +
        'is its environment variable set?',
    )
  const bytes = bytesOf(secret)
  if (bytes === undefined)
    throw new WeakKeyError(
      `secret ${index} is text, but not 64 or more hexadecimal digits, nor base64: \`npx sslctx secret\` prints a good one` +
        (secret.trim() === secret ? '' : '. There is white space around it'),
    )
  return bytes
}

/**
 * What has hexadecimal digits alone is hexadecimal: an even number of them, 64 or more. All else must be base64 or base64url as an
 * encoder writes it.
 *
 * @returns undefined for what is neither
 */
function bytesOf(text: string): Uint8Array | undefined {
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
