import type tls from 'node:tls'
import { DEFAULT_TIMEOUT_SEC } from '../context/context-state.ts'
import type { SslContext } from '../context/ssl-context.ts'
import { nodeCrypto } from '../crypto.ts'
import { ServerSetupError, type SetupProblem } from '../errors.ts'
import { A_BOOLEAN, anInteger, checkOptions } from '../session/arguments.ts'
import { SslOption, TLS1_3_VERSION, VerifyMode } from '../session/ssl-constants.ts'
import { checkContext } from './attach-options.ts'
import { nodeFeatures, type TlsServer } from './node-engine.ts'
import type { AttachServerOptions } from './server-attachment.ts'
import { serverVersions, versionNumber } from './server-versions.ts'
import { DEFAULT_TICKET_VERSIONS } from './ticket-keys.ts'

/** What Node takes for sessionTimeout. */
const MAX_NODE_TIMEOUT_SEC = 2 ** 31 - 1
const ALLOW_NO_DHE_KEX = 0x400
/** What Node sends after a full TLS 1.3 handshake. */
export const NODE_NUM_TICKETS = 2

/** What {@link serverOptions} may be told. */
export interface ServerOptionsSettings {
  /** SSL_OP_ bits of yours, which would otherwise be overwritten. */
  readonly secureOptions?: number | undefined
  /**
   * For a server that is attached with the option `tickets`: without SSL_OP_NO_TICKET, so that it has Node's own tickets when it is
   * not attached. False by default.
   */
  readonly tickets?: boolean | undefined
}

/** What `createServer()` of tls, https and http2 needs, to be spread into its options. */
export interface ServerOptions {
  readonly sessionIdContext: string
  /** Seconds. */
  readonly sessionTimeout: number
  readonly secureOptions: number
}

/**
 * The options under which a Node server works with `context`: SSL_OP_NO_TICKET, so that every resumption asks the cache,
 * and a session id context and timeout of its own. Spread them after your own.
 *
 * @throws {@link ArgumentError} for another context, and for options that do not exist
 *
 * @example
 * ```ts
 * const context = new SslContext({ sessionIdContext: 'shop' })
 * const server = https.createServer({ key, cert, ...serverOptions(context) }, handler)
 * attachServer(server, context)
 * ```
 */
export function serverOptions(context: SslContext, options: ServerOptionsSettings = {}): ServerOptions {
  checkContext('serverOptions', context)
  checkOptions('serverOptions', options, { secureOptions: anInteger(0, 0xffff_ffff), tickets: A_BOOLEAN })
  const ticketOption = options.tickets === true ? 0 : SslOption.NO_TICKET
  // Node compares it with what it gets back, and that is rewritten; it only has to be there, and the same everywhere.
  const digest = nodeCrypto().createHash('sha256').update('sslctx').update(context.getSessionIdContext())
  return {
    sessionIdContext: digest.digest('hex').slice(0, 32),
    sessionTimeout: Math.min(sessionTimeoutSec(context), MAX_NODE_TIMEOUT_SEC),
    secureOptions: ((options.secureOptions ?? 0) | context.getOptions() | ticketOption) >>> 0,
  }
}

export function sessionTimeoutSec(context: SslContext): number {
  return context.getSessionTimeout() || DEFAULT_TIMEOUT_SEC
}

/** What must hold for a server to be attached. */
export interface SetupRequirements {
  readonly isWaitingForStore: boolean
  readonly isBinding: boolean
  readonly hasTickets: boolean
  /** The problems that the owner knows of. */
  readonly tolerate: readonly SetupProblem[]
}

/** @throws {@link ServerSetupError} for what would silently never resume, bypass the cache, or be ignored */
export function checkSetup(server: TlsServer, context: SslContext, required: SetupRequirements): void {
  const refuse = (problem: SetupProblem, message: string): void => {
    if (!required.tolerate.includes(problem)) throw new ServerSetupError(problem, message)
  }
  if (usesTickets(server) && !required.hasTickets)
    refuse(
      'tickets',
      'tickets are on, so clients resume past the cache: spread sessions.serverOptions() of ServerSessions, or ' +
        'serverOptions(context), into createServer(); attachServer may also have the option tickets',
    )
  if (server.sessionIdContext === argvContext())
    refuse(
      'default-session-id-context',
      'the session id context is the one made from process.argv: spread sessions.serverOptions() of ServerSessions, or ' +
        'serverOptions(context), into createServer()',
    )
  if (server.listenerCount('resumeSession') > 0) refuse('resume-session-listener', RESUME_LISTENER_MESSAGE)
  const unsupported = unsupportedSetting(server, context, required.hasTickets)
  if (unsupported !== undefined) refuse('unsupported-setting', unsupported)
  if (!required.isBinding && server.requestCert === true && context.getSessionIdContext().length === 0)
    refuse(
      'unsupported-setting',
      'client certificates, bindSessions: false and no sessionIdContext: libssl would keep no session, and end handshakes ' +
        'that offer one (SSL_CTX_set_session_id_context(3)): give the context a sessionIdContext',
    )
  if (required.isWaitingForStore && losesDataWhileWaiting(server))
    refuse(
      'wait-for-store',
      'waitForStore would lose what a TLS 1.3 connection writes and ends meanwhile on this Node: use Node 26.8, ' +
        "maxVersion: 'TLSv1.2' or waitForStore: false",
    )
}

/** @throws {@link ServerSetupError} for what stateless tickets cannot have */
export function checkTicketSetup(
  server: TlsServer,
  { singleUse, waitForStore, bindSessions, tickets }: AttachServerOptions,
): void {
  const versions = tickets?.versions ?? DEFAULT_TICKET_VERSIONS
  const contradictions: readonly (readonly [boolean, string])[] = [
    [
      singleUse === true,
      'singleUse: nobody can tell that a ticket was used before; leave out tickets, and give the context a store',
    ],
    [waitForStore === true, 'waitForStore: nothing is stored in TLS 1.3; leave it out'],
    [
      bindSessions === false,
      'bindSessions: false: a ticket is good for one server name and trust; leave it out',
    ],
    [
      server.ticketKeys !== undefined,
      'ticketKeys: the keys are those of the keyRing; leave them out of createServer()',
    ],
    [
      versions.includes('TLSv1.2') && server.requestCert === true,
      'TLSv1.2 and client certificates: nobody can tell when the chain of a client ends, while libssl makes its ticket; ' +
        'leave TLSv1.2 out of versions, and it resumes by session id',
    ],
    [((server.secureOptions ?? 0) & ALLOW_NO_DHE_KEX) !== 0, NO_DHE_KEX_MESSAGE],
    ...versions.map(
      (version) =>
        [
          !serverVersions(server).includes(versionNumber(version) ?? 0),
          `a server without ${version}: leave out tickets, that version of theirs, or what keeps the server from it; ` +
            'ServerSessions with secrets has tickets, unless it has tickets: false and a store',
        ] as const,
    ),
  ]
  const found = contradictions.find(([isThere]) => isThere)
  if (found !== undefined)
    throw new ServerSetupError('contradicting-options', `tickets do not go with ${found[1]}`)
}

const NO_DHE_KEX_MESSAGE =
  'SSL_OP_ALLOW_NO_DHE_KEX: without a new key exchange, who has the secret of the keyRing reads every connection; take it out of secureOptions'

export const RESUME_LISTENER_MESSAGE: string =
  'another listener of resumeSession would answer too, which ends connections: remove it, or give the context its ' +
  'store as getSessionCallback'

export function usesTickets({ secureOptions = 0 }: TlsServer): boolean {
  return (secureOptions & SslOption.NO_TICKET) === 0
}

/** As `tls.Server.setSecureContext` of Node makes it: another path or argument, and no session is good any more. */
function argvContext(): string {
  return nodeCrypto().createHash('sha1').update(process.argv.join(' ')).digest('hex').slice(0, 32)
}

/** @returns what to change, when the context has a setting that this server's libssl cannot be told */
export function unsupportedSetting(
  server: TlsServer,
  context: SslContext,
  hasTickets: boolean,
): string | undefined {
  if (context.getGenerateSessionId() !== undefined)
    return 'Node makes the session ids: setGenerateSessionId() cannot be applied'
  // With tickets of ours, there may be fewer.
  if (hasTickets ? context.getNumTickets() > NODE_NUM_TICKETS : context.getNumTickets() !== NODE_NUM_TICKETS)
    return `Node sends ${NODE_NUM_TICKETS} tickets: setNumTickets(${context.getNumTickets()}) cannot be applied`
  if (context.getMaxEarlyData() !== 0) return 'Node has no early data: setMaxEarlyData() must be 0'
  const missing = context.getOptions() & ~(server.secureOptions ?? 0) & ~SslOption.ENABLE_MIDDLEBOX_COMPAT
  if (missing !== 0)
    return `the server lacks options of the context (0x${missing.toString(16)}): spread serverOptions(context) into createServer()`
  if ((context.getVerifyMode() & ~serverVerifyMode(server)) !== 0)
    return 'the context verifies clients, the server does not: set requestCert (and rejectUnauthorized) in createServer()'
  return undefined
}

/** The verify mode that Node gives its connections. */
export function serverVerifyMode({ requestCert, rejectUnauthorized }: TlsServer): number {
  if (requestCert !== true) return VerifyMode.NONE
  return rejectUnauthorized === false ? VerifyMode.PEER : VerifyMode.PEER | VerifyMode.FAIL_IF_NO_PEER_CERT
}

function losesDataWhileWaiting(server: TlsServer): boolean {
  const isTls13 = serverVersions(server).includes(TLS1_3_VERSION)
  return isTls13 && !nodeFeatures(server._sharedCreds).hasEarlyClientHello
}

/** Whoever sets keys of his own wants them to be used. */
export function ticketKeysRefused(): ServerSetupError {
  return new ServerSetupError(
    'contradicting-options',
    'tickets do not go with ticketKeys: the keys are those of the keyRing; to change them, use its replaceSecrets()',
  )
}

/**
 * Certificates are renewed by `setSecureContext({ key, cert })`, which by itself would drop what serverOptions set, and
 * with it every policy of the cache.
 *
 * @returns the options with what serverOptions set
 * @throws {@link ServerSetupError} when they say otherwise
 */
export function keepServerOptions(
  server: TlsServer,
  options: tls.SecureContextOptions,
  hasTickets: boolean,
): tls.SecureContextOptions {
  if (hasTickets) checkRenewalWithTickets(options)
  const { sessionIdContext, sessionTimeout, secureOptions = 0 } = server
  const contradicts =
    (options.sessionIdContext !== undefined && options.sessionIdContext !== sessionIdContext) ||
    (options.sessionTimeout !== undefined && options.sessionTimeout !== sessionTimeout) ||
    (options.secureOptions !== undefined &&
      (secureOptions & SslOption.NO_TICKET & ~options.secureOptions) !== 0)
  if (contradicts)
    throw new ServerSetupError(
      'contradicting-options',
      'setSecureContext() must not change what serverOptions(context) set while the server is attached: leave out ' +
        'sessionIdContext, sessionTimeout and secureOptions, or give the same',
    )
  const kept: Readonly<Record<PropertyKey, unknown>> = {
    secureOptions: options.secureOptions ?? secureOptions,
    ...(sessionIdContext !== undefined && { sessionIdContext }),
    ...(sessionTimeout !== undefined && { sessionTimeout }),
  }
  // Node asks what it is given for each option, and tells an array from other objects; the options may be a class's, with fields of its own.
  return new Proxy(options, {
    get: (given, name) => (Object.hasOwn(kept, name) ? kept[name] : Reflect.get(given, name, given)),
  })
}

function checkRenewalWithTickets(options: tls.SecureContextOptions): void {
  if ((options as { readonly ticketKeys?: unknown }).ticketKeys !== undefined) throw ticketKeysRefused()
  if (((options.secureOptions ?? 0) & ALLOW_NO_DHE_KEX) !== 0)
    throw new ServerSetupError('contradicting-options', `tickets do not go with ${NO_DHE_KEX_MESSAGE}`)
}
