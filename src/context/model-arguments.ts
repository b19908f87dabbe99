import { ArgumentError } from '../errors.ts'
import {
  A_BOOLEAN,
  anInteger,
  CHECKED_LATER,
  checkBytes,
  checkOptions,
  kindOf,
  type OptionRule,
} from '../session/arguments.ts'
import type { PskIdentity, ResumptionOffer, TicketOffer, TicketStatus } from '../session/offer.ts'
import { checkIdLength } from '../session/ranges.ts'
import type { AlertLevel } from '../session/ssl-constants.ts'
import { SslSession } from '../session/ssl-session.ts'
import type { ClientCapabilities, ServerHello } from './client-handshake.ts'
import type { CipherChoice, RecordedOutcome, Renegotiation, SslConnectionOptions } from './ssl-connection.ts'
import type { NegotiatedSession, ReceivedTicket, TicketMaterial } from './tickets.ts'

// Each handshake goes through these: what is right costs a few comparisons, and makes no object.

function refuse(what: string, kind: string, value: unknown): never {
  throw new ArgumentError(`${what} must be ${kind}, got ${kindOf(value)}`)
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkObject(what: string, value: unknown): void {
  if (!isObject(value)) refuse(what, 'an object', value)
}

function checkNumber(what: string, value: unknown): void {
  if (!Number.isSafeInteger(value)) refuse(what, 'an integer', value)
}

/** @throws {@link ArgumentError} */
export function checkFlag(what: string, value: unknown): void {
  if (typeof value !== 'boolean') refuse(what, 'true or false', value)
}

function checkOptional(what: string, value: unknown, check: (what: string, value: unknown) => void): void {
  if (value !== undefined) check(what, value)
}

/** @throws {@link ArgumentError} for what is no session of this library */
export function checkSession(what: string, value: unknown): void {
  if (!(value instanceof SslSession)) refuse(what, 'an SslSession', value)
}

/** @throws {@link ArgumentError} for what is neither a session nor undefined */
export function checkOptionalSession(what: string, value: unknown): void {
  checkOptional(what, value, checkSession)
}

const CONNECTION_RULES: Rules<SslConnectionOptions> = {
  appData: CHECKED_LATER,
  sessionIdContext: CHECKED_LATER,
  verifyMode: CHECKED_LATER,
  generateSessionId: CHECKED_LATER,
  singleUse: A_BOOLEAN,
}

/** The setters check the others. */
export function checkConnectionOptions(options: SslConnectionOptions): void {
  if (isObject(options) && areConnectionOptions(options)) return
  checkOptions('newConnection', options, CONNECTION_RULES)
}

function areConnectionOptions(options: SslConnectionOptions): boolean {
  for (const name in options) if (!isConnectionOption(name)) return false
  return options.singleUse === undefined || typeof options.singleUse === 'boolean'
}

/** Constants, which are compared by their addresses: each connection asks. */
function isConnectionOption(name: string): name is keyof SslConnectionOptions {
  switch (name) {
    case 'appData':
    case 'singleUse':
    case 'sessionIdContext':
    case 'verifyMode':
    case 'generateSessionId':
      return true
    default:
      return false
  }
}

/** @throws {@link ArgumentError} */
export function checkRenegotiation(value: Renegotiation): void {
  if (value !== 'full' && value !== 'abbreviated') refuse('the renegotiation', 'full or abbreviated', value)
}

/** @throws {@link ArgumentError} */
export function checkOffer(offer: ResumptionOffer): void {
  checkObject('the offer', offer)
  checkNumber('the protocolVersion of the offer', offer.protocolVersion)
  checkBytes('sessionId of the offer', offer.sessionId)
  checkIdLength('session id of the offer', offer.sessionId)
  if (offer.ticket !== undefined) checkTicketOffer(offer.ticket)
  const { cipherSuites, examine, pskIdentities } = offer
  if (cipherSuites !== undefined && !Array.isArray(cipherSuites))
    refuse('the cipherSuites of the offer', 'an array of numbers', cipherSuites)
  if (examine !== undefined && typeof examine !== 'function')
    refuse('the examine of the offer', 'a function', examine)
  if (pskIdentities === undefined) return
  if (!Array.isArray(pskIdentities)) refuse('the pskIdentities of the offer', 'an array', pskIdentities)
  for (const psk of pskIdentities) checkPskIdentity(psk)
}

function checkPskIdentity(psk: PskIdentity): void {
  checkObject('a PSK identity', psk)
  checkBytes('identity of a PSK', psk.identity)
  if (psk.ticket !== undefined) checkTicketOffer(psk.ticket)
  checkOptionalSession('the externalPsk of a PSK identity', psk.externalPsk)
  checkOptional('the obfuscatedTicketAge of a PSK identity', psk.obfuscatedTicketAge, checkNumber)
  const { verifyBinder } = psk
  if (verifyBinder !== undefined && typeof verifyBinder !== 'function')
    refuse('the verifyBinder of a PSK identity', 'a function', verifyBinder)
}

const TICKET_STATUSES: Readonly<Record<TicketStatus, true>> = {
  empty: true,
  'no-decrypt': true,
  success: true,
  'success-renew': true,
  ignored: true,
}

function checkTicketOffer(ticket: TicketOffer): void {
  checkObject('the ticket of an offer', ticket)
  if (typeof ticket.status !== 'string' || !Object.hasOwn(TICKET_STATUSES, ticket.status))
    refuse('the status of a ticket', Object.keys(TICKET_STATUSES).join(', '), ticket.status)
  checkOptionalSession('the session of a ticket', ticket.session)
}

/** @throws {@link ArgumentError} */
export function checkRecordedOutcome(outcome: RecordedOutcome): void {
  checkObject('the outcome', outcome)
  checkNumber('the protocolVersion of the outcome', outcome.protocolVersion)
  checkOptionalSession('the made of the outcome', outcome.made)
  const { resumed } = outcome
  if (resumed === undefined) return
  checkObject('the resumed of the outcome', resumed)
  checkOptionalSession('the session of resumed', resumed.session)
  checkFlag('the isTicket of resumed', resumed.isTicket)
}

const BYTES: OptionRule = { kind: 'a Uint8Array', isGood: (value) => value instanceof Uint8Array }
const UINT32: OptionRule = anInteger(0, 0xffff_ffff)
const INT32: OptionRule = anInteger(-0x8000_0000, 0x7fff_ffff)

type Rules<T> = Readonly<Record<keyof T, OptionRule>>

const CIPHER_CHOICE: Rules<CipherChoice> = { isForwardSecure: A_BOOLEAN }
const CAPABILITIES: Rules<ClientCapabilities> = {
  minVersion: UINT32,
  maxVersion: UINT32,
  helloRetryCipherSuite: UINT32,
}
const SERVER_HELLO: Rules<ServerHello> = {
  protocolVersion: UINT32,
  sessionId: BYTES,
  cipherSuite: UINT32,
  pskSelected: A_BOOLEAN,
  extendedMasterSecret: A_BOOLEAN,
}
const RECEIVED_TICKET: Rules<ReceivedTicket> = {
  lifetimeHintSec: UINT32,
  ticket: BYTES,
  ticketAgeAdd: UINT32,
  masterKey: BYTES,
  maxEarlyData: UINT32,
}
const NEGOTIATED: Rules<NegotiatedSession> = {
  cipherSuite: UINT32,
  masterKey: BYTES,
  peerCertificate: BYTES,
  peerRawPublicKey: BYTES,
  verifyResult: INT32,
  hostname: BYTES,
  alpnSelected: BYTES,
  kexGroup: UINT32,
  pskIdentity: BYTES,
  pskIdentityHint: BYTES,
  srpUsername: BYTES,
  ticketAppData: BYTES,
  maxFragmentLengthMode: UINT32,
}
const TICKET_MATERIAL: Rules<TicketMaterial> = { ...NEGOTIATED, ticketAgeAdd: UINT32 }

/** @throws {@link ArgumentError} */
export function checkCipherChoice(choice: CipherChoice): void {
  checkFields('serverHello', choice, CIPHER_CHOICE)
}

/** @throws {@link ArgumentError} */
export function checkCapabilities(capabilities: ClientCapabilities): void {
  checkFields('clientHello', capabilities, CAPABILITIES, ['minVersion', 'maxVersion'])
}

/** @throws {@link ArgumentError} */
export function checkServerHello(hello: ServerHello): void {
  checkFields('processServerHello', hello, SERVER_HELLO, ['protocolVersion', 'sessionId', 'cipherSuite'])
  checkIdLength('session id of the ServerHello', hello.sessionId)
}

/** @throws {@link ArgumentError} */
export function checkNegotiated(caller: string, negotiated: NegotiatedSession): void {
  checkFields(caller, negotiated, NEGOTIATED)
}

/** @throws {@link ArgumentError} */
export function checkTicketMaterial(material: TicketMaterial): void {
  checkFields('issueTicket', material, TICKET_MATERIAL)
}

/** @throws {@link ArgumentError} */
export function checkReceivedTicket(received: ReceivedTicket): void {
  checkFields('receiveTicket', received, RECEIVED_TICKET, ['lifetimeHintSec', 'ticket'])
}

/** Most fields become those of the session, under their own names: one that is there and undefined would be so in the session, too. */
function checkFields<T extends object>(
  caller: string,
  value: T,
  rules: Rules<T>,
  required: readonly (keyof T & string)[] = [],
): void {
  checkOptions(caller, value, rules)
  const names = Object.keys(value) as (keyof T & string)[]
  for (const name of [...names, ...required])
    if (value[name] === undefined) refuse(`the option ${name} of ${caller}`, rules[name].kind, undefined)
}

/** @throws {@link ArgumentError} */
export function checkAlert(level: AlertLevel, description: number): void {
  if (level !== 'warning' && level !== 'fatal') refuse('the level of an alert', 'warning or fatal', level)
  checkNumber('the description of an alert', description)
}
