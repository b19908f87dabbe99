'use strict'

/**
 * A server and a client of sslctx, which connects twice.
 * Without `require`, which what a bundler makes of this file may not have.
 *
 * @returns what each handshake came to, as the server says
 */
module.exports = async function exercise({ attachServer, ClientSessions, SslContext, serverOptions }) {
  const { createServer } = process.getBuiltinModule('node:tls')
  const { once } = process.getBuiltinModule('node:events')
  const { EXERCISE_KEY: key, EXERCISE_CERT: cert } = process.env
  const outcomes = []
  const context = new SslContext({ sessionIdContext: 'exercise' })
  const server = createServer({ key, cert, ...serverOptions(context) }, (socket) => socket.end('hello'))
  attachServer(server, context, { onHandshake: ({ outcome }) => outcomes.push(outcome) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sessions = new ClientSessions()
  for (let round = 0; round < 2; round++) {
    const { port } = server.address()
    const socket = sessions.connect({ host: '127.0.0.1', port, servername: 'exercise.example', ca: cert })
    socket.resume()
    await once(socket, 'close')
  }
  server.close()
  await once(server, 'close')
  return outcomes.join(', ')
}
