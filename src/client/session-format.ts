import { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { nodeTls } from '../node/node-engine.ts'
import type { ConnectOptions } from './bound-options.ts'

/**
 * Node's private form of a client's session, since June 2026: this prefix, the length of the server's name in two bytes, the
 * name, and the DER that lines before give and take as it is.
 */
const PREFIX = Buffer.from('\0nodejs:tls:session:1\0', 'latin1')
const NAME_AT: number = PREFIX.length + 2

interface WrappedSession {
  readonly serverName: string
  readonly der: Buffer
}

function unwrap(session: Buffer): WrappedSession | undefined {
  if (session.length < NAME_AT || !session.subarray(0, PREFIX.length).equals(PREFIX)) return undefined
  const endOfName = NAME_AT + session.readUInt16BE(PREFIX.length)
  if (session.length < endOfName) return undefined
  return { serverName: session.toString('utf8', NAME_AT, endOfName), der: session.subarray(endOfName) }
}

function wrap(serverName: string, der: Uint8Array): Buffer {
  const name = Buffer.from(serverName)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(name.length)
  return Buffer.concat([PREFIX, length, name, der])
}

/** @returns the DER in what `session` events and `getSession` give, on any line of Node; not a copy */
export function derOf(session: Buffer): Buffer {
  return unwrap(session)?.der ?? session
}

/** Whom Node takes the server for, and what it has verified: `getSessionServerIdentity` in Node. */
export function serverIdentity(options: ConnectOptions): string {
  const { servername, host, socket } = options
  const hostOfSocket = (socket as { readonly _host?: unknown } | undefined)?._host
  return servername || host || (typeof hostOfSocket === 'string' && hostOfSocket) || 'localhost'
}

/** What this Node does with a session: undefined until the first good one is to be offered. */
let isWrapping: boolean | undefined

/**
 * Asks Node itself: a client that is never connected is given the session, and gives it back in the form of this line.
 *
 * @returns undefined for a session that it does not take
 */
function detectWrapping(der: Buffer): boolean | undefined {
  const nowhere = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  const socket = new (nodeTls().TLSSocket)(nowhere, {
    isServer: false,
    rejectUnauthorized: false,
  }) as SettableSocket
  socket.on('error', () => undefined)
  try {
    socket.setSession?.(der)
    const session = socket.getSession() as Buffer | null | undefined
    return session ? unwrap(session) !== undefined : undefined
  } finally {
    socket.destroy()
  }
}

interface SettableSocket extends tls.TLSSocket {
  setSession?(session: Buffer): void
}

/** @returns a session as this Node takes it for a connection with these options */
export function sessionForNode(der: Uint8Array, options: ConnectOptions): Buffer {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength)
  isWrapping ??= detectWrapping(bytes)
  return isWrapping ? wrap(serverIdentity(options), bytes) : bytes
}

/**
 * A session that the caller gives by hand, from any line of Node. A wrapped one is unwrapped for lines that know no wrapping, if
 * it is of this server. A bare one stays bare: lines that wrap do not trust it, since nothing says what was verified for it.
 *
 * @returns undefined where a line that wraps would not offer it
 */
export function givenSession(session: string | Buffer, options: ConnectOptions): Buffer | undefined {
  const bytes = typeof session === 'string' ? Buffer.from(session, 'latin1') : session
  const wrapped = Buffer.isBuffer(bytes) ? unwrap(bytes) : undefined
  if (wrapped === undefined) return bytes
  return wrapped.serverName === serverIdentity(options) ? sessionForNode(wrapped.der, options) : undefined
}

/** For a client whose session comes while it is still connecting. @returns false where this Node cannot be told */
export function setSessionLate(socket: tls.TLSSocket, session: Buffer): boolean {
  const { setSession } = socket as SettableSocket
  if (setSession === undefined || socket.destroyed || !socket.connecting) return false
  try {
    setSession.call(socket, session)
    return true
  } catch {
    return false
  }
}
