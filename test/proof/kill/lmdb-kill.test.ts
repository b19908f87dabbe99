import { afterAll, expect, test } from 'vitest'
import { removeLmdbScripts } from '../../tools/lmdb/lmdb-script.ts'
import { killLmdbWriters } from './lmdb-kill.ts'

afterAll(removeLmdbScripts)

test('processes with one LMDB environment lose nothing that was acknowledged when 20 writers are killed in mid-write', async () => {
  const { acknowledged, ...found } = await killLmdbWriters(20, 10)
  expect(found).toEqual({ kills: 20, lost: 0, returned: 0, problems: [] })
  expect(acknowledged).toBeGreaterThan(20)
}, 120_000)
