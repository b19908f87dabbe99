/** A stream that may be a terminal, such as `process.stdout`. */
export interface OutputStream {
  readonly isTTY?: boolean
  /** Characters in a line of the terminal. */
  readonly columns?: number
  write(text: string): unknown
}

/** Where a command reads and writes, and what it may know about the place. */
export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** From this call on, an interrupt (SIGINT, SIGTERM) and a closed pipe abort the signal and end nothing. */
  interruption?(): AbortSignal
}

export type Colour = 'red' | 'yellow' | 'green' | 'bold' | 'dim'
export type Paint = (text: string, colour: Colour) => string

const CODES: Readonly<Record<Colour, readonly [number, number]>> = {
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  bold: [1, 22],
  dim: [2, 22],
}

/** Colours on a terminal alone; never with `NO_COLOR` (no-color.org) or `TERM=dumb`. */
export function painter(stream: OutputStream, env: Terminal['env']): Paint {
  const isPlain = stream.isTTY !== true || Boolean(env['NO_COLOR']) || env['TERM'] === 'dumb'
  if (isPlain) return (text) => text
  return (text, colour) => `\u001b[${CODES[colour][0]}m${text}\u001b[${CODES[colour][1]}m`
}

export interface Progress {
  /** Replaces the line that is shown. */
  show(line: string): void
  /** Takes the line away. */
  end(): void
}

/**
 * One line on stderr that is written over; nothing at all where stderr is no terminal.
 *
 * @param pauseMs - between two lines that are shown; those that come in between are not
 */
export function progressLine({ stderr, env }: Terminal, pauseMs = 0): Progress {
  if (stderr.isTTY !== true || env['TERM'] === 'dumb') return { show: () => undefined, end: () => undefined }
  let drawnMs = Number.NEGATIVE_INFINITY
  return {
    show: (line) => {
      if (performance.now() - drawnMs < pauseMs) return
      drawnMs = performance.now()
      // A line that is broken by the terminal could not be taken away again.
      stderr.write(`\r\u001b[K${printable(line).slice(0, widthOf(stderr) - 1)}`)
    },
    end: () => void stderr.write('\r\u001b[K'),
  }
}

/** Columns as wide as their widest cell; the first row is the head. */
export function table(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return rows
    .map((row) => `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`)
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

export interface GridRow {
  readonly title: string
  /** One for each column; what is `-` says nothing. */
  readonly cells: readonly string[]
}

/**
 * A table; where its columns do not fit a terminal, each of their cells has a line.
 *
 * @param heads - lines of the head, of as many columns as the rows have
 */
export function grid(
  heads: readonly (readonly string[])[],
  rows: readonly GridRow[],
  stream: OutputStream,
): string {
  const wide = table([
    ...heads.map((head) => ['', ...head]),
    ...rows.map(({ title, cells }) => [title, ...cells]),
  ])
  const room = stream.isTTY === true && stream.columns ? stream.columns : Number.POSITIVE_INFINITY
  if (wide.split('\n').every(({ length }) => length <= room)) return wide
  const names = (heads[0] ?? []).map((_, column) => heads.map((head) => head[column]).join(' '))
  return rows.map((row) => stackedRow(row, names, widthOf(stream))).join('')
}

function stackedRow({ title, cells }: GridRow, names: readonly string[], width: number): string {
  const lines = cells.flatMap((cell, index) =>
    cell === '-' ? [] : [wrap(`${names[index]}: ${cell}`, '    ', width)],
  )
  return lines.length === 0 ? '' : `  ${title.trim()}\n${lines.join('')}`
}

const WIDTH = 100
const MIN_WIDTH = 40

/** How many characters a line may have: 100 where nobody says, and never less than 40. */
export function widthOf({ isTTY, columns }: OutputStream): number {
  if (isTTY !== true || columns === undefined || columns === 0) return WIDTH
  return Math.max(MIN_WIDTH, Math.min(columns, WIDTH + 20))
}

/** Broken into lines at spaces, each with the indent; words are never broken. */
export function wrap(text: string, indent: string, width: number = WIDTH): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((one) => `${indent}${one}\n`).join('')
}

/** Controls (C0, C1), what is not seen or turns the direction of writing, line and paragraph separators, halves of surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** What a server, a certificate or a file said, fit for a terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '?')
}

/** One line, fit for a terminal too: what JSON.stringify leaves as it is, C1 and bidirectional marks, is escaped. */
export function jsonLine(value: unknown): string {
  const escaped = JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      const unit = character.charCodeAt(index)
      return `\\u${unit.toString(16).padStart(4, '0')}`
    }).join(''),
  )
  return `${escaped}\n`
}

const UNITS: readonly (readonly [number, string])[] = [
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
]

/** The largest unit and the next one: `2 hours 5 minutes`, `3 days`. @param seconds - not negative */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds)
  const largest = UNITS.findIndex(([size]) => whole >= size)
  if (largest < 0) return '0 seconds'
  let rest = whole
  const parts: string[] = []
  for (const [size, name] of UNITS.slice(largest, largest + 2)) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count} ${name}${count === 1 ? '' : 's'}`)
  }
  return parts.join(' ')
}
