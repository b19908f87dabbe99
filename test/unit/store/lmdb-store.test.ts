import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open, type RootDatabase, type RootDatabaseOptions } from 'lmdb'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { type LmdbEnvironment, lmdbStore } from '../../../src/store/lmdb-store.ts'
import { storeConformance } from '../../../src/testing/index.ts'
import { inspectLmdb } from '../../tools/lmdb/lmdb-inspection.ts'
import { LmdbProcess } from '../../tools/lmdb/lmdb-process.ts'
import { raceLmdbTakes } from '../../tools/lmdb/lmdb-races.ts'
import { lmdbScript, removeLmdbScripts } from '../../tools/lmdb/lmdb-script.ts'

const HOUR_MS = 3_600_000
const KIB = 1024
const MIB = 1024 * KIB

let directory: string
const opened = new Set<RootDatabase>()
let count = 0

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sslctx-lmdb-'))
})
afterEach(async () => {
  await Promise.all([...opened].map((root) => root.close()))
  opened.clear()
})
afterAll(async () => {
  removeLmdbScripts()
  await rm(directory, { recursive: true })
})

function newPath(): string {
  return join(directory, String(++count))
}

function openRoot(path = newPath(), options: RootDatabaseOptions = {}): RootDatabase {
  const root = open({ path, ...options })
  opened.add(root)
  return root
}

async function setOne(
  store: SessionStore,
  expiresAtMs = Date.now() + HOUR_MS,
  valueLength = 100,
): Promise<Buffer> {
  const key = randomBytes(32)
  await store.set([{ key, value: randomBytes(valueLength), expiresAtMs }])
  return key
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

describe('the LMDB store', () => {
  describe('keeps the contract', () => {
    const openNamed = (name: string): SessionStore => lmdbStore(openRoot(join(directory, name)))
    for (const { title, run } of storeConformance({ open: openNamed, randomBytes })) test(title, run)
  })

  test('answers get and getMarks at once', async () => {
    const store = lmdbStore(openRoot())
    const key = await setOne(store)
    await store.addMarks([{ mark: Uint8Array.of(1), expiresAtMs: Number.POSITIVE_INFINITY }])
    expect(store.get(key)).toBeInstanceOf(Uint8Array)
    expect(store.getMarks()).toEqual([Buffer.of(1)])
  })

  test('survives that its environment is closed and opened again', async () => {
    const path = newPath()
    const first = open({ path })
    const key = await setOne(lmdbStore(first))
    await lmdbStore(first).addMarks([{ mark: Uint8Array.of(7), expiresAtMs: Date.now() + HOUR_MS }])
    await first.close()
    const store = lmdbStore(openRoot(path))
    expect(store.get(key)).toHaveLength(100)
    expect(store.getMarks()).toEqual([Buffer.of(7)])
  })

  test('takes an environment of any values and keys', async () => {
    const root = open<{ readonly name: string }, string>({ path: newPath(), compression: true })
    opened.add(root)
    const store = lmdbStore(root)
    expect(store.get(await setOne(store, Date.now() + HOUR_MS, 5000))).toHaveLength(5000)
  })

  test('leaves the environment open when it is closed', async () => {
    const root = openRoot()
    await lmdbStore(root).close()
    expect(await root.put('key', 'value')).toBe(true)
  })

  test('issues a set within the call', async () => {
    const root = openRoot()
    const store = lmdbStore(root)
    const key = randomBytes(32)
    const written = store.set([{ key, value: Uint8Array.of(1), expiresAtMs: Date.now() + HOUR_MS }])
    // What is queued by now is committed with this.
    await root.transaction(() => undefined)
    expect(store.get(key)).toEqual(Buffer.of(1))
    await written
  })

  test('deletes and replaces what this process has not committed yet', async () => {
    const root = openRoot()
    const store = lmdbStore(root)
    const [replaced, deleted] = [randomBytes(32), randomBytes(32)]
    const entry = (key: Uint8Array, byte: number) => ({
      key,
      value: Uint8Array.of(byte),
      expiresAtMs: Date.now() + HOUR_MS + byte,
    })
    await Promise.all([
      store.set([entry(replaced, 1), entry(deleted, 1)]),
      store.set([entry(replaced, 2)]),
      store.delete(deleted),
    ])
    expect(store.get(replaced)).toEqual(Buffer.of(2))
    expect(store.get(deleted)).toBeUndefined()
    expect(inspectLmdb(root)).toEqual({ keys: new Set([hex(replaced)]), problems: [] })
  })
})

describe('expiry in LMDB', () => {
  test('hides a session from the millisecond after, to get and to take', async () => {
    let nowMs = 1000
    const store = lmdbStore(openRoot(), { now: () => nowMs })
    const key = await setOne(store, 2000.9)
    nowMs = 2000
    expect(store.get(key)).toHaveLength(100)
    nowMs = 2001
    expect(store.get(key)).toBeUndefined()
    expect(await store.take(key)).toBeUndefined()
  })

  test('leaves sessions and index in agreement, whatever is done', async () => {
    const root = openRoot()
    let nowMs = 1000
    const store = lmdbStore(root, { now: () => nowMs })
    const keys = Array.from({ length: 20 }, () => randomBytes(32))
    for (let step = 0; step < 400; step++) {
      const key = keys[(step * 7) % 20] ?? randomBytes(32)
      if (step % 5 === 3) await store.delete(key)
      else if (step % 7 === 3) await store.take(key)
      else await store.set([{ key, value: randomBytes(step), expiresAtMs: nowMs + ((step * 13) % 50) - 5 }])
      nowMs += 1
      expect(inspectLmdb(root).problems).toEqual([])
    }
    expect(inspectLmdb(root).keys.size).toBeGreaterThan(0)
  })

  test('takes nothing in that has expired before it came, and what it replaces is gone', async () => {
    const root = openRoot()
    const store = lmdbStore(root, { now: () => 2000 })
    const key = await setOne(store, 2000)
    await setOne(store, 1999)
    expect([...inspectLmdb(root).keys]).toEqual([hex(key)])
    await store.set([{ key, value: EMPTY, expiresAtMs: 1999 }])
    expect(inspectLmdb(root).keys.size).toBe(0)
  })

  test('removes at most four expired sessions for each that is written, after every eighth, and catches up so', async () => {
    const root = openRoot()
    let nowMs = 1000
    const store = lmdbStore(root, { now: () => nowMs })
    const old = Array.from({ length: 40 }, () => ({ key: randomBytes(32), value: EMPTY, expiresAtMs: 2000 }))
    await store.set(old)
    await setOne(store, 10_000)
    nowMs = 3000
    const sizes: number[] = []
    for (let write = 0; write < 15; write++) {
      await setOne(store, 10_000)
      sizes.push(inspectLmdb(root).keys.size)
    }
    expect(sizes).toEqual([42, 43, 44, 45, 46, 47, 48 - 32, 17, 18, 19, 20, 21, 22, 23, 24 - 8])
  })

  test('looks at no more of the index than that, however large the store', async () => {
    const root = openRoot()
    const looks: number[] = []
    const store = lmdbStore(countingLooks(root, looks))
    for (let round = 0; round < 10; round++)
      await store.set(
        Array.from({ length: 500 }, () => ({
          key: randomBytes(32),
          value: randomBytes(50),
          expiresAtMs: Date.now() + HOUR_MS,
        })),
      )
    looks.length = 0
    for (let write = 0; write < 50; write++) await setOne(store)
    expect(looks).toEqual(Array.from({ length: 6 }, () => 4 * 8))
  })
})

const EMPTY = new Uint8Array(0)

/** The environment, telling how many entries of an index each range has handed out. */
function countingLooks(root: RootDatabase, looks: number[]): LmdbEnvironment {
  return {
    openDB(options) {
      const database = root.openDB<Uint8Array, Uint8Array>(options)
      const getRange = database.getRange.bind(database)
      database.getRange = (range) => {
        const entries = getRange(range)
        looks.push([...entries].length)
        return entries
      }
      return database
    },
  }
}

describe('the bound of an LMDB store', () => {
  test.each([
    ['11 KiB', 11 * KIB, 300],
    ['20 bytes', 20, 15_000],
  ])('holds under values of %s, and the file stays below twice as much', async (_, length, writes) => {
    const path = newPath()
    const root = openRoot(path, { noSync: true })
    const maxBytes = MIB
    const store = lmdbStore(root, { maxBytes })
    let last = randomBytes(32)
    const batch = Math.ceil(writes / 600)
    for (let written = 0; written < writes; written += batch) {
      const entries = Array.from({ length: batch }, (_none, index) => ({
        key: randomBytes(32),
        value: randomBytes(length),
        expiresAtMs: Date.now() + HOUR_MS + written + index,
      }))
      await store.set(entries)
      last = entries.at(-1)?.key ?? last
    }
    const { keys, problems } = inspectLmdb(root)
    expect(problems).toEqual([])
    expect(store.get(last)).toHaveLength(length)
    expect(keys.size).toBeLessThan(writes)
    expect(keys.size * (length + 2 * 50)).toBeGreaterThan(maxBytes / 3)
    expect(occupied(root)).toBeLessThanOrEqual(maxBytes * 1.1)
    expect((await stat(join(path, 'data.mdb'))).size).toBeLessThan(2 * maxBytes)
  })

  test('evicts those that expire first', async () => {
    const root = openRoot()
    const store = lmdbStore(root, { maxBytes: 100 * KIB })
    const keys: string[] = []
    for (let rank = 0; rank < 40; rank++)
      keys.push(hex(await setOne(store, Date.now() + HOUR_MS - rank * 1000, 3 * KIB)))
    const kept = inspectLmdb(root).keys
    const [early, late] = [keys.slice(20), keys.slice(0, 10)]
    expect(late.filter((key) => kept.has(key))).toEqual(late)
    expect(early.filter((key) => kept.has(key)).length).toBeLessThan(early.length)
  })
})

function occupied(root: RootDatabase): number {
  const pages = ['sslctx-sessions', 'sslctx-expiry'].map((name) => {
    const stats: Record<string, number> = root
      .openDB({ name, keyEncoding: 'binary', encoding: 'binary', useVersions: name === 'sslctx-expiry' })
      .getStats()
    return (
      ((stats['treeBranchPageCount'] ?? 0) +
        (stats['treeLeafPageCount'] ?? 0) +
        (stats['overflowPages'] ?? 0)) *
      (stats['pageSize'] ?? 0)
    )
  })
  return pages.reduce((sum, bytes) => sum + bytes, 0)
}

describe('marks in LMDB', () => {
  test('are forgotten when they have expired, and gone when others are added', async () => {
    const root = openRoot()
    let nowMs = 1000
    const store = lmdbStore(root, { now: () => nowMs })
    await store.addMarks([{ mark: Uint8Array.of(1), expiresAtMs: 2000 }])
    nowMs = 2001
    expect(store.getMarks()).toBeUndefined()
    await store.addMarks([{ mark: Uint8Array.of(2), expiresAtMs: 3000 }])
    nowMs = 1000
    expect(store.getMarks()).toEqual([Buffer.of(2)])
  })

  test('live until the latest expiry that anyone gave them', async () => {
    let nowMs = 1000
    const store = lmdbStore(openRoot(), { now: () => nowMs })
    for (const expiresAtMs of [2000, 4000, 3000])
      await store.addMarks([{ mark: Uint8Array.of(1), expiresAtMs }])
    nowMs = 4000
    expect(store.getMarks()).toEqual([Buffer.of(1)])
  })
})

describe('an LMDB store that fails', () => {
  const calls: readonly (readonly [string, (store: SessionStore) => unknown])[] = [
    ['get', (store) => store.get(Uint8Array.of(1))],
    [
      'set',
      (store) => store.set([{ key: Uint8Array.of(1), value: EMPTY, expiresAtMs: Number.POSITIVE_INFINITY }]),
    ],
    ['take', (store) => store.take(Uint8Array.of(1))],
    ['delete', (store) => store.delete(Uint8Array.of(1))],
    ['getMarks', (store) => store.getMarks()],
    [
      'addMarks',
      (store) => store.addMarks([{ mark: Uint8Array.of(1), expiresAtMs: Number.POSITIVE_INFINITY }]),
    ],
  ]

  test.each(calls)('rejects %s in an environment that is closed, or being closed', async (name, call) => {
    const root = open({ path: newPath() })
    const store = lmdbStore(root)
    await setOne(store)
    const closed = root.close()
    const error = { constructor: SessionStoreError, message: `lmdb ${name} failed` }
    await expect(async () => call(store)).rejects.toMatchObject(error)
    await closed
    await expect(async () => call(store)).rejects.toMatchObject(error)
  })

  test.each(calls.filter(([name]) => !name.startsWith('get')))(
    'rejects %s in a read-only environment, and reads there',
    async (name, call) => {
      const path = newPath()
      const writer = open({ path })
      const key = await setOne(lmdbStore(writer))
      await lmdbStore(writer).set([
        { key: Uint8Array.of(1), value: EMPTY, expiresAtMs: Date.now() + HOUR_MS },
      ])
      await writer.close()
      const store = lmdbStore(openRoot(path, { readOnly: true }))
      expect(store.get(key)).toHaveLength(100)
      expect(store.getMarks()).toBeUndefined()
      await expect(async () => call(store)).rejects.toMatchObject({
        constructor: SessionStoreError,
        message: `lmdb ${name} failed`,
      })
    },
  )

  test('cannot be made of a read-only environment that has none, or without room for three databases', async () => {
    const path = newPath()
    await open({ path }).close()
    expect(() => lmdbStore(openRoot(path, { readOnly: true }))).toThrow(SessionStoreError)
    expect(() => lmdbStore(openRoot(newPath(), { maxDbs: 2 }))).toThrow(SessionStoreError)
  })

  test.each([0, 65])('rejects a key of %i bytes, without quoting it', async (length) => {
    const store = lmdbStore(openRoot())
    const entry = {
      key: new Uint8Array(length).fill(65),
      value: EMPTY,
      expiresAtMs: Number.POSITIVE_INFINITY,
    }
    const cause = expect.objectContaining({ message: `a key of ${length} bytes` })
    await expect(store.set([entry])).rejects.toMatchObject({ constructor: SessionStoreError, cause })
  })
})

describe('two processes with one LMDB environment', () => {
  test('see what the other has done from the next microtask on, within one turn of the event loop too', async () => {
    const path = newPath()
    const store = lmdbStore(openRoot(path))
    const other = await LmdbProcess.start(path)
    const key = await setOne(store)
    expect(await other.ask({ call: 'get', key: hex(key) })).toBe(hex((await store.get(key)) ?? EMPTY))
    await other.ask({ call: 'delete', key: hex(key) })
    await other.end()
    // With this, lmdb-js holds a snapshot until the next turn, which does not come before another process has written.
    expect(store.get(key)).toBeUndefined()
    execFileSync(process.execPath, [lmdbScript('lmdb-set-one'), path, hex(key), '0102'])
    await Promise.resolve()
    expect(store.get(key)).toEqual(Buffer.of(1, 2))
  })

  test('never both take one session, and one of them does, in 200 races', async () => {
    const { lost, doubled, wins } = await raceLmdbTakes(newPath(), 200)
    expect({ lost, doubled, taken: wins[0] + wins[1] }).toEqual({ lost: 0, doubled: 0, taken: 200 })
  })
})

describe('an environment in trouble', () => {
  /** In a process of its own, whose files may not grow beyond some KiB. */
  function suffer(trouble: string, limitKib?: number): Record<string, number> {
    const command = `${limitKib === undefined ? '' : `ulimit -f ${limitKib}; `}exec "$0" "$@"`
    const script = [process.execPath, lmdbScript('lmdb-trouble'), newPath(), trouble]
    // bash counts in KiB; others may count in blocks of half that.
    const answer = execFileSync('bash', ['-c', command, ...script], { stdio: ['ignore', 'pipe', 'ignore'] })
    return JSON.parse(answer.toString().slice(answer.lastIndexOf('{'))) as Record<string, number>
  }

  test('whose pages are zeroes fails its writes, and rejects nothing that nobody holds', () => {
    const { unhandled, set, ...counts } = suffer('zeroed')
    expect(unhandled).toBeUndefined()
    expect(set).toBe(2)
    expect(counts['ERR_SESSION_STORE']).toBeGreaterThan(100)
  })

  test('that may not grow is not written to any more, says so, and goes on answering', () => {
    const { unhandled, set, get, take, ...counts } = suffer('full', 1000)
    expect(unhandled).toBeUndefined()
    expect(set).toBeGreaterThan(1)
    expect([get, take]).toEqual([60, 60])
    expect(counts['refused']).toBeGreaterThan(100)
    // Those that were on their way when the first had failed.
    expect(counts['ERR_SESSION_STORE'] ?? 0).toBeLessThan(10)
  })

  test('that is new is its user’s alone, and one that has been there stays as it is', async () => {
    const path = newPath()
    lmdbStore(openRoot(path))
    const modes = async (): Promise<number[]> =>
      Promise.all(
        [path, join(path, 'data.mdb'), join(path, 'lock.mdb')].map(
          async (one) => (await stat(one)).mode & 0o777,
        ),
      )
    expect(await modes()).toEqual([0o700, 0o600, 0o600])
    await chmod(path, 0o750)
    await chmod(join(path, 'data.mdb'), 0o640)
    await Promise.all([...opened].map((root) => root.close()))
    lmdbStore(openRoot(path))
    expect((await modes()).slice(0, 2)).toEqual([0o750, 0o640])
  })

  test('that is in a place which cannot be written to is refused at once', async () => {
    const root = openRoot()
    const elsewhere = Object.assign(Object.create(root) as RootDatabase, { path: newPath() })
    expect(() => lmdbStore(elsewhere)).toThrow(
      expect.objectContaining({
        isRefusal: true,
        message: expect.stringContaining('cannot be written to'),
      }),
    )
    expect(() => lmdbStore(openRoot(newPath(), { maxDbs: 1 }))).toThrow(SessionStoreError)
  })
})

test('marks by the thousands are read in parts, all of them and each once', async () => {
  const looks: number[] = []
  const store = lmdbStore(countingLooks(openRoot(), looks))
  const marks = Array.from({ length: 3500 }, () => new Uint8Array(randomBytes(64)))
  for (let at = 0; at < marks.length; at += 500)
    await store.addMarks(
      marks.slice(at, at + 500).map((mark) => ({ mark, expiresAtMs: Number.POSITIVE_INFINITY })),
    )
  looks.length = 0
  const reading = store.getMarks()
  expect(reading).toBeInstanceOf(Promise)
  const read = (await reading) ?? []
  // Each part begins with the last of the part before it.
  expect(looks).toEqual([1000, 1000, 1000, 503])
  expect(read.map(hex).sort()).toEqual(marks.map(hex).sort())
})

test('and are those of one moment, whatever is written meanwhile', async () => {
  const store = lmdbStore(openRoot())
  const entry = (mark: Uint8Array) => ({ mark, expiresAtMs: Number.POSITIVE_INFINITY })
  const marks = Array.from({ length: 2500 }, () => new Uint8Array(randomBytes(64)))
  await store.addMarks(marks.map(entry))
  const reading = store.getMarks()
  // It comes behind all others.
  await store.addMarks([entry(new Uint8Array(64).fill(0xff))])
  expect(await reading).toHaveLength(2500)
  expect(await store.getMarks()).toHaveLength(2501)
})
