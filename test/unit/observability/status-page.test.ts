import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type http from 'node:http'
import https from 'node:https'
import express from 'express'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { derOf, sessionForNode } from '../../../src/client/session-format.ts'
import {
  type GuardedStore,
  guarded,
  KeyRing,
  MemoryStore,
  type SessionStore,
  storeCallbacks,
} from '../../../src/index.ts'
import { type StatusHandler, statusHandler } from '../../../src/observability/status-handler.ts'
import { HANDSHAKE_REASONS } from '../../../src/session/reasons.ts'
import { launchChromium, missingChromium, openPage, type WatchedPage } from '../../tools/browser.ts'
import { afterTest, type Harness, NAME, NO_INTERNAL, start } from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'

const OTHER_NAME = 'other.example'

let browser: Browser | undefined
beforeAll(async () => {
  if (missingChromium === undefined) browser = await launchChromium(NAME)
})
afterAll(() => browser?.close())

async function open(url: string): Promise<WatchedPage> {
  if (browser === undefined) throw new Error('there is no browser')
  const watched = await openPage(browser, url)
  watched.page.setDefaultTimeout(15_000)
  // The browser may have been closed before.
  afterTest(
    () =>
      void watched.page
        .context()
        .close()
        .catch(() => undefined),
  )
  return watched
}

interface Site extends Harness {
  readonly url: string
  readonly guard: GuardedStore
}

interface SiteOptions {
  readonly store?: SessionStore
  readonly name?: string
  /** Stateless ones. */
  readonly hasTickets?: boolean
  /** What the handler is mounted on; by default it is what answers. */
  readonly mount?: (handler: StatusHandler) => http.RequestListener
}

/** An https server with a context attached, that shows its own status, and says hello to those who want something else. */
async function serveStatus({
  store = new MemoryStore(),
  name = 'shop',
  hasTickets = false,
  mount = (handler) => handler,
}: SiteOptions = {}): Promise<Site> {
  const guard = guarded(store, { breaker: { failures: 1, retryAfterMs: 600_000 } })
  let show: http.RequestListener | undefined
  const harness = await start({
    context: storeCallbacks(guard),
    ...(hasTickets && { attach: { tickets: { keyRing: new KeyRing([randomBytes(32)]) } } }),
    make: (options) =>
      https.createServer(options, (request, response) => {
        if (request.url?.startsWith('/status')) show?.(request, response)
        else response.end('hello')
      }),
  })
  const handler = statusHandler({ attachments: { [name]: harness.attachment }, stores: { memory: guard } })
  show = mount(handler)
  afterTest(handler.close)
  afterTest(() => (harness.server as https.Server).closeAllConnections())
  return { ...harness, guard, url: `https://${NAME}:${harness.port}/status` }
}

/** One request on a connection of its own. */
async function visit({ port }: Site, session?: Buffer, servername = NAME): Promise<Buffer | undefined> {
  const request = https.get({
    ...{ host: '127.0.0.1', port, servername, agent: false, rejectUnauthorized: false },
    // Later lines of Node would pass over the session of another name.
    ...(session && { session: sessionForNode(derOf(session), { servername }) }),
  })
  let latest: Buffer | undefined
  request.on('socket', (socket) =>
    socket.on('session', (value: Buffer) => {
      latest = value
    }),
  )
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  response.resume()
  await once(response, 'close')
  return latest
}

/** Waits until the row of a reason tells how often it was: now, in the last hour, in all. */
async function waitForRow(page: Page, reason: string, meaning: string, count: number): Promise<void> {
  await page
    .getByRole('row', { name: `${reason} ${meaning} ${count} ${count} ${count}`, exact: true })
    .waitFor()
}

const INTERNAL = 'Resumed: the session was in the internal cache.'
const MISMATCH = HANDSHAKE_REASONS['server-name-mismatch'].means

describe('the status page', () => {
  peerTest(
    'says that clients resume, and how many, and updates itself when that changes',
    missingChromium,
    async () => {
      const site = await serveStatus()
      const session = await visit(site)
      await visit(site, session)
      const { page } = await open(site.url)
      await page.getByRole('status').getByText('✓ Resuming').first().waitFor()
      await page.getByText('100 % of those who offered a session: 1 of 1').waitFor()
      await waitForRow(page, 'internal', INTERNAL, 1)
      for (let count = 0; count < 3; count++) await visit(site, session)
      await page.getByText('100 % of those who offered a session: 4 of 4').waitFor()
      await waitForRow(page, 'internal', INTERNAL, 4)
    },
  )

  peerTest('says that they do not, and why not, in plain words', missingChromium, async () => {
    const site = await serveStatus()
    const session = await visit(site)
    await visit(site, session, OTHER_NAME)
    const { page } = await open(site.url)
    await page.getByText('✕ Not resuming').waitFor()
    await page.getByText(`Mostly because of server-name-mismatch: ${MISMATCH}`).waitFor()
    await waitForRow(page, 'server-name-mismatch', MISMATCH, 1)
    await visit(site, session)
    await page.getByText('! Resuming in part').waitFor()
    site.attachment.enabled = false
    await page.getByText('✕ Switched off').waitFor()
  })

  peerTest('needs nothing but its own address, and breaks no policy', missingChromium, async () => {
    const site = await serveStatus()
    const { page, requests, complaints } = await open(site.url)
    await page.getByText('As of').waitFor()
    await page.waitForResponse(site.url)
    expect(new Set(requests)).toEqual(new Set([site.url]))
    expect(complaints).toEqual([])
  })

  peerTest(
    'works in an app with a strict Content-Security-Policy, wherever it is mounted',
    missingChromium,
    async () => {
      const site = await serveStatus({
        mount(handler) {
          const app = express()
          app.use((_request, response, next) => {
            response.setHeader('Content-Security-Policy', "default-src 'self'; script-src 'self'")
            next()
          })
          app.use('/status/tls', handler)
          return app as http.RequestListener
        },
      })
      const url = `${site.url}/tls?token=1`
      const { page, requests, complaints } = await open(url)
      await page.getByText('As of').waitFor()
      expect([new Set(requests), complaints]).toEqual([new Set([url]), []])
    },
  )

  peerTest('is not for scripts of others: none that is put into it runs', missingChromium, async () => {
    const site = await serveStatus({
      name: '<img src=x onerror="document.title=1"><script>document.title=2</script>',
    })
    const { page, complaints } = await open(site.url)
    await page.getByRole('heading', { name: '<img src=x onerror="document.title=1"' }).waitFor()
    expect(complaints).toEqual([])
    await expect(page.addScriptTag({ content: 'document.title = 3' })).rejects.toThrow()
    expect(await page.title()).toBe('TLS session resumption')
  })

  peerTest('shows a store that has failed', missingChromium, async () => {
    const memory = new MemoryStore()
    const down = (): never => {
      throw new Error('down')
    }
    const site = await serveStatus({
      store: {
        ...{ confidentiality: 'in-process', get: down, set: down, take: down, delete: down },
        ...{ getMarks: () => undefined, addMarks: () => undefined, close: () => memory.close() },
      },
    })
    await expect(site.guard.get(Uint8Array.of(1))).rejects.toThrow('down')
    const { page } = await open(site.url)
    await page.getByText('✕ Not asked: it has failed').waitFor()
    await page.getByText(/Breakers: reads open, .* calls failed in the last hour/).waitFor()
  })

  peerTest('shows a store that answers, and keeps nothing', missingChromium, async () => {
    const memory = new MemoryStore()
    const full = (): never => {
      throw new Error('OOM')
    }
    const site = await serveStatus({
      store: {
        ...{
          confidentiality: 'in-process',
          get: () => undefined,
          set: full,
          take: () => undefined,
          delete: full,
        },
        ...{ getMarks: () => undefined, addMarks: () => undefined, close: () => memory.close() },
      },
    })
    await visit(site)
    const { page } = await open(site.url)
    await page.getByText('✕ It answers, but keeps nothing new').waitFor()
    await page.getByText(/Breakers: reads closed, writes open, removals closed\. \d+ calls failed/).waitFor()
  })

  for (const [cause, error] of [
    ['ECONNREFUSED', Object.assign(new Error('connect failed'), { code: 'ECONNREFUSED' })],
    ['OOM', new Error('OOM command not allowed when used memory > maxmemory')],
  ] as const)
    peerTest(`says first that a store fails, and why: ${cause}`, missingChromium, async () => {
      const fail = (): never => {
        throw new Error('redis set failed', { cause: error })
      }
      const memory = new MemoryStore()
      const site = await serveStatus({
        store: {
          ...{ confidentiality: 'in-process', get: () => undefined, set: fail, take: fail, delete: fail },
          ...{ getMarks: () => undefined, addMarks: () => undefined, close: () => memory.close() },
        },
      })
      await visit(site)
      const { page } = await open(site.url)
      await page
        .getByRole('alert')
        .getByText(`Store memory: ${cause}. It answers, but keeps nothing new`)
        .waitFor()
      await page.getByText(`The last one: ${cause}, at `).waitFor()
    })

  peerTest(
    'shows no internal cache where there is none: sessions are in the store',
    missingChromium,
    async () => {
      const site = await serveStatus()
      site.context.setSessionCacheMode(NO_INTERNAL)
      await visit(site)
      const { page } = await open(site.url)
      await page.getByText('Resumed of all').waitFor()
      expect(await page.getByText('Sessions cached').count()).toBe(0)
      expect(await page.getByText('Sessions in the internal cache', { exact: true }).isVisible()).toBe(false)
    },
  )

  peerTest(
    'shows stateless tickets and the time of their keys where there are any, and nothing of them elsewhere',
    missingChromium,
    async () => {
      const site = await serveStatus({ hasTickets: true })
      await visit(site, await visit(site))
      const { page } = await open(site.url)
      await page.getByText('Tickets made').waitFor()
      // The browser brings tickets, too.
      await page.getByText(/^offered: \d+ opened$/).waitFor()
      await page.getByText(/^tickets of \d+ periods open$/).waitFor()
      await page.getByText(/^\d+ (s|min) left$/).waitFor()
      const other = await open((await serveStatus()).url)
      await other.page.getByText('Resumed of all').waitFor()
      expect(await other.page.getByText('Tickets made').count()).toBe(0)
    },
  )

  peerTest(
    'says whose figures it shows, and claims no hour that has not passed',
    missingChromium,
    async () => {
      const site = await serveStatus()
      await visit(site)
      const { page } = await open(site.url)
      await page.getByText(`Process ${process.pid} on `).waitFor()
      await page.getByText('Resumed of all').waitFor()
      expect(await page.getByText('The same, last').count()).toBe(0)
      expect(await page.getByText('10 min ago').count()).toBe(4)
      expect(await page.getByText('1 h ago').count()).toBe(0)
    },
  )

  peerTest('says when its figures are not up to date', missingChromium, async () => {
    const site = await serveStatus()
    const { page } = await open(site.url)
    await page.getByText('As of').waitFor()
    site.server.close()
    ;(site.server as https.Server).closeAllConnections()
    await page.getByText('Not up to date').waitFor()
  })

  peerTest(
    'has each chart as a table too, and names for those who do not see them',
    missingChromium,
    async () => {
      const site = await serveStatus()
      await visit(site, await visit(site))
      const { page } = await open(site.url)
      await page.getByRole('img', { name: /^Resumption rate, last \d+ s\. TLSv1\.3: / }).waitFor()
      await page
        .getByRole('img', { name: /^Handshakes, last \d+ s\. internal: 1, not-offered: \d/ })
        .waitFor()
      await page.getByText('The charts as a table').click()
      // It does not fold up when the figures are new.
      await page.waitForResponse(site.url)
      await page.waitForResponse(site.url)
      const table = page.getByRole('table', { name: 'Each minute, the last one first' })
      expect(await table.getByRole('columnheader').allTextContents()).toEqual([
        ...['From', 'Resumed', 'Full', 'Failed', 'Rate', 'By protocol', 'Cached'],
      ])
      expect(await page.locator('svg[role=img]:not([aria-label])').count()).toBe(0)
      expect(await page.locator('svg:not([role=img]):not([aria-hidden])').count()).toBe(0)
    },
  )

  peerTest('is light or dark as its reader likes it, and fits on a phone', missingChromium, async () => {
    const site = await serveStatus()
    await visit(site, await visit(site))
    const { page } = await open(site.url)
    await page.getByText('✓ Resuming').waitFor()
    const colours = (): Promise<unknown> =>
      page.evaluate(
        '[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]',
      )
    await page.emulateMedia({ colorScheme: 'light' })
    expect(await colours()).toEqual(['rgb(244, 244, 242)', 'rgb(27, 27, 26)'])
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await colours()).toEqual(['rgb(19, 19, 18)', 'rgb(240, 240, 236)'])
    await page.setViewportSize({ width: 360, height: 700 })
    await page.waitForResponse(site.url)
    await page.getByText('As of').waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
  })
})
