import { KeyRing, type SessionStore, sealed } from '../../../src/index.ts'
import { guarded } from '../../../src/store/guarded-store.ts'
import { openEngineStore } from '../../tools/engine-store.ts'
import type { FromTaker, Take, ToTaker } from './taker-messages.ts'

// One process that takes sessions through the whole stack, as fast as another one next to it.

/** Takes under way at once; few enough for two processes to meet at the same keys. */
const LANES = 4
/** Far beyond what a busy machine needs: a take that is cut off counts as one without a winner. */
const DEADLINE_MS = 30_000

let store: Promise<SessionStore> | undefined

async function open({ address, secret }: Extract<ToTaker, { type: 'open' }>): Promise<SessionStore> {
  const engine = await openEngineStore(address)
  const guard = guarded(engine.store, { deadlineMs: DEADLINE_MS })
  return sealed(guard, new KeyRing([Buffer.from(secret, 'hex')]))
}

async function takeAll(from: SessionStore, keys: readonly string[]): Promise<Take[]> {
  const takes: Take[] = []
  const indexes = keys.entries()
  const lane = async (): Promise<void> => {
    for (const [index, key] of indexes) takes[index] = await take(from, Buffer.from(key, 'hex'))
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return takes
}

async function take(from: SessionStore, key: Buffer): Promise<Take> {
  const beganMs = performance.timeOrigin + performance.now()
  const value = await from.take(key)
  if (value !== undefined && !Buffer.from(value).equals(key))
    throw new Error('a take gave the session of another key')
  return { hasWon: value !== undefined, beganMs, endedMs: performance.timeOrigin + performance.now() }
}

async function run(message: ToTaker): Promise<FromTaker> {
  store ??= message.type === 'open' ? open(message) : undefined
  if (store === undefined) throw new Error('the store is not open')
  const opened = await store
  if (message.type === 'open') return { type: 'ready' }
  // Both begin in the same millisecond, whoever heard of it first.
  while (Date.now() < message.atMs);
  return { type: 'taken', takes: await takeAll(opened, message.keys) }
}

process.on('message', (message: ToTaker) => {
  void run(message).then((answer) => process.send?.(answer))
})
process.on('disconnect', () => process.exit())
