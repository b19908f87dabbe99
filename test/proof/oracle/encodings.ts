import type { Generator } from './generator.ts'

/** DER: an identifier, the length in its shortest form, the content; all in hexadecimal. */
function element(tag: number, content: string): string {
  const length = content.length / 2
  const octets = length.toString(16)
  const even = octets.length % 2 === 0 ? octets : `0${octets}`
  const written = length < 0x80 ? even : `${(0x80 + even.length / 2).toString(16)}${even}`
  return `${tag.toString(16).padStart(2, '0')}${written}${content}`
}

function octets(content: string): string {
  return element(4, content)
}

function integer(value: bigint): string {
  for (let bytes = 1; ; bytes++) {
    const bits = BigInt(8 * bytes)
    if (BigInt.asIntN(8 * bytes, value) === value)
      return element(
        2,
        BigInt.asUintN(8 * bytes, value)
          .toString(16)
          .padStart(Number(bits / 4n), '0'),
      )
  }
}

/** At the limits of what fits, and just beyond them. */
const UINT32 = [0n, 1n, 0x7fn, 0x80n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, -1n]
const UINT64 = [
  0n,
  1n,
  300n,
  2n ** 32n - 1n,
  2n ** 32n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
  -1n,
]
const INT32 = [0n, 1n, -1n, 18n, 2n ** 31n - 1n, -(2n ** 31n), 2n ** 31n, -(2n ** 31n) - 1n]
/** Without the two that a handshake could use. */
const VERSIONS = [0x0300n, 0x0301n, 0x0302n, 0x03ffn, 0x0100n, 0xfe00n, 0xfefdn, 0xfeffn]
const WRONG_VERSIONS = [0x0200n, 0x02ffn, 0x0400n, 0x0002n, 0x0101n, 0xfdffn, 0xff00n, -1n]
const STRINGS = ['', '68', '00', '0068', '6800', '680069']
const TIMES = [0n, 1n, 1_700_000_000n, 2n ** 31n, 2n ** 32n, 2n ** 33n, 10_000_000_000n]

/** Encodings of sessions, right and nearly right ones: R12. */
export function encodings(g: Generator): string[] {
  const side = g.random.pick(['s', 'c'])
  const lines: string[] = []
  for (let count = 4; count > 0; count--)
    lines.push(
      `import ${side} ${encoding(g)}`,
      `show ${side} #-1`,
      ...(g.random.chance(20) ? [`dup ${side} #-1`, `show ${side} #-1`] : []),
    )
  return lines
}

function encoding(g: Generator): string {
  const { random } = g
  const bytes = (...lengths: readonly number[]): string => '5a'.repeat(random.pick(lengths))
  const rarely = <T>(usual: readonly T[], unusual: readonly T[]): T =>
    random.pick(random.chance(8) ? unusual : usual)
  const optional = (percent: number, number: number, make: () => string): string =>
    random.chance(percent) ? element(0xa0 + number, make()) : ''
  const usualKeys = g.hasKexGroup ? [0, 1, 48, 255, 256, 257, 512] : [0, 1, 48, 255, 256]
  const elements = [
    integer(rarely([1n], [0n, 2n])),
    integer(rarely(VERSIONS, WRONG_VERSIONS)),
    octets(rarely(['c02b', 'c02c', '1301', '1302', '009c', 'cca9'], ['', '13', '130100'])),
    octets(rarely([bytes(0, 1, 31, 32)], [bytes(33)])),
    octets(rarely([bytes(...usualKeys)], [bytes(513)])),
    random.chance(5) ? element(0x80, bytes(0, 8)) : '',
    optional(50, 1, () => integer(random.pick(TIMES))),
    optional(50, 2, () => integer(random.pick(TIMES))),
    optional(60, 4, () => octets(rarely([bytes(0, 1, 32)], [bytes(33)]))),
    optional(30, 5, () => integer(random.pick(INT32))),
    optional(20, 6, () => octets(random.pick(STRINGS))),
    optional(20, 7, () => octets(random.pick(STRINGS))),
    optional(20, 8, () => octets(random.pick(STRINGS))),
    optional(20, 9, () => integer(random.pick(UINT64))),
    optional(20, 10, () => octets(bytes(0, 1, 200))),
    g.isComplete ? optional(10, 11, () => octets(rarely(['00', '01', 'ff'], ['', '0101']))) : '',
    g.isComplete ? optional(20, 12, () => octets(random.pick(STRINGS))) : '',
    optional(20, 13, () => integer(random.pick(UINT64))),
    optional(20, 14, () => integer(random.pick(UINT32))),
    optional(20, 15, () => integer(random.pick(UINT32))),
    optional(20, 16, () => octets(random.pick(['', '6832']))),
    optional(20, 17, () => integer(random.pick([0n, 1n, 255n, 256n, 511n, 2n ** 32n - 1n, 2n ** 32n]))),
    optional(20, 18, () => octets(random.pick(['', '617070']))),
    g.hasKexGroup ? optional(60, 19, () => integer(random.pick(UINT32))) : '',
    optional(2, 21, () => integer(1n)),
  ]
  if (random.chance(3)) elements.reverse()
  const der = element(0x30, elements.join(''))
  return random.chance(3) ? random.pick([der.slice(0, -2), `${der}00`]) : der
}
