import { latin1 } from '../codec/latin1.ts'

/** Bytes as the key of a Map: one UTF-16 unit a byte. */
export function byteKey(bytes: Uint8Array): string {
  return latin1(bytes, 0, bytes.length)
}
