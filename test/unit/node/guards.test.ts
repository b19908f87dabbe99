import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  attachServer,
  MemoryStore,
  SessionCacheMode,
  type SessionPolicy,
  SslContext,
  SslSession,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import { isBindingRelease } from '../../../src/node/node-session-context.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import {
  afterTest,
  certificate,
  connect,
  greet,
  type Harness,
  NAME,
  reasons,
  start,
  versions,
} from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'

/** Each of these was a way around the isolation, or a crash, once: it fails without its guard. */

const [authority, successor] = await Promise.all(
  ['authority', 'successor'].map((name) => makeCertificate(name, { isAuthority: true })),
)
const client = { ...(await makeCertificate('client', { ca: authority! })), rejectUnauthorized: false }
const folder = mkdtempSync(join(tmpdir(), 'sslctx-guards-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Gives its answer when it is told to. */
function held<T>(): { readonly promise: Promise<T>; resolve(value: T): void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve: (value) => resolve(value) }
}

const resumes = async (harness: Harness, session: Buffer | undefined): Promise<boolean | string> =>
  connect(harness, session, client).then(
    ({ resumed }) => resumed,
    (error: NodeJS.ErrnoException) => error.code ?? 'error',
  )

describe.each(versions)('%s: when the server trusts others', (version) => {
  const range = { minVersion: version, maxVersion: version }

  test('no session of before resumes, also for a name beside those that addContext had set unseen', async () => {
    const harness = await start({
      server: { ...range, requestCert: true, ca: authority!.cert },
      attach: { policy: () => 'main' },
      make(options) {
        const server = greet(options)
        server.addContext('unrelated.example', certificate)
        return server
      },
    })
    const { session } = await connect(harness, undefined, client)
    expect(await resumes(harness, session)).toBe(true)
    harness.server.setSecureContext({ ...certificate, ...range, ca: successor!.cert })
    expect(await resumes(harness, session)).not.toBe(true)
    expect(harness.handshakes.map(({ outcome }) => outcome).slice(2)).not.toContain('resumed')
  })

  peerTest(
    'by a PKCS #12 file, no session of before resumes',
    missingCommand('openssl', 'version'),
    async () => {
      const pack = (ca: string): Buffer => {
        const pem = join(folder, 'chain.pem')
        execFileSync('sh', ['-c', 'cat > "$0"', pem], {
          input: `${certificate.key}\n${certificate.cert}\n${ca}\n`,
        })
        return execFileSync('openssl', ['pkcs12', '-export', '-in', pem, '-passout', 'pass:x'])
      }
      const options = (ca: string): tls.TlsOptions => ({ ...range, pfx: pack(ca), passphrase: 'x' })
      const harness = await start({
        server: { ...options(authority!.cert), requestCert: true },
        make: ({ key: _key, cert: _cert, ...rest }) => greet(rest),
      })
      const { session } = await connect(harness, undefined, client)
      expect(await resumes(harness, session)).toBe(true)
      harness.server.setSecureContext(options(successor!.cert))
      expect(await resumes(harness, session)).not.toBe(true)
    },
  )

  test('a renewal that failed has changed nothing: neither what sessions are bound to, nor the versions', async () => {
    const wrongKey = { ...certificate, key: authority!.key }
    const harness = await start({ server: { ...range, requestCert: true, ca: authority!.cert } })
    const renew = (options: tls.SecureContextOptions): void => harness.server.setSecureContext(options)
    expect(() =>
      renew({ ...wrongKey, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', ca: successor!.cert }),
    ).toThrow()
    harness.server.addContext('unrelated.example', certificate)
    const { session } = await connect(harness, undefined, client)
    expect(await resumes(harness, session)).toBe(true)
    renew({ ...certificate, ...range, ca: successor!.cert })
    expect(await resumes(harness, session)).not.toBe(true)
  })

  test('while a lookup is under way, what it finds is not used: trust-changed, and no hit', async () => {
    const answer = held<undefined>()
    const asked = held<undefined>()
    const memory = new MemoryStore()
    let isHeld = false
    const harness = await start({
      server: { ...range },
      context: {
        sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
        ...storeCallbacks({
          get(key) {
            if (!isHeld) return undefined
            asked.resolve(undefined)
            return answer.promise.then(() => memory.get(key))
          },
          set: (entries) => memory.set(entries),
          take: () => undefined,
          delete: () => undefined,
          confidentiality: 'in-process',
        }),
      },
    })
    const { session } = await connect(harness)
    isHeld = true
    const visit = connect(harness, session)
    await asked.promise
    harness.server.setSecureContext({ ...certificate, ...range, ca: successor!.cert })
    answer.resolve(undefined)
    expect((await visit).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('trust-changed')
    expect(harness.context.stats).toMatchObject({ hits: 0, acceptGood: 2 })
  })
})

describe('after a HelloRetryRequest', () => {
  const program = join(folder, 'server-name-switch')
  const problem = missingCommand('cc', '--version')
  beforeAll(() => {
    if (problem === undefined) {
      const source = fileURLToPath(new URL('./server-name-switch.c', import.meta.url))
      execFileSync('cc', ['-o', program, source, '-lssl', '-lcrypto'])
    }
  })

  const visit = async (port: number, ...names: string[]): Promise<string> => {
    const session = join(folder, 'switch.pem')
    const isSecond = names.at(-1) === 'resume'
    const files = isSecond ? [session, '-'] : ['-', session]
    const words = [String(port), isSecond ? 'X25519:P-256' : 'P-256', ...names.slice(0, 2), ...files]
    const done = await promisify(execFile)(program, words).catch((error: { stdout: string }) => error)
    return done.stdout
  }

  peerTest('a client that names another server is cut off, and nothing of it is kept', problem, async () => {
    const harness = await start({ server: { ecdhCurve: 'P-256' } })
    harness.server.addContext('other.example', await makeCertificate('other.example'))
    expect(await visit(harness.port, NAME, NAME)).toMatch(/^full\nhello/)
    // The control: with the same name it resumes, retry or not.
    expect(await visit(harness.port, NAME, NAME, 'resume')).toMatch(/^reused\nhello/)
    const kept = harness.context.stats.number
    expect(await visit(harness.port, NAME, 'other.example', 'resume')).not.toMatch(/hello/)
    // Newer lines hold to the first name themselves.
    const reason = isBindingRelease() ? 'handshake-failed' : 'server-name-changed'
    expect(harness.handshakes.at(-1)).toMatchObject({ outcome: 'failed', reason })
    expect(harness.context.stats.number).toBe(kept)
    expect(harness.attachment.stats.notKept).toEqual(isBindingRelease() ? {} : { [reason]: 1 })
  })
})

describe('policy', () => {
  test.each<[string, unknown]>([
    ['undefined, as of a function without a last return', async () => undefined],
    ['null', () => null],
    ['a number', () => 7],
  ])('that answers %s is a refusal and a warning, not a crash', async (_, policy) => {
    const harness = await start({ attach: { policy: policy as SessionPolicy } })
    const [[warning]] = await Promise.all([once(process, 'warning'), connect(harness)])
    expect(warning).toMatchObject({ message: 'policy must answer with a string or false' })
    expect(harness.attachment.stats.notKept).toEqual({ 'policy-refused': 2 })
  })

  test('that answers with an empty string is another policy than none', async () => {
    const context = { sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) }
    const one = await start({ context, attach: { policy: () => '' } })
    const other = await start({ context })
    const { session } = await connect(one)
    expect((await connect(other, session)).resumed).toBe(false)
    expect(reasons(other)).toEqual(['trust-changed'])
  })

  test('that is still thinking does not resume what is removed meanwhile', async () => {
    const answer = held<string>()
    let isHeld = false
    const harness = await start({ attach: { policy: () => (isHeld ? answer.promise : 'main') } })
    const { session } = await connect(harness)
    isHeld = true
    const asked = once(harness.server, 'connection')
    const visit = connect(harness, session)
    await asked
    await new Promise((resolve) => setImmediate(resolve))
    harness.context.flushSessions(0)
    answer.resolve('main')
    expect((await visit).resumed).toBe(false)
    expect(harness.context.stats.hits).toBe(0)
  })

  test('that hangs about a resumption is a lookup-timeout', async () => {
    let isHeld = false
    const harness = await start({
      attach: { lookupTimeoutMs: 30, policy: () => (isHeld ? new Promise(() => undefined) : 'main') },
    })
    const { session } = await connect(harness)
    isHeld = true
    expect((await connect(harness, session)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('lookup-timeout')
  })
})

describe('rules that came later', () => {
  test('a session without extended master secret, kept by a lenient server, does not resume on a strict one', async () => {
    const context = { sessionIdContext: 'shop', ...storeCallbacks(new MemoryStore()) }
    const server = { maxVersion: 'TLSv1.2' } as const
    const lenient = await start({ context, server, attach: { requireExtendedMasterSecret: false } })
    const strict = await start({ context, server })
    const old = { secureOptions: 0x1 }
    const { session } = await connect(lenient, undefined, old)
    expect((await connect(strict, session, old)).resumed).toBe(false)
    expect(reasons(strict)).toEqual(['no-extended-master-secret'])
  })

  test('requestCert that is turned on meanwhile: a handshake under way is bound to what Node took it under', async () => {
    const answer = held<undefined>()
    const harness = await start({
      server: { maxVersion: 'TLSv1.2' },
      attach: { policy: () => answer.promise.then(() => 'p') },
    })
    const visit = connect(harness)
    await once(harness.server, 'secureConnection')
    Object.assign(harness.server, { requestCert: true })
    answer.resolve(undefined)
    const { session } = await visit
    await harness.attachment.close()
    Object.assign(harness.server, { requestCert: false })
    const handshakes: string[] = []
    attachServer(harness.server, harness.context, {
      policy: () => 'p',
      onHandshake: ({ reason }) => void handshakes.push(reason),
    })
    expect((await connect(harness, session)).resumed).toBe(true)
    expect(handshakes).toEqual(['internal'])
  })
})

describe('without binding', () => {
  test('client certificates need a session id context, as in libssl (R2.3)', () => {
    const context = new SslContext()
    const server = tls.createServer({ ...certificate, ...serverOptions(context), requestCert: true })
    expect(() => attachServer(server, context, { bindSessions: false })).toThrow(
      expect.objectContaining({ problem: 'unsupported-setting' }),
    )
    const named = new SslContext({ sessionIdContext: 'shop' })
    expect(() => attachServer(server, named, { bindSessions: false })[Symbol.dispose]()).not.toThrow()
  })
})

describe('detaching', () => {
  test('at once: what had been found in time is not handed over any more', async () => {
    const answer = held<SslSession | undefined>()
    let isHeld = false
    let kept: SslSession | undefined
    const harness = await start({
      context: {
        sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
        newSessionCallback: (_connection, session) => {
          kept = SslSession.fromDer(session.toDer())
        },
        getSessionCallback: () => (isHeld ? answer.promise : undefined),
      },
      // So that Node's libssl would get it without being asked by an event.
      attach: { tolerate: ['resume-session-listener'] },
    })
    const early = await connect(harness)
    isHeld = true
    const asked = once(harness.server, 'connection')
    const visit = connect(harness, early.session)
    await asked
    harness.attachment[Symbol.dispose]()
    answer.resolve(kept)
    expect((await visit).resumed).toBe(false)
  })

  test('leaves alone what somebody else has wrapped around ours', async () => {
    const harness = await start()
    const { setSecureContext } = harness.server
    const calls: unknown[] = []
    harness.server.setSecureContext = (options) => {
      calls.push(options)
      setSecureContext.call(harness.server, options)
    }
    harness.attachment[Symbol.dispose]()
    harness.server.setSecureContext({ ...certificate, ...serverOptions(harness.context) })
    expect(calls).toHaveLength(1)
  })

  test('in its midst, another attachment is refused: the server is still attached', async () => {
    const harness = await start()
    const closed = harness.attachment.close()
    expect(() => attachServer(harness.server, harness.context)).toThrow(
      expect.objectContaining({ problem: 'already-attached' }),
    )
    await closed
    expect(() => attachServer(harness.server, harness.context)).not.toThrow()
  })

  test('in good order serves a connection that was accepted and has not spoken yet', async () => {
    const harness = await start()
    const arrived = once(harness.server, 'connection')
    const visit = connect(harness)
    await arrived
    const closed = harness.attachment.close()
    const { session } = await visit
    await closed
    expect(harness.handshakes).toMatchObject([{ outcome: 'full', reason: 'not-offered' }])
    const attachment = attachServer(harness.server, harness.context)
    afterTest(() => attachment[Symbol.dispose]())
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('waits only a second for connections that have said nothing', async () => {
    const harness = await start()
    const silent = net.connect(harness.port, '127.0.0.1')
    afterTest(() => silent.destroy())
    await once(harness.server, 'connection')
    const never = new Promise<string>((resolve) => harness.server.once('never', () => resolve('never')))
    expect(await Promise.race([harness.attachment.close({ deadlineMs: 20_000 }), never])).toEqual({
      dropped: 0,
    })
  })

  test('counts the tickets of one handshake as one write', async () => {
    const harness = await start({
      context: storeCallbacks({
        get: () => undefined,
        take: () => undefined,
        delete: () => undefined,
        confidentiality: 'in-process',
        set: () => new Promise(() => undefined),
      }),
    })
    await connect(harness)
    expect(harness.attachment.stats.pendingWrites).toBe(1)
    expect(await harness.attachment.close({ deadlineMs: 10 })).toEqual({ dropped: 1 })
  })
})

describe('counters', () => {
  test('no hit is counted for a session whose hash the client does not offer', async () => {
    const harness = await start()
    const { session } = await connect(harness, undefined, { ciphers: 'TLS_AES_256_GCM_SHA384' })
    expect((await connect(harness, session, { ciphers: 'TLS_AES_128_GCM_SHA256' })).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('cipher-hash-mismatch')
    expect(harness.context.stats.hits).toBe(0)
  })

  test('a failed handshake says what was wrong with its ClientHello, or that it failed, and not why nothing was looked up', async () => {
    const harness = await start()
    harness.attachment.enabled = false
    const failed = once(harness.server, 'tlsClientError')
    await connect(harness, undefined, {
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'ALL@SECLEVEL=0',
    }).catch(() => undefined)
    await failed
    expect(harness.handshakes).toMatchObject([{ outcome: 'failed', reason: 'handshake-failed' }])
  })
})
