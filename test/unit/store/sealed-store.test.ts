import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import {
  KeyRing,
  MemoryStore,
  SessionRangeError,
  type SessionStore,
  sealed,
  storeCallbacks,
  UnopenableSessionError,
  UnsealedStoreError,
  WeakKeyError,
} from '../../../src/index.ts'
import { ManualClock, storeConformance } from '../../../src/testing/index.ts'
import { delegate } from '../../tools/delegate.ts'
import { decide, idOf, makeSession, offer12, STATEFUL, testContext } from '../../tools/model-fixtures.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const NEVER = Number.POSITIVE_INFINITY
const secret = randomBytes(32)
const ring = new KeyRing([secret])
const KEY = idOf(1)
const OTHER_KEY = idOf(2)
const VALUE = new Uint8Array(randomBytes(200))

/** An engine whose content can be seen, and written to. */
class OpenEngine extends MemoryStore {
  readonly content: Map<string, Uint8Array> = new Map()
  override set(entries: Parameters<MemoryStore['set']>[0]): void {
    super.set(entries)
    for (const { key, value } of entries) this.content.set(Buffer.from(key).toString('hex'), value)
  }
  put(name: string, value: Uint8Array): void {
    super.set([{ key: Buffer.from(name, 'hex'), value, expiresAtMs: NEVER }])
  }
  /** The only entry. */
  get entry(): [string, Uint8Array] {
    const [entry] = this.content
    if (entry === undefined || this.content.size !== 1) throw new Error('there is not exactly one entry')
    return entry
  }
}

function make(keyRing: KeyRing = ring, now: () => number = Date.now) {
  const engine = new OpenEngine({ now })
  return { engine, store: sealed(engine, keyRing, { now }) }
}

describe('a sealed store', () => {
  const stores = new Map<string, SessionStore>()
  const open = (name: string): SessionStore => {
    const engine = stores.get(name) ?? new MemoryStore()
    stores.set(name, engine)
    return sealed(engine, ring)
  }
  for (const { title, run } of storeConformance({ open, randomBytes })) test(title, run)

  test('shows its engine neither key nor value, and equal values as different ones', () => {
    const { engine, store } = make()
    store.set([
      { key: KEY, value: VALUE, expiresAtMs: NEVER },
      { key: OTHER_KEY, value: VALUE, expiresAtMs: NEVER },
    ])
    const seen = [...engine.content].flatMap(([name, value]) => [
      Buffer.from(name, 'hex'),
      Buffer.from(value),
    ])
    for (const bytes of seen)
      for (const part of [KEY, OTHER_KEY, VALUE.subarray(0, 16), VALUE.subarray(100, 116)])
        expect(bytes.includes(Buffer.from(part))).toBe(false)
    expect(new Set(seen.map((bytes) => bytes.toString('hex'))).size).toBe(4)
    expect(new Set(seen.map(({ length }) => length))).toEqual(new Set([32, 251]))
  })

  test('names sessions alike in all processes that have the secret, and otherwise in all others', () => {
    const name = (keyRing: KeyRing): string => {
      const { engine, store } = make(keyRing)
      store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
      return engine.entry[0]
    }
    expect(name(new KeyRing([secret]))).toBe(name(ring))
    expect(name(new KeyRing([randomBytes(32)]))).not.toBe(name(ring))
  })

  test('opens no value of which one bit was altered, wherever it is', () => {
    const { engine, store } = make()
    store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    const [name, value] = engine.entry
    for (let bit = 0; bit < value.length * 8; bit++) {
      const altered = new Uint8Array(value)
      altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      engine.put(name, altered)
      expect(() => store.get(KEY), `bit ${bit}`).toThrow(UnopenableSessionError)
    }
    engine.put(name, value)
    expect(store.get(KEY)).toEqual(Buffer.from(VALUE))
  })

  test('opens no value that is cut off, empty, or longer than it was', () => {
    const { engine, store } = make()
    store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    const [name, value] = engine.entry
    for (const length of [0, 1, 16, 17, 29, 50, 51, value.length - 1]) {
      engine.put(name, value.slice(0, length))
      expect(() => store.get(KEY), `${length} bytes`).toThrow(UnopenableSessionError)
    }
    engine.put(name, Buffer.concat([value, Buffer.alloc(1)]))
    expect(() => store.get(KEY)).toThrow(UnopenableSessionError)
  })

  test('opens no value that is longer than any session, by whomever it was made', () => {
    const { store } = make()
    store.set([{ key: KEY, value: new Uint8Array(70_000), expiresAtMs: NEVER }])
    expect(() => store.get(KEY)).toThrow(UnopenableSessionError)
  })

  test('opens no value that was moved to the key of another', () => {
    const { engine, store } = make()
    store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    const [, value] = engine.entry
    engine.content.clear()
    store.set([{ key: OTHER_KEY, value: VALUE, expiresAtMs: NEVER }])
    engine.put(engine.entry[0], value)
    expect(() => store.get(OTHER_KEY)).toThrow(UnopenableSessionError)
  })

  test('has lost a value that expired, whatever the engine says, and put back as it was', () => {
    const clock = new ManualClock()
    const { engine, store } = make(ring, clock.now)
    store.set([{ key: KEY, value: VALUE, expiresAtMs: clock.now() + 1000 }])
    const [name, value] = engine.entry
    engine.put(name, value)
    clock.advance(1000)
    expect(store.get(KEY)).toEqual(Buffer.from(VALUE))
    clock.advance(1)
    expect(store.get(KEY)).toBeUndefined()
  })

  test('answers at once when its engine does, and later when it does', async () => {
    const { store } = make()
    store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    expect(store.get(KEY)).toEqual(Buffer.from(VALUE))
    const memory = new MemoryStore()
    const later = sealed({ ...delegate(memory), get: async (key) => memory.get(key) }, ring)
    later.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    expect(later.get(KEY)).toBeInstanceOf(Promise)
    expect(await later.get(KEY)).toEqual(Buffer.from(VALUE))
  })
})

describe('a key ring', () => {
  test('seals with a new key in each period, and opens what the earlier ones sealed', () => {
    const clock = new ManualClock()
    const { engine, store } = make(new KeyRing([secret]), clock.now)
    const keyIds = new Set<string>()
    for (let day = 0; day < 7; day++) {
      store.set([{ key: idOf(day), value: VALUE, expiresAtMs: NEVER }])
      clock.advance(DAY_MS)
    }
    for (const value of engine.content.values())
      keyIds.add(Buffer.from(value.subarray(1, 17)).toString('hex'))
    expect(keyIds.size).toBe(7)
    for (let day = 0; day < 7; day++) expect(store.get(idOf(day))).toEqual(Buffer.from(VALUE))
  })

  test('opens nothing that was sealed longer ago than openMs and a period', () => {
    const clock = new ManualClock()
    const { store } = make(new KeyRing([secret], { periodMs: HOUR_MS, openMs: 2 * HOUR_MS }), clock.now)
    store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    clock.advance(2 * HOUR_MS)
    expect(store.get(KEY)).toEqual(Buffer.from(VALUE))
    clock.advance(HOUR_MS + 1)
    expect(() => store.get(KEY)).toThrow(UnopenableSessionError)
  })

  test('opens what a process sealed whose clock is a period ahead, and no more', () => {
    const clock = new ManualClock()
    const sender = make(new KeyRing([secret], { periodMs: HOUR_MS }), clock.now)
    sender.store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    const slow = new ManualClock(clock.now() - HOUR_MS)
    const receiver = sealed(sender.engine, new KeyRing([secret], { periodMs: HOUR_MS }), { now: slow.now })
    expect(receiver.get(KEY)).toEqual(Buffer.from(VALUE))
    slow.advance(-1)
    expect(() => receiver.get(KEY)).toThrow(UnopenableSessionError)
  })

  test('rotates once a period, and after 2^30 values', () => {
    const clock = new ManualClock()
    const keyRing = new KeyRing([secret])
    expect(keyRing.rotate(clock.now())).toBe(true)
    expect(keyRing.rotate(clock.now())).toBe(false)
    clock.advance(DAY_MS)
    expect(keyRing.rotate(clock.now())).toBe(true)
  })

  test('never seals with the key of another process', () => {
    const [one, other] = [new KeyRing([secret]), new KeyRing([secret])]
    const now = Date.now()
    expect(one.sealingKey(now).id).not.toEqual(other.sealingKey(now).id)
    expect(one.sealingKey(now).key.equals(other.sealingKey(now).key)).toBe(false)
  })

  test('finds and deletes under all its secrets, and names and seals with the first', () => {
    const next = randomBytes(32)
    const { engine, store: before } = make(new KeyRing([secret]))
    before.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    const during = sealed(engine, new KeyRing([next, secret]))
    expect(during.get(KEY)).toEqual(Buffer.from(VALUE))
    during.set([{ key: OTHER_KEY, value: VALUE, expiresAtMs: NEVER }])
    const after = sealed(engine, new KeyRing([next]))
    expect(after.get(OTHER_KEY)).toEqual(Buffer.from(VALUE))
    expect(after.get(KEY)).toBeUndefined()
    expect(during.take(KEY)).toEqual(Buffer.from(VALUE))
    expect(before.get(KEY)).toBeUndefined()
  })

  test('deletes under every secret, also from an engine that answers later', async () => {
    const engine = new MemoryStore()
    const next = randomBytes(32)
    for (const keyRing of [new KeyRing([secret]), new KeyRing([next])])
      sealed(engine, keyRing).set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    const later = { ...delegate(engine), delete: async (key: Uint8Array) => engine.delete(key) }
    await sealed(later, new KeyRing([next, secret])).delete(KEY)
    for (const keyRing of [new KeyRing([secret]), new KeyRing([next])])
      expect(sealed(engine, keyRing).get(KEY)).toBeUndefined()
  })

  test('has its secrets replaced without a restart', () => {
    const keyRing = new KeyRing([secret])
    const { store } = make(keyRing)
    store.set([{ key: KEY, value: VALUE, expiresAtMs: NEVER }])
    keyRing.replaceSecrets([randomBytes(32), secret])
    expect(store.get(KEY)).toEqual(Buffer.from(VALUE))
    keyRing.replaceSecrets([randomBytes(32)])
    expect(store.get(KEY)).toBeUndefined()
  })

  test.each([
    ['none', []],
    ['a short one', [randomBytes(31)]],
    ['all zeros', [new Uint8Array(32)]],
    ['one byte, repeated', [new Uint8Array(64).fill(7)]],
    ['a word, repeated', [Buffer.from('changeme'.repeat(8))]],
    ['half of a key, twice', [Buffer.concat([secret.subarray(0, 16), secret.subarray(0, 16)])]],
    ['a key, twice', [Buffer.concat([secret, secret])]],
    ['counted bytes', [Uint8Array.from({ length: 32 }, (_, index) => index + 1)]],
    [
      'counted bytes, round the end',
      [Uint8Array.from({ length: 32 }, (_, index) => (250 - 3 * index) & 255)],
    ],
    ['text instead of bytes', [secret.toString('hex') as unknown as Uint8Array]],
    ['a weak one behind a good one', [secret, new Uint8Array(32)]],
  ])('refuses as weak: %s', (_, secrets) => {
    expect(() => new KeyRing(secrets)).toThrow(WeakKeyError)
    expect(() => new KeyRing([secret]).replaceSecrets(secrets)).toThrow(WeakKeyError)
  })

  test('says which secret is weak, and not what it is', () => {
    const weak = new Uint8Array(32).fill(0x61)
    const attempt = (): KeyRing => new KeyRing([secret, weak])
    expect(attempt).toThrow(/^secret 1 is not random: it repeats few bytes$/)
  })

  test('refuses periods of less than an hour', () => {
    expect(() => new KeyRing([secret], { periodMs: HOUR_MS - 1 })).toThrow(SessionRangeError)
    expect(() => new KeyRing([secret], { openMs: Number.NaN })).toThrow(SessionRangeError)
  })

  test('shows no secret to inspect or JSON', () => {
    const shown = inspect(ring, { depth: 9, showHidden: true }) + JSON.stringify(ring)
    expect(shown).not.toContain(secret.toString('hex').slice(0, 8))
    expect(shown).not.toMatch(/Buffer|Uint8Array|KeyObject/)
  })
})

describe('the callbacks of a store', () => {
  test('refuse one that leaves the process unsealed, unless it is called plaintext', () => {
    const outside = delegate(new MemoryStore())
    expect(() => storeCallbacks(outside)).toThrow(UnsealedStoreError)
    expect(() => storeCallbacks(sealed(outside, ring))).not.toThrow()
    expect(() => storeCallbacks(outside, { plaintext: true })).not.toThrow()
    expect(() => storeCallbacks(new MemoryStore())).not.toThrow()
  })

  test('make of a value that does not open a miss with its own reason', () => {
    const { engine, store } = make()
    const session = makeSession(1)
    store.set([{ key: KEY, value: session.toDer(), expiresAtMs: NEVER }])
    const [, value] = engine.entry
    const answers = [value, new Uint8Array(value).map((byte) => byte ^ 1)].map((stored) => {
      engine.put(engine.entry[0], stored)
      const { context } = testContext({ ...STATEFUL, ...storeCallbacks(store) })
      const connection = context.newConnection()
      connection.accept()
      return decide(connection, offer12(KEY))
    })
    expect(answers).toMatchObject([{ resume: true }, { resume: false, reason: 'unopenable' }])
  })
})
