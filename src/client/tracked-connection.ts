import { type EventEmitter, errorMonitor } from 'node:events'
import type tls from 'node:tls'
import type { SslConnection } from '../context/ssl-connection.ts'
import { firstEndSec } from '../node/chain-ends.ts'
import type { PeerCertificate } from '../node/node-engine.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import { Alert, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { SslSession, sessionInternals } from '../session/ssl-session.ts'
import { derOf } from './session-format.ts'
import type { Ticket } from './ticket-cache.ts'

/** The server has seen nothing of what was offered, or an error has ended the handshake, or the caller. */
export type Failure = 'before-hello' | 'error' | 'left'

/** Who wants to know what becomes of a connection. */
export interface ConnectionListener {
  /** The handshake is complete. */
  onConnected(isResumed: boolean, protocol: string): void
  /** A session to be kept, which is in the context already. */
  onTicket(ticket: Ticket): void
  /** It will not be completed. */
  onFailed(failure: Failure): void
  /** It was complete, and has ended by a fatal alert; or it had resumed, and nothing came of it. */
  onBroken(): void
}

export interface TrackedOptions {
  /** A connection of the model, in which nothing has happened. */
  readonly connection: SslConnection
  /** Sessions may be kept. */
  readonly keeps: boolean
  /** The caller gave a session by hand, and only he knows what was verified for it. */
  readonly isOwnSession: boolean
  /** The caller set the lifetime that libssl writes into sessions. */
  readonly hasTimeout: boolean
  readonly listener: ConnectionListener
}

const EMPTY = new Uint8Array(0)
const VERSIONS = { minVersion: 0x301, maxVersion: TLS1_3_VERSION } as const
const VERSION_NUMBERS: Readonly<Record<string, number>> = {
  TLSv1: 0x301,
  'TLSv1.1': 0x302,
  'TLSv1.2': 0x303,
  'TLSv1.3': TLS1_3_VERSION,
}

interface ReadSession {
  readonly session: SslSession
  readonly bytes: number
  readonly lifeSec: number
}

interface Verified {
  readonly verifiedAtMs: number
  readonly chainEndMs: number
  readonly authorized: boolean
  readonly authorizationError: unknown
}

/**
 * Follows one TLSSocket of a client: tells the model what happens, keeps what the server gives, and has `authorized` mean on a
 * resumed connection what it meant on the full one.
 */
export class TrackedConnection {
  readonly #socket: tls.TLSSocket
  readonly #options: TrackedOptions
  readonly #beganMs = Date.now()
  #phase: 'connecting' | 'connected' | 'over' = 'connecting'
  #seen: Verified | undefined
  #offered: Ticket | undefined
  #hasBegun = false
  /** Before that, nothing of TLS is sent. */
  #hasReachedServer: boolean
  /** In the model. */
  #isFinished = false
  #hasResumed = false
  /** The server has given one since. */
  #hasTicket = false

  /** @param socket - whose handshake has not begun */
  constructor(socket: tls.TLSSocket, options: TrackedOptions) {
    this.#socket = socket
    this.#options = options
    this.#hasReachedServer = !socket.connecting
    socket.once('connect', () => {
      this.#hasReachedServer = true
    })
    // First of all listeners, since they rely on `authorized`: also of those that others have put first. Node's own hears 'secure'.
    socket.prependOnceListener('secure', () => {
      socket.prependOnceListener('secureConnect', () => safely(() => this.connected()))
    })
    const emitter: EventEmitter = socket
    // A listener to 'error' itself would hide an error that nobody else handles.
    emitter.once(errorMonitor, (error: unknown) => safely(() => this.#failed(error)))
    socket.once('close', () => safely(() => this.#failed(undefined)))
  }

  /** What is offered is known, and is set on the socket. */
  begin(offered: Ticket | undefined): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    this.#offered = offered
    const { connection } = this.#options
    connection.setSession(offered?.session)
    connection.connect()
    connection.clientHello(VERSIONS)
  }

  /** The handshake is complete. */
  connected(): void {
    // A listener that came in between has destroyed it: there is nothing left to ask.
    if (this.#phase !== 'connecting' || this.#socket.destroyed) return
    this.begin(undefined)
    this.#phase = 'connected'
    const isResumed = this.#socket.isSessionReused()
    const protocol = this.#socket.getProtocol() ?? ''
    const resumed = isResumed ? this.#offered : undefined
    this.#hasResumed = isResumed
    this.#restoreAuthorization(resumed)
    const made = this.#sessionOf(protocol, isResumed)
    this.#tellModel(VERSION_NUMBERS[protocol] ?? 0, resumed?.session, isResumed ? undefined : made?.session)
    this.#options.listener.onConnected(isResumed, protocol)
    if (made !== undefined && (!isResumed || isRenewed(made.session, resumed?.session)))
      this.#keep(made.session, made.bytes, made.lifeSec)
  }

  /** What there is at the end of the handshake; in TLS 1.3 it comes later, as an event. */
  #sessionOf(protocol: string, isResumed: boolean): ReadSession | undefined {
    if (!this.#options.keeps) return undefined
    if (protocol !== 'TLSv1.3') return this.#sessionOfSocket(isResumed)
    // Not before: when Node goes on to another address, it forgets that somebody listens.
    this.#socket.on('session', (bytes: Buffer) => safely(() => this.#receive(bytes)))
    return undefined
  }

  /** @param made - TLS 1.2, full */
  #tellModel(protocolVersion: number, resumed: SslSession | undefined, made: SslSession | undefined): void {
    const { connection } = this.#options
    const { alert } = connection.processServerHello({
      protocolVersion,
      sessionId: resumed === undefined ? EMPTY : sessionInternals.content(resumed).sessionId,
      cipherSuite: resumed?.cipherSuite ?? 0,
      pskSelected: resumed !== undefined,
      extendedMasterSecret: resumed?.extendedMasterSecret === true,
    })
    if (alert !== undefined) return
    if (made !== undefined) connection.adoptSession(made)
    connection.finishHandshake()
    this.#isFinished = true
  }

  /** Node verifies no name on a resumed connection, and would call authorized whom the full handshake did not. */
  #restoreAuthorization(resumed: Ticket | undefined): void {
    if (resumed === undefined || resumed.authorized) return
    const { authorizationError } = resumed
    const socket = this.#socket as { authorized: boolean; authorizationError: unknown }
    socket.authorized = false
    socket.authorizationError = authorizationError
  }

  /** TLS 1.3: a NewSessionTicket. What TLS 1.2 gives is on the socket when the handshake is complete. */
  #receive(bytes: Buffer): void {
    const { connection, isOwnSession } = this.#options
    this.#hasTicket = true
    if (this.#phase !== 'connected' || this.#socket.destroyed) return
    if (isOwnSession && this.#socket.isSessionReused()) return
    const session = read(bytes)
    // Its time is that of the model.
    const lifeSec = session === undefined ? 0 : this.#lifeSec(session, Math.ceil(Date.now() / 1000))
    if (session === undefined || lifeSec <= 0 || !this.#isFinished) return
    const {
      ticket,
      masterKey,
      ticketAgeAdd,
      maxEarlyData,
      sessionId: _,
      ...negotiated
    } = sessionInternals.content(session)
    const { ticketLifetimeHintSec: lifetimeHintSec } = session
    // RFC 9846 §4.7.1 (RFC 8446 §4.6.1): a lifetime of zero means that it is to be discarded at once.
    if (ticket === undefined || lifetimeHintSec === 0) return
    const received = connection.receiveTicket({
      masterKey,
      ticketAgeAdd,
      maxEarlyData,
      lifetimeHintSec,
      ticket,
    })
    // What Node's handshake has negotiated, of which the model has seen next to nothing.
    sessionInternals.update(received, negotiated)
    this.#keep(received, bytes.length, lifeSec)
  }

  #sessionOfSocket(isResumed: boolean): ReadSession | undefined {
    if (isResumed && this.#options.isOwnSession) return undefined
    const bytes = this.#socket.getSession() as Buffer | null | undefined
    const session = bytes ? read(bytes) : undefined
    if (!bytes || session?.isResumable !== true) return undefined
    const lifeSec = this.#lifeSec(session)
    return lifeSec > 0 ? { session, bytes: bytes.length, lifeSec } : undefined
  }

  #keep(session: SslSession, bytes: number, lifeSec: number): void {
    session.setTimeout(lifeSec)
    this.#options.listener.onTicket({ session, bytes, ...this.#verified })
  }

  /** Seconds from `timeSec` on; not above 0 for a session that is not to be kept. */
  #lifeSec(session: SslSession, timeSec: number = session.timeSec): number {
    const { verifiedAtMs, chainEndMs } = this.#verified
    const endMs = Math.min(chainEndMs, verifiedAtMs + ONE_WEEK_SEC * 1000)
    const untilEndSec = Math.floor((endMs - timeSec * 1000) / 1000)
    return Math.min(this.#lifetimeSecOf(session), untilEndSec)
  }

  /** Libssl writes a timeout of its own, two hours, and clients never look at it: it stands for a server that says nothing. */
  #lifetimeSecOf({ ticketLifetimeHintSec: hintSec, timeoutSec }: SslSession): number {
    if (hintSec === 0) return timeoutSec
    return this.#options.hasTimeout ? Math.min(hintSec, timeoutSec) : hintSec
  }

  /** Looked at once, when the first session is there. */
  get #verified(): Verified {
    this.#seen ??= this.#whatWasVerified()
    return this.#seen
  }

  #whatWasVerified(): Verified {
    const offered = this.#offered
    if (this.#socket.isSessionReused() && offered !== undefined) {
      const { verifiedAtMs, chainEndMs, authorized, authorizationError } = offered
      return { verifiedAtMs, chainEndMs, authorized, authorizationError }
    }
    const { authorized, authorizationError } = this.#socket
    const chainEndMs = authorized ? chainEndOf(this.#socket, this.#beganMs) : Number.POSITIVE_INFINITY
    return { verifiedAtMs: Date.now(), chainEndMs, authorized, authorizationError }
  }

  #failed(error: unknown): void {
    if (this.#phase === 'over') return
    const wasConnecting = this.#phase === 'connecting'
    this.#phase = 'over'
    this.begin(undefined)
    const { connection, listener } = this.#options
    const isAlert = isTlsError(error)
    if (isAlert && connection.session !== undefined) connection.receiveAlert('fatal', Alert.HANDSHAKE_FAILURE)
    if (wasConnecting) listener.onFailed(this.#failureBy(error))
    else if (isAlert || this.#isUnanswered(error)) listener.onBroken()
  }

  /** The server has ended what it resumed, without a word: to the server the handshake may not have been complete. */
  #isUnanswered(error: unknown): boolean {
    const { bytesRead, bytesWritten, readableEnded } = this.#socket
    // Whoever has asked for nothing may have ended the connection himself.
    const isEndOfServer = error === undefined ? readableEnded && bytesWritten > 0 : isOfSystem(error)
    return isEndOfServer && this.#hasResumed && !this.#hasTicket && bytesRead === 0
  }

  #failureBy(error: unknown): Failure {
    if (!this.#hasReachedServer) return 'before-hello'
    return error === undefined ? 'left' : 'error'
  }
}

/** A fault here costs a session, and never the connection. */
function safely(step: () => void): void {
  try {
    step()
  } catch (error) {
    process.emitWarning(error as Error)
  }
}

function read(bytes: Buffer): SslSession | undefined {
  try {
    return SslSession.fromDer(derOf(bytes))
  } catch {
    // A form of a later Node: not kept.
    return undefined
  }
}

/** TLS 1.2: the server has sent a new ticket with the resumption. */
function isRenewed(made: SslSession, offered: SslSession | undefined): boolean {
  if (offered === undefined) return false
  const { ticket } = sessionInternals.content(made)
  const { ticket: before } = sessionInternals.content(offered)
  return ticket !== undefined && (before === undefined || Buffer.compare(ticket, before) !== 0)
}

/** When the first certificate of the chain ends, milliseconds since the epoch. What cannot be seen has ended. */
function chainEndOf(socket: tls.TLSSocket, beganMs: number): number {
  const leaf = socket.getPeerCertificate(true) as PeerCertificate | null | undefined
  return leaf ? firstEndSec(leaf, beganMs) * 1000 : 0
}

/** Not one of the caller's, who may end a connection by whatever error he likes when he is done with it. */
function isOfSystem(error: unknown): boolean {
  return typeof (error as { readonly syscall?: unknown } | undefined)?.syscall === 'string'
}

function isTlsError(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' && (code.startsWith('ERR_SSL_') || code === 'EPROTO')
}
