import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type tls from 'node:tls'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import express from 'express'
import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { attachServer, type ServerHandshake, SslContext, serverOptions } from '../../../src/index.ts'
import { afterTest, certificate, NAME } from '../../tools/node-servers.ts'

interface App {
  /** The one that listens, on 127.0.0.1. */
  readonly server: https.Server
  close(): Promise<unknown>
}

/** Each holds the snippet of docs/servers.md, between its marks. */
type StartApp = (context: SslContext, onHandshake: (handshake: ServerHandshake) => void) => Promise<App>

const { key, cert } = certificate

const startFastify: StartApp = async (context, onHandshake) => {
  // docs Fastify
  const app = fastify({ https: { key, cert, ...serverOptions(context) } })
  attachServer(app.server, context, { onHandshake })
  // docs end
  app.get('/', () => 'hello')
  // An address, not the default: for the name `localhost` Fastify makes a second server, which is not attached.
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { server: app.server, close: () => app.close() }
}

const startExpress: StartApp = async (context, onHandshake) => {
  // docs Express
  const app = express()
  const server = https.createServer({ key, cert, ...serverOptions(context) }, app)
  attachServer(server, context, { onHandshake })
  // docs end
  app.get('/', (_request, response) => void response.send('hello'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, close: async () => void server.close() }
}

class Greeter {
  greet(): string {
    return 'hello'
  }
}
class AppModule {}
// Decorators as the functions that they are: no compiler option is needed.
Get()(Greeter.prototype, 'greet', Object.getOwnPropertyDescriptor(Greeter.prototype, 'greet') ?? {})
Controller()(Greeter)
Module({ controllers: [Greeter] })(AppModule)

const startNest: StartApp = async (context, onHandshake) => {
  const logger = false
  // docs NestJS
  const httpsOptions = { key, cert, ...serverOptions(context) }
  const app = await NestFactory.create(AppModule, { httpsOptions, logger })
  attachServer(app.getHttpServer(), context, { onHandshake })
  // docs end
  await app.listen(0, '127.0.0.1')
  return { server: app.getHttpServer(), close: () => app.close() }
}

interface Answer {
  readonly status: number | undefined
  readonly body: string
  readonly protocol: string | null
  readonly resumed: boolean
  readonly session: Buffer | undefined
}

/** One request on a connection of its own. */
async function get({ server }: App, session?: Buffer): Promise<Answer> {
  const request = https.get({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    servername: NAME,
    ca: cert,
    agent: false,
    ...(session && { session }),
  })
  const [socket] = (await once(request, 'socket')) as [tls.TLSSocket]
  let received: Buffer | undefined
  socket.on('session', (one: Buffer) => {
    received = one
  })
  const closed = once(socket, 'close')
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let body = ''
  for await (const chunk of response) body += String(chunk)
  const protocol = socket.getProtocol()
  const resumed = socket.isSessionReused()
  await closed
  return { status: response.statusCode, body, protocol, resumed, session: received }
}

describe('with the snippet of docs/servers.md', () => {
  test.each([
    ['Fastify', startFastify],
    ['Express', startExpress],
    ['NestJS', startNest],
  ] as const)('%s answers on full and on resumed TLS 1.3 connections', async (_, startApp) => {
    const handshakes: ServerHandshake[] = []
    const app = await startApp(new SslContext({ sessionIdContext: 'shop' }), (handshake) => {
      handshakes.push(handshake)
    })
    afterTest(() => void app.close())

    const first = await get(app)
    expect(first).toMatchObject({ status: 200, body: 'hello', protocol: 'TLSv1.3', resumed: false })
    const second = await get(app, first.session)
    expect(second).toMatchObject({ status: 200, body: 'hello', protocol: 'TLSv1.3', resumed: true })
    expect(handshakes).toMatchObject([
      { outcome: 'full', reason: 'not-offered', protocol: 'TLSv1.3', serverName: NAME },
      { outcome: 'resumed', reason: 'internal', protocol: 'TLSv1.3', serverName: NAME },
    ])
  })
})
