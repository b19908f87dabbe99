import { randomBytes } from 'node:crypto'
import { open } from 'lmdb'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'
import { LmdbProcess } from './lmdb-process.ts'

export interface RaceReport {
  readonly races: number
  /** Races that nobody won, and races that both won. */
  readonly lost: number
  readonly doubled: number
  /** How many each process won. */
  readonly wins: readonly [number, number]
}

const RACES_AT_ONCE = 100

/**
 * Two processes take the same sessions at the same time.
 *
 * @param path - of an environment that may be new
 */
export async function raceLmdbTakes(path: string, races: number): Promise<RaceReport> {
  const root = open({ path })
  const store = lmdbStore(root)
  const takers = await Promise.all([LmdbProcess.start(path), LmdbProcess.start(path)])
  let [lost, doubled, first, second] = [0, 0, 0, 0]
  for (let done = 0; done < races; done += RACES_AT_ONCE) {
    const keys = Array.from({ length: Math.min(RACES_AT_ONCE, races - done) }, () => randomBytes(32))
    const expiresAtMs = Date.now() + 3_600_000
    await store.set(keys.map((key) => ({ key, value: randomBytes(300), expiresAtMs })))
    const task = { call: 'takeAll', keys: keys.map((key) => key.toString('hex')) } as const
    const [ours, theirs] = (await Promise.all(takers.map((taker) => taker.ask(task)))) as [number[], number[]]
    doubled += ours.filter((index) => theirs.includes(index)).length
    lost += keys.length - new Set([...ours, ...theirs]).size
    first += ours.length
    second += theirs.length
  }
  await Promise.all([...takers.map((taker) => taker.end()), root.close()])
  return { races, lost, doubled, wins: [first, second] }
}
