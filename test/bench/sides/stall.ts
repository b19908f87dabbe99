/**
 * The longest stall of an event loop with a full cache.
 *
 *   node stall.mjs <whose> <sessions> <seconds>
 *
 * `ours` and `map`: 10,000 sessions a second come, and as many go. `at-once` and `in-steps`: all expire at
 * the same moment, and are cleared by handshakes, one a turn: as libssl does it, all by one of them, or so many by each.
 *
 * A stall is the time from one turn of the loop to the next, garbage collection included: by the clock on the wall, or the CPU
 * time of the process where that is less, since the machine has then done something else meanwhile. (It may be more: the
 * collector works with several threads at once.) The longest of each is reported too.
 */
import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SslContext, SslSession } from '../../../src/index.ts'
import { HandWrittenCache } from './hand-written-cache.ts'
import { cpuUs, ID_LENGTH, report, SessionMaker, settle, TIMEOUT_SEC, writeId } from './sessions.ts'

const [whose = '', size = '', duration = ''] = process.argv.slice(2)
const sessions = Number(size)
const seconds = Number(duration)
const ARRIVALS_PER_MS = 10
const maker = new SessionMaker()

type Arrive = (index: number) => void

function ours(): Arrive {
  const context = new SslContext({ sessionCacheSize: sessions, sessionIdContext: 'bench' })
  return (index) => context.addSession(SslSession.fromDer(maker.der(index)))
}

function map(): Arrive {
  const cache = new HandWrittenCache(sessions)
  return (index) => {
    const id = Buffer.alloc(ID_LENGTH)
    writeId(id, 0, index)
    cache.set(id, Buffer.from(maker.der(index)), (maker.timeOf(index) + TIMEOUT_SEC) * 1000)
  }
}

interface Stall {
  readonly ms: number
  readonly parts: { readonly wallMs: number; readonly cpuMs: number }
}

/** @param turn - what happens in a turn of the loop, `elapsedMs` after the beginning; false ends it */
async function longestStall(turn: (elapsedMs: number) => boolean): Promise<Stall> {
  let [ms, wallMs, cpuMs] = [0, 0, 0]
  const begin = performance.now()
  let lastWall = begin
  let lastCpu = cpuUs()
  let goesOn = true
  while (goesOn) {
    goesOn = turn(lastWall - begin)
    await nextTurn()
    const wall = performance.now()
    const cpu = cpuUs()
    const spentMs = (cpu - lastCpu) / 1000
    ms = Math.max(ms, Math.min(spentMs, wall - lastWall))
    cpuMs = Math.max(cpuMs, spentMs)
    wallMs = Math.max(wallMs, wall - lastWall)
    lastWall = wall
    lastCpu = cpu
  }
  return { ms, parts: { wallMs, cpuMs } }
}

async function comeAndGo(arrive: Arrive): Promise<void> {
  for (let i = 0; i < sessions; i++) arrive(i)
  settle()
  let next = sessions
  const { ms, parts } = await longestStall((elapsedMs) => {
    // What was missed during a stall is not caught up with in one turn, which would be a stall of its own.
    const due = Math.min(sessions + Math.floor(elapsedMs * ARRIVALS_PER_MS), next + 10 * ARRIVALS_PER_MS)
    while (next < due) arrive(next++)
    return elapsedMs < seconds * 1000
  })
  report(ms, { ...parts, arrived: next - sessions })
}

const STEP = 32
const TLS1_2 = 0x0303
const NO_ID = new Uint8Array(0)

async function expireTogether(clearingStep: number): Promise<void> {
  let now = Date.now()
  const context = new SslContext({
    sessionCacheSize: sessions + 1_000_000,
    sessionIdContext: 'bench',
    clearingStep,
    now: () => now,
  })
  for (let i = 0; i < sessions; i++) context.addSession(SslSession.fromDer(maker.der(i)))
  settle()
  now = (maker.timeOf(sessions) + TIMEOUT_SEC + 1) * 1000
  let handshakes = 0
  const { ms, parts } = await longestStall(() => {
    handshake(context, SslSession.fromDer(maker.der(sessions + handshakes++)))
    return context.stats.number > handshakes
  })
  if (context.stats.number !== handshakes) throw new Error('not all have been cleared')
  report(ms, { ...parts, handshakes })
}

/** As behind a Node server, whose libssl makes the session. */
function handshake(context: SslContext, made: SslSession): void {
  const connection = context.newConnection()
  connection.accept()
  void connection.resumeSession({ protocolVersion: TLS1_2, sessionId: NO_ID, extendedMasterSecret: true })
  connection.serverHello()
  made.setTime(Math.floor(context.now() / 1000))
  connection.adoptSession(made)
  connection.finishHandshake()
}

const kinds: Record<string, () => Promise<void>> = {
  ours: () => comeAndGo(ours()),
  map: () => comeAndGo(map()),
  'at-once': () => expireTogether(0),
  'in-steps': () => expireTogether(STEP),
}
const kind = kinds[whose]
if (kind === undefined) throw new Error(`no such stall: ${whose}`)
await kind()
