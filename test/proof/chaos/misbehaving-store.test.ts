import { createHash, randomBytes } from 'node:crypto'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import {
  type GuardOptions,
  guarded,
  KeyRing,
  MemoryStore,
  Revocations,
  type SessionStore,
  SessionStoreError,
  sealed,
  storeCallbacks,
} from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'
import { afterTest, connect, type Harness, NO_INTERNAL, start, VERSIONS } from '../../tools/node-servers.ts'

const DEADLINE_MS = 40
const GUARD: GuardOptions = { deadlineMs: DEADLINE_MS, breaker: { failures: 1000 } }

type Method = 'get' | 'set' | 'take' | 'delete' | 'getMarks' | 'addMarks' | 'close'
const METHODS: readonly Method[] = ['get', 'set', 'take', 'delete', 'getMarks', 'addMarks', 'close']
const WRITES: readonly Method[] = ['set', 'take', 'delete', 'addMarks']

/** A store that does something else than it should in some of its calls. */
function misbehaving(methods: readonly Method[], answer: (call: () => unknown) => unknown): SessionStore {
  const store = delegate(new MemoryStore())
  const wrong = methods.map((method) => {
    const call = store[method] as (...values: readonly unknown[]) => unknown
    return [method, (...values: readonly unknown[]) => answer(() => call(...values))]
  })
  return { ...store, ...Object.fromEntries(wrong) }
}

/** What comes after its deadline. */
const late: Promise<unknown>[] = []

function afterDeadline<T>(then: () => T): Promise<Awaited<T>> {
  const answer = setTimeout(2 * DEADLINE_MS).then(then) as Promise<Awaited<T>>
  late.push(answer.catch(() => undefined))
  return answer
}
const rejectLate = (): Promise<never> =>
  afterDeadline(() => {
    throw new Error('long after the deadline')
  })
/** A promise may be told twice; the second time means nothing. */
const settleTwice = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    resolve(undefined)
    reject(new Error('twice'))
  })
const refusing = (word: string) => (): never => {
  throw new SessionStoreError(`${word} what an engine says`, { isRefusal: true })
}

/** What engines have been seen to do, and what they could. */
const KINDS: readonly (readonly [string, () => SessionStore])[] = [
  ['rejects long after its deadline', () => misbehaving(METHODS, rejectLate)],
  ['throws', () => misbehaving(METHODS, refusing('ERR'))],
  ['rejects with what is no error', () => misbehaving(METHODS, () => Promise.reject(undefined))],
  [
    'never answers, not even when it is closed',
    () => misbehaving(METHODS, () => new Promise(() => undefined)),
  ],
  ['answers right, but after its deadline', () => misbehaving(METHODS, afterDeadline)],
  ['is full for writes alone', () => misbehaving(WRITES, refusing('OOM'))],
  ['is a read-only replica', () => misbehaving(WRITES, refusing('READONLY'))],
  ['may not write', () => misbehaving(WRITES, refusing('NOPERM'))],
  ['gives back a corrupt record', () => misbehaving(['get', 'take'], () => randomBytes(200))],
  ['gives back a text', () => misbehaving(['get', 'take'], () => 'a text')],
  ['gives back null', () => misbehaving(['get', 'take'], () => null)],
  ['gives back nothing at all', () => misbehaving(['get', 'take'], () => new Uint8Array(0))],
  ['answers twice', () => misbehaving(['get', 'set'], settleTwice)],
  ['forgets all', () => misbehaving(['set'], () => undefined)],
  ['fails when it is closed', () => misbehaving(['close'], refusing('ERR'))],
]

/** Rejections that nobody holds, and errors that nobody catches, until the test is over. */
function uncaught(): string[] {
  const heard: string[] = []
  const note = (error: unknown): void => void heard.push(String(error))
  process.on('unhandledRejection', note).on('uncaughtException', note)
  afterTest(() => process.off('unhandledRejection', note).off('uncaughtException', note))
  return heard
}

describe.each(KINDS)('a store that %s', (_, open) => {
  test.each(VERSIONS)('costs full handshakes, and no connection: %s', async (_version, version) => {
    const heard = uncaught()
    const store = sealed(guarded(open(), GUARD), new KeyRing([randomBytes(32)]))
    const harness: Harness = await start({
      ...version,
      context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(store) },
    })
    let session: Buffer | undefined
    for (let visit = 0; visit < 4; visit++) {
      const { received, session: made } = await connect(harness, session)
      expect(received).toBe('hello')
      session = made ?? session
    }
    expect(harness.handshakes.map(({ outcome }) => outcome)).not.toContain('failed')
    await harness.attachment.close({ deadlineMs: 4 * DEADLINE_MS })
    await Promise.resolve(store.close()).catch(() => undefined)
    await Promise.all(late.splice(0))
    await setImmediate()
    expect(heard).toEqual([])
  })
})

describe('a store that loses a single mark', () => {
  const open: Revocations[] = []
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()))
  })

  test('resumes nobody of before, in a process that starts, and every client is served', async () => {
    const heard = uncaught()
    const marks = new MemoryStore()
    let isLosing = false
    const kept = async (): Promise<readonly Uint8Array[] | undefined> => {
      const all = (await marks.getMarks()) ?? []
      // The first is where the set began; what is lost is a revocation.
      return isLosing ? all.filter((_mark, index) => index !== 1) : all
    }
    const ring = new KeyRing([randomBytes(32)])
    const store: SessionStore = { ...delegate(marks), getMarks: kept }
    const writer = new Revocations(store, ring)
    open.push(writer)
    await writer.ready
    for (let made = 0; made < 3; made++)
      await writer.revokeClient(createHash('sha256').update(randomBytes(8)).digest(), {
        madeBeforeMs: 1000 + made,
      })
    await writer.close()
    const harness = await start({ context: storeCallbacks(new MemoryStore()) })
    const { session } = await connect(harness)
    harness.attachment[Symbol.dispose]()

    isLosing = true
    const failures: unknown[] = []
    const started = new Revocations(store, ring, { onError: (error) => failures.push(error) })
    open.push(started)
    await started.ready
    expect(failures).toEqual([expect.objectContaining({ code: 'ERR_SESSION_STORE_MARKS_MISSING' })])
    const nowSec = Math.floor(Date.now() / 1000)
    expect(started.objectionTo({ peerCertificate: undefined, hostname: 'a' }, nowSec - 60)).toBe('revoked')
    const again = await start({ attach: { revocations: started } })
    expect((await connect(again, session)).received).toBe('hello')
    expect(heard).toEqual([])
  })
})
