import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { SslSession } from '../../../src/index.ts'
import {
  isBindingRelease,
  nodeSessionIdContext,
  noteSessionIdContext,
} from '../../../src/node/node-session-context.ts'
import { connect, NAME, startStock, versions } from '../../tools/node-servers.ts'

const GIVEN = 'the session id context of a test'
const PLAIN = Buffer.from(GIVEN)
/** SHA-256 of what was given, a zero byte and the name. */
const BOUND = Buffer.from('88b29eec229e9284c72cd1ce165264e77250555dc97922ec02b7511f510f556e', 'hex')

describe.each(versions)('what Node makes of a session id context in %s', (version) => {
  test.each([NAME, 'other.example'])('is what is expected of this release, for %s', async (servername) => {
    const { server, port } = await startStock({
      server: { sessionIdContext: GIVEN, minVersion: version, maxVersion: version },
    })
    server.on('newSession', (_id, _der, done) => done())
    const made = once(server, 'newSession')
    await connect({ port }, undefined, { servername, rejectUnauthorized: false })
    const [, der] = (await made) as [Buffer, Buffer]
    const { sessionIdContext } = SslSession.fromDer(der)
    expect(Buffer.from(sessionIdContext)).toEqual(nodeSessionIdContext(GIVEN, servername))
  })
})

test.each([
  ['20.20.2', false],
  ['22.23.3', false],
  ['22.23.5', true],
  ['24.21.0', false],
  ['24.22.1', false],
  ['24.22.3', true],
  ['24.23.0', true],
  ['25.9.0', false],
  ['26.12.1', false],
  ['27.0.0', true],
])('Node %s binds it to the server name: %s', (version, binds) => {
  expect(isBindingRelease(version)).toBe(binds)
})

describe('a session that Node has made', () => {
  const real = nodeSessionIdContext(GIVEN, 'a.example')
  afterEach(() => noteSessionIdContext(real, GIVEN, 'a.example'))

  test('says more than the number of the release', () => {
    noteSessionIdContext(BOUND, GIVEN, 'a.example')
    expect(nodeSessionIdContext(GIVEN, 'a.example')).toEqual(BOUND)
    noteSessionIdContext(PLAIN, GIVEN, 'a.example')
    expect(nodeSessionIdContext(GIVEN, 'a.example')).toEqual(PLAIN)
  })

  test('says nothing when its context is neither', () => {
    const before = nodeSessionIdContext(GIVEN, 'a.example')
    noteSessionIdContext(Buffer.alloc(32), GIVEN, 'a.example')
    expect(nodeSessionIdContext(GIVEN, 'a.example')).toEqual(before)
  })
})
