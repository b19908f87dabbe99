import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KeyRing, MemoryStore } from '../../../src/index.ts'

const MAX_MARKS = 100_000
const MAX_OPENING_KEYS = 10_000
const later = (): number => Date.now() + 3_600_000

function numbered(length: number, number: number): Uint8Array {
  const bytes = new Uint8Array(length)
  new DataView(bytes.buffer).setUint32(0, number)
  return bytes
}

describe('MemoryStore', () => {
  test('holds 20,480 sessions by default: the least recently used goes first', () => {
    const store = new MemoryStore()
    const add = (number: number): void =>
      store.set([{ key: numbered(32, number), value: Uint8Array.of(1), expiresAtMs: later() }])
    for (let number = 0; number < 20_481; number++) add(number)
    expect(store.get(numbered(32, 0))).toBeUndefined()
    expect(store.get(numbered(32, 1))).toBeDefined()
    expect(store.get(numbered(32, 20_480))).toBeDefined()
  })

  test('refuses the mark after 100,000, and forgets none for it', async () => {
    const store = new MemoryStore()
    const mark = (number: number) => ({ mark: numbered(64, number), expiresAtMs: later() })
    store.addMarks(Array.from({ length: MAX_MARKS }, (_, number) => mark(number)))
    expect(() => store.addMarks([mark(MAX_MARKS)])).toThrow(/100000 marks already/)
    expect(await store.getMarks()).toHaveLength(MAX_MARKS)
    // Marks are put there again, together with what is new.
    expect(() => store.addMarks([mark(0), mark(MAX_MARKS - 1)])).not.toThrow()
    expect(await store.getMarks()).toHaveLength(MAX_MARKS)
  })
})

describe('KeyRing', () => {
  test('remembers 10,000 keys of others: a value with a new key costs one key, and the oldest is forgotten', () => {
    const ring = new KeyRing([randomBytes(32)])
    const nowMs = Date.now()
    const { id } = ring.sealingKey(nowMs)
    const idOf = (number: number): Uint8Array => {
      const other = new Uint8Array(id)
      new DataView(other.buffer).setUint32(8, number)
      return other
    }
    const first = ring.openingKey(idOf(0), nowMs)
    expect(ring.openingKey(idOf(0), nowMs)).toBe(first)
    for (let number = 1; number <= MAX_OPENING_KEYS; number++) ring.openingKey(idOf(number), nowMs)
    const again = ring.openingKey(idOf(0), nowMs)
    expect(again).not.toBe(first)
    expect(again?.equals(first!)).toBe(true)
  })
})
