import type { Duplex } from 'node:stream'
import { type ClientHello, decodeClientHello } from '../codec/client-hello.ts'
import { ClientHelloCollector, MAX_CLIENT_HELLO_LENGTH } from '../codec/client-hello-records.ts'
import type { Deadline, DeadlineListener, Deadlines } from './deadlines.ts'
import { nextTick } from './node-engine.ts'

/** What was read of a connection before Node gets it. */
export type ReadAheadResult =
  | { readonly state: 'complete'; readonly message: Uint8Array }
  /** No ClientHello, or one that is too long to be read. */
  | { readonly state: 'foreign' | 'oversized' }
  /** The time was up before the ClientHello was whole. */
  | { readonly state: 'stalled' }
  /** The client has nothing more to say: no handshake can come of it. It may have been whole before. */
  | { readonly state: 'ended' }

/** What may be a ClientHello. */
export type HelloResult = Exclude<ReadAheadResult, { readonly state: 'ended' }>

const UNREAD_REASONS = {
  complete: 'unreadable-hello',
  foreign: 'not-tls',
  oversized: 'oversized-hello',
  stalled: 'stalled-hello',
} as const

/** @returns the ClientHello, or why it cannot be read; Node's libssl has its own word for that */
export function helloOf(
  result: HelloResult,
): ClientHello | (typeof UNREAD_REASONS)[keyof typeof UNREAD_REASONS] {
  try {
    if (result.state === 'complete') return decodeClientHello(result.message)
  } catch {
    // Not one that is known here.
  }
  return UNREAD_REASONS[result.state]
}

/** Who hears of what is read. */
export interface ReadAheadListener {
  hearFirstBytes(): void
  /** Called once, and a second time only with `ended`. */
  hearResult(result: ReadAheadResult): void
}

/** Records may be as short as a byte, and would then be six times as long as the ClientHello in them. */
const MAX_RECEIVED = 2 * MAX_CLIENT_HELLO_LENGTH
/** What may come after the ClientHello, while the lookup is under way. */
const MAX_FOLLOWING = 65_536
/** Chunks may be as short as a byte, too; then they are merged, since each has its cost. */
const MAX_CHUNKS = 64
const NO_BYTES = Buffer.alloc(0)
/** Found once: see Connection. */
const { isBuffer } = Buffer
const NO_CHUNKS: readonly Buffer[] = []

/**
 * Takes the bytes of a connection before they get into the stream's own buffer, which its other users share: they see nothing of
 * it, as they see nothing of what Node's TLSSocket reads. Whatever they do to the stream, listen, pipe, pause or resume it, set an
 * encoding, the bytes are whole.
 *
 * A stream gets what it reads by its own method `push`, the contract of every Readable: that is where the bytes are taken.
 */
export class ReadAhead implements DeadlineListener {
  readonly #socket: Duplex
  readonly #listener: ReadAheadListener
  readonly #collector = new ClientHelloCollector()
  readonly #deadlines: Deadlines
  readonly #deadline: Deadline
  /** The method of others that ours stands for. */
  readonly #push: Duplex['push']
  readonly #unshift: Duplex['unshift']
  /** Present once there was something in the buffer, whose end is told by an event. */
  #onEnd: (() => void) | undefined
  /** What was put back, and is looked at in the next tick: in the stream's buffer it would flow away from one that was resumed. */
  #returned: readonly Buffer[] = NO_CHUNKS
  #chunks: Buffer[] = []
  #following = 0
  #heardMs: number
  #state: 'reading' | 'heard' | 'released' = 'reading'
  // Bound, not closures: see Connection.
  readonly #take: Duplex['push'] = this.#receiveChunk.bind(this)
  readonly #putBack: Duplex['unshift'] = this.#hold.bind(this)

  /**
   * @param deadlines - after which the result is `stalled`
   * @throws what assigning throws, for a stream whose methods cannot be replaced: nothing has changed then
   * @param nowMs - on the clock of `performance`
   */
  constructor(socket: Duplex, deadlines: Deadlines, nowMs: number, listener: ReadAheadListener) {
    this.#socket = socket
    this.#listener = listener
    this.#push = socket.push
    this.#unshift = socket.unshift
    // Put back by assignment, too: deletion would make a slower object of the socket for the rest of its life.
    socket.push = this.#take
    try {
      socket.unshift = this.#putBack
    } catch (error) {
      socket.push = this.#push
      throw error
    }
    this.#heardMs = nowMs
    this.#deadlines = deadlines
    this.#deadline = deadlines.set(this, nowMs)
  }

  /**
   * Begins with what lies in the buffer, before anybody else takes it; once more in the next tick, for those who put back what they
   * had read after they gave the connection away.
   */
  start(): void {
    this.#drain()
    if (!isFresh(this.#socket)) this.#lookAgain()
  }

  /** When the latest part of a ClientHello that is not whole came, or the connection, on the clock of `performance`. */
  get heardMs(): number {
    return this.#heardMs
  }

  /** The time for the ClientHello is up. */
  hearDeadline(): void {
    this.#hear({ state: 'stalled' })
  }

  /** In the next tick, in which Node would look. */
  #lookAgain(): void {
    nextTick(() => {
      this.#takeReturned()
      this.#drain()
      // Nobody may have asked the stream for bytes yet.
      if (this.#state === 'reading') this.#socket.read(0)
    })
  }

  /** The stream is its users' again. @returns all bytes that were taken, in their order */
  release(): readonly Buffer[] {
    if (this.#stop()) this.#askForMore()
    const chunks = this.#returned.length === 0 ? this.#chunks : [...this.#returned, ...this.#chunks]
    this.#returned = NO_CHUNKS
    this.#chunks = []
    return chunks
  }

  /** @returns false when it had been stopped */
  #stop(): boolean {
    if (this.#state === 'released') return false
    this.#state = 'released'
    this.#deadlines.clear(this.#deadline)
    const socket = this.#socket
    if (this.#onEnd !== undefined) socket.off('end', this.#onEnd)
    // Somebody else may have put another one over it, which then calls ours.
    if (socket.push === this.#take) socket.push = this.#push
    if (socket.unshift === this.#putBack) socket.unshift = this.#unshift
    return true
  }

  #takeReturned(): void {
    const returned = this.#returned
    if (returned.length === 0 || this.#state === 'released') return
    this.#returned = NO_CHUNKS
    // As one, since the stream may be its users' again with the last byte of the ClientHello.
    this.#receive(Buffer.concat(returned))
  }

  #drain(): void {
    const socket = this.#socket
    if (this.#state === 'released' || socket.readableLength === 0) return
    if (this.#onEnd === undefined) {
      this.#onEnd = this.#end.bind(this)
      socket.once('end', this.#onEnd)
    }
    const { readableEncoding } = socket
    for (let chunk: unknown = socket.read(); chunk !== null; chunk = socket.read())
      this.#receive(bytesOf(chunk, readableEncoding))
  }

  #receiveChunk(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.#takeReturned()
    if (this.#state === 'released') return Reflect.apply(this.#push, this.#socket, [chunk, encoding])
    if (chunk === null) {
      this.#end()
      Reflect.apply(this.#push, this.#socket, [null])
      // Its end is told to who reads, which somebody may have paused: only a net.Socket sees to that itself.
      this.#socket.read(0)
      return false
    }
    this.#receive(bytesOf(chunk, encoding))
    if (this.#following > MAX_FOLLOWING) return false
    if (this.#state === 'reading') this.#askForMore()
    return true
  }

  #hold(chunk: unknown, encoding?: BufferEncoding): void {
    const socket = this.#socket
    const isBytes = typeof chunk === 'string' || chunk instanceof Uint8Array
    // Before whatever else may be asked for now, such as a flow in which they would be lost.
    if (this.#state !== 'released') this.#lookAgain()
    // Behind what came later they would be in the wrong place.
    const isFirst = this.#state === 'reading' && this.#chunks.length === 0
    if (isFirst && isBytes) this.#returned = [bytesOf(chunk, encoding), ...this.#returned]
    else Reflect.apply(this.#unshift, socket, [chunk, encoding])
  }

  /** A stream without a handle waits to be asked after each chunk; it is told that the last one was taken. */
  #askForMore(): void {
    if (hasHandle(this.#socket)) return
    if (!this.#socket.destroyed && !this.#socket.readableEnded)
      Reflect.apply(this.#push, this.#socket, [NO_BYTES])
  }

  #end(): void {
    if (this.#stop()) this.#listener.hearResult({ state: 'ended' })
  }

  #receive(chunk: Buffer): void {
    if (chunk.length === 0) return
    if (this.#chunks.length === 0) this.#listener.hearFirstBytes()
    if (this.#chunks.push(chunk) > MAX_CHUNKS) this.#chunks = [Buffer.concat(this.#chunks)]
    if (this.#state !== 'reading') {
      this.#following += chunk.length
      return
    }
    const progress = this.#collector.push(chunk)
    if (progress.state !== 'incomplete') this.#hear(progress)
    else if (this.#collector.received > MAX_RECEIVED) this.#hear({ state: 'oversized' })
    else this.#heardMs = performance.now()
  }

  #hear(result: ReadAheadResult): void {
    if (this.#state !== 'reading') return
    this.#state = 'heard'
    this.#deadlines.clear(this.#deadline)
    this.#listener.hearResult(result)
  }
}

function hasHandle(socket: Duplex): boolean {
  return '_handle' in socket && Boolean(socket._handle)
}

/** Nothing was read of it that somebody could put back, and what comes is pushed without being asked for. */
function isFresh(socket: Duplex): boolean {
  const { _handle: handle, bytesRead } = socket as RawSocket
  return handle?.reading === true && bytesRead === 0
}

/** What a net.Socket has, and other streams have not. */
interface RawSocket {
  readonly _handle?: { readonly reading?: unknown } | null
  readonly bytesRead?: number
}

/** Whether a stream can be read ahead: Node refuses one of objects itself. */
export function isReadable(socket: Duplex): boolean {
  return typeof socket.push === 'function' && !socket.readableObjectMode
}

/** Who sets an encoding gets decoded text back; what UTF-8 has made of bytes that are none is lost, to Node as well. */
function bytesOf(chunk: unknown, encoding: BufferEncoding | null | undefined): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding ?? 'utf8')
  if (isBuffer(chunk)) return chunk
  return chunk instanceof Uint8Array ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : NO_BYTES
}
