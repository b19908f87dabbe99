import { ArgumentError, WeakKeyError } from '../errors.ts'
import { kindOf } from '../session/arguments.ts'
import { bytesOfSecret } from '../store/secret-text.ts'

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
  const bytes = bytesOfSecret(secret)
  if (bytes === undefined)
    throw new WeakKeyError(
      `secret ${index} is text, but not 64 or more hexadecimal digits, nor base64: \`npx sslctx secret\` prints a good one` +
        (secret.trim() === secret ? '' : '. There is white space around it'),
    )
  return bytes
}
