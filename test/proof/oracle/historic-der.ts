/** [19], the last element, of at most two bytes. */
const KEX_GROUP = /b3(?:030201..|04020200..)$/

export function hasKexGroup(der: string): boolean {
  return KEX_GROUP.test(der)
}

/** KEXGROUP: the element is not there, and the sequence is shorter. */
export function withoutKexGroup(der: string): string {
  const content = der.slice(2 + 2 * lengthOfLength(der)).replace(KEX_GROUP, '')
  return `30${derLength(content.length / 2)}${content}`
}

function lengthOfLength(der: string): number {
  const first = Number.parseInt(der.slice(2, 4), 16)
  return first < 0x80 ? 1 : 1 + (first & 0x7f)
}

function derLength(length: number): string {
  const hex = length.toString(16)
  if (length < 0x80) return hex.padStart(2, '0')
  const bytes = hex.padStart(hex.length + (hex.length % 2), '0')
  return `${(0x80 + bytes.length / 2).toString(16)}${bytes}`
}
