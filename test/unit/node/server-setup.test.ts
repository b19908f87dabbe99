import { once } from 'node:events'
import https from 'node:https'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  attachServer,
  SslContext,
  type SslContextOptions,
  serverOptions,
  UnsupportedRuntimeError,
} from '../../../src/index.ts'
import { SslOption, VerifyMode } from '../../../src/model.ts'
import { nodeFeatures } from '../../../src/node/node-engine.ts'
import { requireNode } from '../../../src/node/runtime.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { certificate, connect, NAME, reasons, start } from '../../tools/node-servers.ts'

const credentials = tls.createSecureContext(certificate)

function refusal(run: () => unknown): unknown {
  try {
    run()
    return 'none'
  } catch (error) {
    return (error as { problem?: string }).problem ?? error
  }
}

describe('serverOptions', () => {
  test('gives SSL_OP_NO_TICKET besides the options of the context and of the caller', () => {
    const context = new SslContext({ options: SslOption.NO_SESSION_RESUMPTION_ON_RENEGOTIATION })
    const { secureOptions } = serverOptions(context, { secureOptions: 0x0200_0000 })
    expect(secureOptions & SslOption.NO_TICKET).toBe(SslOption.NO_TICKET)
    expect(secureOptions & SslOption.NO_SESSION_RESUMPTION_ON_RENEGOTIATION).not.toBe(0)
    expect(secureOptions & 0x0200_0000).not.toBe(0)
  })

  test('gives the timeout of the context, also where that is the default or more than Node takes', () => {
    const timeout = (sessionTimeout: number): number =>
      serverOptions(new SslContext({ sessionTimeout })).sessionTimeout
    expect([300, 0, 2 ** 31].map(timeout)).toEqual([300, 7200, 2 ** 31 - 1])
  })

  test('gives a session id context that Node takes, the same in all processes, whatever bytes the context has', () => {
    const id = (sessionIdContext: Uint8Array | string): string =>
      serverOptions(new SslContext({ sessionIdContext })).sessionIdContext
    expect(id('shop')).toBe(id(Buffer.from('shop')))
    expect(id('shop')).not.toBe(id(''))
    expect(id(new Uint8Array(32).fill(0xff))).toMatch(/^[0-9a-f]{32}$/)
  })
})

describe('attachServer refuses, and says what to change', () => {
  const bare = (options: tls.TlsOptions): tls.Server => tls.createServer({ ...certificate, ...options })

  test('tickets that are left on', () => {
    const context = new SslContext()
    const server = bare({ ...serverOptions(context), secureOptions: 0 })
    expect(refusal(() => attachServer(server, context))).toBe('tickets')
    expect(() => attachServer(server, context)).toThrow(/serverOptions\(context\)/)
  })

  test('the session id context that Node makes from argv', () => {
    const server = bare({ secureOptions: SslOption.NO_TICKET })
    expect(refusal(() => attachServer(server, new SslContext()))).toBe('default-session-id-context')
  })

  test('a foreign listener of resumeSession, now and later', () => {
    const context = new SslContext()
    const server = bare(serverOptions(context)).on('resumeSession', (_id, done) => done(null, null))
    expect(refusal(() => attachServer(server, context))).toBe('resume-session-listener')
    server.removeAllListeners('resumeSession')
    attachServer(server, context)
    expect(refusal(() => server.on('resumeSession', () => undefined))).toBe('resume-session-listener')
    expect(server.listenerCount('resumeSession')).toBe(0)
  })

  test('a second attachment, until the first is disposed of', () => {
    const context = new SslContext()
    const server = bare(serverOptions(context))
    const attachment = attachServer(server, context)
    expect(refusal(() => attachServer(server, context))).toBe('already-attached')
    attachment[Symbol.dispose]()
    expect(refusal(() => attachServer(server, context))).toBe('none')
  })

  test.each<[string, SslContextOptions]>([
    ['a generator of session ids', { generateSessionId: () => new Uint8Array(32) }],
    ['another number of tickets', { numTickets: 1 }],
    ['early data', { maxEarlyData: 1024 }],
    ['an option that the server lacks', { options: SslOption.NO_EXTENDED_MASTER_SECRET }],
    ['a verify mode that the server lacks', { verifyMode: VerifyMode.PEER }],
  ])('%s, since Node cannot be told', (_, settings) => {
    const server = bare(serverOptions(new SslContext()))
    expect(refusal(() => attachServer(server, new SslContext(settings)))).toBe('unsupported-setting')
  })

  test('a strict store in TLS 1.3 where this Node would lose data', () => {
    const context = new SslContext()
    const attach = (options: tls.TlsOptions): unknown =>
      refusal(() =>
        attachServer(bare({ ...serverOptions(context), ...options }), context, { waitForStore: true }),
      )
    const expected = nodeFeatures(credentials).hasEarlyClientHello ? 'none' : 'wait-for-store'
    expect([attach({}), attach({ maxVersion: 'TLSv1.2' })]).toEqual([expected, 'none'])
    expect(attach({ secureProtocol: 'TLSv1_2_method' })).toBe('none')
    expect(attach({ secureProtocol: 'TLS_method' })).toBe(expected)
  })

  test.each([
    ['lookupTimeoutMs', { lookupTimeoutMs: -1 }],
    ['readAheadMs', { readAheadMs: Number.NaN }],
    ['maxAuthenticationAgeSec', { maxAuthenticationAgeSec: 604_801 }],
  ])('%s out of its range', (_, options) => {
    const context = new SslContext()
    const server = bare(serverOptions(context))
    expect(() => attachServer(server, context, options)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' }),
    )
    expect(refusal(() => attachServer(server, context))).toBe('none')
  })

  test.each([
    ['Bun', { versions: { bun: '1.4.5' } }],
    ['Deno', { versions: { deno: '2.9.6' } }],
    ['Electron', { versions: { electron: '42.0.0' } }],
    ['BoringSSL, by its feature', { features: { openssl_is_boringssl: true } }],
    ['BoringSSL, by the version of OpenSSL that it gives', { versions: { openssl: '0.0.0' } }],
    ['no OpenSSL', { versions: { openssl: undefined } }],
  ])(
    'a runtime that is %s',
    (_, { versions, features }: Partial<NonNullable<Parameters<typeof requireNode>[0]>>) => {
      const runtime = {
        versions: { ...process.versions, ...versions },
        features: { ...(process.features as object), ...features },
      }
      expect(() => requireNode(runtime)).toThrow(UnsupportedRuntimeError)
    },
  )

  test.each(['3.0.19', '3.5.8+quic', '4.0.3', '1.1.1w+quic'])('but not Node with OpenSSL %s', (openssl) => {
    expect(() => requireNode({ versions: { ...process.versions, openssl }, features: {} })).not.toThrow()
    expect(() => requireNode()).not.toThrow()
  })
})

describe('what is tolerated', () => {
  test('tickets: those of Node resume, and are counted; nothing of TLS 1.3 is kept', async () => {
    const harness = await start({ server: { secureOptions: 0 }, attach: { tolerate: ['tickets'] } })
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { session } = await connect(harness, undefined, { maxVersion })
      expect((await connect(harness, session, { maxVersion })).resumed).toBe(true)
    }
    expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'not-offered', 'ticket'])
    expect(harness.context.stats).toMatchObject({ number: 0, accept: 4, acceptGood: 4, hits: 2 })
    expect(harness.attachment.stats.notKept).toEqual({ 'stateless-ticket': 2 })
  })

  test('a listener of resumeSession: both find what they know', async () => {
    const asked: number[] = []
    const harness = await start({
      attach: { tolerate: ['resume-session-listener'] },
      make: (options) =>
        tls
          .createServer(options, (socket) => socket.on('error', () => undefined).end('hello'))
          .on('resumeSession', (id: Buffer, done: (error: null, session: null) => void) => {
            asked.push(id.length)
            done(null, null)
          }),
    })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(asked).toEqual([32, 32])
  })

  test('what Node cannot be told is warned of, once, when it is set later', async () => {
    const harness = await start()
    harness.context.setNumTickets(4)
    const [[warning]] = await Promise.all([once(process, 'warning'), connect(harness)])
    expect(warning).toMatchObject({
      name: 'SslctxWarning',
      message: expect.stringContaining('setNumTickets(4)'),
    })
    await connect(harness)
  })
})

describe('setSecureContext while attached', () => {
  test('keeps what serverOptions set: sessions live on, and tickets stay off', async () => {
    const harness = await start()
    const { session } = await connect(harness)
    harness.server.setSecureContext(await makeCertificate(NAME))
    expect((await connect(harness, session, { rejectUnauthorized: false })).resumed).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'internal'])
  })

  test.each<[string, tls.SecureContextOptions]>([
    ['sessionIdContext', { sessionIdContext: 'mine' }],
    ['sessionTimeout', { sessionTimeout: 1 }],
    ['secureOptions without NO_TICKET', { secureOptions: 0x0200_0000 }],
  ])('throws for a contradicting %s, and changes nothing', async (_, options) => {
    const harness = await start()
    const { session } = await connect(harness)
    expect(refusal(() => harness.server.setSecureContext({ ...certificate, ...options }))).toBe(
      'contradicting-options',
    )
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('takes the same again, and other options beside them', async () => {
    const harness = await start()
    const same = { ...serverOptions(harness.context), ...certificate }
    expect(refusal(() => harness.server.setSecureContext(same))).toBe('none')
    const more = { ...certificate, secureOptions: SslOption.NO_TICKET | 0x0200_0000 }
    expect(refusal(() => harness.server.setSecureContext(more))).toBe('none')
  })
})

describe('the kill switch', () => {
  test('off: nothing is looked up or kept; on again: what was kept resumes', async () => {
    const harness = await start()
    const { session } = await connect(harness)
    harness.attachment.enabled = false
    const off = await connect(harness, session)
    harness.attachment.enabled = true
    expect([off.resumed, (await connect(harness, session)).resumed]).toEqual([false, true])
    expect((await connect(harness, off.session)).resumed).toBe(false)
    expect(reasons(harness)).toEqual(['not-offered', 'disabled', 'internal', 'not-found'])
    expect(harness.attachment.stats.notKept).toEqual({ disabled: 2 })
  })
})

describe('detaching', () => {
  test('gives the server back all that it had', async () => {
    const plain = https.createServer()
    const harness = await start({ make: (options) => https.createServer(options) })
    harness.attachment[Symbol.dispose]()
    for (const event of ['connection', 'newSession', 'resumeSession', 'newListener'])
      expect(harness.server.rawListeners(event)).toEqual(plain.rawListeners(event))
    expect(Object.getOwnPropertyNames(harness.server).filter((name) => name.startsWith('set'))).toEqual([])
    expect(Object.getOwnPropertySymbols(harness.server).map(String)).not.toContain(
      'Symbol(sslctx.attachment)',
    )
  })

  test('at once, with a lookup in flight: the handshake is a full one, and nobody is told', async () => {
    let asked: (() => void) | undefined
    const wasAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    let answer: ((session: undefined) => void) | undefined
    const harness = await start({
      context: {
        getSessionCallback: () =>
          new Promise<undefined>((resolve) => {
            answer = resolve
            asked?.()
          }),
      },
      server: { maxVersion: 'TLSv1.2' },
    })
    const visit = connect(harness)
    await wasAsked
    harness.attachment[Symbol.dispose]()
    answer?.(undefined)
    expect(await visit).toMatchObject({ resumed: false, received: 'hello' })
    expect(harness.handshakes).toEqual([])
  })

  test('close waits for handshakes and writes under way, and reports none as dropped', async () => {
    let stored: (() => void) | undefined
    const harness = await start({
      context: {
        newSessionCallback: () =>
          new Promise<void>((resolve) => {
            stored = resolve
          }),
      },
    })
    const { session } = await connect(harness)
    const closed = harness.attachment.close()
    expect(harness.attachment.stats.pendingWrites).toBeGreaterThan(0)
    stored?.()
    // Only the second ticket's promise was kept above: the first one never settles.
    expect(session).toBeDefined()
    expect(await Promise.race([closed, connect(harness).then(({ resumed }) => resumed)])).toBe(false)
    harness.attachment[Symbol.dispose]()
  })

  test('close gives up at its deadline, and says how many writes it dropped', async () => {
    const harness = await start({
      context: { newSessionCallback: () => new Promise(() => undefined) },
      server: { maxVersion: 'TLSv1.2' },
    })
    await connect(harness)
    expect(await harness.attachment.close({ deadlineMs: 20 })).toEqual({ dropped: 1 })
  })

  test('asyncDispose is close', async () => {
    const harness = await start()
    await connect(harness)
    await harness.attachment[Symbol.asyncDispose]()
    expect(harness.server.listenerCount('newSession')).toBe(0)
  })
})
