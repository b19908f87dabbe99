import { constants } from 'node:crypto'
import { once } from 'node:events'
import tls from 'node:tls'
import { unwrapClientSession } from './session-input.ts'

/** The three ways in which a client may resume. */
export type Method = 'tls12-id' | 'tls12-ticket' | 'tls13'
export const METHODS: readonly Method[] = ['tls12-id', 'tls12-ticket', 'tls13']

export interface Endpoint {
  /** An IP address. */
  readonly address: string
  readonly port: number
}

export function labelOf({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** How a client connects, whatever it offers. */
export interface ClientSettings {
  /** Milliseconds for one handshake. */
  readonly timeoutMs: number
  /** PEM; the authorities that Node knows by default. Verification is reported and never ends a probe. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly alpn: readonly string[]
  /** Sends a HEAD request: some servers send the tickets of TLS 1.3 with their first answer only. */
  readonly isHttp: boolean
}

/** What one handshake is for. */
export interface HandshakeWish {
  readonly endpoint: Endpoint
  readonly method: Method
  readonly servername: string | undefined
  /** DER. */
  readonly session?: Uint8Array | undefined
}

export interface PeerCertificate {
  readonly subject: string
  readonly issuer: string
  readonly validTo: string
  /** SHA-256, as hexadecimal numbers with colons. */
  readonly fingerprint: string
}

/** A handshake that ended well. */
export interface Handshake {
  readonly resumed: boolean
  /** From the connection's first packet to the end of the handshake. */
  readonly latencyMs: number
  /** DER, the newest last. Secret. */
  readonly sessions: readonly Uint8Array[]
  /** Of a full handshake. */
  readonly certificate?: PeerCertificate
  /** Why the certificate of a full handshake does not verify; undefined when it does. */
  readonly verifyError?: string
}

/** A handshake that failed; `code` is `ECONNREFUSED`, `ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION`, `ERR_TIMEOUT` and the like. */
export class HandshakeError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The tickets of TLS 1.3 come after the handshake, in no message that could be waited for. */
const TICKETS_MS = 1000
/** For the server's end, so that it has done with this connection before the next one begins. */
const CLOSING_MS = 250

/**
 * One connection from its beginning to its end. It ends with close_notify: a server of libssl that gets none deletes the session.
 *
 * @throws {@link HandshakeError} also for an alert after the handshake, which is how TLS 1.3 refuses a client certificate
 */
export async function shakeHands(wish: HandshakeWish, settings: ClientSettings): Promise<Handshake> {
  const startedMs = performance.now()
  const socket = tls.connect(connectionOptions(wish, settings))
  const sessions: Uint8Array[] = []
  socket.on('session', (session: Buffer) => void sessions.push(unwrapClientSession(session).der))
  let lastError: unknown
  socket.on('error', (error) => {
    lastError = error
  })
  await handshakeOf(socket, settings.timeoutMs)
  const latencyMs = performance.now() - startedMs
  const facts = socket.isSessionReused() ? { resumed: true } : { resumed: false, ...identityOf(socket) }
  const isWaitingForTickets = wish.method === 'tls13' && !facts.resumed
  if (settings.isHttp) await askForHead(socket, wish)
  socket.end()
  await untilClosed(socket, isWaitingForTickets && sessions.length === 0 ? TICKETS_MS : CLOSING_MS)
  if (isAlert(lastError)) throw toHandshakeError(lastError)
  return { ...facts, latencyMs, sessions }
}

function connectionOptions(wish: HandshakeWish, settings: ClientSettings): tls.ConnectionOptions {
  const { endpoint, method, servername, session } = wish
  const alpn = settings.isHttp && settings.alpn.length === 0 ? ['http/1.1'] : settings.alpn
  return {
    host: endpoint.address,
    port: endpoint.port,
    secureContext: secureContextOf(method, settings),
    // With verification, newer lines of Node pass over a session of another name, and say nothing.
    rejectUnauthorized: false,
    ...(servername !== undefined && { servername }),
    ...(session && { session: Buffer.from(session) }),
    ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
  }
}

const secureContexts = new WeakMap<ClientSettings, Map<Method, tls.SecureContext>>()

/** One for all connections: making one takes as long as a handshake. */
function secureContextOf(method: Method, settings: ClientSettings): tls.SecureContext {
  const byMethod = secureContexts.get(settings) ?? new Map<Method, tls.SecureContext>()
  secureContexts.set(settings, byMethod)
  const context = byMethod.get(method) ?? makeSecureContext(method, settings)
  byMethod.set(method, context)
  return context
}

/** Session ids alone are what a client has that knows no tickets, SSL_CTX_set_options(3). */
function makeSecureContext(method: Method, { ca, cert, key }: ClientSettings): tls.SecureContext {
  const version = method === 'tls13' ? 'TLSv1.3' : 'TLSv1.2'
  return tls.createSecureContext({
    minVersion: version,
    maxVersion: version,
    // Also what nobody should use any more can be looked at.
    ciphers: `${tls.DEFAULT_CIPHERS}:@SECLEVEL=0`,
    ...(method === 'tls12-id' && { secureOptions: constants.SSL_OP_NO_TICKET }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  })
}

async function handshakeOf(socket: tls.TLSSocket, timeoutMs: number): Promise<void> {
  const timer = setTimeout(
    () => socket.destroy(new HandshakeError('ERR_TIMEOUT', `no handshake within ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    await once(socket, 'secureConnect')
  } catch (error) {
    throw toHandshakeError(error)
  } finally {
    clearTimeout(timer)
  }
}

function identityOf(socket: tls.TLSSocket): Pick<Handshake, 'certificate' | 'verifyError'> {
  const certificate = socket.getPeerX509Certificate()
  const { authorizationError } = socket
  return {
    ...(certificate && {
      certificate: {
        subject: oneLine(certificate.subject),
        issuer: oneLine(certificate.issuer),
        validTo: certificate.validTo,
        fingerprint: certificate.fingerprint256,
      },
    }),
    ...(!socket.authorized && { verifyError: verifyErrorCode(authorizationError) }),
  }
}

/** Declared as an Error; mostly it is the code alone. */
function verifyErrorCode(error: unknown): string {
  if (error instanceof Error) return 'code' in error ? String(error.code) : error.message
  return String(error)
}

/** Node writes one attribute a line. */
export function oneLine(distinguishedName: string | undefined): string {
  return (distinguishedName ?? '').split('\n').join(', ')
}

/** Until the first byte of the answer. */
async function askForHead(socket: tls.TLSSocket, { endpoint, servername }: HandshakeWish): Promise<void> {
  const host = servername ?? endpoint.address
  socket.write(`HEAD / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: sslctx\r\nConnection: close\r\n\r\n`)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, TICKETS_MS)
    const answered = (): void => {
      clearTimeout(timer)
      resolve()
    }
    socket.once('data', answered)
    socket.once('close', answered)
  })
}

/** Gives up after `patienceMs`, or soon after a session has come. */
async function untilClosed(socket: tls.TLSSocket, patienceMs: number): Promise<void> {
  let timer = setTimeout(() => socket.destroy(), patienceMs)
  socket.on('session', () => {
    clearTimeout(timer)
    timer = setTimeout(() => socket.destroy(), CLOSING_MS)
  })
  socket.resume()
  await new Promise<void>((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
  clearTimeout(timer)
}

function toHandshakeError(error: unknown): HandshakeError {
  if (error instanceof HandshakeError) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'ERR_UNKNOWN'
  return new HandshakeError(code, message, { cause: error })
}

/** What else may come after a handshake, such as ECONNRESET, is a server that does not wait for our end. */
function isAlert(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_SSL_')
}
