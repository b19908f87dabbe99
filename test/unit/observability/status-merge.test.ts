import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ClientSessions, MemoryStore } from '../../../src/index.ts'
import { type StatusReport, statusHandler } from '../../../src/observability/status-handler.ts'
import { mergeReports } from '../../../src/observability/status-merge.ts'
import { openShop, type Shop } from '../../tools/shop.ts'

let shop: Shop
const clients = new ClientSessions()

beforeEach(async () => {
  shop = await openShop(new MemoryStore(), { sessionCacheSize: 8 })
})
afterEach(() => shop.close())

/** What a process tells of itself, after a full and a resumed handshake. */
async function report(): Promise<StatusReport> {
  const handler = statusHandler({ ...shop.parts, clients: { outside: clients } })
  const server = http.createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = { version: 'TLSv1.3' } as const
  await shop.visit(client)
  await shop.visit(client)
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/?format=json`)
  const told = (await answer.json()) as StatusReport
  handler.close()
  server.close()
  return told
}

function only<T>(record: Readonly<Record<string, T>>): T {
  const [one] = Object.values(record)
  if (one === undefined) throw new Error('nothing is shown')
  return one
}

describe('the reports of several processes', () => {
  test('are added up, name by name', async () => {
    const one = await report()
    const all = mergeReports([one, one, one])
    expect(all.process).toEqual({ ...one.process, processes: 3 })
    const [single, merged] = [only(one.servers), only(all.servers)]
    expect(single.total.handshakes.full).toBeGreaterThan(0)
    expect(merged.total.handshakes.full).toBe(3 * single.total.handshakes.full)
    expect(merged.now.rate).toBe(single.now.rate)
    expect(merged.now.seconds).toBe(single.now.seconds)
    expect(merged.cache?.sessions).toBe(3 * (single.cache?.sessions ?? 0))
    expect(merged.minutes.length).toBe(single.minutes.length)
    expect(merged.verdict).toEqual(single.verdict)
    expect(only(all.clients).origins).toBe(0)
  })

  test('show the worst of levels, and the latest failure', async () => {
    const one = await report()
    const store = only(one.stores)
    const failure = (time: string) => ({ time, operation: 'get', cause: 'ECONNREFUSED' }) as const
    const ill = {
      ...one,
      stores: {
        sessions: {
          ...store,
          breaker: 'open',
          breakers: { ...store.breakers, reads: 'half-open' },
          lastFailure: failure('2026-01-02'),
        },
      },
    } as unknown as StatusReport
    const older = {
      ...one,
      stores: { sessions: { ...store, lastFailure: failure('2026-01-01') } },
    } as unknown as StatusReport
    const merged = mergeReports([one, older, ill]).stores['sessions']
    expect(merged?.breaker).toBe('open')
    expect(merged?.breakers).toEqual({ reads: 'half-open', writes: 'closed', removals: 'closed' })
    expect(merged?.lastFailure).toEqual(failure('2026-01-02'))
  })

  test('of processes that differ: what only one has is shown as it is, and an unlimited cache stays unlimited', async () => {
    const one = await report()
    const server = only(one.servers)
    const unlimited = { ...server, cache: server.cache && { ...server.cache, size: 0 }, minutes: [] }
    const none = { ...server, cache: null, notKept: null, pendingWrites: null }
    const others = { ...one, servers: { a: unlimited, b: none }, stores: {}, clients: {} }
    const merged = mergeReports([{ ...others, servers: { a: server } }, others])
    expect(merged.servers['a']?.cache?.size).toBe(0)
    expect(merged.servers['a']?.minutes.length).toBe(server.minutes.length)
    expect(merged.servers['b']).toMatchObject({ cache: null, notKept: null, pendingWrites: null })
  })

  test('add up tickets, and show the keys that are furthest behind', async () => {
    const one = await report()
    const server = only(one.servers)
    const withTickets = (
      sealed: number,
      current: number,
      timeLeftSec: number,
      open: number,
    ): StatusReport => ({
      ...one,
      servers: {
        shop: {
          ...server,
          tickets: { sealed, offered: { opened: sealed }, keys: { current, timeLeftSec, open } },
        },
      },
    })
    const merged = mergeReports([withTickets(1, 9, 10, 5), one, withTickets(2, 8, 20, 6)])
    expect(merged.servers['shop']?.tickets).toEqual({
      sealed: 3,
      offered: { opened: 3 },
      keys: { current: 8, timeLeftSec: 10, open: 5 },
    })
    expect(mergeReports([one, one]).servers['shop']?.tickets).toBeNull()
  })
})
