import { open } from 'lmdb'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'
import type { LmdbAnswer, LmdbTask } from './lmdb-process.ts'

const root = open({ path: process.argv[2] ?? '' })
const store = lmdbStore(root)

async function run(task: LmdbTask): Promise<LmdbAnswer['answer']> {
  if (task.call === 'takeAll') return takeAll(task.keys)
  const value = await store[task.call](Buffer.from(task.key, 'hex'))
  return value === undefined ? undefined : Buffer.from(value).toString('hex')
}

/** One after the other, so that two such processes meet at the keys. */
async function takeAll(keys: readonly string[]): Promise<number[]> {
  const won: number[] = []
  for (const [index, key] of keys.entries())
    if ((await store.take(Buffer.from(key, 'hex'))) !== undefined) won.push(index)
  return won
}

function send(answer: LmdbAnswer['answer']): void {
  process.send?.({ answer } satisfies LmdbAnswer)
}

process.on('message', (task: LmdbTask) => {
  void run(task).then(send)
})
process.on('disconnect', () => {
  void root.close()
})
send(undefined)
