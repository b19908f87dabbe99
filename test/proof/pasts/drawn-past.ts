import net from 'node:net'
import type { Duplex } from 'node:stream'
import type { Certificate } from '../../tools/certificate.ts'
import { Random } from '../../tools/random.ts'
import { TOUCHES, type Touch } from '../../tools/stream-touches.ts'

/** What has happened to a socket before, and what happens to it after, a server gets it. */
export interface Past {
  readonly title: string
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly transport: 'tcp' | 'unix' | 'pipe'
  readonly arrival: 'its own' | 'handed on'
  readonly allowHalfOpen: boolean
  readonly pauseOnConnect: boolean
  readonly requestsCertificate: boolean
  /** So many turns of the event loop; 0 for the internal cache. */
  readonly lookupTurns: number
  /** The client has a session. */
  readonly offers: boolean
  /** Of what the client writes, each time. */
  readonly pieces: number
  readonly before: readonly Touch[]
  /** Looks at a connection, and hands it on. */
  readonly peek: Peek
  /** They are listeners of 'connection' before those of the server. */
  readonly isFirst: boolean
  readonly after: readonly { readonly touch: Touch; readonly when: When }[]
  readonly clientLeaves: { readonly how: 'FIN' | 'RST'; readonly afterTurns: number } | undefined
  /** Listeners ask everything of what a client has left; a stock server is ended by some questions. */
  readonly asks: boolean
  /**
   * Its client leaves, and it may stay half open. Where the client's end comes in mid-handshake, Node leaves it until its
   * handshakeTimeout. A reset behind the last bytes that were read is an end to libuv as well.
   */
  readonly isHalfOpenEnd: boolean
  /** Nobody ends it before its time, so that it has one answer. */
  readonly isPeaceful: boolean
}

type When = (act: () => unknown) => unknown
type Peek = (raw: Duplex, handOn: () => void) => unknown

export interface PastTask {
  readonly seed: number
  readonly index: number
  readonly certificate: Certificate
  /** A stock server is ended by it. */
  readonly skipsStock: boolean
}

/** What one server has made of it. */
export interface SideReport {
  readonly answer: string
  readonly isResumed: boolean
  /** The connection was ended by the server. */
  readonly isClosed: boolean
  /** A socket was there long after its client had gone. */
  readonly isLeft: boolean
  readonly uncaught: readonly string[]
  readonly timers: number
  readonly outcomes: number
}

export interface MetReport {
  readonly type: 'met'
  readonly index: number
  readonly stock: SideReport | undefined
  readonly attached: SideReport
}

const turnsLater =
  (turns: number): When =>
  (act) =>
    turns === 0 ? act() : setImmediate(() => turnsLater(turns - 1)(act))

const WHEN: readonly (readonly [string, When])[] = [
  ['at once', (act) => act()],
  ['in nextTick', (act) => process.nextTick(act)],
  ['in a microtask', (act) => queueMicrotask(() => void act())],
  ['in setImmediate', turnsLater(1)],
  ['two turns later', turnsLater(2)],
  ['four turns later', turnsLater(4)],
]

const PEEKS: readonly (readonly [string, Peek])[] = [
  ['nothing', (_raw, handOn) => handOn()],
  ['nothing, paused, a turn', (raw, handOn) => setImmediate(handOn) && raw.pause()],
  [
    'data, paused',
    (raw, handOn) =>
      raw.once('data', (first) => {
        raw.pause()
        raw.unshift(first)
        handOn()
      }),
  ],
  [
    'data, paused, handed on in nextTick',
    (raw, handOn) =>
      raw.once('data', (first) => {
        raw.pause()
        raw.unshift(first)
        process.nextTick(handOn)
      }),
  ],
  [
    'data, paused, handed on in setImmediate',
    (raw, handOn) =>
      raw.once('data', (first) => {
        raw.pause()
        raw.unshift(first)
        setImmediate(handOn)
      }),
  ],
  [
    'data, paused, put back after it was handed on',
    (raw, handOn) =>
      raw.once('data', (first) => {
        raw.pause()
        handOn()
        raw.unshift(first)
      }),
  ],
  [
    'all that is readable',
    (raw, handOn) =>
      raw.once('readable', () => {
        const all: unknown = raw.read()
        if (all !== null) raw.unshift(all)
        handOn()
      }),
  ],
  [
    'one byte',
    (raw, handOn) =>
      raw.once('readable', () => {
        const one: unknown = raw.read(1)
        if (one !== null) raw.unshift(one)
        handOn()
      }),
  ],
  [
    'all, put back in pieces',
    (raw, handOn) =>
      raw.once('readable', () => {
        const all: unknown = raw.read()
        if (Buffer.isBuffer(all)) {
          raw.unshift(all.subarray(1))
          raw.unshift(all.subarray(0, 1))
        } else if (all !== null) raw.unshift(all)
        handOn()
      }),
  ],
]

/** These end a connection. */
const ENDINGS: readonly (readonly [string, Touch])[] = [
  ['destroy', (raw) => raw.destroy()],
  ['destroy with an error', (raw) => raw.destroy(new Error('unwanted'))],
  ['end', (raw) => raw.end()],
  ['end with text', (raw) => raw.end('goodbye')],
  [
    'a reset',
    (raw) => (raw instanceof net.Socket && raw.remoteAddress ? raw.resetAndDestroy() : raw.destroy()),
  ],
  ['push of an end', (raw) => raw.push(null)],
]

/** And these leave it whole, whatever Node does then. */
const MORE_TOUCHES: readonly (readonly [string, Touch])[] = [
  ['cork', (raw) => raw.cork()],
  ['cork, and uncork in setImmediate', (raw) => setImmediate(() => raw.uncork()) && raw.cork()],
  ['read', (raw) => raw.read()],
  ['unpipe, and a pipe taken away', (raw) => raw.unpipe()],
  ['removeAllListeners of data', (raw) => raw.removeAllListeners('data')],
  ['an iterator that is not asked', (raw) => raw[Symbol.asyncIterator]()],
  ['ref and unref', (raw) => raw instanceof net.Socket && raw.unref().ref()],
]

const ALL_TOUCHES = [...TOUCHES, ...MORE_TOUCHES]
/** A stock server reads a stream that is no socket by its events, so these keep it from its bytes, and from its own, if they come in time. */
const HARMFUL = /^(setEncoding|pause|cork$|read$|a listener of readable|an iterator)/
const STREAM_TOUCHES = ALL_TOUCHES.filter(([title]) => !HARMFUL.test(title))

/** The same for the same numbers. */
export function drawPast(seed: number, index: number): Past {
  const random = new Random(seed + 7919 * index)
  const version = random.pick(['TLSv1.2', 'TLSv1.3'] as const)
  const transport = random.pick(['tcp', 'tcp', 'unix', 'pipe'] as const)
  const arrival = transport === 'pipe' || random.chance(60) ? 'handed on' : 'its own'
  const few = <T>(values: readonly T[], percents: readonly number[]): T[] =>
    percents.flatMap((percent) => (random.chance(percent) ? [random.pick(values)] : []))
  const touches = transport === 'pipe' ? STREAM_TOUCHES : ALL_TOUCHES
  const before = arrival === 'handed on' ? few(touches, [30, 10]) : []
  const peek = arrival === 'handed on' ? random.pick(PEEKS) : PEEKS[0]!
  const after = few(touches, [60, 30, 15]).map((touch) => ({ touch, when: random.pick(WHEN) }))
  const endings = few(ENDINGS, [12]).map((touch) => ({ touch, when: random.pick(WHEN) }))
  const clientLeaves = random.chance(12)
    ? { how: random.pick(['FIN', 'RST'] as const), afterTurns: random.below(12) }
    : undefined
  const drawn = {
    version,
    transport,
    arrival,
    allowHalfOpen: random.chance(20),
    pauseOnConnect: random.chance(10),
    requestsCertificate: random.chance(20),
    lookupTurns: random.chance(50) ? 1 + random.below(4) : 0,
    offers: random.chance(60),
    pieces: random.pick([1, 1, 2, 5]),
    isFirst: random.chance(50),
    clientLeaves,
    asks: random.chance(8),
  } as const
  const acts = [...after, ...endings]
  const described = {
    ...drawn,
    before: before.map(([title]) => title),
    peek: peek[0],
    after: acts.map(({ touch, when }) => `${touch[0]}, ${when[0]}`),
  }
  return {
    ...drawn,
    title: JSON.stringify(described),
    before: before.map(([, touch]) => touch),
    peek: peek[1],
    after: acts.map(({ touch, when }) => ({ touch: touch[1], when: when[1] })),
    isPeaceful: endings.length === 0 && clientLeaves === undefined,
    isHalfOpenEnd: drawn.allowHalfOpen && clientLeaves !== undefined,
  }
}
