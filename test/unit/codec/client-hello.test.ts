import { describe, expect, test } from 'vitest'
import { type ClientHello, decodeClientHello } from '../../../src/codec/client-hello.ts'
import { ClientHelloError, SessionCacheError } from '../../../src/errors.ts'
import {
  alpn,
  ascii,
  bytes,
  type ClientHelloParts,
  clientHello,
  clientHelloOfLength,
  concat,
  ExtensionType,
  extendedMasterSecret,
  extension,
  keyShare,
  type OfferedPsk,
  preSharedKey,
  pskKeyExchangeModes,
  resumingClientHello,
  serverName,
  sessionTicket,
  supportedVersions,
  uint,
  vector,
} from '../../tools/client-hello-builder.ts'
import fc from '../../tools/fast-check.ts'

function decode(parts: Partial<ClientHelloParts>): ClientHello {
  return decodeClientHello(clientHello(parts))
}

function decodeExtensions(...extensions: readonly Uint8Array[]): ClientHello {
  return decode({ extensions })
}

function refusal(message: Uint8Array): ClientHelloError | undefined {
  try {
    decodeClientHello(message)
    return undefined
  } catch (error) {
    if (error instanceof ClientHelloError) return error
    throw error
  }
}

/** @returns where */
function refusedAt(message: Uint8Array): number | undefined {
  return refusal(message)?.offset
}

function isRefused(parts: Partial<ClientHelloParts>): boolean {
  return refusal(clientHello(parts)) !== undefined
}

/** Of the first extension, in a hello with no other parts than `clientHello` gives it. */
const FIRST_EXTENSION = clientHello().length

describe('a ClientHello is decoded', () => {
  test('with everything that resumption in TLS 1.3 needs', () => {
    expect(decodeClientHello(resumingClientHello())).toStrictEqual({
      legacyVersion: 0x0303,
      sessionId: bytes(32, 0x1d),
      cipherSuites: [0x0a0a, 0x1301, 0x1302, 0xc02f],
      serverName: 'shop.example',
      extendedMasterSecret: true,
      sessionTicket: bytes(0),
      alpnProtocols: ['h2', 'http/1.1'],
      supportedVersions: [0x2a2a, 0x0304, 0x0303],
      pskKeyExchangeModes: [1],
      keyShareGroups: [0x3a3a, 0x11ec, 0x001d],
      pskIdentities: [{ identity: bytes(32, 0x77), obfuscatedTicketAge: 0xfedcba98 }],
    })
  })

  const bare = {
    legacyVersion: 0x0301,
    sessionId: bytes(0),
    cipherSuites: [0x1301, 0xc02f],
    alpnProtocols: [],
    pskIdentities: [],
    extendedMasterSecret: false,
    keyShareGroups: [],
  }

  test.each([
    ['without a block of extensions, as in TLS 1.0 (RFC 5246 §7.4.1.2)', undefined],
    ['with an empty block of extensions', []],
  ])('%s', (_, extensions) => {
    expect(decode({ legacyVersion: 0x0301, extensions })).toStrictEqual(bare)
  })

  test('with unknown extensions and those of RFC 8701 (GREASE), whatever is in them', () => {
    const extensions = [extension(0x0a0a), extension(0xfafa, bytes(1)), extension(0xff01, bytes(1, 0))]
    expect(decode({ legacyVersion: 0x0301, extensions })).toStrictEqual(bare)
  })

  test('when it has 50 KB', () => {
    expect(decodeClientHello(clientHelloOfLength(50_000)).cipherSuites).toEqual([0x1301])
  })

  test('into values of their own, from a Uint8Array and from a Buffer', () => {
    for (const message of [resumingClientHello(), Buffer.from(resumingClientHello())]) {
      const hello = decodeClientHello(message)
      message.fill(0)
      expect(hello).toStrictEqual(decodeClientHello(resumingClientHello()))
      expect(hello.sessionId.constructor).toBe(Uint8Array)
      expect(hello.sessionId.buffer.byteLength).toBe(32)
      expect(hello.pskIdentities[0]?.identity.buffer.byteLength).toBe(32)
    }
  })

  test('from the middle of a larger buffer', () => {
    const message = resumingClientHello()
    const within = concat(bytes(7), message, bytes(9)).subarray(7, 7 + message.length)
    expect(decodeClientHello(within)).toStrictEqual(decodeClientHello(message))
  })
})

describe('a ClientHello is refused with ERR_CLIENT_HELLO_INVALID', () => {
  test('and the offset of what is wrong', () => {
    const error = refusal(clientHello({ messageType: 2 }))
    expect(error).toBeInstanceOf(SessionCacheError)
    expect(error).toMatchObject({ name: 'ClientHelloError', code: 'ERR_CLIENT_HELLO_INVALID', offset: 0 })
    expect(error?.message).toBe('msg_type must be client_hello (1), got 2 (at offset 0)')
  })

  test('when it is any proper prefix of one', () => {
    const message = resumingClientHello()
    for (let length = 0; length < message.length; length++) {
      expect(refusal(message.subarray(0, length))).toBeInstanceOf(ClientHelloError)
    }
  })

  test('when it is any proper prefix of one, with the length in its header made to agree', () => {
    const message = resumingClientHello()
    // Only where all extensions are cut off, their length too, is it whole again.
    const whole: number[] = []
    for (let length = 4; length < message.length; length++) {
      const prefix = concat(uint(1, 1), uint(3, length - 4), message.subarray(4, length))
      if (refusal(prefix) === undefined) whole.push(length)
    }
    expect(whole).toEqual([4 + 2 + 32 + 33 + 2 + 8 + 2])
  })

  test.each([0, 2, 3, 255])('with handshake type %i', (messageType) => {
    expect(refusedAt(clientHello({ messageType }))).toBe(0)
  })

  test.each([-1, 1])('when its length is off by %i', (off) => {
    const announcedLength = clientHello().length - 4 + off
    expect(refusedAt(clientHello({ announcedLength }))).toBe(1)
  })

  test('with a 24-bit length that would be negative as a signed one', () => {
    expect(refusedAt(clientHello({ announcedLength: 0xffffff }))).toBe(1)
  })

  test('with leftovers after the extensions', () => {
    const message = clientHello({ leftovers: bytes(1) })
    expect(refusedAt(message)).toBe(message.length - 1)
  })

  test('with leftovers in place of the extensions', () => {
    expect(isRefused({ extensions: undefined, leftovers: bytes(1) })).toBe(true)
  })
})

describe('the fixed part', () => {
  test.each([0, 1, 31, 32])('may have a session id of %i bytes', (length) => {
    expect(decode({ sessionId: bytes(length) }).sessionId).toEqual(bytes(length))
  })

  test.each([33, 255])('must not have a session id of %i bytes', (length) => {
    expect(refusedAt(clientHello({ sessionId: bytes(length) }))).toBe(4 + 2 + 32)
  })

  test('must have cipher suites', () => {
    expect(isRefused({ cipherSuites: [] })).toBe(true)
  })

  test('may have all the cipher suites that fit', () => {
    const cipherSuites = Array.from({ length: 32_767 }, (_, index) => index)
    expect(decode({ cipherSuites }).cipherSuites).toEqual(cipherSuites)
  })

  test('must have an even number of bytes of cipher suites', () => {
    const head = concat(uint(2, 0x0303), bytes(32), uint(1, 0))
    const body = (suites: Uint8Array) => concat(head, vector(2, suites), vector(1, uint(1, 0)))
    const message = (suites: Uint8Array) => concat(uint(1, 1), vector(3, body(suites)))
    expect(refusedAt(message(bytes(2)))).toBeUndefined()
    expect(refusedAt(message(bytes(1)))).toBe(39)
    expect(refusedAt(message(bytes(3)))).toBe(39 + 2 + 3)
    expect(refusedAt(message(bytes(0xffff)))).toBe(39)
  })

  test('must have a compression method, and may have 255', () => {
    expect(isRefused({ compressionMethods: [] })).toBe(true)
    expect(isRefused({ compressionMethods: Array.from(bytes(255)) })).toBe(false)
  })
})

describe('extensions', () => {
  test.each([
    ...Object.entries({
      server_name: serverName('a'),
      alpn: alpn('h2'),
      extended_master_secret: extendedMasterSecret(),
      session_ticket: sessionTicket(),
      supported_versions: supportedVersions(0x0304),
      psk_key_exchange_modes: pskKeyExchangeModes(1),
      key_share: keyShare(),
      padding: extension(ExtensionType.PADDING),
      'an unknown one': extension(0xfafa, bytes(3)),
    }),
  ])('must not come twice: %s (RFC 9846 §4.3, RFC 8446 §4.2)', (_, one) => {
    expect(refusedAt(clientHello({ extensions: [one] }))).toBeUndefined()
    const other = extension(0x0a0a)
    expect(refusedAt(clientHello({ extensions: [one, other, one] }))).toBe(FIRST_EXTENSION + one.length + 4)
  })

  test('may be as many as fit', () => {
    const extensions = Array.from({ length: 16_383 }, (_, index) => extension(0x1000 + index))
    expect(decode({ extensions }).cipherSuites).toEqual([0x1301, 0xc02f])
  })

  test.each([1, 2, 3])('must not end in a header of %i bytes', (length) => {
    expect(isRefused({ extensions: [extension(0x0a0a), bytes(length, 0)] })).toBe(true)
  })

  test('must not be longer than what holds them', () => {
    expect(isRefused({ extensions: [uint(4, 0x0a0a0001)] })).toBe(true)
    expect(isRefused({ extensions: [uint(4, 0x0a0a0001), bytes(1)] })).toBe(false)
  })

  test.each(
    Object.entries({
      server_name: serverName('a'),
      alpn: alpn('h2'),
      extended_master_secret: extendedMasterSecret(),
      supported_versions: supportedVersions(0x0304),
      psk_key_exchange_modes: pskKeyExchangeModes(1),
      key_share: keyShare({ group: 29, keyExchange: bytes(32) }),
      pre_shared_key: preSharedKey([{ identity: bytes(32) }]),
    }),
  )('must have no leftovers and lack nothing: %s', (_, one) => {
    const type = one[0]! * 0x100 + one[1]!
    const content = one.subarray(4)
    expect(isRefused({ extensions: [extension(type, content)] })).toBe(false)
    expect(isRefused({ extensions: [extension(type, content, bytes(1))] })).toBe(true)
    for (let length = 0; length < content.length; length++) {
      expect(isRefused({ extensions: [extension(type, content.subarray(0, length))] })).toBe(true)
    }
  })
})

describe('server_name (RFC 6066 §3)', () => {
  test.each([0, 1, 255])('may have %i bytes', (length) => {
    const name = 'a'.repeat(length)
    expect(decodeExtensions(serverName(name)).serverName).toBe(name)
  })

  test.each([256])('must not have %i bytes', (length) => {
    expect(refusedAt(clientHello({ extensions: [serverName('a'.repeat(length))] }))).toBe(FIRST_EXTENSION + 7)
  })

  test('keeps the case in which it was sent, since Node chooses the certificate by it', () => {
    expect(decodeExtensions(serverName('Shop.EXAMPLE')).serverName).toBe('Shop.EXAMPLE')
  })

  test('keeps what the DNS would not have, a trailing dot too', () => {
    expect(decodeExtensions(serverName('_a b.')).serverName).toBe('_a b.')
  })

  test.each([
    ['a NUL at the end', 'shop.example\0', 12],
    ['a NUL within', 'shop.example\0.evil.example', 12],
    ['a NUL alone', '\0', 0],
  ])('must not have %s', (_, name, at) => {
    expect(refusedAt(clientHello({ extensions: [serverName(name)] }))).toBe(FIRST_EXTENSION + 9 + at)
  })

  test.each(['caf\xe9.example', '\x80', '\xc3\xa9.example'])(
    'has bytes that are not ASCII one by one: %j',
    (name) => {
      expect(decodeExtensions(serverName(name)).serverName).toBe(name)
    },
  )

  test('must be one', () => {
    expect(isRefused({ extensions: [serverName()] })).toBe(true)
    expect(isRefused({ extensions: [serverName('a', 'b')] })).toBe(true)
  })

  test('must be of the type host_name', () => {
    const list = vector(2, uint(1, 1), vector(2, ascii('a')))
    expect(refusedAt(clientHello({ extensions: [extension(ExtensionType.SERVER_NAME, list)] }))).toBe(
      FIRST_EXTENSION + 6,
    )
  })
})

describe('application_layer_protocol_negotiation (RFC 7301 §3.1)', () => {
  test('gives the names in their order, byte by byte', () => {
    expect(decodeExtensions(alpn('\xff\0', 'b', 'a'.repeat(255))).alpnProtocols).toEqual([
      '\xff\0',
      'b',
      'a'.repeat(255),
    ])
  })

  test('must have a name, and none that is empty', () => {
    expect(isRefused({ extensions: [alpn()] })).toBe(true)
    expect(isRefused({ extensions: [alpn('')] })).toBe(true)
    expect(isRefused({ extensions: [alpn('h2', '')] })).toBe(true)
  })
})

describe('session_ticket (RFC 5077 §3.2)', () => {
  test.each([0, 1, 192, 65_531])('may have a ticket of %i bytes', (length) => {
    expect(decodeExtensions(sessionTicket(bytes(length))).sessionTicket).toEqual(bytes(length))
  })
})

describe('extended_master_secret (RFC 7627 §5.1)', () => {
  test('is empty', () => {
    expect(decodeExtensions(extendedMasterSecret()).extendedMasterSecret).toBe(true)
    expect(isRefused({ extensions: [extension(ExtensionType.EXTENDED_MASTER_SECRET, bytes(1))] })).toBe(true)
  })
})

describe('supported_versions (RFC 9846 §4.3.1, RFC 8446 §4.2.1)', () => {
  test('may have 1 to 127', () => {
    const versions = Array.from({ length: 127 }, (_, index) => 0x0304 + index)
    expect(decodeExtensions(supportedVersions(0x0304)).supportedVersions).toEqual([0x0304])
    expect(decodeExtensions(supportedVersions(...versions)).supportedVersions).toEqual(versions)
  })

  test.each([0, 1, 3, 255])('must not have %i bytes', (length) => {
    const extensions = [extension(ExtensionType.SUPPORTED_VERSIONS, vector(1, bytes(length)))]
    expect(isRefused({ extensions })).toBe(true)
  })
})

describe('psk_key_exchange_modes (RFC 9846 §4.3.9, RFC 8446 §4.2.9)', () => {
  test('may have 1 to 255', () => {
    const modes = Array.from({ length: 255 }, (_, index) => index)
    expect(decodeExtensions(pskKeyExchangeModes(0, 1)).pskKeyExchangeModes).toEqual([0, 1])
    expect(decodeExtensions(pskKeyExchangeModes(...modes)).pskKeyExchangeModes).toEqual(modes)
    expect(isRefused({ extensions: [pskKeyExchangeModes()] })).toBe(true)
  })
})

describe('key_share (RFC 9846 §4.3.8, RFC 8446 §4.2.8)', () => {
  test('may be empty, when the client would rather be told the group', () => {
    expect(decodeExtensions(keyShare()).keyShareGroups).toEqual([])
  })

  test('may be large: 1,216 bytes of X25519MLKEM768, and 65,525', () => {
    for (const length of [1216, 65_525]) {
      const hello = decodeExtensions(keyShare({ group: 0x11ec, keyExchange: bytes(length) }))
      expect(hello.keyShareGroups).toEqual([0x11ec])
    }
  })

  test('must not have an empty share', () => {
    expect(isRefused({ extensions: [keyShare({ group: 29, keyExchange: bytes(0) })] })).toBe(true)
  })
})

describe('pre_shared_key (RFC 9846 §4.3.11, RFC 8446 §4.2.11)', () => {
  const psk: OfferedPsk = { identity: bytes(32) }

  test('gives the identities in their order, with an age of 32 bits without a sign', () => {
    const identities = [
      { identity: bytes(1, 1), obfuscatedTicketAge: 0xffffffff },
      { identity: bytes(32, 2), obfuscatedTicketAge: 0 },
      { identity: bytes(60_000, 3), obfuscatedTicketAge: 0x80000000 },
    ]
    expect(decodeExtensions(preSharedKey(identities)).pskIdentities).toEqual(identities)
  })

  test('must be the last extension', () => {
    const last = preSharedKey([psk])
    expect(refusedAt(clientHello({ extensions: [last, sessionTicket()] }))).toBe(
      FIRST_EXTENSION + last.length,
    )
    expect(isRefused({ extensions: [last, last] })).toBe(true)
    expect(isRefused({ extensions: [sessionTicket(), last] })).toBe(false)
  })

  test('must have an identity, and none that is empty', () => {
    expect(isRefused({ extensions: [preSharedKey([], [32])] })).toBe(true)
    expect(isRefused({ extensions: [preSharedKey([{ identity: bytes(0) }])] })).toBe(true)
    expect(isRefused({ extensions: [preSharedKey([psk, { identity: bytes(0) }])] })).toBe(true)
  })

  test('has at most 64 identities, since each is kept until the handshake is over', () => {
    const many = (count: number): ReturnType<typeof preSharedKey> =>
      preSharedKey(Array.from({ length: count }, () => ({ identity: bytes(1) })))
    expect(decodeExtensions(many(64)).pskIdentities).toHaveLength(64)
    expect(isRefused({ extensions: [many(65)] })).toBe(true)
    expect(isRefused({ extensions: [many(1500)] })).toBe(true)
  })

  test('must have as many binders as identities', () => {
    const two = [psk, psk]
    expect(isRefused({ extensions: [preSharedKey(two, [32, 48])] })).toBe(false)
    expect(isRefused({ extensions: [preSharedKey(two, [64])] })).toBe(true)
    expect(isRefused({ extensions: [preSharedKey(two, [32, 32, 32])] })).toBe(true)
    expect(isRefused({ extensions: [preSharedKey(two, [])] })).toBe(true)
  })

  test.each([
    [32, false],
    [255, false],
    [31, true],
    [0, true],
  ])('with a binder of %i bytes is refused: %s', (length, refused) => {
    expect(isRefused({ extensions: [preSharedKey([psk, psk], [32, length])] })).toBe(refused)
  })
})

test('one flipped byte makes a ClientHello that is decoded, or is refused with our error', () => {
  const message = resumingClientHello()
  let accepted = 0
  const at = fc.integer({ min: 0, max: message.length - 1 })
  fc.assert(
    fc.property(at, fc.integer({ min: 1, max: 255 }), (offset, mask) => {
      const flipped = message.slice()
      flipped[offset]! ^= mask
      const error = refusal(flipped)
      if (error === undefined) accepted++
      else expect(error.offset).toBeLessThanOrEqual(message.length)
    }),
    { numRuns: 20_000 },
  )
  expect(accepted).toBeGreaterThan(0)
  expect(accepted).toBeLessThan(20_000)
})

test('arbitrary bytes are refused with our error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), (body) => {
      expect(refusal(body)).toBeInstanceOf(ClientHelloError)
      refusal(concat(uint(1, 1), vector(3, body)))
    }),
    { numRuns: 10_000 },
  )
})
