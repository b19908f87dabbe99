import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ChainEnds } from '../../../src/node/chain-ends.ts'
import type { PeerCertificate, TlsHandle } from '../../../src/node/node-engine.ts'
import type { TrustProfile } from '../../../src/node/trust-profile.ts'

const DAY_MS = 86_400_000
const NOW_MS = Date.UTC(2026, 0, 1)

/** The peer of a handshake, and how often its whole chain was asked for. */
class Peer {
  readonly #fingerprint: string
  readonly #ends: readonly number[]
  asked = 0

  /** @param ends - of the certificates of the chain, in days from now */
  constructor(fingerprint: string, ...ends: readonly number[]) {
    this.#fingerprint = fingerprint
    this.#ends = ends
  }

  get handle(): TlsHandle {
    const getPeerCertificate = (isDetailed: boolean): PeerCertificate => {
      if (!isDetailed) return { fingerprint256: this.#fingerprint }
      this.asked++
      return this.#chain(this.#ends)
    }
    return { getPeerCertificate } as unknown as TlsHandle
  }

  #chain([days = 0, ...others]: readonly number[]): PeerCertificate {
    const certificate = { valid_to: new Date(NOW_MS + days * DAY_MS).toUTCString() }
    // The last one has issued itself.
    if (others.length === 0) Object.assign(certificate, { issuerCertificate: certificate })
    return others.length === 0 ? certificate : { ...certificate, issuerCertificate: this.#chain(others) }
  }
}

const profile = (digest: number, isOpaque = false): TrustProfile => ({
  requestCert: true,
  rejectUnauthorized: true,
  digest: Buffer.alloc(32, digest),
  isOpaque,
})

const inDays = (days: number): number => (NOW_MS + days * DAY_MS) / 1000

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: NOW_MS }))
afterEach(() => void vi.useRealTimers())

describe('the end of a chain', () => {
  test('is that of its first certificate to expire', () => {
    for (const ends of [
      [30, 90, 60],
      [90, 30, 60],
      [60, 90, 30],
    ])
      expect(new ChainEnds().of(new Peer('a', ...ends).handle, profile(1), NOW_MS)).toBe(inDays(30))
  })

  test.each([
    ['before the handshake began', -1, 30],
    // It may have been good when the chain was verified.
    ['a moment ago', -1 / 1440, -1 / 1440],
  ])('with a certificate of an authority that ended %s', (_when, ended, end) => {
    expect(new ChainEnds().of(new Peer('a', 90, ended, 30).handle, profile(1), NOW_MS)).toBe(inDays(end))
  })

  test('of a client whose own certificate has ended is that end', () => {
    expect(new ChainEnds().of(new Peer('a', -1, 30).handle, profile(1), NOW_MS)).toBe(inDays(-1))
  })

  test('is looked at once for a client and the same authorities', () => {
    const ends = new ChainEnds()
    const peer = new Peer('a', 90, 30)
    for (let handshake = 0; handshake < 3; handshake++)
      expect(ends.of(peer.handle, profile(1), NOW_MS)).toBe(inDays(30))
    expect(peer.asked).toBe(1)
    ends.of(peer.handle, profile(2), NOW_MS)
    expect(peer.asked).toBe(2)
    expect(ends.of(new Peer('b', 40).handle, profile(1), NOW_MS)).toBe(inDays(40))
  })

  test('is looked at each time within a week of it: the chain may have been renewed', () => {
    const ends = new ChainEnds()
    expect(ends.of(new Peer('a', 90, 10).handle, profile(1), NOW_MS)).toBe(inDays(10))
    const renewed = new Peer('a', 90, 80).handle
    expect(ends.of(renewed, profile(1), NOW_MS + 2 * DAY_MS)).toBe(inDays(10))
    expect(ends.of(renewed, profile(1), NOW_MS + 4 * DAY_MS)).toBe(inDays(80))
  })

  test.each([
    ['whose authorities nobody knows', profile(1, true)],
    ['whose server name is not known yet', undefined],
  ])('of a connection %s is looked at each time', (_, unknown) => {
    const ends = new ChainEnds()
    const peer = new Peer('a', 90)
    ends.of(peer.handle, unknown, NOW_MS)
    ends.of(peer.handle, unknown, NOW_MS)
    expect(peer.asked).toBe(2)
  })

  test('is remembered of 1,000 clients, the latest', () => {
    const ends = new ChainEnds()
    const first = new Peer('first', 90)
    ends.of(first.handle, profile(1), NOW_MS)
    for (let client = 0; client < 999; client++)
      ends.of(new Peer(`client ${client}`, 90).handle, profile(1), NOW_MS)
    ends.of(first.handle, profile(1), NOW_MS)
    expect(first.asked).toBe(1)
    for (let client = 0; client < 1_000; client++)
      ends.of(new Peer(`another ${client}`, 90).handle, profile(1), NOW_MS)
    ends.of(first.handle, profile(1), NOW_MS)
    expect(first.asked).toBe(2)
  })
})
