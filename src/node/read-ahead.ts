import type { Duplex } from 'node:stream'
import { ClientHelloCollector, MAX_CLIENT_HELLO_LENGTH } from '../codec/client-hello-records.ts'

/** What was read of a connection before Node gets it. */
export type ReadAhead =
  | { readonly state: 'complete'; readonly message: Uint8Array; readonly isOneRecord: boolean }
  /** No ClientHello, or one that is too long to be read. */
  | { readonly state: 'foreign' | 'oversized' }
  /** The time was up, or the client had nothing more to say, before the ClientHello was whole. */
  | { readonly state: 'stalled' | 'ended' }
  /** The connection has gone: nobody gets it. */
  | { readonly state: 'closed' }

const RECORD_HEADER_LENGTH = 5
/** Records may be as short as a byte, and would then be six times as long as the ClientHello in them. */
const MAX_RECEIVED = 2 * MAX_CLIENT_HELLO_LENGTH
/** So may be what TCP brings; then they are merged, since each has its cost. */
const MAX_CHUNKS = 64

/**
 * Reads until the ClientHello is whole, and puts back every byte. The caller listens to errors of the socket.
 *
 * @param timeoutMs - after which the bytes so far are put back
 * @param done - called once, with no listener of ours left on the socket
 */
export function readAhead(
  socket: Duplex,
  timeoutMs: number,
  onFirstBytes: () => void,
  done: (result: ReadAhead) => void,
): void {
  const collector = new ClientHelloCollector()
  const chunks: Buffer[] = []
  const finish = (result: ReadAhead): void => {
    clearTimeout(timer)
    socket.off('readable', onReadable).off('end', onEnd).off('close', onClose)
    // A stream that has ended takes nothing back; without a whole ClientHello there is nothing to be done with it either.
    if (chunks.length > 0 && !socket.readableEnded && !socket.destroyed) socket.unshift(joined(chunks))
    done(result)
  }
  /** @returns undefined when more must come */
  const take = (chunk: Buffer): ReadAhead | undefined => {
    if (chunks.length === 0) onFirstBytes()
    if (chunks.push(chunk) > MAX_CHUNKS) chunks.splice(0, chunks.length, Buffer.concat(chunks))
    const progress = collector.push(chunk)
    if (progress.state === 'complete')
      return { ...progress, isOneRecord: isOneRecord(chunks, progress.message.length) }
    if (progress.state !== 'incomplete') return progress
    return collector.received > MAX_RECEIVED ? { state: 'oversized' } : undefined
  }
  const onReadable = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      const result = take(chunk)
      if (result !== undefined) {
        finish(result)
        return
      }
    }
  }
  const onEnd = (): void => finish({ state: 'ended' })
  const onClose = (): void => finish({ state: 'closed' })
  const timer = setTimeout(() => finish({ state: 'stalled' }), timeoutMs)
  timer.unref()
  socket.on('readable', onReadable).on('end', onEnd).on('close', onClose)
}

/** Node's own parser, before 26.8, knows no other ClientHello. */
function isOneRecord(chunks: readonly Buffer[], messageLength: number): boolean {
  // Each chunk has a byte at least.
  return joined(chunks.slice(0, RECORD_HEADER_LENGTH)).readUInt16BE(3) >= messageLength
}

/** Most ClientHellos come in one. */
function joined(chunks: readonly Buffer[]): Buffer {
  const [only] = chunks
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
}
