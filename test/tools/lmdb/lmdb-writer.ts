import { createHash, randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import { open } from 'lmdb'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'
import { inspectLmdb } from './lmdb-inspection.ts'

/** What a writer is told: to look for what others had acknowledged, or to write until it is killed. */
export type WriterTask = { readonly kept: readonly string[]; readonly gone: readonly string[] } | 'write'

/** What is wrong, by a fresh process. */
export interface WriterFindings {
  readonly lost: number
  readonly returned: number
  readonly problems: readonly string[]
}

const LANES = 8

const root = open({ path: process.argv[2] ?? '' })
const store = lmdbStore(root)

/** 1 byte to 11 KiB, which the key decides. */
function valueFor(key: Uint8Array): Buffer {
  const seed = createHash('sha256').update(key).digest()
  return Buffer.alloc(1 + (seed.readUInt16BE(0) % (11 * 1024)), seed)
}

/**
 * Acknowledged is what has been printed: `+` for what was set, `-` for what was taken. What is printed with `?` is about to be
 * taken, and may be there or not.
 */
async function write(): Promise<never> {
  for (let count = 0; ; count++) {
    const key = randomBytes(32)
    const name = key.toString('hex')
    const expiresAtMs = Date.now() + 3_600_000
    await store.set([
      { key, value: valueFor(key), expiresAtMs },
      { key: randomBytes(32), value: valueFor(key), expiresAtMs: Date.now() + 5 },
    ])
    writeSync(1, `+${name}\n`)
    if (count % 4 === 1) await store.set([{ key, value: valueFor(key), expiresAtMs: expiresAtMs + 1000 }])
    if (count % 4 !== 2) continue
    writeSync(1, `?${name}\n`)
    await store.take(key)
    writeSync(1, `-${name}\n`)
  }
}

function find({ kept, gone }: Exclude<WriterTask, 'write'>): WriterFindings {
  const isThere = (name: string): boolean => {
    const key = Buffer.from(name, 'hex')
    const value = store.get(key)
    return value instanceof Uint8Array && valueFor(key).equals(value)
  }
  return {
    lost: kept.filter((name) => !isThere(name)).length,
    returned: gone.filter(isThere).length,
    problems: inspectLmdb(root).problems,
  }
}

process.on('message', (task: WriterTask) => {
  if (task === 'write') for (let lane = 0; lane < LANES; lane++) void write()
  else process.send?.(find(task))
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
