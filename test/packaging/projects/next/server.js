// A server of one's own, in front of Next: https with sslctx, whose routes use sslctx as Next has bundled it.
const { once } = require('node:events')
const https = require('node:https')
const { text } = require('node:stream/consumers')
const next = require('next')
const { attachServer, ClientSessions, SslContext, serverOptions } = require('sslctx')

async function main() {
  const { EXERCISE_KEY: key, EXERCISE_CERT: cert } = process.env
  const outcomes = []
  const app = next({ dev: false, dir: __dirname, hostname: '127.0.0.1' })
  await app.prepare()
  const handler = app.getRequestHandler()
  const context = new SslContext({ sessionIdContext: 'exercise' })
  const server = https.createServer({ key, cert, ...serverOptions(context) }, handler)
  attachServer(server, context, { onHandshake: ({ outcome }) => outcomes.push(outcome) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  const agent = new ClientSessions().agent({ ca: cert, servername: 'exercise.example' })
  const answers = []
  for (let round = 0; round < 2; round++) {
    const path = '/handshakes'
    const request = https.get({ host: '127.0.0.1', port, path, agent, headers: { connection: 'close' } })
    const [response] = await once(request, 'response')
    answers.push(await text(response))
  }
  const said = [...outcomes, ...answers].join('; ')
  console.log(said)
  process.exit(said === 'full; resumed; full, resumed; full, resumed' ? 0 : 1)
}

void main()
