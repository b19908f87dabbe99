import { describe, expect, test } from 'vitest'
import { connect, make, startTls, versions } from './harness.ts'

describe.each(versions)('ClientSessions.connect, %s', (version) => {
  test('resumes with what an earlier connection got', async () => {
    const server = await startTls({ minVersion: version, maxVersion: version })
    const sessions = make()
    expect(await connect(sessions, server.options)).toEqual({
      isResumed: false,
      authorized: true,
      authorizationError: null,
    })
    expect(await connect(sessions, server.options)).toEqual({
      isResumed: true,
      authorized: true,
      authorizationError: null,
    })
    expect(server.seen).toEqual({ connections: 2, resumed: 1 })
  })

  test('counts as the model does', async () => {
    const server = await startTls({ minVersion: version, maxVersion: version })
    const sessions = make()
    await connect(sessions, server.options)
    await connect(sessions, server.options)
    expect(sessions.stats.sessions).toMatchObject({ connect: 2, connectGood: 2, hits: 1, misses: 0 })
    expect(sessions.stats.reasons).toEqual({ 'nothing-to-offer': 1, resumed: 1 })
  })
})
