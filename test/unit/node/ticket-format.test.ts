import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KeyRing, SslSession } from '../../../src/index.ts'
import { makeOriginBlock, openTicket, readTicket, ticketHead } from '../../../src/node/stateless-ticket.ts'
import { BlockCipher, TicketKeyRing, type TicketKeys } from '../../../src/node/ticket-keys.ts'
import { V2 } from '../../tools/session-fields.ts'

const TLS12_DER = V2
/** The same in TLS 1.3. */
const DER = Buffer.from(TLS12_DER)
DER.set([2, 2, 3, 4], DER.indexOf(Buffer.of(2, 2, 3, 3)))
const HOUR_MS = 3_600_000
/** The first moment of a period. */
const NOW_MS = 1_800_000 * 1_000_000 - ((1_800_000 * 1_000_000) % HOUR_MS)
const LIFETIME_MS = 2 * HOUR_MS
const SECRET = randomBytes(32)
const rules = () => ({ periodMs: HOUR_MS, lifetimeMs: LIFETIME_MS })
const nameOf = (text: string) => new TextEncoder().encode(text)
const ringOf = (name = 'shop', secrets = [SECRET]) =>
  new TicketKeyRing(new KeyRing(secrets), nameOf(name), rules)
const origin = { authenticatedAtSec: NOW_MS / 1000, chainEndSec: NOW_MS / 1000 + 86_400 }

/** As libssl makes one of what its callback answered. */
function ticketOf(keys: TicketKeys, from = origin, der: Uint8Array = DER): Buffer {
  const iv = makeOriginBlock(from, keys)
  const cipher = createCipheriv('aes-128-cbc', keys.cipher, iv)
  const sealed = Buffer.concat([keys.name, iv, cipher.update(der), cipher.final()])
  return Buffer.concat([sealed, createHmac('sha256', keys.mac).update(sealed).digest()])
}

describe('the keys of tickets', () => {
  test('are the same for all who have the secret, and none serves two purposes', () => {
    const shown = ({ name, mac, cipher, origin: block }: TicketKeys): string[] =>
      [name, mac.subarray(0, 16), cipher, block.encrypt(Buffer.alloc(16))].map((key) => key.toString('hex'))
    const keys = ringOf().current(NOW_MS)
    expect(shown(ringOf().current(NOW_MS + HOUR_MS - 1))).toEqual(shown(keys))
    expect(new Set(shown(keys)).size).toBe(4)
    // That of the origin is not that of the session.
    const asCipher = createCipheriv('aes-128-ecb', keys.cipher, null).setAutoPadding(false)
    expect(keys.origin.encrypt(Buffer.alloc(16))).not.toEqual(asCipher.update(Buffer.alloc(16)))
  })

  test('are others in each period, and for each name of a server', () => {
    const { name, mac } = ringOf().current(NOW_MS)
    for (const other of [ringOf().current(NOW_MS + HOUR_MS), ringOf('bank').current(NOW_MS)]) {
      expect(other.name).not.toEqual(name)
      expect(other.mac).not.toEqual(mac)
    }
    expect(ringOf('bank').find(name, NOW_MS)).toBeUndefined()
  })

  test('are found from one period before their own until the last ticket has expired, and one period more', () => {
    const { name } = ringOf().current(NOW_MS)
    const lastMs = NOW_MS + HOUR_MS + LIFETIME_MS + HOUR_MS
    const isFound = (nowMs: number): boolean => ringOf().find(name, nowMs) !== undefined
    expect([NOW_MS - HOUR_MS - 1, NOW_MS - HOUR_MS, lastMs, lastMs + 1].map(isFound)).toEqual([
      false,
      true,
      true,
      false,
    ])
  })

  test('that are known already are no more found when their time is over', () => {
    const ring = ringOf()
    const { name } = ring.current(NOW_MS)
    expect(ring.find(name, NOW_MS + 5 * HOUR_MS)).toBeUndefined()
  })

  test('tell which period it is, when it ends, and of how many periods tickets open', () => {
    const ring = ringOf()
    expect(ring.periods(NOW_MS + 600_000)).toEqual({ current: NOW_MS / HOUR_MS, timeLeftSec: 3000, open: 5 })
    for (const nowMs of [NOW_MS, NOW_MS + 1, NOW_MS + HOUR_MS - 1]) {
      const { current, open } = ring.periods(nowMs)
      const found = Array.from({ length: 20 }, (_, index) => (current - 10 + index) * HOUR_MS).filter(
        (periodMs) => ring.find(ringOf().current(periodMs).name, nowMs) !== undefined,
      )
      expect([nowMs, open]).toEqual([nowMs, found.length])
    }
  })

  test('overlap when secrets are replaced: the first is used, all are understood, and what is left out is not', () => {
    const keyRing = new KeyRing([SECRET])
    const ring = new TicketKeyRing(keyRing, nameOf('shop'), rules)
    const { name } = ring.current(NOW_MS)
    const next = randomBytes(32)
    keyRing.replaceSecrets([next, SECRET])
    expect(ring.current(NOW_MS).name).toEqual(ringOf('shop', [next]).current(NOW_MS).name)
    expect(ring.find(name, NOW_MS)).toBeDefined()
    keyRing.replaceSecrets([next])
    expect(ring.find(name, NOW_MS)).toBeUndefined()
  })

  test('of a name that nobody made are not found', () => {
    const ring = ringOf()
    for (let count = 0; count < 1000; count++) expect(ring.find(randomBytes(16), NOW_MS)).toBeUndefined()
  })
})

describe('the cipher of single blocks', () => {
  test('keeps nothing of a block, and takes no part of one', () => {
    const cipher = new BlockCipher(randomBytes(16))
    const blocks = [randomBytes(16), randomBytes(16)]
    for (const block of [...blocks, ...blocks]) expect(cipher.decrypt(cipher.encrypt(block))).toEqual(block)
    for (const length of [0, 15, 17, 32]) {
      expect(() => cipher.encrypt(Buffer.alloc(length))).toThrow(TypeError)
      expect(() => cipher.decrypt(Buffer.alloc(length))).toThrow(TypeError)
    }
    expect(cipher.decrypt(cipher.encrypt(blocks[0]!))).toEqual(blocks[0])
  })

  test('reads what Node encrypts as a chain, whatever its length, and keeps nothing of it', () => {
    const key = randomBytes(16)
    const reader = new BlockCipher(key)
    for (let length = 0; length <= 70; length++) {
      const [iv, plain] = [randomBytes(16), randomBytes(length)]
      const cipher = createCipheriv('aes-128-cbc', key, iv)
      const blocks = Buffer.concat([cipher.update(plain), cipher.final()])
      expect(reader.decryptChain(iv, blocks)).toEqual(plain)
      expect(reader.decryptChain(iv, blocks)).toEqual(plain)
    }
  })

  test.each([
    ['zero', 0, 0],
    ['more than a block', 17, 17],
    ['not the same in all of its bytes', 3, 2],
  ])('finds no end where the padding is %s', (_what, last, before) => {
    const key = randomBytes(16)
    const iv = randomBytes(16)
    const plain = Buffer.alloc(32, before)
    plain[31] = last
    const cipher = createCipheriv('aes-128-cbc', key, iv).setAutoPadding(false)
    expect(new BlockCipher(key).decryptChain(iv, cipher.update(plain))).toBeUndefined()
  })

  test('takes no chain without a block, or with a part of one', () => {
    const reader = new BlockCipher(randomBytes(16))
    for (const length of [0, 1, 15, 17, 31])
      expect(() => reader.decryptChain(Buffer.alloc(16), Buffer.alloc(length))).toThrow(TypeError)
  })
})

describe('a ticket', () => {
  test('opens to the session in it, and where that comes from', () => {
    const opened = openTicket(ticketOf(ringOf().current(NOW_MS)), ringOf(), NOW_MS)
    expect(opened?.session.toDer()).toEqual(SslSession.fromDer(DER).toDer())
    expect(opened?.origin).toEqual(origin)
  })

  test('of TLS 1.2 comes from the moment that is in its session, whatever the origin says', () => {
    const opened = openTicket(ticketOf(ringOf().current(NOW_MS), origin, TLS12_DER), ringOf(), NOW_MS)
    expect(opened?.origin).toEqual({
      authenticatedAtSec: opened?.session.timeSec,
      chainEndSec: Number.POSITIVE_INFINITY,
    })
  })

  test.each([0, 2 ** 40 - 2, Number.POSITIVE_INFINITY])('keeps %d for the end of a chain', (chainEndSec) => {
    const ticket = ticketOf(ringOf().current(NOW_MS), { ...origin, chainEndSec })
    expect(openTicket(ticket, ringOf(), NOW_MS)?.origin.chainEndSec).toBe(chainEndSec)
  })

  test('shows nobody its period or origin: equal ones have no byte in common but the name', () => {
    const keys = ringOf().current(NOW_MS)
    const [one, other] = [ticketOf(keys), ticketOf(keys)]
    expect(ticketHead(one)).not.toEqual(ticketHead(other))
    expect(one.includes(Buffer.from(NOW_MS.toString(16).padStart(16, '0'), 'hex').subarray(3))).toBe(false)
  })

  test('of another secret, server context or time does not open', () => {
    const ticket = ticketOf(ringOf().current(NOW_MS))
    expect(openTicket(ticket, ringOf('shop', [randomBytes(32)]), NOW_MS)).toBeUndefined()
    expect(openTicket(ticket, ringOf('bank'), NOW_MS)).toBeUndefined()
    expect(openTicket(ticket, ringOf(), NOW_MS + 5 * HOUR_MS)).toBeUndefined()
  })

  test('that is authentic and holds no session does not open', () => {
    const keys = ringOf().current(NOW_MS)
    expect(openTicket(ticketOf(keys, origin, Buffer.from('no session')), ringOf(), NOW_MS)).toBeUndefined()
  })

  test('that is authentic and ends nowhere does not open', () => {
    const keys = ringOf().current(NOW_MS)
    const iv = makeOriginBlock(origin, keys)
    const cipher = createCipheriv('aes-128-cbc', keys.cipher, iv).setAutoPadding(false)
    const whole = Buffer.concat([keys.name, iv, cipher.update(Buffer.alloc(16))])
    const ticket = Buffer.concat([whole, createHmac('sha256', keys.mac).update(whole).digest()])
    expect(readTicket(ticket, ringOf(), NOW_MS)).toBe('unreadable')
  })

  test('that does not open says why', () => {
    const keys = ringOf().current(NOW_MS)
    const ticket = ticketOf(keys)
    const altered = Buffer.from(ticket)
    altered[40]! ^= 1
    const answers = [
      randomBytes(200),
      Buffer.alloc(0),
      ticketOf(ringOf('bank').current(NOW_MS)),
      altered,
      ticket.subarray(0, -1),
      ticketOf(keys, origin, Buffer.from('no session')),
    ].map((one) => readTicket(one, ringOf(), NOW_MS))
    expect(answers).toEqual([
      ...['unknown-key', 'unknown-key', 'unknown-key', 'altered', 'altered', 'unreadable'],
    ])
  })

  test('altered in any bit does not open, nor does a part of it', () => {
    const ring = ringOf()
    const ticket = ticketOf(ring.current(NOW_MS))
    for (let bit = 0; bit < ticket.length * 8; bit++) {
      const altered = Buffer.from(ticket)
      altered[bit >> 3]! ^= 1 << (bit & 7)
      expect(openTicket(altered, ring, NOW_MS)).toBeUndefined()
    }
    for (let length = 0; length < ticket.length; length++)
      expect(openTicket(ticket.subarray(0, length), ring, NOW_MS)).toBeUndefined()
  })

  test('altered in 100,000 ways is never an error', () => {
    const ring = ringOf()
    const ticket = ticketOf(ring.current(NOW_MS))
    // A generator of its own: the same mutations in every run.
    let state = 1
    const random = (bound: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * bound)
    }
    let opened = 0
    for (let count = 0; count < 100_000; count++) {
      const altered = Buffer.from(ticket.subarray(random(4) === 0 ? random(ticket.length) : 0))
      for (let times = random(4); times >= 0 && altered.length > 0; times--)
        altered[random(altered.length)] = random(256)
      if (openTicket(altered, ring, NOW_MS) !== undefined && !altered.equals(ticket)) opened++
    }
    expect(opened).toBe(0)
  })
})
