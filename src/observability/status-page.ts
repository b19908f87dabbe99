import { CLIENT_REASONS } from '../session/client-reasons.ts'
import { HANDSHAKE_REASONS, NOT_KEPT_REASONS, type ReasonRow } from '../session/reasons.ts'

const ROWS: Readonly<Record<string, ReasonRow>> = HANDSHAKE_REASONS

/** The tables are in Markdown; the page shows plain text. */
function plain(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '')
}

function words(rows: Readonly<Record<string, { readonly means: string }>>): Record<string, string> {
  return Object.fromEntries(Object.entries(rows).map(([name, { means }]) => [name, plain(means)]))
}

/** Whether it is a reason of a full handshake whose client had something to resume. */
export function isRefusal(reason: string): boolean {
  return Object.hasOwn(ROWS, reason) && ROWS[reason]?.isRefusal === true
}

export const STATUS_STYLE: string = `
:root {
  color-scheme: light dark;
  --surface: #fff; --page: #f4f4f2; --ink: #1b1b1a; --soft: #5d5d59; --line: #d9d9d4;
  --good: #0b7a3e; --fair: #9a5b00; --bad: #c02626; --calm: #5d5d59;
  --s0: #2a78d6; --s0-soft: #86b6ef; --s1: #e06a2c; --s2: #169b6b; --s3: #c98a00; --s4: #cf5b95; --s5: #5a49b8; --rest: #9a9a94;
}
@media (prefers-color-scheme: dark) {
  :root {
    --surface: #1e1e1d; --page: #131312; --ink: #f0f0ec; --soft: #a9a9a2; --line: #3a3a37;
    --good: #4cc07f; --fair: #e0a33f; --bad: #f07171; --calm: #a9a9a2;
    --s0: #4a92ea; --s0-soft: #2a5b98; --s1: #e07a45; --s2: #2fae80; --s3: #d39b22; --s4: #dd6b9f; --s5: #9488e8; --rest: #7c7c76;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1rem; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header, main { max-width: 62rem; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; justify-content: space-between; }
h1 { font-size: 1.15rem; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; margin: 1.25rem 0 .5rem; }
h3 { font-size: .9rem; margin: 0 0 .4rem; }
p { margin: 0; }
.soft, caption, figcaption { color: var(--soft); font-size: .85rem; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; margin: 0 0 .75rem; min-width: 0; }
.verdict { border-left: 6px solid var(--calm); }
.verdict strong { display: block; font-size: 1.3rem; color: var(--calm); }
.good { border-left-color: var(--good); } .good strong { color: var(--good); }
.fair { border-left-color: var(--fair); } .fair strong { color: var(--fair); }
.bad { border-left-color: var(--bad); } .bad strong { color: var(--bad); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 .75rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; margin: 0 0 .75rem; }
.tile { margin: 0; } .tile b { display: block; font-size: 1.4rem; font-weight: 600; }
figure { margin: 0; } svg { display: block; width: 100%; overflow: visible; }
svg text { fill: var(--soft); font-size: 11px; } .rule { stroke: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .4rem 0 0; padding: 0; list-style: none; font-size: .85rem; }
.legend svg { display: inline; width: 18px; height: 10px; margin-right: .3rem; }
.curve { fill: none; stroke-width: 2; } .mark { stroke-width: 0; }
.s0 { fill: var(--s0); stroke: var(--s0); } .s0-soft { fill: var(--s0-soft); stroke: var(--s0-soft); } .s1 { fill: var(--s1); stroke: var(--s1); } .s2 { fill: var(--s2); stroke: var(--s2); }
.s3 { fill: var(--s3); stroke: var(--s3); } .s4 { fill: var(--s4); stroke: var(--s4); } .s5 { fill: var(--s5); stroke: var(--s5); }
.rest { fill: var(--rest); stroke: var(--rest); } .curve.s0, .curve.s1, .curve.s2, .curve.s3, .curve.s4, .curve.s5 { fill: none; }
.track { fill: var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-top: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
@media (min-width: 40rem) { th { white-space: nowrap; } }
details { margin-top: .5rem; } summary { cursor: pointer; color: var(--soft); font-size: .85rem; }
code { font-size: .92em; overflow-wrap: anywhere; }
`

export const STATUS_SCRIPT: string = `
'use strict'
const WORDS = ${JSON.stringify(words(HANDSHAKE_REASONS))}
const NOT_KEPT = ${JSON.stringify(words(NOT_KEPT_REASONS))}
const CLIENT_WORDS = ${JSON.stringify(words(CLIENT_REASONS))}
const RESUMED = ${JSON.stringify(['resumed', ...Object.keys(ROWS).filter((name) => ROWS[name]?.kind === 'resumed')])}
const PERIOD_MS = 2000
const HEIGHT = 130
const LEFT = 34
const main = document.querySelector('main')
const state = document.querySelector('#state')
const views = new Map()

/* Text is only ever put in as text: names are the owner's. */
function html(name, className, ...children) {
  const element = document.createElement(name)
  if (className) element.className = className
  element.append(...children)
  return element
}
function svg(name, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}
const percent = (rate) => (rate === null ? '–' : Math.floor(rate * 100) + ' %')
const whole = (number) => number.toLocaleString('en')
const clock = (time) => new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
function duration(seconds) {
  if (seconds < 120) return seconds + ' s'
  if (seconds < 7200) return Math.round(seconds / 60) + ' min'
  return seconds < 172800 ? Math.round(seconds / 3600) + ' h' : Math.round(seconds / 86400) + ' days'
}
const rateOf = ({ resumed, full }) => (resumed + full === 0 ? null : resumed / (resumed + full))

/* A reason keeps its colour for as long as the page is open. */
const colours = new Map()
function colourOf(reason) {
  if (RESUMED.includes(reason)) return reason === 'internal' || reason === 'resumed' ? 's0' : 's0-soft'
  if (reason === 'not-offered' || reason === 'nothing-to-offer') return 'rest'
  if (!colours.has(reason)) colours.set(reason, 's' + (1 + (colours.size % 5)))
  return colours.get(reason)
}

function row(cells, head) {
  return html('tr', '', ...cells.map((cell, index) => {
    const made = html(head || index === 0 ? 'th' : 'td', typeof cell === 'number' ? 'number' : '', typeof cell === 'number' ? whole(cell) : cell)
    if (head || index === 0) made.scope = head ? 'col' : 'row'
    return made
  }))
}
function table(caption, head, rows) {
  return html('div', 'scroll', html('table', '', html('caption', '', caption), html('thead', '', row(head, true)), html('tbody', '', ...rows.map((cells) => row(cells)))))
}

/* An hour from left to right, as wide as there is room for; draw(x, y, step) puts the marks in. */
function chart(host, label, top, topLabel, minutes, draw) {
  const width = Math.max(host.clientWidth, 240)
  const step = (width - LEFT) / 60
  const x = (index) => width - (minutes.length - index) * step
  const y = (value) => HEIGHT - 18 - (value / top) * (HEIGHT - 30)
  const rule = (value, text) => [
    svg('line', { x1: LEFT, x2: width, y1: y(value), y2: y(value), class: 'rule' }),
    svg('text', { x: LEFT - 5, y: y(value) + 4, 'text-anchor': 'end' }, text),
  ]
  const drawing = svg('svg', { viewBox: '0 0 ' + width + ' ' + HEIGHT, height: HEIGHT, role: 'img', 'aria-label': label },
    ...rule(0, '0'), ...rule(top, topLabel),
    svg('text', { x: LEFT, y: HEIGHT - 4 }, '1 h ago'), svg('text', { x: width, y: HEIGHT - 4, 'text-anchor': 'end' }, 'now'))
  draw(drawing, x, y, step)
  host.replaceChildren(drawing)
}
function curve(drawing, points, className, dash) {
  const marks = points.map((point, index) => {
    if (!point) return undefined
    if (points[index - 1]) drawing.append(svg('line', { x1: points[index - 1].x, y1: points[index - 1].y, x2: point.x, y2: point.y, class: 'curve ' + className, 'stroke-dasharray': dash }))
    return svg('circle', { cx: point.x, cy: point.y, r: 2, class: 'mark ' + className }, svg('title', {}, point.text))
  })
  drawing.append(...marks.filter(Boolean))
}
function legend(host, entries) {
  host.replaceChildren(...entries.map(([className, text, dash]) => html('li', '',
    svg('svg', { viewBox: '0 0 18 10', 'aria-hidden': 'true' }, svg('line', { x1: 0, x2: 18, y1: 5, y2: 5, class: className, 'stroke-width': dash === undefined ? 8 : 2, 'stroke-dasharray': dash ?? '' })), text)))
}
function bar(label, share) {
  return svg('svg', { viewBox: '0 0 100 5', height: 8, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    svg('rect', { width: 100, height: 5, class: 'track' }), svg('rect', { width: Math.min(100, share * 100), height: 5, class: 'mark s0' }))
}
function niceTop(values) {
  const top = Math.max(1, ...values)
  const unit = 10 ** Math.floor(Math.log10(top))
  return [1, 2, 5, 10].map((factor) => factor * unit).find((nice) => nice >= top)
}

function figure(title) {
  const host = html('div', 'plot')
  const keys = html('ul', 'legend')
  return { host, keys, card: html('figure', 'card', html('figcaption', '', title), host, keys) }
}
function details(summary) {
  const host = html('div')
  return { host, card: html('details', '', html('summary', '', summary), host) }
}

/* What a server or store is drawn into is made once, so that nothing folds up or loses its focus. */
function serverView(name) {
  const parts = {
    verdict: verdictCard(), tiles: html('div', 'tiles'),
    rates: figure('Resumed share of all handshakes, by protocol'), reasons: figure('Handshakes a minute, by reason'),
    sessions: figure('Sessions in the internal cache'), why: html('div', 'card'),
    minutes: details('The charts as a table'), counters: details("OpenSSL's counters"), notKept: details('Sessions that were made and not kept'),
  }
  const section = html('section', '', html('h2', '', name), parts.verdict, parts.tiles,
    html('div', 'grid', parts.rates.card, parts.reasons.card), parts.why,
    html('div', 'grid', parts.sessions.card, html('div', 'card', parts.minutes.card, parts.notKept.card, parts.counters.card)))
  section.setAttribute('aria-label', name)
  main.append(section)
  return parts
}
const HEADLINES = {
  resuming: ['good', '✓ Resuming'], 'resuming-in-part': ['fair', '! Resuming in part'], 'not-resuming': ['bad', '✕ Not resuming'],
  'nothing-offered': ['', '– Nobody offers a session'], idle: ['', '– No handshakes'], disabled: ['bad', '✕ Switched off'],
}
function explain({ state, because, span }, figures) {
  const { resumed, full } = figures.handshakes
  if (state === 'disabled') return WORDS.disabled + ' Nothing is looked up, and nothing is kept.'
  if (state === 'idle') return 'None was completed in the last ' + duration(figures.seconds) + '.'
  if (state === 'nothing-offered') return whole(resumed + full) + ' handshakes in the last ' + duration(figures.seconds) + ', all of clients that are new or keep no sessions.'
  const what = percent(resumed / figures.offered) + ' of those who offered a session: ' + whole(resumed) + ' of ' + whole(figures.offered) + ', last ' + duration(figures.seconds) + '.'
  return because === null ? what : what + ' Mostly because of ' + because + ': ' + (WORDS[because] ?? NOT_KEPT[because] ?? '')
}
/* A screen reader says another headline, not each new figure. */
function verdictCard() {
  const headline = html('strong')
  headline.setAttribute('role', 'status')
  return html('div', 'card verdict', headline, html('p'))
}
function announce(card, className, headline, explanation) {
  card.className = 'card verdict ' + className
  if (card.firstChild.textContent !== headline) card.firstChild.textContent = headline
  card.lastChild.textContent = explanation
}
function tile(label, value, ...rest) {
  return html('div', 'card tile', html('span', 'soft', label), html('b', '', value), ...rest)
}

function showServer(name, server) {
  if (!views.has('server ' + name)) views.set('server ' + name, serverView(name))
  const parts = views.get('server ' + name)
  const { verdict, now, hour, minutes, cache } = server
  const [className, headline] = HEADLINES[verdict.state]
  announce(parts.verdict, className, headline, explain(verdict, server[verdict.span]))
  const completed = now.handshakes.resumed + now.handshakes.full
  const left = cache.oldestTimeLeftSec === null ? null : Math.max(0, cache.oldestTimeLeftSec)
  parts.tiles.replaceChildren(
    tile('Resumed of all', percent(now.rate), html('span', 'soft', 'last ' + duration(now.seconds))),
    tile('The same, last hour', percent(hour.rate), html('span', 'soft', whole(hour.handshakes.resumed) + ' of ' + whole(hour.handshakes.resumed + hour.handshakes.full))),
    tile('Handshakes', now.seconds === 0 ? '–' : (completed / now.seconds).toFixed(1) + ' /s', html('span', 'soft', whole(hour.handshakes.failed) + ' failed, last hour')),
    tile('Sessions cached', whole(cache.sessions), cache.size === 0 ? html('span', 'soft', 'no limit')
      : html('span', 'soft', 'of ' + whole(cache.size), bar('Cache fill: ' + percent(cache.sessions / cache.size), cache.sessions / cache.size))),
    tile('Next to be evicted', left === null ? '–' : duration(left) + ' left',
      html('span', 'soft', 'timeout ' + duration(cache.timeoutSec), ...(left === null || cache.timeoutSec === 0 ? [] : [bar('Time left of the session that is evicted next, of the timeout', left / cache.timeoutSec)]))))
  showRates(parts.rates, hour, minutes)
  showReasons(parts.reasons, hour, minutes)
  showSessions(parts.sessions, cache, minutes)
  const known = Object.entries(server.total.reasons).sort((a, b) => (hour.reasons[b[0]] ?? 0) - (hour.reasons[a[0]] ?? 0) || b[1] - a[1])
  parts.why.replaceChildren(table('Why handshakes resumed, and why not', ['Reason', 'What it means', 'Now', 'Last hour', 'In all'],
    known.map(([reason, count]) => [html('code', '', reason), WORDS[reason] ?? '', now.reasons[reason] ?? 0, hour.reasons[reason] ?? 0, count])))
  parts.minutes.host.replaceChildren(table('Each minute, the last one first', ['From', 'Resumed', 'Full', 'Failed', 'Rate', 'By protocol', 'Cached'],
    [...minutes].reverse().map((minute) => [clock(minute.time), minute.handshakes.resumed, minute.handshakes.full, minute.handshakes.failed, percent(minute.rate),
      Object.entries(minute.protocols).map(([protocol, counts]) => protocol + ' ' + percent(rateOf(counts))).join(', '), minute.sessions])))
  parts.counters.host.replaceChildren(table('As SSL_CTX_sess_number(3) describes them', ['Counter', 'Value'], Object.entries(server.counters)))
  parts.notKept.card.hidden = server.notKept === null || Object.keys(server.notKept).length === 0
  parts.notKept.host.replaceChildren(table('Since the server was attached', ['Reason', 'What it means', 'In all'],
    Object.entries(server.notKept ?? {}).map(([reason, count]) => [html('code', '', reason), NOT_KEPT[reason] ?? WORDS[reason] ?? '', count])))
}
const DASHES = ['', '6 3', '2 3', '8 3 2 3']
function showRates({ host, keys }, hour, minutes) {
  const protocols = Object.keys(hour.protocols).sort().reverse()
  const label = 'Resumption rate, last hour. ' + protocols.map((protocol) => protocol + ': ' + percent(rateOf(hour.protocols[protocol]))).join(', ')
  chart(host, label, 1, '100 %', minutes, (drawing, x, y, step) => protocols.forEach((protocol, index) => curve(drawing, minutes.map((minute, at) => {
    const rate = minute.protocols[protocol] && rateOf(minute.protocols[protocol])
    return rate == null ? undefined : { x: x(at) + step / 2, y: y(rate), text: clock(minute.time) + ' ' + protocol + ': ' + percent(rate) }
  }), ['s0', 's5', 's2', 's3'][index % 4], DASHES[index % 4])))
  legend(keys, protocols.map((protocol, index) => [['s0', 's5', 's2', 's3'][index % 4], protocol + ': ' + percent(rateOf(hour.protocols[protocol])) + ' in the last hour', DASHES[index % 4]]))
}
function showReasons({ host, keys }, hour, minutes) {
  const reasons = Object.keys(hour.reasons).sort((a, b) => RESUMED.includes(b) - RESUMED.includes(a) || hour.reasons[b] - hour.reasons[a])
  const top = niceTop(minutes.map((minute) => Object.values(minute.reasons).reduce((sum, count) => sum + count, 0)))
  const label = 'Handshakes, last hour. ' + reasons.map((reason) => reason + ': ' + hour.reasons[reason]).join(', ')
  chart(host, label, top, whole(top), minutes, (drawing, x, y, step) => minutes.forEach((minute, at) => {
    let below = 0
    for (const reason of reasons.filter((one) => minute.reasons[one])) {
      const count = minute.reasons[reason]
      drawing.append(svg('rect', { x: x(at) + 1, width: Math.max(1, step - 2), y: y(below + count), height: y(below) - y(below + count), class: 'mark ' + colourOf(reason) },
        svg('title', {}, clock(minute.time) + ' ' + reason + ': ' + count)))
      below += count
    }
  }))
  legend(keys, reasons.map((reason) => [colourOf(reason), reason]))
}
function showSessions({ host, keys }, cache, minutes) {
  const top = niceTop(minutes.map((minute) => minute.sessions))
  chart(host, 'Sessions in the internal cache, last hour. Now: ' + cache.sessions, top, whole(top), minutes, (drawing, x, y, step) =>
    curve(drawing, minutes.map((minute, at) => ({ x: x(at) + step / 2, y: y(minute.sessions), text: clock(minute.time) + ': ' + minute.sessions })), 's0', ''))
  keys.replaceChildren()
}

function clientsView(name) {
  const parts = {
    verdict: verdictCard(), tiles: html('div', 'tiles'), rates: figure('Resumed share of all handshakes, by protocol'),
    reasons: figure('Handshakes a minute, by reason'), why: html('div', 'card'), counters: details("OpenSSL's counters"),
  }
  const section = html('section', '', html('h2', '', 'Clients ' + name), parts.verdict, parts.tiles,
    html('div', 'grid', parts.rates.card, parts.reasons.card), parts.why, html('div', 'card', parts.counters.card))
  section.setAttribute('aria-label', 'Clients ' + name)
  main.append(section)
  return parts
}
function explainClients({ state, because }, { seconds, known, handshakes }) {
  if (state === 'idle') return 'None was completed in the last ' + duration(seconds) + '.'
  if (state === 'nothing-known') return whole(handshakes.resumed + handshakes.full) + ' handshakes in the last ' + duration(seconds) + ', all with servers that are new or give no tickets.'
  const what = percent(handshakes.resumed / known) + ' with servers that were known: ' + whole(handshakes.resumed) + ' of ' + whole(known) + ', last ' + duration(seconds) + '.'
  return because === null ? what : what + ' Mostly because of ' + because + ': ' + (CLIENT_WORDS[because] ?? '')
}
function showClients(name, clients) {
  if (!views.has('clients ' + name)) views.set('clients ' + name, clientsView(name))
  const parts = views.get('clients ' + name)
  const { verdict, now, hour, minutes } = clients
  const [className, headline] = verdict.state === 'nothing-known' ? ['', '– Nothing to resume yet'] : HEADLINES[verdict.state]
  announce(parts.verdict, className, headline, explainClients(verdict, clients[verdict.span]))
  parts.tiles.replaceChildren(
    tile('Resumed of all', percent(now.rate), html('span', 'soft', 'last ' + duration(now.seconds))),
    tile('The same, last hour', percent(hour.rate), html('span', 'soft', whole(hour.handshakes.resumed) + ' of ' + whole(hour.handshakes.resumed + hour.handshakes.full))),
    tile('Handshakes', now.seconds === 0 ? '–' : ((now.handshakes.resumed + now.handshakes.full) / now.seconds).toFixed(1) + ' /s', html('span', 'soft', whole(hour.handshakes.failed) + ' failed, last hour')),
    tile('Tickets kept', whole(clients.tickets), html('span', 'soft', 'of ' + whole(clients.origins) + ' servers, ' + whole(clients.bytes) + ' bytes')))
  showRates(parts.rates, hour, minutes)
  showReasons(parts.reasons, hour, minutes)
  const known = Object.entries(clients.total.reasons).sort((a, b) => (hour.reasons[b[0]] ?? 0) - (hour.reasons[a[0]] ?? 0) || b[1] - a[1])
  parts.why.replaceChildren(table('Why connections resumed, and why not', ['Reason', 'What it means', 'Now', 'Last hour', 'In all'],
    known.map(([reason, count]) => [html('code', '', reason), CLIENT_WORDS[reason] ?? '', now.reasons[reason] ?? 0, hour.reasons[reason] ?? 0, count])))
  parts.counters.host.replaceChildren(table('As SSL_CTX_sess_number(3) describes them', ['Counter', 'Value'], Object.entries(clients.counters)))
}

const BREAKERS = { closed: ['good', '✓ Healthy'], 'half-open': ['fair', '! Being tried again'], open: ['bad', '✕ Not asked: it has failed'] }
/* One that is full or read-only goes on answering: then nothing new is kept, or nothing is removed. */
function healthOf({ breakers, minutes }) {
  if (breakers.reads !== 'closed') return BREAKERS[breakers.reads]
  if (breakers.writes !== 'closed') return ['bad', '✕ It answers, but keeps nothing new']
  if (breakers.removals !== 'closed') return ['bad', '✕ It answers, but removes nothing']
  return minutes.slice(-2).some(({ failedWrites }) => failedWrites > 0) ? ['fair', '! Some writes fail'] : BREAKERS.closed
}
function storeView(name) {
  const parts = { verdict: verdictCard(), tiles: html('div', 'tiles'), calls: figure('Writes that wait, and calls that failed, by minute'), minutes: details('The chart as a table') }
  parts.calls.card.append(parts.minutes.card)
  const section = html('section', '', html('h2', '', 'Store ' + name), parts.verdict, parts.tiles, parts.calls.card)
  section.setAttribute('aria-label', 'Store ' + name)
  main.append(section)
  return parts
}
function showStore(name, store) {
  if (!views.has('store ' + name)) views.set('store ' + name, storeView(name))
  const parts = views.get('store ' + name)
  const { minutes } = store
  const [className, headline] = healthOf(store)
  const failed = (key) => whole(minutes.reduce((sum, minute) => sum + minute[key], 0))
  const breakers = Object.entries(store.breakers).map(([calls, breaker]) => calls + ' ' + breaker).join(', ')
  announce(parts.verdict, className, headline, 'Breakers: ' + breakers + '. ' + failed('failedCalls') + ' calls failed in the last hour, ' + failed('failedWrites') + ' of them writes and removals.')
  parts.tiles.replaceChildren(tile('Calls', whole(store.calls)), tile('Failed calls', whole(store.failedCalls), html('span', 'soft', whole(store.failedWrites) + ' writes and removals')), tile('Writes that wait', whole(store.queuedWrites)),
    tile('Dropped writes', whole(store.droppedWrites), html('span', 'soft', whole(store.droppedDeletions) + ' deletions')), tile('Unanswered calls', whole(store.pendingCalls)))
  const top = niceTop(minutes.flatMap(({ queuedWrites, failedCalls, droppedWrites }) => [queuedWrites, failedCalls, droppedWrites]))
  const lines = [['queuedWrites', 'writes that wait', 's0', ''], ['failedCalls', 'failed calls', 's1', '6 3'], ['failedWrites', 'failed writes', 's3', '8 3 2 3'], ['droppedWrites', 'dropped writes', 's5', '2 3']]
  chart(parts.calls.host, 'Store ' + name + ', last hour: writes that wait, failed calls, dropped writes', top, whole(top), minutes, (drawing, x, y, step) => {
    for (const [key, text, className, dash] of lines)
      curve(drawing, minutes.map((minute, at) => ({ x: x(at) + step / 2, y: y(minute[key]), text: clock(minute.time) + ' ' + text + ': ' + minute[key] })), className, dash)
  })
  legend(parts.calls.keys, lines.map(([, text, className, dash]) => [className, text, dash]))
  parts.minutes.host.replaceChildren(table('Each minute, the last one first', ['From', 'Writes that wait', 'Failed calls', 'Failed writes', 'Dropped writes'],
    [...minutes].reverse().map((minute) => [clock(minute.time), minute.queuedWrites, minute.failedCalls, minute.failedWrites, minute.droppedWrites])))
}

let shown
function show(report) {
  shown = report
  for (const [name, server] of Object.entries(report.servers)) showServer(name, server)
  for (const [name, clients] of Object.entries(report.clients)) showClients(name, clients)
  for (const [name, store] of Object.entries(report.stores)) showStore(name, store)
}
async function update() {
  try {
    const answer = await fetch(location.href, { headers: { accept: 'application/json' }, signal: AbortSignal.timeout(10000) })
    if (!answer.ok) throw new Error('HTTP status ' + answer.status)
    show(await answer.json())
    state.textContent = 'As of ' + new Date(shown.time).toLocaleTimeString()
  } catch (error) {
    state.textContent = 'Not up to date: ' + error.message + (shown ? '. As of ' + new Date(shown.time).toLocaleTimeString() : '')
  }
}
/* One at a time, and none for a page that nobody sees. */
async function keepUpdating() {
  if (!document.hidden) await update()
  setTimeout(keepUpdating, PERIOD_MS)
}
document.addEventListener('visibilitychange', () => { if (!document.hidden) update() })
addEventListener('resize', () => { if (shown) show(shown) })
keepUpdating()
`

export const STATUS_PAGE: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>TLS session resumption</title>
<style>${STATUS_STYLE}</style>
</head>
<body>
<header><h1>TLS session resumption</h1><p id="state" class="soft">Loading …</p></header>
<main></main>
<noscript><p>The figures need JavaScript; as JSON they are at <a href="?format=json">?format=json</a>.</p></noscript>
<script>${STATUS_SCRIPT}</script>
</body>
</html>
`
