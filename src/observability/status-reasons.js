// Why handshakes resumed, and why not: words, colours and charts, for servers and clients.

/** @import { HandshakeCounts } from '../session/handshakes.ts' */
/** @import { StatusVerdict } from './status-report.ts' */
/** @import { Figure, Key } from './status-drawing.js' */
/** @typedef {Readonly<Record<string, string>>} Words */

import {
  chart,
  clock,
  curve,
  find,
  html,
  lastOf,
  legend,
  niceTop,
  percent,
  rateOf,
  svg,
} from './status-drawing.js'

/** @type {{ readonly words: Words, readonly notKept: Words, readonly ofClients: Words, readonly resumed: readonly string[] }} */
export const {
  words,
  notKept,
  ofClients,
  resumed: resumedReasons,
} = JSON.parse(find('#words').textContent ?? '')
/** @type {Map<string, string>} */
const colours = new Map()

/**
 * A reason keeps its colour for as long as the page is open.
 *
 * @param {string} reason
 */
function colourOf(reason) {
  if (resumedReasons.includes(reason)) return reason === 'internal' || reason === 'resumed' ? 's0' : 's0-soft'
  if (reason === 'not-offered' || reason === 'nothing-to-offer') return 'rest'
  const colour = colours.get(reason) ?? `s${1 + (colours.size % 5)}`
  colours.set(reason, colour)
  return colour
}

/** @type {Readonly<Record<StatusVerdict['state'], readonly [className: string, headline: string]>>} */
export const HEADLINES = {
  resuming: ['good', '✓ Resuming'],
  'resuming-in-part': ['fair', '! Resuming in part'],
  'not-resuming': ['bad', '✕ Not resuming'],
  'nothing-offered': ['', '– Nobody offers a session'],
  idle: ['', '– No handshakes'],
  disabled: ['bad', '✕ Switched off'],
}

/**
 * Reasons, the commonest first.
 *
 * @param {{ readonly total: HandshakeCounts, readonly now: HandshakeCounts, readonly hour: HandshakeCounts }} counts
 * @param {Words} meanings
 */
export function reasonRows({ total, now, hour }, meanings) {
  const known = Object.entries(total.reasons).sort(
    ([one, left], [other, right]) => (hour.reasons[other] ?? 0) - (hour.reasons[one] ?? 0) || right - left,
  )
  return known.map(([reason, count]) => [
    ...[html('code', '', reason), meanings[reason] ?? ''],
    ...[now.reasons[reason] ?? 0, hour.reasons[reason] ?? 0, count],
  ])
}

export const WHY_HEAD = ['Reason', 'What it means', 'Now', 'Last hour', 'In all']

const DASHES = ['', '6 3', '2 3', '8 3 2 3']
const CURVES = ['s0', 's5', 's2', 's3']

/**
 * @param {Figure} figure
 * @param {HandshakeCounts & { readonly seconds: number }} hour
 * @param {readonly (HandshakeCounts & { readonly time: string })[]} minutes
 */
export function showRates({ host, keys }, hour, minutes) {
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
 * @param {HandshakeCounts & { readonly seconds: number }} hour
 * @param {readonly (HandshakeCounts & { readonly time: string })[]} minutes
 */
export function showReasons({ host, keys }, hour, minutes) {
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
