import { createHash, randomBytes } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { KeyRing, MemoryStore, Revocations, type SessionStore } from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'

const ring = new KeyRing([randomBytes(32)])
const peerCertificate = new Uint8Array(randomBytes(300))
const client = { peerCertificate, hostname: 'shop.example' }
const fingerprint = createHash('sha256').update(peerCertificate).digest()
const open: Revocations[] = []

afterEach(async () => {
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
    authenticatedAtSec: authenticatedAtSec - 0,
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

test('a process that runs holds its marks when the whole set was put back, and writes them again', async () => {
  const { store, running, authenticatedAtSec, putBack } = await rolledBack()
  putBack()
  await running.refresh()
  expect(running.objectionTo(client, authenticatedAtSec)).toBe('revoked')
  const started = await start(store)
  expect(started.objectionTo(client, authenticatedAtSec)).toBe('revoked')
})
