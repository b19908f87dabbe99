import type { EngineAddress } from '../../tools/engine-store.ts'

export type ToTaker =
  | { readonly type: 'open'; readonly address: EngineAddress; readonly secret: string }
  | {
      readonly type: 'take'
      /** Hexadecimal; a session's value is its key. */
      readonly keys: readonly string[]
      /** Milliseconds since the epoch. */
      readonly atMs: number
    }

export type FromTaker =
  | { readonly type: 'ready' }
  /** For each key. */
  | { readonly type: 'taken'; readonly takes: readonly Take[] }

export interface Take {
  readonly hasWon: boolean
  /** Milliseconds since the epoch, in fractions. */
  readonly beganMs: number
  readonly endedMs: number
}
