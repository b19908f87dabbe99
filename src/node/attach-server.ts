import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import type { SslContext } from '../context/ssl-context.ts'
import { ArgumentError } from '../errors.ts'
import { kindOf, warningOf } from '../session/arguments.ts'
import { callListener } from '../session/awaitable.ts'
import type { NotKeptReason } from '../session/not-kept-reasons.ts'
import { ONE_WEEK_SEC } from '../session/ranges.ts'
import { checkAttachOptions, checkCloseOptions, checkContext } from './attach-options.ts'
import { AttachmentLedger, type AttachmentStats, type Peer } from './attachment-ledger.ts'
import { ChainEnds } from './chain-ends.ts'
import { Connection, type ConnectionListener } from './connection.ts'
import { Deadlines } from './deadlines.ts'
import type { Edge } from './edge.ts'
import { JudgedTickets } from './judged-tickets.ts'
import {
  currentListener,
  endedTlsSocket,
  type HelloListener,
  handshakeTimeoutOf,
  hangUp,
  hasPskCallback,
  listenerOf,
  nodeFeatures,
  type TlsServer,
} from './node-engine.ts'
import type { ConnectionOutcome } from './outcome.ts'
import { requireNode, settleSocketShapes } from './runtime.ts'
import type { AttachServerOptions, ServerAttachment, ServerHandshake } from './server-attachment.ts'
import { type Listener, ServerHooks } from './server-hooks.ts'
import { defaultServerName, returnServerName, takeServerName } from './server-names.ts'
import { checkSetup, checkTicketSetup, sessionTimeoutSec, unsupportedSetting } from './server-setup.ts'
import { serverVersions, versionName } from './server-versions.ts'
import type { TrustProfiles } from './trust-profile.ts'
import { UsedIds } from './used-ids.ts'

const DEFAULT_LOOKUP_TIMEOUT_MS = 1_000
const DEFAULT_READ_AHEAD_MS = 10_000
const DEFAULT_CLOSE_DEADLINE_MS = 5_000

/**
 * Makes a context the session cache of a Node TLS server, for TLS 1.3 and below: the ClientHello is read ahead of Node, the
 * context decides, counts and calls back as libssl would, and Node's libssl gets what was found. Whatever fails on the way
 * becomes a full handshake.
 *
 * @param server - a `tls`, `https` or `http2` server, made with {@link serverOptions}
 * @param context - may serve several servers; sessions cross only between equal bindings
 * @throws {@link ServerSetupError} when the server is set up so that it would silently never resume, or bypass the cache
 * @throws {@link ArgumentError} for arguments and options of another kind, and for options that do not exist
 * @throws {@link UnsupportedRuntimeError} on Bun, Deno, Electron, and a Node that is built otherwise than those that are known
 *
 * @example
 * ```ts
 * const context = new SslContext({ sessionIdContext: 'shop' })
 * const server = https.createServer({ key, cert, ...serverOptions(context) }, handler)
 * attachServer(server, context, { onHandshake: ({ outcome, reason }) => console.log(outcome, reason) })
 * ```
 */
export function attachServer(
  server: tls.Server,
  context: SslContext,
  options: AttachServerOptions = {},
): ServerAttachment {
  requireNode()
  const hooks = new ServerHooks(server as TlsServer)
  checkContext('attachServer', context)
  checkAttachOptions(options)
  settleSocketShapes()
  return new Attachment(server as TlsServer, context, options, hooks)
}

/** What an attachment lends to its connections. */
interface AttachmentParts {
  readonly profiles: TrustProfiles
  isEnabled(): boolean
  countNotKept(reason: NotKeptReason): void
}

/** A class, since a literal with accessors would be a dictionary, and each of its properties be looked up anew. */
class AttachedEdge implements Edge {
  readonly server: TlsServer
  readonly context: SslContext
  readonly ownContext: Uint8Array
  readonly profiles: TrustProfiles
  readonly lookupTimeoutMs: number
  readonly helloDeadlines: Deadlines
  readonly bindSessions: boolean
  readonly requireExtendedMasterSecret: boolean
  readonly authenticatedAfterMs: number
  readonly tickets: JudgedTickets | undefined
  readonly singleUse: boolean
  readonly takesExternalPsks: boolean
  readonly policy: Edge['policy']
  readonly revocations: Edge['revocations']
  readonly shouldStore: Edge['shouldStore']
  readonly isAnsweredByOthers: boolean
  readonly usedIds: UsedIds = new UsedIds()
  readonly chainEnds: ChainEnds = new ChainEnds()
  readonly reportError: (error: unknown) => void = reportError
  readonly #maxAuthenticationAgeSec: number | undefined
  readonly #parts: AttachmentParts

  constructor(server: TlsServer, context: SslContext, options: AttachServerOptions, parts: AttachmentParts) {
    this.server = server
    this.context = context
    this.ownContext = context.getSessionIdContext()
    this.profiles = parts.profiles
    this.lookupTimeoutMs = options.lookupTimeoutMs ?? DEFAULT_LOOKUP_TIMEOUT_MS
    const { readAheadMs = DEFAULT_READ_AHEAD_MS } = options
    this.helloDeadlines = new Deadlines(Math.min(readAheadMs, handshakeTimeoutOf(server)))
    this.bindSessions = options.bindSessions !== false
    this.requireExtendedMasterSecret = options.requireExtendedMasterSecret !== false
    this.authenticatedAfterMs = options.authenticatedAfterMs ?? 0
    this.tickets = options.tickets && new JudgedTickets(server, context, options.tickets)
    this.singleUse = options.singleUse === true
    this.takesExternalPsks = hasPskCallback(server)
    this.policy = options.policy
    this.revocations = options.revocations
    this.shouldStore = options.shouldStore
    this.isAnsweredByOthers = options.tolerate?.includes('resume-session-listener') === true
    this.#maxAuthenticationAgeSec = options.maxAuthenticationAgeSec
    this.#parts = parts
  }

  get enabled(): boolean {
    return this.#parts.isEnabled()
  }

  get maxAuthenticationAgeSec(): number {
    return this.#maxAuthenticationAgeSec ?? Math.min(sessionTimeoutSec(this.context), ONE_WEEK_SEC)
  }

  countNotKept(reason: NotKeptReason): void {
    this.#parts.countNotKept(reason)
  }
}

class Attachment implements ServerAttachment, ConnectionListener {
  readonly kind = 'attachment'
  readonly name: string
  readonly context: SslContext
  readonly #server: TlsServer
  readonly #options: AttachServerOptions
  readonly #hooks: ServerHooks
  readonly #edge: Edge
  readonly #ledger: AttachmentLedger = new AttachmentLedger()
  #closing: Promise<{ readonly dropped: number }> | undefined
  #isEnabled = true
  #isDisposed = false
  #hasWarned = false

  constructor(server: TlsServer, context: SslContext, options: AttachServerOptions, hooks: ServerHooks) {
    this.#server = server
    this.context = context
    this.#options = options
    this.#hooks = hooks
    nodeFeatures(server._sharedCreds)
    checkSetup(server, context, {
      isWaitingForStore: options.waitForStore === true,
      isBinding: options.bindSessions !== false,
      hasTickets: options.tickets !== undefined,
      tolerate: options.tolerate ?? [],
    })
    if (options.tickets !== undefined) checkTicketSetup(server, options)
    this.#edge = new AttachedEdge(this.#server, context, options, {
      profiles: hooks.profiles,
      isEnabled: () => this.#isEnabled && !this.#isDisposed,
      countNotKept: (reason) => this.#ledger.countNotKept(reason),
    })
    this.#hook()
    this.name = takeServerName(options.name ?? defaultServerName(context.getSessionIdContext()), this)
    this.#tellAttached()
  }

  #tellAttached(): void {
    const { context } = this
    context.observer?.hearAttached?.({
      server: this.name,
      protocols: serverVersions(this.#server).map(versionName),
      tls13: this.#edge.tickets === undefined ? 'stateful tickets' : 'stateless tickets',
      sessionCacheMode: context.getSessionCacheMode(),
      hasStore: context.getGetSessionCallback() !== undefined,
      isSingleUse: this.#edge.singleUse,
      hasRevocations: this.#edge.revocations !== undefined,
    })
  }

  #hook(): void {
    const hooks = this.#hooks
    hooks.listen('newSession', (_id: Buffer, der: Buffer, done: () => void) => this.#onNewSession(der, done))
    hooks.listen('secureConnection', (socket: tls.TLSSocket) => this.#onSecureConnection(socket))
    if (!this.#edge.isAnsweredByOthers) hooks.refuseResumeListeners()
    const { tickets } = this.#edge
    if (tickets !== undefined) hooks.refuseTicketKeys()
    hooks.watchContexts(() => tickets?.renew(), tickets !== undefined)
    hooks.interceptConnections((original, socket) => this.#onConnection(original, socket))
  }

  get stats(): AttachmentStats {
    return { ...this.#ledger.stats, tickets: this.#edge.tickets?.stats }
  }

  get enabled(): boolean {
    return this.#isEnabled
  }

  set enabled(isEnabled: boolean) {
    if (typeof isEnabled !== 'boolean')
      throw new ArgumentError(`enabled must be true or false, got ${kindOf(isEnabled)}`)
    this.#isEnabled = isEnabled
  }

  get isAttached(): boolean {
    return !this.#isDisposed
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    returnServerName(this.name, this)
    this.#hooks.undo()
    this.#edge.helloDeadlines.end()
    this.#edge.tickets?.end()
    this.#ledger.forgetHandshakes()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async close(
    options: { readonly deadlineMs?: number | undefined } = {},
  ): Promise<{ readonly dropped: number }> {
    checkCloseOptions(options)
    this.#closing ??= this.#close(options.deadlineMs ?? DEFAULT_CLOSE_DEADLINE_MS)
    return await this.#closing
  }

  async #close(deadlineMs: number): Promise<{ readonly dropped: number }> {
    this.#hooks.releaseConnections()
    await this.#ledger.settled(deadlineMs)
    this[Symbol.dispose]()
    return { dropped: this.#ledger.unacknowledged }
  }

  #onConnection(original: Listener, socket: Duplex): void {
    this.#warnOfIgnoredSettings()
    const accept = original.bind(this.#server, socket)
    // A socket that is over has forgotten its peer, unless it was asked before.
    const peer = this.#isHeard() ? peerOf(socket) : undefined
    new Connection(this.#edge, this, socket, accept, this.#ledger.begin(peer)).begin()
  }

  /** None of the context's settings is silently ignored; what attachServer would have refused is warned of, once. */
  #warnOfIgnoredSettings(): void {
    if (this.#hasWarned || this.#options.tolerate?.includes('unsupported-setting') === true) return
    const problem = unsupportedSetting(this.#server, this.context, this.#options.tickets !== undefined)
    if (problem === undefined) return
    this.#hasWarned = true
    process.emitWarning(problem, { type: 'SslctxWarning', code: 'ERR_SERVER_SETUP' })
  }

  // What the connections tell.

  hearFirstBytes(connection: Connection): void {
    this.#ledger.hear(connection.followed)
  }

  hearWrite(connection: Connection, kept: PromiseLike<NotKeptReason | undefined>): Promise<void> {
    return this.#ledger.watchWrite(connection, kept, this.#edge.lookupTimeoutMs)
  }

  hearOutcome(connection: Connection, outcome: ConnectionOutcome): void {
    // Those of before a disposal are nobody's any more.
    const isCounted = this.#ledger.end(connection.followed, outcome)
    if (isCounted) this.#report(connection, outcome)
    const { unserved } = outcome
    // As Node does for a client that leaves it during the handshake.
    if (unserved !== undefined && this.#server.listenerCount('tlsClientError') > 0)
      this.#server.emit('tlsClientError', unserved.error ?? hangUp(), endedTlsSocket(this.#server))
  }

  #isHeard(): boolean {
    return this.#options.onHandshake !== undefined || this.context.observer?.isListening('handshake') === true
  }

  #report(connection: Connection, { outcome, reason, protocol, socket }: ConnectionOutcome): void {
    const { onHandshake } = this.#options
    const { observer } = this.context
    const isHeard = observer?.isListening('handshake') === true
    if (onHandshake === undefined && !isHeard) return
    const { serverName, readAheadMs, lookupMs, followed } = connection
    const handshake: ServerHandshake = {
      outcome,
      reason,
      protocol,
      socket,
      serverName,
      server: this.name,
      connection: followed.number,
      remoteAddress: followed.peer?.remoteAddress,
      remotePort: followed.peer?.remotePort,
      readAheadMs,
      lookupMs,
    }
    callListener(() => {
      if (isHeard) observer?.hearHandshake?.(handshake)
      return onHandshake?.(handshake)
    }, reportError)
  }

  // What Node tells.

  /** Node's session events name no socket, and happen in the name of its handle. */
  #current(): Connection | undefined {
    return this.#own(currentListener())
  }

  /** The server may have connections of an earlier attachment. */
  #own(listener: HelloListener | undefined): Connection | undefined {
    return listener instanceof Connection && listener.edge === this.#edge ? listener : undefined
  }

  /** Acknowledged on every path: Node holds back everything that the server writes until then. */
  #onNewSession(der: Buffer, done: () => void): void {
    const connection = this.#current()
    try {
      connection?.keep(der)
    } catch (error) {
      reportError(error)
    }
    if (connection?.kept === undefined || this.#options.waitForStore !== true) {
      // Whoever else listens holds the connection back until he has answered.
      if (this.#server.listenerCount('newSession') === 1) done()
    }
    // One answer releases all tickets of a handshake, so it waits for those that are made in the same turn as well.
    else setImmediate(() => void Promise.resolve(connection.kept).then(() => connection.goOn(done)))
  }

  #onSecureConnection(socket: tls.TLSSocket): void {
    try {
      this.#own(listenerOf(socket))?.establish(socket)
    } catch (error) {
      // The connection is good whatever was made of it here, and its other listeners must hear of it.
      reportError(error)
    }
  }
}

function peerOf(socket: Duplex): Peer {
  const { remoteAddress, remotePort }: Peer = socket as Peer
  return { remoteAddress, remotePort }
}

/** A callback of the owner's has thrown: the process hears of it, no connection does. */
function reportError(error: unknown): void {
  process.emitWarning(warningOf(error))
}
