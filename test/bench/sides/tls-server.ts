/**
 * A TLS server in a process of its own; see {@link ServerKind}. Speaks {@link ToServer} and {@link FromServer}.
 */
import { randomBytes } from 'node:crypto'
import { subscribe } from 'node:diagnostics_channel'
import tls from 'node:tls'
import {
  type AttachServerOptions,
  attachServer,
  KeyRing,
  SslContext,
  serverOptions,
} from '../../../src/index.ts'
import { type Start, serve } from './side-server.ts'

/**
 * `attached`: ours. `heard`: ours, with somebody on each channel. `map`: a hand-written Map in newSession and resumeSession.
 * `ticketed`: ours, with stateless tickets; `refusing`: the same, which opens and judges every ticket, and refuses it.
 * `tickets`: Node as it is, with its stateless tickets. `stock`: Node without tickets, and without a listener of sessions.
 */
export type ServerKind = 'attached' | 'heard' | 'ticketed' | 'refusing' | 'map' | 'tickets' | 'stock'

export type ToServer =
  | { readonly type: 'start'; readonly kind: ServerKind; readonly key: string; readonly cert: string }
  | { readonly type: 'heap' }

export type FromServer =
  /** With the processes that serve. */
  | { readonly type: 'listening'; readonly port: number; readonly pids: readonly number[] }
  /** After a collection. */
  | { readonly type: 'heap'; readonly bytes: number }

const CHANNELS = ['handshake', 'resumption', 'new-session', 'session-removed', 'callback-error']
const SSL_OP_NO_TICKET = 0x4000

function createServer({ kind, key, cert }: Start): tls.Server {
  if (kind === 'tickets') return tls.createServer({ key, cert })
  if (kind === 'stock') return tls.createServer({ key, cert, secureOptions: SSL_OP_NO_TICKET })
  if (kind === 'map') return handWritten({ key, cert })
  if (kind === 'heard') for (const name of CHANNELS) subscribe(`sslctx:${name}`, () => undefined)
  const context = new SslContext({ sessionIdContext: 'bench', sessionCacheSize: 2_000 })
  const server = tls.createServer({ key, cert, ...serverOptions(context) })
  attachServer(server, context, ticketOptions(kind))
  return server
}

function ticketOptions(kind: ServerKind): AttachServerOptions {
  if (kind !== 'ticketed' && kind !== 'refusing') return {}
  const tickets = { keyRing: new KeyRing([randomBytes(32)]) }
  // Looked at last, so that such a refusal costs most.
  return kind === 'refusing' ? { tickets, authenticatedAfterMs: Date.now() * 2 } : { tickets }
}

function handWritten(options: tls.TlsOptions): tls.Server {
  const sessions = new Map<string, Buffer>()
  const server = tls.createServer({ ...options, secureOptions: SSL_OP_NO_TICKET })
  server.on('newSession', (id: Buffer, der: Buffer, done: () => void) => {
    sessions.set(id.toString('hex'), der)
    const [oldest] = sessions.size > 2_000 ? sessions.keys() : []
    if (oldest !== undefined) sessions.delete(oldest)
    done()
  })
  server.on('resumeSession', (id: Buffer, done: (error: Error | null, der: Buffer | null) => void) => {
    done(null, sessions.get(id.toString('hex')) ?? null)
  })
  return server
}

serve(createServer)
