import type { Random } from '../../tools/random.ts'
import type { Variant } from './abort-case.ts'

/** How a client leaves; silence leaves it to the server's patience. */
export const FAREWELLS = ['FIN', 'RST', 'silence'] as const
export type Farewell = (typeof FAREWELLS)[number]

/** When a client leaves that sends the bytes of a hello. */
export const HELLO_MOMENTS = [
  'before a byte',
  'after some bytes',
  'in the turn of its hello',
  'right after its hello',
  'when a lookup begins',
  'a turn after a lookup has begun',
  'just before a lookup ends',
  'in the tick after a lookup',
  'in the microtask after a lookup',
  'in the turn after a lookup',
  'two turns after a lookup',
  'some time after its hello',
  'at the first byte of the answer',
] as const

/** When a client leaves that goes on. */
export const HANDSHAKE_MOMENTS = [
  'after some bytes of the answer',
  'after some bytes of its second flight',
  'when its server is done',
  'a turn after its server is done',
  'when it is done',
  'after its first data',
] as const

export const MOMENTS = [...HELLO_MOMENTS, ...HANDSHAKE_MOMENTS] as const
export type Moment = (typeof MOMENTS)[number]

/** What a hello offers. */
export const OFFERS = ['unknown', 'known', 'nothing'] as const
export type Offer = (typeof OFFERS)[number]

export interface AttackPlan {
  readonly variant: Variant
  readonly moment: Moment
  readonly farewell: Farewell
  readonly offer: Offer
  /** How long a lookup takes: so many turns of the event loop, or for ever. */
  readonly lookupTurns: number
  /** A piece of what there is, in thousandths. */
  readonly share: number
  /** Bytes that are sent at once; the rest comes turn by turn. */
  readonly pieces: number
  readonly delayMs: number
}

/** @param silent - percent of those that say nothing: silence takes as long as the server has patience */
export function planAttack(variant: Variant, random: Random, silent: number): AttackPlan {
  const moment = random.pick(isLookedUp(variant) ? MOMENTS : MOMENTS.filter((one) => !isDuringLookup(one)))
  const offers = isDuringLookup(moment) ? OFFERS.slice(0, 2) : OFFERS
  const offer = random.chance(60) ? 'unknown' : random.pick(offers)
  // Others look up what is known as well, and are to be served.
  const isForEver = random.chance(3) && offer !== 'known'
  return {
    variant,
    moment,
    farewell: random.chance(silent) ? 'silence' : random.pick(['FIN', 'RST'] as const),
    offer,
    lookupTurns: isForEver ? Number.POSITIVE_INFINITY : random.below(4),
    share: random.below(1000),
    pieces: random.chance(80) ? 1 : 2 + random.below(3),
    delayMs: random.below(8),
  }
}

/** TLS 1.2 offers by its session id alone. */
const isLookedUp = ({ version, hasSessionId }: Variant): boolean => hasSessionId || version === 'TLSv1.3'

const isDuringLookup = (moment: Moment): boolean => moment.includes('lookup')

export const isHelloMoment = (moment: Moment): boolean =>
  (HELLO_MOMENTS as readonly string[]).includes(moment)

export const planName = ({ variant, moment, farewell, offer, lookupTurns }: AttackPlan): string =>
  `${variant.version}${variant.hasSessionId ? '' : ' no id'} ${farewell} ${moment}, ${offer}, ${lookupTurns} turns`
