import { AsyncResource } from 'node:async_hooks'
import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { LRUCache } from 'lru-cache'
import { type ClientHello, decodeClientHello } from '../codec/client-hello.ts'
import type { SslContextModel } from '../context/ssl-context.ts'
import { isHandshakeHeard, publishHandshake } from '../observability/channels.ts'
import type { Outcome } from '../observability/handshake-tally.ts'
import { isPromiseLike } from '../session/awaitable.ts'
import { checkInteger, MAX_ID_LENGTH, ONE_WEEK_SEC } from '../session/ranges.ts'
import { SessionCacheMode } from '../session/session-cache-mode.ts'
import { AttachmentLedger, type AttachmentStats } from './attachment-ledger.ts'
import {
  captureTlsHandle,
  connectionOf,
  currentTlsHandle,
  type EngineFeatures,
  engineFeatures,
  requireNode,
  servernameOf,
  type TlsHandle,
  tlsHandleOf,
} from './engine.ts'
import { Handshake, type HandshakeScope } from './handshake.ts'
import type { EdgeReason } from './handshake-reason.ts'
import { type ReadAhead, readAhead } from './read-ahead.ts'
import type { AttachServerOptions, ServerAttachment, ServerHandshake } from './server-attachment.ts'
import { type Listener, ServerHooks } from './server-hooks.ts'
import { type TlsServer, versionNumber } from './server-policy.ts'
import { checkSetup, sessionTimeoutSec, unsupportedSetting } from './server-setup.ts'

const DEFAULT_LOOKUP_TIMEOUT_MS = 1_000
const DEFAULT_READ_AHEAD_MS = 10_000
const DEFAULT_CLOSE_DEADLINE_MS = 5_000
/** As many as an internal cache holds by default. */
const MAX_USED_IDS = 20_480
/** What a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1
/** `kMaxSessionSize` of Node: there is no newSession for what is larger. */
const MAX_NODE_SESSION_LENGTH = 10_240

/**
 * Makes a context the session cache of a Node TLS server, for TLS 1.3 and below: the ClientHello is read ahead of Node, the
 * context decides, counts and calls back as libssl would, and Node's libssl gets what was found. Whatever fails on the way
 * becomes a full handshake.
 *
 * @param server - a `tls`, `https` or `http2` server, made with {@link serverOptions}
 * @param context - may serve several servers; sessions cross only between equal bindings
 * @throws {@link ServerSetupError} when the server is set up so that it would silently never resume, or bypass the cache
 * @throws {@link UnsupportedRuntimeError} on Bun and Deno
 */
export function attachServer(
  server: tls.Server,
  context: SslContextModel,
  options: AttachServerOptions = {},
): ServerAttachment {
  requireNode()
  return new Attachment(server as TlsServer, context, options)
}

/** A connection, and how far it has come. */
interface Arrival {
  readonly handshake: Handshake
  readonly socket: Duplex
  readonly inContext: <T>(call: () => T) => T
  readonly accept: () => void
  readonly arrivedMs: number
  helloMs: number | undefined
  handedOverMs: number | undefined
  /** Of the socket, before Node had it. */
  error: Error | undefined
  readonly onError: (error: Error) => void
}

class Attachment implements ServerAttachment {
  enabled = true
  readonly #server: TlsServer
  readonly #context: SslContextModel
  readonly #options: AttachServerOptions
  readonly #hooks: ServerHooks
  readonly #scope: HandshakeScope
  readonly #features: EngineFeatures
  /** By what the connection listener got. */
  readonly #arrivals: WeakMap<object, Arrival> = new WeakMap()
  readonly #ledger: AttachmentLedger = new AttachmentLedger()
  #closing: Promise<{ readonly dropped: number }> | undefined
  #isDisposed = false
  #hasWarned = false

  constructor(server: TlsServer, context: SslContextModel, options: AttachServerOptions) {
    this.#server = server
    this.#context = context
    this.#options = options
    this.#hooks = new ServerHooks(server)
    checkSetup(server, context, {
      isStoreStrict: options.store === 'strict',
      isBinding: options.bindSessions !== false,
      tolerate: options.tolerate ?? [],
    })
    this.#scope = this.#makeScope()
    this.#features = engineFeatures(server._sharedCreds)
    this.#hook()
  }

  #makeScope(): HandshakeScope {
    const attachment = this
    const { maxAuthenticationAge, policy, revocations, shouldStore } = this.#options
    checkInteger('lookupTimeoutMs', this.#lookupTimeoutMs, MAX_TIMER_MS, 1)
    checkInteger('readAheadMs', this.#readAheadMs, MAX_TIMER_MS, 1)
    if (maxAuthenticationAge !== undefined)
      checkInteger('maxAuthenticationAge', maxAuthenticationAge, ONE_WEEK_SEC, 1)
    return {
      server: this.#server,
      context: this.#context,
      get policies() {
        return attachment.#hooks.policies
      },
      get enabled() {
        return attachment.enabled && !attachment.#isDisposed
      },
      get maxAuthenticationAge() {
        return maxAuthenticationAge ?? Math.min(sessionTimeoutSec(attachment.#context), ONE_WEEK_SEC)
      },
      lookupTimeoutMs: this.#lookupTimeoutMs,
      singleUse: this.#options.singleUse === true,
      bindSessions: this.#options.bindSessions !== false,
      requireExtendedMasterSecret: this.#options.requireExtendedMasterSecret !== false,
      policy,
      revocations,
      shouldStore,
      usedIds: new LRUCache({ max: MAX_USED_IDS }),
      countNotKept: (reason) => this.#ledger.countNotKept(reason),
      reportError,
    }
  }

  get #lookupTimeoutMs(): number {
    return this.#options.lookupTimeoutMs ?? DEFAULT_LOOKUP_TIMEOUT_MS
  }

  get #readAheadMs(): number {
    return this.#options.readAheadMs ?? DEFAULT_READ_AHEAD_MS
  }

  /** Another listener is there because the owner said so; two answers would end the connection. */
  get #answersResumeSession(): boolean {
    return this.#options.tolerate?.includes('resume-session-listener') !== true
  }

  #hook(): void {
    const hooks = this.#hooks
    hooks.listen('newSession', (_id: Buffer, der: Buffer, done: () => void) => this.#onNewSession(der, done))
    hooks.listen('secureConnection', (socket: tls.TLSSocket) => this.#onSecureConnection(socket))
    if (this.#answersResumeSession) {
      hooks.listen('resumeSession', (_id: Buffer, done: (error: null, session: Buffer | null) => void) =>
        this.#onResumeSession(done),
      )
      hooks.refuseResumeListeners()
    }
    hooks.watchContexts()
    hooks.interceptConnections((original, socket) => this.#onConnection(original, socket))
  }

  get context(): SslContextModel {
    return this.#context
  }

  get stats(): AttachmentStats {
    return this.#ledger.stats
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#hooks.undo()
    this.#ledger.forgetHandshakes()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  close({ deadlineMs = DEFAULT_CLOSE_DEADLINE_MS } = {}): Promise<{ readonly dropped: number }> {
    this.#closing ??= this.#close(checkInteger('deadlineMs', deadlineMs, MAX_TIMER_MS))
    return this.#closing
  }

  async #close(deadlineMs: number): Promise<{ readonly dropped: number }> {
    this.#hooks.releaseConnections()
    await this.#ledger.settled(deadlineMs)
    this[Symbol.dispose]()
    return { dropped: this.#ledger.stats.pendingWrites }
  }

  #onConnection(original: Listener, socket: Duplex): void {
    this.#warnOfIgnoredSettings()
    const resource = new AsyncResource('SSLCTX_CONNECTION')
    const inContext = <T>(call: () => T): T => resource.runInAsyncScope(call)
    const arrival: Arrival = {
      handshake: new Handshake(this.#scope, socket, inContext),
      socket,
      inContext,
      accept: () => Reflect.apply(original, this.#server, [socket]),
      arrivedMs: performance.now(),
      helloMs: undefined,
      handedOverMs: undefined,
      error: undefined,
      onError: (error) => {
        arrival.error = error
      },
    }
    this.#arrivals.set(socket, arrival)
    this.#ledger.begin(arrival)
    socket.once('close', () => inContext(() => this.#onClose(arrival)))
    // Its close event has been, before anybody listened; Node would wait for it until handshakeTimeout.
    if (socket.closed) this.#onClose(arrival)
    else this.#begin(arrival)
  }

  #begin(arrival: Arrival): void {
    const reason = this.#whyNotToAsk(arrival.socket)
    if (reason === undefined) this.#readAhead(arrival)
    else {
      arrival.handshake.leaveUnasked(reason)
      this.#ledger.hear(arrival)
      arrival.handedOverMs = performance.now()
      this.#accept(arrival, false)
    }
  }

  #whyNotToAsk(socket: Duplex): EdgeReason | undefined {
    if (!this.enabled) return 'disabled'
    if (socket.destroyed || socket.readableEnded) return 'client-left'
    const isInternalLeftOut =
      (this.#context.getSessionCacheMode() & SessionCacheMode.NO_INTERNAL_LOOKUP) !== 0
    const hasExternal = this.#context.getGetSessionCallback() !== undefined
    return isInternalLeftOut && !hasExternal ? 'no-lookup' : undefined
  }

  /** None of the context's settings is silently ignored; what attachServer would have refused is warned of, once. */
  #warnOfIgnoredSettings(): void {
    if (this.#hasWarned || this.#options.tolerate?.includes('unsupported-setting') === true) return
    const problem = unsupportedSetting(this.#server, this.#context)
    if (problem === undefined) return
    this.#hasWarned = true
    process.emitWarning(problem, { type: 'SslctxWarning', code: 'ERR_SERVER_SETUP' })
  }

  #readAhead(arrival: Arrival): void {
    const { socket, inContext } = arrival
    // Between our listeners and Node's, an error is nobody's, and would end the process.
    socket.on('error', arrival.onError)
    readAhead(
      socket,
      this.#readAheadMs,
      () => this.#ledger.hear(arrival),
      (result) => inContext(() => this.#onReadAhead(arrival, result)),
    )
  }

  #onReadAhead(arrival: Arrival, result: ReadAhead): void {
    const { handshake } = arrival
    if (result.state === 'closed') return
    arrival.helloMs = performance.now()
    const hello = result.state === 'complete' ? readHello(result.message) : undefined
    if (hello !== undefined && result.state === 'complete') this.#lookUp(arrival, hello, result.isOneRecord)
    else {
      handshake.leaveUnasked(UNREAD_REASONS[result.state])
      this.#handOver(arrival, true)
    }
  }

  #lookUp(arrival: Arrival, hello: ClientHello, isOneRecord: boolean): void {
    const pending = arrival.handshake.lookUp(hello)
    if (isPromiseLike(pending)) this.#await(arrival, pending, isOneRecord)
    else this.#handOver(arrival, isOneRecord)
  }

  #await(arrival: Arrival, pending: PromiseLike<void>, isOneRecord: boolean): void {
    const proceed = once(() => {
      clearTimeout(timer)
      arrival.inContext(() => this.#handOver(arrival, isOneRecord))
    })
    const timer = setTimeout(() => {
      arrival.handshake.giveUp()
      proceed()
    }, this.#lookupTimeoutMs)
    timer.unref()
    pending.then(proceed, proceed)
  }

  #handOver(arrival: Arrival, isOneRecord: boolean): void {
    const { socket, handshake } = arrival
    // A client that has left is reported by its close event, and its error event may be still to come.
    if (socket.destroyed) return
    socket.off('error', arrival.onError)
    const der = handshake.handOver()
    arrival.handedOverMs = performance.now()
    if (der === undefined || this.#isAsked(handshake, isOneRecord)) this.#accept(arrival, false)
    else this.#acceptUnasked(arrival, der)
  }

  /** Whether Node will emit resumeSession for this ClientHello. */
  #isAsked(handshake: Handshake, isOneRecord: boolean): boolean {
    return (
      this.#answersResumeSession &&
      handshake.hasLegacySessionId &&
      (isOneRecord || this.#features.hasEarlyClientHello)
    )
  }

  /**
   * Node makes its TLSSocket.
   *
   * @returns its handle, when it is wanted, or of use for the client's certificate
   */
  #accept({ handshake, accept }: Arrival, needsHandle: boolean): TlsHandle | undefined {
    const isVerifying = this.#server.requestCert === true
    if (!needsHandle && !isVerifying) {
      accept()
      return undefined
    }
    const handle = captureTlsHandle(accept)
    if (handle !== undefined && isVerifying) handshake.watchChain(handle)
    return handle
  }

  /** The second way: libssl gets the session although Node asks for none. */
  #acceptUnasked(arrival: Arrival, der: Buffer): void {
    const { handshake, socket } = arrival
    const handle = this.#accept(arrival, true)
    if (handle === undefined)
      handshake.leaveUnasked(handshake.hasLegacySessionId ? 'fragmented-hello' : 'no-session-id')
    handle?.loadSession(der)
    if (handle === undefined || !handshake.isTls13) return
    // By then Node has read the ClientHello, sooner or later; after a HelloRetryRequest libssl looks a second time.
    const loadAgain = (): void => {
      if (!socket.destroyed) handle.loadSession(der)
    }
    process.nextTick(loadAgain)
    setImmediate(loadAgain)
  }

  /** Node's session events name no socket, and happen in the name of its handle. */
  #arrivalOf(handle: TlsHandle | undefined): Arrival | undefined {
    const connection = connectionOf(handle)
    return connection && this.#arrivals.get(connection)
  }

  /** Answered exactly once, and at once: the lookup is over. */
  #onResumeSession(done: (error: null, session: Buffer | null) => void): void {
    const handle = currentTlsHandle()
    const handshake = this.#arrivalOf(handle)?.handshake
    const der = handshake?.der
    done(null, der ?? null)
    // After a HelloRetryRequest libssl looks a second time, and Node has given its one session away.
    if (der !== undefined && handshake?.isTls13 === true) handle?.loadSession(der)
  }

  /** Acknowledged on every path: Node holds back everything that the server writes until then. */
  #onNewSession(der: Buffer, done: () => void): void {
    const handle = currentTlsHandle()
    const arrival = this.#arrivalOf(handle)
    try {
      arrival?.handshake.keep(der, handle)
    } catch (error) {
      reportError(error)
    }
    const kept = arrival?.handshake.kept
    if (arrival !== undefined && kept !== undefined) this.#ledger.watchWrites(arrival, kept)
    if (arrival === undefined || kept === undefined || this.#options.store !== 'strict') done()
    else this.#answerWhenKept(arrival, done)
  }

  /** One answer releases all tickets of a handshake, so it waits for those that are made in the same turn as well. */
  #answerWhenKept({ handshake }: Arrival, done: () => void): void {
    const timer = setTimeout(done, this.#lookupTimeoutMs)
    const finished = (): void => {
      clearTimeout(timer)
      done()
    }
    setImmediate(() => {
      Promise.resolve(handshake.kept).then(finished, finished)
    })
  }

  #onSecureConnection(socket: tls.TLSSocket): void {
    const arrival = this.#arrivalOf(tlsHandleOf(socket))
    if (arrival === undefined) return
    try {
      this.#finish(arrival, socket)
    } catch (error) {
      // The connection is good whatever was made of it here, and its other listeners must hear of it.
      reportError(error)
    }
  }

  #finish(arrival: Arrival, socket: tls.TLSSocket): void {
    const { handshake } = arrival
    const isReused = socket.isSessionReused()
    const protocol = socket.getProtocol() ?? ''
    const version = versionNumber(protocol) ?? 0
    if (handshake.rejects(version, servernameOf(socket.servername))) {
      socket.authorized = false
      socket.destroy()
      this.#report(arrival, 'failed', { socket: undefined, protocol, reason: 'server-name-changed' })
      return
    }
    const getSession = (): Uint8Array | undefined => socket.getSession()
    handshake.settle(version, isReused, getSession)
    const reason = handshake.reason(isReused, getSession)
    const isTooLarge = !isReused && this.#isTooLarge(socket)
    this.#report(arrival, isReused ? 'resumed' : 'full', { socket, protocol, reason })
    // By then the tickets of TLS 1.3 have come, if Node shows them.
    setImmediate(() => {
      if (isTooLarge && !handshake.hasNewSession) this.#scope.countNotKept('too-large')
      handshake.release()
    })
  }

  /** Only a client certificate makes it so; a TLS 1.3 session gets its id with the ticket. */
  #isTooLarge(socket: tls.TLSSocket): boolean {
    return (
      this.#server.requestCert === true &&
      (socket.getSession()?.length ?? 0) > MAX_NODE_SESSION_LENGTH - MAX_ID_LENGTH
    )
  }

  #onClose(arrival: Arrival): void {
    const { handshake, handedOverMs, socket } = arrival
    handshake.close()
    const reason = handedOverMs === undefined ? 'client-left' : (handshake.failure ?? 'handshake-failed')
    const isFirst = this.#report(arrival, 'failed', { socket: undefined, protocol: undefined, reason })
    // As Node does for a client that leaves it during the handshake.
    if (isFirst && handedOverMs === undefined)
      this.#server.emit('tlsClientError', arrival.error ?? hangUp(), socket)
  }

  /** Once for each arrival; those of before a disposal are nobody's any more. */
  #report(
    arrival: Arrival,
    outcome: Outcome,
    rest: Pick<ServerHandshake, 'socket' | 'protocol' | 'reason'>,
  ): boolean {
    if (!this.#ledger.end(arrival, outcome, rest)) return false
    const { onHandshake } = this.#options
    if (onHandshake === undefined && !isHandshakeHeard()) return true
    const { arrivedMs, helloMs = arrivedMs, handedOverMs = helloMs } = arrival
    const handshake: ServerHandshake = {
      outcome,
      ...rest,
      servername: arrival.handshake.servername,
      readAheadMs: helloMs - arrivedMs,
      lookupMs: handedOverMs - helloMs,
    }
    publishHandshake(handshake)
    try {
      onHandshake?.(handshake)
    } catch (error) {
      reportError(error)
    }
    return true
  }
}

function hangUp(): Error {
  return Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
}

const UNREAD_REASONS = {
  complete: 'unreadable-hello',
  foreign: 'not-tls',
  oversized: 'oversized-hello',
  stalled: 'stalled-hello',
  ended: 'client-left',
} as const

/** Node's libssl has its own word for what cannot be read. */
function readHello(message: Uint8Array): ClientHello | undefined {
  try {
    return decodeClientHello(message)
  } catch {
    return undefined
  }
}

/** A callback of the owner's has thrown: the process hears of it, no connection does. */
function reportError(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error))
}

function once(call: () => void): () => void {
  let isCalled = false
  return () => {
    if (isCalled) return
    isCalled = true
    call()
  }
}
