import type { Certificate } from '../certificate.ts'

/** Parent to server process. */
export type ToServer =
  | {
      readonly type: 'start'
      readonly certificate: Certificate
      readonly mode: number
      readonly external: boolean
    }
  | { readonly type: 'found'; readonly request: number; readonly der: string | undefined }
  | { readonly type: 'report' }

/** Server process to parent. */
export type FromServer =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'store'; readonly id: string; readonly der: string; readonly expiresAtMs: number }
  | { readonly type: 'find'; readonly request: number; readonly id: string }
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
