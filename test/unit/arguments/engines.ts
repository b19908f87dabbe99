import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { type LmdbEnvironment, lmdbStore } from '../../../src/store/lmdb-store.ts'

export const lmdbFolder: string = mkdtempSync(join(tmpdir(), 'sslctx-arguments-'))
export const lmdbEnvironment: RootDatabase & LmdbEnvironment = open({ path: lmdbFolder })
export const openLmdbStore: typeof lmdbStore = lmdbStore
