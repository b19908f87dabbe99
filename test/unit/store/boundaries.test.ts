import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open as openLmdb } from 'lmdb'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { KeyRing, MemoryStore, Revocations, type SessionStore, sealed } from '../../../src/index.ts'
import { type LmdbStoreOptions, lmdbStore } from '../../../src/store/lmdb-store.ts'
import type { RedisCommand } from '../../../src/store/redis-clients.ts'
import { redisStore } from '../../../src/store/redis-store.ts'

/** As in libssl: what expires now is good for this last moment, and no longer (R3.3). */

const NOW_MS = Date.UTC(2026, 0, 1)
const key = randomBytes(32)
const value = Uint8Array.of(1, 2, 3)

describe.each<[string, (now: () => number) => { store: SessionStore; end(): Promise<void> }]>([
  ['memory', (now) => ({ store: new MemoryStore({ now }), end: async () => undefined })],
  [
    'a sealed store',
    (now) => ({
      store: sealed(new MemoryStore({ now: () => 0 }), new KeyRing([randomBytes(32)]), { now }),
      end: async () => undefined,
    }),
  ],
  ['LMDB', openTemporary],
])('what expires now, in %s', (_, open) => {
  test('is kept and found, and a millisecond later it is not', async () => {
    let nowMs = NOW_MS
    const { store, end } = open(() => nowMs)
    await store.set([{ key, value, expiresAtMs: nowMs }])
    expect([...((await store.get(key)) ?? [])]).toEqual([...value])
    nowMs++
    expect(await store.get(key)).toBeUndefined()
    expect(await store.take(key)).toBeUndefined()
    await end()
  })

  test('is taken', async () => {
    const { store, end } = open(() => NOW_MS)
    await store.set([{ key, value, expiresAtMs: NOW_MS }])
    expect([...((await store.take(key)) ?? [])]).toEqual([...value])
    await end()
  })
})

function openTemporary(now: () => number): { store: SessionStore; end(): Promise<void> } {
  const directory = mkdtempSync(join(tmpdir(), 'sslctx-boundaries-'))
  const root = openLmdb({ path: join(directory, 'sessions') })
  const options: LmdbStoreOptions = { now }
  const store = lmdbStore(root as Parameters<typeof lmdbStore>[0], options)
  return {
    store,
    async end() {
      await store.close?.()
      await root.close()
      rmSync(directory, { recursive: true })
    },
  }
}

describe('by a clock that stands still', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: NOW_MS, toFake: ['Date'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test.each([
    [-1, ['del', []]],
    [0, ['set', ['px', '1']]],
    [0.5, ['set', ['px', '1']]],
    [1, ['set', ['px', '1']]],
    [1.5, ['set', ['px', '2']]],
  ])('Redis is told of a session that has %d ms left', async (leftMs, [name, expiry]) => {
    const commands: RedisCommand[] = []
    const send = async (command: RedisCommand): Promise<string> => {
      commands.push(command)
      return 'OK'
    }
    await redisStore({ send }).set([{ key, value, expiresAtMs: NOW_MS + leftMs }])
    expect(commands.map((command) => [command.name, command.args.slice(2)])).toEqual([[name, expiry]])
  })

  test('Redis keeps, and shows, a mark that expires now', async () => {
    const commands: RedisCommand[] = []
    const send = async (command: RedisCommand): Promise<unknown> => {
      commands.push(command)
      return []
    }
    const store = redisStore({ send })
    await store.addMarks?.([{ mark: value, expiresAtMs: NOW_MS }])
    await store.getMarks?.()
    // A parenthesis leaves the limit itself out.
    expect(commands.find((command) => command.name === 'zremrangebyscore')?.args.at(-1)).toBe(`(${NOW_MS}`)
    expect(commands.find((command) => command.name === 'zrangebyscore')?.args[1]).toBe(String(NOW_MS))
  })

  test('a revocation of everything spares what was authenticated at its very moment', async () => {
    const revocations = new Revocations(new MemoryStore(), new KeyRing([randomBytes(32)]))
    await revocations.ready
    await revocations.revokeAll()
    const session = { peerCertificate: undefined, hostname: undefined }
    const second = NOW_MS / 1000
    const objections = [second - 1, second, second + 1].map((authenticatedAtSec) =>
      revocations.objectionTo(session, authenticatedAtSec),
    )
    await revocations.close()
    expect(objections).toEqual(['revoked', undefined, undefined])
  })
})
