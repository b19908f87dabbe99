/** More arguments than that may be too many for a call. */
const MAX_UNITS = 4096

/** Node's own takes any Uint8Array, and a sixteenth of the time for what a session is; elsewhere there is none. */
const { Buffer: nodeBuffer } = globalThis as { readonly Buffer?: { readonly prototype: Latin1Bytes } }
const nodeLatin1Slice = nodeBuffer?.prototype.latin1Slice
const nodeLatin1Write = nodeBuffer?.prototype.latin1Write

interface Latin1Bytes {
  latin1Slice?(start: number, end: number): string
  latin1Write?(text: string, offset: number, length: number): number
}

/**
 * A UTF-16 unit for each byte, ISO 8859-1.
 *
 * @param end - of the part that is taken, which is of `bytes`
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  /* v8 ignore next -- which there is in Node */
  if (nodeLatin1Slice === undefined) return latin1Anywhere(bytes, start, end)
  return Reflect.apply(nodeLatin1Slice, bytes, [start, end])
}

/** As {@link latin1}, with the language alone. */
export function latin1Anywhere(bytes: Uint8Array, start: number, end: number): string {
  let text = ''
  for (let first = start; first < end; first += MAX_UNITS) {
    const count = Math.min(end - first, MAX_UNITS)
    const units = new Array<number>(count)
    // An array's units are handed over as they are, those of a Uint8Array by its iterator.
    for (let index = 0; index < count; index++) {
      /* v8 ignore next -- the part is of these bytes */
      units[index] = bytes[first + index] ?? 0
    }
    text += String.fromCharCode(...units)
  }
  return text
}

/**
 * The bytes of a text that {@link latin1} has made.
 *
 * @param target - of which the first become those bytes; no shorter than the text
 */
export function writeLatin1(text: string, target: Uint8Array): void {
  /* v8 ignore next -- which there is in Node */
  if (nodeLatin1Write === undefined) writeLatin1Anywhere(text, target)
  else Reflect.apply(nodeLatin1Write, target, [text, 0, text.length])
}

/** As {@link writeLatin1}, with the language alone. */
export function writeLatin1Anywhere(text: string, target: Uint8Array): void {
  for (let index = 0; index < text.length; index++) target[index] = text.charCodeAt(index)
}
