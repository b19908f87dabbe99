import { ClientHelloError } from '../errors.ts'
import { octetAt } from './der.ts'
import { latin1 } from './latin1.ts'

/**
 * A cursor over a whole handshake message, RFC 9846 §4. Between `enter` and `leave` it is in the content of one vector, RFC 9846 §3.4, and has no
 * way to get out of it. It reads a thing whole or throws. What follows the last thing is refused by `end`, or by a loop
 * that goes on until nothing remains.
 */
export class VectorReader {
  readonly #bytes: Uint8Array
  #offset = 0
  /** The end of the innermost vector that was entered. */
  #end: number

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#end = bytes.length
  }

  /** The position of the next byte, from the start of the whole message. */
  get offset(): number {
    return this.#offset
  }

  /** The position of the byte behind the content that the reader is in. */
  get contentEnd(): number {
    return this.#end
  }

  get remaining(): number {
    return this.#end - this.#offset
  }

  uint8(subject: string): number {
    const value = this.#offset < this.#end ? this.#bytes[this.#offset] : undefined
    if (value === undefined)
      throw new ClientHelloError(`${subject} must be there, got the end of what holds it`, this.#offset)
    this.#offset += 1
    return value
  }

  uint16(subject: string): number {
    const offset = this.#offset
    // One at a time, so that an error says where the first that is missing should be.
    if (offset + 2 > this.#end) return this.uint8(subject) * 0x100 + this.uint8(subject)
    this.#offset = offset + 2
    return octetAt(this.#bytes, offset) * 0x100 + octetAt(this.#bytes, offset + 1)
  }

  uint24(subject: string): number {
    return this.uint8(subject) * 0x10000 + this.uint16(subject)
  }

  /** Multiplied, not shifted: a shift to the left is of 32 bits with a sign. */
  uint32(subject: string): number {
    return this.uint16(subject) * 0x10000 + this.uint16(subject)
  }

  /** All that remains. */
  uint16s(subject: string): number[] {
    // An array that grows makes room for seventeen first, and is copied again and again.
    const values = new Array<number>(Math.ceil(this.remaining / 2))
    for (let index = 0; this.remaining > 0; index++) values[index] = this.uint16(subject)
    return values
  }

  /** All that remains. */
  uint8s(subject: string): number[] {
    const values = new Array<number>(this.remaining)
    for (let index = 0; index < values.length; index++) values[index] = this.uint8(subject)
    return values
  }

  /**
   * Steps into opaque subject<min..max> with a length of one byte.
   *
   * @returns where what encloses it ends: hand it to {@link leave}
   */
  enter8(min: number, max: number, subject: string): number {
    const start = this.#offset
    return this.#enter(this.uint8(subject), min, max, subject, start)
  }

  /** As {@link enter8}, with a length of two bytes. */
  enter16(min: number, max: number, subject: string): number {
    const start = this.#offset
    return this.#enter(this.uint16(subject), min, max, subject, start)
  }

  /** Out of the vector that was entered last, whatever is left of it. */
  leave(enclosingEnd: number): void {
    this.#offset = this.#end
    this.#end = enclosingEnd
  }

  skip(length: number, subject: string): void {
    this.#expectRoom(length, subject)
    this.#offset += length
  }

  /** A copy with memory of its own; `slice` would give a Buffer's caller a view on the same. */
  copyRest(): Uint8Array {
    const copy = new Uint8Array(this.remaining)
    for (let index = 0; index < copy.length; index++) {
      copy[index] = octetAt(this.#bytes, this.#offset + index)
    }
    this.#offset = this.#end
    return copy
  }

  latin1Rest(): string {
    const start = this.#offset
    this.#offset = this.#end
    return latin1(this.#bytes, start, this.#end)
  }

  /** Refuses leftovers. */
  end(subject: string): void {
    if (this.remaining > 0)
      throw new ClientHelloError(`${subject} must end here, got ${this.remaining} bytes more`, this.#offset)
  }

  #enter(length: number, min: number, max: number, subject: string, start: number): number {
    if (length < min || length > max)
      throw new ClientHelloError(`${subject} must have ${min} to ${max} bytes, got ${length}`, start)
    this.#expectRoom(length, subject)
    const enclosingEnd = this.#end
    this.#end = this.#offset + length
    return enclosingEnd
  }

  #expectRoom(length: number, subject: string): void {
    if (length > this.remaining) {
      throw new ClientHelloError(
        `${subject} must fit, its ${length} bytes exceed the ${this.remaining} left`,
        this.#offset,
      )
    }
  }
}
