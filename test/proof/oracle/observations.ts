/** The lines of one operation, without the closing dot. */
export type Observation = readonly string[]

export function splitObservations(text: string): Observation[] {
  const observations: string[][] = []
  let lines: string[] = []
  for (const line of text.split('\n')) {
    if (line === '.') {
      observations.push(lines)
      lines = []
    } else if (line !== '') lines.push(line)
  }
  if (lines.length > 0) observations.push(lines)
  return observations
}

/** Before SORT, a flush visits the hash table, whose order nobody promises: what goes at once is told in order of name. */
export function sortRemovals(lines: Observation): Observation {
  const sorted: string[] = []
  let removals: string[] = []
  for (const line of [...lines, '']) {
    if (line.startsWith('rem ')) removals.push(line)
    else {
      sorted.push(...removals.sort(), line)
      removals = []
    }
  }
  return sorted.slice(0, -1)
}

/**
 * What the model cannot know, read from an operation's observation in the order in which it happened: ids of the custom
 * generator, tickets, alerts that arrived.
 */
export class Material {
  readonly #lines: Observation
  readonly #taken: Set<number> = new Set()

  constructor(lines: Observation) {
    this.#lines = lines
  }

  /** The next line that begins so, or so, split into words; undefined when there is none. */
  take(...prefixes: readonly string[]): readonly string[] | undefined {
    const at = this.#find(prefixes)
    if (at >= 0) this.#taken.add(at)
    return this.#lines[at]?.split(' ')
  }

  /** The same, left where it is. */
  peek(...prefixes: readonly string[]): readonly string[] | undefined {
    return this.#lines[this.#find(prefixes)]?.split(' ')
  }

  /** The parts that begin after each line of this text. */
  split(separator: string): Material[] {
    const parts: string[][] = []
    for (const line of this.#lines) {
      if (line === separator) parts.push([])
      else parts.at(-1)?.push(line)
    }
    return parts.map((part) => new Material(part))
  }

  #find(prefixes: readonly string[]): number {
    return this.#lines.findIndex(
      (line, index) => !this.#taken.has(index) && prefixes.some((prefix) => line.startsWith(`${prefix} `)),
    )
  }
}
