import { closeSync, openSync, readSync } from 'node:fs'
import { codeOf, quoted, UsageError } from './usage.ts'

const CHUNK_BYTES = 65_536

/**
 * Reads a file that may be anything: a device, a pipe, a gigabyte.
 *
 * @param what - for messages, such as `--ca`
 * @throws {@link UsageError} when it cannot be read, and when it is longer than `maxBytes`, of which no more is read
 */
export function readBounded(file: string, maxBytes: number, what?: string): Buffer {
  const prefix = what === undefined ? '' : `${what}: `
  let bytes: Buffer
  try {
    bytes = readAtMost(file, maxBytes + 1)
  } catch (error) {
    throw new UsageError(`${prefix}cannot read ${quoted(file)} (${codeOf(error)})`)
  }
  if (bytes.length > maxBytes)
    throw new UsageError(`${prefix}${quoted(file)} is longer than ${maxBytes} bytes`)
  return bytes
}

function readAtMost(file: string, maxBytes: number): Buffer {
  const descriptor = openSync(file, 'r')
  try {
    const chunks: Buffer[] = []
    let length = 0
    let count: number
    do {
      const chunk = Buffer.alloc(CHUNK_BYTES)
      count = readSync(descriptor, chunk)
      chunks.push(chunk.subarray(0, count))
      length += count
    } while (count > 0 && length < maxBytes)
    return Buffer.concat(chunks)
  } finally {
    closeSync(descriptor)
  }
}

/** Text that may be marked as UTF-8, without the mark. */
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
