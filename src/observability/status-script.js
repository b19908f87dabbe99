// What the status page runs in the browser. The build puts it into the page, with what it draws with; its types are checked with the
// others.

/** @import { Minute, ServerStatus, Span, StatusReport, StatusVerdict } from './status-report.ts' */
/** @import { Figure, Key } from './status-drawing.js' */
/** @typedef {Readonly<Record<string, string>>} Words */

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
  legend,
  niceTop,
  percent,
  rateOf,
  section,
  svg,
  table,
  tile,
  verdictCard,
  viewOf,
  whole,
} from './status-drawing.js'
import { showAlarms, showStore, storeViews } from './status-stores.js'

/** @type {{ readonly words: Words, readonly notKept: Words, readonly resumed: readonly string[] }} */
const { words, notKept, resumed: resumedReasons } = JSON.parse(find('#words').textContent ?? '')
const PERIOD_MS = 2000
const state = find('#state')
const scope = find('#scope')

/** @type {Map<string, string>} */
const colours = new Map()

/**
 * A reason keeps its colour for as long as the page is open.
 *
 * @param {string} reason
 */
function colourOf(reason) {
  if (resumedReasons.includes(reason)) return reason === 'internal' ? 's0' : 's0-soft'
  if (reason === 'not-offered') return 'rest'
  const colour = colours.get(reason) ?? `s${1 + (colours.size % 5)}`
  colours.set(reason, colour)
  return colour
}

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

/** @type {Readonly<Record<StatusVerdict['state'], readonly [className: string, headline: string]>>} */
const HEADLINES = {
  resuming: ['good', '✓ Resuming'],
  'resuming-in-part': ['fair', '! Resuming in part'],
  'not-resuming': ['bad', '✕ Not resuming'],
  'nothing-offered': ['', '– Nobody offers a session'],
  idle: ['', '– No handshakes'],
  disabled: ['bad', '✕ Switched off'],
}

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
function tilesOf({ now, hour, cache }) {
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
  const known = Object.entries(total.reasons).sort(
    ([one, left], [other, right]) => (hour.reasons[other] ?? 0) - (hour.reasons[one] ?? 0) || right - left,
  )
  const why = known.map(([reason, count]) => [
    ...[html('code', '', reason), words[reason] ?? ''],
    ...[now.reasons[reason] ?? 0, hour.reasons[reason] ?? 0, count],
  ])
  const whyHead = ['Reason', 'What it means', 'Now', 'Last hour', 'In all']
  parts.why.replaceChildren(table('Why handshakes resumed, and why not', whyHead, why))
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

const DASHES = ['', '6 3', '2 3', '8 3 2 3']
const CURVES = ['s0', 's5', 's2', 's3']

/**
 * @param {Figure} figure
 * @param {Span} hour
 * @param {readonly Minute[]} minutes
 */
function showRates({ host, keys }, hour, minutes) {
  const protocols = Object.entries(hour.protocols).sort(([one], [other]) => (one < other ? 1 : -1))
  const rates = protocols.map(([protocol, counts]) => `${protocol}: ${percent(rateOf(counts))}`)
  const label = `Resumption rate, ${lastOf(hour)}. ${rates.join(', ')}`
  chart(host, label, { top: 1, text: '100 %' }, minutes.length, (drawing, x, y, step) => {
    protocols.forEach(([protocol], index) => {
      const points = minutes.map((minute, at) => {
        const counts = minute.protocols[protocol]
        const rate = counts === undefined ? null : rateOf(counts)
        const text = `${clock(minute.time)} ${protocol}: ${percent(rate)}`
        return rate === null ? undefined : { x: x(at) + step / 2, y: y(rate), text }
      })
      curve(drawing, points, CURVES[index % 4] ?? '', DASHES[index % 4])
    })
  })
  /** @type {Key[]} */
  const entries = rates.map((rate, index) => [
    CURVES[index % 4] ?? '',
    `${rate} in the ${lastOf(hour)}`,
    DASHES[index % 4] ?? '',
  ])
  legend(keys, entries)
}

/**
 * @param {Figure} figure
 * @param {Span} hour
 * @param {readonly Minute[]} minutes
 */
function showReasons({ host, keys }, hour, minutes) {
  const isResumed = (/** @type {string} */ reason) => Number(resumedReasons.includes(reason))
  const reasons = Object.entries(hour.reasons).sort(
    ([one, left], [other, right]) => isResumed(other) - isResumed(one) || right - left,
  )
  const totals = minutes.map((minute) => Object.values(minute.reasons).reduce((sum, count) => sum + count, 0))
  const label = `Handshakes, ${lastOf(hour)}. ${reasons.map(([reason, count]) => `${reason}: ${count}`).join(', ')}`
  chart(host, label, niceTop(totals), minutes.length, (drawing, x, y, step) => {
    minutes.forEach((minute, at) => {
      let below = 0
      for (const [reason] of reasons) {
        const count = minute.reasons[reason] ?? 0
        if (count === 0) continue
        const place = {
          x: x(at) + 1,
          width: Math.max(1, step - 2),
          y: y(below + count),
          height: y(below) - y(below + count),
        }
        const title = svg('title', {}, `${clock(minute.time)} ${reason}: ${count}`)
        drawing.append(svg('rect', { ...place, class: `mark ${colourOf(reason)}` }, title))
        below += count
      }
    })
  })
  /** @type {Key[]} */
  const entries = reasons.map(([reason]) => [colourOf(reason), reason])
  legend(keys, entries)
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
  forget(storeViews, report.stores)
  for (const [name, server] of Object.entries(report.servers)) showServer(name, server)
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
