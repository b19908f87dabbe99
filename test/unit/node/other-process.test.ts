import { expect, test } from 'vitest'
import { afterTest, certificate } from '../../tools/node-servers.ts'
import { forkScript, nextMessage } from '../../tools/server-process.ts'
import type { FromOther } from './other-process.ts'

/** Jest gives each test file a `process` of its own, and replaces its timers. */
test('where `process` is not that of Node, and its nextTick never comes, connections are served, and resume', async () => {
  const child = forkScript(new URL('./other-process.ts', import.meta.url))
  afterTest(() => child.kill())
  child.send(certificate)
  expect(await nextMessage<FromOther>(child)).toEqual({
    outcomes: ['full', 'resumed', 'full', 'resumed'],
  })
})
