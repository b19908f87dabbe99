import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  KeyRing,
  MemoryStore,
  Revocations,
  type RevocationsOptions,
  SessionRangeError,
  type SessionStore,
} from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'

const WEEK_MS = 604_800_000
const ring = new KeyRing([randomBytes(32)])
const certificate = new Uint8Array(randomBytes(500))
const fingerprint = createHash('sha256').update(certificate).digest()

const open: Revocations[] = []

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) })
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((revocations) => revocations.close()))
  vi.useRealTimers()
})

async function start(
  store: SessionStore,
  options: RevocationsOptions = {},
  keyRing: KeyRing = ring,
): Promise<Revocations> {
  const revocations = new Revocations(store, keyRing, options)
  open.push(revocations)
  await revocations.ready
  return revocations
}

const client = { peerCertificate: certificate, hostname: 'shop.example' }
const stranger = { peerCertificate: undefined, hostname: 'other.example' }
const foreign = { peerCertificate: undefined, hostname: 'xn--mnchen-3ya.example' }
const nameless = { peerCertificate: undefined, hostname: undefined }

const nowSec = (): number => Math.floor(Date.now() / 1000)

/** Another process, on the same engine, that sees marks when it refreshes. */
async function pair(): Promise<{ store: MemoryStore; here: Revocations; there: Revocations }> {
  const store = new MemoryStore()
  const here = await start(delegate(store))
  const there = await start(delegate(store))
  vi.advanceTimersByTime(1000)
  return { store, here, there }
}

describe('a revocation', () => {
  test.each([
    ['of a client certificate', (one: Revocations) => one.revokeClient(fingerprint), [client]],
    [
      'of a client certificate as Node writes its fingerprint',
      (one: Revocations) =>
        one.revokeClient(
          fingerprint
            .toString('hex')
            .toUpperCase()
            .replace(/..(?=.)/g, '$&:'),
        ),
      [client],
    ],
    ['of a server name, in any case', (one: Revocations) => one.revokeServerName('SHOP.example'), [client]],
    [
      'of a server name with the dot of the root',
      (one: Revocations) => one.revokeServerName('shop.example.'),
      [client],
    ],
    ['of a server name in Unicode', (one: Revocations) => one.revokeServerName('MÜNCHEN.example'), [foreign]],
    ['of sessions without a server name', (one: Revocations) => one.revokeServerName(undefined), [nameless]],
    ['of everything', (one: Revocations) => one.revokeAll(), [client, stranger, foreign, nameless]],
  ])('%s ends what was authenticated before it, and nothing else', async (_, revoke, ended) => {
    const { here, there } = await pair()
    const before = nowSec()
    vi.advanceTimersByTime(2000)
    await revoke(here)
    await there.refresh()
    for (const revocations of [here, there])
      for (const session of [client, stranger, foreign, nameless]) {
        const expected = ended.includes(session) ? 'revoked' : undefined
        expect(revocations.objectionTo(session, before)).toBe(expected)
        expect(revocations.objectionTo(session, nowSec() + 1)).toBeUndefined()
      }
  })

  test('of what was made before a moment spares what was made after it', async () => {
    const { here } = await pair()
    const made = nowSec()
    vi.advanceTimersByTime(5000)
    await here.revokeAll({ madeBeforeMs: (made + 3) * 1000 })
    expect(here.objectionTo(client, made + 2)).toBe('revoked')
    expect(here.objectionTo(client, made + 3)).toBeUndefined()
  })

  test('counts from the full handshake, so that no chain of tickets outlives it', async () => {
    const { here } = await pair()
    const authenticated = nowSec()
    vi.advanceTimersByTime(1000)
    await here.revokeClient(fingerprint)
    vi.advanceTimersByTime(3_600_000)
    await here.refresh()
    expect(here.objectionTo(client, authenticated)).toBe('revoked')
  })

  test('holds here at once, and elsewhere with the next refresh, at the latest after maxStaleMs', async () => {
    const { here, there } = await pair()
    const before = nowSec()
    vi.advanceTimersByTime(2000)
    const acknowledged = here.revokeAll()
    expect(here.objectionTo(client, before)).toBe('revoked')
    await acknowledged
    expect(there.objectionTo(client, before)).toBeUndefined()
    await vi.advanceTimersByTimeAsync(3400)
    expect(there.objectionTo(client, before)).toBe('revoked')
  })

  test('is known elsewhere at once when the engine pushes', async () => {
    const store = new MemoryStore()
    const here = await start(store)
    const there = await start(store)
    vi.advanceTimersByTime(1000)
    const before = nowSec()
    vi.advanceTimersByTime(2000)
    await here.revokeClient(fingerprint)
    expect(there.objectionTo(client, before)).toBe('revoked')
  })

  test('of an earlier moment does not weaken a later one', async () => {
    const { here } = await pair()
    const made = nowSec()
    vi.advanceTimersByTime(5000)
    await here.revokeClient(fingerprint)
    await here.revokeClient(fingerprint, { madeBeforeMs: (made - 60) * 1000 })
    expect(here.objectionTo(client, made)).toBe('revoked')
    expect(here.stats.marks).toBe(2)
  })

  test('is forgotten after a week, when no authentication of before counts any more', async () => {
    const { store, here } = await pair()
    await here.revokeClient(fingerprint)
    vi.advanceTimersByTime(WEEK_MS + 1)
    await here.refresh()
    expect(here.stats.marks).toBe(0)
    // The first mark of all stays: it tells an empty set from a lost one.
    expect(store.getMarks()).toHaveLength(1)
  })

  test('of the future, or of a fingerprint that is none, is refused', async () => {
    const { here } = await pair()
    await expect(here.revokeAll({ madeBeforeMs: Date.now() + 1 })).rejects.toThrow(SessionRangeError)
    await expect(here.revokeAll({ madeBeforeMs: 1.5 })).rejects.toThrow(SessionRangeError)
    await expect(here.revokeClient('AB:CD')).rejects.toThrow(SessionRangeError)
    await expect(here.revokeClient(fingerprint.subarray(1))).rejects.toThrow(SessionRangeError)
  })

  test('that the store did not acknowledge rejects, holds here, and is tried again', async () => {
    const store = new MemoryStore()
    let isReadOnly = false
    const here = await start({
      ...delegate(store),
      addMarks: (marks) => {
        if (isReadOnly) throw new Error('read only')
        store.addMarks(marks)
      },
    })
    const there = await start(delegate(store))
    vi.advanceTimersByTime(1000)
    const before = nowSec()
    vi.advanceTimersByTime(1000)
    isReadOnly = true
    await expect(here.revokeClient(fingerprint)).rejects.toThrow('read only')
    expect(here.objectionTo(client, before)).toBe('revoked')
    isReadOnly = false
    await here.refresh()
    await there.refresh()
    expect(there.objectionTo(client, before)).toBe('revoked')
  })
})

describe('marks that cannot be refreshed', () => {
  test('for maxStaleMs stop every resumption, until they can', async () => {
    const store = new MemoryStore()
    const errors: unknown[] = []
    let isDown = false
    const here = await start(
      {
        ...delegate(store),
        getMarks: () => {
          if (isDown) throw new Error('down')
          return store.getMarks()
        },
      },
      { maxStaleMs: 3000, onError: (error) => errors.push(error) },
    )
    vi.advanceTimersByTime(1000)
    const made = nowSec()
    isDown = true
    await vi.advanceTimersByTimeAsync(1900)
    expect(here.objectionTo(client, made)).toBeUndefined()
    await vi.advanceTimersByTimeAsync(2000)
    expect(here.objectionTo(client, made)).toBe('revocation-unknown')
    expect(errors.length).toBeGreaterThan(1)
    expect(here.stats.failedRefreshes).toBe(errors.length)
    isDown = false
    await vi.advanceTimersByTimeAsync(1000)
    expect(here.objectionTo(client, made)).toBeUndefined()
  })

  test('stop every resumption of a process that has not read them yet', () => {
    const never = { ...delegate(new MemoryStore()), getMarks: () => new Promise<never>(() => undefined) }
    const revocations = new Revocations(never, ring)
    open.push(revocations)
    expect(revocations.objectionTo(client, nowSec() + 1)).toBe('revocation-unknown')
  })

  test('because the store never answers are asked for again', async () => {
    const store = new MemoryStore()
    let calls = 0
    const here = start(
      {
        ...delegate(store),
        getMarks: () => (calls++ === 0 ? new Promise<never>(() => undefined) : store.getMarks()),
      },
      { maxStaleMs: 3000 },
    )
    await vi.advanceTimersByTimeAsync(4100)
    expect((await here).objectionTo(client, nowSec() + 1)).toBeUndefined()
  })

  test('are those of a time when the call began, not when it was answered', async () => {
    const store = new MemoryStore()
    let answer: () => void = () => undefined
    const pending = start(
      {
        ...delegate(store),
        getMarks: () =>
          new Promise((resolve) => {
            answer = () => resolve(store.getMarks())
          }),
      },
      { maxStaleMs: 3000 },
    )
    await vi.advanceTimersByTimeAsync(2900)
    answer()
    const here = await pending
    vi.advanceTimersByTime(200)
    expect(here.objectionTo(client, nowSec() + 1)).toBe('revocation-unknown')
  })
})

describe('a store that has lost its marks', () => {
  test('resumes nothing that was made before this was found out', async () => {
    const { store, here, there } = await pair()
    const before = nowSec()
    vi.advanceTimersByTime(2000)
    store.close()
    await here.refresh()
    await there.refresh()
    for (const revocations of [here, there]) {
      expect(revocations.objectionTo(client, before)).toBe('revoked')
      expect(revocations.objectionTo(client, nowSec() + 1)).toBeUndefined()
    }
  })

  test('is found out though somebody has put a mark there since', async () => {
    const { store, here, there } = await pair()
    const before = nowSec()
    vi.advanceTimersByTime(2000)
    store.close()
    await here.revokeServerName('unrelated.example')
    await there.refresh()
    expect(there.objectionTo(client, before)).toBe('revoked')
    expect(there.objectionTo(client, nowSec() + 1)).toBeUndefined()
  })

  test('gets back the marks that processes hold', async () => {
    const { store, here } = await pair()
    await here.revokeClient(fingerprint, { madeBeforeMs: Date.now() })
    const [, ...marks] = (await store.getMarks()) ?? []
    store.close()
    await here.refresh()
    expect(await store.getMarks()).toEqual([expect.anything(), ...marks])
  })

  test('gets back a single one that it has forgotten', async () => {
    const { store, here } = await pair()
    await here.revokeClient(fingerprint)
    const [first, ...others] = (await store.getMarks()) ?? []
    expect(first?.[1]).toBe(0)
    store.close()
    store.addMarks([{ mark: first ?? new Uint8Array(), expiresAtMs: Number.POSITIVE_INFINITY }])
    await here.refresh()
    expect(await store.getMarks()).toEqual([first, ...others])
  })
})

describe('what a store holds of a revocation', () => {
  test('tells nobody whose it is', async () => {
    const { store, here } = await pair()
    await here.revokeClient(fingerprint)
    await here.revokeServerName('shop.example')
    const all = Buffer.concat(((await store.getMarks()) ?? []).map((mark) => Buffer.from(mark)))
    const plain = createHash('sha256').update('shop.example').digest()
    for (const secret of [fingerprint, plain, Buffer.from('shop.example')])
      expect(all.includes(secret.subarray(0, 8))).toBe(false)
  })

  test('counts only if a secret of the ring has signed it', async () => {
    const { store, here } = await pair()
    const before = nowSec()
    vi.advanceTimersByTime(2000)
    const forger = await start(delegate(store), {}, new KeyRing([randomBytes(32)]))
    await forger.revokeAll()
    store.addMarks([{ mark: randomBytes(44), expiresAtMs: Date.now() + WEEK_MS }])
    await here.refresh()
    expect(here.objectionTo(client, before)).toBeUndefined()
    // The anchor of the forger, its mark and what names that, and what is no mark.
    expect(here.stats.unverified).toBe(4)
  })

  test('outlives the secret that signed its anchor, if the next one was first for a while', async () => {
    const store = new MemoryStore()
    const [old, next] = [randomBytes(32), randomBytes(32)]
    for (const secrets of [[old], [next, old]]) await start(delegate(store), {}, new KeyRing(secrets))
    vi.advanceTimersByTime(1000)
    const made = nowSec()
    vi.advanceTimersByTime(1000)
    const after = await start(delegate(store), {}, new KeyRing([next]))
    expect(after.objectionTo(client, made)).toBeUndefined()
  })

  test('opens with a secret that is no longer the first', async () => {
    const store = new MemoryStore()
    const old = randomBytes(32)
    const here = await start(delegate(store), {}, new KeyRing([old]))
    const there = await start(delegate(store), {}, new KeyRing([randomBytes(32), old]))
    vi.advanceTimersByTime(1000)
    const before = nowSec()
    vi.advanceTimersByTime(1000)
    await here.revokeClient(fingerprint)
    await there.refresh()
    expect(there.objectionTo(client, before)).toBe('revoked')
  })
})

test('maxStaleMs is from 100 ms to a week', () => {
  for (const maxStaleMs of [99, WEEK_MS + 1, Number.NaN])
    expect(() => new Revocations(new MemoryStore(), ring, { maxStaleMs })).toThrow(SessionRangeError)
})
