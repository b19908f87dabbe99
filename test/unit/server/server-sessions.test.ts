import { randomBytes } from 'node:crypto'
import https from 'node:https'
import { describe, expect, test } from 'vitest'
import { guarded, KeyRing, MemoryStore, ServerSessions, SslContext, sealed } from '../../../src/index.ts'
import { attachServer } from '../../../src/node/attach-server.ts'
import { serverOptions } from '../../../src/node/server-setup.ts'
import { readSecrets } from '../../../src/store/secret-text.ts'
import { afterTest, certificate, connect, greet, listen, TLS12, TLS13 } from '../../tools/node-servers.ts'
import { engine, SECRET } from './engine.ts'
import { codeOf, startProcess } from './fleet.ts'

const hex = Buffer.from(SECRET).toString('hex')
const base64 = Buffer.from(SECRET).toString('base64')
const base64url = Buffer.from(SECRET).toString('base64url')

const make = (options: object): ServerSessions => {
  const sessions = new ServerSessions({ name: 'shop', ...options })
  afterTest(() => void sessions.close())
  return sessions
}

describe('secrets', () => {
  test.each([
    ['hexadecimal', hex],
    ['hexadecimal in capitals', hex.toUpperCase()],
    ['base64', base64],
    ['base64url', base64url],
    ['base64url with padding', `${base64url}=`],
  ])('are the same as bytes and as %s', async (_, text) => {
    expect(
      readSecrets('ServerSessions', [text, SECRET]).map((one) => Buffer.from(one).toString('hex')),
    ).toEqual([hex, hex])
    const asBytes = await startProcess({ name: 'shop', secrets: [SECRET] }, TLS13.server)
    const asText = await startProcess({ name: 'shop', secrets: [text] }, TLS13.server)
    const { session } = await connect(asBytes)
    expect((await connect(asText, session)).resumed).toBe(true)
  })

  test('of hexadecimal digits are hexadecimal from 64 digits on, when their number is even', () => {
    const bytes = (text: string): number | undefined => readSecrets('ServerSessions', [text])[0]?.length
    expect(bytes('ab'.repeat(40))).toBe(40)
    // 68 letters of base64, 66 digits of hexadecimal: both are possible, and hexadecimal it is.
    expect([
      bytes(`${'0123456789abcdef'.repeat(4)}0123`),
      bytes(`${'0123456789abcdef'.repeat(4)}01`),
    ]).toEqual([34, 33])
    // With another letter it is base64.
    expect(bytes(`${'abcd'.repeat(16)}abQ`)).toBe(50)
  })

  test.each([
    ['undefined', undefined, 'ERR_ARGUMENT_INVALID'],
    ['null', null, 'ERR_ARGUMENT_INVALID'],
    ['empty', [], 'ERR_ARGUMENT_INVALID'],
    ['one that is undefined, as of a variable that is not set', [undefined], 'ERR_ARGUMENT_INVALID'],
    ['one that is undefined behind a good one', [SECRET, undefined], 'ERR_ARGUMENT_INVALID'],
    // biome-ignore lint/suspicious/noSparseArray: it is what is tested
    ['an array with a hole', [SECRET, , SECRET], 'ERR_ARGUMENT_INVALID'],
    ['no array', hex, 'ERR_ARGUMENT_INVALID'],
    ['a number', [7], 'ERR_ARGUMENT_INVALID'],
    ['an empty string', [''], 'ERR_KEY_WEAK'],
    ['hexadecimal that has lost a digit', [hex.slice(1)], 'ERR_KEY_WEAK'],
    ['hexadecimal of too few digits', ['abcd'.repeat(11)], 'ERR_KEY_WEAK'],
    ['a password', ['correct horse battery staple correct horse'], 'ERR_KEY_WEAK'],
    ['too few hexadecimal digits', [hex.slice(2)], 'ERR_KEY_WEAK'],
    ['too few bytes of base64', [base64.slice(0, 40)], 'ERR_KEY_WEAK'],
    ['base64 with a line feed', [`${base64}\n`], 'ERR_KEY_WEAK'],
    [
      'base64 that no encoder writes',
      [`${base64.slice(0, 42)}${base64.at(42) === 'A' ? 'B' : 'A'}${'='}${'='}`],
      'ERR_KEY_WEAK',
    ],
    ['one byte repeated', ['ab'.repeat(32)], 'ERR_KEY_WEAK'],
  ])('that are %s are an error, and never the memory of one process', async (_, secrets, code) => {
    expect(await codeOf(() => make({ secrets }))).toBe(code)
    expect(await codeOf(() => make({ secrets: [SECRET] }).replaceSecrets(secrets as never))).toBe(code)
  })

  test('are in no message', () => {
    for (const secret of [hex.slice(2), base64.slice(0, 40), `${hex} `, 'correct horse battery staple'])
      try {
        make({ secrets: [secret] })
        expect.unreachable()
      } catch (error) {
        expect(String(error)).not.toContain(secret.trim().slice(0, 12))
      }
  })

  test('are replaced without a restart, and what was made before goes on resuming', async () => {
    const next = randomBytes(32)
    const here = await startProcess({ name: 'shop', secrets: [SECRET] }, TLS13.server)
    const { session } = await connect(here)
    here.sessions.replaceSecrets([next.toString('hex'), hex])
    const second = await connect(here, session)
    expect(second.resumed).toBe(true)
    const there = await startProcess({ name: 'shop', secrets: [next] }, TLS13.server)
    expect([(await connect(there, second.session)).resumed, (await connect(there, session)).resumed]).toEqual(
      [true, false],
    )
    here.sessions.replaceSecrets([next])
    expect((await connect(here, session)).resumed).toBe(false)
  })

  test('cannot be replaced where there are none', async () => {
    expect(await codeOf(() => make({}).replaceSecrets([SECRET]))).toBe('ERR_ARGUMENT_INVALID')
  })
})

describe('the name', () => {
  test('keeps services with the same secrets apart', async () => {
    const shop = await startProcess({ name: 'shop', secrets: [SECRET] })
    const bank = await startProcess({ name: 'bank', secrets: [SECRET] })
    const { session } = await connect(shop)
    expect((await connect(bank, session)).resumed).toBe(false)
    expect((await connect(shop, session)).resumed).toBe(true)
  })

  test('may be longer than a session id context', async () => {
    const name = 'shop-of-a-long-name-in-production-in-europe'
    const here = await startProcess({ name, secrets: [SECRET] })
    const there = await startProcess({ name, secrets: [SECRET] })
    const other = await startProcess({ name: `${name}-2`, secrets: [SECRET] })
    const { session } = await connect(here)
    expect((await connect(there, session)).resumed).toBe(true)
    expect((await connect(other, session)).resumed).toBe(false)
  })

  test('is the session id context of the parts', async () => {
    const here = await startProcess({ name: 'shop', secrets: [SECRET] }, TLS13.server)
    const context = new SslContext({ sessionIdContext: 'shop' })
    const server = greet({ ...certificate, ...serverOptions(context), ...TLS13.server })
    attachServer(server, context, { tickets: { keyRing: new KeyRing([SECRET]) } })
    const { session } = await connect(here)
    expect((await connect({ port: await listen(server) }, session)).resumed).toBe(true)
  })

  test.each([undefined, '', 7, 'x'.repeat(256)])('cannot be %s', async (name) => {
    expect(await codeOf(() => make({ name }))).toBe('ERR_ARGUMENT_INVALID')
  })
})

describe('an option', () => {
  test.each([
    ['that does not exist', { secret: [SECRET] }, /did you mean secrets/],
    ['of attach alone', { lookupTimeoutMs: 5 }, /no option lookupTimeoutMs/],
    ['store that is none', { store: {} }, /must be a SessionStore/],
    ['store that is null', { store: null }, /must be a SessionStore, got null/],
    [
      'guard that is none',
      { secrets: [SECRET], store: engine(), guard: 250 },
      /guard .*must be options of guarded/,
    ],
    ['guard for a guard', { secrets: [SECRET], store: guarded(engine()), guard: {} }, /guarded already/],
    ['timeoutSec out of its range', { timeoutSec: 0 }, /timeoutSec/],
    ['tickets that is no boolean', { secrets: [SECRET], tickets: {} }, /true or false/],
    ['revocations: true', { secrets: [SECRET], store: engine(), revocations: true }, /false, or options/],
  ])('%s is an error that says so', (_, options, message) => {
    const call = () => make(options)
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' }))
    expect(call).toThrow(message)
  })

  test.each(['tickets', 'revocations', 'singleUse', 'waitForStore'])('%s is for all servers', (option) => {
    const sessions = make({})
    const server = https.createServer({ ...certificate, ...sessions.serverOptions() })
    expect(() => sessions.attach(server, { [option]: true })).toThrow(/for all servers/)
  })

  test('timeoutSec, maxAuthenticationAgeSec and authenticatedAfterMs reach the handshakes', async () => {
    const soon = await startProcess({ name: 'shop', secrets: [SECRET], timeoutSec: 60 })
    expect(soon.sessions.context.getSessionTimeout()).toBe(60)
    const later = Date.now() + 60_000
    const after = await startProcess({ name: 'shop', secrets: [SECRET], authenticatedAfterMs: later })
    const { session } = await connect(soon)
    await connect(after, session)
    expect(after.handshakes.map(({ reason }) => reason)).not.toContain('ticket')
    expect(await codeOf(() => startProcess({ name: 'shop', maxAuthenticationAgeSec: 0 }))).toBe(
      'ERR_ARGUMENT_INVALID',
    )
  })

  test('secureOptions of serverOptions are kept', () => {
    expect(make({}).serverOptions({ secureOptions: 0x0200_0000 }).secureOptions & 0x0200_0000).not.toBe(0)
  })
})

describe('a store', () => {
  test('gets nothing that it could read, and is asked with deadlines', async () => {
    const values: Uint8Array[] = []
    const store = engine()
    const { sessions, ...server } = await startProcess({
      ...{ name: 'shop', secrets: [SECRET], tickets: false },
      store: {
        ...store,
        set(entries) {
          values.push(...entries.map(({ value }) => value))
          return store.set(entries)
        },
      },
    })
    await connect(server)
    expect(values.length).toBeGreaterThan(0)
    const ring = new KeyRing([SECRET])
    for (const value of values) expect(ring.openingKey(value.subarray(1, 17), Date.now())).toBeDefined()
    expect(sessions.store).toMatchObject({ name: 'shop', stats: { breaker: 'closed' } })
  })

  test('that is sealed or guarded already is neither sealed nor guarded again', async () => {
    const keyRing = new KeyRing([SECRET])
    const guard = guarded(engine(), { name: 'engine' })
    expect(make({ secrets: [SECRET], store: guard }).store).toBe(guard)
    const memory = new MemoryStore()
    const here = await startProcess({
      name: 'shop',
      secrets: [SECRET],
      tickets: false,
      store: sealed(engine(memory), keyRing),
    })
    const there = await startProcess({
      name: 'shop',
      secrets: [SECRET],
      tickets: false,
      store: engine(memory),
    })
    const { session } = await connect(here)
    expect((await connect(there, session)).resumed).toBe(true)
  })

  test('is the truth: what was deleted there does not resume from the memory of a process', async () => {
    const memory = new MemoryStore()
    const { session } = await connect(
      await startProcess(
        { name: 'shop', secrets: [SECRET], tickets: false, store: engine(memory) },
        TLS12.server,
      ),
    )
    memory.close()
    const again = await startProcess(
      { name: 'shop', secrets: [SECRET], tickets: false, store: engine(memory) },
      TLS12.server,
    )
    expect((await connect(again, session)).resumed).toBe(false)
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    '%s: that is down at the start costs full handshakes, until it is there',
    async (maxVersion) => {
      const memory = new MemoryStore()
      let isDown = true
      const up = engine(memory)
      const failing = <T>(call: () => T): T => {
        if (isDown) throw new Error('connect ECONNREFUSED')
        return call()
      }
      const process = await startProcess({
        ...{ name: 'shop', secrets: [SECRET], guard: { breaker: { failures: 1000 } } },
        store: {
          get: (key) => failing(() => up.get(key)),
          set: (entries) => failing(() => up.set(entries)),
          take: (key) => failing(() => up.take(key)),
          delete: (key) => failing(() => up.delete(key)),
          getMarks: () => failing(() => up.getMarks()),
          addMarks: (marks) => failing(() => up.addMarks(marks)),
          close: () => up.close(),
        },
      })
      const visit = (session?: Buffer) => connect(process, session, { maxVersion })
      const first = await visit()
      expect((await visit(first.session)).resumed).toBe(false)
      expect(first.received).toBe('hello')
      isDown = false
      await process.sessions.revocations?.refresh()
      const second = await visit()
      expect((await visit(second.session)).resumed).toBe(true)
    },
  )

  test('may come into being a moment later than its server: ready waits for it, and it pushes what is revoked', async () => {
    const memory = new MemoryStore()
    let asked = 0
    let watch: () => void = () => undefined
    const watched = new Promise<void>((resolve) => {
      watch = resolve
    })
    const store = engine(memory)
    const notConnected = <T>(call: () => T): T => {
      if (++asked <= 3) throw new Error('the client is not connected')
      return call()
    }
    const { sessions, ...server } = await startProcess({
      ...{ name: 'shop', secrets: [SECRET] },
      store: {
        ...store,
        getMarks: () => notConnected(() => store.getMarks()),
        watchMarks: (onMark) =>
          notConnected(() => {
            watch()
            return memory.watchMarks(onMark)
          }),
      },
      revocations: { maxStaleMs: 300 },
    })
    const { session } = await connect(server)
    expect((await connect(server, session)).resumed).toBe(true)
    await watched
    const other = await startProcess({ name: 'shop', secrets: [SECRET], store: engine(memory) })
    const marks = sessions.revocations?.stats.marks ?? 0
    await other.sessions.revokeServerName('elsewhere.example')
    expect(sessions.revocations?.stats.marks).toBeGreaterThan(marks)
  })

  test('is not waited for by those who listen before ready: they resume when it has answered', async () => {
    const memory = new MemoryStore()
    const earlier = await startProcess({ name: 'shop', secrets: [SECRET], store: engine(memory) })
    const { session } = await connect(earlier)
    let answer: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      answer = resolve
    })
    const store = engine(memory)
    const sessions = make({
      secrets: [SECRET],
      store: { ...store, getMarks: () => held.then(() => store.getMarks()) },
    })
    const server = greet({ ...certificate, ...sessions.serverOptions() })
    const attachment = sessions.attach(server)
    const port = await listen(server)
    expect((await connect({ port }, session)).resumed).toBe(false)
    expect(attachment.stats.reasons).toMatchObject({ 'revocation-unknown': 1 })
    answer()
    await sessions.ready
    expect((await connect({ port }, session)).resumed).toBe(true)
  })

  test('carries a revocation to other processes, by client, server name and all', async () => {
    const memory = new MemoryStore()
    const start = () => startProcess({ name: 'shop', secrets: [SECRET], store: engine(memory) })
    const [here, there] = [await start(), await start()]
    for (const revoke of [
      () => here.sessions.revokeServerName('server.example', { madeBeforeMs: Date.now() }),
      () => here.sessions.revokeAll({ madeBeforeMs: Date.now() }),
    ]) {
      const { session } = await connect(there)
      await revoke()
      await there.sessions.revocations?.refresh()
      await connect(there, session)
      expect(there.handshakes.at(-1)?.reason).toBe('revoked')
    }
    await here.sessions.revokeClient(randomBytes(32))
    expect(here.sessions.revocations?.stats.marks).toBeGreaterThan(1)
  })
})

describe('close', () => {
  test('ends all, once, and says what was not acknowledged', async () => {
    const ends: string[] = []
    const store = engine()
    const { sessions, server, attachment } = await startProcess({
      ...{ name: 'shop', secrets: [SECRET] },
      store: {
        ...store,
        watchMarks: () => () => void ends.push('watch'),
        close: () => void ends.push('store'),
      },
    })
    const first = sessions.close()
    expect(await Promise.all([first, sessions.close()])).toEqual([{ dropped: 0 }, { dropped: 0 }])
    expect(await sessions.close({ deadlineMs: 1 })).toEqual({ dropped: 0 })
    expect(ends).toEqual(['watch', 'store'])
    expect([attachment.isAttached, sessions.attachments]).toEqual([false, []])
    expect(server.listenerCount('resumeSession')).toBe(0)
  })

  test('leaves the server to Node, which goes on to serve', async () => {
    const { sessions, ...server } = await startProcess({ name: 'shop', secrets: [SECRET] })
    await sessions.close()
    expect((await connect(server)).received).toBe('hello')
    expect(server.handshakes).toEqual([])
  })

  test('refuses whoever comes later', async () => {
    const sessions = make({ secrets: [SECRET], store: engine() })
    const server = https.createServer({ ...certificate, ...sessions.serverOptions() })
    await sessions.close()
    const calls = [
      () => sessions.attach(server),
      () => sessions.replaceSecrets([SECRET]),
      () => sessions.revokeAll(),
      () => sessions.revokeServerName(undefined),
      () => sessions.revokeClient(randomBytes(32)),
    ]
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 'ERR_SESSION_STATE'))
  })

  test('is the end of await using', async () => {
    const sessions = make({})
    await sessions[Symbol.asyncDispose]()
    expect(await codeOf(() => sessions.revokeAll())).toBe('ERR_SESSION_STATE')
  })

  test('survives a store that fails to close, and tells the process', async () => {
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    const sessions = make({
      secrets: [SECRET],
      store: { ...engine(), close: () => Promise.reject(new Error('gone')) },
    })
    expect(await sessions.close()).toEqual({ dropped: 0 })
    expect((await warned).message).toBe('gone')
  })

  test('counts the writes that a store has not acknowledged', async () => {
    const never = new Promise<void>(() => undefined)
    const { sessions, ...server } = await startProcess({
      ...{ name: 'shop', secrets: [SECRET], tickets: false },
      store: { ...engine(), set: () => never },
    })
    await connect(server)
    const end = await sessions.close({ deadlineMs: 1 })
    expect(end.dropped).toBe(1)
  })

  test.each([
    ['after its caller was told the deadline', { deadlineMs: 5000 }],
    ['before', { deadlineMs: 1 }],
  ])('counts once what the guard still held and gave up, %s', async (_, options) => {
    const full = async () => {
      throw new Error('full')
    }
    const { sessions, ...server } = await startProcess(
      {
        ...{ name: 'shop', secrets: [SECRET], tickets: false, store: { ...engine(), set: full } },
        guard: { deadlineMs: 100, breaker: { failures: 1, retryAfterMs: 100_000 } },
      },
      TLS12.server,
    )
    await connect(server)
    await connect(server)
    expect(sessions.store?.stats.queuedWrites).toBe(1)
    expect(await sessions.close(options)).toEqual({ dropped: 1 })
  })
})

test('revocation without a place for it is refused, and says what to do', async () => {
  for (const options of [{}, { secrets: [SECRET] }, { store: engine(), plaintext: true }]) {
    const sessions = make(options)
    for (const call of [
      () => sessions.revokeAll(),
      () => sessions.revokeServerName('shop.example'),
      () => sessions.revokeClient(randomBytes(32)),
    ])
      expect(await codeOf(call)).toBe('ERR_REVOCATION_UNAVAILABLE')
    await expect(sessions.revokeAll()).rejects.toThrow(/replaceSecrets or authenticatedAfterMs/)
  }
})
