// What the status page shows of clients.

/** @import { ClientsSpan, ClientsStatus, ClientsVerdict } from './status-clients.ts' */

import {
  announce,
  details,
  figure,
  html,
  lastOf,
  percent,
  section,
  table,
  tile,
  verdictCard,
  viewOf,
  whole,
} from './status-drawing.js'
import { HEADLINES, ofClients, reasonRows, showRates, showReasons, WHY_HEAD } from './status-reasons.js'

/** @param {string} name */
function clientsView(name) {
  const parts = {
    verdict: verdictCard(),
    tiles: html('div', 'tiles'),
    rates: figure('Resumed share of all handshakes, by protocol'),
    reasons: figure('Handshakes a minute, by reason'),
    why: html('div', 'card'),
    counters: details("OpenSSL's counters"),
  }
  const made = section(
    `Clients ${name}`,
    parts.verdict.card,
    parts.tiles,
    html('div', 'grid', parts.rates.card, parts.reasons.card),
    parts.why,
    html('div', 'card', parts.counters.card),
  )
  return { ...parts, section: made }
}

/** @type {Map<string, ReturnType<typeof clientsView>>} */
export const clientsViews = new Map()

/**
 * @param {ClientsVerdict} verdict
 * @param {ClientsSpan} span
 */
function explainClients({ state, because }, span) {
  const { known, handshakes } = span
  const last = lastOf(span)
  if (state === 'idle') return `None was completed in the ${last}.`
  if (state === 'nothing-known')
    return `${whole(handshakes.resumed + handshakes.full)} handshakes in the ${last}, all with servers that are new or give no tickets.`
  const share = percent(handshakes.resumed / known)
  const what = `${share} with servers that were known: ${whole(handshakes.resumed)} of ${whole(known)}, ${last}.`
  return because === null ? what : `${what} Mostly because of ${because}: ${ofClients[because] ?? ''}`
}

/** @param {ClientsStatus} clients */
function tilesOfClients({ now, hour, tickets, origins, bytes }) {
  const completed = now.handshakes.resumed + now.handshakes.full
  const hourly = hour.handshakes.resumed + hour.handshakes.full
  const perSecond = now.seconds === 0 ? '–' : `${(completed / now.seconds).toFixed(1)} /s`
  const ofHour = html('span', 'soft', `${whole(hour.handshakes.resumed)} of ${whole(hourly)}`)
  return [
    tile('Resumed of all', percent(now.rate), html('span', 'soft', lastOf(now))),
    ...(hour.seconds === now.seconds ? [] : [tile(`The same, ${lastOf(hour)}`, percent(hour.rate), ofHour)]),
    tile(
      'Handshakes',
      perSecond,
      html('span', 'soft', `${whole(hour.handshakes.failed)} failed, ${lastOf(hour)}`),
    ),
    tile(
      'Tickets kept',
      whole(tickets),
      html('span', 'soft', `of ${whole(origins)} servers, ${whole(bytes)} bytes`),
    ),
  ]
}

/**
 * @param {string} name
 * @param {ClientsStatus} clients
 */
export function showClients(name, clients) {
  const parts = viewOf(clientsViews, name, clientsView)
  const { verdict, hour, minutes } = clients
  /** @type {readonly [string, string]} */
  const headline =
    verdict.state === 'nothing-known' ? ['', '– Nothing to resume yet'] : HEADLINES[verdict.state]
  announce(parts.verdict, headline, explainClients(verdict, clients[verdict.span]))
  parts.tiles.replaceChildren(...tilesOfClients(clients))
  showRates(parts.rates, hour, minutes)
  showReasons(parts.reasons, hour, minutes)
  const why = reasonRows(clients, ofClients)
  parts.why.replaceChildren(table('Why connections resumed, and why not', WHY_HEAD, why))
  const counted = Object.entries(clients.counters)
  parts.counters.host.replaceChildren(
    table('As SSL_CTX_sess_number(3) describes them', ['Counter', 'Value'], counted),
  )
}
