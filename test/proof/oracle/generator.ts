import { Random } from '../../tools/random.ts'
import { encode } from '../../tools/session-fields.ts'
import { withoutKexGroup } from './historic-der.ts'
import { sharedScenarios } from './odd-sessions.ts'
import { CONTEXTS } from './scenario-parts.ts'
import { manyConnections, rareScenarios } from './scenarios.ts'
import type { Switches } from './switches.ts'

/** `rare`: nothing but scenarios, each of which aims at a rule that random operations seldom meet. */
export type Aim = 'all' | 'rare'

/**
 * Random traces over the whole of PROTOCOL.md. Each trace has a character of its own (versions, modes, which callbacks),
 * so that rules which need several things at once are met often; within it everything may change at any time. Every second
 * one is made of the scenarios for rare rules. What is exercised is counted: `npm run conformance -- --coverage`.
 */
export function generateTrace(
  seed: number,
  switches: Pick<Switches, 'OSSLTIME' | 'KEXGROUP'>,
  aim: Aim = 'all',
  isComplete: boolean = false,
): string[] {
  return new Generator(new Random(seed), switches, isComplete).generate(aim)
}

const START_SEC = 1_700_000_000
/** One for TLS 1.2, whose key exchange would fail with two; in TLS 1.3 the binder tells them apart. */
const KEYS = ['5a'.repeat(48), 'a5'.repeat(48)] as const
const IDS = ['11'.repeat(32), '22'.repeat(32), '33'.repeat(8), '44', '4400']

/** C strings: R12.5. */
const STRINGS = ['6578616d706c652e6f7267', '68', '006964', '696400', '6900640069']

type Weighted = readonly (readonly [
  weight: number,
  make: (generator: Generator) => string | readonly string[],
])[]

export class Generator {
  readonly random: Random
  readonly maxVersion: number
  readonly shared: boolean
  readonly stable: boolean
  nowMs = START_SEC * 1000
  connections = 3

  /** Without KEXGROUP a session that has one is no session. */
  readonly hasKexGroup: boolean
  /** Some builds know nothing of compression and SRP: they drop the one from a session, and refuse the other. */
  readonly isComplete: boolean
  /** Without OSSLTIME a sum of time and timeout beyond 2^64 ns is not the same as never. */
  readonly longTimeouts: readonly number[]

  constructor(
    random: Random,
    { OSSLTIME, KEXGROUP }: Pick<Switches, 'OSSLTIME' | 'KEXGROUP'>,
    isComplete: boolean,
  ) {
    this.random = random
    this.isComplete = isComplete
    this.hasKexGroup = KEXGROUP
    this.longTimeouts = OSSLTIME ? [18_446_744_072, 18_446_744_073] : [7200, 1_000_000_000]
    this.maxVersion = random.pick([771, 772])
    this.shared = random.chance(15)
    this.stable = random.chance(40)
  }

  generate(aim: Aim): string[] {
    const trace = [`reset ${Number(this.shared)}`]
    const isRare = aim === 'rare' || this.random.chance(50)
    if (this.random.chance(5)) return [...trace, ...manyConnections(this), 'end']
    trace.push(...this.setting())
    const length = 20 + this.random.below(60)
    while (trace.length < length) {
      if (isRare) {
        trace.push(...this.rareScenario())
        continue
      }
      const made = this.choose(this.random.chance(this.stable ? 3 : 12) ? settings : actions)
      trace.push(...(typeof made === 'string' ? [made] : made))
    }
    return [...trace, 'end']
  }

  /** A context for both roles has rules that two contexts do not have. */
  rareScenario(): readonly string[] {
    const { random } = this
    return random.pick(this.shared && random.chance(25) ? sharedScenarios : rareScenarios)(this)
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
    const others = random.pick([
      0, 0, 0, 0x80, 0x100, 0x200, 0x300, 0x400, 0x480, 0x500, 0x700, 0x10000000, 0x80000000,
    ])
    return (roles | others) >>> 0
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

  seconds(isCurrent: boolean = false): number {
    return (
      Math.floor(this.nowMs / 1000) +
      this.random.pick(isCurrent ? [-2, -1, 0] : [-20_000, -7300, -100, -11, -10, -2, -1, 0])
    )
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
    if (random.chance(10)) lines.push(`ticket ${k} ${1 + random.below(2)}`, `read ${k} c`)
    if (random.chance(4)) lines.push(`auth ${k}`)
    if (this.maxVersion === 771 && random.chance(20)) lines.push(...this.renegotiation(k))
    return [...lines, ...random.pick(endings)(k, random.pick(['s', 'c']))]
  }

  renegotiation(k: number): string[] {
    const { random } = this
    const change = random.chance(25)
      ? [`conn ${k} ${this.side()} options ${random.pick([0x1, 0x1, 0x10000])}`]
      : []
    return [
      ...change,
      `${random.pick(['reneg', 'reneg', 'ask'])} ${k} ${random.pick(['full', 'short', 'short'])}`,
    ]
  }

  /** @param fixed - what is not left to chance; the id and the ticket in hexadecimal */
  import(
    side: string = this.side(),
    version: number = this.random.pick([0x0303, 0x0304, 0x0303, 0x0304, 0x0302]),
    id: string = this.random.pick(IDS),
    fixed: {
      readonly ticket?: string
      readonly isNameless?: boolean
      readonly maxFragmentLengthMode?: number
      /** Made a moment ago. */
      readonly isCurrent?: boolean
      readonly key?: 0 | 1
      readonly maxEarlyData?: number
      readonly compressionId?: number
      readonly cipherSuite?: number
      readonly hasProtocol?: boolean
    } = {},
  ): string {
    const { random } = this
    const cipherSuite =
      fixed.cipherSuite ?? random.pick(version === 0x0304 ? [0x1301, 0x1302] : [0xc02b, 0xc02c])
    // Sometimes the ticket is an id, as it is of stateful TLS 1.3 sessions.
    const ticket = fixed.ticket ?? (random.chance(40) ? random.pick([id, id, random.hex(80)]) : undefined)
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text === '-' ? '' : text, 'hex'))
    const der = encode({
      protocolVersion: version,
      cipherSuite,
      sessionId: (fixed.isNameless ?? random.chance(5)) ? new Uint8Array(0) : bytes(id),
      masterKey: bytes(version === 0x0304 && fixed.key === undefined ? random.pick(KEYS) : KEYS[0]),
      timeSec: random.chance(10) ? 0 : this.seconds(fixed.isCurrent),
      timeoutSec: random.pick(fixed.isCurrent === true ? [0, 10, 7200] : [0, 1, 10, 100, 7200]),
      sessionIdContext: bytes(random.pick(CONTEXTS)),
      verifyResult: random.pick([0, 1, 18, -1]),
      ...(random.chance(30) ? { hostname: bytes(random.pick(STRINGS)) } : {}),
      ...(random.chance(10)
        ? { pskIdentityHint: bytes(random.pick(STRINGS)), pskIdentity: bytes(random.pick(STRINGS)) }
        : {}),
      ticketLifetimeHintSec: random.pick([0n, 300n, 604800n, 2n ** 64n - 1n]),
      ...(ticket === undefined || ticket === '' ? {} : { ticket: bytes(ticket) }),
      compressionId: fixed.compressionId ?? 0,
      // In TLS 1.3, extended master secret is an error.
      flags: random.pick(version === 0x0304 ? [0, 0, 0, 0x80000000, 1] : [0, 1, 1, 0x80000001]),
      ticketAgeAdd: random.pick([0, 1, 0xfedcba98, 0xffff_ffff]),
      maxEarlyData: fixed.maxEarlyData ?? random.pick([0, 16384]),
      ...((fixed.hasProtocol ?? random.chance(10)) ? { alpnSelected: bytes('6832') } : {}),
      maxFragmentLengthMode: fixed.maxFragmentLengthMode ?? random.pick([0, 0, 255]),
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
  (k) => [`set ${k} #-1`, `free ${k}`],
  () => [],
]

const actions: Weighted = [
  [60, (g) => g.visit()],
  [28, (g) => g.rareScenario()],
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
  [2, (g) => `ticket ${g.k()} ${1 + g.random.below(3)}`],
  [1, (g) => `auth ${g.k()}`],
  [1, (g) => `ask ${g.k()} ${g.random.pick(['full', 'short'])}`],
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
