import { randomBytes } from 'node:crypto'
import { describe, test } from 'vitest'
import { MemoryStore, type SessionStore } from '../../../src/index.ts'
import { storeConformance } from '../../../src/testing/index.ts'

describe('the memory store', () => {
  const stores = new Map<string, MemoryStore>()
  const open = (name: string): SessionStore => {
    const store = stores.get(name) ?? new MemoryStore()
    stores.set(name, store)
    return store
  }
  for (const { title, run } of storeConformance({ open, randomBytes })) test(title, run)
})
