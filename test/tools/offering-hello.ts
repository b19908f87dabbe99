import { createHash, createHmac } from 'node:crypto'
import {
  bytes,
  clientHello,
  concat,
  extension,
  keyShare,
  preSharedKey,
  pskKeyExchangeModes,
  serverName,
  sessionTicket,
  supportedVersions,
  uint,
  vector,
} from './client-hello-builder.ts'

const AES_128_GCM_SHA256 = 0x1301
const ECDHE_RSA_AES_128_GCM_SHA256 = 0xc02f
const ECDHE_ECDSA_AES_128_GCM_SHA256 = 0xc02b
const BINDER_LENGTH = 32

/** What a hello that libssl understands offers. */
export interface HelloOffer {
  /** Of TLS 1.2, or the legacy one of TLS 1.3; without, 32 bytes. */
  readonly sessionId?: Uint8Array
  /** Without, no pre_shared_key. */
  readonly identity?: Uint8Array
  /** The key that belongs to the identity, of a session with SHA-256; without, the binder is nonsense. */
  readonly psk?: Uint8Array
  readonly serverName?: string | Uint8Array
}

const common = (offer: HelloOffer): readonly Uint8Array[] => [
  ...(offer.serverName === undefined ? [] : [serverName(offer.serverName)]),
  extension(10, vector(2, uint(2, 0x001d), uint(2, 0x0017))),
  extension(11, vector(1, Uint8Array.of(0))),
  extension(13, vector(2, uint(2, 0x0804), uint(2, 0x0403), uint(2, 0x0401))),
]

/** The handshake message of a hello of TLS 1.3, with the binder of RFC 9846 §4.3.11.2 (RFC 8446 §4.2.11.2). */
export function hello13(offer: HelloOffer = {}): Uint8Array {
  const { sessionId = bytes(32, 0x1d), identity, psk } = offer
  const message = clientHello({
    sessionId,
    cipherSuites: [AES_128_GCM_SHA256],
    extensions: [
      ...common(offer),
      supportedVersions(0x0304),
      pskKeyExchangeModes(1),
      // Any 32 bytes are a point of X25519.
      keyShare({ group: 0x001d, keyExchange: bytes(32, 9) }),
      ...(identity === undefined ? [] : [preSharedKey([{ identity }])]),
    ],
  })
  if (identity === undefined || psk === undefined) return message
  const truncated = message.subarray(0, message.length - BINDER_LENGTH - 3)
  return concat(truncated, vector(2, vector(1, pskBinder(psk, truncated))))
}

/** The handshake message of a hello of TLS 1.2, without a ticket. */
export function hello12(offer: HelloOffer = {}): Uint8Array {
  return clientHello({
    sessionId: offer.sessionId ?? bytes(32, 0x1d),
    cipherSuites: [ECDHE_RSA_AES_128_GCM_SHA256, ECDHE_ECDSA_AES_128_GCM_SHA256],
    extensions: [...common(offer), extension(23), sessionTicket()],
  })
}

function pskBinder(psk: Uint8Array, truncated: Uint8Array): Uint8Array {
  const hash = (content: Uint8Array): Buffer => createHash('sha256').update(content).digest()
  const early = createHmac('sha256', bytes(32, 0)).update(psk).digest()
  const binderKey = expandLabel(early, 'res binder', hash(bytes(0)))
  const finishedKey = expandLabel(binderKey, 'finished', bytes(0))
  return createHmac('sha256', finishedKey).update(hash(truncated)).digest()
}

/** RFC 9846 §7.1; HKDF-Expand of one block. */
function expandLabel(secret: Uint8Array, label: string, context: Uint8Array): Buffer {
  const info = concat(uint(2, 32), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context))
  return createHmac('sha256', secret)
    .update(concat(info, Uint8Array.of(1)))
    .digest()
}
