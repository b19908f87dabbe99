import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import { metrics } from '@opentelemetry/api'
import { Redis } from 'ioredis'
import * as promClient from 'prom-client'
import { createClient, createCluster, createSentinel } from 'redis'
import * as main from '../../../src/index.ts'
import * as model from '../../../src/model.ts'
import { openTelemetryMetrics } from '../../../src/observability/opentelemetry.ts'
import { prometheusMetrics } from '../../../src/observability/prometheus.ts'
import { statusHandler } from '../../../src/observability/status-handler.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { memcachedStore } from '../../../src/store/memcached-store.ts'
import * as redis from '../../../src/store/redis-store.ts'
import { ManualClock, storeConformance } from '../../../src/testing/index.ts'
import { V2 } from '../../tools/session-fields.ts'
import { lmdbEnvironment, lmdbFolder, openLmdbStore } from './engines.ts'
import {
  ANYTHING,
  BITS,
  BYTES,
  CALLBACK,
  COUNT,
  FLAG,
  type JunkKind,
  LIST,
  MOMENT,
  NOTHING_ELSE,
  NUMBER,
  OPTIONAL,
  OPTIONAL_BITS,
  OPTIONAL_BYTES,
  OPTIONAL_CALLBACK,
  OPTIONAL_COUNT,
  OPTIONAL_FLAG,
  OPTIONAL_MOMENT,
  OPTIONAL_TEXT,
  OPTIONS,
  TEXT,
} from './junk.ts'

/** As in JavaScript, where no type stands in the way. */
// biome-ignore lint/suspicious/noExplicitAny: that is the point
type Anything = any

/** One argument: what is good, which junk is good as well, and, when it is an object, the same of each of its parts. */
export interface Argument {
  readonly good: unknown
  readonly takes: readonly JunkKind[]
  readonly parts?: Readonly<Record<string, readonly JunkKind[]>>
  /** Parts that nobody knows are passed on, to Node or to the owner. */
  readonly isOpen?: boolean
}

/** One function, with arguments that are good. */
export interface PublicCall {
  readonly call: (...values: Anything[]) => unknown
  readonly arguments: readonly Argument[]
}

/** Why there is nothing to be checked. */
type Exemption = 'takes nothing' | 'an error: it is caught, not made' | 'a constant'

export type PublicCalls = Readonly<Record<string, PublicCall | Exemption>>

const one = (good: unknown, takes: readonly JunkKind[]): Argument => ({ good, takes })
const parts = (
  known: Readonly<Record<string, readonly JunkKind[]>>,
  good: object = {},
  takes: readonly JunkKind[] = OPTIONS,
): Argument => ({ good, takes, parts: known })
const call = (run: (...values: Anything[]) => unknown, ...given: readonly Argument[]): PublicCall => ({
  call: run,
  arguments: given,
})

const SECRET = randomBytes(32)
const ring = new main.KeyRing([SECRET])
const newContext = (): main.SslContext => new main.SslContext()
const context = newContext()
const session = (): main.SslSession => main.SslSession.fromDer(V2)
const revocations = new main.Revocations(new main.MemoryStore(), ring)
const guard = main.guarded(new main.MemoryStore())

const make = (made: Anything, ...given: readonly Argument[]): PublicCall =>
  call((...values) => new made(...values), ...given)

const key = one(new Uint8Array(32), BYTES)
const entries = one([{ key: new Uint8Array(32), value: new Uint8Array(9), expiresAtMs: 2e12 }], LIST)
const marks = one([{ mark: new Uint8Array(9), expiresAtMs: 2e12 }], LIST)

/** The seven calls of a store. */
function storeCalls(name: string, open: () => SessionStore): PublicCalls {
  const on = (method: keyof SessionStore, ...given: readonly Argument[]): PublicCall =>
    call(
      (...values) => {
        const store = open()
        return Reflect.apply(store[method] as Anything, store, values)
      },
      ...given,
    )
  return {
    [`${name}.get`]: on('get', key),
    [`${name}.set`]: on('set', entries),
    [`${name}.take`]: on('take', key),
    [`${name}.delete`]: on('delete', key),
    [`${name}.addMarks`]: on('addMarks', marks),
    [`${name}.getMarks`]: 'takes nothing',
    [`${name}.close`]: 'takes nothing',
  }
}

/** A method of a fresh connection, in the phase in which it may be called. */
function connected(
  method: keyof model.SslConnection,
  prepare: (connection: model.SslConnection) => unknown,
  ...given: readonly Argument[]
): PublicCall {
  return call(
    (...values) => {
      const connection = newContext().newConnection()
      prepare(connection)
      return Reflect.apply(connection[method] as Anything, connection, values)
    },
    ...given,
  )
}

const OFFER = { protocolVersion: 0x0303, sessionId: new Uint8Array(0) }
const before = (): void => undefined
const accepting = (one: model.SslConnection): void => one.accept()
const deciding = (one: model.SslConnection): void => {
  one.accept()
  void one.resumeSession(OFFER)
}
const greeting = (one: model.SslConnection): void => one.connect()
const hearing = (one: model.SslConnection): void => {
  one.connect()
  one.clientHello({ minVersion: 0x0303, maxVersion: 0x0303 })
}
const established = (one: model.SslConnection): void => {
  deciding(one)
  one.serverHello()
  one.finishHandshake()
}
const negotiated: Argument = parts({
  cipherSuite: COUNT,
  masterKey: BYTES,
  peerCertificate: BYTES,
  peerRawPublicKey: BYTES,
  verifyResult: BITS,
  hostname: BYTES,
  alpnSelected: BYTES,
  kexGroup: COUNT,
  pskIdentity: BYTES,
  pskIdentityHint: BYTES,
  srpUsername: BYTES,
  ticketAppData: BYTES,
  maxFragmentLengthMode: COUNT,
})

function methodOf<T extends object>(
  object: () => T,
  method: keyof T,
  ...given: readonly Argument[]
): PublicCall {
  return call(
    (...values) => {
      const one = object()
      return Reflect.apply(one[method] as Anything, one, values)
    },
    ...given,
  )
}

const ofContext = (method: keyof main.SslContext, ...given: readonly Argument[]): PublicCall =>
  methodOf(newContext, method, ...given)
const ofSession = (method: keyof main.SslSession, ...given: readonly Argument[]): PublicCall =>
  methodOf(session, method, ...given)
const newRing = (): main.KeyRing => new main.KeyRing([SECRET])

const alert = [one('warning', []), one(0, BITS)] as const
const optionalMode = { mode: OPTIONAL_BITS }
const SECONDS = COUNT

const contextOptions = {
  sessionCacheMode: OPTIONAL_BITS,
  sessionCacheSize: [...OPTIONAL_COUNT, 'negative'],
  sessionTimeout: OPTIONAL_COUNT,
  sessionIdContext: [...OPTIONAL_BYTES, ...TEXT],
  generateSessionId: OPTIONAL_CALLBACK,
  newSessionCallback: OPTIONAL_CALLBACK,
  getSessionCallback: OPTIONAL_CALLBACK,
  removeSessionCallback: OPTIONAL_CALLBACK,
  notResumableCallback: OPTIONAL_CALLBACK,
  verifyMode: optionalMode.mode,
  options: OPTIONAL_BITS,
  numTickets: OPTIONAL_COUNT,
  maxEarlyData: OPTIONAL_COUNT,
  clearingStep: OPTIONAL_COUNT,
  now: OPTIONAL_CALLBACK,
  randomBytes: OPTIONAL_CALLBACK,
  sha256: OPTIONAL_CALLBACK,
  observer: ['undefined', 'empty object', 'empty array', 'array of junk', 'bytes'],
} as const

const contextCalls: PublicCalls = {
  SslContext: make(main.SslContext, parts(contextOptions)),
  'SslContext.setSessionCacheMode': ofContext('setSessionCacheMode', one(2, BITS)),
  'SslContext.setSessionCacheSize': ofContext('setSessionCacheSize', one(2, [...COUNT, 'negative'])),
  'SslContext.setClearingStep': ofContext('setClearingStep', one(2, COUNT)),
  'SslContext.setSessionTimeout': ofContext('setSessionTimeout', one(2, COUNT)),
  'SslContext.setSessionIdContext': ofContext('setSessionIdContext', one('shop', [...BYTES, ...TEXT])),
  'SslContext.setGenerateSessionId': ofContext('setGenerateSessionId', one(undefined, OPTIONAL_CALLBACK)),
  'SslContext.setNewSessionCallback': ofContext('setNewSessionCallback', one(undefined, OPTIONAL_CALLBACK)),
  'SslContext.setGetSessionCallback': ofContext('setGetSessionCallback', one(undefined, OPTIONAL_CALLBACK)),
  'SslContext.setRemoveSessionCallback': ofContext(
    'setRemoveSessionCallback',
    one(undefined, OPTIONAL_CALLBACK),
  ),
  'SslContext.setNotResumableCallback': ofContext(
    'setNotResumableCallback',
    one(undefined, OPTIONAL_CALLBACK),
  ),
  'SslContext.setVerifyMode': ofContext('setVerifyMode', one(1, BITS)),
  'SslContext.setOptions': ofContext('setOptions', one(1, BITS)),
  'SslContext.clearOptions': ofContext('clearOptions', one(1, BITS)),
  'SslContext.setNumTickets': ofContext('setNumTickets', one(1, COUNT)),
  'SslContext.setMaxEarlyData': ofContext('setMaxEarlyData', one(1, COUNT)),
  'SslContext.addSession': ofContext('addSession', one(session(), NOTHING_ELSE)),
  'SslContext.removeSession': ofContext('removeSession', one(session(), NOTHING_ELSE)),
  'SslContext.flushSessions': ofContext('flushSessions', one(1, OPTIONAL_COUNT)),
  'SslContext.newConnection': ofContext(
    'newConnection',
    parts({
      appData: ANYTHING,
      sessionIdContext: OPTIONAL_BYTES,
      verifyMode: OPTIONAL_BITS,
      generateSessionId: OPTIONAL_CALLBACK,
      singleUse: OPTIONAL_FLAG,
    }),
  ),
  'SslContext.subscribe': ofContext('subscribe', one(before, CALLBACK)),
  'SslContext.adoptConnection': ofContext('adoptConnection', one(newContext().newConnection(), NOTHING_ELSE)),
  ...Object.fromEntries(
    [
      'getSessionCacheMode',
      'getSessionCacheSize',
      'getSessionTimeout',
      'getSessionIdContext',
      'getGenerateSessionId',
      'getGetSessionCallback',
      'getVerifyMode',
      'getOptions',
      'getNumTickets',
      'getMaxEarlyData',
      'sessions',
      'now',
      'free',
    ].map((name) => [`SslContext.${name}`, 'takes nothing' as const]),
  ),
}

const connectionCalls: PublicCalls = {
  SslConnection: make(model.SslConnection, one(undefined, NOTHING_ELSE), parts({})),
  'SslConnection::switchContext': call(
    (...values) => Reflect.apply(model.SslConnection.switchContext, model.SslConnection, values),
    one(newContext().newConnection(), NOTHING_ELSE),
    one(undefined, NOTHING_ELSE),
  ),
  'SslConnection.hasMatchingSessionId': connected(
    'hasMatchingSessionId',
    before,
    one(new Uint8Array(32), BYTES),
  ),
  'SslConnection.setSession': connected('setSession', before, one(session(), OPTIONAL)),
  'SslConnection.setSessionIdContext': connected(
    'setSessionIdContext',
    before,
    one(new Uint8Array(1), BYTES),
  ),
  'SslConnection.setVerifyMode': connected('setVerifyMode', before, one(1, BITS)),
  'SslConnection.setOptions': connected('setOptions', before, one(1, BITS)),
  'SslConnection.clearOptions': connected('clearOptions', before, one(1, BITS)),
  'SslConnection.setNumTickets': connected('setNumTickets', before, one(1, COUNT)),
  'SslConnection.setMaxEarlyData': connected('setMaxEarlyData', before, one(1, COUNT)),
  'SslConnection.setGenerateSessionId': connected(
    'setGenerateSessionId',
    before,
    one(before, OPTIONAL_CALLBACK),
  ),
  'SslConnection.setQuietShutdown': connected('setQuietShutdown', before, one(true, FLAG)),
  'SslConnection.accept': connected('accept', before, one('full', OPTIONAL)),
  'SslConnection.connect': connected('connect', before, one('abbreviated', OPTIONAL)),
  'SslConnection.resumeSession': connected('resumeSession', accepting, {
    good: OFFER,
    takes: NOTHING_ELSE,
    isOpen: true,
    parts: {
      protocolVersion: BITS,
      sessionId: BYTES,
      ticket: OPTIONAL,
      pskIdentities: [...OPTIONAL, ...LIST],
      cipherSuites: [...OPTIONAL, ...LIST, 'array of junk'],
      examine: OPTIONAL_CALLBACK,
    },
  }),
  'SslConnection.resumeSession: a ticket': connected('resumeSession', accepting, {
    good: { ...OFFER, ticket: { status: 'empty' } },
    takes: NOTHING_ELSE,
    isOpen: true,
  }),
  'SslConnection.resumeSession: the ticket itself': call(
    (ticket) => {
      const connection = newContext().newConnection()
      connection.accept()
      return connection.resumeSession({ ...OFFER, ticket })
    },
    {
      good: { status: 'ignored' },
      takes: OPTIONAL,
      isOpen: true,
      parts: { status: NOTHING_ELSE, session: OPTIONAL },
    },
  ),
  'SslConnection.resumeSession: a PSK identity': call(
    (identity) => {
      const connection = newContext().newConnection()
      connection.accept()
      return connection.resumeSession({
        protocolVersion: 0x0304,
        sessionId: new Uint8Array(0),
        pskIdentities: [identity],
      })
    },
    {
      good: { identity: Uint8Array.of(1) },
      takes: NOTHING_ELSE,
      isOpen: true,
      parts: {
        identity: BYTES,
        obfuscatedTicketAge: OPTIONAL_BITS,
        ticket: OPTIONAL,
        externalPsk: OPTIONAL,
        verifyBinder: OPTIONAL_CALLBACK,
      },
    },
  ),
  'SslConnection.recordOutcome': connected('recordOutcome', accepting, {
    good: { protocolVersion: 0x0303 },
    takes: NOTHING_ELSE,
    isOpen: true,
    parts: { protocolVersion: BITS, resumed: OPTIONAL, made: OPTIONAL },
  }),
  'SslConnection.recordOutcome: what was resumed': call(
    (resumed) => {
      const connection = newContext().newConnection()
      connection.accept()
      return connection.recordOutcome({ protocolVersion: 0x0303, resumed })
    },
    {
      good: { isTicket: false },
      takes: OPTIONAL,
      isOpen: true,
      parts: { session: OPTIONAL, isTicket: FLAG },
    },
  ),
  'SslConnection.serverHello': connected('serverHello', deciding, parts({ isForwardSecure: FLAG })),
  'SslConnection.clientHello': connected(
    'clientHello',
    greeting,
    parts(
      { minVersion: COUNT, maxVersion: COUNT, helloRetryCipherSuite: COUNT },
      { minVersion: 0x0303, maxVersion: 0x0304 },
      NOTHING_ELSE,
    ),
  ),
  'SslConnection.processServerHello': connected(
    'processServerHello',
    hearing,
    parts(
      {
        protocolVersion: COUNT,
        sessionId: BYTES,
        cipherSuite: COUNT,
        pskSelected: FLAG,
        extendedMasterSecret: FLAG,
      },
      { protocolVersion: 0x0303, sessionId: new Uint8Array(32), cipherSuite: 1 },
      NOTHING_ELSE,
    ),
  ),
  'SslConnection.adoptSession': connected('adoptSession', deciding, one(session(), NOTHING_ELSE)),
  'SslConnection.finishHandshake': connected('finishHandshake', deciding, negotiated),
  'SslConnection.issueTicket': connected(
    'issueTicket',
    deciding,
    parts({ ...negotiated.parts, ticketAgeAdd: COUNT }),
  ),
  'SslConnection.adoptTicket': connected('adoptTicket', established, one(session(), NOTHING_ELSE)),
  'SslConnection.finishPostHandshakeAuth': connected('finishPostHandshakeAuth', established, {
    ...negotiated,
    takes: ['empty object'],
  }),
  'SslConnection.receiveTicket': connected(
    'receiveTicket',
    deciding,
    parts(
      {
        lifetimeHintSec: COUNT,
        ticket: BYTES,
        ticketAgeAdd: COUNT,
        masterKey: BYTES,
        maxEarlyData: COUNT,
      },
      { lifetimeHintSec: 1, ticket: Uint8Array.of(1) },
      NOTHING_ELSE,
    ),
  ),
  'SslConnection.sendAlert': connected('sendAlert', before, ...alert),
  'SslConnection.receiveAlert': connected('receiveAlert', before, ...alert),
  'SslConnection.setShutdown': connected('setShutdown', before, one(true, FLAG), one(true, FLAG)),
  ...Object.fromEntries(
    [
      'abandonLookup',
      'helloRetryRequest',
      'receiveHelloRetryRequest',
      'newSessionTicket',
      'unexpectedEof',
      'shutdown',
      'clear',
      'free',
    ].map((name) => [`SslConnection.${name}`, 'takes nothing' as const]),
  ),
}

const sessionCalls: PublicCalls = {
  SslSession: make(main.SslSession, one(1, OPTIONAL_MOMENT)),
  'SslSession::fromDer': call(
    (...values) => Reflect.apply(main.SslSession.fromDer, main.SslSession, values),
    one(V2, NOTHING_ELSE),
    one(1, OPTIONAL_MOMENT),
  ),
  'SslSession::fromPem': call(
    (...values) => Reflect.apply(main.SslSession.fromPem, main.SslSession, values),
    one(session().toPem(), NOTHING_ELSE),
    one(1, OPTIONAL_MOMENT),
  ),
  'SslSession.toDer': ofSession('toDer', one(new Uint8Array(1), OPTIONAL_BYTES)),
  'SslSession.toPem': 'takes nothing',
  'SslSession.toJSON': 'takes nothing',
  'SslSession.dup': 'takes nothing',
  'SslSession.setTime': ofSession('setTime', one(1, SECONDS)),
  'SslSession.setTimeout': ofSession('setTimeout', one(1, SECONDS)),
  'SslSession.setSessionIdContext': ofSession('setSessionIdContext', one(new Uint8Array(1), BYTES)),
  'SslSession.setHostname': ofSession('setHostname', one(new Uint8Array(1), OPTIONAL_BYTES)),
  'SslSession.setTicketAppData': ofSession('setTicketAppData', one(new Uint8Array(1), BYTES)),
}

const storeCallsOfMain: PublicCalls = {
  MemoryStore: make(main.MemoryStore, parts({ maxSessions: OPTIONAL_COUNT, now: OPTIONAL_CALLBACK })),
  ...storeCalls('MemoryStore', () => new main.MemoryStore()),
  'MemoryStore.watchMarks': methodOf(() => new main.MemoryStore(), 'watchMarks', one(before, CALLBACK)),
  guarded: call(
    main.guarded,
    one(new main.MemoryStore(), NOTHING_ELSE),
    parts({
      name: OPTIONAL_TEXT,
      deadlineMs: OPTIONAL_COUNT,
      breaker: OPTIONS,
      maxConcurrentWrites: OPTIONAL_COUNT,
      maxQueuedSessions: OPTIONAL_COUNT,
      now: OPTIONAL_CALLBACK,
      onEvent: OPTIONAL_CALLBACK,
    }),
  ),
  'guarded: the breaker': call(
    (breaker) => main.guarded(new main.MemoryStore(), { breaker }),
    parts({ failures: OPTIONAL_COUNT, retryAfterMs: OPTIONAL_COUNT }),
  ),
  ...storeCalls('guarded()', () => main.guarded(new main.MemoryStore())),
  sealed: call(
    main.sealed,
    one(new main.MemoryStore(), NOTHING_ELSE),
    one(ring, NOTHING_ELSE),
    parts({ now: OPTIONAL_CALLBACK }),
  ),
  ...storeCalls('sealed()', () => main.sealed(new main.MemoryStore(), ring)),
  storeCallbacks: call(
    main.storeCallbacks,
    one(new main.MemoryStore(), NOTHING_ELSE),
    parts({ plaintext: OPTIONAL_FLAG }),
  ),
  KeyRing: make(
    main.KeyRing,
    one([SECRET], NOTHING_ELSE),
    parts({ periodMs: ['undefined'], openMs: ['undefined'] }),
  ),
  'KeyRing.replaceSecrets': methodOf(newRing, 'replaceSecrets', one([SECRET], NOTHING_ELSE)),
  'KeyRing.derive': methodOf(newRing, 'derive', one('purpose', ['text'])),
  'KeyRing.rotate': methodOf(newRing, 'rotate', one(1, MOMENT)),
  'KeyRing.sealingKey': methodOf(newRing, 'sealingKey', one(1, MOMENT)),
  'KeyRing.openingKey': methodOf(newRing, 'openingKey', one(new Uint8Array(16), BYTES), one(1, MOMENT)),
  'KeyRing.sessionNames': methodOf(newRing, 'sessionNames', one(new Uint8Array(1), BYTES)),
  'KeyRing.signMark': methodOf(newRing, 'signMark', one(new Uint8Array(1), BYTES)),
  'KeyRing.markMac': methodOf(
    newRing,
    'markMac',
    one(new Uint8Array(4), BYTES),
    one(new Uint8Array(1), BYTES),
  ),
  Revocations: call(
    (...values) => {
      const made = Reflect.construct(main.Revocations, values) as main.Revocations
      return made.close()
    },
    one(new main.MemoryStore(), OPTIONAL),
    one(ring, NOTHING_ELSE),
    parts({ maxStaleMs: OPTIONAL, now: OPTIONAL_CALLBACK, onError: OPTIONAL_CALLBACK }),
  ),
  'Revocations.revokeClient': methodOf(
    () => revocations,
    'revokeClient',
    one(new Uint8Array(32), NOTHING_ELSE),
    parts({ madeBeforeMs: OPTIONAL_COUNT }),
  ),
  'Revocations.revokeServerName': methodOf(
    () => revocations,
    'revokeServerName',
    one('shop.example', OPTIONAL_TEXT),
    parts({ madeBeforeMs: OPTIONAL_COUNT }),
  ),
  'Revocations.revokeAll': methodOf(() => revocations, 'revokeAll', parts({ madeBeforeMs: OPTIONAL_COUNT })),
  'Revocations.objectionTo': methodOf(
    () => revocations,
    'objectionTo',
    {
      good: { peerCertificate: undefined, hostname: 'shop.example' },
      takes: ['empty object', 'empty array', 'array of junk', 'bytes'],
      isOpen: true,
      parts: { peerCertificate: OPTIONAL_BYTES, hostname: OPTIONAL_TEXT },
    },
    one(1, NUMBER),
  ),
  'Revocations.refresh': 'takes nothing',
  'Revocations.close': 'takes nothing',
}

const SERVER = Symbol.for('the server')
/** Of a version in which each line of Node can wait for a store. */
const makeServer = (): tls.Server =>
  tls.createServer({ maxVersion: 'TLSv1.2', ...main.serverOptions(context) })
const milliseconds = OPTIONAL_COUNT

const serverCalls: PublicCalls = {
  attachServer: call(
    (server, ...values) => {
      const given = server === SERVER ? makeServer() : server
      const attached = Reflect.apply(main.attachServer, undefined, [given, ...values])
      attached[Symbol.dispose]()
    },
    one(SERVER, NOTHING_ELSE),
    one(new main.SslContext({ sessionIdContext: 'shop' }), NOTHING_ELSE),
    parts({
      name: ['text', 'undefined'],
      lookupTimeoutMs: milliseconds,
      readAheadMs: milliseconds,
      maxAuthenticationAgeSec: OPTIONAL_COUNT,
      authenticatedAfterMs: OPTIONAL_COUNT,
      singleUse: OPTIONAL_FLAG,
      waitForStore: OPTIONAL_FLAG,
      bindSessions: OPTIONAL_FLAG,
      requireExtendedMasterSecret: OPTIONAL_FLAG,
      shouldStore: OPTIONAL_CALLBACK,
      tickets: OPTIONAL,
      policy: OPTIONAL_CALLBACK,
      onHandshake: OPTIONAL_CALLBACK,
      revocations: OPTIONAL,
      tolerate: [...OPTIONAL, ...LIST],
    }),
  ),
  serverOptions: call(
    main.serverOptions,
    one(new main.SslContext({ sessionIdContext: 'shop' }), NOTHING_ELSE),
    parts({ secureOptions: OPTIONAL_COUNT }),
  ),
}

const clients = new main.ClientSessions()
/** Options that go on to Node or undici, which take what they take; the library's own of them are its to check. */
const passedOn = (
  known: Readonly<Record<string, readonly JunkKind[]>> = {},
  takes: readonly JunkKind[] = OPTIONS,
): Argument => ({ ...parts(known, {}, takes), isOpen: true })

const clientCalls: PublicCalls = {
  ClientSessions: make(
    main.ClientSessions,
    parts({
      maxOrigins: OPTIONAL_COUNT,
      ticketsPerOrigin: OPTIONAL_COUNT,
      maxBytes: OPTIONAL,
      reuse: OPTIONAL_FLAG,
      store: OPTIONAL,
      secrets: OPTIONAL,
      deadlineMs: OPTIONAL_COUNT,
      onHandshake: OPTIONAL_CALLBACK,
    }),
  ),
  'ClientSessions.connect': call(
    (...values) => {
      const socket: tls.TLSSocket = Reflect.apply(clients.connect, clients, values)
      socket.on('error', () => undefined).destroy()
    },
    // Node says itself what is missing in it.
    { ...passedOn({}, ['empty object']), good: { host: '127.0.0.1', port: 443 } },
    one(undefined, OPTIONAL_CALLBACK),
  ),
  'ClientSessions.agent': methodOf(() => clients, 'agent', passedOn()),
  'ClientSessions.http2': methodOf(() => clients, 'http2', passedOn()),
  'ClientSessions.undici': methodOf(
    () => clients,
    'undici',
    passedOn({ allowH2: OPTIONAL_FLAG, socketPath: OPTIONAL_TEXT, timeout: OPTIONAL_COUNT }),
  ),
  'ClientSessions.dispatcher': methodOf(() => clients, 'dispatcher', passedOn({ connect: OPTIONS })),
  'ClientSessions.clear': 'takes nothing',
  'ClientSessions.close': 'takes nothing',
}

const errorsOf = (module: object): PublicCalls =>
  Object.fromEntries(
    Object.keys(module)
      .filter((name) => name.endsWith('Error'))
      .map((name) => [name, 'an error: it is caught, not made' as const]),
  )

const sessions = new main.ServerSessions({
  name: 'shop',
  secrets: [SECRET],
  store: new main.MemoryStore(),
})
const ofSessions = (method: keyof main.ServerSessions, ...given: readonly Argument[]): PublicCall =>
  methodOf(() => sessions, method, ...given)
const revoking = parts({ madeBeforeMs: OPTIONAL_COUNT })

const sessionsCalls: PublicCalls = {
  ServerSessions: make(
    main.ServerSessions,
    parts(
      {
        name: ['text'],
        secrets: NOTHING_ELSE,
        store: OPTIONAL,
        tickets: OPTIONAL,
        timeoutSec: OPTIONAL_COUNT,
        maxAuthenticationAgeSec: OPTIONAL_COUNT,
        authenticatedAfterMs: OPTIONAL_COUNT,
        singleUse: OPTIONAL_FLAG,
        waitForStore: OPTIONAL_FLAG,
        policy: OPTIONAL_CALLBACK,
        onHandshake: OPTIONAL_CALLBACK,
        guard: OPTIONAL,
        revocations: OPTIONAL,
        plaintext: OPTIONAL,
      },
      { name: 'shop' },
      NOTHING_ELSE,
    ),
  ),
  'ServerSessions.serverOptions': ofSessions('serverOptions', parts({ secureOptions: OPTIONAL_COUNT })),
  'ServerSessions.attach': call(
    (server, ...values) => {
      const given = server === SERVER ? tls.createServer({ ...sessions.serverOptions() }) : server
      Reflect.apply(sessions.attach, sessions, [given, ...values])[Symbol.dispose]()
    },
    one(SERVER, NOTHING_ELSE),
    parts({ onHandshake: OPTIONAL_CALLBACK, lookupTimeoutMs: OPTIONAL_COUNT }),
  ),
  'ServerSessions.replaceSecrets': ofSessions('replaceSecrets', one([SECRET], NOTHING_ELSE)),
  'ServerSessions.revokeClient': ofSessions('revokeClient', one(new Uint8Array(32), NOTHING_ELSE), revoking),
  'ServerSessions.revokeServerName': ofSessions(
    'revokeServerName',
    one('shop.example', OPTIONAL_TEXT),
    revoking,
  ),
  'ServerSessions.revokeAll': ofSessions('revokeAll', revoking),
  'ServerSessions.close': call(
    (...values) => {
      const made = new main.ServerSessions({ name: 'shop' })
      return Reflect.apply(made.close, made, values)
    },
    parts({ deadlineMs: OPTIONAL_COUNT }),
  ),
  keyFile: call(main.keyFile, one(join(lmdbFolder, 'key'), TEXT.slice(0, 1))),
}

const ioredis = new Redis({ lazyConnect: true })
const subscriber = new Redis({ lazyConnect: true })
const subscribers = { subscriber: OPTIONAL }
const connection: redis.RedisConnection = { send: () => Promise.resolve(null) }

const figures = { contexts: OPTIONS, stores: OPTIONS, attachments: OPTIONS }

/** By the entry of package.json, and the name of the export; `.` before a method, `::` before a static one. */
export const PUBLIC_CALLS: Readonly<Record<string, PublicCalls>> = {
  '.': {
    ...contextCalls,
    ...sessionCalls,
    ...storeCallsOfMain,
    ...serverCalls,
    ...sessionsCalls,
    ...clientCalls,
    ...errorsOf(main),
    SessionCacheMode: 'a constant',
  },
  './model': {
    ...contextCalls,
    ...connectionCalls,
    ...sessionCalls,
    ...errorsOf(model),
    SessionCacheMode: 'a constant',
    Alert: 'a constant',
    SslOption: 'a constant',
    VerifyMode: 'a constant',
  },
  './redis': {
    redisStore: call(redis.redisStore, one(connection, NOTHING_ELSE), parts({ prefix: OPTIONAL_TEXT })),
    ...storeCalls('redisStore()', () => redis.redisStore(connection)),
    fromIoredis: call(redis.fromIoredis, one(ioredis, NOTHING_ELSE), parts(subscribers, { subscriber })),
    fromIovalkey: call(redis.fromIovalkey, one(ioredis, NOTHING_ELSE), parts(subscribers)),
    fromNodeRedis: call(redis.fromNodeRedis, one(createClient(), NOTHING_ELSE), parts(subscribers)),
    fromNodeRedisCluster: call(
      redis.fromNodeRedisCluster,
      one(createCluster({ rootNodes: [] }), NOTHING_ELSE),
      parts(subscribers),
    ),
    fromNodeRedisSentinel: call(
      redis.fromNodeRedisSentinel,
      one(
        createSentinel({ name: 'shop', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] }),
        NOTHING_ELSE,
      ),
      parts(subscribers),
    ),
  },
  './memcached': {
    memcachedStore: call(
      memcachedStore,
      parts(
        {
          connect: CALLBACK,
          prefix: OPTIONAL_TEXT,
          maxItemBytes: OPTIONAL,
          answerTimeoutMs: OPTIONAL_COUNT,
        },
        { connect: () => new net.Socket() },
        NOTHING_ELSE,
      ),
    ),
    ...storeCalls('memcachedStore()', () => memcachedStore({ connect: () => new net.Socket().destroy() })),
  },
  './lmdb': {
    lmdbStore: call(
      openLmdbStore,
      one(lmdbEnvironment, NOTHING_ELSE),
      parts({ maxBytes: OPTIONAL_COUNT, now: OPTIONAL_CALLBACK }),
    ),
    ...storeCalls('lmdbStore()', () => openLmdbStore(lmdbEnvironment)),
  },
  './testing': {
    ManualClock: make(ManualClock, one(1, OPTIONAL_MOMENT)),
    'ManualClock.advance': methodOf(() => new ManualClock(), 'advance', one(1, NUMBER)),
    storeConformance: call(
      storeConformance,
      parts(
        { open: CALLBACK, randomBytes: CALLBACK },
        { open: () => new main.MemoryStore(), randomBytes },
        NOTHING_ELSE,
      ),
    ),
  },
  './prometheus': {
    prometheusMetrics: call(
      (client, subject, options) => {
        // One of its own for each call: a name may be in a registry once.
        const registers = options?.registers ?? [new promClient.Registry()]
        prometheusMetrics(client, subject, isObject(options) ? { ...options, registers } : options)()
      },
      one(promClient, NOTHING_ELSE),
      parts(figures),
      parts({ registers: [...LIST, 'undefined', 'null'] }, {}, ['empty object', 'undefined', 'bytes']),
    ),
  },
  './opentelemetry': {
    openTelemetryMetrics: call(
      (...values) => Reflect.apply(openTelemetryMetrics, undefined, values)(),
      one(metrics.getMeter('sslctx'), NOTHING_ELSE),
      parts(figures),
    ),
  },
  './status': {
    statusHandler: call((...values) => Reflect.apply(statusHandler, undefined, values).close(), {
      ...parts(figures, { contexts: { shop: context }, stores: { shop: guard } }),
      takes: ['empty object'],
    }),
    relayStatus: 'takes nothing',
  },
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Nothing of the above may keep the process alive. */
export async function closeAll(): Promise<void> {
  ioredis.disconnect()
  subscriber.disconnect()
  await sessions.close()
  await revocations.close()
  await lmdbEnvironment.close()
}
