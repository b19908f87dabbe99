import { type SslSessionFields, sessionWriter, writeSslSession } from '../../src/codec/ssl-session-der.ts'
import fc from './fast-check.ts'
import { hex } from './hex.ts'

/** With its own times. */
export function encode(fields: SslSessionFields): Uint8Array {
  writeSslSession(fields, fields)
  return sessionWriter.finish()
}

export const MINIMAL: SslSessionFields = {
  protocolVersion: 0x0303,
  cipherSuite: 0xc030,
  sessionId: hex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
  masterKey: new Uint8Array(48).map((_, index) => index),
  timeSec: 1_600_000_000,
  timeoutSec: 7200,
  sessionIdContext: new Uint8Array(0),
  verifyResult: 0,
  ticketLifetimeHintSec: 0n,
  compressionId: 0,
  flags: 0,
  ticketAgeAdd: 0,
  maxEarlyData: 0,
  maxFragmentLengthMode: 0,
  kexGroup: 0,
}

const ID_AND_KEY =
  '0420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0430000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f'

/** Vectors of libssl 3.0.22: without [4] and [19]; in the canonical form; with every scalar field. */
export const V1: Uint8Array = hex(`306d020101020203030402c030${ID_AND_KEY}a10602045f5e1000a20402021c20`)
export const V2: Uint8Array = hex(
  `3076020101020203030402c030${ID_AND_KEY}a10602045f5e1000a20402021c20a4020400b303020100`,
)
export const V3: Uint8Array = hex(
  `3081d8020101020203030402c030${ID_AND_KEY}a10602045f5e1000a20402021c20a4050403637478a503020112a60d040b6578616d706c652e6f7267a706040468696e74a80404026964a9040202012caa0a0408aaaaaaaaaaaaaaaaac03040175ad03020101ae07020500fedcba98af0402024000b00404026832b103020101b2050403617070b30302011d`,
)

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength, size: 'max' })
const text = bytes(40).map((octets) => octets.filter((octet) => octet !== 0))
const uint32 = fc.nat(0xffff_ffff)

export const anyFields: fc.Arbitrary<SslSessionFields> = fc.record(
  {
    protocolVersion: fc.oneof(
      fc.integer({ min: 0x300, max: 0x3ff }),
      fc.integer({ min: 0xfe00, max: 0xfeff }),
      fc.constant(0x100),
    ),
    cipherSuite: fc.nat(0xffff),
    sessionId: bytes(32),
    masterKey: bytes(512),
    timeSec: fc.nat(18_446_744_073),
    timeoutSec: fc.nat(18_446_744_073),
    peerCertificate: bytes(300).map((content) => {
      const octets = [...content].slice(0, 100)
      return Uint8Array.from([0x30, octets.length + 2, 0x04, octets.length, ...octets])
    }),
    sessionIdContext: bytes(32),
    verifyResult: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    hostname: text,
    pskIdentityHint: text,
    pskIdentity: text,
    ticketLifetimeHintSec: fc.bigInt(0n, 2n ** 64n - 1n),
    ticket: bytes(300),
    compressionId: fc.nat(255),
    srpUsername: text,
    flags: uint32,
    ticketAgeAdd: uint32,
    maxEarlyData: uint32,
    alpnSelected: bytes(20),
    maxFragmentLengthMode: fc.nat(255),
    ticketAppData: bytes(300),
    kexGroup: uint32,
    peerRawPublicKey: fc.constant(hex('30020500')),
  },
  {
    requiredKeys: [
      'protocolVersion',
      'cipherSuite',
      'sessionId',
      'masterKey',
      'timeSec',
      'timeoutSec',
      'sessionIdContext',
      'verifyResult',
      'ticketLifetimeHintSec',
      'compressionId',
      'flags',
      'ticketAgeAdd',
      'maxEarlyData',
      'maxFragmentLengthMode',
      'kexGroup',
    ],
  },
)
