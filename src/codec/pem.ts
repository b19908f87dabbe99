/**
 * The textual encoding of a session, RFC 7468, as `PEM_write_SSL_SESSION` and `openssl sess_id` write it:
 *
 *   -----BEGIN SSL SESSION PARAMETERS-----
 *   base64, 64 characters a line
 *   -----END SSL SESSION PARAMETERS-----
 */
import { SessionDerError } from '../errors.ts'

const BEGIN = '-----BEGIN SSL SESSION PARAMETERS-----'
const END = '-----END SSL SESSION PARAMETERS-----'
const LINE_LENGTH = 64
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const WHITESPACE = ' \t\r\n'

export function encodePem(der: Uint8Array): string {
  const base64 = encodeBase64(der)
  let text = `${BEGIN}\n`
  for (let start = 0; start < base64.length; start += LINE_LENGTH)
    text += `${base64.slice(start, start + LINE_LENGTH)}\n`
  return `${text}${END}\n`
}

/**
 * Finds the first block in `text`; what stands before and after it is passed over, as `PEM_read(3)` does. Lines end in LF or
 * CR LF and may have white space before that (RFC 7468 §3); they need not have 64 characters.
 *
 * @throws {@link SessionDerError} when there is none, or what is in it is not base64; encrypted blocks are refused
 */
export function decodePem(text: string): Uint8Array {
  const begin = findLine(text, BEGIN, 0)
  if (begin === undefined) throw new SessionDerError(`PEM must hold the line "${BEGIN}"`, 0)
  const end = findLine(text, END, begin.next)
  if (end === undefined)
    throw new SessionDerError(`PEM must hold the line "${END}" after its beginning`, text.length)
  return decodeBase64(text, begin.next, end.start)
}

/** From `start` to before `end` is what counts; what ends the line, and white space before that, goes on to `next`. */
interface Line {
  readonly start: number
  readonly end: number
  readonly next: number
}

function lineAt(text: string, start: number): Line {
  const lineFeed = text.indexOf('\n', start)
  const next = lineFeed < 0 ? text.length : lineFeed + 1
  let end = next
  while (end > start && WHITESPACE.includes(text.charAt(end - 1))) end--
  return { start, end, next }
}

/** The boundaries stand on lines of their own, RFC 7468 §2: one in the middle of a line is a part of something else. */
function findLine(text: string, wanted: string, from: number): Line | undefined {
  for (let line = lineAt(text, from); line.start < text.length; line = lineAt(text, line.next))
    if (text.slice(line.start, line.end) === wanted) return line
  return undefined
}

function encodeBase64(bytes: Uint8Array): string {
  let text = ''
  for (let index = 0; index < bytes.length; index += 3) {
    const [first = 0, second, third] = bytes.subarray(index, index + 3)
    const bits = (first << 16) | ((second ?? 0) << 8) | (third ?? 0)
    text += ALPHABET.charAt(bits >> 18) + ALPHABET.charAt((bits >> 12) & 63)
    text += second === undefined ? '=' : ALPHABET.charAt((bits >> 6) & 63)
    text += third === undefined ? '=' : ALPHABET.charAt(bits & 63)
  }
  return text
}

/** RFC 4648 §4, over lines; the bits that padding leaves over must be zero, §3.5. */
function decodeBase64(text: string, start: number, end: number): Uint8Array {
  const { sextets, padding } = readSextets(text, start, end)
  if ((sextets.length + padding) % 4 !== 0)
    throw new SessionDerError('PEM must hold whole groups of four base64 characters', end)
  const bytes = new Uint8Array(Math.floor((sextets.length * 6) / 8))
  let bits = 0
  let count = 0
  for (const sextet of sextets) {
    bits = ((bits << 6) | sextet) & 0xffff
    count += 6
    if (count % 8 < 6) bytes[Math.floor(count / 8) - 1] = bits >> (count % 8)
  }
  if ((bits & ((1 << (count % 8)) - 1)) !== 0)
    throw new SessionDerError('PEM must hold base64 whose unused bits are zero', end)
  return bytes
}

function readSextets(text: string, start: number, end: number): { sextets: number[]; padding: number } {
  const sextets: number[] = []
  let padding = 0
  for (const index of indexesInLines(text, start, end)) {
    const sextet = ALPHABET.indexOf(text.charAt(index))
    if (text.charAt(index) === '=' && padding < 2) padding++
    else if (sextet < 0 || padding > 0)
      throw new SessionDerError('PEM must hold base64 and nothing else', index)
    else sextets.push(sextet)
  }
  if (sextets.length === 0) throw new SessionDerError('PEM must hold base64, got none', start)
  return { sextets, padding }
}

/** An empty line would end the headers of RFC 1421, which are refused. */
function* indexesInLines(text: string, start: number, end: number): Generator<number, void> {
  for (let line = lineAt(text, start); line.start < end; line = lineAt(text, line.next)) {
    if (line.start === line.end) throw new SessionDerError('PEM must not hold an empty line', line.start)
    for (let index = line.start; index < line.end; index++) yield index
  }
}
