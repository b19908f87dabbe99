import { executionAsyncResource } from 'node:async_hooks'
import { type Duplex, PassThrough } from 'node:stream'
import type tls from 'node:tls'
import { UnsupportedRuntimeError } from '../errors.ts'

/**
 * All private API of Node that the edge uses, each behind its check: {@link nodeFeatures} tries them on a TLSSocket that is
 * never connected, and refuses a Node that is built otherwise.
 */

let loadedTls: typeof tls | undefined

/** Loaded when it is first needed, as `node:crypto` is. */
export function nodeTls(): typeof tls {
  loadedTls ??= process.getBuiltinModule('node:tls')
  return loadedTls
}

/** A Node server as its own properties describe it; they are those of `createServer` and `setSecureContext`. */
export interface TlsServer extends tls.Server {
  readonly requestCert?: boolean
  readonly rejectUnauthorized?: boolean
  readonly ALPNProtocols?: Uint8Array
  readonly ALPNCallback?: unknown
  readonly sessionIdContext?: string
  readonly sessionTimeout?: number
  readonly secureOptions?: number
  readonly secureProtocol?: string
  readonly minVersion?: string
  readonly maxVersion?: string
  readonly ciphers?: string
  readonly sigalgs?: string
  readonly ticketKeys?: unknown
  /** What node:cluster tells each of its workers. */
  _setServerData(data: unknown): void
  /** What new connections are made with; `setSecureContext` replaces it. */
  readonly _sharedCreds: tls.SecureContext
  /** What `addContext` has set, the latest last. */
  readonly _contexts?: readonly (readonly [RegExp, tls.SecureContext['context']])[]
}

/** Node's own object under a TLSSocket, its TLSWrap. */
export interface TlsHandle {
  /** The session that libssl's next lookup gets, once. */
  loadSession(session: Uint8Array): void
  /** Bytes as if they had come from the network. */
  receive(bytes: Uint8Array): void
  isSessionReused(): boolean
  /** "TLSv1.3"; of a connection whose handshake is complete. */
  getProtocol(): string
  verifyError(): unknown
  getServername(): unknown
  getPeerCertificate(detailed: boolean): PeerCertificate | undefined
  /** Has libssl ask {@link oncertcb}. */
  enableCertCb(): void
  /** The lines that ask for a session after libssl has read the ClientHello: that may answer now. */
  clientHelloDone?(): void
  /** The older ones: libssl reads from now on. */
  endParser?(): void
  /** Node's listeners to libssl: a ClientHello has come; a certificate is to be chosen. */
  onclienthello: NativeCallback
  oncertcb: NativeCallback
}

type NativeCallback = (this: TlsHandle, info: unknown) => void

const HANDLE_METHODS = [
  'loadSession',
  'receive',
  'isSessionReused',
  'getProtocol',
  'verifyError',
  'getServername',
  'getPeerCertificate',
  'enableCertCb',
] as const satisfies readonly (keyof TlsHandle)[]

/** A certificate with the one that issued it; the last one issues itself. */
export interface PeerCertificate {
  readonly valid_to?: string
  readonly fingerprint256?: string
  readonly issuerCertificate?: PeerCertificate
}

function isTlsHandle(resource: unknown): resource is TlsHandle {
  if (typeof resource !== 'object' || resource === null) return false
  return 'loadSession' in resource && typeof resource.loadSession === 'function'
}

/** @returns undefined for what is no TLSSocket, or has been destroyed */
export function tlsHandleOf(socket: unknown): TlsHandle | undefined {
  if (typeof socket !== 'object' || socket === null) return undefined
  const { _handle: handle } = socket as { _handle?: unknown }
  return isTlsHandle(handle) ? handle : undefined
}

/** In the listeners of newSession, which name no socket: what was prepared for their handle. */
export function currentListener(): HelloListener | undefined {
  return (executionAsyncResource() as ListenedHandle)[LISTENER]
}

/** @returns what was prepared for the handle of a socket, also of one that was destroyed in this very turn */
export function listenerOf(socket: tls.TLSSocket): HelloListener | undefined {
  const { _handle: handle } = socket as { _handle?: ListenedHandle | null }
  return (handle ?? lastHandleOf(socket))?.[LISTENER]
}

/** Node keeps it until the socket is closed. */
function lastHandleOf(socket: object): ListenedHandle | undefined {
  return valueUnder('res', socket) as ListenedHandle | undefined
}

/** PSKs made outside TLS may resume, by the server's `pskCallback`. */
export function hasPskCallback(server: object): boolean {
  return typeof valueUnder('pskcallback', server) === 'function'
}

/** What a TLSSocket makes its handle with. */
interface HandleMaker {
  _wrapHandle: WrapHandle | undefined
}

type WrapHandle = (this: unknown, ...args: unknown[]) => unknown

let captured: TlsHandle | undefined
let wrapHandle: WrapHandle | undefined

function capturingWrap(this: unknown, ...args: unknown[]): unknown {
  const handle = wrapHandle && Reflect.apply(wrapHandle, this, args)
  if (captured === undefined && isTlsHandle(handle)) captured = handle
  return handle
}

/**
 * Runs `accept`, which makes one TLSSocket. Node tells nobody of it; `createHook` of node:async_hooks would, at ten times the cost.
 *
 * @returns the handle of that socket
 */
export function captureTlsHandle(accept: () => void): TlsHandle | undefined {
  const maker = nodeTls().TLSSocket.prototype as unknown as HandleMaker
  captured = undefined
  // What makes it may come back here.
  if (maker._wrapHandle !== capturingWrap) wrapHandle = maker._wrapHandle
  maker._wrapHandle = capturingWrap
  try {
    accept()
    return captured
  } finally {
    maker._wrapHandle = wrapHandle
    captured = undefined
  }
}

/** Found once: who replaces it in a test does not stop Node, and `process` is an accessor. */
export const nextTick: typeof process.nextTick = process.nextTick

/** Node's own symbol, under which a handle has its TLSSocket. */
let ownerSymbol: symbol | undefined

/** The TLSSocket of the handle is not destroyed: Node's own callbacks may run on it. */
function isAlive(handle: TlsHandle): boolean {
  if (ownerSymbol === undefined) return false
  const { [ownerSymbol]: owner } = handle as unknown as Readonly<Record<symbol, HandleOwner | undefined>>
  return owner?._handle === handle
}

interface HandleOwner {
  readonly _handle?: object | null
}

/** Hears of a connection that Node gets. */
export interface HelloListener {
  /** Node's handle is there, and has not read a byte. */
  prepare(handle: TlsHandle): void
  /** libssl reads what was read ahead, in this very turn. */
  beginReading(): void
  endReading(): void
  /** libssl has read a ClientHello, and answered unless it must wait. */
  afterHello(): void
}

/** On a handle: what a WeakMap would say of it, without the work of a collector that must look after each of its keys. */
const LISTENER = Symbol('sslctx.listener')

interface ListenedHandle {
  [LISTENER]?: HelloListener | undefined
}

/** What happens to the handle from now on is nobody's business. */
export function forgetListener(handle: TlsHandle): void {
  ;(handle as ListenedHandle)[LISTENER] = undefined
}

/** By Node's own function, of which there is one for each callback. */
const guards = new Map<NativeCallback, NativeCallback>()

/**
 * A connection that was handed over late may die in the very turn in which Node gets it, which never happens to Node alone:
 * its deferred callbacks would meet a socket without a handle, and throw where nobody catches. They are not run then.
 */
function guardCallbacks(handle: TlsHandle, isAsked: boolean): void {
  handle.onclienthello = isAsked ? guarded(handle.onclienthello, aroundHello) : goOnWithHandshake
  handle.oncertcb = guarded(handle.oncertcb, ifAlive)
}

function guarded(
  original: NativeCallback,
  guard: (original: NativeCallback) => NativeCallback,
): NativeCallback {
  const known = guards.get(original)
  if (known !== undefined) return known
  const callback = guard(original)
  guards.set(original, callback)
  return callback
}

function ifAlive(original: NativeCallback): NativeCallback {
  return function (info) {
    if (isAlive(this)) original.call(this, info)
  }
}

function aroundHello(original: NativeCallback): NativeCallback {
  return function (info) {
    if (!isAlive(this)) return
    original.call(this, info)
    if (isAlive(this)) (this as ListenedHandle)[LISTENER]?.afterHello()
  }
}

/** In place of Node's own, which would ask the listeners of resumeSession. */
const goOnWithHandshake: NativeCallback = aroundHello(function () {
  this.clientHelloDone?.()
})

/**
 * Node gets a connection of which bytes were read: it makes its TLSSocket, and reads those bytes first, as it does with
 * bytes that lie in the socket's own buffer: in the next tick.
 *
 * @param accept - runs Node's own listener
 * @param isAsked - others may answer resumeSession as well
 */
export function acceptWith(
  accept: () => void,
  bytes: readonly Uint8Array[],
  isAsked: boolean,
  listener: HelloListener,
): void {
  const delivery: Delivery = { bytes, isAsked, handle: undefined }
  // Before the tick in which Node begins to read.
  nextTick(deliver, delivery)
  const handle = captureTlsHandle(accept)
  if (handle === undefined) return
  guardCallbacks(handle, isAsked)
  listener.prepare(handle)
  ;(handle as ListenedHandle)[LISTENER] = listener
  delivery.handle = handle
}

interface Delivery {
  readonly bytes: readonly Uint8Array[]
  readonly isAsked: boolean
  handle: TlsHandle | undefined
}

function deliver({ bytes, isAsked, handle }: Delivery): void {
  if (handle === undefined) return
  // The older lines look for a ClientHello before libssl does, to ask for its session.
  if (!isAsked && isAlive(handle)) handle.endParser?.()
  const { [LISTENER]: listener } = handle as ListenedHandle
  listener?.beginReading()
  let failure: Failure | undefined
  for (const chunk of bytes) {
    const failed = isAlive(handle) ? receive(handle, chunk) : undefined
    failure ??= failed
  }
  listener?.endReading()
  // They may have read one for which there is no callback.
  if (handle.endParser !== undefined && isAlive(handle)) (handle as ListenedHandle)[LISTENER]?.afterHello()
  if (failure !== undefined) throw failure.error
}

interface Failure {
  readonly error: unknown
}

/** @returns what a listener has thrown that libssl called meanwhile: it is no reason to keep the rest from libssl */
function receive(handle: TlsHandle, chunk: Uint8Array): Failure | undefined {
  try {
    handle.receive(chunk)
    return undefined
  } catch (error) {
    return { error }
  }
}

/** Node's own object under a socket of TCP. */
interface TcpHandle {
  /** @returns 0, or the error's number */
  getpeername?(address: object): number
}

/**
 * Node may write what was held back. It does not look at the error of a handshake's write, and waits for ever for what would follow. A read
 * would tell of the same error, so there is one more first where the client may have left: two turns have a poll between them.
 */
export function goOnWriting(socket: Duplex, done: () => void): void {
  if (isKnownConnected(socket)) done()
  else setImmediate(() => setImmediate(done))
}

/** Nothing more can be said on it; what was said last is still sent. */
export function endForGood(socket: Duplex): void {
  if (socket.writableFinished) socket.destroy()
  else socket.once('finish', () => socket.destroy())
}

/** @returns false when the peer has reset the connection, whether Node has read that or not, and where nothing tells */
function isKnownConnected(socket: Duplex): boolean {
  const { _handle: handle } = socket as { _handle?: TcpHandle | null }
  return typeof handle?.getpeername === 'function' && handle.getpeername({}) === 0
}

/** Calls `look` with the server name for which libssl chooses a certificate: before a HelloRetryRequest, and not after it. */
export function watchServerName(handle: TlsHandle, look: (serverName: string | undefined) => void): void {
  const { oncertcb } = handle
  handle.oncertcb = function (info) {
    look(serverNameOf(handle.getServername()))
    Reflect.apply(oncertcb, this, [info])
  }
  handle.enableCertCb()
}

/**
 * Calls `look` when the handshake is complete, before Node looks at the peer's certificate: on some lines (24) that leaves
 * nothing of the chain behind but its leaf.
 *
 * @param look - gets whether the chain was verified
 */
export function beforeVerification(handle: TlsHandle, look: (isVerified: boolean) => void): void {
  const { verifyError } = handle
  handle.verifyError = () => {
    const error: unknown = Reflect.apply(verifyError, handle, [])
    look(error === null || error === undefined)
    return error
  }
}

/** What the ticket key callback of libssl is to answer with. */
export interface TicketSecrets {
  readonly mac: Buffer
  readonly cipher: Buffer
  /** 16 bytes each. */
  readonly name: Buffer
  readonly iv: Buffer
}

/** Answers libssl about tickets: `SSL_CTX_set_tlsext_ticket_key_cb(3)`. It names no connection. */
export interface TicketKeySource {
  /** A ticket is to be made. @returns undefined for none */
  seal(): TicketSecrets | undefined
  /** A ticket that begins with these 32 bytes is offered. @returns undefined to refuse it, which leads to a full handshake */
  open(name: Buffer, iv: Buffer): Pick<TicketSecrets, 'mac' | 'cipher'> | undefined
}

/** Node's own object under a SecureContext. */
interface NativeContext {
  /** At most 32 ASCII characters; anything else may end the process. SSL_new copies it. */
  setSessionIdContext(text: string): void
  enableTicketKeyCallback(): void
  onticketkeycallback?: (name: Buffer, iv: Buffer, isEncrypting: boolean) => readonly (number | Buffer)[]
}

const CONTEXT_METHODS = [
  'setSessionIdContext',
  'enableTicketKeyCallback',
] as const satisfies readonly (keyof NativeContext)[]

const UNKNOWN_TICKET = 0
const GOOD_TICKET = 1
const RENEWED_TICKET = 2
/** Node ends the process over an answer without keys, whatever it says. */
const NO_KEYS = [Buffer.alloc(32), Buffer.alloc(16), Buffer.alloc(16), Buffer.alloc(16)] as const

/**
 * A second SecureContext of a server; all else is as the server has it.
 *
 * @param secureOptions - in place of the server's
 * @throws {@link UnsupportedRuntimeError} when this Node has no callback for the keys of tickets
 */
export function secondContext(server: TlsServer, secureOptions: number): tls.SecureContext {
  // Node's own function reads what was set from the server, and writes to this object what it makes of it.
  const shadow = Object.create(server) as TlsServer
  Reflect.apply(nodeTls().Server.prototype.setSecureContext, shadow, [{ ...server, secureOptions }])
  const { _sharedCreds: secureContext } = shadow
  const native = secureContext.context as unknown as NativeContext
  if (
    !Object.hasOwn(shadow, '_sharedCreds') ||
    CONTEXT_METHODS.some((name) => typeof native[name] !== 'function')
  )
    throw new UnsupportedRuntimeError(
      `Node.js ${process.version}`,
      'its SecureContext has no ticket key callback',
    )
  return secureContext
}

/** Has libssl ask for the keys of the tickets that it makes and reads. */
export function answerTickets(secureContext: tls.SecureContext, source: TicketKeySource): void {
  const native = secureContext.context as unknown as NativeContext
  native.enableTicketKeyCallback()
  // What is thrown here ends the connection, and while a ticket is made it is nobody's to catch.
  native.onticketkeycallback = (name, iv, isEncrypting) => {
    try {
      return isEncrypting ? sealed(source.seal()) : opened(source.open(name, iv))
    } catch {
      return [UNKNOWN_TICKET, ...NO_KEYS]
    }
  }
}

function sealed(secrets: TicketSecrets | undefined): readonly (number | Buffer)[] {
  if (secrets === undefined) return [UNKNOWN_TICKET, ...NO_KEYS]
  return [GOOD_TICKET, secrets.mac, secrets.cipher, secrets.name, secrets.iv]
}

function opened(secrets: Pick<TicketSecrets, 'mac' | 'cipher'> | undefined): readonly (number | Buffer)[] {
  return secrets === undefined ? [UNKNOWN_TICKET, ...NO_KEYS] : [RENEWED_TICKET, secrets.mac, secrets.cipher]
}

/**
 * Runs Node's listener, which makes one TLSSocket, with another SecureContext than the server's.
 *
 * @param sessionIdContext - of the connection: at most 32 ASCII characters
 */
export function acceptUnder(
  server: TlsServer,
  secureContext: tls.SecureContext,
  sessionIdContext: string,
  accept: () => void,
): void {
  const shared = server as { _sharedCreds: tls.SecureContext }
  const { _sharedCreds: usual } = shared
  const native = secureContext.context as unknown as NativeContext
  native.setSessionIdContext(sessionIdContext)
  shared._sharedCreds = secureContext
  try {
    accept()
  } finally {
    if (shared._sharedCreds === secureContext) shared._sharedCreds = usual
  }
}

/** Node says false, null or undefined for a connection without one. */
export function serverNameOf(servername: unknown): string | undefined {
  return typeof servername === 'string' ? servername : undefined
}

/** Node calls it for every full handshake, and never for a resumed one. */
export function hasSniCallback(server: object): boolean {
  return valueUnder('snicallback', server) !== undefined
}

/** Milliseconds of silence after which Node gives a handshake up; Infinity where it does not tell. */
export function handshakeTimeoutOf(server: object): number {
  const timeoutMs = valueUnder(HANDSHAKE_TIMEOUT, server)
  return typeof timeoutMs === 'number' && timeoutMs > 0 ? timeoutMs : Number.POSITIVE_INFINITY
}

/** Runs `accept`, whose TLSSocket has only what is left of {@link handshakeTimeoutOf}. @param silentMs - milliseconds before it */
export function acceptAfter(server: object, silentMs: number, accept: () => void): void {
  const key = symbolOf(server, HANDSHAKE_TIMEOUT)
  const timeoutMs = handshakeTimeoutOf(server)
  if (key === undefined || timeoutMs === Number.POSITIVE_INFINITY) {
    accept()
    return
  }
  const timeouts = server as { [key]?: number }
  timeouts[key] = Math.max(1, timeoutMs - silentMs)
  try {
    accept()
  } finally {
    timeouts[key] = timeoutMs
  }
}

const HANDSHAKE_TIMEOUT = 'handshake-timeout'

/** Node's own symbol of that description, under which the object has something. */
function symbolOf(object: object, name: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find(({ description }) => description === name)
}

/** What the object has under Node's own symbol of that description; undefined for nothing. */
function valueUnder(name: string, object: object): unknown {
  const key = symbolOf(object, name)
  return key && (object as { [key]?: unknown })[key]
}

/** The DER of the certificate of a SecureContext, which shows nothing else. */
export function certificateOf(credentials: tls.SecureContext | undefined): Buffer | undefined {
  const context = credentials?.context as { getCertificate?(): Buffer | null } | undefined
  return context?.getCertificate?.() ?? undefined
}

/**
 * A TLSSocket of a connection that has ended, for listeners that were promised one: its methods answer as those of any
 * TLSSocket that is destroyed.
 */
export function endedTlsSocket(server: TlsServer): tls.TLSSocket {
  const { TLSSocket } = nodeTls()
  const socket = new TLSSocket(new PassThrough(), {
    isServer: true,
    server,
    secureContext: server._sharedCreds,
  })
  socket.on('error', () => undefined)
  socket.destroy()
  return socket
}

/** The error of a connection that has gone without one, as Node makes it. */
export function hangUp(): Error {
  return Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
}

/** What this line of Node can do. */
export interface NodeFeatures {
  /**
   * The ClientHello reaches resumeSession also in several TLS records (from 26.8). The lines that cannot do that also lose
   * what a TLS 1.3 server writes and ends while newSession is unanswered.
   */
  readonly hasEarlyClientHello: boolean
}

let features: NodeFeatures | undefined

/**
 * @param secureContext - any; one of its own would take tens of milliseconds to load the root certificates
 * @throws {@link UnsupportedRuntimeError} when this Node is built otherwise than those that are known
 */
export function nodeFeatures(secureContext: tls.SecureContext): NodeFeatures {
  if (features !== undefined) return features
  const { TLSSocket } = nodeTls()
  let socket: tls.TLSSocket | undefined
  const handle = captureTlsHandle(() => {
    // A stream below it would be one more class for the engine, see nodeListener. The types of Node want a stream.
    socket = new TLSSocket(undefined as unknown as Duplex, { isServer: true, secureContext })
  })
  try {
    ownerSymbol = handle && symbolOf(handle, 'owner_symbol')
    const missing = HANDLE_METHODS.find((method) => typeof handle?.[method] !== 'function')
    const goOn = handle?.clientHelloDone ?? handle?.endParser
    if (handle === undefined || !isAlive(handle) || missing !== undefined || typeof goOn !== 'function')
      throw new UnsupportedRuntimeError(`Node.js ${process.version}`, 'its TLSSocket is built otherwise')
    features = { hasEarlyClientHello: handle.clientHelloDone !== undefined }
    return features
  } finally {
    socket?.destroy()
  }
}
