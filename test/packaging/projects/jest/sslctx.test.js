const { attachServer, ClientSessions, SslContext, SslSession, serverOptions } = require('sslctx')
const exercise = require('./exercise.cjs')

test('a connection is resumed', async () => {
  const outcomes = await exercise({ attachServer, ClientSessions, SslContext, serverOptions })
  expect(outcomes).toBe('full, resumed')
})

test('a connection is resumed while timers are fake', async () => {
  jest.useFakeTimers()
  try {
    const outcomes = await exercise({ attachServer, ClientSessions, SslContext, serverOptions })
    expect(outcomes).toBe('full, resumed')
  } finally {
    jest.useRealTimers()
  }
})

test('an error is of the class that is exported', () => {
  const { SessionDerError } = require('sslctx')
  expect(() => SslSession.fromDer(new Uint8Array(3))).toThrow(SessionDerError)
})
