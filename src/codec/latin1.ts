/** More arguments than that may be too many for a call. */
const MAX_UNITS = 4096

/**
 * A UTF-16 unit for each byte, ISO 8859-1.
 *
 * @param end - of the part that is taken, which is of `bytes`
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
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
