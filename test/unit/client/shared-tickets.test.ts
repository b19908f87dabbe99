import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { SharedTickets } from '../../../src/client/shared-tickets.ts'
import type { Ticket } from '../../../src/client/ticket-cache.ts'
import { type ClientSessions, MemoryStore, type SessionStore } from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'
import { makeTls13Session, START_SEC } from '../../tools/model-fixtures.ts'
import {
  between,
  connect,
  make,
  remote,
  startSingleUseTls,
  startTls,
  type TestServer,
  turn,
  versions,
} from './harness.ts'

const secrets = [randomBytes(32)]
const START_MS = START_SEC * 1000
/** Where it is not the deadline that is asked about. */
const PATIENT_MS = 10_000

const ENGINES: Readonly<Record<string, () => SessionStore>> = {
  'that answers at once': () => delegate(new MemoryStore()),
  'that answers later': () => remote(new MemoryStore()),
}

describe.each(Object.keys(ENGINES))('ClientSessions with a store %s', (name) => {
  const engine = () => (ENGINES[name] ?? (() => new MemoryStore()))()

  test.each(versions)('the next process resumes at once, %s', async (version) => {
    const server = await startTls({ minVersion: version, maxVersion: version })
    const store = engine()
    await connect(make({ store, secrets }), server.options)
    await turn()
    // As `npx sslctx secret` prints it.
    const next = make({ store, secrets: secrets.map((one) => one.toString('hex')) })
    expect(await connect(next, server.options)).toMatchObject({ isResumed: true, authorized: true })
    expect(next.stats.reasons).toEqual({ resumed: 1 })
  })

  test('a ticket is offered once by all of them', async () => {
    const server = await startSingleUseTls()
    const watch = await watched(server)
    const store = engine()
    const processes = Array.from({ length: 4 }, () => make({ store, secrets }))
    for (let round = 0; round < 25; round++)
      await Promise.all(processes.map((sessions) => connect(sessions, watch.options)))
    expect(watch.tickets.length).toBeGreaterThan(50)
    expect(new Set(watch.tickets).size).toBe(watch.tickets.length)
    expect(server.seen).toEqual({ connections: 100, resumed: watch.tickets.length })
  })

  test('each of several processes resumes as if it were alone', async () => {
    const server = await startSingleUseTls()
    const store = engine()
    const processes = Array.from({ length: 4 }, () => make({ store, secrets, deadlineMs: PATIENT_MS }))
    for (let round = 0; round < 10; round++) {
      const visits = processes.flatMap((sessions) => [1, 2, 3].map(() => connect(sessions, server.options)))
      await Promise.all(visits)
    }
    // All but the first burst.
    expect(server.seen.connections).toBe(120)
    expect(server.seen.resumed).toBeGreaterThanOrEqual(108)
  })

  test('what a process has when it closes is for the next one, once', async () => {
    const server = await startSingleUseTls()
    const watch = await watched(server)
    const store = engine()
    const before = make({ store, secrets, deadlineMs: PATIENT_MS })
    await Promise.all([1, 2, 3, 4].map(() => connect(before, watch.options)))
    expect(before.stats.tickets).toBeGreaterThan(3)
    await before.close()
    expect(before.stats.tickets).toBe(0)
    await using next = make({ store, secrets, deadlineMs: PATIENT_MS })
    await Promise.all([1, 2, 3, 4].map(() => connect(next, watch.options)))
    expect(next.stats.reasons).toEqual({ resumed: 4 })
    // Without the store it goes on.
    expect(await connect(before, watch.options)).toMatchObject({ isResumed: false })
    expect(await connect(before, watch.options)).toMatchObject({ isResumed: true })
    expect(new Set(watch.tickets).size).toBe(watch.tickets.length)
  })

  test('what was verified otherwise is not found', async () => {
    const server = await startTls()
    const store = engine()
    await connect(make({ store, secrets }), server.options)
    await turn()
    const next = make({ store, secrets })
    expect(await connect(next, { ...server.options, ALPNProtocols: ['h2'] })).toMatchObject({
      isResumed: false,
    })
    expect(await connect(next, { ...server.options, rejectUnauthorized: false })).toMatchObject({
      isResumed: false,
    })
  })

  test.each(versions)(
    'secrets are replaced step by step, and each process finds what there is: %s',
    async (version) => {
      const server = await startTls({ minVersion: version, maxVersion: version })
      const [next = randomBytes(32), old = randomBytes(32)] = [randomBytes(32), ...secrets]
      const store = engine()
      const visit = async (...all: readonly Uint8Array[]): Promise<boolean> => {
        await using sessions = make({ store, secrets: all, deadlineMs: PATIENT_MS })
        const { isResumed } = await connect(sessions, server.options)
        await turn()
        return isResumed
      }
      expect(await visit(old)).toBe(false)
      expect(await visit(old, next)).toBe(true)
      expect(await visit(next, old)).toBe(true)
    },
  )

  test('with other secrets nothing is found', async () => {
    const server = await startTls()
    const store = engine()
    await connect(make({ store, secrets }), server.options)
    await turn()
    expect(await connect(make({ store, secrets: [randomBytes(32)] }), server.options)).toMatchObject({
      isResumed: false,
    })
  })
})

const FAILING: Readonly<Record<string, Partial<SessionStore>>> = {
  'that throws': { take: fail, get: fail, set: fail },
  'that rejects': { take: async () => fail(), get: async () => fail(), set: async () => fail() },
  'that never answers': { take: () => new Promise(() => undefined), get: () => new Promise(() => undefined) },
  'that gives something else': {
    take: () => new Uint8Array(200).fill(1),
    get: () => new Uint8Array(200).fill(1),
  },
}

function fail(): never {
  throw new Error('the engine is down')
}

describe.each(Object.entries(FAILING))('a store %s', (_name, failing) => {
  test('costs full handshakes, and no connection', async () => {
    const server = await startTls()
    const sessions = make({ store: { ...delegate(new MemoryStore()), ...failing }, secrets, deadlineMs: 20 })
    const results = await Promise.all([1, 2, 3].map(() => connect(sessions, server.options)))
    expect(results).toMatchObject(Array(3).fill({ authorized: true }))
    expect(server.seen.connections).toBe(3)
  })
})

test('what the engine holds is sealed', async () => {
  const server = await startTls()
  const values: Buffer[] = []
  const engine = new MemoryStore()
  const store: SessionStore = {
    ...delegate(engine),
    set: (entries) => {
      values.push(...entries.map(({ value }) => Buffer.from(value)))
      return engine.set(entries)
    },
  }
  await connect(make({ store, secrets }), server.options)
  expect(values.length).toBeGreaterThan(0)
  for (const value of values) expect(value.includes('localhost')).toBe(false)
})

test('a session that was never authorized stays in its process', async () => {
  const server = await startTls()
  let writes = 0
  const engine = new MemoryStore()
  const store = {
    ...delegate(engine),
    set: (entries: Parameters<SessionStore['set']>[0]) => {
      writes++
      return engine.set(entries)
    },
  }
  const sessions = make({ store, secrets })
  const wish = { ...server.options, servername: 'wrong.example', rejectUnauthorized: false }
  await connect(sessions, wish)
  expect(await connect(sessions, wish)).toMatchObject({ isResumed: true, authorized: false })
  expect(writes).toBe(0)
})

test('a store without secrets is refused', () => {
  expect(() => make({ store: new MemoryStore() })).toThrow(
    expect.objectContaining({ code: 'ERR_STORE_UNSEALED' }),
  )
  expect(() => make({ store: new MemoryStore(), secrets: [new Uint8Array(8)] })).toThrow(
    expect.objectContaining({ code: 'ERR_KEY_WEAK' }),
  )
})

test('close ends in time, and closes no store of the owner', async () => {
  const server = await startTls()
  let isClosed = false
  const engine = new MemoryStore()
  const never = () => new Promise<never>(() => undefined)
  const store: SessionStore = {
    ...delegate(engine),
    set: never,
    close: () => {
      isClosed = true
    },
  }
  const sessions = make({ store, secrets, deadlineMs: 20 })
  await connect(sessions, server.options)
  await sessions.close()
  await sessions.close()
  expect(isClosed).toBe(false)
})

test('a ticket in the store is replaced before it is old', async () => {
  const store = new MemoryStore({ now: () => START_MS })
  const writer = new SharedTickets(store, { isReused: false, deadlineMs: 100 })
  const of = (id: number): Ticket => ({
    session: makeTls13Session(id, { timeSec: START_SEC, timeoutSec: 1000 }),
    bytes: 100,
    verifiedAtMs: START_MS,
    chainEndMs: Number.POSITIVE_INFINITY,
    authorized: true,
    authorizationError: null,
  })
  expect(writer.offer('origin', of(1), START_MS, false)).toBe(true)
  // The second is for this process, the third and fourth are for others, and then it has given enough.
  expect(writer.offer('origin', of(2), START_MS, false)).toBe(false)
  expect(writer.offer('origin', of(3), START_MS, true)).toBe(true)
  expect(writer.offer('origin', of(4), START_MS, true)).toBe(true)
  expect(writer.offer('origin', of(5), START_MS, true)).toBe(false)
  expect(writer.offer('origin', of(6), START_MS + 249_000, false)).toBe(false)
  expect(writer.offer('origin', of(7), START_MS + 250_000, false)).toBe(true)
  const ids: (number | undefined)[] = []
  for (let turn = 0; turn < 4; turn++) {
    const taken = await writer.take('origin', START_MS, () => undefined)
    ids.push(taken?.session.sessionId[0])
  }
  expect(ids.sort()).toEqual([3, 4, 7, undefined])
})

test('without a store no ticket is offered twice', async () => {
  const server = await startSingleUseTls()
  const watch = await watched(server)
  const sessions: ClientSessions = make()
  for (let round = 0; round < 20; round++)
    await Promise.all(Array.from({ length: 10 }, () => connect(sessions, watch.options)))
  expect(new Set(watch.tickets).size).toBe(watch.tickets.length)
  expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 10, resumed: 190 })
  expect(server.seen).toEqual({ connections: 200, resumed: 190 })
})

test('with reuse the last ticket is offered again, and the others once', async () => {
  const server = await startTls()
  const watch = await watched(server)
  const sessions = make({ reuse: true })
  for (let connection = 0; connection < 5; connection++) await connect(sessions, watch.options)
  const [newest, ...others] = watch.tickets
  expect(others).toHaveLength(3)
  expect(new Set(others).size).toBe(1)
  expect(others).not.toContain(newest)
  expect(server.seen).toEqual({ connections: 5, resumed: 4 })
})

test('with reuse a server that takes each ticket once sees none twice, as long as it gives new ones', async () => {
  const server = await startSingleUseTls()
  const watch = await watched(server)
  const sessions = make({ reuse: true })
  for (let round = 0; round < 5; round++)
    await Promise.all(Array.from({ length: 6 }, () => connect(sessions, watch.options)))
  expect(new Set(watch.tickets).size).toBe(watch.tickets.length)
  expect(server.seen).toEqual({ connections: 30, resumed: 24 })
})

test('with reuse a ticket that was refused is not offered again', async () => {
  const server = await startTls({ ticketKeys: Buffer.alloc(48, 1) })
  const sessions = make({ reuse: true })
  await connect(sessions, server.options)
  await connect(sessions, server.options)
  server.setTicketKeys(Buffer.alloc(48, 2))
  for (let connection = 0; connection < 4; connection++) await connect(sessions, server.options)
  expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, refused: 1, resumed: 4 })
})

/** Between clients and a server: which tickets are in the ClientHellos. */
async function watched(server: TestServer) {
  const tickets: string[] = []
  const options = await between(server, ({ pskIdentities }) => {
    for (const { identity } of pskIdentities) tickets.push(Buffer.from(identity).toString('base64'))
  })
  return { tickets, options }
}
