import { channel } from 'node:diagnostics_channel'
import type { SslContextObserver } from '../session/contracts.ts'
import {
  isLogged,
  type LoggedClientHandshake,
  logAttached,
  logClientHandshake,
  logEvent,
  logHandshake,
} from './debug-log.ts'

/**
 * The channels of `node:diagnostics_channel` on which everything is published, of all contexts, attachments and guarded stores
 * of the process. Nothing is built for a channel without subscribers.
 *
 * | channel | message |
 * |---|---|
 * | `sslctx:handshake` | `ServerHandshake`: the outcome of a server's handshake |
 * | `sslctx:client` | `ClientHandshake`: the outcome of a handshake of `ClientSessions` |
 * | `sslctx:resumption`, `sslctx:new-session`, `sslctx:session-removed`, `sslctx:callback-error` | the `SslContextEvent` of that type |
 * | `sslctx:store-call` | `StoreCall`: a call of a guarded store has its result |
 * | `sslctx:store-event` | `NamedStoreEvent`: what else is to be said of one |
 */
const channels = {
  handshake: channel('sslctx:handshake'),
  client: channel('sslctx:client'),
  resumption: channel('sslctx:resumption'),
  'new-session': channel('sslctx:new-session'),
  'session-removed': channel('sslctx:session-removed'),
  'callback-error': channel('sslctx:callback-error'),
} as const

/** What every context and attachment tells: to the channels, and to `DEBUG=sslctx:*`. */
export const observer: SslContextObserver = {
  isListening: (type) => channels[type].hasSubscribers || isLogged(type),
  hear(event) {
    const { [event.type]: target } = channels
    if (target.hasSubscribers) target.publish(event)
    logEvent(event)
  },
  hearHandshake(handshake) {
    if (channels.handshake.hasSubscribers) channels.handshake.publish(handshake)
    logHandshake(handshake)
  },
  hearAttached: logAttached,
}

/** What a client's handshake came to: to the channel, and to `DEBUG=sslctx:client`. */
export function tellClientHandshake(handshake: LoggedClientHandshake): void {
  if (channels.client.hasSubscribers) channels.client.publish(handshake)
  logClientHandshake(handshake)
}
