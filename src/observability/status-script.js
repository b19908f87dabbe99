// What the status page runs in the browser. The build puts it into the page, with the other files of it; their types are checked as all
// others are.

/** @import { Minute, ServerStatus, Span, StatusReport, StatusVerdict } from './status-report.ts' */
/** @import { Figure } from './status-drawing.js' */

import { clientsViews, showClients } from './status-client-views.js'
import {
  announce,
  bar,
  chart,
  clock,
  curve,
  details,
  duration,
  figure,
  find,
  forget,
  html,
  lastOf,
  niceTop,
  percent,
  rateOf,
  section,
  table,
  tile,
  verdictCard,
  viewOf,
  whole,
} from './status-drawing.js'
import { HEADLINES, notKept, reasonRows, showRates, showReasons, WHY_HEAD, words } from './status-reasons.js'
import { showAlarms, showStore, storeViews } from './status-stores.js'

const PERIOD_MS = 2000
const state = find('#state')
const scope = find('#scope')

/** @param {string} name */
function serverView(name) {
  const parts = {
    verdict: verdictCard(),
    tiles: html('div', 'tiles'),
    rates: figure('Resumed share of all handshakes, by protocol'),
    reasons: figure('Handshakes a minute, by reason'),
    sessions: figure('Sessions in the internal cache'),
    why: html('div', 'card'),
    minutes: details('The charts as a table'),
    counters: details("OpenSSL's counters"),
    notKept: details('Sessions that were made and not kept'),
  }
  const tables = html('div', 'card', parts.minutes.card, parts.notKept.card, parts.counters.card)
  const made = section(
    name,
    parts.verdict.card,
    parts.tiles,
    html('div', 'grid', parts.rates.card, parts.reasons.card),
    parts.why,
    html('div', 'grid', parts.sessions.card, tables),
  )
  return { ...parts, section: made }
}

/** @type {Map<string, ReturnType<typeof serverView>>} */
const serverViews = new Map()

/**
 * @param {StatusVerdict} verdict
 * @param {Span} span
 */
function explain({ state: verdict, because }, span) {
  const { resumed, full } = span.handshakes
  const last = lastOf(span)
  if (verdict === 'disabled') return `${words['disabled']} Nothing is looked up, and nothing is kept.`
  if (verdict === 'idle') return `None was completed in the ${last}.`
  if (verdict === 'nothing-offered')
    return `${whole(resumed + full)} handshakes in the ${last}, all of clients that are new or keep no sessions.`
  const share = percent(resumed / span.offered)
  const what = `${share} of those who offered a session: ${whole(resumed)} of ${whole(span.offered)}, ${last}.`
  if (because === null) return what
  return `${what} Mostly because of ${because}: ${words[because] ?? notKept[because] ?? ''}`
}

/** @param {ServerStatus} server */
function tilesOf({ now, hour, cache, tickets }) {
  const completed = now.handshakes.resumed + now.handshakes.full
  const hourly = hour.handshakes.resumed + hour.handshakes.full
  const perSecond = now.seconds === 0 ? '–' : `${(completed / now.seconds).toFixed(1)} /s`
  return [
    tile('Resumed of all', percent(now.rate), html('span', 'soft', lastOf(now))),
    // Until then it is the same.
    ...(hour.seconds === now.seconds
      ? []
      : [
          tile(
            `The same, ${lastOf(hour)}`,
            percent(hour.rate),
            html('span', 'soft', `${whole(hour.handshakes.resumed)} of ${whole(hourly)}`),
          ),
        ]),
    tile(
      'Handshakes',
      perSecond,
      html('span', 'soft', `${whole(hour.handshakes.failed)} failed, ${lastOf(hour)}`),
    ),
    ...(cache === null ? [] : cacheTiles(cache)),
    ...(tickets === null ? [] : ticketTiles(tickets)),
  ]
}

/** @param {NonNullable<ServerStatus['cache']>} cache */
function cacheTiles({ sessions, size, oldestTimeLeftSec, timeoutSec }) {
  const fill = sessions / size
  const left = oldestTimeLeftSec === null ? null : Math.max(0, oldestTimeLeftSec)
  const timeLeft = 'Time left of the session that is evicted next, of the timeout'
  const leftBar = left === null || timeoutSec === 0 ? [] : [bar(timeLeft, left / timeoutSec)]
  return [
    tile(
      'Sessions cached',
      whole(sessions),
      size === 0
        ? html('span', 'soft', 'no limit')
        : html('span', 'soft', `of ${whole(size)}`, bar(`Cache fill: ${percent(fill)}`, fill)),
    ),
    tile(
      'Next to be evicted',
      left === null ? '–' : `${duration(left)} left`,
      html('span', 'soft', `timeout ${duration(timeoutSec)}`, ...leftBar),
    ),
  ]
}

/** @param {NonNullable<ServerStatus['tickets']>} tickets */
function ticketTiles({ sealed, offered, keys }) {
  const outcomes = Object.entries(offered).filter(([, count]) => count > 0)
  const told = outcomes.map(([outcome, count]) => `${whole(count)} ${outcome}`).join(', ')
  return [
    tile(
      'Tickets made',
      whole(sealed),
      html('span', 'soft', told === '' ? 'none was offered' : `offered: ${told}`),
    ),
    tile(
      'Keys of tickets',
      `${duration(keys.timeLeftSec)} left`,
      html('span', 'soft', `tickets of ${whole(keys.open)} periods open`),
    ),
  ]
}

/**
 * @param {string} name
 * @param {ServerStatus} server
 */
function showServer(name, server) {
  const parts = viewOf(serverViews, name, serverView)
  const { verdict, hour, minutes, cache } = server
  announce(parts.verdict, HEADLINES[verdict.state], explain(verdict, server[verdict.span]))
  parts.tiles.replaceChildren(...tilesOf(server))
  showRates(parts.rates, hour, minutes)
  showReasons(parts.reasons, hour, minutes)
  parts.sessions.card.hidden = cache === null
  if (cache !== null) showSessions(parts.sessions, cache.sessions, minutes)
  showTables(parts, server)
}

/**
 * @param {ReturnType<typeof serverView>} parts
 * @param {ServerStatus} server
 */
function showTables(parts, { total, now, hour, minutes, counters, notKept: lost }) {
  const why = reasonRows({ total, now, hour }, words)
  parts.why.replaceChildren(table('Why handshakes resumed, and why not', WHY_HEAD, why))
  const minuteHead = ['From', 'Resumed', 'Full', 'Failed', 'Rate', 'By protocol', 'Cached']
  const rows = [...minutes].reverse().map(minuteRow)
  parts.minutes.host.replaceChildren(table('Each minute, the last one first', minuteHead, rows))
  const counted = table(
    'As SSL_CTX_sess_number(3) describes them',
    ['Counter', 'Value'],
    Object.entries(counters),
  )
  parts.counters.host.replaceChildren(counted)
  const losses = Object.entries(lost ?? {}).map(([reason, count = 0]) => [
    ...[html('code', '', reason), notKept[reason] ?? words[reason] ?? '', count],
  ])
  parts.notKept.card.hidden = losses.length === 0
  const lostHead = ['Reason', 'What it means', 'In all']
  parts.notKept.host.replaceChildren(table('Since the server was attached', lostHead, losses))
}

/** @param {Minute} minute */
function minuteRow({ time, handshakes, rate, protocols, sessions }) {
  const byProtocol = Object.entries(protocols).map(
    ([protocol, counts]) => `${protocol} ${percent(rateOf(counts))}`,
  )
  const { resumed, full, failed } = handshakes
  return [clock(time), resumed, full, failed, percent(rate), byProtocol.join(', '), sessions]
}

/**
 * @param {Figure} figure
 * @param {number} sessions
 * @param {readonly Minute[]} minutes
 */
function showSessions({ host, keys }, sessions, minutes) {
  const scale = niceTop(minutes.map((minute) => minute.sessions))
  chart(
    host,
    `Sessions in the internal cache. Now: ${sessions}`,
    scale,
    minutes.length,
    (drawing, x, y, step) => {
      const points = minutes.map((minute, at) => ({
        ...{ x: x(at) + step / 2, y: y(minute.sessions) },
        text: `${clock(minute.time)}: ${minute.sessions}`,
      }))
      curve(drawing, points, 's0', '')
    },
  )
  keys.replaceChildren()
}

/** @param {StatusReport['process']} process */
function scopeOf({ host, pid, worker, processes }) {
  if (processes !== null && processes > 1) return `${processes} processes of the cluster on ${host}, added up`
  if (worker === null) return `Process ${pid} on ${host}`
  if (processes === 1) return `Worker ${worker}, the only one of the cluster on ${host}`
  return `Worker ${worker} alone, process ${pid} on ${host}: relayStatus() in the primary process of the cluster shows all`
}

/** @type {StatusReport | undefined} */
let shown

/** @param {StatusReport} report */
function show(report) {
  shown = report
  scope.textContent = scopeOf(report.process)
  showAlarms(report.stores)
  forget(serverViews, report.servers)
  forget(clientsViews, report.clients)
  forget(storeViews, report.stores)
  for (const [name, server] of Object.entries(report.servers)) showServer(name, server)
  for (const [name, clients] of Object.entries(report.clients)) showClients(name, clients)
  for (const [name, store] of Object.entries(report.stores)) showStore(name, store)
}

/** @param {StatusReport} report */
function asOf({ time }) {
  return `As of ${new Date(time).toLocaleTimeString()}`
}

async function update() {
  try {
    const signal = AbortSignal.timeout(10_000)
    const answer = await fetch(location.href, { headers: { accept: 'application/json' }, signal })
    if (!answer.ok) throw new Error(`HTTP status ${answer.status}`)
    /** @type {StatusReport} */
    const report = await answer.json()
    show(report)
    state.textContent = asOf(report)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    state.textContent = `Not up to date: ${why}${shown === undefined ? '' : `. ${asOf(shown)}`}`
  }
}

/** One at a time, and none for a page that nobody sees. */
async function keepUpdating() {
  if (!document.hidden) await update()
  setTimeout(keepUpdating, PERIOD_MS)
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void update()
})
addEventListener('resize', () => {
  if (shown !== undefined) show(shown)
})
void keepUpdating()
