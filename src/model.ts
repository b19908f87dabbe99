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
export {
  type CipherChoice,
  type RecordedOutcome,
  type Renegotiation,
  type ServerHelloParameters,
  SslConnection,
  type SslConnectionOptions,
} from './context/ssl-connection.ts'
export type { SessionCacheStats } from './context/ssl-context.ts'
export type { IssuedTicket, NegotiatedSession, ReceivedTicket, TicketMaterial } from './context/tickets.ts'
export {
  ArgumentError,
  SessionDerError,
  SessionRangeError,
  SessionStateError,
  type SetupProblem,
} from './errors.ts'
export type { TicketStats } from './node/judged-tickets.ts'
export type { ServerOptionsSettings } from './node/server-setup.ts'
export type { UnopenedReason } from './node/stateless-ticket.ts'
export type { TicketKeyPeriods, TicketVersion } from './node/ticket-keys.ts'
export type { Answer, Awaitable } from './session/awaitable.ts'
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
export type {
  AttachedMessage,
  HandshakeCounts,
  HandshakeMessage,
  Outcome,
  OutcomeCounts,
} from './session/handshakes.ts'
export type { NotKeptReason } from './session/not-kept-reasons.ts'
export type { Examination, PskIdentity, ResumptionOffer, TicketOffer, TicketStatus } from './session/offer.ts'
export type { EdgeReason, RefusalReason, SessionSource } from './session/reasons.ts'
export { SessionCacheMode } from './session/session-cache-mode.ts'
export { Alert, type AlertLevel, SslOption, VerifyMode } from './session/ssl-constants.ts'
export { SslSession } from './session/ssl-session.ts'
export type { Refusal, Resumption, ResumptionVerdict } from './session/verdict.ts'
export { SslContext, type SslContextOptions } from './ssl-context.ts'
export type { BreakerEvent, BreakerState } from './store/circuit-breaker.ts'
export type { GuardStats } from './store/guarded-store.ts'
export type { SealingKey } from './store/key-ring.ts'
export type { MemoryStoreOptions } from './store/memory-store.ts'
export type { RevocableSession, RevocationObjection, RevocationStats } from './store/revocations.ts'
export type { SealedOptions } from './store/sealed-store.ts'
export type { CallbackStore, StoreCallbacks, StoreCallbacksOptions } from './store/store-callbacks.ts'
export type {
  CallCounts,
  CallKind,
  NamedStoreEvent,
  StoreCall,
  StoreEvent,
  StoreFailure,
  StoreOperation,
} from './store/store-calls.ts'
