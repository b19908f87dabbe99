import { createHash, randomBytes } from 'node:crypto'
import { afterEach, expect, test, vi } from 'vitest'
import { KeyRing, MemoryStore, Revocations, type SessionStore } from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'

const ring = new KeyRing([randomBytes(32)])
const peerCertificate = new Uint8Array(randomBytes(300))
const client = { peerCertificate, hostname: 'shop.example' }
const fingerprint = createHash('sha256').update(peerCertificate).digest()
const open: Revocations[] = []

afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(open.splice(0).map((one) => one.close()))
})

async function start(store: SessionStore): Promise<Revocations> {
  const revocations = new Revocations(store, ring)
  open.push(revocations)
  await revocations.ready
  return revocations
}

/** A store whose marks somebody has put back to what they were before a client was revoked. */
async function rolledBack() {
  let marks = new MemoryStore()
  const store: SessionStore = {
    ...delegate(marks),
    getMarks: () => marks.getMarks(),
    addMarks: (added) => marks.addMarks(added),
  }
  const running = await start(store)
  // Made long after the first mark, and a while before the revocation.
  const authenticatedAtSec = Math.floor(Date.now() / 1000)
  const earlier = (await marks.getMarks()) ?? []
  await running.revokeClient(fingerprint, { madeBeforeMs: Date.now() })
  await running.revokeAll({ madeBeforeMs: 1 })
  const back = new MemoryStore()
  back.addMarks(earlier.map((mark) => ({ mark, expiresAtMs: Number.POSITIVE_INFINITY })))
  return {
    store,
    running,
    authenticatedAtSec,
    putBack: () => {
      marks = back
    },
  }
}

test('a process that starts does not see that the whole set of marks was put back', async () => {
  const { store, running, authenticatedAtSec, putBack } = await rolledBack()
  expect(running.objectionTo(client, authenticatedAtSec)).toBe('revoked')
  putBack()
  const started = await start(store)
  expect(started.objectionTo(client, authenticatedAtSec)).toBeUndefined()
  expect(started.stats.broken).toBe(0)
})

test('of two revocations that did not know each other, a process that starts misses the one that was taken away', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const marks = new MemoryStore()
  const [one, other] = [await start(marks), await start(marks)]
  vi.setSystemTime(Date.now() + 5000)
  const authenticatedAtSec = Math.floor(Date.now() / 1000)
  vi.setSystemTime(Date.now() + 5000)
  const stored = async (): Promise<readonly Uint8Array[]> => (await marks.getMarks()) ?? []
  const before = (await stored()).length
  await one.revokeClient(fingerprint)
  const first = (await stored()).slice(before)
  await other.revokeServerName('other.example')
  const left = async (taken: readonly Uint8Array[]): Promise<Revocations> => {
    const back = new MemoryStore()
    const rest = (await stored()).filter((mark) => !taken.some((one) => Buffer.compare(one, mark) === 0))
    back.addMarks(rest.map((mark) => ({ mark, expiresAtMs: Number.POSITIVE_INFINITY })))
    return await start(back)
  }
  expect((await left([])).objectionTo(client, authenticatedAtSec)).toBe('revoked')
  expect((await left(first.slice(0, 1))).stats.broken).toBe(1)
  const missing = await left(first)
  expect(missing.objectionTo(client, authenticatedAtSec)).toBeUndefined()
  expect(missing.stats.broken).toBe(0)
})

test('a process that runs holds its marks when the whole set was put back, and writes them again', async () => {
  const { store, running, authenticatedAtSec, putBack } = await rolledBack()
  putBack()
  await running.refresh()
  expect(running.objectionTo(client, authenticatedAtSec)).toBe('revoked')
  const started = await start(store)
  expect(started.objectionTo(client, authenticatedAtSec)).toBe('revoked')
})
