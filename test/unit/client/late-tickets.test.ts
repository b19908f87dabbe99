import { randomBytes } from 'node:crypto'
import type net from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type ClientSessions,
  type ConnectOptions,
  MemoryStore,
  type SessionStore,
} from '../../../src/index.ts'
import type { Awaitable } from '../../../src/model.ts'
import { delegate } from '../../tools/delegate.ts'
import { between, connect, finished, localLookup, make, startTls, turn } from './harness.ts'

// What the store gives when it is no longer wanted.

const secrets = [randomBytes(32)]
const DEADLINE_MS = 100
/** Two of them are longer than the deadline, one is not. */
const STEP_MS = 60

afterEach(() => vi.useRealTimers())

/** Its answers are those of the moment in which it was asked, and come when they are released. */
function heldStore(store: SessionStore) {
  const waiting: (() => void)[] = []
  const hold = { isOn: false }
  const held = <T>(answer: Awaitable<T>): Awaitable<T> =>
    hold.isOn ? new Promise<void>((resolve) => waiting.push(resolve)).then(() => answer) : answer
  const all: SessionStore = {
    ...delegate(store),
    get: (key) => held(store.get(key)),
    take: (key) => held(store.take(key)),
  }
  const release = async (): Promise<void> => {
    for (const resolve of waiting.splice(0)) resolve()
    await turns()
  }
  return { store: all, hold, release }
}

async function turns(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn()
}

/** It never has the address of its server. */
function lookingForever(sessions: ClientSessions, options: ConnectOptions) {
  const lookup = { lookup: () => undefined } as object
  const socket = sessions.connect({ ...options, ...lookup })
  return async (): Promise<void> => {
    socket.destroy()
    await new Promise((resolve) => socket.once('close', resolve))
  }
}

/** A server of which the store has several sessions; whoever offers one is reset while `fault` is on. */
async function known(version: 'TLSv1.2' | 'TLSv1.3') {
  const server = await startTls({ minVersion: version, maxVersion: version })
  const fault = { isOn: false }
  const options = await between(server, ({ pskIdentities, sessionTicket }, client: net.Socket) => {
    if (fault.isOn && (pskIdentities.length > 0 || sessionTicket?.length)) client.resetAndDestroy()
  })
  const held = heldStore(new MemoryStore())
  const before = make({ store: held.store, secrets })
  await Promise.all([1, 2, 3, 4].map(() => connect(before, options)))
  await before.close()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const sessions = make({ store: held.store, secrets, deadlineMs: DEADLINE_MS })
  return { ...held, fault, options, sessions }
}

type Known = Awaited<ReturnType<typeof known>>

const NOTHING = { tickets: 0, sessions: { number: 0 } }

/** Each begins before the store is slow, and is then to be ended. */
const ENDS_OF_ALL: Readonly<Record<string, (world: Known) => () => unknown>> = {
  clear:
    ({ sessions }) =>
    () =>
      sessions.clear(),
  'a handshake that fails': ({ sessions, options, fault }) => {
    let look = (): void => undefined
    const lookup: typeof localLookup = (...asked) => {
      look = () => localLookup(...asked)
    }
    const failing = finished(sessions.connect({ ...options, lookup }))
    return async () => {
      fault.isOn = true
      look()
      await expect(failing).rejects.toThrow('ECONNRESET')
    }
  },
}

describe('a ticket that the store gives after the deadline', () => {
  /** It is taken, and on its way. */
  async function takenLate(begin: (world: Known) => () => unknown = () => () => undefined) {
    const world = await known('TLSv1.3')
    const { sessions, options, hold, release } = world
    const end = begin(world)
    await turns()
    hold.isOn = true
    const leave = lookingForever(sessions, options)
    await vi.advanceTimersByTimeAsync(STEP_MS)
    await release()
    await vi.advanceTimersByTimeAsync(STEP_MS)
    hold.isOn = false
    return { ...world, end, leave }
  }

  test('is in memory', async () => {
    const { sessions, release, leave } = await takenLate()
    await release()
    expect(sessions.stats.tickets).toBe(1)
    await leave()
  })

  test.each(Object.keys(ENDS_OF_ALL))('does not come back after %s', async (name) => {
    const { sessions, end, release, leave } = await takenLate(ENDS_OF_ALL[name])
    await end()
    await release()
    expect(sessions.stats).toMatchObject(NOTHING)
    await leave()
  })

  test('does not come back after close', async () => {
    const { sessions, release, leave } = await takenLate()
    await sessions.close()
    await release()
    expect(sessions.stats).toMatchObject(NOTHING)
    await leave()
  })
})

describe('what the store gives in time', () => {
  test.each([
    ['TLSv1.2', 'clear'],
    ['TLSv1.3', 'clear'],
    ['TLSv1.3', 'a handshake that fails'],
  ] as const)('does not come back into memory: %s, %s', async (version, name) => {
    const world = await known(version)
    const { sessions, options, hold, release } = world
    const end = ENDS_OF_ALL[name]?.(world)
    await turns()
    hold.isOn = true
    const leave = lookingForever(sessions, options)
    await turns()
    await end?.()
    await release()
    await leave()
    expect(sessions.stats).toMatchObject(NOTHING)
  })
})
