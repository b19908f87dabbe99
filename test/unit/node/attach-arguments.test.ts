import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'
import { afterTest, certificate, connect, NAME, start } from '../../tools/node-servers.ts'

/** Every code that the documentation names. */
const DOCUMENTED = new Set(
  readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')
    .split('\n')
    .flatMap((line) => /^### (ERR_\w+)$/.exec(line)?.[1] ?? []),
)

/** What a call that is wrong throws: a code of ours, and a message that says what is wrong. */
function refusal(call: () => unknown): { readonly code: string; readonly message: string } {
  try {
    call()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return { code: code ?? String(error), message }
  }
  return { code: 'none', message: '' }
}

function expectRefusal(call: () => unknown, words: RegExp): void {
  const { code, message } = refusal(call)
  expect([...DOCUMENTED]).toContain(code)
  expect(message).toMatch(words)
  // Written for the one who made the mistake, not for us.
  expect(message).not.toMatch(/Cannot read|is not a function|in operator|undefined \(reading/)
}

/** Of JavaScript, which checks no types. */
const attach = attachServer as (...values: readonly unknown[]) => unknown
const options = serverOptions as (...values: readonly unknown[]) => unknown

const context = new SslContext({ sessionIdContext: 'shop' })
const makeServer = (): tls.Server => tls.createServer({ ...certificate, ...serverOptions(context) })

const NO_OBJECT: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a string', 'server'],
  ['a number', 7],
  ['true', true],
  ['an empty object', {}],
  ['a function', () => undefined],
  ['an array', []],
]

describe('attachServer', () => {
  test.each([
    ...NO_OBJECT,
    ['a context', context],
    ['an http server', http.createServer()],
    ['a net server', net.createServer()],
    ['a TLSSocket', new tls.TLSSocket(new net.Socket())],
    ['a class', tls.Server],
  ] as const)('refuses %s as its server', (_title, server) => {
    expectRefusal(() => attach(server, context), /server/i)
  })

  test.each([
    ...NO_OBJECT,
    ['a server', makeServer()],
    ['options of a context', { sessionIdContext: 'shop' }],
    ['a SecureContext', tls.createSecureContext()],
    ['a class', SslContext],
  ] as const)('refuses %s as its context', (_title, wrong) => {
    const server = makeServer()
    expectRefusal(() => attach(server, wrong), /context/i)
    expect(() => attachServer(server, context)[Symbol.dispose]()).not.toThrow()
  })

  test('refuses server and context in the wrong order', () => {
    expectRefusal(() => attach(context, makeServer()), /server/i)
  })

  test.each(NO_OBJECT.filter(([title]) => !/undefined|empty object/.test(title)))(
    'refuses %s as its options',
    (_title, wrong) => {
      expectRefusal(() => attach(makeServer(), context, wrong), /options/i)
    },
  )

  const OUT_OF_RANGE = [-1, 0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '100', null, {}, 10n]

  test.each<readonly [string, readonly unknown[]]>([
    ['lookupTimeoutMs', OUT_OF_RANGE],
    ['readAheadMs', OUT_OF_RANGE],
    ['maxAuthenticationAgeSec', [...OUT_OF_RANGE, 604_801]],
    ['waitForStore', ['strict', 1, 0, null, {}]],
    ['singleUse', ['yes', 1, 0, null, {}]],
    ['bindSessions', ['false', 1, 0, null, {}]],
    ['requireExtendedMasterSecret', ['false', 1, 0, null, {}]],
    ['shouldStore', [true, null, 'no', {}]],
    ['policy', [true, null, 'main', {}, Promise.resolve('main')]],
    ['onHandshake', [true, null, 'log', {}, []]],
    ['revocations', [true, null, 'all', {}, () => undefined, Promise.resolve()]],
    ['tolerate', ['tickets', true, null, {}, ['ticket'], ['tickets', undefined], [7]]],
  ])('refuses a wrong %s, and says which', (name, values) => {
    for (const value of values) {
      const server = makeServer()
      expectRefusal(() => attach(server, context, { [name]: value }), new RegExp(name))
      // Nothing has changed about the server: it can still be attached.
      expect(() => attachServer(server, context)[Symbol.dispose]()).not.toThrow()
    }
  })

  test.each([
    ['lookupTimeout', 'lookupTimeoutMs'],
    ['lookupTimeoutMS', 'lookupTimeoutMs'],
    ['maxAuthenticationAge', 'maxAuthenticationAgeSec'],
    ['store', undefined],
    ['readAhead', 'readAheadMs'],
    ['onHandshakes', 'onHandshake'],
    ['single_use', 'singleUse'],
    ['tolerates', 'tolerate'],
    ['nonsense', undefined],
    ['toString', undefined],
    ['constructor', undefined],
  ])('refuses the unknown option %s, and says what there is', (name, meant) => {
    const server = makeServer()
    expectRefusal(() => attach(server, context, { [name]: 1 }), new RegExp(name))
    if (meant !== undefined)
      expect(refusal(() => attach(server, context, { [name]: 1 })).message).toContain(meant)
    expect(() => attachServer(server, context)[Symbol.dispose]()).not.toThrow()
  })

  test('takes undefined for every option, as if it were not there', async () => {
    const names = [
      'lookupTimeoutMs',
      'readAheadMs',
      'maxAuthenticationAgeSec',
      'waitForStore',
      'singleUse',
      'bindSessions',
      'requireExtendedMasterSecret',
      'shouldStore',
      'policy',
      'revocations',
      'tolerate',
      'onHandshake',
    ]
    const harness = await start({ attach: Object.fromEntries(names.map((name) => [name, undefined])) })
    const { session } = await connect(harness)
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('quotes nothing of what it was given: it may be a secret', () => {
    const secret = 'correct horse battery staple'
    for (const name of ['policy', 'lookupTimeoutMs', 'tolerate'])
      expect(refusal(() => attach(makeServer(), context, { [name]: secret })).message).not.toContain(secret)
  })
})

describe('serverOptions', () => {
  test.each([...NO_OBJECT, ['a server', makeServer()], ['options', { sessionIdContext: 'shop' }]] as const)(
    'refuses %s as its context',
    (_title, wrong) => {
      expectRefusal(() => options(wrong), /context/i)
    },
  )

  test.each(NO_OBJECT.filter(([title]) => !/undefined|empty object/.test(title)))(
    'refuses %s as its options',
    (_title, wrong) => {
      expectRefusal(() => options(context, wrong), /options/i)
    },
  )

  test.each(['0x4000', -1, 1.5, Number.NaN, 2 ** 32, null, {}])('refuses secureOptions of %s', (wrong) => {
    expectRefusal(() => options(context, { secureOptions: wrong }), /secureOptions/)
  })

  test.each(['secureOption', 'sessionTimeout', 'sessionIdContext', 'key'])(
    'refuses the unknown option %s',
    (name) => {
      expectRefusal(() => options(context, { [name]: 1 }), new RegExp(name))
    },
  )
})

describe('close', () => {
  test.each([-1, 1.5, Number.NaN, '5', null, 2 ** 31])('refuses a deadlineMs of %s', async (deadlineMs) => {
    const harness = await start()
    const close = harness.attachment.close as (options: unknown) => Promise<unknown>
    const wrong = async (): Promise<unknown> => Reflect.apply(close, harness.attachment, [{ deadlineMs }])
    await expect(wrong()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) })
    // It is not closed by what was refused.
    expect((await connect(harness)).received).toBe('hello')
    expect(harness.handshakes).toHaveLength(1)
    expect(await harness.attachment.close()).toEqual({ dropped: 0 })
  })

  test('refuses an unknown option', async () => {
    const harness = await start()
    const close = harness.attachment.close as (options: unknown) => Promise<unknown>
    const wrong = async (): Promise<unknown> => Reflect.apply(close, harness.attachment, [{ deadline: 5 }])
    await expect(wrong()).rejects.toMatchObject({ message: expect.stringContaining('deadline') })
  })
})

describe('what is passed on to Node takes whatever Node takes', () => {
  test.each([
    [
      'setSecureContext',
      (server: tls.Server) => server.setSecureContext({ ...certificate, foo: 1 } as object),
    ],
    ['addContext', (server: tls.Server) => server.addContext(NAME, { ...certificate, foo: 1 } as object)],
  ] as const)('%s with an option that nobody knows', async (_title, change) => {
    const harness = await start()
    expect(() => change(harness.server)).not.toThrow()
    expect((await connect(harness)).received).toBe('hello')
  })

  test.each([
    ['setSecureContext', (server: tls.Server) => Reflect.apply(server.setSecureContext, server, [])],
    [
      'setSecureContext of null',
      (server: tls.Server) => Reflect.apply(server.setSecureContext, server, [null]),
    ],
    ['addContext', (server: tls.Server) => Reflect.apply(server.addContext, server, [])],
    ['addContext of a number', (server: tls.Server) => Reflect.apply(server.addContext, server, [7, {}])],
    ['addContext without a context', (server: tls.Server) => Reflect.apply(server.addContext, server, ['a'])],
  ] as const)('%s with nothing, or with nonsense, does what it does in a stock server', (_title, change) => {
    const attached = makeServer()
    const attachment = attachServer(attached, context)
    afterTest(() => attachment[Symbol.dispose]())
    const codeOf = (server: tls.Server): string => refusal(() => change(server)).code
    expect(codeOf(attached)).toBe(codeOf(makeServer()))
  })
})

describe('runtimes', () => {
  const withVersions = (versions: Record<string, string | undefined>): string => {
    const before = Object.getOwnPropertyDescriptor(process, 'versions') as PropertyDescriptor
    const changed = Object.fromEntries(
      Object.entries({ ...process.versions, ...versions }).filter(([, value]) => value !== undefined),
    )
    Object.defineProperty(process, 'versions', { ...before, value: changed })
    try {
      const server = makeServer()
      return refusal(() => attachServer(server, new SslContext())[Symbol.dispose]()).code
    } finally {
      Object.defineProperty(process, 'versions', before)
    }
  }

  test.each<readonly [string, Record<string, string | undefined>]>([
    ['Bun', { bun: '1.4.5' }],
    ['Deno', { deno: '2.9.6' }],
    ['Electron, by its name', { electron: '38.0.0' }],
    ['Electron, whose OpenSSL says 0.0.0', { electron: '38.0.0', openssl: '0.0.0' }],
    ['an OpenSSL that says that it is BoringSSL', { openssl: '1.1.1 (compatible; BoringSSL)' }],
    ['an OpenSSL of version 0.0.0, as BoringSSL says', { openssl: '0.0.0' }],
    ['one that names its BoringSSL', { boringssl: '1.0', openssl: '0.0.0' }],
    ['one without OpenSSL', { openssl: undefined }],
  ])('%s is refused with ERR_RUNTIME_UNSUPPORTED', (_title, versions) => {
    expect(withVersions(versions)).toBe('ERR_RUNTIME_UNSUPPORTED')
  })

  test.each<readonly [string, Record<string, string | undefined>]>([
    ['Node as it is', {}],
    ['Node on OpenSSL 3.5 with a build of its own', { openssl: '3.5.8+quic' }],
    ['Node on the OpenSSL of a distribution', { openssl: '3.0.22-fips' }],
  ])('%s is attached to', (_title, versions) => {
    expect(withVersions(versions)).toBe('none')
  })
})
