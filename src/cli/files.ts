import { closeSync, openSync, readSync } from 'node:fs'
import { codeOf, UsageError } from './usage.ts'

const CHUNK_BYTES = 65_536

/**
 * Reads a file that may be anything: a device, a pipe, a gigabyte.
 *
 * @param what - for messages, such as `--ca`
 * @throws {@link UsageError} when it cannot be read, and when it is longer than `maxBytes`, of which no more is read
 */
export function readBounded(file: string, maxBytes: number, what?: string): Buffer {
  const prefix = what === undefined ? '' : `${what}: `
  const chunks: Buffer[] = []
  let length = 0
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'r')
    for (;;) {
      const chunk = Buffer.alloc(CHUNK_BYTES)
      const count = readSync(descriptor, chunk)
      if (count === 0) return Buffer.concat(chunks)
      chunks.push(chunk.subarray(0, count))
      length += count
      if (length > maxBytes) throw new UsageError(`${prefix}'${file}' is longer than ${maxBytes} bytes`)
    }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${prefix}cannot read '${file}' (${codeOf(error)})`)
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

/** Where text begins that is marked as UTF-8; `undefined` in place of a name for what is no text of another encoding. */
export function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
}

/** UTF-16, as PowerShell and Notepad write it, with its mark or without. */
export function isUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)
  if (isMarked || bytes.length < 20) return isMarked
  const zeros = bytes.subarray(0, 20).filter((byte) => byte === 0).length
  const areAlternating = [0, 1].some((odd) =>
    bytes
      .subarray(0, 20)
      .every((byte, index) => (index % 2 === odd ? byte === 0 : byte >= 0x09 && byte < 0x7f)),
  )
  return zeros === 10 && areAlternating
}
