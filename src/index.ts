export type { ConnectOptions } from './client/bound-options.ts'
export type { ClientHandshake } from './client/client-outcome.ts'
export {
  ClientSessions,
  type ClientSessionsOptions,
  type ClientSessionsStats,
} from './client/client-sessions.ts'
export {
  ArgumentError,
  ClientSetupError,
  RevocationUnavailableError,
  ServerSetupError,
  SessionCacheError,
  SessionDerError,
  SessionRangeError,
  SessionStateError,
  SessionStoreError,
  UnopenableSessionError,
  UnsealedStoreError,
  UnsupportedRuntimeError,
  WeakKeyError,
} from './errors.ts'
export { attachServer } from './node/attach-server.ts'
export type { AttachmentStats } from './node/attachment-ledger.ts'
export type { SessionPolicy } from './node/edge.ts'
export type { TicketOptions } from './node/judged-tickets.ts'
export type { AttachServerOptions, ServerAttachment, ServerHandshake } from './node/server-attachment.ts'
export { type ServerOptions, serverOptions } from './node/server-setup.ts'
export { ServerSessions } from './server/server-sessions.ts'
export type { ServerSessionsOptions } from './server/server-sessions-options.ts'
export type { ClientReason } from './session/client-reasons.ts'
export type { HandshakeReason } from './session/reasons.ts'
export { SessionCacheMode } from './session/session-cache-mode.ts'
export type { SessionStore, StoredMark, StoreEntry } from './session/session-store.ts'
export { SslSession } from './session/ssl-session.ts'
export { SslContext, type SslContextOptions } from './ssl-context.ts'
export { type GuardedStore, type GuardOptions, guarded } from './store/guarded-store.ts'
export { keyFile } from './store/key-file.ts'
export { KeyRing, type KeyRingOptions } from './store/key-ring.ts'
export { MemoryStore } from './store/memory-store.ts'
export { Revocations, type RevocationsOptions, type RevokeOptions } from './store/revocations.ts'
export { sealed } from './store/sealed-store.ts'
export { storeCallbacks } from './store/store-callbacks.ts'
