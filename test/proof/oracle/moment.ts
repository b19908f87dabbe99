import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import type { Observation } from './observations.ts'

type ContextLetter = 'S' | 'C' | 'T'

const COUNTERS = [
  'number',
  'connect',
  'connectGood',
  'connectRenegotiate',
  'accept',
  'acceptGood',
  'acceptRenegotiate',
  'hits',
  'cbHits',
  'misses',
  'timeouts',
  'cacheFull',
] as const
type Counter = (typeof COUNTERS)[number]

interface Times {
  readonly isResumable: boolean
  readonly timeSec: number
  readonly timeoutSec: number
}

/** One operation of a trace with what libssl said to it, and what has been said and set before: what witnesses look at. */
export class Moment {
  operation = ''
  what = ''
  words: readonly string[] = []
  nowMs = 1_700_000_000_000
  #lines: Observation = []
  readonly #settings: Map<string, string> = new Map()
  readonly #options: Map<string, number> = new Map()
  /** The latest session that the server has imported has an application protocol. */
  hasProtocol = false
  #isFirst = false
  readonly #open: Set<string> = new Set()
  readonly #set: Set<string> = new Set()
  #before: Map<string, readonly number[]> = new Map()
  #stats: Map<string, readonly number[]> = new Map()
  #cachedBefore: readonly string[] = []
  #cached: readonly string[] = []
  #timesBefore: Map<string, Times> = new Map()
  readonly #times: Map<string, Times> = new Map()
  /** Version and id of imported sessions by their names. */
  readonly #keys: Map<string, { readonly version: number; readonly id: string }> = new Map()

  advance(operation: string, lines: Observation): void {
    const [what = '', ...words] = operation.split(' ')
    this.operation = operation
    this.what = what
    this.words = words
    this.#lines = lines
    this.#before = new Map(this.#stats)
    this.#cachedBefore = this.#cached
    this.#timesBefore = new Map(this.#times)
    this.#noteSetting()
    for (const line of lines) this.#noteLine(line)
  }

  #noteSetting(): void {
    const [first = '', second = '', third = ''] = this.words
    const name = `${this.what} ${first}`
    this.#isFirst = !this.#settings.has(name)
    this.#settings.set(name, second)
    if (this.what === 'options') {
      const bits = this.#options.get(first) ?? 0
      this.#options.set(first, second === 'set' ? bits | Number(third) : bits & ~Number(third))
    } else if (this.what === 'clock') this.nowMs += Number(first)
    else if (this.what === 'open') this.#open.add(first)
    else if (this.what === 'free') this.#open.delete(first)
    else if (this.what === 'import') this.#noteImport(second)
    if (this.what === 'set' && second.startsWith('#') && this.has(/^= 1/)) this.#set.add(first)
    else if (this.what === 'open') this.#set.delete(first)
  }

  #noteImport(der: string): void {
    const name = /^= ([sc]\d+)$/.exec(this.#lines[0] ?? '')?.[1]
    if (name === undefined) return
    const session = decodeSslSession(new Uint8Array(Buffer.from(der, 'hex')))
    const { protocolVersion, sessionId } = session
    if (name.startsWith('s')) this.hasProtocol = session.alpnSelected !== undefined
    this.#keys.set(name, { version: protocolVersion, id: Buffer.from(sessionId).toString('hex') })
  }

  #noteLine(line: string): void {
    const [kind, name = '', ...rest] = line.split(' ')
    if (kind === 'stats') this.#stats.set(name, rest.map(Number))
    else if (kind === 'cache' && name === 'S') this.#cached = rest
    else if (kind === '~')
      this.#times.set(name, {
        isResumable: rest[0] === 'R',
        timeSec: Number(rest[1]),
        timeoutSec: Number(rest[2]),
      })
  }

  has(pattern: RegExp): boolean {
    return this.#lines.some((line) => pattern.test(line))
  }

  count(pattern: RegExp): number {
    return this.#lines.filter((line) => pattern.test(line)).length
  }

  setting(name: string, initial: string): string {
    return this.#settings.get(name) ?? initial
  }

  number(name: string, initial: number): number {
    return Number(this.#settings.get(name) ?? initial)
  }

  /** The operation is the first of the trace that sets this. */
  isFirst(name: string): boolean {
    return this.#isFirst && `${this.what} ${this.words[0]}` === name
  }

  options(letter: string): number {
    return this.#options.get(letter) ?? 0
  }

  get isAnyOpen(): boolean {
    return this.#open.size > 0
  }

  counter(letter: ContextLetter, name: Counter): number {
    return this.#stats.get(letter)?.[COUNTERS.indexOf(name)] ?? 0
  }

  delta(letter: ContextLetter, name: Counter): number {
    return this.counter(letter, name) - (this.#before.get(letter)?.[COUNTERS.indexOf(name)] ?? 0)
  }

  /** How the last handshake of the operation ended. */
  get hs(): { readonly server: string; readonly reused: string; readonly version: number } | undefined {
    const words = this.#lines.findLast((line) => line.startsWith('hs '))?.split(' ')
    if (words === undefined) return undefined
    const [, , server = '', , reused = '', version = ''] = words
    return { server: server.slice(2), reused: reused.slice(7), version: Number(version.slice(8)) }
  }

  /** Sessions left the server's cache that no eviction, and no look-up, has taken. */
  get isFlushed(): boolean {
    return this.has(/^rem S/) && this.delta('S', 'cacheFull') === 0 && this.delta('S', 'timeouts') === 0
  }

  /** The cache holds two sessions of one id. */
  get hasTwins(): boolean {
    const ids = this.#cached.flatMap((name) => this.#keys.get(name)?.id ?? [])
    return new Set(ids).size < ids.length
  }

  /** The latest import has an empty id. */
  get isNameless(): boolean {
    return [...this.#keys.values()].at(-1)?.id === ''
  }

  get #added(): readonly string[] {
    return this.#cached.filter((name) => !this.#cachedBefore.includes(name))
  }

  get hasAddedFlagged(): boolean {
    return this.#added.some((name) => this.#times.get(name)?.isResumable === false)
  }

  /** One took the place of another. */
  get isReplaced(): boolean {
    const gone = this.#cachedBefore.filter((name) => !this.#cached.includes(name))
    return this.#added.length > 0 && gone.length > 0 && this.delta('S', 'cacheFull') === 0
  }

  get hasChangedCached(): boolean {
    return this.#lines.some(
      (line) => line.startsWith('~ ') && this.#cached.includes(line.split(' ')[1] ?? ''),
    )
  }

  /** A new session has another timeout than the context gives. */
  get hasInherited(): boolean {
    const given = this.number('timeout S', 7200) || 7200
    return [...this.#times].some(
      ([name, { timeoutSec }]) => name[0] === 's' && !this.#timesBefore.has(name) && timeoutSec !== given,
    )
  }

  get isExpiredAtClient(): boolean {
    const name = this.#lines.find((line) => /^sess \d c /.test(line))?.split(' ')[3] ?? ''
    const times = this.#timesBefore.get(name)
    return times !== undefined && (times.timeSec + times.timeoutSec) * 1000 < this.nowMs - 999
  }

  /** A client was given a session, and offers nothing. */
  get isNotOffered(): boolean {
    return (
      this.what === 'handshake' &&
      this.#set.has(this.words[0] ?? '') &&
      this.has(/^hello \d \S+ (?:none|-) none$/) &&
      this.delta('C', 'misses') === 0
    )
  }
}
