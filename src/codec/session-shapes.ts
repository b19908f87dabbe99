/**
 * The sessions of a server differ in a few places, and are the same elsewhere: in every tag, length and flag. So what was read
 * strictly once need not be read again, element by element, where another session has the very same octets, and its own only where
 * any will do (an id, a key, an application's data) or where they are numbers that are looked at here.
 */
import { contentStart, elementEnd, octetAt, type Span } from './der.ts'
import { MAX_SESSION_SECONDS, UINT32 } from './session-reader.ts'
import type { SessionLayout, SessionOutline } from './ssl-session-der.ts'

/** A session as it was read, without what it had of its own. */
interface Shape {
  readonly octets: Uint8Array
  readonly layout: SessionLayout
  /** What all sessions of the shape have in common. */
  readonly common: readonly Span[]
  readonly time: Span | undefined
  readonly timeout: Span | undefined
  readonly ticketAgeAdd: Span | undefined
}

/** By their lengths. A server has few: of its versions, its names, full and resumed. */
const shapes = new Map<number, Shape>()
const MAX_SHAPES = 32

const TIME = 1
const TIMEOUT = 2
const SESSION_ID_CONTEXT = 4
const TICKET = 10
const TICKET_AGE_ADD = 14
const TICKET_APP_DATA = 18
/** What any octets will do for, or is a number that is looked at. */
const OWN: ReadonlySet<number> = new Set([
  TIME,
  TIMEOUT,
  SESSION_ID_CONTEXT,
  TICKET,
  TICKET_AGE_ADD,
  TICKET_APP_DATA,
])
const TAG_NUMBER = 0x1f
const MAX_UINT32 = Number(UINT32.max)

/** @returns undefined for what must be read element by element */
export function outlineLikeKnown(der: Uint8Array): SessionOutline | undefined {
  const shape = shapes.get(der.length)
  if (shape === undefined || !isCommon(der, shape)) return undefined
  const timeSec = readNumber(der, shape.time, MAX_SESSION_SECONDS)
  const timeoutSec = readNumber(der, shape.timeout, MAX_SESSION_SECONDS)
  const ticketAgeAdd = readNumber(der, shape.ticketAgeAdd, MAX_UINT32)
  if (timeSec === undefined || timeoutSec === undefined || ticketAgeAdd === undefined) return undefined
  return { layout: shape.layout, timeSec, timeoutSec, ticketAgeAdd }
}

function isCommon(der: Uint8Array, { octets, common }: Shape): boolean {
  for (const { start, end } of common)
    for (let index = start; index < end; index++) if (der[index] !== octets[index]) return false
  return true
}

/** @returns 0 where there is no such element; undefined for what is no positive INTEGER in its minimal form */
function readNumber(der: Uint8Array, span: Span | undefined, max: number): number | undefined {
  if (span === undefined) return 0
  const { start, end } = span
  const first = octetAt(der, start)
  if (first >= 0x80 || (first === 0 && (end - start === 1 || octetAt(der, start + 1) < 0x80)))
    return undefined
  let value = 0
  for (let index = start; index < end; index++) value = value * 0x100 + octetAt(der, index)
  return value > max ? undefined : value
}

/** @param layout - of `der`, which is canonical */
export function rememberShape(der: Uint8Array, layout: SessionLayout): void {
  const numbered = new Map<number, Span>()
  for (let offset = layout.mandatoryEnd; offset < der.length; offset = elementEnd(der, offset)) {
    const number = octetAt(der, offset) & TAG_NUMBER
    const inner = contentStart(der, offset)
    if (OWN.has(number))
      numbered.set(number, { start: contentStart(der, inner), end: elementEnd(der, inner) })
  }
  const own = [layout.sessionId, layout.masterKey, ...numbered.values()].filter((span) => span !== undefined)
  const octets = new Uint8Array(der)
  const common: Span[] = []
  let commonStart = 0
  for (const { start, end } of own) {
    octets.fill(0, start, end)
    common.push({ start: commonStart, end: start })
    commonStart = end
  }
  common.push({ start: commonStart, end: der.length })
  if (shapes.size >= MAX_SHAPES) shapes.clear()
  shapes.set(der.length, {
    octets,
    layout,
    common,
    time: numbered.get(TIME),
    timeout: numbered.get(TIMEOUT),
    ticketAgeAdd: numbered.get(TICKET_AGE_ADD),
  })
}
