import { once } from 'node:events'
import net from 'node:net'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { connect, start } from '../../tools/node-servers.ts'

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
