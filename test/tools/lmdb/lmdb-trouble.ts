import { randomBytes } from 'node:crypto'
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { open } from 'lmdb'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'

/** Goes on writing to an environment in trouble, and says what became of it: with `zeroed`, pages of its file are gone. */
const [, , path = '', trouble] = process.argv
const store = lmdbStore(open({ path }))
const counts: Record<string, number> = {}
const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1
}
process.on('unhandledRejection', () => count('unhandled'))
const entryOf = (key: Uint8Array) => ({ key, value: randomBytes(2000), expiresAtMs: Date.now() + 1_000_000 })
const heard = async (what: string, call: () => unknown): Promise<void> => {
  try {
    await call()
    count(what)
  } catch (error) {
    const { code, isRefusal } = error as { code?: string; isRefusal?: boolean }
    count(isRefusal === true ? 'refused' : String(code))
  }
}
const kept = randomBytes(32)
await heard('set', () => store.set([entryOf(kept)]))
await heard('set', () => store.set(Array.from({ length: 100 }, () => entryOf(randomBytes(32)))))
if (trouble === 'zeroed') {
  const file = openSync(join(path, 'data.mdb'), 'r+')
  const { size } = fstatSync(file)
  writeSync(file, Buffer.alloc(size - 8192), 0, size - 8192, 8192)
  closeSync(file)
}
for (let round = 0; round < 60; round++) {
  const keys = Array.from({ length: 8 }, () => randomBytes(32))
  await Promise.all([
    heard('set', () => store.set([entryOf(randomBytes(32))])),
    heard('set', () => store.set(keys.map(entryOf))),
    heard('delete', () => store.delete(randomBytes(32))),
    heard('add', () => store.addMarks([{ mark: randomBytes(64), expiresAtMs: Number.POSITIVE_INFINITY }])),
    ...(trouble === 'zeroed' ? [] : [heard('get', () => store.get(kept))]),
    ...(trouble === 'zeroed' ? [] : [heard('take', () => store.take(randomBytes(32)))]),
  ])
}
await setTimeout(200)
process.stdout.write(JSON.stringify(counts), () => process.exit(0))
