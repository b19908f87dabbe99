import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import { hostname } from 'node:os'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { derOf, sessionForNode } from '../../../src/client/session-format.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import {
  guarded,
  MemoryStore,
  SessionCacheMode,
  SslContext,
  SslSession,
  storeCallbacks,
} from '../../../src/index.ts'
import { type StatusReport, statusHandler } from '../../../src/observability/status-handler.ts'
import { STATUS_WORDS } from '../../../src/observability/status-page.ts'
import { NOT_KEPT_REASONS } from '../../../src/session/not-kept-reasons.ts'
import { HANDSHAKE_REASONS } from '../../../src/session/reasons.ts'
import { idOf, makeSession, offer12, STATEFUL, serve, testContext } from '../../tools/model-fixtures.ts'
import {
  afterTest,
  connect,
  type Harness,
  listen,
  NAME,
  start,
  TLS12,
  TLS13,
} from '../../tools/node-servers.ts'
import { V2 } from '../../tools/session-fields.ts'
import { SECRET, startTicketed } from '../../tools/ticket-servers.ts'

type Subject = Parameters<typeof statusHandler>[0]

const NOBODY: Subject = { contexts: { server: new SslContext() } }

/** A real server that answers with nothing but the status. */
async function mount(subject: Subject): Promise<string> {
  const handler = statusHandler(subject)
  afterTest(handler.close)
  return `http://127.0.0.1:${await listen(http.createServer(handler))}/`
}

async function ask(subject: Subject): Promise<() => Promise<StatusReport>> {
  const url = await mount(subject)
  return async () => (await (await fetch(`${url}?format=json`)).json()) as StatusReport
}

/** Time goes on when the test says so, for the samples too. */
function stopClock(): void {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date', 'performance'] })
}
afterEach(() => {
  vi.useRealTimers()
})

/** As little of it as nobody shows by chance. */
function shown(bytes: Buffer, encoding: 'hex' | 'base64'): string {
  return bytes.toString(encoding).slice(0, 8)
}

/** The client says that it has been there before, but not under this name. */
async function resumeElsewhere(harness: Harness, session: Buffer | undefined): Promise<void> {
  const elsewhere = { servername: 'other.example', checkServerIdentity: () => undefined }
  // Later lines of Node would pass over the session of another name.
  await connect(harness, session && sessionForNode(derOf(session), elsewhere), elsewhere)
}

describe('the JSON of statusHandler', () => {
  test('has this shape, for machines to rely on', async () => {
    stopClock()
    vi.setSystemTime('2026-01-01T00:00:00Z')
    const guard = guarded(new MemoryStore())
    const harness = await start({ ...TLS13, context: storeCallbacks(guard) })
    const report = await ask({ attachments: { shop: harness.attachment }, stores: { memory: guard } })
    const { session } = await connect(harness)
    await connect(harness, session)
    vi.advanceTimersByTime(30_000)
    const counts = {
      handshakes: { resumed: 1, full: 1, failed: 0 },
      protocols: { 'TLSv1.3': { resumed: 1, full: 1, failed: 0 } },
      reasons: { internal: 1, 'not-offered': 1 },
    }
    const span = { ...counts, seconds: 30, rate: 0.5, offered: 1, unstored: 0 }
    const { sessions } = (await report()).servers['shop']?.cache ?? {}
    expect(await report()).toEqual({
      time: '2026-01-01T00:00:30.000Z',
      process: { host: hostname(), pid: process.pid, worker: null, processes: 1 },
      servers: {
        shop: {
          verdict: { state: 'resuming', because: null, span: 'now' },
          now: span,
          hour: span,
          total: counts,
          minutes: [{ time: '2026-01-01T00:00:00.000Z', ...span, sessions }],
          cache: { sessions, size: 20_480, timeoutSec: 7200, oldestTimeLeftSec: expect.any(Number) },
          counters: harness.context.stats,
          notKept: {},
          pendingWrites: 0,
          tickets: null,
        },
      },
      clients: {},
      stores: {
        memory: {
          ...{
            breaker: 'closed',
            breakers: { reads: 'closed', writes: 'closed', removals: 'closed' },
            queuedWrites: 0,
            droppedWrites: 0,
            droppedDeletions: 0,
            pendingCalls: 0,
            calls: 2,
            failedCalls: 0,
            failedWrites: 0,
            lastFailure: null,
          },
          minutes: [
            {
              time: '2026-01-01T00:00:00.000Z',
              queuedWrites: 0,
              droppedWrites: 0,
              failedCalls: 0,
              failedWrites: 0,
            },
          ],
        },
      },
    })
    expect(sessions).toBe(harness.context.stats.number)
    expect(sessions).toBeGreaterThan(0)
  })

  test('keeps the figures of each minute for an hour, and those of now apart', async () => {
    stopClock()
    const harness = await start(TLS13)
    const report = await ask({ attachments: { shop: harness.attachment } })
    const { session } = await connect(harness)
    vi.advanceTimersByTime(60_000)
    await connect(harness, session)
    vi.advanceTimersByTime(60_000)
    await resumeElsewhere(harness, session)
    vi.advanceTimersByTime(10_000)
    const { now, hour, minutes } = (await report()).servers['shop'] ?? {}
    expect(now).toMatchObject({ seconds: 70, rate: 0.5, reasons: { internal: 1, 'server-name-mismatch': 1 } })
    expect(hour).toMatchObject({ seconds: 130, handshakes: { resumed: 1, full: 2 }, offered: 2 })
    expect(minutes?.map(({ seconds, reasons }) => [seconds, reasons])).toEqual([
      [60, { 'not-offered': 1 }],
      [60, { internal: 1 }],
      [10, { 'server-name-mismatch': 1 }],
    ])
    vi.advanceTimersByTime(57 * 60_000)
    expect((await report()).servers['shop']?.hour.handshakes).toEqual({ resumed: 1, full: 2, failed: 0 })
    vi.advanceTimersByTime(60_000)
    const later = (await report()).servers['shop']
    expect(later?.hour.reasons).toEqual({ internal: 1, 'server-name-mismatch': 1 })
    expect(later?.minutes).toHaveLength(60)
    expect(later?.total.reasons).toEqual({ 'not-offered': 1, internal: 1, 'server-name-mismatch': 1 })
    vi.advanceTimersByTime(24 * 60 * 60_000)
    expect((await report()).servers['shop']?.minutes).toHaveLength(60)
  })

  test('tells handshakes of before it was made, but counts them to no minute', async () => {
    const harness = await start(TLS13)
    await connect(harness)
    const { total, hour, verdict } =
      (await (await ask({ attachments: { server: harness.attachment } }))()).servers['server'] ?? {}
    expect(total?.handshakes.full).toBe(1)
    expect(hour?.handshakes).toEqual({ resumed: 0, full: 0, failed: 0 })
    expect(verdict).toEqual({ state: 'idle', because: null, span: 'hour' })
  })

  test('tells protocols apart', async () => {
    const harness = await start()
    const report = await ask({ attachments: { server: harness.attachment } })
    const { session } = await connect(harness, undefined, { maxVersion: 'TLSv1.2' })
    await connect(harness, session, { maxVersion: 'TLSv1.2' })
    await connect(harness)
    expect((await report()).servers['server']?.now.protocols).toEqual({
      'TLSv1.2': { resumed: 1, full: 1, failed: 0 },
      'TLSv1.3': { resumed: 0, full: 1, failed: 0 },
    })
  })

  test('says of those who offered a session whether they resume, and why most do not', async () => {
    stopClock()
    const harness = await start(TLS13)
    const report = await ask({ attachments: { server: harness.attachment } })
    const verdict = async () => (await report()).servers['server']?.verdict
    const { session } = await connect(harness)
    expect(await verdict()).toEqual({ state: 'nothing-offered', because: null, span: 'hour' })
    await resumeElsewhere(harness, session)
    expect(await verdict()).toEqual({ state: 'not-resuming', because: 'server-name-mismatch', span: 'now' })
    await connect(harness, session)
    expect(await verdict()).toEqual({
      state: 'resuming-in-part',
      because: 'server-name-mismatch',
      span: 'now',
    })
    for (let count = 0; count < 8; count++) await connect(harness, session)
    expect(await verdict()).toEqual({ state: 'resuming', because: null, span: 'now' })
    vi.advanceTimersByTime(120_000)
    await connect(harness)
    expect(await verdict()).toEqual({ state: 'resuming', because: null, span: 'hour' })
    harness.attachment.enabled = false
    expect((await verdict())?.state).toBe('disabled')
  })

  test('says of a store that keeps nothing that this is why nobody resumes', async () => {
    const full = () => Promise.reject(new Error('OOM command not allowed'))
    const guard = guarded({
      ...{
        confidentiality: 'in-process',
        get: async () => undefined,
        take: async () => undefined,
        set: full,
      },
      ...{
        delete: () => undefined,
        getMarks: () => undefined,
        addMarks: () => undefined,
        close: () => undefined,
      },
    })
    const context = { sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL }
    const harness = await start({ ...TLS13, context: { ...context, ...storeCallbacks(guard) } })
    const report = await ask({ attachments: { shop: harness.attachment }, stores: { sessions: guard } })
    let session: Buffer | undefined
    for (let visit = 0; visit < 5; visit++) ({ session } = await connect(harness, session))
    const { servers, stores } = await report()
    expect(servers['shop']?.verdict).toMatchObject({ state: 'not-resuming', because: 'store-failed' })
    expect(servers['shop']?.now.unstored).toBeGreaterThan(0)
    expect(Object.keys(harness.attachment.stats.notKept)).toContain('store-failed')
    expect(stores['sessions']).toMatchObject({
      breaker: 'open',
      breakers: { reads: 'closed', writes: 'open', removals: 'closed' },
      failedCalls: 5,
      failedWrites: 5,
    })
    expect(stores['sessions']?.minutes.at(-1)).toMatchObject({ failedWrites: 5 })
  })

  test('has stateless tickets, made and offered, and where their keys are in time', async () => {
    const harness = await startTicketed()
    const report = await ask({ attachments: { shop: harness.attachment } })
    const { session } = await connect(harness)
    await connect(harness, session)
    const { keys } = harness.attachment.stats.tickets ?? {}
    const tickets = (await report()).servers['shop']?.tickets
    expect(tickets).toEqual({
      sealed: 3,
      offered: { opened: 1, 'unknown-key': 0, altered: 0, unreadable: 0 },
      keys: { ...keys, timeLeftSec: expect.any(Number) },
    })
    expect(JSON.stringify(await report())).not.toContain(shown(SECRET, 'hex'))
  })

  test('of a context alone is what the model decides', async () => {
    const fixture = testContext(STATEFUL)
    const report = await ask({ contexts: { model: fixture.context } })
    const { session } = serve(fixture, offer12())
    serve(fixture, offer12(session?.sessionId))
    serve(fixture, offer12(idOf(9)))
    const { now, notKept, pendingWrites, tickets, counters } = (await report()).servers['model'] ?? {}
    expect(now).toMatchObject({
      handshakes: { resumed: 1, full: 2, failed: 0 },
      protocols: { 'TLSv1.2': { resumed: 1, full: 2, failed: 0 } },
      reasons: { 'not-offered': 1, internal: 1, 'not-found': 1 },
      offered: 2,
    })
    expect([notKept, pendingWrites, tickets]).toEqual([null, null, null])
    expect(counters).toMatchObject({ hits: 1, misses: 1, acceptGood: 3 })
  })

  test('counts what ends a handshake of a context as failed', async () => {
    const fixture = testContext(STATEFUL)
    const report = await ask({ contexts: { server: fixture.context } })
    fixture.context.addSession(makeSession(1))
    serve(fixture, { ...offer12(idOf(1)), cipherSuites: [] })
    expect((await report()).servers['server']?.now).toMatchObject({
      handshakes: { resumed: 0, full: 0, failed: 1 },
      reasons: { 'cipher-not-offered': 1 },
      rate: null,
    })
  })

  test('has several servers under whatever names they are given', async () => {
    const { attachment } = await start(TLS13)
    const report = await ask({ attachments: { kind: attachment }, contexts: { contexts: new SslContext() } })
    expect(Object.keys((await report()).servers)).toEqual(['contexts', 'kind'])
  })

  test('has the time left of the session that would be evicted next, and none of an empty cache', async () => {
    const context = new SslContext({ now: () => 1_000_000 })
    const report = await ask({ contexts: { server: context } })
    const timeLeft = async (): Promise<unknown> =>
      (await report()).servers['server']?.cache?.oldestTimeLeftSec
    expect(await timeLeft()).toBe(null)
    const session = SslSession.fromDer(V2)
    session.setTime(990)
    session.setTimeout(60)
    context.addSession(session)
    expect(await timeLeft()).toBe(50)
  })
})

describe('statusHandler', () => {
  test('answers GET and HEAD, and nothing else', async () => {
    const url = await mount(NOBODY)
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const { status, headers } = await fetch(url, { method })
      expect([method, status, headers.get('allow')]).toEqual([method, 405, 'GET, HEAD'])
    }
    const [get, head] = [await fetch(url), await fetch(url, { method: 'HEAD' })]
    expect([get.status, head.status]).toEqual([200, 200])
    expect(await head.text()).toBe('')
    for (const name of ['content-type', 'content-security-policy', 'cache-control'])
      expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)])
  })

  test('is kept by no cache, and taken for nothing else than it is', async () => {
    const url = await mount(NOBODY)
    for (const query of ['', '?format=json']) {
      const { headers } = await fetch(url + query)
      expect([
        headers.get('cache-control'),
        headers.get('x-content-type-options'),
        headers.get('vary'),
      ]).toEqual(['no-store', 'nosniff', 'Accept'])
    }
  })

  test('forbids with its policy all but its own script, style and address', async () => {
    const policy = (await fetch(await mount(NOBODY))).headers.get('content-security-policy')
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'sha256-[\w+/]{43}='; style-src 'sha256-[\w+/]{43}='; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'$/,
    )
  })

  test.each([
    ['', 'text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8', 'text/html; charset=utf-8'],
    ['', '*/*', 'text/html; charset=utf-8'],
    ['', 'application/json', 'application/json'],
    ['?format=json', 'text/html', 'application/json'],
    ['?a=1&format=json', '*/*', 'application/json'],
    ['?format=html', 'application/json', 'application/json'],
  ])('answers %j with Accept: %s as %s', async (query, accept, type) => {
    const url = await mount(NOBODY)
    expect((await fetch(url + query, { headers: { accept } })).headers.get('content-type')).toBe(type)
  })

  test.each(['//', '//[', '/%', '/?%ff=%', 'http://[/', '*'])(
    'takes the address %s as any other',
    async (path) => {
      const request = http.get({ host: '127.0.0.1', port: new URL(await mount(NOBODY)).port, path })
      const [response] = (await once(request, 'response')) as [http.IncomingMessage]
      response.resume()
      expect(response.statusCode).toBe(200)
    },
  )

  test('is a handler of http2 servers too', async () => {
    const handler = statusHandler(NOBODY)
    afterTest(handler.close)
    const client = http2.connect(`http://127.0.0.1:${await listen(http2.createServer(handler))}`)
    afterTest(() => client.destroy())
    const request = client.request({ ':path': '/', accept: 'application/json' })
    const [headers] = (await once(request, 'response')) as [http2.IncomingHttpHeaders]
    expect([headers[':status'], headers['content-type']]).toEqual([200, 'application/json'])
  })

  test('shows no session, id or server name', async () => {
    const guard = guarded(new MemoryStore())
    const harness = await start({ ...TLS12, context: storeCallbacks(guard) })
    const url = await mount({ attachments: { shop: harness.attachment }, stores: { memory: guard } })
    const { session } = await connect(harness)
    await resumeElsewhere(harness, session)
    const texts = [await (await fetch(url)).text(), await (await fetch(`${url}?format=json`)).text()]
    const sessions = [...harness.context.sessions()].map((one) => decodeSslSession(one.toDer()))
    expect(sessions).toHaveLength(2)
    const bytes = sessions.flatMap(({ sessionId, masterKey }) => [
      Buffer.from(sessionId),
      Buffer.from(masterKey),
    ])
    const secrets = [
      NAME,
      'other.example',
      ...bytes.flatMap((one) => [shown(one, 'hex'), shown(one, 'base64')]),
    ]
    for (const text of texts) expect(secrets.filter((secret) => text.includes(secret))).toEqual([])
  })

  test('does nothing more once it is closed, by name or by using', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const listeners = new Set<unknown>()
    const context = new SslContext()
    const { subscribe } = context
    context.subscribe = (listener) => {
      listeners.add(listener)
      const end = subscribe.call(context, listener)
      return () => {
        listeners.delete(listener)
        end()
      }
    }
    const handler = statusHandler({ contexts: { context }, stores: { memory: guarded(new MemoryStore()) } })
    expect([vi.getTimerCount(), listeners.size]).toEqual([1, 1])
    handler.close()
    expect([vi.getTimerCount(), listeners.size]).toEqual([0, 0])
    const other = statusHandler({ contexts: { context } })
    other[Symbol.dispose]()
    expect([vi.getTimerCount(), listeners.size]).toEqual([0, 0])
  })
})

test('the status page has words for every reason', () => {
  const { words, notKept } = JSON.parse(STATUS_WORDS) as Record<'words' | 'notKept' | 'ofClients', object>
  expect(Object.keys(words)).toEqual(Object.keys(HANDSHAKE_REASONS))
  expect(Object.keys(notKept)).toEqual(Object.keys(NOT_KEPT_REASONS))
  expect(STATUS_WORDS).not.toMatch(/[`*\]]\(|`|</)
})
