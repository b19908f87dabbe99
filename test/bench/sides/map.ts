/**
 * The hand-written cache in the place of ours.
 *
 *   node map.mjs mixed <sessions> <batches>
 */
import { HandWrittenCache } from './hand-written-cache.ts'
import {
  BATCH,
  ID_LENGTH,
  measure,
  randomBelow,
  report,
  SESSIONS_A_SECOND,
  SessionMaker,
  sessions,
  settle,
  TIMEOUT_SEC,
  writeId,
} from './sessions.ts'

interface Step {
  readonly kind: 'look-up' | 'add' | 'remove'
  readonly id: Buffer
  readonly der: Buffer
  readonly expiresAtMs: number
}

function mixed(): void {
  const maker = new SessionMaker()
  const cache = new HandWrittenCache(sessions)
  const expiryOf = (index: number): number => (maker.timeOf(index) + TIMEOUT_SEC) * 1000
  const idOf = (index: number): Buffer => {
    const id = Buffer.alloc(ID_LENGTH)
    writeId(id, 0, index)
    return id
  }
  for (let i = 0; i < sessions; i++) cache.set(idOf(i), Buffer.from(maker.der(i)), expiryOf(i))
  settle()
  let next = sessions
  let steps: Step[] = []
  const nothing = Buffer.alloc(0)
  const prepare = (): void => {
    const oldest = next - sessions
    steps = Array.from({ length: BATCH }, (): Step => {
      const draw = randomBelow(100)
      if (draw >= 90 && draw < 99) {
        const index = next++
        return {
          kind: 'add',
          id: idOf(index),
          der: Buffer.from(maker.der(index)),
          expiresAtMs: expiryOf(index),
        }
      }
      const index = oldest + 2 * BATCH + randomBelow(sessions - 4 * BATCH)
      return { kind: draw < 90 ? 'look-up' : 'remove', id: idOf(index), der: nothing, expiresAtMs: 0 }
    })
  }
  const value = measure(prepare, () => {
    for (const { kind, id, der, expiresAtMs } of steps) {
      if (kind === 'look-up') cache.get(id)
      else if (kind === 'add') cache.set(id, der, expiresAtMs)
      else cache.delete(id)
    }
    cache.flush(expiryOf(next - sessions + BATCH + SESSIONS_A_SECOND))
  })
  report(value)
}

mixed()
