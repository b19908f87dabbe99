/**
 * The first handshake message of a connection, out of the records that carry it: RFC 9846 §5.1.
 *
 *   struct {
 *       ContentType type = handshake(22);
 *       ProtocolVersion legacy_record_version;      major 3; the minor must be ignored
 *       uint16 length;                              1..2^14
 *       opaque fragment[TLSPlaintext.length];
 *   } TLSPlaintext;
 *
 * A message may be spread over any number of records, with none of another type in between, and a record is never empty.
 */

/** In bytes of the handshake message, its header included; longer ones are not read. */
export const MAX_CLIENT_HELLO_LENGTH = 131_072

/**
 * - `incomplete`: more bytes are needed
 * - `complete`: `message` is the ClientHello with its header of four bytes; a view on the chunk if all of it has come in one
 * - `foreign`: this is not how a ClientHello of TLS begins
 * - `oversized`: its length says that it is longer than {@link MAX_CLIENT_HELLO_LENGTH}
 *
 * All but the first are final.
 */
export type HelloProgress =
  | { readonly state: 'incomplete' }
  | { readonly state: 'complete'; readonly message: Uint8Array }
  | { readonly state: 'foreign' }
  | { readonly state: 'oversized' }

const HANDSHAKE = 22
const MAJOR_VERSION = 3
const RECORD_HEADER_LENGTH = 5
const MAX_FRAGMENT_LENGTH = 16_384
const CLIENT_HELLO = 1
const MESSAGE_HEADER_LENGTH = 4

const NO_BYTES = new Uint8Array(0)
const INCOMPLETE: HelloProgress = { state: 'incomplete' }
const FOREIGN: HelloProgress = { state: 'foreign' }
const OVERSIZED: HelloProgress = { state: 'oversized' }

/**
 * Takes the bytes of a connection as they come, until its ClientHello is whole or cannot become so. Work is proportional to
 * the bytes pushed, and memory to those of the message that have come, whatever length it announces.
 */
export class ClientHelloCollector {
  #progress: HelloProgress = INCOMPLETE
  #received = 0
  /** Undefined as long as the message may have come in one. */
  #pieces: Pieces | undefined

  /** The number of all bytes pushed: record headers and what follows the ClientHello included. */
  get received(): number {
    return this.#received
  }

  /**
   * What follows the ClientHello (early data, a second flight) is ignored. After a final state, so is everything, and that
   * state is returned again.
   *
   * @param chunk - any number of bytes, those that follow the last chunk's; not kept, unless the message lies in it as a whole
   */
  push(chunk: Uint8Array): HelloProgress {
    // Nearly every ClientHello comes in one record and one chunk.
    const message = this.#received === 0 ? wholeMessage(chunk) : undefined
    if (message !== undefined) this.#progress = { state: 'complete', message }
    this.#received += chunk.length
    if (this.#progress === INCOMPLETE) {
      this.#pieces ??= new Pieces()
      this.#progress = this.#pieces.take(chunk)
    }
    return this.#progress
  }
}

/** A message that comes in several records, or chunks. */
class Pieces {
  #progress: HelloProgress = INCOMPLETE

  /** How many bytes of the current record's header have come; 0 within a fragment. */
  #recordHeaderLength = 0
  #lengthHighOctet = 0
  #fragmentRemaining = 0

  /** The message so far, with room for at most what is expected. */
  #message = NO_BYTES
  #messageLength = 0
  /** The header alone, until that has come and says how much follows. */
  #expectedLength = MESSAGE_HEADER_LENGTH

  take(chunk: Uint8Array): HelloProgress {
    let rest = chunk
    while (rest.length > 0 && this.#progress === INCOMPLETE) {
      const taken = this.#fragmentRemaining > 0 ? this.#takeFragment(rest) : this.#takeRecordHeader(rest)
      rest = rest.subarray(taken)
    }
    return this.#progress
  }

  /** @returns how many bytes were taken, at least one */
  #takeRecordHeader(bytes: Uint8Array): number {
    let taken = 0
    for (const octet of bytes.subarray(0, RECORD_HEADER_LENGTH - this.#recordHeaderLength)) {
      taken += 1
      if (!this.#acceptsHeaderOctet(octet)) {
        this.#progress = FOREIGN
        break
      }
    }
    return taken
  }

  /** @returns whether a record of a ClientHello can have this as the next byte of its header */
  #acceptsHeaderOctet(octet: number): boolean {
    switch (this.#recordHeaderLength++) {
      case 0:
        return octet === HANDSHAKE
      case 1:
        return octet === MAJOR_VERSION
      case 2:
        return true
      case 3:
        this.#lengthHighOctet = octet
        return octet * 0x100 <= MAX_FRAGMENT_LENGTH
      default:
        this.#recordHeaderLength = 0
        this.#fragmentRemaining = this.#lengthHighOctet * 0x100 + octet
        return this.#fragmentRemaining > 0 && this.#fragmentRemaining <= MAX_FRAGMENT_LENGTH
    }
  }

  /** @returns how many bytes were taken, at least one */
  #takeFragment(bytes: Uint8Array): number {
    const wanted = this.#expectedLength - this.#messageLength
    const part = bytes.subarray(0, Math.min(this.#fragmentRemaining, wanted))
    this.#append(part)
    this.#fragmentRemaining -= part.length
    this.#progress = this.#judgeMessage()
    return part.length
  }

  /** Room is doubled, not made for all that is announced: a client could make 128 KiB of four bytes. */
  #append(part: Uint8Array): void {
    const length = this.#messageLength + part.length
    if (length > this.#message.length) {
      const room = Math.min(Math.max(length, this.#message.length * 2), this.#expectedLength)
      const grown = new Uint8Array(room)
      grown.set(this.#message)
      this.#message = grown
    }
    this.#message.set(part, this.#messageLength)
    this.#messageLength = length
  }

  #judgeMessage(): HelloProgress {
    if (this.#message[0] !== CLIENT_HELLO) return FOREIGN
    if (this.#messageLength < this.#expectedLength) return INCOMPLETE
    // Without a sign, and without msg_type. It is read again when the message is whole, and is the same then.
    const bodyLength = new DataView(this.#message.buffer).getUint32(0) % 0x1000000
    this.#expectedLength = MESSAGE_HEADER_LENGTH + bodyLength
    if (this.#expectedLength > MAX_CLIENT_HELLO_LENGTH) return OVERSIZED
    if (this.#messageLength < this.#expectedLength) return INCOMPLETE
    return { state: 'complete', message: this.#message }
  }
}

/** @returns the ClientHello in the first record of these bytes, if it is whole; undefined says nothing about them */
function wholeMessage(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== HANDSHAKE || bytes[1] !== MAJOR_VERSION || bytes[5] !== CLIENT_HELLO) return undefined
  const fragmentLength = octetAt(bytes, 3) * 0x100 + octetAt(bytes, 4)
  const bodyLength = octetAt(bytes, 6) * 0x10000 + octetAt(bytes, 7) * 0x100 + octetAt(bytes, 8)
  const messageLength = MESSAGE_HEADER_LENGTH + bodyLength
  const isWhole =
    fragmentLength <= MAX_FRAGMENT_LENGTH &&
    messageLength <= fragmentLength &&
    RECORD_HEADER_LENGTH + messageLength <= bytes.length
  // Where the header is cut off, the bytes are too few as well.
  if (!isWhole) return undefined
  // `subarray` would make another Buffer of one.
  return new Uint8Array(bytes.buffer, bytes.byteOffset + RECORD_HEADER_LENGTH, messageLength)
}

/** 0 behind the end. */
function octetAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}
