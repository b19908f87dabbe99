/**
 * The Distinguished Encoding Rules, X.690, as far as an SSL_SESSION needs them: reading that cannot leave its element, and
 * writing that has one result.
 *
 *   element    = identifier length content          X.690 §8.1.1
 *   identifier = one octet: class (2 bits), constructed (1 bit), tag number 0..30
 *              | xxx11111, then the tag number, 31 and up, in base 128          §8.1.2
 *   length     = 00..7F
 *              | 81..84, then so many octets, as few as can hold it             §8.1.3, §10.1
 */
import { SessionDerError } from '../errors.ts'
import { latin1 } from './latin1.ts'

/** Identifier octets, X.690 §8.1.2. */
export const DerTag: {
  readonly INTEGER: 0x02
  readonly OCTET_STRING: 0x04
  readonly SEQUENCE: 0x30
} = { INTEGER: 0x02, OCTET_STRING: 0x04, SEQUENCE: 0x30 }

/** The identifier of an EXPLICIT `[number]`: context-specific and constructed, X.690 §8.14.2. `number` is 0 to 30. */
export function explicitTag(number: number): number {
  return 0xa0 | number
}

/** The identifier of an IMPLICIT `[number]` over a primitive type, X.690 §8.14.3. `number` is 0 to 30. */
export function implicitTag(number: number): number {
  return 0x80 | number
}

/** Both ends are included. */
export interface IntegerRange {
  readonly min: number | bigint
  readonly max: number | bigint
}

/** Where octets lie in what is read: the offset of the first, and of the one behind the last. */
export interface Span {
  readonly start: number
  readonly end: number
}

const CONSTRUCTED = 0x20
const TAG_NUMBER_MASK = 0x1f
const HIGH_TAG_NUMBER = 0x1f
const FIRST_HIGH_TAG_NUMBER = 31
const END_OF_CONTENTS = 0x00

/** Four octets of length say 4 GiB, more than any input; with a fifth the sum would still be exact, but never fit. */
const MAX_LENGTH_OCTETS = 4

/** uint64, the widest INTEGER of an SSL_SESSION, takes eight octets and one for the sign. */
const MAX_INTEGER_OCTETS = 9

/** Certificates nest about ten deep; libssl gives up at 30. A bound makes the recursion safe whatever the input. */
const MAX_DEPTH = 64

/**
 * A cursor over a whole input. Between `enter` and `leave` it is in one element, and has no way to get out of its content;
 * what is read is whole, or throws. Leftovers are refused by `leave`, and those of the input by `end`, which every caller
 * must call.
 */
export class DerReader {
  readonly #bytes: Uint8Array
  #offset = 0
  /** The end of the content of the innermost element that was entered. */
  #end: number

  /** Reads `bytes` where they are, without copying: they must not change meanwhile. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#end = bytes.length
  }

  /** The position of the next octet, from the start of the whole input. */
  get offset(): number {
    return this.#offset
  }

  /** How many octets are left. */
  get remaining(): number {
    return this.#end - this.#offset
  }

  /** Steps into the element `tag` that must come next. @returns where what encloses it ends: hand it to {@link leave} */
  enter(tag: number, subject: string): number {
    return this.enterOptional(tag, subject) ?? this.#refuseNext(subject)
  }

  /** As `enter`, but returns undefined, and stays, when something else or nothing comes next. */
  enterOptional(tag: number, subject: string): number | undefined {
    if (this.#next() !== tag) return undefined
    this.#offset += 1
    return this.#enterContent(subject)
  }

  /** Steps over the element `tag`, if it comes next, without a look into it. */
  skipOptional(tag: number, subject: string): void {
    const enclosingEnd = this.enterOptional(tag, subject)
    if (enclosingEnd !== undefined) this.#skipRest(enclosingEnd)
  }

  /** Out of the element that was entered last, of which all must have been read. */
  leave(enclosingEnd: number, subject: string): void {
    this.end(subject)
    this.#skipRest(enclosingEnd)
  }

  /** As {@link integer}, for a range of safe integers. */
  number(range: IntegerRange, subject: string): number {
    return Number(this.integer(range, subject))
  }

  /** Reads an INTEGER, X.690 §8.3. @returns a bigint when it has many octets */
  integer(range: IntegerRange, subject: string): number | bigint {
    const enclosingEnd = this.enter(DerTag.INTEGER, subject)
    const start = this.#offset
    const length = this.remaining
    requireMinimalInteger(this.#bytes, start, length, subject)
    const value = length <= MAX_INTEGER_OCTETS ? integerFromOctets(this.#bytes, start, length) : undefined
    if (value === undefined || value < range.min || value > range.max) {
      const got = `got an INTEGER of ${length} bytes outside of that`
      throw new SessionDerError(`${subject} must be ${range.min} to ${range.max}, ${got}`, start)
    }
    this.#skipRest(enclosingEnd)
    return value
  }

  /** Reads an OCTET STRING in its primitive form, the only one that DER has, X.690 §10.2. @returns where its content lies */
  octetString(minLength: number, maxLength: number, subject: string): Span {
    const enclosingEnd = this.enter(DerTag.OCTET_STRING, subject)
    const length = this.remaining
    if (length < minLength || length > maxLength) {
      const rule = minLength === maxLength ? `exactly ${minLength}` : `at most ${maxLength}`
      throw new SessionDerError(`${subject} must have ${rule} bytes, got ${length}`, this.#offset)
    }
    const content = { start: this.#offset, end: this.#end }
    this.#skipRest(enclosingEnd)
    return content
  }

  /**
   * Reads any one element, and checks that what is in it nests exactly: identifiers, lengths, no leftovers, on every level.
   * The values of primitive elements are not looked at.
   *
   * @returns where the whole lies, identifier and length included
   */
  wellFormedElement(subject: string): Span {
    const start = this.#offset
    this.#skipElement(MAX_DEPTH, subject)
    return { start, end: this.#offset }
  }

  /** Refuses leftovers. */
  end(subject: string): void {
    if (this.remaining > 0) {
      throw new SessionDerError(
        `${subject} must end here, got ${this.remaining} bytes more: an element that is unknown, repeated or out of order`,
        this.#offset,
      )
    }
  }

  /** Out of the element that was entered last, whatever is left of it. */
  #skipRest(enclosingEnd: number): void {
    this.#offset = this.#end
    this.#end = enclosingEnd
  }

  #skipElement(depth: number, subject: string): void {
    const start = this.#offset
    if (depth === 0)
      throw new SessionDerError(`${subject} must not nest deeper than ${MAX_DEPTH} levels`, start)
    const identifier = this.#octet('identifier', subject)
    // X.690 §8.1.5: 00 00 ends an indefinite length, and DER has none.
    if (identifier === END_OF_CONTENTS) {
      throw new SessionDerError(`${subject} must not contain end-of-contents octets`, start)
    }
    if ((identifier & TAG_NUMBER_MASK) === HIGH_TAG_NUMBER) this.#skipHighTagNumber(subject)
    const enclosingEnd = this.#enterContent(subject)
    if ((identifier & CONSTRUCTED) !== 0) {
      while (this.remaining > 0) this.#skipElement(depth - 1, subject)
    }
    this.#skipRest(enclosingEnd)
  }

  /** X.690 §8.1.2.4: seven bits an octet, the last one without the top bit; the first is not 80, and below 31 is the short form. */
  #skipHighTagNumber(subject: string): void {
    const start = this.#offset
    let octet = this.#octet('tag number', subject)
    if (octet === 0x80 || octet < FIRST_HIGH_TAG_NUMBER) {
      throw new SessionDerError(`${subject} must have minimal tag numbers, got a longer form`, start)
    }
    while ((octet & 0x80) !== 0) octet = this.#octet('tag number', subject)
  }

  /** Reads the length, and goes on in the content that it announces. @returns where what encloses it ends */
  #enterContent(subject: string): number {
    const lengthOffset = this.#offset
    const length = this.#length(subject)
    if (length > this.remaining) {
      throw new SessionDerError(
        `${subject} must fit, its length exceeds the ${this.remaining} bytes left`,
        lengthOffset,
      )
    }
    const enclosingEnd = this.#end
    this.#end = this.#offset + length
    return enclosingEnd
  }

  #length(subject: string): number {
    const start = this.#offset
    const initial = this.#octet('length', subject)
    if (initial < 0x80) return initial
    // X.690 §10.1: the definite form, with as few octets as can be.
    if (initial === 0x80) throw new SessionDerError(`${subject} must have a definite length`, start)
    const count = initial & 0x7f
    if (count > MAX_LENGTH_OCTETS) {
      throw new SessionDerError(
        `${subject} must have a length of at most ${MAX_LENGTH_OCTETS} octets, got ${count}`,
        start,
      )
    }
    let length = 0
    // Multiplied, not shifted: a shift to the left is of 32 bits with a sign, and could make the cursor go back.
    for (let i = 0; i < count; i++) length = length * 0x100 + this.#octet('length', subject)
    if (length < 0x80 || length < 0x100 ** (count - 1)) {
      throw new SessionDerError(`${subject} must have a minimal length, got a longer form`, start)
    }
    return length
  }

  #octet(part: string, subject: string): number {
    const octet = this.#next() ?? this.#refuseNext(`the ${part} of ${subject}`)
    this.#offset += 1
    return octet
  }

  #next(): number | undefined {
    return this.#offset < this.#end ? this.#bytes[this.#offset] : undefined
  }

  #refuseNext(subject: string): never {
    const got = this.remaining > 0 ? 'another element' : 'the end of the input or of what encloses it'
    throw new SessionDerError(`${subject} is mandatory, got ${got}`, this.#offset)
  }
}

/** One octet that is there: of DER that was found to be whole, or of other bytes whose length the caller knows. */
export function octetAt(bytes: Uint8Array, index: number): number {
  /* v8 ignore next -- the caller has seen to it */
  return bytes[index] ?? 0
}

/** @param offset - of an element, in DER that was found to be whole */
export function contentStart(bytes: Uint8Array, offset: number): number {
  const octet = octetAt(bytes, offset + 1)
  return offset + 2 + (octet < 0x80 ? 0 : octet & 0x7f)
}

/** As {@link contentStart}. */
export function elementEnd(bytes: Uint8Array, offset: number): number {
  const first = octetAt(bytes, offset + 1)
  if (first < 0x80) return offset + 2 + first
  const start = contentStart(bytes, offset)
  let length = 0
  for (let index = offset + 2; index < start; index++) length = length * 0x100 + octetAt(bytes, index)
  return start + length
}

/** X.690 §8.3.2: at least one octet, and the first nine bits are not all the same. */
function requireMinimalInteger(bytes: Uint8Array, start: number, length: number, subject: string): void {
  if (length === 0) throw new SessionDerError(`${subject} must have at least one byte, got none`, start)
  if (length === 1) return
  const sign = octetAt(bytes, start + 1) >= 0x80 ? 0xff : 0x00
  if (bytes[start] === sign)
    throw new SessionDerError(`${subject} must be a minimal INTEGER, got a longer form`, start)
}

/** So many octets are a safe integer. */
const SAFE_OCTETS = 6

/** Two's complement, X.690 §8.3.3. */
function integerFromOctets(bytes: Uint8Array, start: number, length: number): number | bigint {
  if (length > SAFE_OCTETS) return bigIntegerFromOctets(bytes.subarray(start, start + length))
  let value = octetAt(bytes, start) >= 0x80 ? -1 : 0
  // Multiplied, not shifted: a shift is of 32 bits.
  for (let index = start; index < start + length; index++) value = value * 0x100 + octetAt(bytes, index)
  return value
}

function bigIntegerFromOctets(octets: Uint8Array): bigint {
  let value = 0n
  for (const octet of octets) value = value * 0x100n + BigInt(octet)
  return BigInt.asIntN(octets.length * 8, value)
}

/** A copy; `Uint8Array.prototype.slice` would give a Buffer's caller a view on the same memory. */
export function copySpan(bytes: Uint8Array, { start, end }: Span): Uint8Array {
  const copy = new Uint8Array(end - start)
  for (let index = start; index < end; index++) copy[index - start] = octetAt(bytes, index)
  return copy
}

/**
 * Writes elements back to front, so that the length of each is known when its turn comes, and nothing is moved. What is
 * written last comes first.
 */
export class DerWriter {
  #bytes: Uint8Array = new Uint8Array(512)
  #start = 512

  /** Where the next thing to be written ends: hand it to {@link close}. */
  get end(): number {
    return this.#bytes.length - this.#start
  }

  /** Forgets what an encoding that threw has left. */
  begin(): void {
    const { length } = this.#bytes
    if (this.#start < length) this.#bytes.fill(0, this.#start)
    this.#start = length
  }

  /** An INTEGER in as few octets as can hold it, X.690 §8.3.2. @param value - a safe integer, or a bigint */
  integer(value: number | bigint): void {
    const { end } = this
    if (typeof value === 'number' && !Number.isSafeInteger(value))
      throw new TypeError(`${value} is no INTEGER`)
    const last = typeof value === 'bigint' ? this.#bigDigits(value) : this.#digits(value)
    // The sign is that of the first octet's top bit.
    const isNegative = value < 0
    if (isNegative !== last >= 0x80) this.#octet(isNegative ? 0xff : 0x00)
    this.close(DerTag.INTEGER, end)
  }

  octetString(bytes: Uint8Array): void {
    const { end } = this
    this.raw(bytes)
    this.close(DerTag.OCTET_STRING, end)
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#start -= bytes.length
    this.#bytes.set(bytes, this.#start)
  }

  /** A part of some bytes. */
  part(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start)
    this.#start -= end - start
    const shift = this.#start - start
    for (let index = start; index < end; index++) this.#bytes[shift + index] = octetAt(bytes, index)
  }

  /** An EXPLICIT `[number]` of an INTEGER. */
  explicitInteger(number: number, value: number | bigint): void {
    const { end } = this
    this.integer(value)
    this.close(explicitTag(number), end)
  }

  /** An EXPLICIT `[number]` of an OCTET STRING. */
  explicitOctetString(number: number, bytes: Uint8Array): void {
    const { end } = this
    this.octetString(bytes)
    this.close(explicitTag(number), end)
  }

  /** Puts identifier and minimal length (X.690 §10.1) before all that was written since `end`. */
  close(tag: number, end: number): void {
    const length = this.end - end
    if (length >= 0x80) {
      let count = 0
      for (let rest = length; rest > 0; rest = Math.floor(rest / 0x100)) {
        this.#octet(rest % 0x100)
        count++
      }
      this.#octet(0x80 | count)
    } else this.#octet(length)
    this.#octet(tag)
  }

  /** A copy of all that was written; the writer can begin anew. */
  finish(): Uint8Array {
    const whole = this.#bytes.slice(this.#start)
    // It may have been a master key.
    this.begin()
    return whole
  }

  /** As {@link finish}, without a copy: `read` gets all that was written, for as long as it runs. */
  lend(read: (whole: Uint8Array) => void): void {
    try {
      read(this.#bytes.subarray(this.#start))
    } finally {
      this.begin()
    }
  }

  /** As {@link finish}, a UTF-16 unit for each byte. */
  finishText(): string {
    const whole = latin1(this.#bytes, this.#start, this.#bytes.length)
    this.begin()
    return whole
  }

  /** @returns the last octet that was written, the first of the number */
  #digits(value: number): number {
    let rest = value
    let octet: number
    do {
      octet = ((rest % 0x100) + 0x100) % 0x100
      this.#octet(octet)
      rest = Math.floor(rest / 0x100)
    } while (rest !== 0 && rest !== -1)
    return octet
  }

  #bigDigits(value: bigint): number {
    let rest = value
    let octet: number
    do {
      octet = Number(BigInt.asUintN(8, rest))
      this.#octet(octet)
      rest >>= 8n
    } while (rest !== 0n && rest !== -1n)
    return octet
  }

  #octet(octet: number): void {
    this.#reserve(1)
    this.#bytes[--this.#start] = octet
  }

  #reserve(length: number): void {
    if (length <= this.#start) return
    const larger = new Uint8Array(2 * this.#bytes.length + length)
    const start = larger.length - this.end
    larger.set(this.#bytes.subarray(this.#start), start)
    this.#bytes.fill(0)
    this.#bytes = larger
    this.#start = start
  }
}
