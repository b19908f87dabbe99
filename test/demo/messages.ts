import type { Certificate } from '../tools/certificate.ts'

/** The external cache of both processes. */
export interface SharedStore {
  readonly path: string
  /** Of the key ring, in hexadecimal. */
  readonly secret: string
}

/** Parent to server process. */
export type ToServer =
  | {
      readonly type: 'start'
      readonly certificate: Certificate
      readonly mode: number
      readonly store: SharedStore | undefined
    }
  | { readonly type: 'report' }

/** Server process to parent. */
export type FromServer =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'handshake'; readonly handshake: ReportedHandshake }
  | { readonly type: 'stats'; readonly stats: Record<string, number> }

export interface ReportedHandshake {
  readonly protocol: string
  readonly outcome: 'resumed' | 'full' | 'failed'
  readonly reason: string
  /** Microseconds of CPU of the server process, from TCP accept to the end of the handshake. */
  readonly cpuMicros: number
  /** Milliseconds of the clock, likewise. */
  readonly elapsedMs: number
}
