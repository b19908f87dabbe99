/** Digits of 32 bytes. */
const MIN_HEX_DIGITS = 64

/**
 * A secret as it stands in an environment variable or a file: an even number of hexadecimal digits, 64 or more, is hexadecimal; all
 * else must be base64 or base64url of whatever length, as an encoder writes it.
 *
 * @returns undefined for a text that is neither
 */
export function secretOfText(text: string): Uint8Array | undefined {
  if (text.length >= MIN_HEX_DIGITS && text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text))
    return Buffer.from(text, 'hex')
  const bytes = Buffer.from(text, 'base64')
  const url = bytes.toString('base64url')
  // base64url is written with its padding by some, and without it by others.
  const padded = url + '='.repeat((4 - (url.length % 4)) % 4)
  return [bytes.toString('base64'), url, padded].includes(text) ? bytes : undefined
}
