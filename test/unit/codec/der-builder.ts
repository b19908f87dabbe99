import { DerWriter } from '../../../src/codec/der.ts'

/** One element of what is given, in that order. */
export function derElement(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const writer = new DerWriter()
  for (const part of content.toReversed()) writer.raw(part)
  writer.close(tag, 0)
  return writer.finish()
}

export function derInteger(value: number | bigint): Uint8Array {
  const writer = new DerWriter()
  writer.integer(value)
  return writer.finish()
}
