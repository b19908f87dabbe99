import { createHash, createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { SslSession } from '../../../src/index.ts'
import { sessionInternals } from '../../../src/session/ssl-session.ts'
import { afterTest, NAME } from '../../tools/node-servers.ts'

/** One identity of a ClientHello. */
export interface Psk {
  readonly identity: Uint8Array
  readonly key: Uint8Array
  readonly hash: 'sha256' | 'sha384'
  /** The label of its binder, RFC 9846 §7.1. */
  readonly binder: 'res binder' | 'ext binder'
}

const HEADER = '\0nodejs:tls:session:1\0'
const TLS_AES_128_GCM_SHA256 = 0x1301
const TLS_AES_256_GCM_SHA384 = 0x1302

/** What Node's client keeps, as an identity. */
export function ticketPsk(session: Buffer | undefined): Psk {
  if (session === undefined) throw new TypeError('the client has a session')
  const hasHeader = session.subarray(0, HEADER.length).toString('latin1') === HEADER
  const start = hasHeader ? HEADER.length + 2 + session.readUInt16BE(HEADER.length) : 0
  const { ticket, masterKey, cipherSuite } = sessionInternals.content(
    SslSession.fromDer(session.subarray(start)),
  )
  return {
    identity: ticket ?? new Uint8Array(0),
    key: masterKey,
    hash: cipherSuite === TLS_AES_256_GCM_SHA384 ? 'sha384' : 'sha256',
    binder: 'res binder',
  }
}

export interface OfferSettings {
  readonly servername?: string
  /** A random one of 32 bytes by default. */
  readonly sessionId?: Uint8Array
  /** Bytes of each record. */
  readonly recordLength?: number
}

/**
 * A client that offers any number of identities, where Node's own offers one, and leaves after the ServerHello.
 *
 * @returns the index of the identity that the server has taken; undefined for a full handshake
 */
export async function offer(
  { port }: { readonly port: number },
  psks: readonly Psk[],
  { recordLength = 16_384, ...settings }: OfferSettings = {},
): Promise<number | undefined> {
  const socket = net.connect(port, '127.0.0.1')
  afterTest(() => socket.destroy())
  await once(socket, 'connect')
  const hello = clientHello(psks, settings)
  for (let start = 0; start < hello.length; start += recordLength)
    socket.write(record(hello.subarray(start, start + recordLength)))
  let received = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk])
    if (received.length >= 5 && received.length >= 5 + received.readUInt16BE(3)) break
  }
  socket.destroy()
  // Handshake, and a ServerHello in it.
  if (received[0] !== 22 || received[5] !== 2)
    throw new Error(`no ServerHello, but ${received.toString('hex')}`)
  return selectedIdentity(received.subarray(9, 5 + received.readUInt16BE(3)))
}

function selectedIdentity(serverHello: Buffer): number | undefined {
  let at = 2 + 32
  at += 1 + (serverHello[at] ?? 0) + 2 + 1 + 2
  while (at < serverHello.length) {
    const type = serverHello.readUInt16BE(at)
    if (type === 41) return serverHello.readUInt16BE(at + 4)
    at += 4 + serverHello.readUInt16BE(at + 2)
  }
  return undefined
}

/** Of TLS 1.3, with binders as RFC 9846 §4.3.11.2 (RFC 8446 §4.2.11.2) has them. */
function clientHello(
  psks: readonly Psk[],
  { servername = NAME, sessionId = randomBytes(32) }: Omit<OfferSettings, 'recordLength'>,
): Buffer {
  const share = generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const identities = psks.map(({ identity }) => Buffer.concat([vector(2, identity), Buffer.alloc(4)]))
  const blank = psks.map(({ hash }) => vector(1, Buffer.alloc(digestLength(hash))))
  const blankBinders = vector(2, ...blank)
  const extensions = [
    extension(0, vector(2, Buffer.of(0), vector(2, Buffer.from(servername, 'latin1')))),
    extension(43, vector(1, uint16(0x0304))),
    extension(10, vector(2, uint16(29))),
    extension(13, vector(2, uint16(0x0403), uint16(0x0804), uint16(0x0401))),
    extension(51, vector(2, uint16(29), vector(2, share))),
    extension(45, vector(1, Buffer.of(1))),
    ...(psks.length > 0 ? [extension(41, Buffer.concat([vector(2, ...identities), blankBinders]))] : []),
  ]
  const body = Buffer.concat([
    uint16(0x0303),
    randomBytes(32),
    vector(1, sessionId),
    vector(2, uint16(TLS_AES_256_GCM_SHA384), uint16(TLS_AES_128_GCM_SHA256)),
    vector(1, Buffer.of(0)),
    vector(2, ...extensions),
  ])
  const message = Buffer.concat([Buffer.of(1), vector(3, body)])
  if (psks.length === 0) return message
  const truncated = message.subarray(0, -blankBinders.length)
  return Buffer.concat([truncated, vector(2, ...psks.map((psk) => vector(1, binderOf(psk, truncated))))])
}

function binderOf({ key, hash, binder }: Psk, truncated: Buffer): Buffer {
  const length = digestLength(hash)
  const early = createHmac(hash, Buffer.alloc(length)).update(key).digest()
  const digest = (bytes: Uint8Array): Buffer => createHash(hash).update(bytes).digest()
  const binderKey = expandLabel(hash, early, binder, digest(Buffer.alloc(0)))
  const finishedKey = expandLabel(hash, binderKey, 'finished', Buffer.alloc(0))
  return createHmac(hash, finishedKey).update(digest(truncated)).digest()
}

/** HKDF-Expand-Label, RFC 9846 §7.1, of one block. */
function expandLabel(hash: Psk['hash'], secret: Buffer, label: string, context: Buffer): Buffer {
  const info = Buffer.concat([
    uint16(digestLength(hash)),
    vector(1, Buffer.from(`tls13 ${label}`)),
    vector(1, context),
  ])
  return createHmac(hash, secret).update(info).update(Buffer.of(1)).digest()
}

function digestLength(hash: Psk['hash']): number {
  return hash === 'sha256' ? 32 : 48
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([uint16(type), vector(2, content)])
}

function record(fragment: Buffer): Buffer {
  return Buffer.concat([Buffer.of(22, 3, 1), vector(2, fragment)])
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff)
}

/** With its length in front, in so many bytes. */
function vector(lengthBytes: number, ...content: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content)
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(bytes.length, 0, lengthBytes)
  return Buffer.concat([length, bytes])
}
