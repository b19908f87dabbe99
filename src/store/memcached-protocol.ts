import { SessionStoreError } from '../errors.ts'

// The meta commands of memcached's doc/protocol.txt, as far as a store needs them:
//
//   mg <key> <flag>*                      VA <size> <flag>*  <data>   HD <flag>*   EN <flag>*
//   ms <key> <size> <flag>*  <data>       HD   NS   EX   NF   <flag>*
//   md <key> <flag>*                      HD   NF   EX   <flag>*
//
// and in place of any answer ERROR, CLIENT_ERROR <text> or SERVER_ERROR <text>. Lines and data end with CR LF.

type ReplyCode = 'VA' | 'HD' | 'EN' | 'NF' | 'NS' | 'EX'

export interface MetaCommand {
  readonly verb: 'mg' | 'ms' | 'md'
  /** In base64, so that no byte of it can end the line; at most 250 characters. */
  readonly key: string
  readonly flags: string
  readonly value?: Uint8Array
  /** All others break the protocol. */
  readonly answers: readonly ReplyCode[]
}

export interface MetaAnswer {
  readonly code: ReplyCode
  /** Memory of its own. */
  readonly value: Uint8Array
  /** What the server sends back of flag O. */
  readonly opaque: string | undefined
  readonly cas: string | undefined
}

export interface MetaFailure {
  readonly code: 'ERROR' | 'CLIENT_ERROR' | 'SERVER_ERROR'
  /** The line, in printable ASCII. */
  readonly text: string
}

export type MetaReply = MetaAnswer | MetaFailure

/** @param opaque - comes back with the answer */
export function encodeCommand({ verb, key, flags, value }: MetaCommand, opaque: string): Buffer {
  if (value === undefined) return Buffer.from(`${verb} ${key} b O${opaque} ${flags}\r\n`)
  return Buffer.concat([Buffer.from(`${verb} ${key} ${value.length} b O${opaque} ${flags}\r\n`), value, CRLF])
}

const CRLF = Buffer.from('\r\n')
/** Far more than any answer has; memcached's own lines are at most 2048 bytes long. */
const MAX_LINE = 2048
const NOTHING = new Uint8Array(0)

const ANSWER = /^(?:(VA) (\d{1,10})|(HD|EN|NF|NS|EX))((?: [A-Za-z][!-~]*)*) ?$/
const FAILURE = /^(ERROR|CLIENT_ERROR|SERVER_ERROR)(?: [ -~]*)?$/

/** The answers in a stream of bytes, however it is cut. */
export class ReplyReader {
  readonly #maxValueBytes: number
  #chunks: Buffer[] = []
  #buffered = 0
  /** Below this many bytes there is nothing to look for: data that comes byte by byte is joined once. */
  #wanted = 1
  #awaitingData: Announced | undefined

  constructor(maxValueBytes: number) {
    this.#maxValueBytes = maxValueBytes
  }

  /**
   * @returns the answers that are whole with this chunk
   * @throws {@link SessionStoreError} at the first byte that cannot be of an answer; the stream is of no use from there
   */
  *push(chunk: Buffer): Generator<MetaReply, void> {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    while (this.#buffered >= this.#wanted) {
      const reply = this.#awaitingData === undefined ? this.#readLine() : this.#readData(this.#awaitingData)
      if (reply !== undefined) yield reply
    }
  }

  #readLine(): MetaReply | undefined {
    const bytes = this.#joined()
    const end = bytes.subarray(0, MAX_LINE).indexOf(CRLF)
    if (end < 0) {
      if (bytes.length >= MAX_LINE) throw violation('a line without an end')
      this.#wanted = bytes.length + 1
      return undefined
    }
    this.#drop(bytes, end + CRLF.length)
    const reply = parseLine(bytes.toString('latin1', 0, end))
    if (!('answer' in reply)) return reply
    if (reply.size > this.#maxValueBytes) throw violation(`a value of ${reply.size} bytes`)
    this.#awaitingData = reply
    this.#wanted = reply.size + CRLF.length
    return undefined
  }

  #readData({ answer, size }: Announced): MetaReply {
    const bytes = this.#joined()
    if (bytes.indexOf(CRLF, size) !== size) throw violation('data of another length than was said')
    const value = new Uint8Array(bytes.subarray(0, size))
    this.#awaitingData = undefined
    this.#drop(bytes, size + CRLF.length)
    return { ...answer, value }
  }

  #joined(): Buffer {
    const [first = CRLF] = this.#chunks
    const bytes = this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks)
    this.#chunks = [bytes]
    return bytes
  }

  #drop(bytes: Buffer, count: number): void {
    this.#chunks = bytes.length > count ? [bytes.subarray(count)] : []
    this.#buffered = bytes.length - count
    this.#wanted = 1
  }
}

/** An answer whose data is yet to come. */
interface Announced {
  readonly answer: MetaAnswer
  readonly size: number
}

function parseLine(line: string): MetaReply | Announced {
  const match = ANSWER.exec(line)
  if (match === null) return parseFailure(line)
  const [, withData, size, bare, flags = ''] = match
  const code = (withData ?? bare) as ReplyCode
  const answer: MetaAnswer = { code, value: NOTHING, opaque: tokenOf(flags, 'O'), cas: tokenOf(flags, 'c') }
  return size === undefined ? answer : { answer, size: Number(size) }
}

function parseFailure(line: string): MetaFailure {
  const code = FAILURE.exec(line)?.[1] as MetaFailure['code'] | undefined
  // The line may be part of a value, so it is not told.
  if (code === undefined) throw violation('a line that is no answer')
  return { code, text: line }
}

function tokenOf(flags: string, name: string): string | undefined {
  const begin = flags.indexOf(` ${name}`)
  if (begin < 0) return undefined
  const end = flags.indexOf(' ', begin + 1)
  return flags.slice(begin + 2, end < 0 ? undefined : end)
}

export function violation(what: string): SessionStoreError {
  return new SessionStoreError(`memcached broke the protocol: ${what}`)
}
