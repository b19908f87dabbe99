export type { ConnectOptions } from './client/bound-options.ts'
export type { ClientHandshake } from './client/client-outcome.ts'
export {
  ClientSessions,
  type ClientSessionsOptions,
  type ClientSessionsStats,
} from './client/client-sessions.ts'
export type { Dispatcher, DispatcherOptions } from './client/fetch-dispatcher.ts'
export type { UndiciConnector, UndiciOptions, UndiciTarget } from './client/undici-connector.ts'
export type { ClientHello, ClientHelloPskIdentity } from './codec/client-hello.ts'
export type {
  ClientCapabilities,
  ClientOffer,
  ClientRefusal,
  ServerHello,
  ServerHelloVerdict,
} from './context/client-handshake.ts'
export type {
  CipherChoice,
  RecordedOutcome,
  Renegotiation,
  ServerHelloParameters,
  SslConnectionOptions,
} from './context/ssl-connection.ts'
export { SslConnection } from './context/ssl-connection.ts'
export type { SessionCacheStats } from './context/ssl-context.ts'
export type { IssuedTicket, NegotiatedSession, ReceivedTicket, TicketMaterial } from './context/tickets.ts'
export {
  ArgumentError,
  ClientSetupError,
  ServerSetupError,
  SessionCacheError,
  SessionDerError,
  SessionRangeError,
  SessionStateError,
  SessionStoreError,
  type SetupProblem,
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
export type { Awaitable } from './session/awaitable.ts'
export type { ClientReason } from './session/client-reasons.ts'
export type {
  CallbackName,
  GenerateSessionId,
  GetSessionCallback,
  NewSessionCallback,
  NotResumableCallback,
  RemovalReason,
  RemoveSessionCallback,
  SessionConnection,
  SessionStats,
  SslContextEvent,
  SslContextListener,
  SslContextObserver,
  SslContextPorts,
} from './session/contracts.ts'
export type { HandshakeCounts, HandshakeMessage, Outcome, OutcomeCounts } from './session/handshakes.ts'
export type { Examination, PskIdentity, ResumptionOffer, TicketOffer, TicketStatus } from './session/offer.ts'
export type {
  EdgeReason,
  HandshakeReason,
  NotKeptReason,
  RefusalReason,
  SessionSource,
} from './session/reasons.ts'
export { SessionCacheMode } from './session/session-cache-mode.ts'
export type { SessionStore, StoredMark, StoreEntry } from './session/session-store.ts'
export type { AlertLevel } from './session/ssl-constants.ts'
export { Alert, SslOption, VerifyMode } from './session/ssl-constants.ts'
export { SslSession } from './session/ssl-session.ts'
export type { Refusal, Resumption, ResumptionVerdict } from './session/verdict.ts'
export { SslContext, type SslContextOptions } from './ssl-context.ts'
export type { BreakerEvent, BreakerState } from './store/circuit-breaker.ts'
export { type GuardedStore, type GuardOptions, type GuardStats, guarded } from './store/guarded-store.ts'
export { keyFile } from './store/key-file.ts'
export { KeyRing, type KeyRingOptions, type SealingKey } from './store/key-ring.ts'
export { MemoryStore, type MemoryStoreOptions } from './store/memory-store.ts'
export {
  type RevocableSession,
  type RevocationObjection,
  type RevocationStats,
  Revocations,
  type RevocationsOptions,
  type RevokeOptions,
} from './store/revocations.ts'
export { type SealedOptions, sealed } from './store/sealed-store.ts'
export {
  type CallbackStore,
  type StoreCallbacks,
  type StoreCallbacksOptions,
  storeCallbacks,
} from './store/store-callbacks.ts'
export type {
  CallCounts,
  CallKind,
  NamedStoreEvent,
  StoreCall,
  StoreEvent,
  StoreOperation,
} from './store/store-calls.ts'
