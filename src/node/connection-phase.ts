import type { ReadAhead } from './read-ahead.ts'

/** How far a connection has come. It goes down this list, and may be over at any time. */
export type Phase =
  /** Its ClientHello is not whole. */
  | { readonly name: 'reading'; readonly ahead: ReadAhead | undefined }
  /** The caches and the owner's policy have not answered. */
  | { readonly name: 'looking-up'; readonly ahead: ReadAhead; readonly timer: NodeJS.Timeout }
  /** Node makes the handshake. */
  | { readonly name: 'handed-over' }
  /** The outcome is known; tickets of TLS 1.3 may still come. */
  | { readonly name: 'established' }
  /** The client has gone, or was sent away. */
  | { readonly name: 'over' }

export const READING: Phase = { name: 'reading', ahead: undefined }
export const HANDED_OVER: Phase = { name: 'handed-over' }
export const ESTABLISHED: Phase = { name: 'established' }
export const OVER: Phase = { name: 'over' }
