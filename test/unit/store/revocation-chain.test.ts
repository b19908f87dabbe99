import { createHash, randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  KeyRing,
  Revocations,
  type RevocationsOptions,
  type SessionStore,
  type StoredMark,
} from '../../../src/index.ts'

const WEEK_MS = 604_800_000
const HOUR_MS = 3_600_000
const ring = new KeyRing([randomBytes(32)])
const certificate = new Uint8Array(randomBytes(500))
const fingerprint = createHash('sha256').update(certificate).digest()
const client = { peerCertificate: certificate, hostname: 'shop.example' }
const other = { peerCertificate: undefined, hostname: 'other.example' }

const open: Revocations[] = []
beforeEach(() => {
  vi.useFakeTimers({
    now: Date.UTC(2026, 0, 1),
    toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'],
  })
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()))
  vi.useRealTimers()
})

/** The engine, in the hands of whoever can write to it. */
class Engine {
  marks: StoredMark[] = []
  reads = 0

  get store(): SessionStore {
    return {
      ...{ get: () => undefined, set: () => undefined, take: () => undefined, delete: () => undefined },
      close: () => undefined,
      getMarks: () => this.getMarks(),
      addMarks: async (marks) => this.addMarks(marks),
    }
  }

  async getMarks(): Promise<readonly Uint8Array[] | undefined> {
    this.reads++
    const living = this.marks.filter(({ expiresAtMs }) => expiresAtMs >= Date.now())
    return living.length === 0 ? undefined : living.map(({ mark }) => mark.slice())
  }

  addMarks(marks: readonly StoredMark[]): void {
    const known = new Set(this.marks.map(({ mark }) => Buffer.from(mark).toString('hex')))
    this.marks.push(...marks.filter(({ mark }) => !known.has(Buffer.from(mark).toString('hex'))))
  }
}

async function start(store: SessionStore, options: RevocationsOptions = {}): Promise<Revocations> {
  const revocations = new Revocations(store, ring, options)
  open.push(revocations)
  await revocations.ready
  return revocations
}

/** A process that starts now, and one that ends: what it objects to. */
async function objectionsOf(engine: Engine, madeSec: number): Promise<(string | undefined)[]> {
  const fresh = await start(engine.store)
  const objections = [fresh.objectionTo(client, madeSec), fresh.objectionTo(other, madeSec)]
  await fresh.close()
  return objections
}

const nowSec = (): number => Math.floor(Date.now() / 1000)

/** Two writers who know of each other, or not, and have revoked other clients besides ours. */
async function revokedBy(writers: number): Promise<{ engine: Engine; madeSec: number }> {
  const engine = new Engine()
  const processes = await Promise.all(Array.from({ length: writers }, () => start(engine.store)))
  vi.advanceTimersByTime(1000)
  const madeSec = nowSec()
  vi.advanceTimersByTime(2000)
  for (let round = 0; round < 3; round++) {
    await Promise.all(processes.map((one) => one.revokeClient(randomBytes(32))))
    if (round === 1) await processes[0]?.revokeClient(fingerprint)
    await Promise.all(processes.map((one) => one.refresh()))
    vi.advanceTimersByTime(100)
  }
  await Promise.all(open.splice(0).map((one) => one.close()))
  return { engine, madeSec }
}

describe('a mark that is taken away', () => {
  test.each([1, 3])('is missed by a process that starts, whichever it is, of %i writers', async (writers) => {
    const { engine, madeSec } = await revokedBy(writers)
    const whole = engine.marks
    expect(await objectionsOf(engine, madeSec)).toEqual(['revoked', undefined])
    let missed = 0
    for (const taken of whole) {
      engine.marks = whole.filter((one) => one !== taken)
      const [ours, stranger] = await objectionsOf(engine, madeSec)
      expect(ours).toBe('revoked')
      if (stranger === 'revoked') missed++
    }
    // All that revoke; of the others only those that are not superfluous.
    expect(missed).toBeGreaterThanOrEqual(3 * writers + 1)
  })

  test('is missed where the anchor alone is left, and whatever names it', async () => {
    const engine = new Engine()
    const here = await start(engine.store)
    vi.advanceTimersByTime(1000)
    const madeSec = nowSec()
    vi.advanceTimersByTime(2000)
    await here.revokeClient(fingerprint)
    await here.close()
    engine.marks = engine.marks.filter(({ mark }) => mark[1] === 0)
    expect(await objectionsOf(engine, madeSec)).toEqual(['revoked', 'revoked'])
  })

  test.each(['another', 'itself, altered', 'one of another fleet'])(
    'is missed though %s is in its place',
    async (what) => {
      const { engine, madeSec } = await revokedBy(2)
      const whole = engine.marks
      const foreign = new Engine()
      const forger = new Revocations(foreign.store, new KeyRing([randomBytes(32)]))
      open.push(forger)
      await forger.revokeClient(fingerprint)
      for (const taken of whole.filter(({ mark }) => mark[1] === 2)) {
        const altered = taken.mark.slice()
        altered[6] = 0
        const place: Record<string, StoredMark | undefined> = {
          another: whole.find((one) => one !== taken),
          'itself, altered': { ...taken, mark: altered },
          'one of another fleet': foreign.marks.at(-1),
        }
        engine.marks = whole.map((one) => (one === taken ? (place[what] ?? one) : one))
        expect(await objectionsOf(engine, madeSec)).toEqual(['revoked', 'revoked'])
      }
    },
  )

  test('is missed also if it is what names the newest mark, which could go unmissed then', async () => {
    const { engine, madeSec } = await revokedBy(1)
    expect(engine.marks.pop()?.mark[1]).toBe(0)
    expect(await objectionsOf(engine, madeSec)).toEqual(['revoked', 'revoked'])
  })

  test('is put back by a process that holds it, before anybody has missed it', async () => {
    const engine = new Engine()
    const here = await start(engine.store)
    vi.advanceTimersByTime(1000)
    const madeSec = nowSec()
    vi.advanceTimersByTime(2000)
    await here.revokeClient(fingerprint)
    const whole = engine.marks
    engine.marks = whole.filter(({ mark }) => mark[1] !== 2)
    await here.refresh()
    expect(engine.marks).toHaveLength(whole.length)
    expect(await objectionsOf(engine, madeSec)).toEqual(['revoked', undefined])
    expect(here.stats.broken).toBe(0)
  })

  test('is told, and what is made after it was missed resumes', async () => {
    const { engine } = await revokedBy(1)
    engine.marks = engine.marks.filter(({ mark }) => mark[1] === 0)
    const errors: unknown[] = []
    const here = await start(engine.store, { onError: (error) => errors.push(error) })
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_SESSION_STORE_MARKS_MISSING' })])
    expect(here.stats.broken).toBe(1)
    vi.advanceTimersByTime(1000)
    const laterSec = nowSec()
    vi.advanceTimersByTime(60_000)
    await here.refresh()
    const there = await start(engine.store)
    for (const one of [here, there]) {
      expect(one.objectionTo(client, laterSec)).toBeUndefined()
      expect(one.objectionTo(client, laterSec - 2)).toBe('revoked')
    }
    expect([here.stats.broken, there.stats.broken]).toEqual([1, 0])
  })
})

describe('nothing is missed', () => {
  test('in what writers have written who did not know of each other', async () => {
    const engine = new Engine()
    const writers = await Promise.all(Array.from({ length: 8 }, () => start(engine.store)))
    vi.advanceTimersByTime(1000)
    const madeSec = nowSec()
    vi.advanceTimersByTime(2000)
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        writers.flatMap((one) => [one.revokeClient(randomBytes(32)), one.revokeServerName(`${round}`)]),
      )
      expect(await objectionsOf(engine, madeSec)).toEqual([undefined, undefined])
    }
    await Promise.all(writers.map((one) => one.refresh()))
    expect(writers.map(({ stats }) => stats.broken)).toEqual(Array(8).fill(0))
  })

  test('when an engine shows one after the other what was added together', async () => {
    const engine = new Engine()
    const here = await start(engine.store)
    vi.advanceTimersByTime(1000)
    const madeSec = nowSec()
    vi.advanceTimersByTime(2000)
    await here.revokeServerName('unrelated.example')
    const whole = engine.marks
    const halfway = {
      ...engine.store,
      getMarks: async () => {
        engine.marks = engine.reads === 1 ? whole.slice(0, -1) : whole
        return engine.getMarks()
      },
    }
    engine.reads = 1
    const there = await start(halfway)
    expect(there.objectionTo(client, madeSec)).toBeUndefined()
    expect(there.stats.broken).toBe(0)
  })

  test('of what has expired, nor in a fleet that revokes now and then, for weeks', async () => {
    const engine = new Engine()
    let here = await start(engine.store)
    let resumed = 0
    for (let halfDay = 0; halfDay < 40; halfDay++) {
      vi.setSystemTime(Date.now() + HOUR_MS)
      const madeSec = nowSec()
      vi.setSystemTime(Date.now() + 10 * HOUR_MS)
      await here.refresh()
      if (halfDay % 6 === 0) await here.revokeClient(randomBytes(32))
      if (halfDay % 4 === 0) {
        await here.close()
        here = await start(engine.store)
      }
      if (here.objectionTo(other, madeSec) === undefined) resumed++
      expect(here.stats.broken).toBe(0)
    }
    expect(resumed).toBe(40)
    // What is over is forgotten, in the engine by its expiry and here.
    const living = (await engine.getMarks())?.length ?? 0
    expect(living).toBeLessThan(20)
    vi.setSystemTime(Date.now() + WEEK_MS + 1)
    await here.refresh()
    expect(here.stats.marks).toBe(0)
  })

  test('of marks that wait for a store that is down: they come with the next one', async () => {
    const engine = new Engine()
    let isDown = false
    const here = await start({
      ...engine.store,
      addMarks: async (marks) => {
        if (isDown) throw new Error('down')
        engine.addMarks(marks)
      },
    })
    vi.advanceTimersByTime(1000)
    const madeSec = nowSec()
    vi.advanceTimersByTime(2000)
    isDown = true
    await expect(here.revokeClient(fingerprint)).rejects.toThrow('down')
    isDown = false
    await here.revokeServerName('unrelated.example')
    expect(await objectionsOf(engine, madeSec)).toEqual(['revoked', undefined])
  })
})

describe('a store that answers, and takes nothing more', () => {
  const refuse = async (): Promise<void> => {
    throw new Error('OOM command not allowed')
  }

  test('says what it has: its marks are known for as long as they can be read', async () => {
    const engine = new Engine()
    const errors: unknown[] = []
    const here = await start(engine.store, {
      maxStaleMs: 2 * HOUR_MS,
      onError: (error) => errors.push(error),
    })
    vi.setSystemTime(Date.now() + 2000)
    await here.revokeServerName('gone.example')
    engine.addMarks = () => {
      throw new Error('OOM command not allowed')
    }
    await expect(here.revokeClient(fingerprint)).rejects.toThrow('OOM')
    // The tip of the first one is to be renewed in between.
    for (let hour = 0; hour < 30; hour++) {
      await vi.advanceTimersByTimeAsync(HOUR_MS)
      expect(here.objectionTo(other, nowSec() - 1)).toBeUndefined()
    }
    expect(errors.length).toBeGreaterThan(0)
    expect(here.objectionTo(client, nowSec() - 31 * 3600)).toBe('revoked')
  })

  test('and has no marks yet: nothing of before the start resumes, and what comes then does', async () => {
    const engine = new Engine()
    const startSec = nowSec()
    const here = await start({ ...engine.store, addMarks: refuse })
    for (let turn = 0; turn < 3; turn++) {
      vi.setSystemTime(Date.now() + 60_000)
      await expect(here.refresh()).rejects.toThrow('OOM')
      expect(here.objectionTo(client, startSec - 1)).toBe('revoked')
      expect(here.objectionTo(client, startSec + 1)).toBeUndefined()
    }
  })

  test('a call that fails leaves a set that is whole', async () => {
    const engine = new Engine()
    const here = await start(engine.store)
    vi.setSystemTime(Date.now() + 2000)
    let calls = 0
    const { addMarks } = engine
    engine.addMarks = () => {
      throw new Error('down')
    }
    const all = Array.from({ length: 250 }, (_, index) =>
      here.revokeServerName(`${index}.example`).catch(() => undefined),
    )
    await Promise.all(all)
    engine.addMarks = (marks) => {
      if (++calls > 1) throw new Error('down')
      Reflect.apply(addMarks, engine, [marks])
    }
    await here.revokeAll({ madeBeforeMs: 0 }).catch(() => undefined)
    const elsewhere = await start({ ...engine.store, addMarks: refuse })
    expect(engine.marks.length).toBeGreaterThan(100)
    expect(elsewhere.stats.broken).toBe(0)
  })
})

test('after its end nothing resumes, also when a refresh was under way', async () => {
  const engine = new Engine()
  const here = await start(engine.store)
  const refreshed = here.refresh()
  await here.close()
  await refreshed.catch(() => undefined)
  expect(here.objectionTo(other, nowSec())).toBe('revocation-unknown')
})

test('what onError throws may be anything', async () => {
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
  const engine = new Engine()
  engine.getMarks = async () => {
    throw new Error('down')
  }
  await start(engine.store, {
    onError: () => {
      throw Object.create(null)
    },
  })
  expect((await warned).message).toContain('an object')
})

test('a clock with fractions of milliseconds is one', async () => {
  const here = await start(new Engine().store, { now: () => Date.now() + 0.25 })
  await here.revokeClient(fingerprint)
  expect(here.objectionTo(client, nowSec() - 1)).toBe('revoked')
})

describe('many marks', () => {
  /** The longest that the event loop stood still, as a part of all the CPU that the work took: machines differ, and so do moments. */
  async function longestTurn(work: Promise<unknown>): Promise<number> {
    const turns: number[] = []
    let isOver = false
    void work.finally(() => {
      isOver = true
    })
    while (!isOver) {
      const before = process.cpuUsage()
      await setImmediate()
      const { user, system } = process.cpuUsage(before)
      turns.push(user + system)
    }
    await work
    return Math.max(...turns) / turns.reduce((sum, turn) => sum + turn, 0)
  }

  test('are read without the event loop standing still, be they verified for the first time or again', async () => {
    vi.useRealTimers()
    const engine = new Engine()
    const stored: StoredMark[] = []
    engine.addMarks = (marks) => void stored.push(...marks)
    engine.getMarks = async () => stored.map(({ mark }) => mark)
    const here = await start(engine.store, { maxStaleMs: 3_600_000 })
    const written = Promise.all(Array.from({ length: 19_000 }, () => here.revokeClient(randomBytes(32))))
    expect(here.stats.marks).toBe(19_001)
    await written
    const fresh = new Revocations(engine.store, ring, { maxStaleMs: 3_600_000 })
    open.push(fresh)
    // The first of them makes the code fast.
    await longestTurn(fresh.ready)
    const again = [await longestTurn(fresh.refresh()), await longestTurn(fresh.refresh())]
    const forTheFirstTime: number[] = []
    for (const total of [20_000, 40_000]) {
      for (let junk = 0; junk < 20_000; junk++)
        stored.push({ mark: randomBytes(64), expiresAtMs: Number.POSITIVE_INFINITY })
      forTheFirstTime.push(await longestTurn(fresh.refresh()))
      expect(fresh.stats).toMatchObject({ marks: 19_001, unverified: total, broken: 0 })
    }
    // All in one turn would be nearly 1. A collection of garbage may fall into any turn, but not into one of each run.
    expect(Math.min(...again)).toBeLessThan(0.5)
    expect(Math.min(...forTheFirstTime)).toBeLessThan(0.5)
  }, 60_000)

  test('beyond 95,000 no more revocations are taken, and beyond 200,000 marks are not read', async () => {
    vi.useRealTimers()
    const engine = new Engine()
    const junk = Array.from({ length: 200_001 }, (_, index) => Uint8Array.of(index >> 16, index >> 8, index))
    engine.getMarks = async () => junk
    const here = await start(engine.store)
    await expect(here.refresh()).rejects.toMatchObject({ code: 'ERR_SESSION_STORE_UNAVAILABLE' })
    expect(here.objectionTo(client, nowSec() + 1)).toBe('revocation-unknown')
    const never = await start(
      { ...engine.store, getMarks: () => undefined, addMarks: () => new Promise(() => undefined) },
      { maxStaleMs: 100 },
    )
    const waiting = Array.from({ length: 95_100 }, () =>
      never.revokeClient(fingerprint).catch((error: unknown) => error),
    )
    expect(await waiting.at(-1)).toMatchObject({ code: 'ERR_SESSION_STORE_UNAVAILABLE' })
  }, 60_000)
})
