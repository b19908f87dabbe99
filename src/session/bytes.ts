/** A copy with memory of its own; `slice` of a Buffer would be a view on the same. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

/** What `target.set(bytes, at)` does, which is slow to begin: for a few bytes. */
export function writeBytes(target: Uint8Array, at: number, bytes: Uint8Array): void {
  const { length } = bytes
  for (let index = 0; index < length; index++) target[at + index] = bytes[index] as number
}

/** Ids and contexts are public values: no constant-time comparison is needed. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left === right || isPart(left, right, 0, right.length)
}

/** As {@link equalBytes}, of `part` and what lies between two places of `whole`. */
export function isPart(part: Uint8Array, whole: Uint8Array, start: number, end: number): boolean {
  const { length } = part
  if (length !== end - start) return false
  for (let index = 0; index < length; index++) if (part[index] !== whole[start + index]) return false
  return true
}

export function toHex(bytes: Uint8Array): string {
  let hex = ''
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0')
  return hex
}

/** A session id as it may appear in a log: enough to compare two lines, not enough to resume. */
export function redactId(sessionId: Uint8Array): string {
  return sessionId.length > 4 ? `${toHex(sessionId.subarray(0, 4))}…(${sessionId.length})` : toHex(sessionId)
}

/** UTF-8, with U+FFFD for a lone surrogate; the pure folders know no TextEncoder. */
export function utf8(text: string): Uint8Array {
  const escaped = encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
  const octets = escaped.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Uint8Array.from(octets, (octet) => octet.charCodeAt(0))
}
