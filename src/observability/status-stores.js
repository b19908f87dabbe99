// What the status page shows of stores.

/** @import { StatusReport, StoreStatus } from './status-report.ts' */
/** @import { Figure, Key } from './status-drawing.js' */

import {
  announce,
  chart,
  clock,
  curve,
  details,
  figure,
  find,
  html,
  legend,
  niceTop,
  section,
  table,
  tile,
  verdictCard,
  viewOf,
  whole,
} from './status-drawing.js'

/** @type {Readonly<Record<StoreStatus['breaker'], readonly [className: string, headline: string]>>} */
const BREAKERS = {
  closed: ['good', '✓ Healthy'],
  'half-open': ['fair', '! Being tried again'],
  open: ['bad', '✕ Not asked: it has failed'],
}

/**
 * One that is full or read-only goes on answering: then nothing new is kept, or nothing is removed.
 *
 * @param {StoreStatus} store
 * @returns {readonly [className: string, headline: string]}
 */
function healthOf({ breakers, minutes }) {
  if (breakers.reads !== 'closed') return BREAKERS[breakers.reads]
  if (breakers.writes !== 'closed') return ['bad', '✕ It answers, but keeps nothing new']
  if (breakers.removals !== 'closed') return ['bad', '✕ It answers, but removes nothing']
  const latest = minutes.slice(-2)
  if (latest.some(({ failedWrites }) => failedWrites > 0)) return ['fair', '! Some writes fail']
  return latest.some(({ failedCalls }) => failedCalls > 0) ? ['fair', '! Some calls fail'] : BREAKERS.closed
}

/** @param {string} name */
function storeView(name) {
  const parts = {
    verdict: verdictCard(),
    tiles: html('div', 'tiles'),
    calls: figure('Writes that wait, and calls that failed, by minute'),
    minutes: details('The chart as a table'),
  }
  parts.calls.card.append(parts.minutes.card)
  return { ...parts, section: section(`Store ${name}`, parts.verdict.card, parts.tiles, parts.calls.card) }
}

/** @type {Map<string, ReturnType<typeof storeView>>} */
export const storeViews = new Map()

/** @type {readonly (readonly ['queuedWrites' | 'failedCalls' | 'failedWrites' | 'droppedWrites', string, string, string])[]} */
const LINES = [
  ['queuedWrites', 'writes that wait', 's0', ''],
  ['failedCalls', 'failed calls', 's1', '6 3'],
  ['failedWrites', 'failed writes', 's3', '8 3 2 3'],
  ['droppedWrites', 'dropped writes', 's5', '2 3'],
]

/**
 * @param {string} name
 * @param {StoreStatus} store
 */
export function showStore(name, store) {
  const parts = viewOf(storeViews, name, storeView)
  const { minutes } = store
  const breakers = Object.entries(store.breakers).map(([calls, breaker]) => `${calls} ${breaker}`)
  const failed = minutes.reduce((sum, minute) => sum + minute.failedCalls, 0)
  const failedWrites = minutes.reduce((sum, minute) => sum + minute.failedWrites, 0)
  const explanation =
    `Breakers: ${breakers.join(', ')}. ${whole(failed)} calls failed in the last hour, ` +
    `${whole(failedWrites)} of them writes and removals.${causeOf(store)}`
  announce(parts.verdict, healthOf(store), explanation)
  parts.tiles.replaceChildren(
    tile('Calls', whole(store.calls)),
    tile(
      'Failed calls',
      whole(store.failedCalls),
      html('span', 'soft', `${whole(store.failedWrites)} writes and removals`),
    ),
    tile('Writes that wait', whole(store.queuedWrites)),
    tile(
      'Dropped writes',
      whole(store.droppedWrites),
      html('span', 'soft', `${whole(store.droppedDeletions)} deletions`),
    ),
    tile('Unanswered calls', whole(store.pendingCalls)),
  )
  showCalls(parts.calls, name, minutes)
  const rows = [...minutes]
    .reverse()
    .map((minute) => [clock(minute.time), ...LINES.map(([key]) => minute[key])])
  const head = ['From', 'Writes that wait', 'Failed calls', 'Failed writes', 'Dropped writes']
  parts.minutes.host.replaceChildren(table('Each minute, the last one first', head, rows))
}

/**
 * @param {Figure} figure
 * @param {string} name
 * @param {StoreStatus['minutes']} minutes
 */
function showCalls({ host, keys }, name, minutes) {
  const scale = niceTop(minutes.flatMap((minute) => LINES.map(([key]) => minute[key])))
  const label = `Store ${name}: writes that wait, failed calls, dropped writes`
  chart(host, label, scale, minutes.length, (drawing, x, y, step) => {
    for (const [key, text, className, dash] of LINES) {
      const points = minutes.map((minute, at) => ({
        ...{ x: x(at) + step / 2, y: y(minute[key]) },
        text: `${clock(minute.time)} ${text}: ${minute[key]}`,
      }))
      curve(drawing, points, className, dash)
    }
  })
  /** @type {Key[]} */
  const entries = LINES.map(([, text, className, dash]) => [className, text, dash])
  legend(keys, entries)
}

/** @param {StoreStatus} store */
function causeOf({ lastFailure }) {
  return lastFailure === null
    ? ''
    : ` The last one: ${lastFailure.cause}, at ${new Date(lastFailure.time).toLocaleTimeString()} (${lastFailure.operation}).`
}

/**
 * What is wrong with a store is wrong with all that is below: it is said first.
 *
 * @param {StatusReport['stores']} stores
 */
export function showAlarms(stores) {
  const texts = Object.entries(stores).flatMap(([name, store]) => {
    const [className, headline] = healthOf(store)
    const cause = store.lastFailure === null ? '' : `: ${store.lastFailure.cause}`
    return className === 'good' ? [] : [`Store ${name}${cause}. ${headline.replace(/^\S+ /, '')}`]
  })
  const alarms = find('#alarms')
  const said = texts.join('\n')
  if (alarms.textContent === said) return
  alarms.replaceChildren(...texts.map((text) => html('p', 'card alarm', text)))
}
