import createDebug from 'debug'
import type { SslContextEvent } from '../session/contracts.ts'
import type { HandshakeMessage } from '../session/handshakes.ts'

const resumption = createDebug('sslctx:resumption')
const cache = createDebug('sslctx:cache')
const callback = createDebug('sslctx:callback')
const handshake = createDebug('sslctx:handshake')
const client = createDebug('sslctx:client')

const NAMESPACES = {
  handshake,
  resumption,
  'new-session': cache,
  'session-removed': cache,
  'callback-error': callback,
} as const

export function isLogged(type: SslContextEvent['type'] | 'handshake'): boolean {
  return NAMESPACES[type].enabled
}

/**
 * Shows a context's events when `DEBUG=sslctx:*` (or `sslctx:resumption`, `sslctx:cache`, `sslctx:callback`) is set.
 * Sessions appear without their secrets.
 */
export function logEvent(event: SslContextEvent): void {
  switch (event.type) {
    case 'resumption':
      if (event.verdict.resume) resumption('resumed from %s: %j', event.verdict.source, event.verdict.session)
      else resumption('full handshake: %s', event.verdict.reason)
      break
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
export function logHandshake({ protocol, serverName, outcome, reason }: HandshakeMessage): void {
  handshake('%s %j: %s (%s)', protocol, serverName, outcome, reason)
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
