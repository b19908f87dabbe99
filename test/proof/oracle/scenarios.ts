import type { Random } from '../../tools/random.ts'
import { encodings } from './encodings.ts'
import type { Generator } from './generator.ts'
import { oddSessions } from './odd-sessions.ts'
import { CONTEXTS, TWO_IDS, visit } from './scenario-parts.ts'

/** A connection whose session comes back at the very end of its life, or of its ticket's. */
function boundary(g: Generator): string[] {
  const { random } = g
  const k = g.k()
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
    ...(random.chance(50) ? [g.clock(random.pick([1, 400, 999]))] : []),
    ...visit('-'),
    // A copy ends when it ended, to the millisecond.
    ...(random.chance(40) ? ['dup s #-1', 'add S #-1'] : []),
    g.clock(seconds * 1000 + random.pick([-1, 0, 1, 999, 1000, 1001, 1999, 2000, 2001])),
    ...visit('#-1'),
  ]
}

/** Settings of the context that a server is switched to. */
const elsewhere: readonly ((random: Random) => string)[] = [
  (random) => `newcb T ${random.below(3)}`,
  (random) => `remcb T ${random.below(2)}`,
  (random) => `getcb T ${random.below(3)}`,
  (random) => `notres T ${random.below(3)}`,
  (random) => `tickets T ${random.below(4)}`,
  (random) => `early T ${random.pick([0, 16384])}`,
  (random) => `size T ${random.below(3)}`,
  (random) =>
    `options T ${random.pick(['set', 'clear'])} ${random.pick([0x1, 0x4000, 0x10000, 0x100000, 0x1000000])}`,
]

/** The server is given another context, and perhaps its own again: R2.8, R7, R9.2. */
function switched(g: Generator): string[] {
  const { random } = g
  const k = g.k()
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
    ...(random.chance(30) ? [`idcb T ${random.pick([0, 1, 2])}`, `idcb S ${random.pick([0, 1])}`] : []),
    ...(random.chance(30) ? [`timeout T ${random.pick([1, 10])}`, `verify T ${random.below(2)}`] : []),
    // None of these is of any weight for a connection that comes to T.
    ...(random.chance(50) ? [random.pick(elsewhere)(random), random.pick(elsewhere)(random)] : []),
    context(),
    context(),
    `switching ${random.pick(['never', 'hello', 'name'])}`,
    `free ${k}`,
    `open ${k}`,
    ...(random.chance(60) ? change() : []),
    ...(random.chance(30) ? [`conn ${k} s groups 1`] : []),
    ...(random.chance(60) ? [`set ${k} #-1`] : []),
    `handshake ${k}`,
    `read ${k} c`,
    ...(random.chance(30) ? change() : []),
    ...(random.chance(40) ? [`has ${k} #-1`, `has ${k} #-2`] : []),
    ...(random.chance(30) ? g.renegotiation(k) : []),
    `shutdown ${k} c`,
    `shutdown ${k} s`,
    ...(random.chance(40) ? [`clear ${k}`, ...(random.chance(40) ? change() : []), `handshake ${k}`] : []),
  ]
  return random.chance(70) ? [...lines, 'switching never'] : lines
}

/** A connection is used again, with other settings than before. */
function again(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const setting = (): string => {
    const side = g.side()
    return random.pick([
      `conn ${k} ${side} options ${random.pick([0x1, 0x1, 0x80, 0x4000, 0x1000000])}`,
      `conn ${k} ${side} without ${random.pick([0x1, 0x80, 0x4000, 0x1000000])}`,
      `conn ${k} ${side} sidctx ${random.pick(CONTEXTS)}`,
      `conn ${k} s tickets ${random.below(4)}`,
      `conn ${k} s early ${random.pick([0, 100])}`,
      `conn ${k} s verify ${random.below(2)}`,
      `conn ${k} ${side} quiet ${random.below(2)}`,
      `conn ${k} s groups ${random.below(2)}`,
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
    ...(random.chance(40) ? [`has ${k} #-1`, `has ${k} #-2`] : []),
    setting(),
    ...(random.chance(50) ? [setting()] : []),
    ...handshake,
    ...(random.chance(50) ? [`clear ${k}`, setting(), ...handshake] : []),
  ]
}

/** An end of file that is ignored makes the connection forget that it has sent close_notify: R11.7. */
function ignoredEnd(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const side = g.side()
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
function emptied(g: Generator): string[] {
  const { random } = g
  const x = g.context()
  const side = x.toLowerCase()
  const add = (): string[] => [
    g.import(side),
    `settimeout ${side} #-1 ${1 + random.below(30)}`,
    `add ${x} #-1`,
  ]
  const several = (count: number): string[] => Array.from({ length: count }, add).flat()
  return [
    `size ${x} 0`,
    `mode ${x} ${0x402}`,
    ...several(4),
    g.clock(random.pick([1000, 2000, 3000])),
    ...(random.chance(80) ? [`add ${x} #-1`, `add ${x} #-2`] : []),
    random.pick([`flush ${x} 0`, `flush ${x} ${Math.floor(g.nowMs / 1000) + 100}`]),
    `mode ${x} 2`,
    ...several(5 + random.below(5)),
    `remcb ${x} 1`,
    ...(random.chance(50) ? [`size ${x} 3`, ...add()] : []),
    `flush ${x} ${Math.floor(g.nowMs / 1000) + random.below(30)}`,
  ]
}

/** A copy is nobody's but its holder's. */
function copies(g: Generator): string[] {
  const { random } = g
  const side = g.side()
  const changes = (one: string): string[] => {
    const every = [
      `setctx ${side} ${one} ${random.pick(CONTEXTS)}`,
      `settime ${side} ${one} ${g.seconds()}`,
      `settimeout ${side} ${one} ${random.pick([1, 10, 100])}`,
      `sethost ${side} ${one} ${random.pick(['-', '-', '68', '6578616d706c65'])}`,
      `sethost ${side} ${one} ${random.pick(['-', '-', '68', '6578616d706c65'])}`,
      `setdata ${side} ${one} ${random.pick(['61', '617070'])}`,
      `add ${side.toUpperCase()} ${one}`,
    ]
    return [random.pick(every), random.pick(every), `show ${side} ${one}`]
  }
  return [
    ...(random.chance(80) ? [g.import(side)] : []),
    ...changes('#-1'),
    `dup ${side} #-1`,
    ...(random.chance(30) ? [`dup ${side} #-1`] : []),
    ...changes('#-1'),
    `show ${side} #-2`,
    ...changes('#-2'),
    `show ${side} #-1`,
  ]
}

/** A generator that comes after its connection: R8.4. */
function lateGenerator(g: Generator): string[] {
  const { random } = g
  const k = g.k()
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
function foreignVersion(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const id = random.pick(TWO_IDS)
  return [
    `getcb S ${random.pick([1, 2])}`,
    g.import('s', random.pick([0x0303, 0x0304, 0x0302]), id),
    random.pick(['extput S #-1', 'extput S #-1', 'add S #-1']),
    g.import('c', random.pick([0x0303, 0x0304]), id),
    `free ${k}`,
    `open ${k}`,
    `set ${k} #-1`,
    `handshake ${k}`,
    `read ${k} c`,
  ]
}

/** The cache alone: what is added, how it is ordered, what is evicted and flushed. */
function cacheOnly(g: Generator): string[] {
  const { random } = g
  const x = g.context()
  const side = x.toLowerCase()
  const lines = [
    `mode ${x} ${random.pick([2, 0x402, 0x402, 3])}`,
    `size ${x} ${random.pick([0, 2, 3, 4])}`,
    `remcb ${x} 1`,
  ]
  const one = (): string => `#${-1 - random.below(5)}`
  for (let count = 8 + random.below(10); count > 0; count--) {
    const timeout = random.pick([1, 10, 10, 20, 7200, ...g.longTimeouts])
    lines.push(
      ...random.pick<() => string[]>([
        () => [g.import(side), `settimeout ${side} #-1 ${timeout}`, `add ${x} #-1`],
        () => [g.import(side), `add ${x} #-1`],
        () => [`add ${x} ${one()}`],
        () => [g.clock(random.pick([1, 1000, 5000])), `add ${x} ${one()}`],
        () => [`settime ${side} ${one()} ${g.seconds()}`],
        () => [`settimeout ${side} ${one()} ${timeout}`],
        () => [`flush ${x} ${g.seconds() + random.pick([0, 1, 5, 10, 11, 20])}`],
        () => [`remove ${x} ${one()}`],
        () => [`flush ${x} ${random.pick([0, 0, g.seconds()])}`],
        () => [`dup ${side} ${one()}`, `add ${x} #-1`],
      ])(),
    )
  }
  return lines
}

/** Around the 255th connection of a role, with sessions that have expired and wait for the flush. */
export function manyConnections(g: Generator): string[] {
  const { random } = g
  /** A session that comes back: its connection counts, and stores nothing in TLS 1.2. */
  const resumed = ['open 6', 'set 6 #-1', 'handshake 6', 'read 6 c', 'shutdown 6 s', 'shutdown 6 c', 'free 6']
  const one = (): readonly string[] => [
    ...(random.chance(70) ? [g.clock(random.pick([1000, 5000, 5001, 6000]))] : []),
    // One that stores nothing may miss its flush: R2.7.
    ...(random.chance(12)
      ? ['verify S 1', 'repeat 7 1', 'verify S 0']
      : random.pick([['repeat 7 1'], ['repeat 7 1'], resumed])),
  ]
  const singles = (): string[] => Array.from({ length: 10 }, one).flat()
  return [
    `maxver S ${g.maxVersion}`,
    ...(random.chance(75) ? [`options S set ${0x4000}`] : []),
    `mode S ${random.pick([2, 2, 3, 3, 0x82, 1])}`,
    ...(g.shared ? [] : [`mode C ${random.pick([1, 1, 3, 0x81, 2])}`]),
    `tickets S ${random.pick([1, 1, 2])}`,
    ...(random.chance(85) ? ['remcb S 1', 'remcb C 1'] : []),
    ...(random.chance(25) ? [`size S ${2 + random.below(3)}`] : []),
    ...(random.chance(30) ? [`newcb S ${1 + random.below(2)}`] : []),
    'timeout S 5',
    'timeout C 5',
    ...(random.chance(40)
      ? [`switching ${random.pick(['hello', 'name'])}`, `mode T ${random.pick([2, 0x82, 0])}`]
      : []),
    ...(random.chance(30) ? [`repeat 7 ${1 + random.below(5)}`, 'switching never'] : []),
    `repeat 7 ${(g.shared && random.chance(50) ? 124 : 248) + random.below(3)}`,
    ...singles(),
    `repeat 7 ${244 + random.below(3)}`,
    ...singles(),
  ]
}

/** Ids of every length, from either generator; what has one may come back: R8.4 to R8.9. */
function generatedIds(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const mode = random.pick([1, 2, 2, 3, 4, 5, 6, 6, 6, 7, 7])
  const set = random.pick([`idcb S ${mode}`, `conn ${k} s idcb ${mode}`])
  return [
    `options S ${random.pick(['set', 'set', 'clear'])} ${0x4000}`,
    ...(set.startsWith('idcb') ? [set] : []),
    ...visit(k, random.pick(['-', '#-1']), ...(set.startsWith('idcb') ? [] : [set])),
    ...visit(g.k(), '#-1'),
    `has ${k} #-1`,
    'idcb S 0',
  ]
}

const WEEK = 604_800

/** How long tickets last, of new and of resumed sessions: R6.2, R6.9, R10.5, R10.14, R10.16. */
function lifetimes(g: Generator): string[] {
  const { random } = g
  const seconds = random.pick([0, 1, 30, WEEK - 1, WEEK, WEEK + 1, 700_000])
  const lasting = seconds === 0 ? 7200 : seconds
  return [
    `timeout S ${seconds}`,
    ...(random.chance(50) ? [`timeout C ${random.pick([0, 1, 30])}`] : []),
    ...visit(g.k(), '-'),
    g.clock(
      random.pick([
        1000,
        2000,
        31_000,
        lasting * 1000 + random.pick([-1000, -1, 0, 1, 1000, 1001, 1999, 2000]),
        WEEK * 1000 + random.pick([0, 1000, 2000]),
      ]),
    ),
    `timeout S ${random.pick([0, 50, 700_000])}`,
    ...visit(g.k(), random.pick(['#-1', '#-1', '#-2'])),
    ...visit(g.k(), '#-1'),
  ]
}

/** Settings of a connection that change after its handshake, before its next ticket: R10.1, R10.2, R10.4. */
function midway(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const change = (): string =>
    random.pick([
      `conn ${k} s options ${random.pick([0x4000, 0x1000000])}`,
      `conn ${k} s without ${random.pick([0x4000, 0x1000000])}`,
      `conn ${k} s early ${random.pick([0, 100])}`,
      `conn ${k} s tickets ${random.below(4)}`,
      `conn ${k} s verify ${random.below(2)}`,
      `conn ${k} s sidctx ${random.pick(CONTEXTS)}`,
      `conn ${k} s idcb ${random.pick([0, 1, 2])}`,
      `mode S ${g.mode()}`,
      `options S ${random.pick(['set', 'clear'])} ${random.pick([0x4000, 0x1000000])}`,
      `early S ${random.pick([0, 16384])}`,
      `remcb S ${random.below(2)}`,
      `newcb S ${random.pick([0, 1, 6])}`,
      `timeout S ${random.pick([1, 100])}`,
    ])
  return [
    `free ${k}`,
    `open ${k}`,
    ...(random.chance(50) ? [`set ${k} #-1`] : []),
    ...(random.chance(60) ? [change()] : []),
    `handshake ${k}`,
    ...(random.chance(60) ? [`read ${k} c`] : []),
    change(),
    ...(random.chance(30) ? [change()] : []),
    ...(g.maxVersion === 771 && random.chance(50) ? g.renegotiation(k) : []),
    ...Array.from({ length: 1 + random.below(3) }, () => `ticket ${k} ${1 + random.below(3)}`),
    `read ${k} c`,
    `shutdown ${k} s`,
    `shutdown ${k} c`,
    ...visit(g.k(), random.pick(['#-1', '#-2'])),
  ]
}

/** A server that verifies clients, with and without a session id context, of its context or of its own: R2.3, R9.5. */
function verified(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const setting = (): string =>
    random.pick([
      `verify S ${random.pick([0, 1, 1, 4])}`,
      `sidctx S ${random.pick(['-', '-', '00'])}`,
      `options S ${random.pick(['set', 'clear'])} ${0x4000}`,
    ])
  const own = (): string[] =>
    random.pick([
      [],
      [`conn ${k} s verify ${random.pick([0, 1, 4])}`],
      [`conn ${k} s verify 1`, `conn ${k} s sidctx ${random.pick(['-', '00'])}`],
      [`conn ${k} s sidctx ${random.pick(['-', '00'])}`],
    ])
  return [
    setting(),
    setting(),
    `verify C ${random.below(2)}`,
    ...visit(k, random.pick(['-', '#-1']), ...own()),
    ...(random.chance(50) ? [setting()] : []),
    ...visit(k, '#-1', ...own()),
    'verify S 0',
    'verify C 0',
  ]
}

/** The not-resumable callback, which a connection takes over when it is made: R11.8. */
function notResumable(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  return [
    `notres S ${random.pick([1, 2, 2])}`,
    `free ${k}`,
    `open ${k}`,
    `set ${k} ${random.pick(['-', '#-1'])}`,
    ...(random.chance(40) ? [`notres S ${random.below(3)}`] : []),
    `handshake ${k}`,
    ...(random.chance(40) ? [`ticket ${k}`] : []),
    `read ${k} c`,
    `shutdown ${k} s`,
    `shutdown ${k} c`,
    ...visit(g.k(), '#-1'),
    'notres S 0',
  ]
}

/** Modes that change while connections are under way: R1.3 to R1.7, R2.4. */
function modes(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const mode = (): string => `mode ${random.pick(['S', 'S', 'C'])} ${g.mode()}`
  return [
    `newcb S ${random.pick([1, 2, 5, 6])}`,
    `remcb S ${random.below(2)}`,
    mode(),
    `free ${k}`,
    `open ${k}`,
    mode(),
    `handshake ${k}`,
    mode(),
    ...(random.chance(50) ? [`ticket ${k}`] : []),
    `read ${k} c`,
    `shutdown ${k} s`,
    `shutdown ${k} c`,
    mode(),
    ...visit(g.k(), '#-1'),
    ...visit(g.k(), '#-1'),
  ]
}

/** What the external cache holds, and the internal one does not: R3.2, D8. */
function external(g: Generator): string[] {
  const { random } = g
  const mode = 2 | random.pick([0, 0x100, 0x200, 0x300, 0x400, 0x600])
  return [
    `mode S ${mode}`,
    `newcb S ${random.pick([5, 6])}`,
    `getcb S ${random.pick([1, 1, 2, 2, 3, 4])}`,
    `options S set ${0x4000}`,
    ...(random.chance(30) ? [`timeout S ${random.pick([1, 2])}`] : []),
    ...visit(g.k(), '-'),
    ...random.pick([
      [],
      ['remove S #-1'],
      ['flush S 0'],
      ['extdel S #-1'],
      [`sidctx S ${random.pick(CONTEXTS)}`],
      ['settimeout s #-1 1', 'extput S #-1'],
    ]),
    ...(random.chance(40) ? [g.clock(random.pick([1000, 1001, 2000, 3001]))] : []),
    ...visit(g.k(), '#-1'),
    ...visit(g.k(), random.pick(['#-1', '#-2'])),
    ...(random.chance(50) ? [`newcb S ${random.pick([0, 1])}`] : []),
  ]
}

/** Two objects of one id: what is replaced, removed, flagged and found: R4.1, R4.3, R4.8, R5.1. */
function twins(g: Generator): string[] {
  const { random } = g
  const version = random.pick([0x0303, 0x0304])
  const one = (): string => random.pick(['#-1', '#-2'])
  const [id, other] = random.pick([
    [TWO_IDS[0], TWO_IDS[0]],
    [TWO_IDS[0], TWO_IDS[0]],
    ['44', '4400'],
  ])
  return [
    `remcb S ${random.below(2)}`,
    `size S ${random.pick([0, 1, 2, 3])}`,
    g.import('s', version, id, { isNameless: false }),
    g.import('s', random.chance(80) ? version : version ^ 7, other, { isNameless: false }),
    `add S ${one()}`,
    `add S ${one()}`,
    ...(random.chance(50) ? [`add S ${one()}`] : []),
    ...(random.chance(40) ? [`size S ${random.pick([0, 1, 2])}`, `add S ${one()}`] : []),
    `remove S ${one()}`,
    `remove S ${one()}`,
    ...(random.chance(50) ? [`add S ${one()}`, `flush S ${g.seconds()}`] : []),
  ]
}

/** Tickets of single use, offered again, after a HelloRetryRequest, with another hash: R10.8, R10.9. */
function singleUse(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const own = (): string[] =>
    random.pick([
      [],
      [],
      [`conn ${k} s ${random.pick(['options', 'without'])} ${random.pick([0x1000000, 0x4000])}`],
      [`conn ${k} s early ${random.pick([0, 100])}`],
    ])
  const again = (): string[] =>
    random.pick([
      [],
      [`groups S ${random.below(2)}`],
      [`suite S ${random.below(3)}`],
      [`suite C ${random.below(3)}`],
      [`mode S ${g.mode()}`],
      [`options S ${random.pick(['set', 'clear'])} ${0x1000000}`],
      [`early S ${random.pick([0, 16384])}`],
    ])
  return [
    'maxver S 772',
    `early S ${random.pick([16384, 16384, 1])}`,
    `remcb S ${random.below(2)}`,
    ...(random.chance(40)
      ? [
          `newcb S ${random.pick([5, 5, 0])}`,
          `getcb S ${random.pick([1, 2])}`,
          `mode S ${random.pick([2, 0x202, 0x302])}`,
        ]
      : []),
    ...visit(k, '-', ...own()),
    ...again(),
    ...visit(k, '#-1', ...own()),
    ...again(),
    ...visit(g.k(), random.pick(['#-1', '#-2', '#-3'])),
    'suite S 0',
    'suite C 0',
    'groups S 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** Suites and versions that are other ones when a session comes back: R3.1, R3.3, R11.2, R11.5, R10.16. */
function otherSuites(g: Generator): string[] {
  const { random } = g
  const sameHash = (): string[] => {
    const which = random.pick([1, 3, 4, 4])
    return [`suite S ${which}`, `suite C ${which}`]
  }
  const change = (): string[] =>
    random.pick([
      [`suite S ${random.below(3)}`],
      [`suite C ${random.below(3)}`],
      [`suite S ${random.below(3)}`, `groups S ${random.below(2)}`],
      sameHash(),
      sameHash(),
      [`options C clear ${0x100000}`],
      [`groups C ${random.below(2)}`],
      [`maxver C ${random.pick([771, 772])}`],
      [`maxver S ${random.pick([771, 772])}`],
      [
        `options ${random.pick(['S', 'C'])} ${random.pick(['set', 'clear'])} ${random.pick([0x1, 0x4000, 0x100000])}`,
      ],
    ])
  return [
    `mode C ${random.pick([1, 3, 2])}`,
    ...(random.chance(40) ? [`options S ${random.pick(['set', 'clear'])} ${0x4000}`] : []),
    ...(random.chance(30) ? sameHash() : []),
    ...visit(g.k(), '-'),
    ...change(),
    ...visit(g.k(), '#-1'),
    ...(random.chance(60) ? [...change(), ...visit(g.k(), random.pick(['#-1', '#-2']))] : []),
    `maxver S ${g.maxVersion}`,
    'maxver C 772',
    'suite S 0',
    'suite C 0',
    'groups C 0',
    `options C clear ${0x4001}`,
    `options C set ${0x100000}`,
    `options S clear ${0x1}`,
  ]
}

/** Ends of every kind, and whether the session comes back after them: R5.2, R11.1, R11.7. */
function endings(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const [one, other] = random.pick([['s', 'c'] as const, ['c', 's'] as const])
  const end = random.pick([
    [`shutdown ${k} ${one}`, `read ${k} ${other}`],
    [`shutdown ${k} ${one}`, `garbage ${k} ${other}`, `read ${k} ${one}`, `read ${k} ${one}`],
    [`garbage ${k} ${one}`, `read ${k} ${other}`, `read ${k} ${other}`],
    [`eof ${k} ${one}`, `read ${k} ${other}`, `read ${k} ${other}`],
    [`shutdown ${k} ${one}`, `eof ${k} ${one}`],
    [`sent ${k} ${one}`, `read ${k} ${other}`],
    [`sent ${k} ${one}`, `garbage ${k} ${one}`],
    [`conn ${k} ${one} quiet 1`, `shutdown ${k} ${one}`],
    [`conn ${k} ${one} quiet 1`, `shutdown ${k} ${one}`, `conn ${k} ${one} quiet 0`, `shutdown ${k} ${one}`],
    [`conn ${k} ${one} options ${0x80}`, `eof ${k} ${one}`],
    [`set ${k} ${random.pick(['#-1', '#-2', '-'])}`],
    [`set ${k} ${random.pick(['#-1', '#-2'])}`],
    [`clear ${k}`, `set ${k} ${random.pick(['#-1', '-'])}`, `handshake ${k}`],
    [`conn ${k} ${one} sidctx ${random.pick(CONTEXTS)}`, `garbage ${k} ${one}`],
  ])
  return [
    `remcb S ${random.below(2)}`,
    `remcb C ${random.below(2)}`,
    `mode C ${random.pick([1, 3, 2])}`,
    `free ${k}`,
    `open ${k}`,
    ...(random.chance(50) ? [`set ${k} #-1`] : []),
    `handshake ${k}`,
    ...(random.chance(80) ? [`read ${k} c`] : []),
    ...end,
    random.pick([`free ${k}`, `free ${k}`, `clear ${k}`]),
    ...visit(g.k(), '#-1'),
  ]
}

/** What an application says about a ticket that could be decrypted, and the tickets that follow: R2.11, R3.3, R10.3. */
function decrypted(g: Generator): string[] {
  const { random } = g
  return [
    `options S clear ${0x4000}`,
    `mode C ${random.pick([0, 1, 3])}`,
    `newcb C ${random.below(3)}`,
    `remcb C ${random.below(2)}`,
    ...visit(g.k(), random.pick(['-', '#-1'])),
    `decrypt S ${1 + random.below(4)}`,
    ...(random.chance(30) ? [`timeout S ${random.pick([1, 10])}`] : []),
    ...(random.chance(20) ? [`sidctx S ${random.pick(CONTEXTS)}`] : []),
    ...visit(g.k(), '#-1'),
    ...(random.chance(30) ? [g.clock(random.pick([1000, 11_000]))] : []),
    `decrypt S ${random.below(5)}`,
    // A ticket whose id the client has lost, or found another for.
    ...(random.chance(30) ? [`as c #-1 ${random.pick(['-', '-', 'ab'.repeat(32)])}`] : []),
    ...visit(g.k(), '#-1'),
    'decrypt S 0',
  ]
}

/** Session id contexts at and beyond their limit, of all that has one: R9.1, R9.3. */
function limits(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const context = (): string => 'bb'.repeat(random.pick([1, 31, 32, 33, 33]))
  return [
    `sidctx S ${context()}`,
    `sidctx C ${context()}`,
    `open ${k}`,
    `conn ${k} s sidctx ${context()}`,
    ...visit(g.k(), random.pick(['-', '#-1'])),
    `setctx ${g.side()} #-1 ${context()}`,
    `show ${g.side()} #-1`,
    ...(random.chance(70) ? ['sidctx S -', 'sidctx C -'] : []),
  ]
}

/** A ticket that is the id of a session which the server has, with the secret of another: R10.7. */
function forgedBinder(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const id = random.pick(TWO_IDS)
  // Nothing but the secret is left to chance.
  const offered = { ticket: id, isNameless: false, isCurrent: true, cipherSuite: 0x1302 } as const
  return [
    'maxver S 772',
    'maxver C 772',
    `options S set ${0x4000}`,
    'sidctx S -',
    'sidctx C -',
    g.import('s', 0x0304, id, { isNameless: false, isCurrent: true, cipherSuite: 0x1302 }),
    'setctx s #-1 -',
    'settimeout s #-1 7200',
    'add S #-1',
    g.import('c', 0x0304, id, offered),
    'setctx c #-1 -',
    // The connection may have a session from before.
    ...(random.chance(40)
      ? [...visit(k, '-'), `clear ${k}`, g.import('c', 0x0304, id, offered), 'setctx c #-1 -']
      : [`free ${k}`, `open ${k}`]),
    `set ${k} #-1`,
    `handshake ${k}`,
    `read ${k} c`,
  ]
}

/** A client's session that has a ticket and no id: it stays the client's, whatever the server says: R11.4, R11.6. */
function ticketAlone(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const version = random.pick([0x0303, 0x0303, 0x0304])
  return [
    g.import('c', version, TWO_IDS[0], {
      ticket: random.pick(['fe'.repeat(8), random.hex(40)]),
      isNameless: true,
      maxFragmentLengthMode: random.pick([0, 255, 255]),
    }),
    ...(random.chance(50) ? [`options S ${random.pick(['set', 'clear'])} ${0x4000}`] : []),
    ...visit(k, '#-1'),
    ...visit(g.k(), '#-1'),
  ]
}

/** TLS 1.3 post-handshake authentication: a session of its own, and tickets anew: R2.3, R10.2, R10.4. */
function authenticated(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const setting = (): string =>
    random.pick([
      `conn ${k} s tickets ${random.below(4)}`,
      `conn ${k} s sidctx ${random.pick(CONTEXTS)}`,
      `conn ${k} s early ${random.pick([0, 100])}`,
      `conn ${k} s verify ${random.below(2)}`,
      `mode S ${g.mode()}`,
      g.clock(random.pick([1, 1000])),
    ])
  return [
    'maxver S 772',
    `tickets S ${random.below(4)}`,
    `options S ${random.pick(['set', 'clear'])} ${0x4000}`,
    `sidctx S ${random.pick(['-', '00', '00'])}`,
    `newcb S ${random.pick([0, 1, 2])}`,
    `free ${k}`,
    `open ${k}`,
    `set ${k} ${random.pick(['-', '#-1', '#-1'])}`,
    `handshake ${k}`,
    ...(random.chance(60) ? [`read ${k} c`] : []),
    ...(random.chance(50) ? [setting()] : []),
    `auth ${k}`,
    ...(random.chance(40) ? [`ticket ${k} ${1 + random.below(2)}`] : []),
    ...(random.chance(40) ? [setting(), `auth ${k}`] : []),
    `read ${k} c`,
    `shutdown ${k} s`,
    `shutdown ${k} c`,
    ...visit(g.k(), '#-1'),
    'tickets S 2',
    `maxver S ${g.maxVersion}`,
  ]
}

/** Renegotiations, those that a server asks for among them: R1.7, R2.6, R3.3, R7, R11.2. */
function renegotiated(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  // Without an id for its new session, a server ends the connection.
  const idless = (): string[] => [`conn ${k} s idcb ${random.pick([2, 3, 4, 5, 6])}`]
  const again = (): string[] => [
    ...random.pick([
      [],
      [],
      idless(),
      [...idless(), `conn ${k} s sidctx ${random.pick(CONTEXTS)}`],
      [`conn ${k} s options ${random.pick([0x10000, 0x10000, 0x4000])}`],
      [`conn ${k} s without ${random.pick([0x10000, 0x4000])}`],
      [`conn ${k} ${g.side()} ${random.pick(['options', 'without'])} 1`],
      [`conn ${k} s sidctx ${random.pick(CONTEXTS)}`],
      [`conn ${k} s verify ${random.below(2)}`],
      [`suite ${random.pick(['S', 'C'])} ${random.below(3)}`],
      [`mode S ${g.mode()}`],
      [`remove S #-1`],
      [`timeout S ${random.pick([1, 10])}`],
      [g.clock(random.pick([1000, 2000, 11_000]))],
    ]),
    `${random.pick(['ask', 'reneg'])} ${k} ${random.pick(['full', 'short'])}`,
  ]
  return [
    'maxver S 771',
    `options S ${random.pick(['set', 'set', 'clear'])} ${0x4000}`,
    `mode C ${random.pick([1, 3, 2])}`,
    `free ${k}`,
    `open ${k}`,
    ...(random.chance(60) ? [`set ${k} #-1`] : []),
    `handshake ${k}`,
    ...again(),
    ...again(),
    ...(random.chance(50) ? again() : []),
    ...(random.chance(60) ? [`read ${k} c`, `read ${k} c`] : []),
    ...random.pick([
      [`shutdown ${k} c`],
      [`clear ${k}`],
      [`free ${k}`],
      [`shutdown ${k} s`, `shutdown ${k} c`, `clear ${k}`, `handshake ${k}`],
      [`shutdown ${k} s`, `shutdown ${k} c`, `clear ${k}`, `handshake ${k}`],
    ]),
    'suite S 0',
    'suite C 0',
    `maxver S ${g.maxVersion}`,
    ...visit(g.k(), '#-1'),
  ]
}

const ALERTS = [
  '2 40',
  '2 40',
  '2 20',
  '2 0',
  '2 90',
  '2 100',
  '1 0',
  '1 90',
  '1 100',
  '1 112',
  '1 41',
] as const

/** An alert comes in the middle of a handshake, the connection's session at hand: R5.2, RFC 9846 §6. */
function interrupted(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  return [
    `remcb S ${random.below(2)}`,
    `remcb C ${random.below(2)}`,
    `mode C ${random.pick([1, 3, 2])}`,
    `maxver S ${random.pick([771, 772])}`,
    `options S ${random.pick(['set', 'clear'])} ${0x4000}`,
    ...visit(g.k(), '-'),
    ...(random.chance(40) ? ['groups S 1'] : []),
    `free ${k}`,
    `open ${k}`,
    `set ${k} ${random.pick(['#-1', '#-1', '-'])}`,
    `cut ${k} ${g.side()} ${random.pick(ALERTS)}`,
    `handshake ${k}`,
    ...random.pick([[`free ${k}`], [`clear ${k}`, `handshake ${k}`]]),
    ...visit(g.k(), random.pick(['#-1', '#-1', '#-2'])),
    'groups S 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** The servername callback ends the handshake, or takes the tickets away: R5.2, R8.2, R10.1. */
function named(g: Generator): string[] {
  const { random } = g
  return [
    `remcb S ${random.below(2)}`,
    `options S ${random.pick(['set', 'clear', 'clear'])} ${0x4000}`,
    ...(random.chance(30) ? [`early S ${random.pick([0, 16384])}`] : []),
    ...visit(g.k(), '-'),
    `switching ${random.pick(['refuse', 'ticketless', 'warn'])}`,
    ...visit(g.k(), random.pick(['-', '#-1', '#-1'])),
    ...(random.chance(40) ? visit(g.k(), '#-1') : []),
    'switching never',
    ...visit(g.k(), '#-1'),
  ]
}

/** Both sides have a session from somewhere else, with whatever is in it: R3.3, R6.6, R10.4, R11.4, R12. */
function paired(g: Generator): string[] {
  const { random } = g
  const version = random.pick([0x0303, 0x0304])
  const id = random.pick(TWO_IDS)
  const cipherSuite = random.pick(version === 0x0304 ? [0x1301, 0x1302, 0x1302, 0x1302] : [0xc02b, 0xc02c])
  const mostly = { isNameless: false, isCurrent: true, key: 0, cipherSuite, maxEarlyData: 16384 } as const
  const context = random.pick(['-', '-', '00'])
  const isEarly = version === 0x0304 && random.chance(40)
  const visitPaired = (): string[] => {
    const k = g.k()
    return visit(k, '#-1').map((line) => (isEarly && line === `handshake ${k}` ? `${line} early` : line))
  }
  return [
    `maxver S ${version === 0x0304 ? 772 : 771}`,
    `options S set ${0x4000}`,
    ...(isEarly ? ['maxver C 772', `options S set ${0x1000000}`, 'early S 16384'] : []),
    ...(random.chance(30) ? [`getcb S ${random.pick([1, 2])}`] : []),
    `sidctx S ${context}`,
    `sidctx C ${context}`,
    g.import('s', version, id, {
      ...mostly,
      ticket: '',
      compressionId: g.isComplete && random.chance(15) ? 1 : 0,
      // R10.11.
      hasProtocol: random.chance(isEarly ? 40 : 10),
    }),
    `setctx s #-1 ${context}`,
    ...(random.chance(20) ? [`settimeout s #-1 ${random.pick([1, 10, ...g.longTimeouts])}`] : []),
    random.pick(['add S #-1', 'add S #-1', 'extput S #-1']),
    ...(random.chance(15) ? ['remove S #-1', 'add S #-1'] : []),
    g.import('c', version, id, {
      ...mostly,
      ticket: version === 0x0304 ? id : '',
      ...(random.chance(20)
        ? {
            cipherSuite: random.pick(
              version === 0x0304 ? [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c] : [0xc02b, 0xc02c, 0xcca9],
            ),
          }
        : {}),
    }),
    `setctx c #-1 ${random.chance(85) ? context : random.pick(CONTEXTS)}`,
    ...random.pick([[], [], [`suite C ${random.below(3)}`], [`suite S ${random.below(3)}`]]),
    ...(random.chance(20) ? [g.clock(random.pick([1, 1000, 2000]))] : []),
    ...visitPaired(),
    ...visitPaired(),
    'suite S 0',
    'suite C 0',
    'sidctx S -',
    'sidctx C -',
    `maxver S ${g.maxVersion}`,
  ]
}

/** An entry has got another expiry, and kept its place: what is ordered and evicted around it: LISTFIX, R4.3, R6.7. */
function disordered(g: Generator): string[] {
  const { random } = g
  const x = g.context()
  const side = x.toLowerCase()
  const one = (): string => `#${-1 - random.below(6)}`
  const timeout = (): string => `settimeout ${side} ${one()} ${10 * (1 + random.below(5))}`
  const add = (): string[] => [
    g.import(side, 0x0303, random.hex(32), { isNameless: false }),
    `settime ${side} #-1 ${Math.floor(g.nowMs / 1000)}`,
    `settimeout ${side} #-1 ${10 * (1 + random.below(5))}`,
    `add ${x} #-1`,
  ]
  const several = (count: number): string[] => Array.from({ length: count }, add).flat()
  return [
    `flush ${x} 0`,
    `size ${x} 0`,
    `mode ${x} 2`,
    `remcb ${x} 1`,
    ...several(4),
    `mode ${x} ${0x402}`,
    g.clock(random.pick([1000, 5000, 10_000])),
    `add ${x} ${one()}`,
    `mode ${x} 2`,
    ...several(3),
    timeout(),
    timeout(),
    `settime ${side} ${one()} ${Math.floor(g.nowMs / 1000) - random.pick([0, 5, 10])}`,
    ...random.pick([
      [`size ${x} 1`, ...add()],
      [`flush ${x} ${Math.floor(g.nowMs / 1000) + 10 * (1 + random.below(5))}`, `size ${x} 1`, ...add()],
    ]),
    `size ${x} 0`,
  ]
}

/** Early data, and whether the age that the client says is credible: R10.10, R10.11. */
function early(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const visitEarly = (session: string, ...between: readonly string[]): string[] =>
    visit(k, session, ...between).map((line) => (line === `handshake ${k}` ? `${line} early` : line))
  const age = random.pick([
    ['clock', 0],
    ['settime c', 0],
    ['settime c', 1],
    ['settime c', -1],
    ['settime c', -2],
    ['settime c', -3],
    ['settime s', -9],
    ['settime s', 1],
    ['settime s', 2],
  ] as const)
  const ms = random.pick([0, 1, 999, 1000, 2000, 8999, 9000, 9001, 9999, 10_000, 10_001, 11_000])
  const settime = (): string[] =>
    age[0] === 'clock' ? [] : [`${age[0]} #-1 ${Math.floor(g.nowMs / 1000) + age[1]}`]
  return [
    'maxver S 772',
    'maxver C 772',
    `early S ${random.pick([16384, 16384, 1])}`,
    `options S ${random.pick(['set', 'set', 'clear'])} ${0x1000000}`,
    `options S ${random.pick(['set', 'set', 'clear'])} ${0x4000}`,
    ...(random.chance(20) ? [`timeout S ${random.pick([1, 9, 10])}`] : []),
    ...visitEarly('-'),
    g.clock(ms),
    ...settime(),
    ...(random.chance(15) ? [`early S ${random.pick([0, 16384])}`] : []),
    ...(random.chance(15) ? ['groups S 1'] : []),
    ...(random.chance(10) ? [`suite ${random.pick(['S', 'C'])} ${random.below(3)}`] : []),
    ...visitEarly('#-1', ...(random.chance(30) ? [`conn ${k} s early ${random.pick([0, 100])}`] : [])),
    ...(random.chance(40) ? visitEarly(random.pick(['#-1', '#-2'])) : []),
    'groups S 0',
    'suite S 0',
    'suite C 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** Ids that are taken: R8.5, R8.7. */
function colliding(g: Generator): string[] {
  const { random } = g
  return [
    `maxver S ${random.pick([771, 772])}`,
    `options S set ${0x4000}`,
    'idcb S 0',
    ...visit(g.k(), '-'),
    `collide ${random.pick([1, 8, 9, 9, 10, 10])}`,
    ...visit(g.k(), random.pick(['-', '#-1'])),
    ...visit(g.k(), '#-1'),
    `maxver S ${g.maxVersion}`,
  ]
}

/** A PSK from outside TLS, alone or after the one of a session: R9.3, R10.3, R10.7. */
function outsidePsk(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const isEarly = random.chance(40)
  const visitEarly = (...lines: Parameters<typeof visit>): string[] =>
    visit(...lines).map((line) => (isEarly && line === `handshake ${k}` ? `${line} early` : line))
  const own = (): string[] => [
    ...(random.chance(85) ? [`conn ${k} c psk 1`] : []),
    ...(random.chance(75) ? [`conn ${k} s psk 1`] : []),
    ...(random.chance(30) ? [`conn ${k} s sidctx ${random.pick(CONTEXTS)}`] : []),
  ]
  return [
    'maxver S 772',
    'maxver C 772',
    `mode C ${random.pick([1, 3, 2])}`,
    'sidctx C -',
    `newcb S ${random.pick([0, 1])}`,
    `options S ${random.pick(['set', 'clear'])} ${0x4000}`,
    ...(isEarly ? ['early S 16384', `options S set ${0x1000000}`] : []),
    ...visitEarly(k, random.pick(['-', '#-1']), ...own()),
    ...random.pick([
      [],
      [],
      ['groups S 1'],
      [`suite ${random.pick(['S', 'C'])} ${random.below(3)}`],
      [`sidctx S ${random.pick(CONTEXTS)}`],
      ['remove S #-1'],
      ['remove S #-1', 'remove S #-2'],
      [`timeout S ${random.pick([1, 10])}`, g.clock(2000)],
    ]),
    ...visitEarly(k, random.pick(['-', '#-1', '#-1']), ...own()),
    ...visitEarly(k, '#-1', ...own()),
    'groups S 0',
    'suite S 0',
    'suite C 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** Each aims at rules that need several things at once, in an order that random operations seldom have. */
export const rareScenarios: readonly ((g: Generator) => string[])[] = [
  boundary,
  switched,
  switched,
  again,
  ignoredEnd,
  emptied,
  copies,
  lateGenerator,
  foreignVersion,
  cacheOnly,
  generatedIds,
  lifetimes,
  lifetimes,
  midway,
  verified,
  notResumable,
  modes,
  external,
  twins,
  singleUse,
  singleUse,
  otherSuites,
  otherSuites,
  endings,
  endings,
  decrypted,
  decrypted,
  limits,
  forgedBinder,
  forgedBinder,
  ticketAlone,
  authenticated,
  renegotiated,
  renegotiated,
  interrupted,
  interrupted,
  named,
  paired,
  paired,
  disordered,
  disordered,
  early,
  early,
  early,
  colliding,
  outsidePsk,
  encodings,
  encodings,
  ...oddSessions,
]
