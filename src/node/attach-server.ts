import { AsyncLocalStorage } from 'node:async_hooks'
import tls from 'node:tls'
import type { SslConnection } from '../context/ssl-connection.ts'
import type { SslContextModel } from '../context/ssl-context.ts'
import { ResumptionError } from '../errors.ts'
import { type Awaitable, isPromiseLike } from '../session/awaitable.ts'
import { utf8 } from '../session/bytes.ts'
import { TLS1_2_VERSION, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { SslSession } from '../session/ssl-session.ts'
import type { RefusalReason, ResumptionVerdict, SessionSource } from '../session/verdict.ts'

/** What became of one handshake; Node's own outcome, where it differs from the model's. */
export interface ServerHandshake {
  readonly socket: tls.TLSSocket
  /** As `tlsSocket.getProtocol()`: `TLSv1.2`, `TLSv1.3`. */
  readonly protocol: string
  readonly resumed: boolean
  /**
   * Where the session came from, or why there was none. `not-confirmed`: the model would have resumed, Node did not.
   * `lookup-timeout`: the get callback took too long.
   */
  readonly reason: SessionSource | RefusalReason | 'not-confirmed' | 'lookup-timeout'
}

export interface AttachServerOptions {
  /**
   * Milliseconds that a lookup may take, 2000 by default; later answers are ignored and the handshake is a full one.
   */
  readonly lookupTimeoutMs?: number
  /** Called once for each finished handshake. */
  readonly onHandshake?: (handshake: ServerHandshake) => void
}

/** Undoes {@link attachServer}. */
export interface ServerAttachment {
  [Symbol.dispose](): void
}

// biome-ignore lint/suspicious/noExplicitAny: EventEmitter's own type of a listener
type Listener = (...args: any[]) => void
type ResumeCallback = (error: Error | null, session: Buffer | null) => void

/** One connection between its TCP accept and its end. */
interface Handshake {
  readonly connection: SslConnection
  verdict: ResumptionVerdict | undefined
  isLookupLate: boolean
}

const DEFAULT_LOOKUP_TIMEOUT_MS = 2_000

/** The listener that every tls, https and http2 server has for 'connection': one function for all of them. */
const tlsConnectionListener = tls.createServer().listeners('connection')[0]

/**
 * Makes a context the session cache of a Node TLS server, for the session ids of TLS 1.2 and below. The context decides,
 * counts and calls back as libssl would; whatever fails on the way becomes a full handshake.
 *
 * @param server - a `tls`, `https` or `http2` server. Without `secureOptions: SSL_OP_NO_TICKET` clients get Node's own
 *   tickets, and the cache is not asked
 * @param context - may serve several servers
 * @returns dispose of it to give the server its listeners back; open connections stay as they are
 * @throws TypeError when the server has no TLS connection listener
 */
export function attachServer(
  server: tls.Server,
  context: SslContextModel,
  options: AttachServerOptions = {},
): ServerAttachment {
  const attachment = new Attachment(server, context, options)
  return { [Symbol.dispose]: () => attachment.detach() }
}

class Attachment {
  readonly #server: tls.Server
  readonly #context: SslContextModel
  readonly #options: AttachServerOptions
  /** Node's session events name no socket; the asynchronous context in which they happen is that of their connection. */
  readonly #current: AsyncLocalStorage<Handshake> = new AsyncLocalStorage()
  readonly #undo: (() => void)[] = []

  constructor(server: tls.Server, context: SslContextModel, options: AttachServerOptions) {
    this.#server = server
    this.#context = context
    this.#options = options
    this.#wrapConnectionListener()
    this.#listen('newSession', (_id: Buffer, der: Buffer, done: () => void) => this.#onNewSession(der, done))
    this.#listen('resumeSession', (id: Buffer, done: ResumeCallback) => this.#onResumeSession(id, done))
    this.#listen('secureConnection', (socket: tls.TLSSocket) => this.#onSecureConnection(socket))
  }

  detach(): void {
    for (const undo of this.#undo.splice(0)) undo()
  }

  #listen(event: string, listener: Listener): void {
    this.#server.prependListener(event, listener)
    this.#undo.push(() => this.#server.removeListener(event, listener))
  }

  /** Replaces Node's listener in its place, so that those of others keep their order. */
  #wrapConnectionListener(): void {
    const original = this.#server.rawListeners('connection').find((one) => one === tlsConnectionListener)
    if (original === undefined) throw new TypeError('attachServer needs a tls, https or http2 server')
    const wrapped: Listener = (socket: NodeJS.EventEmitter) =>
      this.#onConnection(original as Listener, socket)
    this.#swap(original as Listener, wrapped)
    this.#undo.push(() => this.#swap(wrapped, original as Listener))
  }

  #swap(from: Listener, to: Listener): void {
    const listeners = this.#server.rawListeners('connection') as Listener[]
    this.#server.removeAllListeners('connection')
    for (const listener of listeners) this.#server.on('connection', listener === from ? to : listener)
  }

  #onConnection(original: Listener, socket: NodeJS.EventEmitter): void {
    const connection = this.#context.newConnection({ appData: socket })
    connection.accept()
    // Node forgets no session because its connection ended without close_notify.
    socket.once('close', () => {
      connection.setShutdown(true, true)
      connection.free()
    })
    this.#current.run({ connection, verdict: undefined, isLookupLate: false }, () =>
      Reflect.apply(original, this.#server, [socket]),
    )
  }

  /** Every path answers exactly once: an error in a lookup is a full handshake. */
  #onResumeSession(id: Buffer, done: ResumeCallback): void {
    const handshake = this.#current.getStore()
    const answer = once(done)
    const verdict = this.#attempt(() =>
      handshake?.connection.resumeSession({ protocolVersion: TLS1_2_VERSION, sessionId: new Uint8Array(id) }),
    )
    if (handshake === undefined || verdict === undefined) answer(null, null)
    else if (isPromiseLike(verdict)) this.#await(handshake, verdict, answer)
    else this.#answer(handshake, verdict, answer)
  }

  #await(handshake: Handshake, verdict: PromiseLike<ResumptionVerdict>, answer: ResumeCallback): void {
    const timer = setTimeout(() => {
      handshake.isLookupLate = true
      answer(null, null)
    }, this.#options.lookupTimeoutMs ?? DEFAULT_LOOKUP_TIMEOUT_MS)
    timer.unref()
    const settled = (value: ResumptionVerdict): void => {
      clearTimeout(timer)
      if (!handshake.isLookupLate) this.#answer(handshake, value, answer)
    }
    verdict.then(settled, () => answer(null, null))
  }

  #attempt(decide: () => Awaitable<ResumptionVerdict> | undefined): Awaitable<ResumptionVerdict> | undefined {
    try {
      return decide()
    } catch {
      // A renegotiation, or a connection that has gone: Node goes on with a full handshake.
      return undefined
    }
  }

  #answer(handshake: Handshake, verdict: ResumptionVerdict, answer: ResumeCallback): void {
    handshake.verdict = verdict
    if (verdict.resume) answer(null, this.#export(verdict.session))
    else if (verdict.alert === undefined) answer(null, null)
    else answer(new ResumptionError(verdict.reason), null)
  }

  /** Node's libssl compares the session id context with its own, so that is what it gets to see. */
  #export(session: SslSession): Buffer {
    const copy = session.dup()
    copy.setSessionIdContext(utf8((this.#server as { sessionIdContext?: string }).sessionIdContext ?? ''))
    return Buffer.from(copy.toDer())
  }

  /** Acknowledged at once: Node holds back everything that the server writes until then. */
  #onNewSession(der: Buffer, done: () => void): void {
    try {
      const handshake = this.#current.getStore()
      if (handshake !== undefined) this.#adopt(handshake, SslSession.fromDer(new Uint8Array(der)))
    } catch {
      // A session of another library's making; the connection goes on without being remembered.
    } finally {
      done()
    }
  }

  #adopt(handshake: Handshake, session: SslSession): void {
    const { connection } = handshake
    // TLS 1.3 looks its sessions up by PSK identity, of which resumeSession knows nothing.
    if (session.protocolVersion === TLS1_3_VERSION) return
    if (!connection.isHandshaking) {
      // A renegotiation, of which Node says nothing until it has a new session.
      connection.accept()
      handshake.verdict = undefined
    }
    this.#decideWithoutLookup(handshake, undefined)
    connection.adoptSession(session)
    connection.finishHandshake()
  }

  #onSecureConnection(socket: tls.TLSSocket): void {
    const handshake = this.#current.getStore()
    if (handshake === undefined) return
    const resumed = socket.isSessionReused()
    try {
      this.#finish(handshake, socket)
      this.#options.onHandshake?.({
        socket,
        protocol: socket.getProtocol() ?? 'unknown',
        resumed,
        reason: handshake.isLookupLate ? 'lookup-timeout' : reasonOf(handshake.verdict, resumed),
      })
    } catch (error) {
      // The connection is good whatever was made of it here, and its other listeners must hear of it.
      process.emitWarning(error instanceof Error ? error : String(error))
    }
  }

  /** For handshakes without a newSession event: resumed ones, and those of tickets. */
  #finish(handshake: Handshake, socket: tls.TLSSocket): void {
    const { connection } = handshake
    if (!connection.isHandshaking) return
    const der = socket.isSessionReused() && handshake.verdict === undefined ? socket.getSession() : undefined
    this.#decideWithoutLookup(handshake, der)
    // A full handshake whose session Node kept to itself is not to be found by its id.
    if (!connection.sessionReused) connection.adoptSession(new SslSession())
    connection.finishHandshake()
  }

  /** Node asks for no session when the ClientHello holds no id, or a ticket that it can read itself. */
  #decideWithoutLookup(handshake: Handshake, ticketSession: Buffer | undefined): void {
    if (handshake.verdict !== undefined) return
    const session =
      ticketSession === undefined ? undefined : SslSession.fromDer(new Uint8Array(ticketSession))
    session?.setSessionIdContext(handshake.connection.sessionIdContext)
    const verdict = handshake.connection.resumeSession({
      protocolVersion: TLS1_2_VERSION,
      sessionId: new Uint8Array(0),
      ...(session === undefined ? {} : { ticket: { status: 'success', session } }),
    })
    if (!isPromiseLike(verdict)) handshake.verdict = verdict
  }
}

function reasonOf(verdict: ResumptionVerdict | undefined, resumed: boolean): ServerHandshake['reason'] {
  if (verdict === undefined) return 'not-offered'
  if (!verdict.resume) return verdict.reason
  return resumed ? verdict.source : 'not-confirmed'
}

function once(callback: ResumeCallback): ResumeCallback {
  let isCalled = false
  return (error, session) => {
    if (isCalled) return
    isCalled = true
    callback(error, session)
  }
}
