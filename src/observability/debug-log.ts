import createDebug, { type Debugger } from 'debug'
import type { SslContextEvent } from '../session/contracts.ts'
import type { AttachedMessage, HandshakeMessage } from '../session/handshakes.ts'

const resumption = createDebug('sslctx:resumption')
const cache = createDebug('sslctx:cache')
const callback = createDebug('sslctx:callback')
const handshake = createDebug('sslctx:handshake')
const attach = createDebug('sslctx:attach')
const client = createDebug('sslctx:client')

const IS_LOGGED = {
  handshake: isEnabled(handshake),
  resumption: isEnabled(resumption),
  'new-session': isEnabled(cache),
  'session-removed': isEnabled(cache),
  'callback-error': isEnabled(callback),
} as const

/** @returns the getter of `log.enabled`. Each connection asks, and V8 is slow to find a property of a function that has accessors. */
function isEnabled(log: Debugger): () => boolean {
  return Object.getOwnPropertyDescriptor(log, 'enabled')?.get ?? (() => log.enabled)
}

export function isLogged(type: SslContextEvent['type'] | 'handshake'): boolean {
  return IS_LOGGED[type]()
}

/**
 * Shows a context's events when `DEBUG=sslctx:*` (or `sslctx:resumption`, `sslctx:cache`, `sslctx:callback`) is set.
 * Sessions appear without their secrets.
 */
export function logEvent(event: SslContextEvent): void {
  switch (event.type) {
    case 'resumption': {
      const { verdict, connection } = event
      if (verdict.resume)
        resumption('%sresumed from %s: %j', clientOf(connection.appData), verdict.source, verdict.session)
      else resumption('%sfull handshake: %s', clientOf(connection.appData), verdict.reason)
      break
    }
    case 'new-session':
      cache('new %j', event.session)
      break
    case 'session-removed':
      cache('%s %j', event.reason, event.session)
      break
    case 'callback-error':
      callback('%s failed: %s', event.callback, event.error)
      break
  }
}

/** The outcome of a server's handshake, for `DEBUG=sslctx:handshake`. */
export function logHandshake(message: HandshakeMessage): void {
  const { protocol, serverName, outcome, reason, server, connection } = message
  handshake(
    '%s #%d %s%s %s: %s (%s)',
    server,
    connection,
    clientOf(message),
    protocol ?? '-',
    serverName === undefined ? '-' : quoted(serverName),
    outcome,
    reason,
  )
}

/** A client chooses it: there are control characters that JSON leaves, and terminals obey. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\u009f]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`)
}

/** What a server does from now on, for `DEBUG=sslctx:attach`. */
export function logAttached(message: AttachedMessage): void {
  const { server, protocols, tls13, sessionCacheMode, hasStore, isSingleUse, hasRevocations } = message
  const features = [
    ...(protocols.includes('TLSv1.3') ? [tls13] : []),
    ...(hasStore ? ['a store'] : []),
    ...(isSingleUse ? ['single use'] : []),
    ...(hasRevocations ? ['revocations'] : []),
    `mode 0x${sessionCacheMode.toString(16)}`,
  ]
  attach('%s attached: %s with %s', server, protocols.join(', '), features.join(', '))
}

/** Where the client is, with a space behind it; nothing where nobody knows. */
function clientOf(socket: unknown): string {
  if (typeof socket !== 'object' || socket === null) return ''
  const { remoteAddress, remotePort } = socket as Partial<HandshakeMessage>
  if (remoteAddress === undefined) return ''
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort} `
}

/** A `ClientHandshake`, as far as it is shown. */
export interface LoggedClientHandshake {
  readonly outcome: string
  readonly reason: string
  readonly protocol: string | undefined
  readonly host: string
  readonly port: number | undefined
  readonly source: string | undefined
}

/** The outcome of a client's handshake, for `DEBUG=sslctx:client`. */
export function logClientHandshake(shown: LoggedClientHandshake): void {
  if (!client.enabled) return
  const { protocol, host, port, outcome, reason, source } = shown
  const from = source === undefined ? '' : `, from ${source}`
  client('%s %j: %s (%s%s)', protocol, `${host}:${port}`, outcome, reason, from)
}
