import { once } from 'node:events'
import net from 'node:net'
import { expect, test } from 'vitest'
import { connect, start } from './harness.ts'

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
