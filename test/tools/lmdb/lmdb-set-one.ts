import { open } from 'lmdb'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'

/** Sets one session and ends: for a test that stands still meanwhile. */
const [, , path = '', key = '', value = ''] = process.argv
const root = open({ path })
const entry = {
  key: Buffer.from(key, 'hex'),
  value: Buffer.from(value, 'hex'),
  expiresAtMs: Date.now() + 60_000,
}
await lmdbStore(root).set([entry])
await root.close()
