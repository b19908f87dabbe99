import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import type tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { makeCertificate } from '../../tools/certificate.ts'
import { certificate, connect, NAME, reasons } from '../../tools/node-servers.ts'
import { offeredTo, startTicketed } from '../../tools/ticket-servers.ts'

const OTHER_NAME = 'other.example'
const other = await makeCertificate(OTHER_NAME)

describe('tickets are those', () => {
  test('of an https server', async () => {
    const harness = await startTicketed({
      make: (options) => https.createServer(options, (_request, response) => response.end('hello')),
    })
    let session: Buffer | undefined
    for (const isResumed of [false, true, true]) {
      const request = https.get({
        host: '127.0.0.1',
        port: harness.port,
        servername: NAME,
        ca: certificate.cert,
        agent: false,
        ...(session && { session }),
      })
      request.on('socket', (socket) => socket.on('session', (one: Buffer) => (session = one)))
      const [response] = await once(request, 'response')
      expect((response.socket as tls.TLSSocket).isSessionReused()).toBe(isResumed)
      response.resume()
      await once(response, 'close')
    }
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'ticket'])
  })

  test('of an http2 server', async () => {
    const harness = await startTicketed({
      make: (options) => http2.createSecureServer(options, (_request, response) => response.end('hello')),
    })
    let session: Buffer | undefined
    for (const isResumed of [false, true, true]) {
      const client = http2.connect(`https://127.0.0.1:${harness.port}`, {
        servername: NAME,
        ca: certificate.cert,
        ...(session && { session }),
      })
      const socket = client.socket as tls.TLSSocket
      const gotSession = once(socket, 'session')
      const request = client.request({ ':path': '/' })
      const [[ticket]] = await Promise.all([gotSession, once(request, 'response')])
      session = ticket as Buffer
      expect(socket.isSessionReused()).toBe(isResumed)
      client.close()
      request.resume()
      await once(client, 'close')
    }
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'ticket'])
  })

  test('of each name that addContext has set, and of no other', async () => {
    const harness = await startTicketed()
    harness.server.addContext(OTHER_NAME, other)
    const there = { servername: OTHER_NAME, ca: other.cert }
    const { session } = await connect(harness, undefined, there)
    expect((await connect(harness, session, there)).resumed).toBe(true)
    expect((await connect(harness, offeredTo(NAME, session))).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'server-name-mismatch'])
  })
})
