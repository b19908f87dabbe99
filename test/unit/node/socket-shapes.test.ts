import { expect, test } from 'vitest'
import { settleSocketShapes } from '../../../src/node/runtime.ts'
import { afterTest, certificate } from '../../tools/node-servers.ts'
import { forkScript, nextMessage } from '../../tools/server-process.ts'
import type { FromShaped, StartShaped } from './socket-shapes-server.ts'

/** What a connection costs the engine of Node 20 for each new net.Socket, and not while a server is attached. */

/** Of the copies that net.Socket makes of its options, by the names in them. */
async function shapesOf(isAttached: boolean): Promise<readonly boolean[]> {
  const child = forkScript(new URL('./socket-shapes-server.ts', import.meta.url), {
    execArgv: ['--allow-natives-syntax'],
  })
  afterTest(() => child.kill())
  child.send({ certificate, isAttached } satisfies StartShaped)
  const { shapes } = await nextMessage<FromShaped>(child)
  return shapes
}

const isLosing = Number.parseInt(process.versions.v8, 10) < 12

test('with an attached server, options of the same names have one shape', async () => {
  const shapes = await shapesOf(true)
  // Of the sockets that a server accepts, and of TLSSockets.
  expect(shapes.length).toBeGreaterThanOrEqual(2)
  expect(new Set(shapes)).toEqual(new Set([true]))
})

test.runIf(isLosing)('Node 20 by itself gives each of them a shape of its own', async () => {
  expect(await shapesOf(false)).toContain(false)
})

test('an engine that needs none of it is shown nothing', () => {
  expect(settleSocketShapes('12.4.254.21-node.57')).toBe(false)
  expect(settleSocketShapes('14.6.202.34-node.40')).toBe(false)
})
