import tls from 'node:tls'
import { alertOf } from './alerts.ts'
import { type Connection, handshakeError, onAbort, openConnection, timeoutError } from './connection.ts'
import { CutOffError, HandshakeError } from './failure.ts'
import { type ContextKind, secureContextOf } from './secure-contexts.ts'
import { unwrapClientSession } from './session-input.ts'
import type { StartTls } from './starttls.ts'

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
  /** Milliseconds for one handshake, from the connection on. */
  readonly timeoutMs: number
  /** PEM; the authorities that Node knows by default. Verification is reported and never ends a probe. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly alpn: readonly string[]
  /** Sends a HEAD request: some servers send the tickets of TLS 1.3 with their first answer only. */
  readonly isHttp: boolean
  /** What Node refuses by default is looked at too: TLS 1.0 and 1.1, weak ciphers and keys. */
  readonly isInsecure?: boolean
  /** What is spoken before TLS. */
  readonly startTls?: StartTls | undefined
}

/** What one handshake is for. */
export interface HandshakeWish {
  readonly endpoint: Endpoint
  readonly method: ContextKind
  readonly servername: string | undefined
  /** DER. */
  readonly session?: Uint8Array | undefined
  /** Ends it at once, wherever it is. */
  readonly signal?: AbortSignal
  /** As `isInsecure` of the settings, for this handshake. */
  readonly isInsecure?: boolean
  /** For measuring: nobody watches the bytes, and a failure is known by its code alone. */
  readonly isBare?: boolean
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
  /** `TLSv1.3`, and the name that OpenSSL gives to the cipher suite. */
  readonly protocol?: string
  readonly cipher?: string
  /** As shown in a full handshake. */
  readonly certificate?: PeerCertificate
  /** Why the certificate of a full handshake does not verify; undefined when it does. */
  readonly verifyError?: string
}

/** The tickets of TLS 1.3 come after the handshake, in no message that could be waited for. */
const TICKETS_MS = 1000
/** For the server's end, so that it has done with this connection before the next one begins. */
const CLOSING_MS = 250
/** For the first byte of an answer to HEAD. */
const ANSWER_MS = 3000
/** A server may send tickets without end; the newest are what a client would offer. */
const MAX_SESSIONS = 16

/**
 * One connection from its beginning to its end. It ends with close_notify: a server of libssl that gets none deletes the session.
 * Whatever the server does, it is over `TICKETS_MS + CLOSING_MS` after the handshake, and with HTTP `ANSWER_MS` later.
 *
 * @throws {@link HandshakeError} also for an alert after the handshake, which is how TLS 1.3 refuses a client certificate
 * @throws {@link CutOffError} when the signal of the wish has ended it
 */
export async function shakeHands(wish: HandshakeWish, settings: ClientSettings): Promise<Handshake> {
  const { signal } = wish
  if (signal?.aborted) throw new CutOffError()
  try {
    const handshake = await connectAndShakeHands(wish, settings)
    if (!signal?.aborted) return handshake
  } catch (error) {
    if (!signal?.aborted || !(error instanceof HandshakeError)) throw error
  }
  throw new CutOffError()
}

async function connectAndShakeHands(wish: HandshakeWish, settings: ClientSettings): Promise<Handshake> {
  const startedMs = performance.now()
  const { signal, endpoint, servername } = wish
  const { timeoutMs, startTls } = settings
  const connection = await openConnection(
    endpoint,
    { startTls, name: servername ?? endpoint.address },
    { timeoutMs, signal, isBare: wish.isBare === true },
  )
  const socket = tls.connect(connectionOptions(wish, settings, connection))
  const release = onAbort(signal, () => {
    socket.destroy()
    connection.destroy()
  })
  try {
    return await shakeHandsOn(socket, { wish, settings, connection, startedMs })
  } finally {
    release()
  }
}

interface Attempt {
  readonly wish: HandshakeWish
  readonly settings: ClientSettings
  readonly connection: Connection
  readonly startedMs: number
}

async function shakeHandsOn(
  socket: tls.TLSSocket,
  { wish, settings, connection, startedMs }: Attempt,
): Promise<Handshake> {
  const sessions: Uint8Array[] = []
  socket.on('session', (session: Buffer) => {
    sessions.push(unwrapClientSession(session).der)
    if (sessions.length > MAX_SESSIONS) sessions.shift()
  })
  let lastError: unknown
  socket.on('error', (error) => {
    lastError ??= error
  })
  await handshakeOf(socket, connection, settings.timeoutMs - (performance.now() - startedMs))
  const latencyMs = performance.now() - startedMs
  const facts = factsOf(socket)
  if (settings.isHttp) await askForHead(socket, wish)
  const hasTicketsToCome = facts.protocol === 'TLSv1.3' && !facts.resumed
  // An end that comes before the server has read it makes its kernel throw away the alert that it may be sending.
  if (hasTicketsToCome && wish.isBare !== true) await firstSession(socket, sessions)
  socket.end()
  await untilClosed(socket, connection, hasTicketsToCome && sessions.length === 0 && wish.isBare === true)
  if (isAlert(lastError)) throw afterHandshake(lastError, connection)
  return { ...facts, latencyMs, sessions }
}

function connectionOptions(
  wish: HandshakeWish,
  settings: ClientSettings,
  { stream }: Connection,
): tls.ConnectionOptions {
  const { endpoint, method, servername, session } = wish
  const isInsecure = wish.isInsecure ?? settings.isInsecure ?? false
  const alpn = settings.isHttp && settings.alpn.length === 0 ? ['http/1.1'] : settings.alpn
  return {
    socket: stream,
    // What the certificate is compared with when no name is asked for.
    host: endpoint.address,
    secureContext: secureContextOf(method, settings, isInsecure),
    // With verification, newer lines of Node pass over a session of another name, and say nothing.
    rejectUnauthorized: false,
    ...(isInsecure && { minDHSize: 1 }),
    ...(servername !== undefined && { servername }),
    ...(session && { session: Buffer.from(session) }),
    ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
  }
}

async function handshakeOf(socket: tls.TLSSocket, connection: Connection, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(timeoutError(timeoutMs)), Math.max(timeoutMs, 0))
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })))
    })
  } catch (error) {
    socket.destroy()
    connection.destroy()
    throw handshakeError(error, connection.wire)
  } finally {
    clearTimeout(timer)
  }
}

type Facts = Omit<Handshake, 'latencyMs' | 'sessions'>

function factsOf(socket: tls.TLSSocket): Facts {
  const negotiated = { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().name }
  return socket.isSessionReused()
    ? { resumed: true, ...negotiated }
    : { resumed: false, ...negotiated, ...identityOf(socket) }
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
  const host = servername ?? (endpoint.address.includes(':') ? `[${endpoint.address}]` : endpoint.address)
  socket.write(`HEAD / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: sslctx\r\nConnection: close\r\n\r\n`)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ANSWER_MS)
    const answered = (): void => {
      clearTimeout(timer)
      resolve()
    }
    socket.once('data', answered)
    socket.once('close', answered)
  })
}

/** Or an alert, or the end. */
async function firstSession(socket: tls.TLSSocket, sessions: readonly Uint8Array[]): Promise<void> {
  if (sessions.length > 0 || socket.closed) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, TICKETS_MS)
    const over = (): void => {
      clearTimeout(timer)
      resolve()
    }
    socket.once('session', over).once('error', over).once('close', over).once('end', over)
    socket.resume()
  })
}

/** Gives up soon after a session has come, and after so long if none does; more of them buy no more time. */
async function untilClosed(
  socket: tls.TLSSocket,
  connection: Connection,
  isWaitingForTickets: boolean,
): Promise<void> {
  const giveUp = (): void => {
    socket.destroy()
    connection.destroy()
  }
  let timer = setTimeout(giveUp, isWaitingForTickets ? TICKETS_MS : CLOSING_MS)
  if (isWaitingForTickets)
    socket.once('session', () => {
      clearTimeout(timer)
      timer = setTimeout(giveUp, CLOSING_MS)
    })
  socket.resume()
  await new Promise<void>((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
  clearTimeout(timer)
  giveUp()
}

/** What else may come after a handshake, such as ECONNRESET, is a server that does not wait for our end. */
function isAlert(error: unknown): boolean {
  return error instanceof Error && 'code' in error && alertOf(String(error.code), error.message) !== undefined
}

function afterHandshake(error: unknown, { wire }: Connection): HandshakeError {
  const { code, message, failure } = handshakeError(error, wire)
  // A client without a certificate has finished by then, RFC 9846 §4.5.2.4 (RFC 8446 §4.4.2.4); some servers say just that it failed.
  const wantsCertificate = failure.wantsCertificate ?? failure.alert === 'handshake_failure'
  return new HandshakeError(code, message, {
    cause: error,
    failure: { ...failure, isAfterHandshake: true, ...(wantsCertificate && { wantsCertificate }) },
  })
}
