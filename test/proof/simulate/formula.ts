/** A fleet of servers behind a load balancer that chooses at random, and the habits of its clients. */
export interface Fleet {
  readonly nodes: number
  readonly clients: number
  /** Handshakes per second of all clients together; each client's visits are a Poisson process. */
  readonly rate: number
  readonly timeoutSec: number
  /** Sessions in the internal cache of each node; 0 is unlimited. */
  readonly cacheSize: number
  readonly protocol: 'TLSv1.2' | 'TLSv1.3'
  /** TLS 1.3 only. */
  readonly singleUse: boolean
}

export const setups = ['internal only', 'store only', 'both'] as const
export type Setup = (typeof setups)[number]

/** What a set-up does in equilibrium: per second and on average. */
export interface Figures {
  /** Of all handshakes, 0 to 1. */
  readonly resumption: number
  readonly getsPerSec: number
  /** Sessions written: two for a full handshake in TLS 1.3. */
  readonly setsPerSec: number
  /** Gets that found a session. */
  readonly cbHitsPerSec: number
  readonly storedSessions: number
  readonly storedBytes: number
  /** Between all nodes and the store. */
  readonly networkBytesPerSec: number
  /** Sessions in the internal cache of one node. */
  readonly internalPerNode: number
}

/** The bytes of one stored session and of the commands about it. */
export interface SessionBytes {
  /** Key and sealed value, without what the engine needs besides. */
  readonly stored: number
  /** On the wire, request and reply. */
  readonly set: number
  readonly found: number
  readonly missed: number
}

/** R2.5: a node flushes what has expired once in so many handshakes. */
const FLUSH_INTERVAL = 256

/**
 * The equilibrium of a fleet.
 *
 * Every full handshake opens a window of one timeout, in which all that descends from it may resume: the age of the
 * authentication is inherited (N3). From there on it is renewal theory, see {@link expectedResumptions} and
 * {@link internalSessions}.
 */
export function predict(fleet: Fleet, setup: Setup, bytes: SessionBytes): Figures {
  const window = internalWindowSec(fleet, setup)
  const full = fullRate(fleet, setup, window)
  const resumed = fleet.rate - full
  const resumption = resumed / fleet.rate
  const internalPerNode = setup === 'store only' ? 0 : occupancy(fleet, setup, window)
  if (setup === 'internal only') return { ...WITHOUT_STORE, resumption, internalPerNode }
  const cbHitsPerSec = setup === 'both' ? resumed - internalHits(fleet, full, window) : resumed
  const getsPerSec = cbHitsPerSec + lateOffers(fleet, setup, full, resumed, window)
  const setsPerSec = ticketsOfFull(fleet) * full + ticketsOfResumed(fleet) * resumed
  const storedSessions = full * sessionSeconds(fleet, visitRate(fleet), 0, fleet.timeoutSec)
  return {
    resumption,
    getsPerSec,
    setsPerSec,
    cbHitsPerSec,
    storedSessions,
    storedBytes: storedSessions * bytes.stored,
    networkBytesPerSec:
      setsPerSec * bytes.set + cbHitsPerSec * bytes.found + (getsPerSec - cbHitsPerSec) * bytes.missed,
    internalPerNode,
  }
}

const WITHOUT_STORE = {
  getsPerSec: 0,
  setsPerSec: 0,
  cbHitsPerSec: 0,
  storedSessions: 0,
  storedBytes: 0,
  networkBytesPerSec: 0,
} as const

/** λ: the visits of one client per second. */
export function visitRate({ rate, clients }: Fleet): number {
  return rate / clients
}

/** How often a client that stays with the node of its full handshake resumes, and how fast it strays from there. */
export function chain(fleet: Fleet, setup: Setup): { readonly resumes: number; readonly strays: number } {
  const rate = visitRate(fleet)
  // Another node knows nothing of the session, makes a full handshake, and the client forgets the session before.
  return setup === 'internal only'
    ? { resumes: rate / fleet.nodes, strays: rate * (1 - 1 / fleet.nodes) }
    : { resumes: rate, strays: 0 }
}

/** E: resumptions per full handshake. At age u of the window a client is still there with probability exp(-strays u). */
function expectedResumptions(fleet: Fleet, setup: Setup, windowSec: number): number {
  const { resumes, strays } = chain(fleet, setup)
  return resumes * decay(strays, windowSec)
}

/** Full handshakes per second. What the internal caches evict early is still in the store. */
function fullRate(fleet: Fleet, setup: Setup, internalSec: number): number {
  const windowSec = setup === 'internal only' ? internalSec : fleet.timeoutSec
  return fleet.rate / (1 + expectedResumptions(fleet, setup, windowSec))
}

function ticketsOfFull({ protocol }: Fleet): number {
  return protocol === 'TLSv1.3' ? 2 : 1
}

/** In TLS 1.2 the session that was resumed goes on under its id. */
function ticketsOfResumed({ protocol }: Fleet): number {
  return protocol === 'TLSv1.3' ? 1 : 0
}

/**
 * For how many seconds the sessions of one window are kept, all together. Those of the full handshake are there for the
 * whole window, one that was made at age u for the rest of it. Of single use, one lies idle and one is always current.
 */
function sessionSeconds(fleet: Fleet, resumes: number, strays: number, windowSec: number): number {
  const own = ticketsOfFull(fleet) * windowSec
  return fleet.singleUse ? own : own + ticketsOfResumed(fleet) * resumes * remaining(strays, windowSec)
}

/** The same in the internal caches of all nodes. */
function internalSeconds(fleet: Fleet, setup: Setup, windowSec: number): number {
  const { resumes, strays } = chain(fleet, setup)
  if (setup === 'internal only') return sessionSeconds(fleet, resumes, strays, windowSec)
  const own = sessionSeconds({ ...fleet, singleUse: false }, resumes, strays, windowSec)
  const { found, fades } = copies(fleet)
  return own + found * remaining(fades, windowSec)
}

/**
 * Sessions that come from the store to a node, at age u found × exp(-fades u) per second. In TLS 1.3 each visit brings a
 * ticket that only the node of the visit before knows; in TLS 1.2 the same id, which is new to each node once. What is used
 * once is not copied.
 */
function copies(fleet: Fleet): { readonly found: number; readonly fades: number } {
  const rate = visitRate(fleet)
  const found = fleet.singleUse ? 0 : rate * (1 - 1 / fleet.nodes)
  return { found, fades: fleet.protocol === 'TLSv1.3' ? 0 : rate / fleet.nodes }
}

/** Sessions alive in all internal caches if windows were so long. */
function internalSessions(fleet: Fleet, setup: Setup, windowSec: number): number {
  return fullRate(fleet, setup, windowSec) * internalSeconds(fleet, setup, windowSec)
}

/**
 * A full cache evicts what expires first, which are the oldest windows: it is as if the timeout were shorter, by just so
 * much that the sessions fit.
 */
export function internalWindowSec(fleet: Fleet, setup: Setup): number {
  const room = fleet.cacheSize * fleet.nodes
  if (room === 0 || internalSessions(fleet, setup, fleet.timeoutSec) <= room) return fleet.timeoutSec
  let [low, high] = [0, fleet.timeoutSec]
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2
    if (internalSessions(fleet, setup, middle) > room) high = middle
    else low = middle
  }
  return low
}

/** Sessions in the cache of one node, those included that have expired since the last flush. */
function occupancy(fleet: Fleet, setup: Setup, windowSec: number): number {
  const alive = internalSessions(fleet, setup, windowSec) / fleet.nodes
  const full = fullRate(fleet, setup, windowSec)
  const isUsedUp = fleet.singleUse && setup === 'internal only'
  const made = ticketsOfFull(fleet) * full + (isUsedUp ? 0 : ticketsOfResumed(fleet) * (fleet.rate - full))
  const { found, fades } = copies(fleet)
  const copied = setup === 'both' ? full * found * decay(fades, windowSec) : 0
  const expired = ((FLUSH_INTERVAL - 1) / 2) * ((made + copied) / fleet.rate)
  return Math.min(alive + expired, fleet.cacheSize === 0 ? Number.POSITIVE_INFINITY : fleet.cacheSize)
}

/** Resumptions per second, with both caches, for which the store is not asked. */
function internalHits(fleet: Fleet, full: number, windowSec: number): number {
  if (fleet.singleUse) return 0
  const { found, fades } = copies(fleet)
  return full * (visitRate(fleet) * windowSec - found * decay(fades, windowSec))
}

/**
 * Gets per second for sessions whose window is over. A TLS 1.3 client offers a ticket for one timeout, which it was told
 * (RFC 9846 §4.7.1, RFC 8446 §4.6.1); one of TLS 1.2 is told nothing. What is not yet flushed is refused without a get.
 */
function lateOffers(fleet: Fleet, setup: Setup, full: number, resumed: number, windowSec: number): number {
  const { nodes, rate, timeoutSec, protocol, singleUse } = fleet
  const visits = visitRate(fleet)
  const offered = protocol === 'TLSv1.3' ? rate * -Math.expm1(-visits * timeoutSec) : rate
  if (setup === 'store only' || singleUse || windowSec < timeoutSec) return offered - resumed
  const { fades } = copies(fleet)
  const known = 1 - (1 - 1 / nodes) * Math.exp(-fades * timeoutSec)
  const flushSec = (FLUSH_INTERVAL * nodes) / rate
  const unflushed = 1 - decay(visits, flushSec) / flushSec
  return offered - resumed - full * known * unflushed
}

/** ∫ exp(-rate u) du from 0 to `until`. */
export function decay(rate: number, until: number): number {
  return rate * until < 1e-9 ? until : -Math.expm1(-rate * until) / rate
}

/** ∫ exp(-rate u) (until - u) du from 0 to `until`. */
function remaining(rate: number, until: number): number {
  return rate * until < 1e-4 ? until ** 2 / 2 : (until - decay(rate, until)) / rate
}
