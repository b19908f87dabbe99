import { encode } from '../codec/session-fields.ts'
import { withoutKexGroup } from './historic-der.ts'
import { Random } from './random.ts'
import type { Switches } from './switches.ts'

/**
 * Random traces over the whole of PROTOCOL.md. Each trace has a character of its own (versions, modes, which callbacks),
 * so that rules which need several things at once are met often; within it everything may change at any time.
 *
 * The rules that it is there to exercise: R1.3 to R1.7, R2.1 to R2.11, R3.1 to R3.3, R4.1 to R4.9, R5.1 to R5.3, R6.1 to
 * R6.10, R7, R8.1 to R8.9, R9.1 to R9.5, R10.1 to R10.16, R11.1 to R11.8, R12.1 to R12.9.
 */
export function generateTrace(seed: number, switches: Pick<Switches, 'OSSLTIME' | 'KEXGROUP'>): string[] {
  return new Generator(new Random(seed), switches).generate()
}

const START_SEC = 1_700_000_000
const CONTEXTS = ['a6ca', '-', '00', '63747832']
/** One for TLS 1.2, whose key exchange would fail with two; in TLS 1.3 the binder tells them apart. */
const KEYS = ['5a'.repeat(48), 'a5'.repeat(48)]
const IDS = ['11'.repeat(32), '22'.repeat(32), '33'.repeat(8), '44']

/** C strings: R12.5. */
const STRINGS = ['6578616d706c652e6f7267', '68', '006964', '696400', '6900640069']

type Weighted = readonly (readonly [
  weight: number,
  make: (generator: Generator) => string | readonly string[],
])[]

class Generator {
  readonly random: Random
  readonly maxVersion: number
  readonly shared: boolean
  readonly stable: boolean
  nowMs = START_SEC * 1000
  connections = 3

  /** Without KEXGROUP a session that has one is no session. */
  readonly hasKexGroup: boolean
  /** Without OSSLTIME a sum of time and timeout beyond 2^64 ns is not the same as never. */
  readonly longTimeouts: readonly number[]

  constructor(random: Random, { OSSLTIME, KEXGROUP }: Pick<Switches, 'OSSLTIME' | 'KEXGROUP'>) {
    this.random = random
    this.hasKexGroup = KEXGROUP
    this.longTimeouts = OSSLTIME ? [18_446_744_072, 18_446_744_073] : [7200, 1_000_000_000]
    this.maxVersion = random.pick([771, 772])
    this.shared = random.chance(15)
    this.stable = random.chance(40)
  }

  generate(): string[] {
    const trace = [`reset ${Number(this.shared)}`]
    if (this.random.chance(5)) return [...trace, ...this.hundreds(), 'end']
    trace.push(...this.setting())
    const length = 20 + this.random.below(60)
    while (trace.length < length) {
      const made = this.choose(this.random.chance(this.stable ? 3 : 12) ? settings : actions)
      trace.push(...(typeof made === 'string' ? [made] : made))
    }
    return [...trace, 'end']
  }

  choose(table: Weighted): string | readonly string[] {
    const total = table.reduce((sum, [weight]) => sum + weight, 0)
    let at = this.random.below(total)
    for (const [weight, make] of table) {
      if (at < weight) return make(this)
      at -= weight
    }
    return []
  }

  setting(): string[] {
    const { random } = this
    const lines = [`maxver S ${this.maxVersion}`]
    for (const [percent, make] of initially) if (random.chance(percent)) lines.push(...make(this))
    return lines
  }

  mode(): number {
    const { random } = this
    const roles = random.pick([2, 2, 2, 3, 3, 0, 1])
    return roles | random.pick([0, 0, 0, 0x80, 0x100, 0x200, 0x300, 0x400, 0x480, 0x500, 0x700, 0x10000000])
  }

  context(): string {
    return this.random.pick(['S', 'S', 'C'])
  }

  side(): string {
    return this.random.pick(['s', 'c'])
  }

  /** Mostly one of the last sessions. */
  session(): string {
    return `#${this.random.chance(60) ? -1 - this.random.below(4) : this.random.below(40)}`
  }

  k(): number {
    return this.random.below(this.connections)
  }

  seconds(): number {
    return Math.floor(this.nowMs / 1000) + this.random.pick([-7300, -100, -11, -10, -2, -1, 0])
  }

  clock(ms: number): string {
    this.nowMs += ms
    return `clock ${ms}`
  }

  /** The usual life of a connection. */
  visit(): string[] {
    const { random } = this
    const k = this.k()
    const lines = [`free ${k}`, `open ${k}`]
    if (random.chance(80)) lines.push(`set ${k} ${random.chance(75) ? '#-1' : this.session()}`)
    if (random.chance(4)) lines.push(`conn ${k} c sidctx ${random.pick(CONTEXTS)}`)
    lines.push(`handshake ${k}`)
    if (random.chance(85)) lines.push(`read ${k} c`)
    if (random.chance(10)) lines.push(`ticket ${k}`, `read ${k} c`)
    if (this.maxVersion === 771 && random.chance(20)) lines.push(...this.renegotiation(k))
    return [...lines, ...random.pick(endings)(k, random.pick(['s', 'c']))]
  }

  renegotiation(k: number): string[] {
    const { random } = this
    const change = random.chance(25)
      ? [`conn ${k} ${this.side()} options ${random.pick([0x1, 0x1, 0x10000])}`]
      : []
    return [...change, `reneg ${k} ${random.pick(['full', 'short', 'short'])}`]
  }

  /** A connection whose session comes back at the very end of its life, or of its ticket's. */
  boundary(): string[] {
    const { random } = this
    const k = this.k()
    const seconds = random.pick([1, 2, 10, 60])
    const visit = (session: string): string[] => [
      `free ${k}`,
      `open ${k}`,
      `set ${k} ${session}`,
      `handshake ${k}`,
      `read ${k} c`,
      `shutdown ${k} s`,
      `shutdown ${k} c`,
    ]
    return [
      `timeout S ${seconds}`,
      ...visit('-'),
      this.clock(seconds * 1000 + random.pick([-1, 0, 1, 999, 1000, 1001, 1999, 2000, 2001])),
      ...visit('#-1'),
    ]
  }

  /** The server is given another context, and perhaps its own again: R2.8, R7, R9.2. */
  switched(): string[] {
    const { random } = this
    const k = this.k()
    const context = (): string => `sidctx ${random.pick(['S', 'T', 'T'])} ${random.pick(CONTEXTS)}`
    const change = (): string[] =>
      random.pick([
        [`switch ${k} T`],
        [`switch ${k} T`, `switch ${k} S`],
        [`switch ${k} T`, context(), `switch ${k} S`],
        [`conn ${k} s sidctx ${random.pick(CONTEXTS)}`, `switch ${k} T`],
      ])
    const lines = [
      `mode T ${random.pick([0, 1, 2, 3])}`,
      context(),
      context(),
      `switching ${random.pick(['never', 'hello', 'name'])}`,
      `free ${k}`,
      `open ${k}`,
      ...(random.chance(60) ? change() : []),
      ...(random.chance(60) ? [`set ${k} #-1`] : []),
      `handshake ${k}`,
      `read ${k} c`,
      ...(random.chance(30) ? change() : []),
      ...(random.chance(30) ? this.renegotiation(k) : []),
      `shutdown ${k} c`,
      `shutdown ${k} s`,
      ...(random.chance(40) ? [`clear ${k}`, ...(random.chance(40) ? change() : []), `handshake ${k}`] : []),
    ]
    return random.chance(70) ? [...lines, 'switching never'] : lines
  }

  /** A connection is used again, with other settings than before. */
  again(): string[] {
    const { random } = this
    const k = this.k()
    const setting = (): string => {
      const side = this.side()
      return random.pick([
        `conn ${k} ${side} options ${random.pick([0x1, 0x1, 0x80, 0x4000, 0x1000000])}`,
        `conn ${k} ${side} without ${random.pick([0x1, 0x80, 0x4000, 0x1000000])}`,
        `conn ${k} ${side} sidctx ${random.pick(CONTEXTS)}`,
        `conn ${k} s tickets ${random.below(4)}`,
        `conn ${k} s early ${random.pick([0, 100])}`,
        `conn ${k} s verify ${random.below(2)}`,
        `conn ${k} ${side} quiet ${random.below(2)}`,
      ])
    }
    const handshake = [`handshake ${k}`, `read ${k} c`, `shutdown ${k} s`, `shutdown ${k} c`]
    return [
      `free ${k}`,
      `open ${k}`,
      ...(random.chance(50) ? [`set ${k} #-1`] : []),
      ...(random.chance(50) ? [setting()] : []),
      ...handshake,
      `clear ${k}`,
      setting(),
      ...(random.chance(50) ? [setting()] : []),
      ...handshake,
      ...(random.chance(50) ? [`clear ${k}`, setting(), ...handshake] : []),
    ]
  }

  /** An end of file that is ignored makes the connection forget that it has sent close_notify: R11.7. */
  ignoredEnd(): string[] {
    const { random } = this
    const k = this.k()
    const side = this.side()
    return [
      `free ${k}`,
      `open ${k}`,
      `conn ${k} ${side} options ${0x80}`,
      `handshake ${k}`,
      `read ${k} c`,
      ...(random.chance(70) ? [`shutdown ${k} ${side}`] : []),
      `eof ${k} ${side}`,
      random.pick([`free ${k}`, `clear ${k}`]),
    ]
  }

  /** A cache that has been out of order, and is emptied, is in order again: LISTFIX, R4.3. */
  emptied(): string[] {
    const { random } = this
    const x = this.context()
    const side = x.toLowerCase()
    const add = (): string[] => [
      this.import(side),
      `settimeout ${side} #-1 ${1 + random.below(30)}`,
      `add ${x} #-1`,
    ]
    const several = (count: number): string[] => Array.from({ length: count }, add).flat()
    return [
      `size ${x} 0`,
      `mode ${x} ${0x402}`,
      ...several(4),
      this.clock(random.pick([1000, 2000, 3000])),
      ...(random.chance(80) ? [`add ${x} #-1`, `add ${x} #-2`] : []),
      random.pick([`flush ${x} 0`, `flush ${x} ${Math.floor(this.nowMs / 1000) + 100}`]),
      `mode ${x} 2`,
      ...several(5 + random.below(5)),
      `remcb ${x} 1`,
      ...(random.chance(50) ? [`size ${x} 3`, ...add()] : []),
      `flush ${x} ${Math.floor(this.nowMs / 1000) + random.below(30)}`,
    ]
  }

  /** A copy is nobody's but its holder's. */
  copies(): string[] {
    const { random } = this
    const side = this.side()
    const changes = [
      `setctx ${side} #-1 ${random.pick(CONTEXTS)}`,
      `settime ${side} #-1 ${this.seconds()}`,
      `settimeout ${side} #-1 ${random.pick([1, 10, 100])}`,
      `add ${side.toUpperCase()} #-1`,
    ]
    return [
      ...(random.chance(60) ? [this.import(side)] : []),
      `dup ${side} #-1`,
      ...(random.chance(30) ? [`dup ${side} #-1`] : []),
      random.pick(changes),
      random.pick(changes),
      `show ${side} #-1`,
      `show ${side} #-2`,
    ]
  }

  /** A generator that comes after its connection: R8.4. */
  lateGenerator(): string[] {
    const { random } = this
    const k = this.k()
    const late = [`idcb S ${random.pick([0, 1, 2, 7])}`, `conn ${k} s idcb ${random.pick([0, 1, 2, 7])}`]
    return [
      `idcb S ${random.pick([0, 0, 1, 2])}`,
      `free ${k}`,
      `open ${k}`,
      random.pick(late),
      `handshake ${k}`,
      'idcb S 0',
    ]
  }

  /** The external cache knows the id, at this or at another version. */
  foreignVersion(): string[] {
    const { random } = this
    const k = this.k()
    const id = random.pick(IDS.slice(0, 2))
    return [
      `getcb S ${random.pick([1, 2])}`,
      this.import('s', random.pick([0x0303, 0x0304, 0x0302]), id),
      random.pick(['extput S #-1', 'extput S #-1', 'add S #-1']),
      this.import('c', random.pick([0x0303, 0x0304]), id),
      `free ${k}`,
      `open ${k}`,
      `set ${k} #-1`,
      `handshake ${k}`,
      `read ${k} c`,
    ]
  }

  /** The cache alone: what is added, how it is ordered, what is evicted and flushed. */
  cacheOnly(): string[] {
    const { random } = this
    const x = this.context()
    const side = x.toLowerCase()
    const lines = [
      `mode ${x} ${random.pick([2, 0x402, 0x402, 3])}`,
      `size ${x} ${random.pick([0, 2, 3, 4])}`,
      `remcb ${x} 1`,
    ]
    const one = (): string => `#${-1 - random.below(5)}`
    for (let count = 8 + random.below(10); count > 0; count--) {
      const timeout = random.pick([1, 10, 10, 20, 7200, ...this.longTimeouts])
      lines.push(
        ...random.pick<() => string[]>([
          () => [this.import(side), `settimeout ${side} #-1 ${timeout}`, `add ${x} #-1`],
          () => [this.import(side), `add ${x} #-1`],
          () => [`add ${x} ${one()}`],
          () => [this.clock(random.pick([1, 1000, 5000])), `add ${x} ${one()}`],
          () => [`settime ${side} ${one()} ${this.seconds()}`],
          () => [`settimeout ${side} ${one()} ${timeout}`],
          () => [`flush ${x} ${this.seconds() + random.pick([0, 1, 5, 10, 11, 20])}`],
          () => [`remove ${x} ${one()}`],
          () => [`flush ${x} ${random.pick([0, 0, this.seconds()])}`],
          () => [`dup ${side} ${one()}`, `add ${x} #-1`],
        ])(),
      )
    }
    return lines
  }

  /** Around the 255th connection of a role, with sessions that have expired and wait for the flush. */
  hundreds(): string[] {
    const { random } = this
    const one = (): string[] => (random.chance(70) ? [this.clock(6_000), 'repeat 7 1'] : ['repeat 7 1'])
    const singles = (): string[] => Array.from({ length: 10 }, one).flat()
    return [
      `maxver S ${this.maxVersion}`,
      ...(random.chance(75) ? [`options S set ${0x4000}`] : []),
      `mode S ${random.pick([2, 2, 3, 3, 0x82, 1])}`,
      ...(this.shared ? [] : [`mode C ${random.pick([1, 1, 3, 0x81, 2])}`]),
      `tickets S ${random.pick([1, 1, 2])}`,
      'timeout S 5',
      'timeout C 5',
      ...(random.chance(40)
        ? [`switching ${random.pick(['hello', 'name'])}`, `mode T ${random.pick([2, 0x82, 0])}`]
        : []),
      ...(random.chance(30) ? [`repeat 7 ${1 + random.below(5)}`, 'switching never'] : []),
      `repeat 7 ${(this.shared && random.chance(50) ? 124 : 248) + random.below(3)}`,
      ...singles(),
      `repeat 7 ${244 + random.below(3)}`,
      ...singles(),
    ]
  }

  import(
    side: string = this.side(),
    version: number = this.random.pick([0x0303, 0x0304, 0x0303, 0x0304, 0x0302]),
    id: string = this.random.pick(IDS),
  ): string {
    const { random } = this
    const cipherSuite = version === 0x0304 ? random.pick([0x1301, 0x1302]) : random.pick([0xc02b, 0xc02c])
    // Sometimes the ticket is an id, as it is of stateful TLS 1.3 sessions.
    const ticket = random.chance(40) ? random.pick([id, id, random.hex(80)]) : undefined
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text === '-' ? '' : text, 'hex'))
    const der = encode({
      protocolVersion: version,
      cipherSuite,
      sessionId: random.chance(5) ? new Uint8Array(0) : bytes(id),
      masterKey: bytes(version === 0x0304 ? random.pick(KEYS) : (KEYS[0] ?? '')),
      timeSec: random.chance(10) ? 0 : this.seconds(),
      timeoutSec: random.pick([0, 1, 10, 100, 7200]),
      sessionIdContext: bytes(random.pick(CONTEXTS)),
      verifyResult: random.pick([0, 1, 18, -1]),
      ...(random.chance(30) ? { hostname: bytes(random.pick(STRINGS)) } : {}),
      ...(random.chance(10)
        ? { pskIdentityHint: bytes(random.pick(STRINGS)), pskIdentity: bytes(random.pick(STRINGS)) }
        : {}),
      ticketLifetimeHintSec: random.pick([0n, 300n, 604800n, 2n ** 64n - 1n]),
      ...(ticket === undefined ? {} : { ticket: bytes(ticket) }),
      compressionId: 0,
      flags: random.pick([0, 1, 1, 0x80000001]),
      ticketAgeAdd: random.pick([0, 1, 0xfedcba98]),
      maxEarlyData: random.pick([0, 16384]),
      ...(random.chance(10) ? { alpnSelected: bytes('6832') } : {}),
      maxFragmentLengthMode: random.pick([0, 0, 255]),
      ...(random.chance(10) ? { ticketAppData: bytes('617070') } : {}),
      kexGroup: random.pick([0, 29, 23]),
    })
    const encoded = Buffer.from(der).toString('hex')
    const text = this.hasKexGroup || random.chance(3) ? encoded : withoutKexGroup(encoded)
    return `import ${side} ${random.chance(3) ? text.slice(0, -2) : text}`
  }
}

/** What a trace may begin with, each by its percentage. */
const initially: readonly (readonly [percent: number, make: (generator: Generator) => string[]])[] = [
  [70, (g) => [`mode C ${g.random.pick([1, 3, 3, 0x203])}`]],
  [50, (g) => [`mode S ${g.mode()}`]],
  [50, () => [`options S set ${0x4000}`]],
  [60, (g) => [`newcb S ${g.random.pick([1, 2, 5, 6])}`, `remcb S ${g.random.below(2)}`]],
  [50, (g) => [`newcb C ${g.random.pick([1, 2])}`, `remcb C ${g.random.below(2)}`]],
  [50, (g) => [`getcb S ${g.random.pick([1, 1, 2, 2, 3, 4])}`]],
  [30, (g) => [`size S ${1 + g.random.below(6)}`]],
  [20, (g) => [`size C ${1 + g.random.below(4)}`]],
  [30, (g) => [`timeout S ${g.random.pick([1, 2, 10, 60])}`]],
  [20, (g) => [`timeout C ${g.random.pick([1, 10, 100])}`]],
  [20, (g) => [`sidctx S ${g.random.pick(CONTEXTS)}`]],
  [15, () => ['verify S 1']],
  [10, () => ['verify C 1']],
  [20, () => ['early S 16384']],
  [8, () => ['early S 16384', `options S set ${0x100_0000}`]],
  [12, (g) => [`idcb S ${g.random.pick([1, 2, 2, 6, 7])}`]],
  [10, () => ['groups S 1']],
]

/** How a connection ends. */
const endings: readonly ((k: number, side: string) => string[])[] = [
  ...new Array<(k: number) => string[]>(7).fill((k) => [`shutdown ${k} s`, `shutdown ${k} c`, `free ${k}`]),
  (k) => [`sent ${k} c`, `sent ${k} s`, `free ${k}`],
  (k) => [`free ${k}`],
  (k) => [`shutdown ${k} c`, `read ${k} s`, `clear ${k}`],
  (k) => [`clear ${k}`, `has ${k} #-1`, `handshake ${k}`],
  (k, side) => [`shutdown ${k} ${side}`, `eof ${k} ${side}`, `free ${k}`],
  (k, side) => [`shutdown ${k} ${side}`, `garbage ${k} ${side}`, `free ${k}`],
  (k, side) => [`eof ${k} ${side}`, `free ${k}`],
  () => [],
]

const actions: Weighted = [
  [60, (g) => g.visit()],
  [4, (g) => g.boundary()],
  [3, (g) => g.cacheOnly()],
  [2, (g) => g.lateGenerator()],
  [4, (g) => g.switched()],
  [4, (g) => g.again()],
  [2, (g) => g.ignoredEnd()],
  [2, (g) => g.copies()],
  [2, (g) => g.emptied()],
  [3, (g) => g.foreignVersion()],
  [8, (g) => g.clock(g.random.pick([1, 400, 999, 1000, 1001, 2000, 9000, 61_000]))],
  [
    5,
    (g) => {
      const side = g.side()
      return [g.import(side), `show ${side} #-1`]
    },
  ],
  [4, (g) => `add ${g.context()} ${g.session()}`],
  [3, (g) => `remove ${g.context()} ${g.session()}`],
  [
    2,
    (g) =>
      `flush ${g.context()} ${g.random.chance(15) ? 0 : g.seconds() + g.random.pick([0, 1, 10, 11, 60])}`,
  ],
  [2, (g) => `extput S ${g.session()}`],
  [1, (g) => `extdel S ${g.session()}`],
  [2, (g) => `dup ${g.side()} ${g.session()}`],
  [2, (g) => `settime ${g.side()} ${g.session()} ${g.seconds()}`],
  [
    2,
    (g) => `settimeout ${g.side()} ${g.session()} ${g.random.pick([0, 1, 10, 100, 7200, ...g.longTimeouts])}`,
  ],
  [1, (g) => `setctx ${g.side()} ${g.session()} ${g.random.pick(CONTEXTS)}`],
  [1, (g) => `show ${g.side()} ${g.session()}`],
  [3, (g) => [`open ${g.k()}`, `handshake ${g.k()}`]],
  [2, (g) => `read ${g.k()} ${g.side()}`],
  [2, (g) => `ticket ${g.k()}`],
  [1, (g) => `reneg ${g.k()} ${g.random.pick(['full', 'short'])}`],
  [2, (g) => `shutdown ${g.k()} ${g.side()}`],
  [1, (g) => `sent ${g.k()} ${g.side()}`],
  [2, (g) => `eof ${g.k()} ${g.side()}`],
  [2, (g) => `garbage ${g.k()} ${g.side()}`],
  [2, (g) => `clear ${g.k()}`],
  [1, (g) => `free ${g.k()}`],
  [1, (g) => `set ${g.k()} ${g.random.chance(80) ? g.session() : '-'}`],
  [1, (g) => `has ${g.k()} ${g.session()}`],
  [2, (g) => [`collide ${g.random.pick([1, 2, 9, 10])}`, ...g.visit()]],
  [1, (g) => `conn ${g.k()} ${g.side()} sidctx ${g.random.pick(CONTEXTS)}`],
  [1, (g) => `conn ${g.k()} s verify ${g.random.below(2)}`],
  [1, (g) => `conn ${g.k()} ${g.side()} options ${g.random.pick([0x1, 0x80, 0x4000, 0x10000, 0x1000000])}`],
  [1, (g) => `conn ${g.k()} s tickets ${g.random.below(4)}`],
  [1, (g) => `conn ${g.k()} s early ${g.random.pick([0, 100])}`],
  [1, (g) => `conn ${g.k()} s idcb ${g.random.below(8)}`],
]

const settings: Weighted = [
  [4, (g) => `mode ${g.context()} ${g.mode()}`],
  [3, (g) => `size ${g.context()} ${g.random.pick([-1, 0, 1, 2, 3, 5, 8])}`],
  [2, (g) => `timeout ${g.context()} ${g.random.pick([0, 1, 10, 100, 7200, 700_000])}`],
  [3, (g) => `sidctx ${g.context()} ${g.random.chance(5) ? 'aa'.repeat(33) : g.random.pick(CONTEXTS)}`],
  [3, (g) => `verify ${g.context()} ${g.random.below(2)}`],
  [
    4,
    (g) =>
      `options ${g.context()} ${g.random.pick(['set', 'clear'])} ${g.random.pick([0x1, 0x80, 0x4000, 0x4000, 0x10000, 0x100000, 0x1000000])}`,
  ],
  [2, (g) => `tickets S ${g.random.below(4)}`],
  [2, (g) => `early S ${g.random.pick([0, 16384])}`],
  [2, (g) => `maxver ${g.context()} ${g.random.pick([771, 772, 772])}`],
  [1, (g) => `suite ${g.context()} ${g.random.below(3)}`],
  [1, (g) => `groups ${g.context()} ${g.random.below(2)}`],
  [2, (g) => `newcb ${g.context()} ${g.random.pick([0, 1, 2, 5, 6])}`],
  [3, (g) => `getcb S ${g.random.pick([0, 1, 1, 2, 2, 3, 4])}`],
  [2, (g) => `remcb ${g.context()} ${g.random.below(2)}`],
  [2, (g) => `idcb S ${g.random.chance(50) ? 0 : g.random.below(8)}`],
  [1, (g) => `notres S ${g.random.below(3)}`],
]
