import type { Generator } from './generator.ts'
import { CONTEXTS, TWO_IDS, visit } from './scenario-parts.ts'

/** The client keeps what it has: tickets that come are not read. */
function deafVisit(...visited: Parameters<typeof visit>): string[] {
  return visit(...visited).filter((line) => !line.startsWith('read '))
}

/** A copy without an id, or with another, whose ticket is offered in another version: R10.7, R11.4, REISSUE. */
function estranged(g: Generator): string[] {
  const { random } = g
  const [first, second] = random.pick([
    [771, 772],
    [771, 772],
    [772, 771],
    [771, 771],
    [772, 772],
  ] as const)
  const k = g.k()
  const own = (): string[] =>
    random.chance(30) ? [`conn ${k} c psk 1`, `conn ${k} s psk ${random.below(2)}`] : []
  const change = (): string[] =>
    random.pick([
      [],
      [],
      [`suite ${random.pick(['S', 'C'])} ${random.below(3)}`],
      ['groups S 1'],
      [`decrypt S ${random.below(5)}`],
      [`maxver S ${random.pick([771, 772])}`],
      [`sidctx S ${random.pick(CONTEXTS)}`],
    ])
  return [
    `options S ${random.pick(['clear', 'clear', 'clear', 'set'])} ${0x4000}`,
    'maxver C 772',
    `maxver S ${first}`,
    ...(random.chance(20) ? [`suite S ${random.below(3)}`] : []),
    ...visit(g.k(), '-'),
    `as c #-1 ${random.pick(['-', '-', '-', TWO_IDS[0]])}`,
    `maxver S ${second}`,
    ...change(),
    ...deafVisit(k, '#-1', ...own()),
    ...change(),
    ...deafVisit(k, '#-1', ...own()),
    ...change(),
    ...visit(k, '#-1', ...own()),
    'suite S 0',
    'suite C 0',
    'groups S 0',
    'decrypt S 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** A session in the cache is not resumable, and a client comes back with its id, perhaps in the same context: NORES. */
function flagged(g: Generator): string[] {
  const { random } = g
  const version = random.pick([0x0303, 0x0304])
  const id = random.pick(TWO_IDS)
  const cipherSuite = version === 0x0304 ? 0x1302 : 0xc02c
  const fixed = { isNameless: false, isCurrent: true, key: 0, cipherSuite } as const
  const context = random.pick(['-', '-', '00'])
  const k = g.k()
  const change = (): string[] =>
    random.pick([
      [],
      ['groups S 1'],
      [`sidctx C ${random.pick(CONTEXTS)}`],
      [`cut ${k} ${g.side()} 2 40`],
      [`getcb S ${random.pick([1, 2])}`, 'extput S #-1'],
      [`remcb S ${random.below(2)}`],
      [`mode S ${random.pick([3, 3, 2, 0x103])}`],
      [`size S ${1 + random.below(2)}`],
      ['early S 16384'],
      [`idcb S ${random.pick([0, 2, 6])}`],
    ])
  return [
    `maxver S ${version === 0x0304 ? 772 : 771}`,
    'maxver C 772',
    `options S set ${0x4000}`,
    `mode S ${random.pick([2, 3, 3])}`,
    `sidctx S ${context}`,
    `sidctx C ${context}`,
    g.import('s', version, id, { ...fixed, ticket: '' }),
    `setctx s #-1 ${context}`,
    `settimeout s #-1 ${random.pick([7200, 7200, 10])}`,
    ...(random.chance(80) ? ['remove S #-1'] : []),
    ...random.pick([['add S #-1'], ['add S #-1'], ['getcb S 1', 'extput S #-1']]),
    ...change(),
    g.import('c', version, id, { ...fixed, ticket: version === 0x0304 ? id : '' }),
    `setctx c #-1 ${random.chance(80) ? context : random.pick(CONTEXTS)}`,
    `free ${k}`,
    `open ${k}`,
    `set ${k} #-1`,
    ...change(),
    `handshake ${k}`,
    ...(random.chance(50) ? [`read ${k} ${g.side()}`] : []),
    ...random.pick([[`free ${k}`], [`clear ${k}`, `set ${k} #-1`, `handshake ${k}`], [`garbage ${k} s`]]),
    ...visit(g.k(), '#-1'),
    'groups S 0',
    'sidctx S -',
    'sidctx C -',
    'size S 0',
    'idcb S 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** One object is the client's session and in the server's cache, as in a context for both: R11.2, R10.8. */
function common(g: Generator): string[] {
  const { random } = g
  const version = random.pick([0x0303, 0x0304, 0x0304])
  const id = random.pick(TWO_IDS)
  const k = g.k()
  const ticket = version === 0x0304 ? id : ''
  return [
    `maxver S ${version === 0x0304 ? 772 : 771}`,
    'maxver C 772',
    `options S set ${0x4000}`,
    `early S ${random.pick([0, 16384, 16384])}`,
    'sidctx S -',
    'sidctx C -',
    `mode C ${random.pick([2, 3])}`,
    g.import('c', version, id, {
      isNameless: false,
      isCurrent: true,
      key: 0,
      cipherSuite: version === 0x0304 ? 0x1302 : 0xc02c,
      ticket,
    }),
    'setctx c #-1 -',
    'settimeout c #-1 7200',
    'add C #-1',
    // The server asks for another key share.
    ...deafVisit(k, '#-1', ...(random.chance(50) ? [`conn ${k} s groups 1`] : [])),
    ...(random.chance(50) ? [`clear ${k}`, `handshake ${k}`] : []),
    ...visit(g.k(), '#-1'),
    'early S 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** Early data for a session whose application protocol is not negotiated anew: R10.11. */
function withProtocol(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const id = random.pick(TWO_IDS)
  const fixed = {
    isNameless: false,
    isCurrent: true,
    key: 0,
    cipherSuite: 0x1302,
    maxEarlyData: 16384,
  } as const
  return [
    'maxver S 772',
    'maxver C 772',
    `options S set ${0x4000}`,
    `options S ${random.pick(['set', 'set', 'clear'])} ${0x1000000}`,
    `early S ${random.pick([16384, 16384, 0])}`,
    'sidctx S -',
    'sidctx C -',
    g.import('s', 0x0304, id, { ...fixed, hasProtocol: random.chance(70), ticket: '' }),
    'setctx s #-1 -',
    'settimeout s #-1 7200',
    'add S #-1',
    g.import('c', 0x0304, id, { ...fixed, hasProtocol: random.chance(10), ticket: id }),
    'setctx c #-1 -',
    ...(random.chance(80) ? ['sethost c #-1 -'] : []),
    ...visit(k, '#-1').map((line) => (line === `handshake ${k}` ? `${line} early` : line)),
    ...visit(k, '#-1').map((line) => (line === `handshake ${k}` ? `${line} early` : line)),
    'early S 0',
    `maxver S ${g.maxVersion}`,
  ]
}

/** A renegotiation finds no id for the session that it needs: R8.4, CLEARALERT. */
function idlessRenegotiation(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  return [
    'maxver S 771',
    `options S ${random.pick(['set', 'set', 'set', 'clear'])} ${0x4000}`,
    `free ${k}`,
    `open ${k}`,
    ...(random.chance(40) ? [`set ${k} #-1`] : []),
    `handshake ${k}`,
    `conn ${k} s idcb ${random.pick([2, 3, 4, 5, 6])}`,
    ...random.pick([
      [],
      [`conn ${k} s sidctx ${random.pick(CONTEXTS)}`],
      ['remove S #-1'],
      [`mode S ${0x102}`],
    ]),
    `${random.pick(['reneg', 'reneg', 'ask'])} ${k} ${random.pick(['full', 'short'])}`,
    `read ${k} c`,
    `read ${k} c`,
    `free ${k}`,
    ...visit(g.k(), '#-1'),
    `maxver S ${g.maxVersion}`,
  ]
}

/** Extended master secret is there in one handshake of a connection and not in the next, with SSL_clear between: R3.3, RFC 7627. */
function withoutSecret(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  const handshake = [`handshake ${k}`, `read ${k} c`, `shutdown ${k} s`, `shutdown ${k} c`]
  const change = (): string => `conn ${k} ${g.side()} ${random.pick(['options', 'options', 'without'])} 1`
  return [
    'maxver S 771',
    `options S ${random.pick(['set', 'clear'])} ${0x4000}`,
    `mode C ${random.pick([1, 3, 2])}`,
    `free ${k}`,
    `open ${k}`,
    ...(random.chance(40) ? [change()] : []),
    ...handshake,
    ...(random.chance(20) ? [`maxver S ${random.pick([771, 772])}`] : []),
    `clear ${k}`,
    change(),
    ...handshake,
    `clear ${k}`,
    change(),
    ...handshake,
    ...visit(g.k(), '#-1'),
    `maxver S ${g.maxVersion}`,
  ]
}

/** What is added again, among its equals, and in what order all of them leave: LISTFIX, R4.3. */
function readded(g: Generator): string[] {
  const { random } = g
  const x = g.context()
  const side = x.toLowerCase()
  const add = (): string[] => [
    g.import(side, 0x0303, random.hex(32), { isNameless: false }),
    `settime ${side} #-1 ${Math.floor(g.nowMs / 1000)}`,
    `settimeout ${side} #-1 ${random.pick([10, 10, 10, 20])}`,
    `add ${x} #-1`,
  ]
  const again = (): string => `add ${x} #${-1 - random.below(4)}`
  return [
    `flush ${x} 0`,
    `size ${x} 0`,
    `mode ${x} ${random.pick([2, 2, 0x402])}`,
    `remcb ${x} 1`,
    ...Array.from({ length: 4 }, add).flat(),
    again(),
    ...(random.chance(50) ? [again()] : []),
    ...random.pick([
      [`size ${x} 1`, ...add()],
      [`flush ${x} ${Math.floor(g.nowMs / 1000) + 30}`],
      [`size ${x} 3`, ...add(), ...add()],
    ]),
    `size ${x} 0`,
    `mode ${x} 2`,
  ]
}

/** The server has no key for tickets for a while: it sends empty ones in TLS 1.2, and opens none. */
function keyless(g: Generator): string[] {
  const { random } = g
  const k = g.k()
  return [
    `options S clear ${0x4000}`,
    'maxver S 771',
    `mode C ${random.pick([1, 3, 2])}`,
    `newcb C ${random.below(3)}`,
    `remcb C ${random.below(2)}`,
    ...visit(g.k(), random.pick(['-', '#-1'])),
    'keys S 1',
    ...visit(k, random.pick(['-', '#-1', '#-1'])),
    ...(random.chance(30) ? g.renegotiation(k) : []),
    ...visit(g.k(), '#-1'),
    'keys S 0',
    ...visit(g.k(), random.pick(['#-1', '#-2'])),
    `maxver S ${g.maxVersion}`,
  ]
}

/** For traces in which one context is that of servers and clients. */
export const sharedScenarios: readonly ((g: Generator) => string[])[] = [common, common, flagged]

/** Sessions that ordinary handshakes do not make. */
export const oddSessions: readonly ((g: Generator) => string[])[] = [
  estranged,
  estranged,
  flagged,
  keyless,
  withProtocol,
  withProtocol,
  idlessRenegotiation,
  readded,
  withoutSecret,
]
