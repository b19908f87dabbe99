import type { SessionStore } from '../../src/index.ts'

/** The same store as any engine: it pushes no marks, and may not have sessions in the clear. */
export function delegate(store: SessionStore): SessionStore {
  return {
    get: (key) => store.get(key),
    set: (entries) => store.set(entries),
    take: (key) => store.take(key),
    delete: (key) => store.delete(key),
    getMarks: () => store.getMarks(),
    addMarks: (marks) => store.addMarks(marks),
    close: () => store.close(),
  }
}
