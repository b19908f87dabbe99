import net from 'node:net'
import { type Duplex, PassThrough } from 'node:stream'

export type Touch = (raw: Duplex) => unknown

const ignore = (): void => undefined

/** What others do with a connection of which they know nothing. */
export const TOUCHES: readonly (readonly [string, Touch])[] = [
  ['a listener of data', (raw) => raw.on('data', ignore)],
  ['a listener of data, once', (raw) => raw.once('data', ignore)],
  ['a listener of readable that reads nothing', (raw) => raw.on('readable', ignore)],
  ['a listener of end and of close', (raw) => raw.on('end', ignore).on('close', ignore)],
  ['a pipe', (raw) => raw.pipe(new PassThrough().resume())],
  ['a pipe that nobody reads', (raw) => raw.pipe(new PassThrough())],
  ['setEncoding utf8', (raw) => raw.setEncoding('utf8')],
  ['setEncoding latin1', (raw) => raw.setEncoding('latin1')],
  ['setEncoding hex', (raw) => raw.setEncoding('hex')],
  ['setEncoding utf8, and a listener of data', (raw) => raw.setEncoding('utf8').on('data', ignore)],
  ['pause', (raw) => raw.pause()],
  ['resume', (raw) => raw.resume()],
  ['resume in nextTick', (raw) => process.nextTick(() => raw.resume())],
  ['resume in a microtask', (raw) => queueMicrotask(() => raw.resume())],
  ['resume in setImmediate', (raw) => setImmediate(() => raw.resume())],
  ['pause, and resume in setImmediate', (raw) => setImmediate(() => raw.resume()) && raw.pause()],
  ['read(0)', (raw) => raw.read(0)],
  ['setTimeout of a minute', (raw) => raw instanceof net.Socket && raw.setTimeout(60_000)],
  ['setNoDelay and setKeepAlive', (raw) => raw instanceof net.Socket && raw.setNoDelay().setKeepAlive(true)],
]
