import type { Moment } from './moment.ts'

/** Whether an operation, and what libssl said to it, show a rule at work; or why none can. */
export type Witness = ((moment: Moment) => boolean) | string

const { NO_TICKET, SERVER } = { NO_TICKET: 0x4000, SERVER: 2 }
const D5 = 'D5: negative and huge values are refused, so no trace has them'

const isFull = ({ hs }: Moment): boolean => hs?.reused === '00' && hs.server === 'ok'
const isResumed = ({ hs }: Moment): boolean => hs?.reused === '11'
const isTls12 = ({ hs }: Moment): boolean => hs?.version === 771
const isTls13 = ({ hs }: Moment): boolean => hs?.version === 772
const lacksServer = (moment: Moment): boolean => (moment.number('mode S', SERVER) & SERVER) === 0
const isStateful = (moment: Moment): boolean => (moment.options('S') & NO_TICKET) !== 0
const isReported = (moment: Moment): boolean => moment.has(/^new S /)
const hears = (moment: Moment): boolean => moment.number('newcb S', 0) !== 0
const isUnbound = (moment: Moment): boolean =>
  moment.number('verify S', 0) === 1 && moment.setting('sidctx S', '-') === '-'
/** A single connection at a moment at which a flush may be due. */
const isDueTurn = (moment: Moment): boolean =>
  moment.operation.startsWith('repeat 7 1') && [0, 255].includes(moment.counter('S', 'acceptGood') & 0xff)

/** By the rules of src/rules.md. */
export const witnesses: Readonly<Record<string, Witness>> = {
  'R1.1': (m) => m.what === 'mode',
  'R1.2': (m) => m.what === 'mode' && m.isFirst('mode S') && m.has(/^= 2 /),
  'R1.3': (m) => m.what === 'mode' && Number(m.words[1]) >= 0x800,
  'R1.4': (m) => m.what === 'mode' && m.isAnyOpen,
  'R1.5': (m) => lacksServer(m) && m.delta('S', 'hits') + m.delta('S', 'misses') > 0,
  'R1.6': (m) => m.what === 'add' && (m.number(`mode ${m.words[0]}`, SERVER) & 0x400) !== 0 && m.has(/^~ /),
  'R1.7': (m) => isFull(m) && isTls12(m) && lacksServer(m) && m.has(/^sess \d s \S+ . - /),
  'R2.1': (m) => isFull(m) && isTls12(m) && hears(m) && !isReported(m) && m.has(/^nst/),
  'R2.2': (m) => isFull(m) && m.number('notres S', 0) === 2 && hears(m) && !isReported(m),
  'R2.3': (m) => isFull(m) && isUnbound(m) && hears(m) && !isReported(m),
  'R2.4': (m) => isFull(m) && lacksServer(m) && hears(m) && !isReported(m),
  'R2.4a': (m) => isTls13(m) && isReported(m) && !m.has(/^cache S/),
  'R2.4b': (m) => isReported(m) && (m.number('newcb S', 0) & 3) === 1 && m.has(/^cache S/),
  'R2.5': (m) => m.what === 'repeat' && m.isFlushed && m.counter('S', 'acceptGood') >= 255,
  'R2.6': (m) => isDueTurn(m) && m.isFlushed,
  'R2.7': (m) => isDueTurn(m) && !m.isFlushed && isUnbound(m),
  'R2.8': (m) => m.delta('T', 'acceptGood') > 0,
  'R2.9': (m) => m.what === 'repeat' && m.delta('C', 'cacheFull') === 0 && m.has(/^rem C/),
  'R2.10': (m) => isResumed(m) && isTls12(m) && hears(m) && !isReported(m),
  'R2.11': (m) => isResumed(m) && isTls12(m) && m.has(/^nst/),
  'R3.1': (m) => m.hasTwins,
  'R3.2': (m) => m.has(/^get S/),
  'R3.3': (m) => m.what === 'handshake' && isFull(m) && isTls12(m) && m.delta('S', 'misses') > 0,
  'R4.1': (m) => m.what === 'add' && m.isNameless && m.has(/^= 0/),
  'R4.2': (m) => m.what === 'add' && m.hasAddedFlagged,
  'R4.3':
    'D3: in two contexts a session corrupts the lists of libssl; test/unit/context holds that here it does not',
  'R4.4': 'references are counted by the garbage collector',
  'R4.5': (m) => m.delta('S', 'cacheFull') > 0 && m.counter('S', 'number') === m.number('size S', 20_480),
  'R4.6': (m) => m.delta('S', 'cacheFull') > 0 && m.has(/^rem S \S+ N/),
  'R4.7': (m) => m.what === 'add' && m.delta('S', 'cacheFull') > 0 && m.has(/^rem S/),
  'R4.8': (m) => m.what === 'add' && m.isReplaced,
  'R4.9': (m) => m.delta('S', 'cacheFull') >= 2,
  'R5.1': (m) => m.what === 'remove' && m.has(/^= 0/) && m.has(/^rem/),
  'R5.2': (m) => m.has(/^(alert|recv) \d . 2 /) && m.has(/^~ \S+ N/),
  'R5.3': (m) => m.what === 'flush' && m.has(/^rem/) && m.words[1] !== '0',
  'R6.1': (m) => m.what === 'timeout' && m.isFirst('timeout S') && m.has(/^= 7200/),
  'R6.2': (m) => isFull(m) && m.setting('timeout S', '7200') === '0' && m.has(/^~ s\S+ . \d+ 7200$/),
  'R6.3': D5,
  'R6.4': D5,
  'R6.5': 'setTime answers nothing',
  'R6.6': (m) => m.what === 'settimeout' && Number(m.words[2]) >= 1_000_000_000,
  'R6.7': (m) => (m.what === 'settime' || m.what === 'settimeout') && m.hasChangedCached,
  'R6.8': (m) => isReported(m) && m.nowMs % 1000 !== 0,
  'R6.9': (m) => isResumed(m) && isTls13(m) && m.hasInherited,
  'R6.10': (m) => isResumed(m) && isTls12(m) && m.isExpiredAtClient,
  R7: (m) => m.has(/^stats/),
  'R8.1': (m) => isFull(m) && isTls12(m) && m.has(/^sess \d s \S+ . [0-9a-f]{64} /),
  'R8.2': (m) => isFull(m) && isTls12(m) && m.has(/^nst/) && m.has(/^sess \d s \S+ . - /),
  'R8.3': (m) => isTls13(m) && m.has(/^tick/),
  'R8.4': (m) => m.has(/^id \d [1-7]/),
  'R8.5': (m) => m.has(/^id \d 0/),
  'R8.6': (m) => m.has(/^id \d [2357]/),
  'R8.7': (m) => m.has(/^id \d 6 [0-9a-f]{64}/) && m.has(/^alert \d s 2 80/),
  'R8.8': (m) => m.what === 'has' && m.has(/^= 1/),
  'R8.9': (m) => m.has(/^hello \d \S+ \S+ (?:[0-9a-f]{16}|[0-9a-f]{2}):/),
  'R9.1': (m) => m.what === 'sidctx' && m.has(/^= 0/),
  'R9.2': (m) => m.what === 'switch' && !m.has(/^= none/),
  'R9.3': (m) => isFull(m) && m.setting('sidctx S', '-') !== '-' && isReported(m),
  'R9.4': (m) => m.what === 'handshake' && m.has(/^alert \d c 2 47/),
  'R9.5': (m) => m.what === 'handshake' && m.has(/^alert \d s 2 80/) && m.has(/ S=fail /) && isUnbound(m),
  'R10.1': (m) => isTls13(m) && isStateful(m) && m.has(/^tick/),
  'R10.2': (m) => isTls13(m) && isFull(m) && m.count(/^tick/) !== 2,
  'R10.3': (m) => isTls13(m) && isResumed(m) && m.has(/^tick/),
  'R10.4': (m) => isTls13(m) && m.count(/^tick/) >= 2,
  'R10.5': (m) => m.has(/^nst \d 00093a80/),
  'R10.6': (m) =>
    isTls13(m) && !isStateful(m) && m.number('remcb S', 0) === 1 && m.has(/^tick/) && m.has(/^cache S/),
  'R10.7': (m) => isTls13(m) && m.has(/^hello \d \S+ \S+ [0-9a-f]+:/),
  'R10.8': (m) => m.number('early S', 0) > 0 && isResumed(m) && isTls13(m) && m.delta('S', 'hits') > 0,
  'R10.9': (m) => m.number('early S', 0) > 0 && m.count(/^hello .*:/) === 2 && isFull(m),
  'R10.10': (m) => m.has(/^early \d 1/) && isResumed(m),
  'R10.11': (m) => m.has(/^early \d 1/) && isResumed(m) && m.hasProtocol,
  'R10.12': (m) => isTls13(m) && lacksServer(m) && isStateful(m) && m.has(/^tick/),
  'R10.13': (m) => isTls13(m) && m.delta('S', 'timeouts') > 0,
  'R10.14': (m) => m.count(/^nst/) >= 2,
  'R10.15': (m) => isTls13(m) && (m.number('mode C', SERVER) & 1) !== 0 && m.has(/^~ c\S+ N/),
  'R10.16': (m) => m.count(/^hello .*:/) === 1,
  'R11.1': (m) => m.what === 'set' && m.has(/^(rem C|~ \S+ N)/),
  'R11.2': (m) => m.isNotOffered,
  'R11.3': (m) => m.has(/^sess \d c \S+ N - /),
  'R11.4': isResumed,
  'R11.5': 'a libssl that resumes echoes version and suite of the session; test/unit/context holds it',
  'R11.6': (m) => m.delta('C', 'misses') > 0,
  'R11.7': (m) => (m.what === 'free' || m.what === 'clear') && m.has(/^~ \S+ N/),
  'R11.8': (m) => isFull(m) && m.number('notres S', 0) > 0,
  'R12.1': (m) => m.what === 'show',
  'R12.2': (m) => m.has(/^hs \d S=fail/) && m.has(/^sess \d \S \S+ \S \S+ -$/),
  'R12.3': (m) => m.has(/^get S \S+ -> s/) && m.number('getcb S', 0) === 2,
  'R12.4': (m) => m.what === 'import' && m.has(/^= error/),
  'R12.5': (m) =>
    m.what === 'import' && /a60[4-7]040[2-5](?:006964|696400|6900640069)/.test(m.words[1] ?? ''),
  'R12.6': 'no function reads into a session that is there',
  'R12.7': 'switch KEXGROUP, below',
  'R12.8': 'no session of a trace is as long; test/unit/codec holds it',
  'R12.9': (m) => m.what === 'import' && (m.words[1] ?? '').includes('a503020101'),
}

/** Switches whose sides no trace can tell apart. */
export const unseenSwitches: Readonly<Record<string, string>> = {
  IDCHECK: 'D8: such a session is kept away from libssl',
}
