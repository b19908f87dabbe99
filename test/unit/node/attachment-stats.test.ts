import { once } from 'node:events'
import net from 'node:net'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { KeyRing } from '../../../src/index.ts'
import { connect, start } from '../../tools/node-servers.ts'
import { SECRET, startTicketed } from '../../tools/ticket-servers.ts'

test('attachment.stats counts handshakes by their protocol, and those that never had one only by their outcome', async () => {
  const harness = await start()
  const old = { maxVersion: 'TLSv1.2' } as const
  const { session } = await connect(harness, undefined, old)
  await connect(harness, session, old)
  await connect(harness)
  const stranger = net.connect(harness.port, '127.0.0.1').end('GET / HTTP/1.1\r\n\r\n').resume()
  await once(stranger, 'close')
  await harness.attachment.close()
  expect(harness.attachment.stats).toMatchObject({ handshakes: { resumed: 1, full: 2, failed: 1 } })
  expect(harness.attachment.stats.protocols).toEqual({
    'TLSv1.2': { resumed: 1, full: 1, failed: 0 },
    'TLSv1.3': { resumed: 0, full: 1, failed: 0 },
  })
  expect(harness.attachment.context).toBe(harness.context)
})

test('attachment.stats is a snapshot', async () => {
  const harness = await start()
  await connect(harness)
  const before = harness.attachment.stats
  await connect(harness)
  expect(before.protocols).toEqual({ 'TLSv1.3': { resumed: 0, full: 1, failed: 0 } })
})

test('what hangs on the asynchronous context of a connection shows no session', async () => {
  const harness = await start()
  const { session } = await connect(harness)
  let shown = ''
  harness.server.on('secureConnection', (socket) => {
    shown = inspect(socket, { depth: 12, showHidden: true, maxArrayLength: null })
  })
  const resumed = await connect(harness, session)
  expect(resumed.resumed).toBe(true)
  expect(shown).toContain('TLSSocket')
  expect(shown).not.toMatch(/<Buffer 30 8[12]/)
})

test('attachment.stats counts stateless tickets that were made, and that were offered, and tells where their keys are', async () => {
  const period = Math.floor(Date.now() / 3_600_000)
  let nowMs = period * 3_600_000
  const harness = await startTicketed({ context: { now: () => nowMs, sessionTimeout: 7200 } })
  const other = await startTicketed(
    { context: { now: () => nowMs } },
    new KeyRing([Buffer.alloc(32, SECRET).reverse()]),
  )
  const { session } = await connect(harness)
  await connect(harness, session)
  await connect(harness, (await connect(other)).session)
  const keys = { current: period, timeLeftSec: 3600, open: 6 }
  expect(harness.attachment.stats.tickets).toEqual({
    sealed: 5,
    offered: { opened: 1, 'unknown-key': 1, altered: 0, unreadable: 0 },
    keys,
  })
  nowMs += 3_590_000
  expect(harness.attachment.stats.tickets?.keys).toEqual({ ...keys, timeLeftSec: 10, open: 5 })
  nowMs += 10_000
  expect(harness.attachment.stats.tickets?.keys).toEqual({ ...keys, current: period + 1 })
})

test('attachment.stats has no tickets where there are none', async () => {
  expect((await start()).attachment.stats.tickets).toBeUndefined()
})
