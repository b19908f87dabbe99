import net from 'node:net'
import { Duplex } from 'node:stream'
import { failureOf, HandshakeError, otherProtocol } from './failure.ts'
import type { ClientSettings, Endpoint } from './probe.ts'
import { StartTlsError, startTls } from './starttls.ts'
import { WireWitness } from './wire.ts'

/** A connection on which TLS may begin, and who has seen its bytes. */
export interface Connection {
  readonly stream: net.Socket | Duplex
  readonly wire: WireWitness
  /** Ends everything, whatever the server does. */
  destroy(error?: Error): void
}

/** Within this many milliseconds, and then the connection is destroyed. */
export interface Patience {
  readonly timeoutMs: number
  /** Destroys it sooner. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Connects, and says what has to be said before TLS.
 *
 * @param isBare - without a witness, which costs a copy of each chunk
 * @throws {@link HandshakeError}
 */
export async function openConnection(
  { address, port }: Endpoint,
  settings: Pick<ClientSettings, 'startTls'> & { readonly name: string },
  { timeoutMs, signal, isBare }: Patience & { readonly isBare: boolean },
): Promise<Connection> {
  const wire = new WireWitness()
  const tcp = net.connect({ host: address, port })
  tcp.setNoDelay(true)
  let isConnected = false
  const timer = setTimeout(() => tcp.destroy(timeoutError(timeoutMs)), timeoutMs)
  const release = onAbort(signal, () => tcp.destroy(new Error('aborted')))
  try {
    await connected(tcp)
    isConnected = true
    if (settings.startTls !== undefined) await startTls(settings.startTls, tcp, settings.name)
  } catch (error) {
    tcp.on('error', () => undefined).destroy()
    throw openingError(error, wire, isConnected)
  } finally {
    clearTimeout(timer)
    release()
  }
  if (isBare) return { stream: tcp, wire, destroy: (error) => void tcp.destroy(error) }
  const stream = new WitnessedStream(tcp, wire)
  return { stream, wire, destroy: (error) => void stream.destroy(error) }
}

/** @returns what takes it back */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal?.aborted) act()
  signal?.addEventListener('abort', act, { once: true })
  return () => signal?.removeEventListener('abort', act)
}

/** What `work` is given a signal for ends when so many milliseconds are over, or when `sooner` says so. */
export async function within<T>(
  milliseconds: number,
  sooner: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController()
  const timer = setTimeout(() => end.abort(), Math.max(milliseconds, 0))
  const release = onAbort(sooner, () => end.abort())
  try {
    return await work(end.signal)
  } finally {
    clearTimeout(timer)
    release()
  }
}

export function timeoutError(timeoutMs: number): Error {
  return Object.assign(new Error(`no handshake within ${Math.round(timeoutMs)} ms`), { code: 'ERR_TIMEOUT' })
}

function connected(tcp: net.Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    tcp.once('error', reject)
    tcp.once('connect', () => {
      tcp.off('error', reject)
      resolve()
    })
  })
}

function openingError(error: unknown, wire: WireWitness, isConnected: boolean): HandshakeError {
  if (error instanceof StartTlsError) {
    const failure = {
      kind: 'starttls-refused',
      code: 'ERR_STARTTLS',
      ...otherProtocol(error.answer),
    } as const
    return new HandshakeError('ERR_STARTTLS', error.message, { cause: error, failure })
  }
  return handshakeError(error, wire, isConnected)
}

export function handshakeError(error: unknown, wire: WireWitness, isConnected = true): HandshakeError {
  if (error instanceof HandshakeError) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'ERR_UNKNOWN'
  return new HandshakeError(code, message, {
    cause: error,
    failure: failureOf({ code, message }, wire, isConnected),
  })
}

/** A TCP connection whose incoming bytes are seen before TLS has them: Node shows them to nobody. */
class WitnessedStream extends Duplex {
  readonly #tcp: net.Socket

  constructor(tcp: net.Socket, wire: WireWitness) {
    super({ allowHalfOpen: true })
    this.#tcp = tcp
    tcp.on('data', (chunk: Buffer) => {
      wire.see(chunk)
      if (!this.push(chunk)) tcp.pause()
    })
    tcp.once('end', () => this.push(null))
    tcp.on('error', (error) => this.destroy(error))
    tcp.once('close', () => this.destroy())
  }

  override _read(): void {
    this.#tcp.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#tcp.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#tcp.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#tcp.destroy()
    done(error)
  }
}
