import { CLIENT_REASONS } from '../session/client-reasons.ts'
import type { SessionStats } from '../session/contracts.ts'
import { type HandshakeCounts, NO_HANDSHAKES, resumptionRate } from '../session/handshakes.ts'
import { between, type HistoryView, type Interval } from './status-history.ts'
import type { MeasuredClients } from './subject.ts'

/** The figures of one `ClientSessions`. */
export interface ClientsStatus {
  readonly verdict: ClientsVerdict
  /** The last whole minute and the running one, or since the handler was made. */
  readonly now: ClientsSpan
  /** The last 59 minutes and the running one, or since the handler was made. */
  readonly hour: ClientsSpan
  /** Since these sessions were made. */
  readonly total: HandshakeCounts
  /** What `hour` consists of, oldest first; the last one is still running. */
  readonly minutes: readonly (ClientsSpan & {
    /** When it began, ISO 8601. */
    readonly time: string
    /** Kept, at its end. */
    readonly tickets: number
  })[]
  readonly origins: number
  readonly tickets: number
  /** Bytes of all of them, about. */
  readonly bytes: number
  /** OpenSSL's. */
  readonly counters: SessionStats
}

export interface ClientsSpan extends HandshakeCounts {
  readonly seconds: number
  /** Resumed of all that were completed, 0 to 1; null when there were none. */
  readonly rate: number | null
  /** Those with a server that was known before: resumed, or missed for a reason. */
  readonly known: number
}

/** Whether these sessions resume, in a word, and why not. */
export interface ClientsVerdict {
  /** By the handshakes with servers that were known before: 90 % or more, some, none; or there were no such handshakes. */
  readonly state: 'resuming' | 'resuming-in-part' | 'not-resuming' | 'nothing-known' | 'idle'
  /** Why most of the others did not resume. */
  readonly because: string | null
  /** What was judged: `hour` when nothing of it has happened just now. */
  readonly span: 'now' | 'hour'
}

export type ClientsFigures = MeasuredClients['stats']

/** The figures of such as were not there yet. */
export const NO_CLIENTS: ClientsFigures = {
  ...{ handshakes: NO_HANDSHAKES, reasons: {}, protocols: {} },
  ...{ origins: 0, tickets: 0, bytes: 0 },
  sessions: {
    ...{ number: 0, accept: 0, acceptGood: 0, acceptRenegotiate: 0, connect: 0, connectGood: 0 },
    ...{ connectRenegotiate: 0, hits: 0, cbHits: 0, misses: 0, timeouts: 0, cacheFull: 0 },
  },
}

export function reportClients({ figures, minutes, last }: HistoryView<ClientsFigures>): ClientsStatus {
  const { origins, tickets, bytes, sessions, handshakes, protocols, reasons } = figures
  const now = spanOf(last(1))
  const hour = spanOf(last(59))
  return {
    verdict: judgeClients(now, hour),
    now,
    hour,
    total: { handshakes, protocols, reasons },
    minutes: minutes.map((minute) => ({
      time: new Date(minute.from.atMs).toISOString(),
      ...spanOf(minute),
      tickets: minute.to.figures.tickets,
    })),
    ...{ origins, tickets, bytes },
    counters: sessions,
  }
}

const ROWS: Readonly<Record<string, { readonly isMiss: boolean }>> = CLIENT_REASONS

function spanOf({ from, to }: Interval<HandshakeCounts>): ClientsSpan {
  const counts = between(from.figures, to.figures)
  const { resumed } = counts.handshakes
  return {
    ...counts,
    seconds: Math.round((to.clockMs - from.clockMs) / 1000),
    rate: resumptionRate(counts.handshakes),
    known: resumed + missesOf(counts).reduce((sum, [, count]) => sum + count, 0),
  }
}

function missesOf({ reasons }: HandshakeCounts): readonly (readonly [reason: string, count: number])[] {
  return Object.entries(reasons).filter(([reason]) => ROWS[reason]?.isMiss === true)
}

const GOOD_RATE = 0.9

export function judgeClients(now: ClientsSpan, hour: ClientsSpan): ClientsVerdict {
  const [span, name] = now.known > 0 ? ([now, 'now'] as const) : ([hour, 'hour'] as const)
  const { resumed } = span.handshakes
  if (span.rate === null) return { state: 'idle', because: null, span: name }
  if (span.known === 0) return { state: 'nothing-known', because: null, span: name }
  if (resumed >= GOOD_RATE * span.known) return { state: 'resuming', because: null, span: name }
  const [commonest] = [...missesOf(span)].sort(([, left], [, right]) => right - left)
  return {
    state: resumed > 0 ? 'resuming-in-part' : 'not-resuming',
    because: commonest?.[0] ?? null,
    span: name,
  }
}
