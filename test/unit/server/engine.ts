import { MemoryStore, type SessionStore } from '../../../src/index.ts'

/** As good as 32 random bytes, and the same in each run. */
export const SECRET: Uint8Array = Uint8Array.from(
  { length: 32 },
  (_, index) => (index * index * 37 + 11) % 251,
)

/** What several processes see of one engine: it is outside of each. */
export function engine(memory: MemoryStore = new MemoryStore()): SessionStore {
  return {
    get: async (key) => memory.get(key),
    set: async (entries) => memory.set(entries),
    take: async (key) => memory.take(key),
    delete: async (key) => memory.delete(key),
    getMarks: async () => memory.getMarks(),
    addMarks: async (marks) => memory.addMarks(marks),
    close: () => undefined,
  }
}
