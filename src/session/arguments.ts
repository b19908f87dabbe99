import { ArgumentError } from '../errors.ts'

/** Says what a value is, and never quotes it: it may be a secret. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined || value === true || value === false) return String(value)
  if (typeof value === 'number') return `the number ${value}`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object') return 'an object'
  return `a ${typeof value}`
}

/** @returns what `process.emitWarning` takes. A callback may throw anything, also an object that no text can be made of */
export function warningOf(thrown: unknown): Error | string {
  if (thrown instanceof Error) return thrown
  try {
    return String(thrown)
  } catch {
    return `a callback has thrown ${kindOf(thrown)}`
  }
}

/** What an option must be. */
export interface OptionRule {
  /** As the message says it: "a function". */
  readonly kind: string
  readonly isGood: (value: unknown) => boolean
}

export const A_FUNCTION: OptionRule = { kind: 'a function', isGood: (value) => typeof value === 'function' }
export const A_BOOLEAN: OptionRule = { kind: 'true or false', isGood: (value) => typeof value === 'boolean' }

/** @param minimum - and `maximum`: of an integer */
export function anInteger(minimum: number, maximum: number): OptionRule {
  return {
    kind: `an integer from ${minimum} to ${maximum}`,
    isGood: (value) => Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maximum,
  }
}

/**
 * Options of a public function: each is known, and is what it must be; undefined is as if it were not there.
 *
 * @param caller - the function or class whose options they are
 * @throws {@link ArgumentError} with the name of the first that is wrong
 */
export function checkOptions(
  caller: string,
  options: unknown,
  rules: Readonly<Record<string, OptionRule>>,
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new ArgumentError(`the options of ${caller} must be an object, got ${kindOf(options)}`)
  for (const name of Object.keys(options)) {
    const value: unknown = (options as Record<string, unknown>)[name]
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule === undefined) throw new ArgumentError(unknownOption(caller, name, Object.keys(rules)))
    if (value !== undefined && !rule.isGood(value))
      throw new ArgumentError(`the option ${name} of ${caller} must be ${rule.kind}, got ${kindOf(value)}`)
  }
}

function unknownOption(caller: string, name: string, known: readonly string[]): string {
  const meant = known.find((one) => areSimilar(one, name))
  const hint = meant === undefined ? `it has ${known.join(', ')}` : `did you mean ${meant}?`
  return `${caller} has no option ${name}: ${hint}`
}

/** Equal but for case, marks between words, and an ending that is missing or too much. */
function areSimilar(one: string, other: string): boolean {
  const [short = '', long = ''] = [one, other]
    .map((name) => name.toLowerCase().replace(/[^a-z0-9]/g, ''))
    .sort((left, right) => left.length - right.length)
  return short.length > 3 && long.startsWith(short)
}

/** Checked by whoever is handed it. */
export const CHECKED_LATER: OptionRule = { kind: '', isGood: () => true }
export const A_STRING: OptionRule = { kind: 'a string', isGood: (value) => typeof value === 'string' }

/** @throws {@link ArgumentError} unless the value has all these methods: `what must be <kind>, got …` */
export function checkMethods(what: string, value: unknown, methods: readonly string[], kind: string): void {
  const missing = methods.filter((name) => !hasMethod(value, name))
  if (missing.length === 0) return
  const lacks = typeof value === 'object' && value !== null ? ` without ${missing.join(', ')}` : ''
  throw new ArgumentError(`${what} must be ${kind}, got ${kindOf(value)}${lacks}`)
}

export function hasMethod(value: unknown, name: string): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  return typeof Reflect.get(value, name) === 'function'
}

/**
 * Bits, as in libssl: unknown ones are allowed.
 *
 * @returns them modulo 2^32
 * @throws {@link ArgumentError} for what is no integer
 */
export function checkBits(name: string, value: unknown): number {
  if (!Number.isSafeInteger(value))
    throw new ArgumentError(
      `the ${name} must be bits, an integer such as SERVER | NO_INTERNAL, got ${kindOf(value)}`,
    )
  return Number(value) >>> 0
}

/** @throws {@link ArgumentError} */
export function checkBytes(name: string, value: unknown): void {
  if (!(value instanceof Uint8Array))
    throw new ArgumentError(`the ${name} must be a Uint8Array, got ${kindOf(value)}`)
}

/** @throws {@link ArgumentError} for what is neither a function nor undefined */
export function checkCallback(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function')
    throw new ArgumentError(`the ${name} must be a function, got ${kindOf(value)}`)
}
