import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { format } from 'node:util'
import createDebug from 'debug'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type ServerHandshake, SslContext } from '../../../src/index.ts'
import type { SslContextEvent } from '../../../src/model.ts'
import { observer } from '../../../src/observability/channels.ts'
import {
  decide,
  idOf,
  makeSession,
  offer12,
  STATEFUL,
  serve,
  testContext,
} from '../../tools/model-fixtures.ts'
import { connect, NAME, start, TLS13 } from '../../tools/node-servers.ts'

describe('DEBUG=sslctx:*', () => {
  const lines: string[] = []
  const write = createDebug.log
  afterEach(() => {
    createDebug.log = write
    createDebug.disable()
    lines.length = 0
  })

  function listen(namespaces: string): ReturnType<typeof testContext> {
    createDebug.log = (...words: unknown[]) => void lines.push(format(...words))
    createDebug.enable(namespaces)
    const fixture = testContext({
      ...STATEFUL,
      getSessionCallback() {
        throw new Error('store is down')
      },
    })
    fixture.context.subscribe(observer.hear)
    return fixture
  }

  test('shows lookups, what enters and leaves the cache, and failing callbacks', () => {
    const fixture = listen('sslctx:*')
    const { session } = serve(fixture, offer12(idOf(3)))
    serve(fixture, offer12(session?.sessionId))
    fixture.context.free()
    const text = lines.join('\n')
    for (const part of [
      /full handshake: callback-failed/,
      /resumed from internal/,
      /new \{/,
      /free \{/,
      /get failed: Error: store is down/,
    ])
      expect(text).toMatch(part)
  })

  test('shows no secret', () => {
    const fixture = listen('sslctx:*')
    fixture.context.addSession(makeSession(1))
    const connection = fixture.context.newConnection()
    connection.accept()
    decide(connection, offer12(idOf(1)))
    expect(lines.join('\n')).not.toMatch(/1c1d1e1f|01010101010101/)
  })

  test('says what a server does when it is attached, and of each connection its number and where its client is', async () => {
    listen('sslctx:attach,sslctx:handshake,sslctx:resumption')
    const harness = await start({ ...TLS13, attach: { name: 'debugged', singleUse: true } })
    const { session } = await connect(harness)
    await connect(harness, session)
    const hangUp = net.connect(harness.port, '127.0.0.1').end('no TLS')
    await once(hangUp.resume(), 'close')
    const shown = lines.map((line) =>
      line.replaceAll(/127\.0\.0\.1:\d+/g, 'CLIENT').replace(/^.*?(?=sslctx:)/, ''),
    )
    const find = (part: string): string | undefined => shown.find((line) => line.includes(part))
    expect(find('attached')).toContain(
      'debugged attached: TLSv1.3 with stateful tickets, single use, mode 0x2',
    )
    expect(find('debugged #1 ')).toContain(`debugged #1 CLIENT TLSv1.3 "${NAME}": full (not-offered)`)
    expect(find('debugged #2 ')).toContain(`debugged #2 CLIENT TLSv1.3 "${NAME}": resumed (internal)`)
    expect(find('debugged #3 ')).toContain('debugged #3 CLIENT - -: failed (not-tls)')
    expect(find('resumed from internal')).toContain('CLIENT resumed from internal')
  })

  test('shows nothing of a namespace that is off', () => {
    const fixture = listen('sslctx:cache')
    serve(fixture, offer12(idOf(3)))
    expect(lines.some((line) => line.includes('sslctx:resumption'))).toBe(false)
    expect(lines.some((line) => line.includes('sslctx:cache'))).toBe(true)
  })
})

describe('the channels sslctx:*', () => {
  const heard: [string | symbol, unknown][] = []
  const listener = (message: unknown, name: string | symbol): void => void heard.push([name, message])
  const subscribed: string[] = []

  function listen(...names: string[]): void {
    for (const name of names) subscribe(name, listener)
    subscribed.push(...names)
  }

  afterEach(() => {
    for (const name of subscribed.splice(0)) unsubscribe(name, listener)
    heard.length = 0
  })

  test('carry the events of every context, each on that of its type', () => {
    listen('sslctx:resumption', 'sslctx:new-session', 'sslctx:session-removed', 'sslctx:callback-error')
    const context = new SslContext({
      ...STATEFUL,
      getSessionCallback() {
        throw new Error('store is down')
      },
    })
    const connection = context.newConnection()
    connection.accept()
    decide(connection, offer12(idOf(3)))
    connection.serverHello()
    connection.finishHandshake()
    context.free()
    expect(heard.map(([name, message]) => [name, (message as SslContextEvent).type])).toEqual(
      ['callback-error', 'resumption', 'new-session', 'session-removed'].map((type) => [
        `sslctx:${type}`,
        type,
      ]),
    )
  })

  test('cost nothing without subscribers: the event is not built', () => {
    let asked = 0
    const context = new SslContext({
      ...STATEFUL,
      observer: {
        isListening: () => asked++ < 0,
        hear() {
          throw new Error('nobody listens')
        },
      },
    })
    const connection = context.newConnection()
    connection.accept()
    decide(connection, offer12())
    connection.serverHello()
    connection.finishHandshake()
    context.free()
    expect(asked).toBe(3)
  })

  test('carry the outcome of each handshake of an attached server once, as onHandshake gets it', async () => {
    listen('sslctx:handshake')
    const told: ServerHandshake[] = []
    const harness = await start({
      ...TLS13,
      attach: { onHandshake: (handshake) => void told.push(handshake) },
    })
    const { session } = await connect(harness)
    await connect(harness, session)
    const hangUp = net.connect(harness.port, '127.0.0.1').end('no TLS')
    await once(hangUp.resume(), 'close')
    expect(heard.map(([name, message]) => [name, message])).toEqual(
      told.map((handshake) => ['sslctx:handshake', handshake]),
    )
    const server = harness.attachment.name
    const port = expect.any(Number)
    const common = {
      server,
      remoteAddress: '127.0.0.1',
      remotePort: port,
      readAheadMs: expect.any(Number),
      lookupMs: expect.any(Number),
    }
    const done = { ...common, socket: expect.any(tls.TLSSocket), protocol: 'TLSv1.3', serverName: NAME }
    expect(told).toEqual([
      { ...done, connection: 1, outcome: 'full', reason: 'not-offered' },
      { ...done, connection: 2, outcome: 'resumed', reason: 'internal' },
      {
        ...common,
        connection: 3,
        outcome: 'failed',
        reason: 'not-tls',
        socket: undefined,
        protocol: undefined,
        serverName: undefined,
      },
    ])
  })

  test('are left alone by handshakes to which nobody listens', async () => {
    const publish = vi.spyOn(channel('sslctx:handshake'), 'publish')
    const harness = await start(TLS13)
    await connect(harness)
    expect(publish).not.toHaveBeenCalled()
    listen('sslctx:handshake')
    await connect(harness)
    expect(publish).toHaveBeenCalledTimes(1)
    publish.mockRestore()
  })
})
