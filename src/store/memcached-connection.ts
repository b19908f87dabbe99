import type { Duplex } from 'node:stream'
import { SessionStoreError } from '../errors.ts'
import { checkMethods } from '../session/arguments.ts'
import { hearRejection } from '../session/awaitable.ts'
import {
  encodeCommand,
  type MetaAnswer,
  type MetaCommand,
  type MetaFailure,
  type MetaReply,
  ReplyReader,
  violation,
} from './memcached-protocol.ts'

/** Found once: who replaces it in a test does not stop Node. */
const { nextTick } = process

interface ConnectionLimits {
  readonly answerTimeoutMs: number
  readonly maxValueBytes: number
}

interface Outstanding {
  readonly command: MetaCommand
  readonly opaque: string
  resolve(answer: MetaAnswer): void
  reject(error: SessionStoreError): void
}

/**
 * One connection, from its first byte to its end. Answers belong to commands by their order, and by their opaque as well: a
 * stream that is out of step ends before anybody gets what another asked for.
 */
export class MemcachedConnection {
  readonly #stream: Duplex
  readonly #limits: ConnectionLimits
  readonly #outstanding: Outstanding[] = []
  readonly #onEnd: (error: SessionStoreError) => void
  #silence: NodeJS.Timeout | undefined
  #ended: SessionStoreError | undefined
  #sent = 0
  #answered = 0

  /** @param onEnd - called once, before what is outstanding rejects */
  constructor(stream: Duplex, limits: ConnectionLimits, onEnd: (error: SessionStoreError) => void) {
    this.#stream = stream
    this.#limits = limits
    this.#onEnd = onEnd
    const reader = new ReplyReader(limits.maxValueBytes)
    stream.on('data', (chunk: Buffer) => this.#read(reader, chunk))
    stream.on('error', (cause) => this.end(lost({ cause })))
    stream.on('end', () => this.end(lost()))
    stream.on('close', () => this.end(lost()))
  }

  /** Whether it has been of use: it answered more than the first question. */
  get hasServed(): boolean {
    return this.#answered > 1
  }

  send(command: MetaCommand): Promise<MetaAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(failed(command, this.#ended))
      const opaque = String(this.#sent++)
      this.#outstanding.push({ command, opaque, resolve, reject })
      this.#silence ??= setTimeout(() => this.end(silent(this.#limits)), this.#limits.answerTimeoutMs).unref()
      this.#write(encodeCommand(command, opaque))
    })
  }

  /** What is sent in one turn of the event loop goes out in one piece. */
  #write(bytes: Buffer): void {
    if (this.#stream.writableCorked === 0) {
      this.#stream.cork()
      nextTick(() => this.#stream.uncork())
    }
    this.#stream.write(bytes)
  }

  end(error: SessionStoreError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    clearTimeout(this.#silence)
    this.#stream.destroy()
    this.#onEnd(error)
    for (const { command, reject } of this.#outstanding.splice(0)) reject(failed(command, error))
  }

  #read(reader: ReplyReader, chunk: Buffer): void {
    try {
      for (const reply of reader.push(chunk)) {
        if (this.#ended !== undefined) return
        this.#settle(reply)
      }
    } catch (error) {
      this.end(error instanceof SessionStoreError ? error : lost({ cause: error }))
    }
  }

  #settle(reply: MetaReply): void {
    const [oldest] = this.#outstanding
    if (oldest === undefined) throw violation('a reply that nobody asked for')
    if ('text' in reply) oldest.reject(failed(oldest.command, survivable(reply)))
    else oldest.resolve(checkAnswer(oldest, reply))
    this.#outstanding.shift()
    this.#answered++
    this.#restartSilence()
  }

  #restartSilence(): void {
    if (this.#outstanding.length > 0) return void this.#silence?.refresh()
    clearTimeout(this.#silence)
    this.#silence = undefined
  }
}

/** @throws {@link SessionStoreError} when it is the answer to another command */
function checkAnswer({ command, opaque }: Outstanding, answer: MetaAnswer): MetaAnswer {
  if (answer.opaque !== opaque) throw violation('the answer to another command')
  if (!command.answers.includes(answer.code)) throw violation(`${answer.code} to ${command.verb}`)
  return answer
}

/** @throws {@link SessionStoreError} for all but SERVER_ERROR: after those it may read data as commands, or commands as data */
function survivable({ code, text }: MetaFailure): Error {
  const error = new Error(text)
  if (code !== 'SERVER_ERROR') throw new SessionStoreError('memcached refused a command', { cause: error })
  return error
}

function failed(command: MetaCommand, cause: Error): SessionStoreError {
  const isFull = cause.message.startsWith('SERVER_ERROR out of memory')
  const code = cause instanceof SessionStoreError ? cause.code : 'ERR_SESSION_STORE'
  return new SessionStoreError(`memcached ${command.verb} failed`, { cause, code, isRefusal: isFull })
}

function lost(options: ErrorOptions = {}): SessionStoreError {
  return new SessionStoreError('the connection to memcached is lost', options)
}

function silent({ answerTimeoutMs }: ConnectionLimits): SessionStoreError {
  return new SessionStoreError(`memcached was silent for ${answerTimeoutMs} ms`, {
    code: 'ERR_SESSION_STORE_TIMEOUT',
  })
}

function unavailable(message: string, options: ErrorOptions = {}): SessionStoreError {
  return new SessionStoreError(message, { ...options, code: 'ERR_SESSION_STORE_UNAVAILABLE' })
}

function unreachable(cause: unknown): SessionStoreError {
  return unavailable('memcached cannot be reached', { cause })
}

/** @throws {@link ArgumentError} for what an async function returns, too, whose rejection nobody else hears */
function checkStream(stream: Duplex): Duplex {
  hearRejection(stream, () => undefined)
  checkMethods('what connect returns', stream, ['on', 'write', 'cork', 'destroy'], 'a stream of Node')
  return stream
}

/**
 * Asked before anything else: a server without meta commands, base64 keys (1.6.10) or the right to use them says so here, and
 * never gets a value that it would read as commands.
 */
const FIRST_QUESTION: MetaCommand = {
  verb: 'mg',
  key: Buffer.from('sslctx').toString('base64'),
  flags: 's',
  answers: ['EN', 'HD'],
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2000
/** Commands and values that wait for one server; beyond it, calls fail at once. */
const MAX_HELD_BYTES = 16 * 1024 * 1024

/**
 * One server. A call makes the connection where there is none, and waits for it; after a failure, calls fail at once until a
 * pause is over, which doubles from 50 ms to 2 s. There is no timer and no attempt that no call has asked for.
 */
export class MemcachedServer {
  readonly #connect: () => Duplex
  readonly #limits: ConnectionLimits
  #connection: Promise<MemcachedConnection> | undefined
  #failures = 0
  #retryAt = 0
  #lastError: SessionStoreError | undefined
  #heldBytes = 0
  #closing: Promise<void> | undefined
  #onIdle: () => void = () => undefined

  constructor(connect: () => Duplex, limits: ConnectionLimits) {
    this.#connect = connect
    this.#limits = limits
  }

  /**
   * @param bytes - what the operation holds in memory until it is done
   * @param operation - all on one connection: a CAS value means nothing on the next, which may be to a server that began anew
   */
  async use<T>(bytes: number, operation: (connection: MemcachedConnection) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw unavailable('the memcached store is closed')
    if (this.#heldBytes + bytes > MAX_HELD_BYTES) throw unavailable('too much is waiting for memcached')
    this.#heldBytes += bytes
    try {
      return await operation(await this.#connected())
    } finally {
      this.#heldBytes -= bytes
      if (this.#heldBytes === 0) this.#onIdle()
    }
  }

  /** Waits for the calls that are under way. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#heldBytes > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    const connection = await this.#connection?.catch(() => undefined)
    connection?.end(unavailable('the memcached store is closed'))
  }

  #connected(): Promise<MemcachedConnection> {
    if (this.#connection === undefined) {
      if (performance.now() < this.#retryAt) return Promise.reject(unreachable(this.#lastError))
      // Not in this turn: an attempt that fails at once must find itself here, to be forgotten.
      this.#connection = Promise.resolve().then(() => this.#open())
    }
    return this.#connection
  }

  async #open(): Promise<MemcachedConnection> {
    const stream = this.#newStream()
    const connection = new MemcachedConnection(stream, this.#limits, (error) =>
      this.#forget(connection.hasServed, error),
    )
    try {
      await connection.send(FIRST_QUESTION)
      return connection
    } catch (cause) {
      const error = unreachable(cause)
      connection.end(error)
      throw error
    }
  }

  #newStream(): Duplex {
    try {
      return checkStream(this.#connect())
    } catch (cause) {
      const error = unreachable(cause)
      this.#forget(false, error)
      throw error
    }
  }

  #forget(hasServed: boolean, error: SessionStoreError): void {
    this.#connection = undefined
    this.#lastError = error
    this.#failures = hasServed ? 0 : this.#failures + 1
    const pauseMs = hasServed ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS)
    this.#retryAt = performance.now() + pauseMs
  }
}
