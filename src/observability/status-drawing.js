// What the script of the status page draws with: elements, tables, charts. It knows nothing of what is drawn.

/** @typedef {{ readonly x: number, readonly y: number, readonly text: string }} Point */
/** @typedef {readonly [className: string, text: string, dash?: string]} Key */
/** @typedef {{ readonly host: HTMLElement, readonly keys: HTMLElement, readonly card: HTMLElement }} Figure */
/** @typedef {(drawing: Element, x: (index: number) => number, y: (value: number) => number, step: number) => void} Draw */

const HEIGHT = 130
const LEFT = 34
/** Minutes that a chart shows at least: a few of them would be as wide as the page. */
const MIN_MINUTES = 10

/**
 * @param {string} selector
 * @returns {Element}
 */
export function find(selector) {
  const found = document.querySelector(selector)
  if (found === null) throw new Error(`the page has no ${selector}`)
  return found
}

/**
 * Text is only ever put in as text: names are the owner's.
 *
 * @param {string} name
 * @param {string} [className]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function html(name, className = '', ...children) {
  const element = document.createElement(name)
  if (className !== '') element.className = className
  element.append(...children)
  return element
}

/**
 * @param {string} name
 * @param {Readonly<Record<string, string | number | undefined>>} attributes
 * @param {...(Node | string)} children
 * @returns {Element}
 */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined) element.setAttribute(key, String(value))
  element.append(...children)
  return element
}

/** @type {(rate: number | null) => string} */
export const percent = (rate) => (rate === null ? '–' : `${Math.floor(rate * 100)} %`)
/** @type {(number: number) => string} */
export const whole = (number) => number.toLocaleString('en')
/** @type {(time: string) => string} */
export const clock = (time) => new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 120) return `${Math.max(1, Math.round(seconds))} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}

/**
 * An hour has not always passed.
 *
 * @param {{ readonly seconds: number }} span
 */
export function lastOf({ seconds }) {
  return seconds >= 3540 ? 'last hour' : `last ${duration(seconds)}`
}

/** @param {{ readonly resumed: number, readonly full: number }} counts */
export function rateOf({ resumed, full }) {
  return resumed + full === 0 ? null : resumed / (resumed + full)
}

/** @typedef {Node | string | number} Cell */

/**
 * @param {'th' | 'td'} name
 * @param {Cell} cell
 * @param {string} [scope]
 */
function tableCell(name, cell, scope) {
  const made = typeof cell === 'number' ? html(name, 'number', whole(cell)) : html(name, '', cell)
  if (scope !== undefined) made.setAttribute('scope', scope)
  return made
}

/** @param {readonly Cell[]} cells */
function row([first = '', ...others]) {
  return html('tr', '', tableCell('th', first, 'row'), ...others.map((cell) => tableCell('td', cell)))
}

/**
 * @param {string} caption
 * @param {readonly string[]} head
 * @param {readonly (readonly Cell[])[]} rows
 */
export function table(caption, head, rows) {
  const body = html('tbody', '', ...rows.map(row))
  return html(
    'div',
    'scroll',
    html(
      'table',
      '',
      html('caption', '', caption),
      html('thead', '', html('tr', '', ...head.map((cell) => tableCell('th', cell, 'col')))),
      body,
    ),
  )
}

/**
 * The minutes that there are from left to right, as wide as there is room for.
 *
 * @param {HTMLElement} host
 * @param {string} label
 * @param {{ readonly top: number, readonly text: string }} scale
 * @param {number} count
 * @param {Draw} draw - puts the marks in
 */
export function chart(host, label, { top, text }, count, draw) {
  const width = Math.max(host.clientWidth, 240)
  const shown = Math.max(count, MIN_MINUTES)
  const step = (width - LEFT) / shown
  /** @type {(value: number) => number} */
  const y = (value) => HEIGHT - 18 - (value / top) * (HEIGHT - 30)
  /** @type {(value: number, name: string) => Element[]} */
  const rule = (value, name) => [
    svg('line', { x1: LEFT, x2: width, y1: y(value), y2: y(value), class: 'rule' }),
    svg('text', { x: LEFT - 5, y: y(value) + 4, 'text-anchor': 'end' }, name),
  ]
  const since = shown === 60 ? '1 h ago' : `${shown} min ago`
  const drawing = svg(
    'svg',
    { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: 'img', 'aria-label': label },
    ...rule(0, '0'),
    ...rule(top, text),
    svg('text', { x: LEFT, y: HEIGHT - 4 }, since),
    svg('text', { x: width, y: HEIGHT - 4, 'text-anchor': 'end' }, 'now'),
  )
  draw(drawing, (index) => width - (count - index) * step, y, step)
  host.replaceChildren(drawing)
}

/**
 * @param {Element} drawing
 * @param {readonly (Point | undefined)[]} points
 * @param {string} className
 * @param {string} [dash]
 */
export function curve(drawing, points, className, dash) {
  /** @type {Element[]} */
  const marks = []
  points.forEach((point, index) => {
    if (point === undefined) return
    const before = points[index - 1]
    const ends = before && { x1: before.x, y1: before.y, x2: point.x, y2: point.y }
    if (ends) drawing.append(svg('line', { ...ends, class: `curve ${className}`, 'stroke-dasharray': dash }))
    const title = svg('title', {}, point.text)
    marks.push(svg('circle', { cx: point.x, cy: point.y, r: 2, class: `mark ${className}` }, title))
  })
  drawing.append(...marks)
}

/**
 * @param {HTMLElement} host
 * @param {readonly Key[]} entries
 */
export function legend(host, entries) {
  const items = entries.map(([className, text, dash]) => {
    const look = {
      class: className,
      'stroke-width': dash === undefined ? 8 : 2,
      'stroke-dasharray': dash ?? '',
    }
    const line = svg('line', { x1: 0, x2: 18, y1: 5, y2: 5, ...look })
    return html('li', '', svg('svg', { viewBox: '0 0 18 10', 'aria-hidden': 'true' }, line), text)
  })
  host.replaceChildren(...items)
}

/**
 * @param {string} label
 * @param {number} share
 */
export function bar(label, share) {
  return svg(
    'svg',
    { viewBox: '0 0 100 5', height: 8, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    svg('rect', { width: 100, height: 5, class: 'track' }),
    svg('rect', { width: Math.min(100, share * 100), height: 5, class: 'mark s0' }),
  )
}

/** @param {readonly number[]} values */
export function niceTop(values) {
  const top = Math.max(1, ...values)
  const unit = 10 ** Math.floor(Math.log10(top))
  const nice = [1, 2, 5, 10].map((factor) => factor * unit).find((one) => one >= top) ?? top
  return { top: nice, text: whole(nice) }
}

/**
 * @param {string} title
 * @returns {Figure}
 */
export function figure(title) {
  const host = html('div', 'plot')
  const keys = html('ul', 'legend')
  return { host, keys, card: html('figure', 'card', html('figcaption', '', title), host, keys) }
}

/** @param {string} summary */
export function details(summary) {
  const host = html('div')
  return { host, card: html('details', '', html('summary', '', summary), host) }
}

/** A screen reader says another headline, not each new figure. */
export function verdictCard() {
  const headline = html('strong')
  headline.setAttribute('role', 'status')
  const text = html('p')
  return { headline, text, card: html('div', 'card verdict', headline, text) }
}

/**
 * @param {ReturnType<typeof verdictCard>} verdict
 * @param {readonly [className: string, headline: string]} what
 * @param {string} explanation
 */
export function announce({ card, headline, text }, [className, said], explanation) {
  card.className = `card verdict ${className}`
  if (headline.textContent !== said) headline.textContent = said
  text.textContent = explanation
}

/**
 * @param {string} label
 * @param {string} value
 * @param {...Node} rest
 */
export function tile(label, value, ...rest) {
  return html('div', 'card tile', html('span', 'soft', label), html('b', '', value), ...rest)
}

/**
 * @param {string} name
 * @param {...Node} parts
 */
export function section(name, ...parts) {
  const made = html('section', '', html('h2', '', name), ...parts)
  made.setAttribute('aria-label', name)
  find('main').append(made)
  return made
}

/**
 * What a server or store is drawn into is made once, so that nothing folds up or loses its focus.
 *
 * @template T
 * @param {Map<string, T>} views
 * @param {string} name
 * @param {(name: string) => T} make
 * @returns {T}
 */
export function viewOf(views, name, make) {
  const view = views.get(name) ?? make(name)
  views.set(name, view)
  return view
}

/**
 * @template {{ readonly section: HTMLElement }} T
 * @param {Map<string, T>} views
 * @param {object} there
 */
export function forget(views, there) {
  for (const [name, view] of views) {
    if (Object.hasOwn(there, name)) continue
    view.section.remove()
    views.delete(name)
  }
}
