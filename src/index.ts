import { type SslContextOptions as ModelOptions, SslContextModel } from './context/ssl-context.ts'
import { nodeCrypto } from './crypto.ts'
import { observer } from './observability/channels.ts'
import type { SslContextPorts } from './session/contracts.ts'

/** The context's settings, and the ports that a test may want to replace. */
export interface SslContextOptions extends ModelOptions, Partial<SslContextPorts> {}

/** A call of the generator costs as much for one id as for hundreds. No byte is given out twice, nor kept once it was. */
const pool = new Uint8Array(8192)
let poolOffset: number = pool.length

function pooledRandomBytes(length: number): Uint8Array {
  if (length > pool.length) return nodeCrypto().randomFillSync(new Uint8Array(length))
  if (poolOffset + length > pool.length) {
    nodeCrypto().randomFillSync(pool)
    poolOffset = 0
  }
  const bytes = pool.slice(poolOffset, poolOffset + length)
  pool.fill(0, poolOffset, poolOffset + length)
  poolOffset += length
  return bytes
}

const ports: SslContextPorts = {
  now: Date.now,
  randomBytes: pooledRandomBytes,
  sha256: (bytes) => new Uint8Array(nodeCrypto().createHash('sha256').update(bytes).digest()),
  observer,
}

/**
 * {@link SslContextModel} with the system's clock, `node:crypto`'s random bytes and SHA-256, whose events are published on the
 * channels `sslctx:*` of `node:diagnostics_channel` and as `DEBUG=sslctx:*`.
 */
export class SslContext extends SslContextModel {
  constructor(options: SslContextOptions = {}) {
    super({ ...ports, ...options }, options)
  }
}

export type { ConnectOptions } from './client/bound-options.ts'
export type { ClientHandshake, ClientReason } from './client/client-reason.ts'
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
export type { SessionCacheStats, SslContextModel } from './context/ssl-context.ts'
export type { HandshakeOutcome, IssuedTicket, ReceivedTicket, TicketMaterial } from './context/tickets.ts'
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
export type { BreakerEvent, BreakerState } from './store/circuit-breaker.ts'
export { type GuardedStore, type GuardOptions, type GuardStats, guarded } from './store/guarded-store.ts'
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
