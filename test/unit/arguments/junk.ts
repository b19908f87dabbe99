/** One value of each kind that JavaScript has, as it comes when something was mistaken for something else. */
export const JUNK = {
  undefined: undefined,
  null: null,
  true: true,
  seven: 7,
  negative: -1,
  half: 1.5,
  nan: Number.NaN,
  bigint: 7n,
  text: 'text',
  'empty text': '',
  symbol: Symbol('junk'),
  'empty array': [],
  'array of junk': [null],
  'empty object': {},
  function: () => undefined,
  bytes: Uint8Array.of(1, 2, 3),
} as const

export type JunkKind = keyof typeof JUNK

export const JUNK_KINDS = Object.keys(JUNK) as JunkKind[]

/** What an argument takes, of {@link JUNK}. */
export const FLAG: readonly JunkKind[] = ['true']
export const OPTIONAL_FLAG: readonly JunkKind[] = ['true', 'undefined']
export const COUNT: readonly JunkKind[] = ['seven']
export const OPTIONAL_COUNT: readonly JunkKind[] = ['seven', 'undefined']
export const MOMENT: readonly JunkKind[] = ['seven', 'half']
export const OPTIONAL_MOMENT: readonly JunkKind[] = ['seven', 'half', 'undefined']
export const NUMBER: readonly JunkKind[] = ['seven', 'negative', 'half']
export const BITS: readonly JunkKind[] = ['seven', 'negative']
export const OPTIONAL_BITS: readonly JunkKind[] = ['seven', 'negative', 'undefined']
export const BYTES: readonly JunkKind[] = ['bytes']
export const OPTIONAL_BYTES: readonly JunkKind[] = ['bytes', 'undefined']
export const TEXT: readonly JunkKind[] = ['text', 'empty text']
export const OPTIONAL_TEXT: readonly JunkKind[] = ['text', 'empty text', 'undefined']
export const CALLBACK: readonly JunkKind[] = ['function']
export const OPTIONAL_CALLBACK: readonly JunkKind[] = ['function', 'undefined']
export const LIST: readonly JunkKind[] = ['empty array']
export const OPTIONS: readonly JunkKind[] = ['empty object', 'undefined']
export const ANYTHING: readonly JunkKind[] = [...JUNK_KINDS]
/** Something of the library's own, or of an engine's, for which nothing else will do. */
export const NOTHING_ELSE: readonly JunkKind[] = []
export const OPTIONAL: readonly JunkKind[] = ['undefined']
