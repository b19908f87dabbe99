import { copyBytes, equalBytes } from '../session/bytes.ts'
import { cipherSuiteHash } from '../session/judge-session.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'
import { Alert, SslOption, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { type SslSession, sessionInternals } from '../session/ssl-session.ts'
import type { ConnectionState } from './connection-state.ts'
import { startClientSession } from './new-session.ts'

/** What this client is able to offer. */
export interface ClientCapabilities {
  /** The lowest and highest protocol version that are enabled. */
  readonly minVersion: number
  readonly maxVersion: number
  /** After a HelloRetryRequest: the suite that the server chose. */
  readonly helloRetryCipherSuite?: number
}

/** What the ClientHello is to say about resumption. */
export interface ClientOffer {
  /** legacy_session_id. */
  readonly sessionId: Uint8Array
  /** Body of the session_ticket extension, possibly empty; undefined when the extension is not sent. */
  readonly ticket: Uint8Array | undefined
  /** The one resumption PSK (R10.16). */
  readonly psk: { readonly identity: Uint8Array; readonly obfuscatedTicketAge: number } | undefined
}

/** What a ServerHello says about resumption. */
export interface ServerHello {
  readonly protocolVersion: number
  /** legacy_session_id_echo. */
  readonly sessionId: Uint8Array
  readonly cipherSuite: number
  /** pre_shared_key selects the PSK that was offered (TLS 1.3). */
  readonly pskSelected?: boolean
  /** The extended_master_secret extension is present (TLS 1.2). */
  readonly extendedMasterSecret?: boolean
}

/** Why a client ends the handshake: what the server resumes is not what was offered. */
export type ClientRefusal =
  | 'psk-not-offered'
  | 'session-id-context-mismatch'
  | 'version-mismatch'
  | 'cipher-mismatch'
  | 'extended-master-secret-mismatch'

/** A fatal alert comes with the reason; the model has already accounted for it. */
export type ServerHelloVerdict =
  | { readonly resume: boolean; readonly alert?: never }
  | { readonly resume: false; readonly reason: ClientRefusal; readonly alert: number }

const EMPTY = new Uint8Array(0)
/** 49.7 days. */
const MAX_AGE_SEC = 4_294_967

/** `tls_construct_client_hello`: the session is offered if it is there, enabled and resumable, however old (R11.2). */
export function buildClientOffer(state: ConnectionState, capabilities: ClientCapabilities): ClientOffer {
  if (!state.isHelloRetry) state.protocolVersion = capabilities.maxVersion
  const session = sessionToOffer(state, capabilities)
  const psk = pskOf(state, session, capabilities)
  state.offeredPsk = psk !== undefined
  return { sessionId: legacySessionId(state, session), ticket: ticketOf(state, session), psk }
}

function sessionToOffer(state: ConnectionState, { minVersion, maxVersion }: ClientCapabilities): SslSession {
  const { session } = state
  const isUsable =
    session?.isResumable === true &&
    session.protocolVersion >= minVersion &&
    session.protocolVersion <= maxVersion
  if (session !== undefined && (isUsable || state.isHelloRetry)) return session
  return startClientSession(state)
}

/** RFC 9846 §4.2.2 (RFC 8446 §4.1.2), RFC 8446 §D.4: the id of a TLS 1.2 session, or random bytes that make the handshake look like 1.2. */
function legacySessionId(state: ConnectionState, session: SslSession): Uint8Array {
  if (!state.wantsNewSession && session.protocolVersion !== TLS1_3_VERSION) return session.sessionId
  if (!state.isTls13 || !state.hasOption(SslOption.ENABLE_MIDDLEBOX_COMPAT)) return EMPTY
  if (!state.isHelloRetry) state.legacySessionId = state.context.ports.randomBytes(MAX_ID_LENGTH)
  return state.legacySessionId
}

function ticketOf(state: ConnectionState, session: SslSession): Uint8Array | undefined {
  if (state.hasOption(SslOption.NO_TICKET)) return undefined
  const { ticket } = sessionInternals.content(session)
  if (state.wantsNewSession || session.protocolVersion === TLS1_3_VERSION || ticket === undefined)
    return EMPTY
  return copyBytes(ticket)
}

/** RFC 9846 §4.3.11 (RFC 8446 §4.2.11): `tls_construct_ctos_psk`. */
function pskOf(
  state: ConnectionState,
  session: SslSession,
  { helloRetryCipherSuite }: ClientCapabilities,
): ClientOffer['psk'] {
  const { ticket, ticketAgeAdd, ticketLifetimeHintSec } = sessionInternals.content(session)
  const hash = cipherSuiteHash(session.cipherSuite)
  if (session.protocolVersion !== TLS1_3_VERSION || ticket === undefined || ticket.length === 0)
    return undefined
  if (hash === undefined) return undefined
  if (helloRetryCipherSuite !== undefined && cipherSuiteHash(helloRetryCipherSuite) !== hash) return undefined
  const ageMs = Math.max(0, state.context.ports.now() - sessionInternals.timeMs(session))
  // Rather a second too young than older than the server will find it.
  const ageSec = Math.max(0, Math.floor(ageMs / 1000) - 1)
  // Nor one whose age does not fit into the 32 bits of its milliseconds.
  if (BigInt(ageSec) > ticketLifetimeHintSec || ageSec > MAX_AGE_SEC) return undefined
  return { identity: copyBytes(ticket), obfuscatedTicketAge: (ageSec * 1000 + ticketAgeAdd) % 0x1_0000_0000 }
}

/** `tls_process_server_hello`, R11.4 to R11.6. */
export function processServerHello(
  state: ConnectionState,
  offered: SslSession,
  hello: ServerHello,
): ServerHelloVerdict {
  const hadExtendedMasterSecret = state.extendedMasterSecret
  state.protocolVersion = hello.protocolVersion
  state.isVersionNegotiated = true
  state.extendedMasterSecret = !state.isTls13 && hello.extendedMasterSecret === true
  if (state.isTls13 && hello.pskSelected === true && !state.offeredPsk)
    return fail(state, 'psk-not-offered', Alert.UNSUPPORTED_EXTENSION)
  state.hit = isAccepted(state, offered, hello)
  const refusal = state.hit ? checkResumed(state, offered, hello) : acceptNewSession(state, offered, hello)
  if (refusal !== undefined) return refusal
  if (hadExtendedMasterSecret && !state.extendedMasterSecret)
    return fail(state, 'extended-master-secret-mismatch', Alert.HANDSHAKE_FAILURE)
  return { resume: state.hit }
}

function isAccepted(state: ConnectionState, offered: SslSession, hello: ServerHello): boolean {
  if (state.isTls13) return hello.pskSelected === true
  return (
    hello.sessionId.length > 0 && equalBytes(hello.sessionId, sessionInternals.content(offered).sessionId)
  )
}

/** R11.6: what was offered and refused counts as a miss. */
function acceptNewSession(state: ConnectionState, offered: SslSession, hello: ServerHello): undefined {
  let session = offered
  if (sessionInternals.content(offered).sessionId.length > 0) {
    state.context.counters.misses++
    session = startClientSession(state)
  }
  const { flags } = sessionInternals.content(session)
  sessionInternals.update(session, {
    protocolVersion: hello.protocolVersion,
    sessionId: state.isTls13 ? EMPTY : copyBytes(hello.sessionId),
    flags: state.extendedMasterSecret ? (flags | 1) >>> 0 : flags,
  })
}

function checkResumed(
  state: ConnectionState,
  session: SslSession,
  hello: ServerHello,
): ServerHelloVerdict | undefined {
  if (!equalBytes(sessionInternals.content(session).sessionIdContext, state.sessionIdContext))
    return fail(state, 'session-id-context-mismatch', Alert.ILLEGAL_PARAMETER)
  if (session.protocolVersion !== hello.protocolVersion)
    return fail(state, 'version-mismatch', Alert.PROTOCOL_VERSION)
  const isSameCipher = state.isTls13
    ? cipherSuiteHash(session.cipherSuite) === cipherSuiteHash(hello.cipherSuite)
    : session.cipherSuite === hello.cipherSuite
  if (!isSameCipher) return fail(state, 'cipher-mismatch', Alert.ILLEGAL_PARAMETER)
  if (!state.isTls13 && session.extendedMasterSecret !== state.extendedMasterSecret)
    return fail(state, 'extended-master-secret-mismatch', Alert.HANDSHAKE_FAILURE)
  return undefined
}

function fail(state: ConnectionState, reason: ClientRefusal, alert: number): ServerHelloVerdict {
  state.sendAlert('fatal', alert)
  state.phase = 'failed'
  return { resume: false, reason, alert }
}
