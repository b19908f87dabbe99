/**
 * The first handshake message of a connection, out of the records that carry it: RFC 8446 §5.1.
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
 * - `complete`: `message` is the ClientHello with its header of four bytes, in memory of its own
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

  /** How many bytes of the current record's header have come; 0 within a fragment. */
  #recordHeaderLength = 0
  #lengthHighOctet = 0
  #fragmentRemaining = 0

  /** The message so far, with room for at most what is expected. */
  #message = new Uint8Array(MESSAGE_HEADER_LENGTH)
  #messageLength = 0
  /** The header alone, until that has come and says how much follows. */
  #expectedLength = MESSAGE_HEADER_LENGTH

  /** Of all bytes pushed: record headers and what follows the ClientHello included. */
  get received(): number {
    return this.#received
  }

  /**
   * What follows the ClientHello (early data, a second flight) is ignored. After a final state, so is everything, and that
   * state is returned again.
   *
   * @param chunk - any number of bytes, those that follow the last chunk's; not kept
   */
  push(chunk: Uint8Array): HelloProgress {
    this.#received += chunk.length
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
