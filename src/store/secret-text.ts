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
