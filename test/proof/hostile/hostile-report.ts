import { isDeepStrictEqual } from 'node:util'

/** What hostile clients have brought about. */
export interface HostileReport {
  readonly seed: number
  /** As their listener of 'connection' counts them. */
  readonly connections: number
  /** Calls of onHandshake. */
  readonly reported: number
  /** Sums of the statistics, which must be the same. */
  readonly outcomes: number
  readonly reasons: number
  readonly failed: number
  /** Connections that were open at the same time, while good clients were served. */
  readonly halfOpen: number
  readonly good: { readonly visits: number; readonly offers: number; readonly resumed: number }
  /** The sessions that hostile clients named in their ClientHellos resume afterwards. */
  readonly victimsResumed: readonly boolean[]
  /** Errors that were nobody's, and warnings. */
  readonly uncaught: readonly string[]
  readonly openSockets: number
  /** Active resources of the process by type, before and after. */
  readonly resources: readonly [Readonly<Record<string, number>>, Readonly<Record<string, number>>]
  readonly heapGrowthBytes: number
}

/**
 * Measured: 0.1 to 1.1 MB, however many connections there were. With one handshake kept for each, 2,000 connections leave
 * more than 20 MB.
 */
export const MAX_HEAP_GROWTH_BYTES = 4 * 2 ** 20

/** What was left behind: sockets, other resources, and outcomes that are missing or too many. */
export function countLeft(report: HostileReport): number {
  const { connections, reported, outcomes, reasons, openSockets, resources, heapGrowthBytes } = report
  const isMiscounted = [reported, outcomes, reasons].some((count) => count !== connections)
  const isGrown = heapGrowthBytes > MAX_HEAP_GROWTH_BYTES
  const isHeld = !isDeepStrictEqual(...resources)
  return openSockets + Number(isMiscounted) + Number(isGrown) + Number(isHeld)
}
