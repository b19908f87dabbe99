/**
 * The internal cache through the public API, with a listener on its events: what libssl-cache.c does with libssl's.
 *
 *   node cache.mjs <operation> <sessions> <batches>
 */
import { SslContext, SslSession } from '../../../src/index.ts'
import type { ResumptionOffer } from '../../../src/model.ts'
import {
  ABSENT,
  BATCH,
  batches,
  cpuUs,
  ID_LENGTH,
  measure,
  operation,
  randomBelow,
  report,
  residentBytes,
  SESSIONS_A_SECOND,
  SessionMaker,
  sessions,
  settle,
  TIMEOUT_SEC,
  writeId,
} from './sessions.ts'

const TLS1_2 = 0x0303
const maker = new SessionMaker()
const context = new SslContext({ sessionCacheSize: sessions, sessionIdContext: 'bench' })
const events = { resumption: 0, 'new-session': 0, 'session-removed': 0, 'callback-error': 0 }
context.subscribe((event) => {
  events[event.type as keyof typeof events]++
})

function makeSession(index: number): SslSession {
  return SslSession.fromDer(maker.der(index))
}

function fill(): void {
  for (let i = 0; i < sessions; i++) if (!context.addSession(makeSession(i))) throw new Error('an id twice')
}

/** What a server makes of a ClientHello: an offer, and bytes of its own. */
const offers: ResumptionOffer[] = Array.from({ length: BATCH }, () => ({
  protocolVersion: TLS1_2,
  sessionId: new Uint8Array(ID_LENGTH),
  extendedMasterSecret: true,
  cipherSuites: [0xc02f],
}))

function prepareOffers(first: number): void {
  for (const { sessionId } of offers) writeId(sessionId, 0, first + randomBelow(sessions))
}

function resume(offer: ResumptionOffer): boolean {
  const connection = context.newConnection()
  connection.accept()
  const verdict = connection.resumeSession(offer)
  return 'resume' in verdict && verdict.resume
}

function expectFound(found: number, first: number): void {
  const { hits, misses } = context.stats
  if (found !== (first === ABSENT ? misses * 0 : batches * BATCH))
    throw new Error(`wrong lookups: ${found}, ${hits}, ${misses}`)
}

function lookUp(first: number): void {
  let found = 0
  const value = measure(
    () => prepareOffers(first),
    () => {
      for (const offer of offers) if (resume(offer)) found++
    },
  )
  expectFound(found, first)
  if (events.resumption !== batches * BATCH) throw new Error('not all events')
  report(value)
}

/** `SSL_has_matching_session_id(3)`, on one connection. */
function find(first: number): void {
  const connection = context.newConnection()
  connection.accept()
  void connection.resumeSession({ protocolVersion: TLS1_2, sessionId: new Uint8Array(0) })
  let found = 0
  const value = measure(
    () => prepareOffers(first),
    () => {
      for (const { sessionId } of offers) if (connection.hasMatchingSessionId(sessionId)) found++
    },
  )
  expectFound(found, first)
  report(value)
}

function add(): void {
  const made: SslSession[] = []
  let next = sessions
  const value = measure(
    () => {
      for (let i = 0; i < BATCH; i++) made[i] = makeSession(next++)
    },
    () => {
      for (const session of made) context.addSession(session)
    },
  )
  const { number, cacheFull } = context.stats
  if (number !== sessions || cacheFull !== batches * BATCH) throw new Error('not one evicted for each added')
  report(value)
}

type Step =
  | { readonly kind: 'look-up'; readonly offer: ResumptionOffer }
  | { readonly kind: 'add' | 'remove'; readonly session: SslSession }

/** 90 % lookups, 9 % adds, 1 % removals; with each batch the sessions of one second expire, and are flushed. */
function mixed(): void {
  let next = sessions
  let steps: Step[] = []
  const prepare = (): void => {
    const oldest = next - sessions
    steps = offers.map((offer): Step => {
      const draw = randomBelow(100)
      if (draw >= 90 && draw < 99) return { kind: 'add', session: makeSession(next++) }
      const index = oldest + 2 * BATCH + randomBelow(sessions - 4 * BATCH)
      if (draw >= 90) return { kind: 'remove', session: makeSession(index) }
      writeId(offer.sessionId, 0, index)
      return { kind: 'look-up', offer }
    })
  }
  const value = measure(prepare, () => {
    for (const step of steps) {
      if (step.kind === 'look-up') resume(step.offer)
      else if (step.kind === 'add') context.addSession(step.session)
      else context.removeSession(step.session)
    }
    context.flushSessions(maker.timeOf(next - sessions + BATCH + SESSIONS_A_SECOND) + TIMEOUT_SEC)
  })
  report(value)
}

function flushMs(sec: number): number {
  const start = cpuUs()
  context.flushSessions(sec)
  return (cpuUs() - start) / 1000
}

function flush(): void {
  const none = flushMs(maker.startSec)
  const some = flushMs(maker.timeOf(sessions / 100) + TIMEOUT_SEC)
  const all = flushMs(maker.timeOf(sessions) + TIMEOUT_SEC + 2)
  if (context.stats.number !== 0 || events['session-removed'] !== sessions) throw new Error('flushed not all')
  report(none + some + all, { '0 %': none, '1 %': some, '100 %': all })
}

function memory(): void {
  makeSession(0)
  const before = residentBytes()
  fill()
  report((residentBytes() - before) / sessions)
}

const operations: Record<string, () => void> = {
  lookup: () => lookUp(0),
  miss: () => lookUp(ABSENT),
  find: () => find(0),
  'find-absent': () => find(ABSENT),
  add,
  mixed,
  flush,
  memory,
}

if (operation !== 'memory') {
  fill()
  // The collection that filling has set off is not the operation's.
  settle()
}
operations[operation]?.()
