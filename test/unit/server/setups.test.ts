import dns from 'node:dns'
import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import tls from 'node:tls'
import express from 'express'
import fastify from 'fastify'
import { describe, expect, test, vi } from 'vitest'
import { ServerSessions } from '../../../src/index.ts'
import type { ServerHandshake } from '../../../src/node/server-attachment.ts'
import { afterTest, certificate, connect, listen, NAME } from '../../tools/node-servers.ts'
import { SECRET } from './engine.ts'

const { key, cert } = certificate

function newSessions(): { readonly sessions: ServerSessions; readonly handshakes: ServerHandshake[] } {
  const handshakes: ServerHandshake[] = []
  const sessions = new ServerSessions({
    name: 'shop',
    secrets: [SECRET],
    onHandshake: (handshake) => void handshakes.push(handshake),
  })
  afterTest(() => void sessions.close())
  return { sessions, handshakes }
}

/** As on most machines, where the second one is ::1. */
function giveLocalhostTwoAddresses(): void {
  const lookup = dns.lookup as (...args: unknown[]) => void
  const spy = vi.spyOn(dns, 'lookup') as unknown as { mockImplementation(call: typeof lookup): void }
  spy.mockImplementation((host, options, callback) => {
    const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))
    const isAsked = host === 'localhost' && (options as { all?: boolean }).all === true
    if (isAsked) (callback as (error: null, found: object[]) => void)(null, addresses)
    else lookup(host, options, callback)
  })
  afterTest(() => vi.restoreAllMocks())
}

interface Answer {
  readonly body: string
  readonly resumed: boolean
  readonly session: Buffer | undefined
}

/** One request by HTTP/1.1 on a connection of its own. */
async function get(port: number, session?: Buffer, host = '127.0.0.1'): Promise<Answer> {
  const request = https.get({
    ...{ host, port, servername: NAME, ca: cert, agent: false },
    ...(session && { session }),
  })
  const [socket] = (await once(request, 'socket')) as [tls.TLSSocket]
  let received: Buffer | undefined
  socket.on('session', (one: Buffer) => {
    received = one
  })
  const closed = once(socket, 'close')
  const [response] = await once(request, 'response')
  const body = await text(response)
  const resumed = socket.isSessionReused()
  await closed
  return { body, resumed, session: received }
}

/** One request by HTTP/2. */
async function getHttp2(port: number, session?: Buffer): Promise<Answer> {
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port, servername: NAME, ca: cert, ALPNProtocols: ['h2'] },
    ...(session && { session }),
  })
  let received: Buffer | undefined
  socket.on('session', (one: Buffer) => {
    received = one
  })
  const client = http2.connect(`https://${NAME}`, { createConnection: () => socket })
  const body = await text(client.request())
  const resumed = socket.isSessionReused()
  client.close()
  await once(client, 'close')
  return { body, resumed, session: received }
}

/** Full first, then resumed. */
async function expectToResume(ask: (session?: Buffer) => Promise<Answer>): Promise<void> {
  const first = await ask()
  expect([first.body, first.resumed]).toEqual(['hello', false])
  const second = await ask(first.session)
  expect([second.body, second.resumed]).toEqual(['hello', true])
}

describe('ServerSessions resume in', () => {
  test('a tls server', async () => {
    const { sessions } = newSessions()
    const server = tls.createServer({ key, cert, ...sessions.serverOptions() }, (socket) =>
      socket.on('error', () => undefined).end('hello'),
    )
    sessions.attach(server)
    const port = await listen(server)
    await expectToResume(async (session) => {
      const visit = await connect({ port }, session)
      return { ...visit, body: visit.received }
    })
  })

  test('an https server, with Express behind it', async () => {
    const { sessions } = newSessions()
    const app = express()
    app.get('/', (_request, response) => void response.send('hello'))
    const server = https.createServer({ key, cert, ...sessions.serverOptions() }, app)
    sessions.attach(server)
    const port = await listen(server)
    await expectToResume((session) => get(port, session))
  })

  test('an http2 server that falls back to HTTP/1.1, in both', async () => {
    const { sessions } = newSessions()
    const server = http2.createSecureServer(
      { key, cert, allowHTTP1: true, ...sessions.serverOptions() },
      (_request, response) => void response.end('hello'),
    )
    sessions.attach(server)
    const port = await listen(server)
    await expectToResume((session) => getHttp2(port, session))
    await expectToResume((session) => get(port, session))
  })

  test('Fastify with a serverFactory: then it makes no second server for localhost, which nobody would attach', async () => {
    const { sessions, handshakes } = newSessions()
    const app = fastify({
      serverFactory(handler) {
        const server = https.createServer({ key, cert, ...sessions.serverOptions() }, handler)
        sessions.attach(server)
        return server
      },
    })
    afterTest(() => void app.close())
    app.get('/', () => 'hello')
    giveLocalhostTwoAddresses()
    await app.listen({ port: 0, host: 'localhost' })
    const addresses = app.addresses() as AddressInfo[]
    expect(addresses.map(({ address }) => address)).toEqual(['127.0.0.1'])
    for (const { address, port } of addresses) await expectToResume((session) => get(port, session, address))
    expect(handshakes.map(({ outcome }) => outcome)).toEqual(addresses.flatMap(() => ['full', 'resumed']))
    expect(sessions.attachments).toHaveLength(addresses.length)
  })
})

describe('several servers with one ServerSessions', () => {
  test('resume the sessions of each other, and are told apart', async () => {
    const { sessions, handshakes } = newSessions()
    const start = async (name?: string): Promise<number> => {
      const server = https.createServer({ key, cert, ...sessions.serverOptions() }, (_request, response) =>
        response.end('hello'),
      )
      sessions.attach(server, { name })
      return listen(server)
    }
    const [public1, public2, admin] = [await start(), await start(), await start('admin')]
    const { session } = await get(public1)
    for (const port of [public2, admin]) expect((await get(port, session)).resumed).toBe(true)
    const names = handshakes.map(({ server }) => server)
    expect(names).toEqual(sessions.attachments.map(({ name }) => name))
    expect(new Set(names).size).toBe(3)
    expect(names[2]).toBe('admin')
  })

  test('are as many as are attached: one that has gone frees its name', async () => {
    const { sessions } = newSessions()
    const make = () => https.createServer({ key, cert, ...sessions.serverOptions() })
    const first = sessions.attach(make(), { name: 'one of many' })
    const second = sessions.attach(make(), { name: 'one of many' })
    expect([first.name, second.name]).toEqual(['one of many', 'one of many 2'])
    await first.close()
    expect(sessions.attachments).toEqual([second])
    expect([first.isAttached, second.isAttached]).toEqual([false, true])
    expect(sessions.attach(make(), { name: 'one of many' }).name).toBe('one of many')
  })

  test('have each its own options', async () => {
    const { sessions, handshakes } = newSessions()
    const own: ServerHandshake[] = []
    const server = https.createServer({ key, cert, ...sessions.serverOptions() }, (_request, response) =>
      response.end('hello'),
    )
    sessions.attach(server, { onHandshake: (handshake) => void own.push(handshake), policy: undefined })
    const port = await listen(server)
    await expectToResume((session) => get(port, session))
    expect([own.length, handshakes.length]).toEqual([2, 0])
    expect((server.address() as AddressInfo).address).toBe('127.0.0.1')
  })
})
