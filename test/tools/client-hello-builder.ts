/**
 * Makes ClientHellos, good and bad ones: nothing is checked, and lengths say what is there unless told otherwise.
 *
 *   records(clientHello({ extensions: [serverName('shop.example'), sessionTicket()] }), 100)
 */

export const ExtensionType = {
  SERVER_NAME: 0,
  ALPN: 16,
  PADDING: 21,
  EXTENDED_MASTER_SECRET: 23,
  SESSION_TICKET: 35,
  PRE_SHARED_KEY: 41,
  SUPPORTED_VERSIONS: 43,
  PSK_KEY_EXCHANGE_MODES: 45,
  KEY_SHARE: 51,
} as const

/** Big-endian, in so many bytes. */
export function uint(octets: number, value: number): Uint8Array {
  return Uint8Array.from({ length: octets }, (_, index) => Math.floor(value / 0x100 ** (octets - 1 - index)))
}

export function bytes(length: number, fill = 0xab): Uint8Array {
  return new Uint8Array(length).fill(fill)
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** A vector of RFC 9846 §3.4: a length in so many bytes, and the content. */
export function vector(lengthOctets: number, ...content: readonly Uint8Array[]): Uint8Array {
  const whole = concat(...content)
  return concat(uint(lengthOctets, whole.length), whole)
}

export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'))
}

/** `size` bytes in all, its header of four included. */
export function paddingExtension(size: number, type: number = ExtensionType.PADDING): Uint8Array {
  return extension(type, bytes(size - 4, 0))
}

export function extension(type: number, ...content: readonly Uint8Array[]): Uint8Array {
  return concat(uint(2, type), vector(2, ...content))
}

/** Several names make a list that RFC 6066 §3 forbids. */
export function serverName(...names: readonly (string | Uint8Array)[]): Uint8Array {
  const entries = names.map((name) =>
    concat(uint(1, 0), vector(2, typeof name === 'string' ? ascii(name) : name)),
  )
  return extension(ExtensionType.SERVER_NAME, vector(2, ...entries))
}

export function alpn(...protocols: readonly string[]): Uint8Array {
  return extension(ExtensionType.ALPN, vector(2, ...protocols.map((protocol) => vector(1, ascii(protocol)))))
}

export function extendedMasterSecret(): Uint8Array {
  return extension(ExtensionType.EXTENDED_MASTER_SECRET)
}

export function sessionTicket(ticket: Uint8Array = bytes(0)): Uint8Array {
  return extension(ExtensionType.SESSION_TICKET, ticket)
}

export function supportedVersions(...versions: readonly number[]): Uint8Array {
  return extension(
    ExtensionType.SUPPORTED_VERSIONS,
    vector(1, ...versions.map((version) => uint(2, version))),
  )
}

export function pskKeyExchangeModes(...modes: readonly number[]): Uint8Array {
  return extension(ExtensionType.PSK_KEY_EXCHANGE_MODES, vector(1, Uint8Array.from(modes)))
}

export interface KeyShare {
  readonly group: number
  readonly keyExchange: Uint8Array
}

export function keyShare(...shares: readonly KeyShare[]): Uint8Array {
  const entries = shares.map(({ group, keyExchange }) => concat(uint(2, group), vector(2, keyExchange)))
  return extension(ExtensionType.KEY_SHARE, vector(2, ...entries))
}

export interface OfferedPsk {
  readonly identity: Uint8Array
  readonly obfuscatedTicketAge?: number
}

/** @param binders - their lengths; without, 32 for each identity */
export function preSharedKey(
  identities: readonly OfferedPsk[],
  binders: readonly number[] = identities.map(() => 32),
): Uint8Array {
  return extension(
    ExtensionType.PRE_SHARED_KEY,
    vector(
      2,
      ...identities.map(({ identity, obfuscatedTicketAge = 0 }) =>
        concat(vector(2, identity), uint(4, obfuscatedTicketAge)),
      ),
    ),
    vector(2, ...binders.map((length) => vector(1, bytes(length)))),
  )
}

export interface ClientHelloParts {
  readonly messageType: number
  /** Of what follows the header; without, what it is. */
  readonly announcedLength: number | undefined
  readonly legacyVersion: number
  readonly random: Uint8Array
  readonly sessionId: Uint8Array
  readonly cipherSuites: readonly number[]
  readonly compressionMethods: readonly number[]
  /** In order; undefined leaves out the block and its length. */
  readonly extensions: readonly Uint8Array[] | undefined
  /** After all the rest, within the message. */
  readonly leftovers: Uint8Array
}

/** @returns the handshake message with its header; without `parts` a legal one, with an empty block of extensions */
export function clientHello(parts: Partial<ClientHelloParts> = {}): Uint8Array {
  const hello: ClientHelloParts = {
    messageType: 1,
    announcedLength: undefined,
    legacyVersion: 0x0303,
    random: bytes(32, 0x5a),
    sessionId: bytes(0),
    cipherSuites: [0x1301, 0xc02f],
    compressionMethods: [0],
    extensions: [],
    leftovers: bytes(0),
    ...parts,
  }
  const body = concat(
    uint(2, hello.legacyVersion),
    hello.random,
    vector(1, hello.sessionId),
    vector(2, ...hello.cipherSuites.map((suite) => uint(2, suite))),
    vector(1, Uint8Array.from(hello.compressionMethods)),
    ...(hello.extensions === undefined ? [] : [vector(2, ...hello.extensions)]),
    hello.leftovers,
  )
  return concat(uint(1, hello.messageType), uint(3, hello.announcedLength ?? body.length), body)
}

/**
 * A legal one of exactly so many bytes, header included: extensions of padding make it long, and where they are full (64 KiB),
 * cipher suites.
 *
 * @param length - 51 to 131,079
 */
export function clientHelloOfLength(length: number): Uint8Array {
  const withoutContent = 45
  const suites = Math.max(1, Math.ceil((length - withoutContent - 65_500) / 2))
  const extensions: Uint8Array[] = []
  let rest = length - withoutContent - 2 * suites
  for (let type = 0xfe00; rest > 0; type++) {
    // An extension has four bytes at least, and so must what is left after this one.
    const size = rest > 16_384 ? 16_000 : rest
    extensions.push(paddingExtension(size, type))
    rest -= size
  }
  return clientHello({ cipherSuites: Array.from({ length: suites }, () => 0x1301), extensions })
}

/** The hello of a client of TLS 1.3 that resumes, with what browsers send: GREASE (RFC 8701), a hybrid key share. */
export function resumingClientHello(identity: Uint8Array = bytes(32, 0x77)): Uint8Array {
  return clientHello({
    sessionId: bytes(32, 0x1d),
    cipherSuites: [0x0a0a, 0x1301, 0x1302, 0xc02f],
    extensions: [
      extension(0x1a1a),
      serverName('shop.example'),
      extendedMasterSecret(),
      sessionTicket(),
      alpn('h2', 'http/1.1'),
      supportedVersions(0x2a2a, 0x0304, 0x0303),
      pskKeyExchangeModes(1),
      keyShare(
        { group: 0x3a3a, keyExchange: bytes(1) },
        { group: 0x11ec, keyExchange: bytes(1216) },
        { group: 0x001d, keyExchange: bytes(32) },
      ),
      extension(0x4a4a, bytes(1)),
      preSharedKey([{ identity, obfuscatedTicketAge: 0xfedcba98 }]),
    ],
  })
}

export interface RecordParts {
  readonly contentType: number
  readonly version: number
}

export function record(
  fragment: Uint8Array,
  { contentType = 22, version = 0x0301 }: Partial<RecordParts> = {},
): Uint8Array {
  return concat(uint(1, contentType), uint(2, version), vector(2, fragment))
}

/** The message as a client sends it, cut into records with fragments of at most so many bytes. */
export function records(message: Uint8Array, fragmentLength = 16_384): Uint8Array {
  const cut: Uint8Array[] = []
  for (let start = 0; start < message.length; start += fragmentLength) {
    cut.push(record(message.subarray(start, start + fragmentLength)))
  }
  // Not spread: a million arguments are too many.
  return new Uint8Array(Buffer.concat(cut))
}
