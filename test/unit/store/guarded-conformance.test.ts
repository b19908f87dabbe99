import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { describe, test } from 'vitest'
import type { SessionStore } from '../../../src/session/session-store.ts'
import { type GuardOptions, guarded } from '../../../src/store/guarded-store.ts'
import { MemoryStore } from '../../../src/store/memory-store.ts'
import { storeConformance } from '../../../src/testing/index.ts'

/** Does everything a turn of the event loop later, and answers another turn later. */
function remote(memory: MemoryStore): SessionStore {
  const later = async <T>(call: () => T): Promise<T> => {
    await setImmediate()
    const answer = call()
    await setImmediate()
    return answer
  }
  return {
    get: (key) => later(() => memory.get(key)),
    set: (entries) => later(() => memory.set(entries)),
    take: (key) => later(() => memory.take(key)),
    delete: (key) => later(() => memory.delete(key)),
    getMarks: async () => later(() => memory.getMarks()),
    addMarks: (marks) => later(() => memory.addMarks(marks)),
    watchMarks: (onMark) =>
      later(() => {
        const end = memory.watchMarks(onMark)
        return async () => end()
      }),
    close: async () => undefined,
  }
}

const patient: GuardOptions = { deadlineMs: 30_000 }

describe.each([
  ['over the memory store', (memory: MemoryStore) => guarded(memory, patient)],
  ['over a store that answers later', (memory: MemoryStore) => guarded(remote(memory), patient)],
  [
    'over one that writes one thing at a time',
    (memory: MemoryStore) => guarded(remote(memory), { ...patient, maxConcurrentWrites: 1 }),
  ],
])('a guard %s', (_, guard) => {
  const memories = new Map<string, MemoryStore>()
  const open = (name: string): SessionStore => {
    const memory = memories.get(name) ?? new MemoryStore()
    memories.set(name, memory)
    return guard(memory)
  }
  for (const { title, run } of storeConformance({ open, randomBytes })) test(title, run)
})
