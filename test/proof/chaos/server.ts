import { setMaxListeners } from 'node:events'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import tls from 'node:tls'
import {
  attachServer,
  KeyRing,
  type ServerHandshake,
  SessionCacheMode,
  type SessionStore,
  SessionStoreError,
  SslContext,
  sealed,
  serverOptions,
  storeCallbacks,
} from '../../../src/index.ts'
import type { Awaitable } from '../../../src/session/awaitable.ts'
import { type GuardedStore, guarded } from '../../../src/store/guarded-store.ts'
import { openEngineStore } from '../../tools/engine-store.ts'
import type { FromServer, ServerReport, ServerSettings, ToServer, Trouble } from './messages.ts'

// One server process: an attached TLS server whose external cache is the truth.

const SLOW_MS = 10_000
const SAMPLE_MS = 20

let trouble: Trouble = 'none'
let endOfTrouble = newEnd()
const stalls = monitorEventLoopDelay({ resolution: 20 })
let tally = emptyTally()

process.on('unhandledRejection', (reason) => tally.unhandled.push(`rejection: ${String(reason)}`))
process.on('uncaughtException', (error) => tally.unhandled.push(`exception: ${String(error)}`))
process.on('warning', (warning) => tally.unhandled.push(`warning: ${String(warning)}`))

/** As many calls wait for it as there are. */
function newEnd(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

function emptyTally() {
  return {
    outcomes: { resumed: 0, full: 0, failed: 0 },
    reasons: {} as Record<string, number>,
    maxLookupMs: 0,
    maxQueuedWrites: 0,
    maxPendingCalls: 0,
    unhandled: [] as string[],
  }
}

/** As an engine says it that is full, or read-only. */
const refusal = (): Error => new SessionStoreError('the engine does not want to write', { isRefusal: true })

/** What a network would do to an engine without a port, and what engines do that cannot be made to do it. */
function troubled(store: SessionStore, deadlineMs: number): SessionStore {
  const write = async <T>(call: () => Awaitable<T>): Promise<T> => {
    if (trouble === 'refusing') throw refusal()
    return through(call)
  }
  const through = async <T>(call: () => Awaitable<T>): Promise<T> => {
    if (trouble === 'rejecting-late') {
      await setTimeout(2 * deadlineMs)
      throw new Error('the engine has failed, long ago')
    }
    if (trouble === 'unreachable') throw new Error('the engine cannot be reached')
    if (trouble === 'slow')
      await setTimeout(SLOW_MS, undefined, { signal: endOfTrouble.signal }).catch(() => undefined)
    return call()
  }
  return {
    get: (key) => (trouble === 'none' ? store.get(key) : through(() => store.get(key))),
    set: (entries) => write(() => store.set(entries)),
    take: (key) => write(() => store.take(key)),
    delete: (key) => write(() => store.delete(key)),
    getMarks: () => through(() => store.getMarks()),
    addMarks: (marks) => write(() => store.addMarks(marks)),
    close: () => store.close(),
  }
}

function count({ outcome, reason, lookupMs }: ServerHandshake): void {
  tally.outcomes[outcome]++
  tally.reasons[reason] = (tally.reasons[reason] ?? 0) + 1
  tally.maxLookupMs = Math.max(tally.maxLookupMs, lookupMs)
}

function watch(guard: GuardedStore): void {
  setInterval(() => {
    const { queuedWrites, pendingCalls } = guard.stats
    tally.maxQueuedWrites = Math.max(tally.maxQueuedWrites, queuedWrites)
    tally.maxPendingCalls = Math.max(tally.maxPendingCalls, pendingCalls)
  }, SAMPLE_MS)
}

async function start({
  certificate,
  engine,
  secret,
  port,
  deadlineMs,
  singleUse,
}: ServerSettings): Promise<(collect: boolean) => ServerReport> {
  const { store } = await openEngineStore(engine)
  const guard = guarded(troubled(store, deadlineMs), { deadlineMs })
  const context = new SslContext({
    sessionIdContext: 'chaos',
    sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
    ...storeCallbacks(sealed(guard, new KeyRing([Buffer.from(secret, 'hex')]))),
  })
  const server = tls.createServer({ ...certificate, ...serverOptions(context) }, (socket) =>
    socket.on('error', () => undefined).end('hello'),
  )
  const attachment = attachServer(server, context, {
    singleUse,
    lookupTimeoutMs: Math.max(1000, deadlineMs),
    onHandshake: count,
  })
  watch(guard)
  stalls.enable()
  server.listen(port, '127.0.0.1', () =>
    send({ type: 'listening', port: (server.address() as AddressInfo).port }),
  )
  return (collect) => {
    const maxStallMs = stalls.max / 1e6
    if (collect) globalThis.gc?.()
    const { rss, heapUsed } = process.memoryUsage()
    const { pendingWrites } = attachment.stats
    return {
      ...tally,
      maxStallMs,
      rssBytes: rss,
      heapBytes: heapUsed,
      guard: guard.stats,
      pendingWrites,
    }
  }
}

function send(message: FromServer): void {
  process.send?.(message)
}

let report: Promise<(collect: boolean) => ServerReport> | undefined

process.on('message', (message: ToServer) => {
  if (message.type === 'start') report = start(message.settings)
  else if (message.type === 'trouble') {
    trouble = message.trouble
    endOfTrouble.abort()
    endOfTrouble = newEnd()
  } else
    void report?.then((make) => {
      send({ type: 'report', report: make(message.collect) })
      tally = emptyTally()
      stalls.reset()
    })
})
process.on('disconnect', () => process.exit())
