/**
 * The ClientHello of TLS 1.0 to 1.3, as far as resumption needs it: RFC 9846 §4.2.2 (RFC 8446 §4.1.2), in its presentation language (§3).
 *
 *   struct {
 *       HandshakeType msg_type = client_hello(1);                   RFC 9846 §4
 *       uint24 length;
 *       ProtocolVersion legacy_version;                             uint16
 *       Random random;                                              opaque[32]
 *       opaque legacy_session_id<0..32>;
 *       CipherSuite cipher_suites<2..2^16-2>;                       uint16
 *       opaque legacy_compression_methods<1..2^8-1>;
 *       select (the message goes on) {                              RFC 5246 §7.4.1.2: or ends here, as in SSL 3.0
 *           case true: Extension extensions<0..2^16-1>;
 *       };
 *   } Handshake;
 *
 *   struct { ExtensionType extension_type; opaque extension_data<0..2^16-1>; } Extension;
 *
 *   server_name(0)               struct { NameType host_name(0); opaque HostName<1..2^16-1>; }
 *                                ServerName server_name_list<1..2^16-1>;              RFC 6066 §3
 *   alpn(16)                     opaque ProtocolName<1..2^8-1>;
 *                                ProtocolName protocol_name_list<2..2^16-1>;          RFC 7301 §3.1
 *   extended_master_secret(23)   empty                                                RFC 7627 §5.1
 *   session_ticket(35)           opaque, all of extension_data                        RFC 5077 §3.2
 *   pre_shared_key(41)           struct { opaque identity<1..2^16-1>; uint32 obfuscated_ticket_age; } PskIdentity;
 *                                opaque PskBinderEntry<32..255>;
 *                                PskIdentity identities<7..2^16-1>;
 *                                PskBinderEntry binders<33..2^16-1>;                  RFC 9846 §4.3.11 (RFC 8446 §4.2.11)
 *   supported_versions(43)       ProtocolVersion versions<2..254>;                    RFC 9846 §4.3.1 (RFC 8446 §4.2.1)
 *   psk_key_exchange_modes(45)   PskKeyExchangeMode ke_modes<1..255>;                 RFC 9846 §4.3.9 (RFC 8446 §4.2.9)
 *   key_share(51)                struct { NamedGroup group; opaque key_exchange<1..2^16-1>; } KeyShareEntry;
 *                                KeyShareEntry client_shares<0..2^16-1>;              RFC 9846 §4.3.8 (RFC 8446 §4.2.8)
 *
 * Every other extension is stepped over, and so are unknown numbers in the lists: those of RFC 8701 (GREASE) among them.
 */
import { ClientHelloError } from '../errors.ts'
import { VectorReader } from './vector-reader.ts'

/** What a client offers, out of its first message. Nothing in it shares memory with the message. */
export interface ClientHello {
  /** At most 0x0303; what a client of TLS 1.3 speaks is in `supportedVersions`, RFC 9846 §4.2.2 (RFC 8446 §4.1.2). */
  readonly legacyVersion: number
  /** 0 to 32 bytes. A client of TLS 1.3 may send a random one that no session has, RFC 8446 appendix D.4. */
  readonly sessionId: Uint8Array
  readonly cipherSuites: readonly number[]
  /**
   * The one host_name as it was sent, a UTF-16 unit for each byte: mostly ASCII, perhaps empty, never with a NUL. Names of
   * DNS are equal whatever their case. Absent without the extension, which is not the same as empty.
   */
  readonly serverName?: string
  /** In the order of the client's preference, a UTF-16 unit for each byte; empty without the extension. */
  readonly alpnProtocols: readonly string[]
  /** In the order of the client's preference; absent without the extension. */
  readonly supportedVersions?: readonly number[]
  /** 0 is psk_ke, 1 is psk_dhe_ke; absent without the extension. */
  readonly pskKeyExchangeModes?: readonly number[]
  /** In the order of the client; empty without the extension. */
  readonly pskIdentities: readonly ClientHelloPskIdentity[]
  /** That of TLS 1.2: empty asks for one; absent without the extension. */
  readonly sessionTicket?: Uint8Array
  readonly extendedMasterSecret: boolean
  /** The groups of the shares that came with the offer, not all the groups that the client knows; empty without the extension. */
  readonly keyShareGroups: readonly number[]
}

/** RFC 9846 §4.3.11 (RFC 8446 §4.2.11). */
export interface ClientHelloPskIdentity {
  /** The ticket: at least one byte. */
  readonly identity: Uint8Array
  /** In milliseconds, to the sum with the ticket's ticket_age_add; 0 to 2^32-1. */
  readonly obfuscatedTicketAge: number
}

const CLIENT_HELLO = 1
const HOST_NAME = 0
const RANDOM_LENGTH = 32
const MAX_SESSION_ID_LENGTH = 32
const MAX_UINT8 = 0xff
const MAX_UINT16 = 0xffff

/** RFC 9846 names no bound. Clients have one or two; each is an object here, for as long as the handshake may take. */
const MAX_PSK_IDENTITIES = 64

/** RFC 6066 §3 lets a name be longer than DNS does; libssl refuses that as TLSEXT_MAXLEN_host_name. */
const MAX_HOST_NAME_LENGTH = 255

const SERVER_NAME = 0
const ALPN = 16
const EXTENDED_MASTER_SECRET = 23
const SESSION_TICKET = 35
const PRE_SHARED_KEY = 41
const SUPPORTED_VERSIONS = 43
const PSK_KEY_EXCHANGE_MODES = 45
const KEY_SHARE = 51

/**
 * Reads the handshake message of a ClientHello, as strictly as libssl or more: whatever is accepted has exact lengths, no
 * leftovers, and no extension twice.
 *
 * @param message - with its header of four bytes; not kept
 * @throws {@link ClientHelloError} when it is anything else
 */
export function decodeClientHello(message: Uint8Array): ClientHello {
  const reader = new VectorReader(message)
  readHandshakeHeader(reader)
  const legacyVersion = reader.uint16('legacy_version')
  reader.skip(RANDOM_LENGTH, 'random')
  const sessionId = readSessionId(reader)
  const cipherSuites = readCipherSuites(reader)
  reader.leave(reader.enter8(1, MAX_UINT8, 'legacy_compression_methods'))
  const extensions = new Extensions()
  if (reader.remaining > 0) {
    const end = reader.enter16(0, MAX_UINT16, 'extensions')
    readExtensions(extensions, reader)
    reader.leave(end)
  }
  reader.end('the ClientHello')
  return helloOf(legacyVersion, sessionId, cipherSuites, extensions)
}

/** What the extensions say, whatever their order: one shape for all clients. */
class Extensions {
  serverName: string | undefined
  alpnProtocols: readonly string[] | undefined
  supportedVersions: readonly number[] | undefined
  pskKeyExchangeModes: readonly number[] | undefined
  pskIdentities: readonly ClientHelloPskIdentity[] | undefined
  sessionTicket: Uint8Array | undefined
  extendedMasterSecret = false
  keyShareGroups: readonly number[] | undefined
}

/** An absent field is an absent property. */
function helloOf(
  legacyVersion: number,
  sessionId: Uint8Array,
  cipherSuites: readonly number[],
  extensions: Extensions,
): ClientHello {
  const hello: { -readonly [Field in keyof ClientHello]: ClientHello[Field] } = {
    legacyVersion,
    sessionId,
    cipherSuites,
    alpnProtocols: extensions.alpnProtocols ?? [],
    pskIdentities: extensions.pskIdentities ?? [],
    extendedMasterSecret: extensions.extendedMasterSecret,
    keyShareGroups: extensions.keyShareGroups ?? [],
  }
  const { serverName, supportedVersions, pskKeyExchangeModes, sessionTicket } = extensions
  if (serverName !== undefined) hello.serverName = serverName
  if (supportedVersions !== undefined) hello.supportedVersions = supportedVersions
  if (pskKeyExchangeModes !== undefined) hello.pskKeyExchangeModes = pskKeyExchangeModes
  if (sessionTicket !== undefined) hello.sessionTicket = sessionTicket
  return hello
}

function readHandshakeHeader(reader: VectorReader): void {
  const type = reader.uint8('msg_type')
  if (type !== CLIENT_HELLO)
    throw new ClientHelloError(`msg_type must be client_hello (${CLIENT_HELLO}), got ${type}`, 0)
  const length = reader.uint24('the length of the message')
  if (length !== reader.remaining) {
    throw new ClientHelloError(
      `the length of the message must be that of what follows, ${reader.remaining}, got ${length}`,
      1,
    )
  }
}

function readSessionId(reader: VectorReader): Uint8Array {
  const end = reader.enter8(0, MAX_SESSION_ID_LENGTH, 'legacy_session_id')
  const sessionId = reader.copyRest()
  reader.leave(end)
  return sessionId
}

function readCipherSuites(reader: VectorReader): number[] {
  const end = reader.enter16(2, MAX_UINT16 - 1, 'cipher_suites')
  const cipherSuites = reader.uint16s('a cipher suite')
  reader.leave(end)
  return cipherSuites
}

function readExtensions(extensions: Extensions, reader: VectorReader): void {
  const seen = new SeenTypes()
  while (reader.remaining > 0) {
    const start = reader.offset
    const type = reader.uint16('extension_type')
    // RFC 9846 §4.3 (RFC 8446 §4.2). libssl lets the types that it does not know be repeated.
    if (!seen.add(type)) throw new ClientHelloError(`extension ${type} must come once, got a second`, start)
    const end = reader.enter16(0, MAX_UINT16, 'extension_data')
    const { contentEnd } = reader
    // RFC 9846 §4.3.11 (RFC 8446 §4.2.11): the binders sign all that precedes them.
    if (type === PRE_SHARED_KEY && contentEnd < end)
      throw new ClientHelloError('pre_shared_key must be the last extension, got another', contentEnd)
    readExtension(extensions, type, reader)
    reader.leave(end)
  }
}

/** Clients send a dozen types below 64, and few others. */
class SeenTypes {
  #lower = 0
  #upper = 0
  #others: Set<number> | undefined

  /** @returns false for one that was there */
  add(type: number): boolean {
    if (type >= 64) return this.#addOther(type)
    const bit = 1 << (type & 31)
    const seen = type < 32 ? this.#lower : this.#upper
    if (type < 32) this.#lower |= bit
    else this.#upper |= bit
    return (seen & bit) === 0
  }

  #addOther(type: number): boolean {
    this.#others ??= new Set()
    const { size } = this.#others
    return this.#others.add(type).size > size
  }
}

function readExtension(extensions: Extensions, type: number, content: VectorReader): void {
  switch (type) {
    case SERVER_NAME:
      extensions.serverName = readServerName(content)
      break
    case ALPN:
      extensions.alpnProtocols = readAlpn(content)
      break
    case EXTENDED_MASTER_SECRET:
      extensions.extendedMasterSecret = true
      break
    case SESSION_TICKET:
      // Any bytes will do, RFC 5077 §3.2.
      extensions.sessionTicket = content.copyRest()
      break
    case PRE_SHARED_KEY:
      extensions.pskIdentities = readPreSharedKey(content)
      break
    case SUPPORTED_VERSIONS:
      extensions.supportedVersions = readSupportedVersions(content)
      break
    case PSK_KEY_EXCHANGE_MODES:
      extensions.pskKeyExchangeModes = readPskKeyExchangeModes(content)
      break
    case KEY_SHARE:
      extensions.keyShareGroups = readKeyShareGroups(content)
      break
    default:
      return
  }
  // The text is made for an error alone.
  if (content.remaining > 0) content.end(`extension ${type}`)
}

/**
 * RFC 6066 §3 has a list with at most one name of a type, and one type was ever defined. As libssl, this takes no other
 * list than that of one name, and no name with a NUL. An empty name and bytes that are not ASCII are names to libssl, and
 * so they are here.
 */
function readServerName(reader: VectorReader): string {
  const listEnd = reader.enter16(1, MAX_UINT16, 'server_name_list')
  const typeOffset = reader.offset
  const type = reader.uint8('name_type')
  if (type !== HOST_NAME)
    throw new ClientHelloError(`name_type must be host_name (${HOST_NAME}), got ${type}`, typeOffset)
  const nameEnd = reader.enter16(0, MAX_HOST_NAME_LENGTH, 'HostName')
  const start = reader.offset
  const name = reader.latin1Rest()
  reader.leave(nameEnd)
  reader.end('server_name_list')
  reader.leave(listEnd)
  for (let index = 0; index < name.length; index++)
    if (name.charCodeAt(index) === 0)
      throw new ClientHelloError('HostName must be without NUL', start + index)
  return name
}

function readAlpn(reader: VectorReader): string[] {
  const listEnd = reader.enter16(2, MAX_UINT16, 'protocol_name_list')
  const names: string[] = []
  while (reader.remaining > 0) {
    const end = reader.enter8(1, MAX_UINT8, 'ProtocolName')
    names.push(reader.latin1Rest())
    reader.leave(end)
  }
  reader.leave(listEnd)
  return names
}

function readSupportedVersions(reader: VectorReader): number[] {
  const end = reader.enter8(2, 254, 'versions')
  const versions = reader.uint16s('a version')
  reader.leave(end)
  return versions
}

function readPskKeyExchangeModes(reader: VectorReader): number[] {
  const end = reader.enter8(1, MAX_UINT8, 'ke_modes')
  const modes = reader.uint8s('a mode')
  reader.leave(end)
  return modes
}

function readPreSharedKey(reader: VectorReader): ClientHelloPskIdentity[] {
  const listEnd = reader.enter16(7, MAX_UINT16, 'identities')
  // At least one, by their length.
  const identities = [readPskIdentity(reader)]
  while (reader.remaining > 0) {
    if (identities.length === MAX_PSK_IDENTITIES)
      throw new ClientHelloError(`identities must be at most ${MAX_PSK_IDENTITIES}, got more`, reader.offset)
    identities.push(readPskIdentity(reader))
  }
  reader.leave(listEnd)
  const bindersOffset = reader.offset
  const count = countBinders(reader)
  if (count !== identities.length) {
    throw new ClientHelloError(
      `binders must be as many as identities, ${identities.length}, got ${count}`,
      bindersOffset,
    )
  }
  return identities
}

function readPskIdentity(reader: VectorReader): ClientHelloPskIdentity {
  const end = reader.enter16(1, MAX_UINT16, 'identity')
  const identity = reader.copyRest()
  reader.leave(end)
  return { identity, obfuscatedTicketAge: reader.uint32('obfuscated_ticket_age') }
}

function countBinders(reader: VectorReader): number {
  const listEnd = reader.enter16(33, MAX_UINT16, 'binders')
  let count = 0
  for (; reader.remaining > 0; count++) reader.leave(reader.enter8(32, MAX_UINT8, 'PskBinderEntry'))
  reader.leave(listEnd)
  return count
}

function readKeyShareGroups(reader: VectorReader): number[] {
  // Empty when the client would rather be told the group, RFC 9846 §4.3.8 (RFC 8446 §4.2.8).
  const listEnd = reader.enter16(0, MAX_UINT16, 'client_shares')
  const groups: number[] = []
  while (reader.remaining > 0) {
    groups.push(reader.uint16('the group of a key share'))
    reader.leave(reader.enter16(1, MAX_UINT16, 'key_exchange'))
  }
  reader.leave(listEnd)
  return groups
}
