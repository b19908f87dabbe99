/**
 * The ClientHello of TLS 1.0 to 1.3, as far as resumption needs it: RFC 8446 §4.1.2, in its presentation language (§3).
 *
 *   struct {
 *       HandshakeType msg_type = client_hello(1);                   RFC 8446 §4
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
 *                                PskBinderEntry binders<33..2^16-1>;                  RFC 8446 §4.2.11
 *   supported_versions(43)       ProtocolVersion versions<2..254>;                    RFC 8446 §4.2.1
 *   psk_key_exchange_modes(45)   PskKeyExchangeMode ke_modes<1..255>;                 RFC 8446 §4.2.9
 *   key_share(51)                struct { NamedGroup group; opaque key_exchange<1..2^16-1>; } KeyShareEntry;
 *                                KeyShareEntry client_shares<0..2^16-1>;              RFC 8446 §4.2.8
 *
 * Every other extension is stepped over, and so are unknown numbers in the lists: those of RFC 8701 (GREASE) among them.
 */
import { ClientHelloError } from '../errors.ts'

/** What a client offers, out of its first message. Nothing in it shares memory with the message. */
export interface ClientHello {
  /** At most 0x0303; what a client of TLS 1.3 speaks is in `supportedVersions`, RFC 8446 §4.1.2. */
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
  /** Of the shares that came with the offer, not all the groups that the client knows; empty without the extension. */
  readonly keyShareGroups: readonly number[]
}

/** RFC 8446 §4.2.11. */
export interface ClientHelloPskIdentity {
  /** The ticket: at least one byte. */
  readonly identity: Uint8Array
  /** In milliseconds, to the sum with the ticket's ticket_age_add; 0 to 2^32-1. */
  readonly obfuscatedTicketAge: number
}

type Draft = { -readonly [Field in keyof ClientHello]: ClientHello[Field] }

const CLIENT_HELLO = 1
const HOST_NAME = 0
const RANDOM_LENGTH = 32
const MAX_SESSION_ID_LENGTH = 32
const MAX_UINT8 = 0xff
const MAX_UINT16 = 0xffff

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
  const reader = new VectorReader(message, 0, message.length)
  readHandshakeHeader(reader)
  const legacyVersion = reader.uint16('legacy_version')
  reader.skip(RANDOM_LENGTH, 'random')
  const hello: Draft = {
    legacyVersion,
    sessionId: reader.vector8(0, MAX_SESSION_ID_LENGTH, 'legacy_session_id').copyRest(),
    cipherSuites: uint16s(reader.vector16(2, MAX_UINT16 - 1, 'cipher_suites'), 'a cipher suite'),
    alpnProtocols: [],
    pskIdentities: [],
    extendedMasterSecret: false,
    keyShareGroups: [],
  }
  reader.vector8(1, MAX_UINT8, 'legacy_compression_methods')
  if (reader.remaining > 0) readExtensions(hello, reader.vector16(0, MAX_UINT16, 'extensions'))
  reader.end('the ClientHello')
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

function readExtensions(hello: Draft, block: VectorReader): void {
  const seen = new Set<number>()
  while (block.remaining > 0) {
    const start = block.offset
    const type = block.uint16('extension_type')
    // RFC 8446 §4.2. libssl lets the types that it does not know be repeated.
    if (seen.has(type)) throw new ClientHelloError(`extension ${type} must come once, got a second`, start)
    seen.add(type)
    const content = block.vector16(0, MAX_UINT16, 'extension_data')
    // RFC 8446 §4.2.11: the binders sign all that precedes them.
    if (type === PRE_SHARED_KEY && block.remaining > 0)
      throw new ClientHelloError('pre_shared_key must be the last extension, got another', block.offset)
    readExtension(hello, type, content)
  }
}

function readExtension(hello: Draft, type: number, content: VectorReader): void {
  switch (type) {
    case SERVER_NAME:
      hello.serverName = readServerName(content)
      break
    case ALPN:
      hello.alpnProtocols = readAlpn(content)
      break
    case EXTENDED_MASTER_SECRET:
      hello.extendedMasterSecret = true
      break
    case SESSION_TICKET:
      // Any bytes will do, RFC 5077 §3.2.
      hello.sessionTicket = content.copyRest()
      break
    case PRE_SHARED_KEY:
      hello.pskIdentities = readPreSharedKey(content)
      break
    case SUPPORTED_VERSIONS:
      hello.supportedVersions = uint16s(content.vector8(2, 254, 'versions'), 'a version')
      break
    case PSK_KEY_EXCHANGE_MODES:
      hello.pskKeyExchangeModes = Array.from(content.vector8(1, MAX_UINT8, 'ke_modes').copyRest())
      break
    case KEY_SHARE:
      hello.keyShareGroups = readKeyShareGroups(content)
      break
    default:
      return
  }
  content.end(`extension ${type}`)
}

/**
 * RFC 6066 §3 has a list with at most one name of a type, and one type was ever defined. As libssl, this takes no other
 * list than that of one name, and no name with a NUL. An empty name and bytes that are not ASCII are names to libssl, and
 * so they are here.
 */
function readServerName(content: VectorReader): string {
  const list = content.vector16(1, MAX_UINT16, 'server_name_list')
  const typeOffset = list.offset
  const type = list.uint8('name_type')
  if (type !== HOST_NAME)
    throw new ClientHelloError(`name_type must be host_name (${HOST_NAME}), got ${type}`, typeOffset)
  const hostName = list.vector16(0, MAX_HOST_NAME_LENGTH, 'HostName')
  list.end('server_name_list')
  const start = hostName.offset
  const name = hostName.latin1Rest()
  const nul = name.indexOf('\0')
  if (nul !== -1) throw new ClientHelloError('HostName must be without NUL', start + nul)
  return name
}

function readAlpn(content: VectorReader): string[] {
  const list = content.vector16(2, MAX_UINT16, 'protocol_name_list')
  const names: string[] = []
  while (list.remaining > 0) names.push(list.vector8(1, MAX_UINT8, 'ProtocolName').latin1Rest())
  return names
}

function readPreSharedKey(content: VectorReader): ClientHelloPskIdentity[] {
  const list = content.vector16(7, MAX_UINT16, 'identities')
  const identities: ClientHelloPskIdentity[] = []
  while (list.remaining > 0) {
    identities.push({
      identity: list.vector16(1, MAX_UINT16, 'identity').copyRest(),
      obfuscatedTicketAge: list.uint32('obfuscated_ticket_age'),
    })
  }
  const bindersOffset = content.offset
  const binders = content.vector16(33, MAX_UINT16, 'binders')
  let count = 0
  for (; binders.remaining > 0; count++) binders.vector8(32, MAX_UINT8, 'PskBinderEntry')
  if (count !== identities.length) {
    throw new ClientHelloError(
      `binders must be as many as identities, ${identities.length}, got ${count}`,
      bindersOffset,
    )
  }
  return identities
}

function readKeyShareGroups(content: VectorReader): number[] {
  // Empty when the client would rather be told the group, RFC 8446 §4.2.8.
  const shares = content.vector16(0, MAX_UINT16, 'client_shares')
  const groups: number[] = []
  while (shares.remaining > 0) {
    groups.push(shares.uint16('the group of a key share'))
    shares.vector16(1, MAX_UINT16, 'key_exchange')
  }
  return groups
}

function uint16s(list: VectorReader, subject: string): number[] {
  const values: number[] = []
  while (list.remaining > 0) values.push(list.uint16(subject))
  return values
}

/**
 * A cursor over the content of one vector, RFC 8446 §3.4, or over the whole message. It reads a thing whole or throws, and
 * has no way to get out of the bytes it was made for. What follows the last thing is refused by `end`, or by a loop that
 * goes on until nothing remains.
 */
class VectorReader {
  readonly #bytes: Uint8Array
  readonly #end: number
  #offset: number

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.#offset = start
    this.#end = end
  }

  /** Of the next byte, from the start of the whole message. */
  get offset(): number {
    return this.#offset
  }

  get remaining(): number {
    return this.#end - this.#offset
  }

  uint8(subject: string): number {
    const value = this.#offset < this.#end ? this.#bytes[this.#offset] : undefined
    if (value === undefined)
      throw new ClientHelloError(`${subject} must be there, got the end of what holds it`, this.#offset)
    this.#offset += 1
    return value
  }

  uint16(subject: string): number {
    return this.uint8(subject) * 0x100 + this.uint8(subject)
  }

  uint24(subject: string): number {
    return this.uint8(subject) * 0x10000 + this.uint16(subject)
  }

  /** Multiplied, not shifted: a shift to the left is of 32 bits with a sign. */
  uint32(subject: string): number {
    return this.uint16(subject) * 0x10000 + this.uint16(subject)
  }

  /** Steps over opaque subject<min..max> with a length of one byte, and returns a reader of its content. */
  vector8(min: number, max: number, subject: string): VectorReader {
    const start = this.#offset
    return this.#vector(this.uint8(subject), min, max, subject, start)
  }

  /** As `vector8`, with a length of two bytes. */
  vector16(min: number, max: number, subject: string): VectorReader {
    const start = this.#offset
    return this.#vector(this.uint16(subject), min, max, subject, start)
  }

  skip(length: number, subject: string): void {
    if (length > this.remaining) {
      throw new ClientHelloError(
        `${subject} must fit, its ${length} bytes exceed the ${this.remaining} left`,
        this.#offset,
      )
    }
    this.#offset += length
  }

  copyRest(): Uint8Array {
    // `slice` would give a Buffer's caller a view on the same memory.
    return new Uint8Array(this.#rest())
  }

  /** Of at most 255 bytes: each becomes an argument. */
  latin1Rest(): string {
    return String.fromCharCode(...this.#rest())
  }

  /** Refuses leftovers. */
  end(subject: string): void {
    if (this.remaining > 0)
      throw new ClientHelloError(`${subject} must end here, got ${this.remaining} bytes more`, this.#offset)
  }

  #vector(length: number, min: number, max: number, subject: string, start: number): VectorReader {
    if (length < min || length > max)
      throw new ClientHelloError(`${subject} must have ${min} to ${max} bytes, got ${length}`, start)
    const contentStart = this.#offset
    this.skip(length, subject)
    return new VectorReader(this.#bytes, contentStart, this.#offset)
  }

  /** Takes what remains; aliases the message. */
  #rest(): Uint8Array {
    const rest = this.#bytes.subarray(this.#offset, this.#end)
    this.#offset = this.#end
    return rest
  }
}
